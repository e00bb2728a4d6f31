import type { RecordOutcome } from '../../core/model.js'
import { errorCodes, type KafkaErrorName } from '../../kafka/error-codes.js'
import type { DurableLog } from '../log/durable-log.js'
import type { StoredEntry } from '../log/entry.js'
import { READ_BYTES } from '../log/entry-reader.js'
import { readLoggedRecord } from '../log/logged-record.js'
import type { EntryOutcome } from '../log/outcomes.js'
import { failures } from '../memory/failures.js'
import type { KeyName } from './key-frames.js'
import type { KeyJournal } from './key-journal.js'
import type { KeyedRecords } from './keyed-records.js'

/** The parts of the durable log that are used after a start. */
export type KeyedLog = Pick<DurableLog, 'read' | 'states'>

/** An outcome that was lost with its process: Kafka has the record, and its place is unknown. */
const SOMEWHERE = { type: 'delivered', partition: -1, offset: -1 } as const

/** Records of requests with a key that are in the durable log, by their sequences. */
export class LoggedRecords {
  /** Records by sequence whose outcomes are awaited. */
  readonly #bySequence = new Map<number, { readonly records: KeyedRecords; readonly index: number }>()
  /** Absent: no request with a key has had a record in the log. */
  journal: KeyJournal | undefined
  #prepare: (() => void) | undefined
  #isWanted = false

  /** The durable log has the record. */
  stored(records: KeyedRecords, index: number, sequence: number): void {
    this.isAt(records, index, sequence)
    const { journal } = this
    if (journal === undefined) return
    journal.bound = Math.max(journal.bound, sequence + 1)
    journal.add(records.key, { type: 'stored', index, sequence, count: 1 }, () => records.isEnded)
  }

  /** Takes note of where a record is. */
  isAt(records: KeyedRecords, index: number, sequence: number): void {
    const before = records.stored(index, sequence)
    if (before !== undefined) this.#bySequence.delete(before)
    this.#bySequence.set(sequence, { records, index })
  }

  /** Writes what is known of records, before they are sent to Kafka. */
  flush(): void {
    this.journal?.flush()
  }

  /** The outcome of a record of the durable log, which may have a key. */
  settled(sequence: number, outcome: RecordOutcome): void {
    if (this.#bySequence.size === 0) return
    const found = this.#bySequence.get(sequence)
    if (found === undefined) return
    this.#bySequence.delete(sequence)
    const { records, index } = found
    records.conclude(index, outcome)
    this.journal?.add(records.key, { type: 'outcome', index, outcome }, () => records.isEnded)
  }

  /** No outcome of the records is needed any more. */
  forget(records: KeyedRecords): void {
    if (records.isDurable) for (const sequence of records.sequences) this.#bySequence.delete(sequence)
  }

  /** The durable log is open. @param prepare makes a journal of keys, which is needed with the first record that has one */
  prepare(prepare: () => void): void {
    this.#prepare = prepare
    if (this.#isWanted) this.begin()
  }

  /**
   * Called before a record with a key is written to the durable log: from then on each of these records must be found
   * after a crash.
   *
   * @throws when the disk does; the next one tries again
   */
  begin(): void {
    this.#isWanted = true
    this.#prepare?.()
    this.#prepare = undefined
  }

  /**
   * Finds records with a key that the journal does not have, before the records of the log are delivered.
   *
   * @param bound see {@link KeyJournal.bound}
   * @param recordsOf `undefined`: the key has an answer, or has expired
   */
  async scan(log: KeyedLog, bound: number, recordsOf: (key: KeyName) => KeyedRecords | undefined): Promise<void> {
    for await (const { sequence, body, acceptedAtMs: atMs } of entriesFrom(log, bound)) {
      const { tag } = readLoggedRecord(body)
      const records = tag && recordsOf({ hash: tag.hash, fingerprint: tag.fingerprint, atMs })
      if (records !== undefined) this.stored(records, tag!.index, sequence)
    }
  }

  /** Finds what became of records of the journal that are no longer in the log. @throws when the log cannot be read */
  async resolve(log: KeyedLog): Promise<void> {
    for (const [sequence, { records, index }] of [...this.#bySequence]) {
      const { open, outcomes } = await log.states({ first: sequence, count: 1 })
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
  // If `persisted` was not noted, an earlier attempt to send the record may have gone unanswered.
  const { code, message, persisted = 'unknown' } = known
  if (Object.hasOwn(errorCodes, code))
    return { ...failures.rejected(errorCodes[code as KafkaErrorName], persisted), message, retriable: false }
  return { type: 'failed', code: 'recordRejected', errorCode: undefined, message, persisted, retriable: false }
}

async function* entriesFrom(log: KeyedLog, from: number): AsyncGenerator<StoredEntry> {
  for (let isAtEnd = false; !isAtEnd; ) {
    const read = await log.read({ fromSequence: from, maxBytes: READ_BYTES })
    yield* read.entries
    from = read.nextSequence
    isAtEnd = read.isAtEnd
  }
}
