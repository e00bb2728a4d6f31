import type { ProduceRecord, RecordOutcome } from '../../core/model.js'
import type { LogDirectory } from '../log/files.js'
import type { ProduceOptions } from '../memory/delivery.js'
import type { KeyTag } from '../memory/key-tag.js'
import type { PendingProduce } from '../memory/pending-produce.js'
import type { KeptAnswer, KeyName } from './key-frames.js'
import { type KeyedLog, KeyHolder } from './key-holder.js'
import { KeyJournal } from './key-journal.js'
import { KeyStore, type KeyStoreOptions, type Settlement, type Verdict } from './key-store.js'
import { AttachedProduce, type KeyedRecords } from './keyed-records.js'

/** A request with a key. Texts of one byte per character. */
export interface AskedKey {
  /** Hash of the client and the key. */
  readonly hash: string
  /** Hash of all that makes the request another one. */
  readonly fingerprint: string
}

/** What a request with a key may do. */
export type Claim =
  | { readonly type: 'claimed'; readonly key: ClaimedKey }
  | { readonly type: 'answered'; readonly answer: KeptAnswer }
  /** Another request with the key is still under way. */
  | { readonly type: 'busy' }
  | { readonly type: 'conflict' }
  | { readonly type: 'full' }
  /** The process that knows the key does not answer. */
  | { readonly type: 'away' }

/** The keys of requests to produce, which are carried out once each. */
export interface Keys {
  /** Where a key is known: at this gateway only, or at all gateways of the deployment. */
  readonly reach: 'gateway' | 'deployment'
  /** @param waitMs how long to wait for another request with the same key */
  claim(asked: AskedKey, waitMs: number): Claim | Promise<Claim>
}

/** Accepts records, as `Delivery` does. */
type Accept = (records: readonly ProduceRecord[], tag: KeyTag) => PendingProduce

/** A request that has claimed its key: it produces its records, and then has an answer. */
export class ClaimedKey {
  readonly #records: KeyedRecords
  readonly #holder: KeyHolder
  readonly #settle: (settlement: Settlement, settled?: () => void) => void
  #given = 0

  /** @param settle notifies the owner of the key */
  constructor(
    records: KeyedRecords,
    holder: KeyHolder,
    settle: (settlement: Settlement, settled?: () => void) => void
  ) {
    this.#records = records
    this.#holder = holder
    this.#settle = settle
  }

  /** Produces records of the request, except those that were accepted when the request came before. */
  produce(sent: readonly ProduceRecord[], options: ProduceOptions, accept: Accept): PendingProduce {
    const from = this.#given
    this.#given += sent.length
    const records = this.#records
    // A request that is answered without outcomes gets the same answer when it comes again.
    if (options.answeredBy === undefined && options.deadlineMs > 0) records.isAwaited = true
    if (options.durability === 'disk') this.#holder.begin()
    const missing = sent.flatMap((_, at) => (records.has(from + at) ? [] : [at]))
    if (missing.length === 0) return new AttachedProduce(records, from, sent, options, undefined)
    const settle = (at: number, outcome: RecordOutcome): void => records.settle(from + missing[at]!, outcome)
    const rest = accept(missing.length === sent.length ? sent : missing.map(at => sent[at]!), {
      hash: records.key.hash,
      fingerprint: records.key.fingerprint,
      indexOf: at => from + missing[at]!,
      stored: (index, sequence) => this.#holder.stored(records, index, sequence),
      settledLate: settle
    })
    this.#follow(rest, options, settle)
    return missing.length === sent.length ? rest : new AttachedProduce(records, from, sent, options, rest)
  }

  /** Notes outcomes, so that the request can be answered when it comes again. */
  #follow(
    rest: PendingProduce,
    { durability }: ProduceOptions,
    settle: (at: number, outcome: RecordOutcome) => void
  ): void {
    if (durability === 'disk') {
      // Records in the log are known by their sequences.
      void rest.accepted().then(refused => refused?.forEach((failure, at) => failure && settle(at, failure)))
    } else void rest.outcomes().then(outcomes => outcomes.forEach((outcome, at) => settle(at, outcome)))
  }

  /**
   * The request has an answer.
   *
   * @param persisted whether the records are in Kafka, as in the header of the answer
   * @param settled called when the answer may leave
   */
  answered(answer: KeptAnswer, persisted: string, settled: () => void): void {
    const records = this.#records
    const settlement = settlementOf(answer, persisted, records)
    if (settlement.type !== 'open') this.#holder.end(records)
    else records.isOpen = true
    this.#settle(settlement, settled)
  }
}

