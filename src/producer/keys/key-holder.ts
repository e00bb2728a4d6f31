import type { RecordOutcome } from '../../core/model.js'
import { errorCodes, type KafkaErrorName } from '../../kafka/error-codes.js'
import type { DurableLog } from '../log/durable-log.js'
import type { StoredEntry } from '../log/entry.js'
import { readLoggedRecord } from '../log/logged-record.js'
import type { EntryOutcome } from '../log/outcome-frames.js'
import { askPatiently, readPatiently } from '../log/patient-read.js'
import { failures } from '../memory/failures.js'
import { BriefMap } from './brief-map.js'
import type { KeyName, ReadFrame } from './key-frames.js'
import type { KeyJournal } from './key-journal.js'
import { type GivenReceipt, KeyedRecords } from './keyed-records.js'

/** The parts of the durable log that are used after a start. */
export type KeyedLog = Pick<DurableLog, 'read' | 'states'>

const READ_BYTES = 1024 * 1024
/** An outcome that was lost with its process: Kafka has the record, and its place is unknown. */
const SOMEWHERE = { type: 'delivered', partition: -1, offset: -1 } as const

/** The records of requests with a key that this process has accepted, until their answer is kept. */
export class KeyHolder {
  readonly #byHash = new BriefMap<KeyedRecords>()
  /** Records in the durable log whose outcomes are waited for. */
  readonly #bySequence = new Map<number, { readonly records: KeyedRecords; readonly index: number }>()
  #journal: KeyJournal | undefined
  #prepare: (() => void) | undefined
  #isWanted = false
  readonly #held: (hash: string, records: number) => void

  /** @param held called with how many records of a key more are held, or fewer */
  constructor(held: (hash: string, records: number) => void = () => undefined) {
    this.#held = held
  }

  /** The records of a key; they are new, or those of an earlier request. */
  of(key: KeyName): KeyedRecords {
    const before = this.#byHash.get(key.hash)
    if (before !== undefined) return before
    const records: KeyedRecords = new KeyedRecords(key, more => {
      if (!records.isEnded) this.#held(key.hash, more)
    })
    this.#byHash.add(key.hash, records)
    return records
  }

  /**
   * The records of a key for a request that begins anew. Former records that Kafka has refused are dropped, and those of
   * another request: the owner has forgotten that one first, because it was claimed before it came to this process.
   *
   * @param sinceMs keys of older claims have expired
   */
  ofNew(key: KeyName, sinceMs: number): KeyedRecords {
    const before = this.#byHash.get(key.hash)
    if (before?.isRefused === true || before?.isOfFormer(key, sinceMs) === true)
      this.endWritten(before, () => undefined)
    return this.of(key)
  }

  /** @returns `undefined`: no record of the key is held */
  find(hash: string): KeyedRecords | undefined {
    return this.#byHash.get(hash)
  }

  /** The receipt of the request that is under way here with the key, as soon as it has one. */
  async receiptOf({ hash, fingerprint }: Omit<KeyName, 'atMs'>, waitMs: number): Promise<GivenReceipt | undefined> {
    const records = this.#byHash.get(hash)
    const isUnderWay = records?.claim !== undefined && records.key.fingerprint === fingerprint
    return isUnderWay ? records.receiptWithin(waitMs) : undefined
  }

  get all(): Iterable<KeyedRecords> {
    return this.#byHash.values()
  }