function settlementOf(answer: KeptAnswer, persisted: string, records: KeyedRecords): Settlement {
  if (persisted === 'no') return { type: 'free' }
  const isCertain = persisted === 'yes' || (records.isAwaited ? /^[yn]+$/ : /^(pending|[ynp]+)$/).test(persisted)
  return isCertain ? { type: 'answered', answer, onDisk: records.isDurable } : { type: 'open' }
}

export interface LocalKeysOptions extends KeyStoreOptions {
  /** A random 32-bit number. */
  readonly newSalt: () => number
  /** Called when keys could not be written; they are lost if the process dies. */
  readonly onFailure: (error: unknown) => void
}

/** Name of this process as the holder of records. */
const HERE = ''
const LARGEST_FILE_BYTES = 64 * 1024 * 1024
/** A journal has at least so many files when it is full, so that expired ones can be removed. */
const FILES = 16

/** The keys of a process that is the only one. */
export class LocalKeys implements Keys {
  readonly reach = 'gateway'
  readonly store: KeyStore
  readonly holder: KeyHolder
  readonly #options: LocalKeysOptions
  #journal: KeyJournal | undefined

  constructor(options: LocalKeysOptions) {
    this.#options = options
    this.holder = new KeyHolder()
    this.store = new KeyStore(options, hash => this.holder.forget(hash))
  }

  claim({ hash, fingerprint }: AskedKey, waitMs: number): Claim | Promise<Claim> {
    const key = { hash, fingerprint, atMs: this.#options.now() }
    const verdict = this.store.claim(key, HERE)
    return verdict.type === 'busy' ? this.#wait(key, verdict.settled, waitMs) : this.#claimOf(key, verdict)
  }

  async #wait(key: KeyName, settled: Promise<void>, waitMs: number): Promise<Claim> {
    let isLate = false
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(() => {
        isLate = true
        resolve()
      }, waitMs)
    })
    try {
      for (let next: Promise<void> | undefined = settled; next !== undefined && !isLate; ) {
        await Promise.race([next, late])
        if (isLate) break
        const verdict = this.store.claim(key, HERE)
        if (verdict.type !== 'busy') return this.#claimOf(key, verdict)
        next = verdict.settled
      }
      return { type: 'busy' }
    } finally {
      clearTimeout(timer)
    }
  }

  #claimOf(key: KeyName, verdict: Exclude<Verdict, { type: 'busy' }>): Claim {
    if (verdict.type !== 'new' && verdict.type !== 'attach') return verdict
    const settle = (settlement: Settlement, settled?: () => void): void => this.store.settle(key, settlement, settled)
    return { type: 'claimed', key: new ClaimedKey(this.holder.of(key), this.holder, settle) }
  }

  /**
   * Reads the keys of an earlier process, before the records in its durable log are delivered.
   *
   * @param directory that of the durable log
   */
  async opened(log: KeyedLog, directory: LogDirectory): Promise<void> {
    const { maxBytes, newSalt, onFailure } = this.#options
    const had = KeyJournal.isIn(directory)
    const create = (): KeyJournal => {
      const fileBytes = Math.min(LARGEST_FILE_BYTES, maxBytes / FILES)
      return new KeyJournal({ directory, fileBytes, newSalt, onFailure })
    }
    const use = (journal: KeyJournal): void => {
      this.#journal = journal
      this.holder.use(journal)
      this.store.use(journal)
    }
    if (had) await this.#restore(create(), log, use)
    else this.holder.prepare(() => use(created(create())))
  }

  async #restore(journal: KeyJournal, log: KeyedLog, use: (journal: KeyJournal) => void): Promise<void> {
    for (const frame of journal.read()) {
      if (frame.key.atMs < this.store.sinceMs) continue
      this.store.restore(frame, HERE)
      this.holder.restore(frame)
    }
    journal.begin(journal.bound)
    use(journal)
    await this.holder.scan(log, journal.bound, this.store.sinceMs)
    for (const { key } of this.holder.all) this.store.open(key, HERE)
    void this.holder.resolve(log)
    journal.expire(this.store.sinceMs)
  }

  close(): void {
    this.#journal?.close()
  }
}

function created(journal: KeyJournal): KeyJournal {
  journal.begin(0)
  return journal
}