  /** No answer needs the records any more: the journal of this process gets the answer. */
  end(records: KeyedRecords): void {
    if (!records.isEnded) this.#held(records.key.hash, -records.count)
    records.isEnded = true
    for (const sequence of records.sequences) this.#bySequence.delete(sequence)
    if (this.#byHash.get(records.key.hash) === records) this.#byHash.delete(records.key.hash)
  }

  /**
   * No answer needs the records any more, and the journal of this process gets none. After a restart the records must not
   * count as those of a request that comes later.
   *
   * @param written called when that survives the death of the process
   */
  endWritten(records: KeyedRecords, written: () => void): void {
    const journal = records.isDurable && !records.isEnded ? this.#journal : undefined
    this.end(records)
    if (journal === undefined) written()
    else journal.add(records.key, { type: 'ended' }, undefined, written)
  }

  /** Forgets the records of keys that were claimed before this time. */
  expire(beforeMs: number): void {
    for (const records of this.#byHash.values()) if (records.isOpen && records.key.atMs < beforeMs) this.end(records)
  }

  /** The key has expired. */
  forget(hash: string): void {
    const records = this.#byHash.get(hash)
    if (records !== undefined) this.end(records)
  }

  /** The durable log has the record. */
  stored(records: KeyedRecords, index: number, sequence: number): void {
    this.#isAt(records, index, sequence)
    this.#journal?.advance(sequence + 1)
    this.#journal?.add(records.key, { type: 'stored', index, sequence, count: 1 }, () => records.isEnded)
  }

  #isAt(records: KeyedRecords, index: number, sequence: number): void {
    const before = records.stored(index, sequence)
    if (before !== undefined) this.#bySequence.delete(before)
    this.#bySequence.set(sequence, { records, index })
  }

  /** Writes what is known of records, before they are sent to Kafka. */
  flush(): void {
    this.#journal?.flush()
  }

  /** The outcome of a record of the durable log, which may have a key. */
  settled(sequence: number, outcome: RecordOutcome): void {
    if (this.#bySequence.size === 0) return
    const found = this.#bySequence.get(sequence)
    if (found === undefined) return
    this.#bySequence.delete(sequence)
    const { records, index } = found
    records.conclude(index, outcome)
    this.#journal?.add(records.key, { type: 'outcome', index, outcome }, () => records.isEnded)
  }

  use(journal: KeyJournal): void {
    this.#journal = journal
  }

  /** The durable log is open. @param prepare makes a journal of keys, which is needed with the first record that has one */
  prepare(prepare: () => void): void {
    this.#prepare = prepare
    if (this.#isWanted) this.begin()
  }

  /**
   * Before a record with a key goes to the durable log: each of them has to be found after a crash.
   *
   * @throws when the disk does; the next one tries again
   */
  begin(): void {
    this.#isWanted = true
    this.#prepare?.()
    this.#prepare = undefined
  }

  /** Takes note of the records of an earlier process. */
  restore({ key, news }: ReadFrame): void {
    const before = this.#byHash.get(key.hash)
    if (news.type === 'answered' || news.type === 'ended') {
      if (before !== undefined) this.end(before)
      return
    }
    const records = this.of(key)
    records.isOpen = true
    if (news.type === 'outcome') {
      records.isDurable = true
      records.conclude(news.index, news.outcome)
      return
    }
    for (let nth = 0; nth < news.count; nth++) this.#isAt(records, news.index + nth, news.sequence + nth)
  }

  /**
   * Finds records with a key that the journal does not have, before the records of the log are delivered.
   *
   * @param bound see {@link KeyJournal.bound}
   * @param sinceMs keys of older records have expired
   */
  async scan(log: KeyedLog, bound: number, sinceMs: number): Promise<void> {
    for await (const { sequence, body, acceptedAtMs } of entriesFrom(log, bound)) {
      if (acceptedAtMs < sinceMs) continue
      const { tag } = readLoggedRecord(body)
      if (tag === undefined) continue
      const records = this.of({ hash: tag.hash, fingerprint: tag.fingerprint, atMs: acceptedAtMs })
      records.isOpen = true
      this.stored(records, tag.index, sequence)
    }
  }

  /** Finds what became of records of the journal that are no longer in the log. @throws when the log cannot be read */
  async resolve(log: KeyedLog): Promise<void> {
    for (const [sequence, { records, index }] of [...this.#bySequence]) {
      const { open, outcomes } = await askPatiently(() => log.states({ first: sequence, count: 1 }))
      if (open.length > 0 || records.outcomeOf(index) !== undefined) continue
      this.#bySequence.delete(sequence)
      records.conclude(index, outcomeOf(outcomes.get(sequence)) ?? { ...SOMEWHERE, timestampMs: records.key.atMs })
    }
  }
}

const outcomeOf = (known: EntryOutcome | undefined): RecordOutcome | undefined => {
  if (known === undefined) return undefined
  if (known.type === 'delivered') {
    const { type, partition, offset, timestampMs } = known
    return { type, partition, offset, timestampMs }
  }
  // Where that is not noted, an earlier attempt to send it may have had no answer.
  const { code, message, persisted = 'unknown' } = known
  if (Object.hasOwn(errorCodes, code))
    return { ...failures.rejected(errorCodes[code as KafkaErrorName], persisted), message, retriable: false }
  return { type: 'failed', code: 'recordRejected', errorCode: undefined, message, persisted, retriable: false }
}

async function* entriesFrom(log: KeyedLog, from: number): AsyncGenerator<StoredEntry> {
  for (let isAtEnd = false; !isAtEnd; ) {
    const read = await readPatiently(log, { fromSequence: from, maxBytes: READ_BYTES })
    yield* read.entries
    from = read.nextSequence
    isAtEnd = read.isAtEnd
  }
}
