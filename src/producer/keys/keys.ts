import type { ProduceRecord, RecordOutcome } from '../../core/model.js'
import type { LogDirectory } from '../log/files.js'
import type { ProduceOptions } from '../memory/delivery.js'
import { failures } from '../memory/failures.js'
import type { KeyTag } from '../memory/key-tag.js'
import type { PendingProduce } from '../memory/pending-produce.js'
import type { RecordPlaces } from '../receipts/receipts.js'
import type { KeptAnswer, KeyName } from './key-frames.js'
import { type KeyedLog, KeyHolder } from './key-holder.js'
import { KeyJournal } from './key-journal.js'
import { KeyStore, type KeyStoreOptions, type Settlement, type Verdict } from './key-store.js'
import { AttachedProduce, type GivenReceipt, KeyedRecords, type StoredRecords } from './keyed-records.js'

/** A request with a key. Texts of one byte per character. */
export interface AskedKey {
  /** Hash of the client and the key; its last four characters are the same for all keys of the client. */
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
  | { readonly type: 'full'; readonly retryAfterMs: number }
  /** A process that knows the key does not answer, or cannot read the answer. @param why it, if it is known */
  | { readonly type: 'away'; readonly why?: string }

/** Called when a claim begins to wait for another request with its key. @param end to be called when the claim is not needed any more */
export type OnWait = (end: () => void) => void

/** The keys of requests to produce, which are carried out once each. */
export interface Keys {
  /** Where a key is known: at this gateway only, or at all gateways of the deployment. */
  readonly reach: 'gateway' | 'deployment'
  /** @param waitMs how long to wait for another request with the same key */
  claim(asked: AskedKey, waitMs: number, onWait?: OnWait): Claim | Promise<Claim>
  /** The receipt of the request with this key that is under way, as soon as all its records are on disk. */
  receiptOf(asked: AskedKey, waitMs: number): Promise<GivenReceipt | undefined>
}

/** One letter for each record of the request, as `persistedText` has them. */
const LETTERS = /^[ynup]+$/

/** Accepts records, as `Delivery` does. */
type Accept = (records: readonly ProduceRecord[], tag: KeyTag) => PendingProduce

/** A request that has claimed its key: it produces its records, and then has an answer. */
export class ClaimedKey {
  readonly #records: KeyedRecords
  readonly #holder: KeyHolder
  readonly #settle: (settlement: Settlement, settled: () => void) => void
  #given = 0
  /** Calls whose records may still be accepted. */
  #underWay = 0
  /** Calls whose records are all accepted in memory, and whose outcomes are not followed yet. */
  #unfollowed: (() => void)[] | undefined
  #isEnded = false

  /** @param settle notifies the owner of the key */
  constructor(records: KeyedRecords, holder: KeyHolder, settle: (settlement: Settlement, settled: () => void) => void) {
    this.#records = records
    this.#holder = holder
    this.#settle = settle
    records.given(undefined)
  }

  /** All records of the request are on disk. A request that comes again may get the same receipt. */
  given(receipt: GivenReceipt): void {
    this.#records.given(receipt)
  }

  /**
   * Produces records of the request, except those that were accepted when the request came before.
   *
   * @param attached called when no record is missing, with those that are in the durable log
   * @param places which records of the request these are; absent: those that follow the last ones
   */
  produce(
    sent: readonly ProduceRecord[],
    options: ProduceOptions,
    accept: Accept,
    attached?: (stored: StoredRecords) => void,
    places?: RecordPlaces
  ): PendingProduce {
    const from = this.#given
    const count = places?.count ?? sent.length
    this.#given += count
    const records = this.#isEnded ? refusedRecords(this.#records.key, from, count) : this.#records
    const call = new CallTag(records, this.#holder, from, places?.indexes)
    // A request that is answered without outcomes gets the same answer when it comes again.
    if (options.answeredBy === undefined && options.deadlineMs > 0) records.isAwaited = true
    if (options.durability === 'disk') this.#holder.begin()
    const missing = missingOf(records, call, sent.length)
    if (missing === undefined) {
      records.isSent = true
      const all = accept(sent, call)
      this.#note(all, options, call, sent.length)
      return all
    }
    const indexes = sent.map((_, at) => call.indexOf(at))
    if (missing.length === 0) {
      const stored = records.storedAt(indexes)
      if (stored !== undefined) attached?.(stored)
      return new AttachedProduce(records, indexes, options, undefined)
    }
    const missingIndexes = missing.map(at => indexes[at]!)
    const tag = new CallTag(records, this.#holder, 0, missingIndexes)
    records.isSent = true
    const rest = accept(
      missing.map(at => sent[at]!),
      tag
    )
    this.#note(rest, options, tag, missing.length)
    return new AttachedProduce(records, indexes, options, rest)
  }

  /** Notes outcomes, so that the request can be answered when it comes again. */
  #note(rest: PendingProduce, options: ProduceOptions, tag: CallTag, count: number): void {
    const isInMemory = options.durability !== 'disk'
    // Most requests are answered without outcomes: only a key that stays open needs them.
    if (isInMemory && options.answeredBy !== undefined && rest.isWaiting !== true && rest.refused === undefined) {
      for (let at = 0; at < count; at++) tag.accepted(at)
      ;(this.#unfollowed ??= []).push(() => this.#follow(rest, isInMemory, tag))
    } else this.#follow(rest, isInMemory, tag)
  }

  #follow(rest: PendingProduce, isInMemory: boolean, tag: CallTag): void {
    this.#underWay++
    const noted = isInMemory
      ? rest.outcomes().then(outcomes => outcomes.forEach((outcome, at) => tag.settledLate(at, outcome)))
      : // Records in the log are known by their sequences.
        rest.accepted().then(refused => refused?.forEach((failure, at) => failure && tag.settledLate(at, failure)))
    void noted.finally(() => this.#underWay--)
  }

  /** Notes the outcomes of all calls from now on: the request gets no answer that can be given again. */
  #followAll(): void {
    for (const follow of this.#unfollowed ?? []) follow()
    this.#unfollowed = undefined
  }

  /**
   * What an answer may say of the records: an API may refuse a request that comes again before it sends its records, and
   * those sent before may be in Kafka.
   */
  told(persisted: string): string {
    const { isEmpty, isRefused, isDead, count } = this.#records
    if (persisted === 'no') return isEmpty || isRefused || (isDead && this.#given >= count) ? 'no' : 'unknown'
    if (!LETTERS.test(persisted)) return persisted
    return persisted.replaceAll('n', (letter, index: number) => (this.#records.mayBeIn(index) ? 'u' : letter))
  }

  /**
   * The request has an answer.
   *
   * @param persisted whether the records are in Kafka, as in the header of the answer
   * @param settled called when the answer may leave
   */
  answered(answer: KeptAnswer, persisted: string, settled: () => void): void {
    if (this.#isEnded) {
      settled()
      return
    }
    this.#isEnded = true
    const settlement = settlementOf(answer, this.told(persisted), this.#records)
    if (settlement.type === 'answered') this.#unfollowed = undefined
    else this.#followAll()
    this.#settle(settlement, settled)
  }

  /**
   * The request has ended, and gets no answer from its API: another one may have the key. Records that the API still sends
   * are refused.
   *
   * @returns false: records may still be accepted, so the key cannot be given to another request yet
   */
  abandon(): boolean {
    if (this.#isEnded) return true
    this.#followAll()
    if (this.#underWay > 0) return false
    this.#isEnded = true
    this.#settle({ type: this.#records.isEmpty ? 'free' : 'open' }, () => undefined)
    return true
  }
}

/** The places of the records that were not accepted before; `undefined`: all of them. */
function missingOf(records: KeyedRecords, call: CallTag, count: number): readonly number[] | undefined {
  if (records.isEmpty) return undefined
  const missing: number[] = []
  for (let at = 0; at < count; at++) if (!records.has(call.indexOf(at))) missing.push(at)
  return missing.length === count ? undefined : missing
}

/** The records of one call of a request with a key. */
class CallTag implements KeyTag {
  readonly #records: KeyedRecords
  readonly #holder: KeyHolder
  readonly #from: number
  readonly #indexes: readonly number[] | undefined

  /** @param indexes of its records, counted from `from`; absent: they follow each other */
  constructor(records: KeyedRecords, holder: KeyHolder, from: number, indexes: readonly number[] | undefined) {
    this.#records = records
    this.#holder = holder
    this.#from = from
    this.#indexes = indexes
  }

  get hash(): string {
    return this.#records.key.hash
  }

  get fingerprint(): string {
    return this.#records.key.fingerprint
  }

  indexOf(at: number): number {
    return this.#from + (this.#indexes === undefined ? at : this.#indexes[at]!)
  }

  stored(index: number, sequence: number): void {
    this.#holder.stored(this.#records, index, sequence)
  }

  accepted(at: number): void {
    this.#records.accepted(this.indexOf(at))
  }

  settledLate(at: number, outcome: RecordOutcome): void {
    this.#records.settle(this.indexOf(at), outcome)
  }
}

/** Records of a request that has lost its key. */
function refusedRecords(key: KeyName, from: number, count: number): KeyedRecords {
  const records = new KeyedRecords(key)
  const refusal = failures.timedOut('the request had ended before it sent the record', 'no')
  for (let index = from; index < from + count; index++) records.settle(index, refusal)
  return records
}

function settlementOf(answer: KeptAnswer, persisted: string, records: KeyedRecords): Settlement {
  if (persisted === 'no' && !records.isDead) return { type: 'free' }
  const isCertain =
    persisted === 'yes' || (records.isAwaited ? /^(no|[yn]+)$/ : /^(no|pending|[ynp]+)$/).test(persisted)
  return isCertain ? { type: 'answered', answer, onDisk: records.isDurable } : { type: 'open' }
}

export interface LocalKeysOptions extends KeyStoreOptions {
  /** A random 32-bit number. */
  readonly newSalt: () => number
  /** Called when keys could not be written yet; they are lost if the process dies. */
  readonly onFailure: (error: unknown) => void
  /** Called when it cannot be read what became of requests of earlier processes. Absent: that is not reported. */
  readonly onUnresolved?: ((error: unknown) => void) | undefined
  /** Called with the name of a file of keys that cannot be read as a whole. Absent: damage is not reported. */
  readonly onDamage?: ((file: string) => void) | undefined
  /** Called now and then while requests have keys, with the used share of `maxBytes`. */
  readonly report?: ((usedRatio: number) => void) | undefined
  /** Names this process among those that serve together. Default: it is the only one. */
  readonly name?: string | undefined
  /** Whether this process is the owner of a key. Default: of all. */
  readonly owns?: ((hash: string) => boolean) | undefined
}

const LARGEST_FILE_BYTES = 64 * 1024 * 1024
/** A journal has at least so many files when it is full, so that expired ones can be removed. */
const FILES = 16
const EXPIRE_MS = 1_000
const CLAIMS_OF_PROCESS = 2 ** 20

/** The keys of one process: those that it owns, and the records that it has accepted. */
export class LocalKeys implements Keys {
  readonly reach = 'gateway'
  readonly name: string
  readonly store: KeyStore
  readonly holder: KeyHolder
  /** Opens the durable log, which has the journal of keys. */
  openLog: (() => Promise<void>) | undefined
  readonly #options: LocalKeysOptions
  readonly #owns: (hash: string) => boolean
  #journal: KeyJournal | undefined
  readonly #damaged = new Set<string>()
  #expiredAt = 0
  #nextClaim: number

  constructor(options: LocalKeysOptions) {
    this.#options = options
    this.#nextClaim = options.newSalt() * CLAIMS_OF_PROCESS
    this.name = options.name ?? ''
    this.#owns = options.owns ?? (() => true)
    this.store = new KeyStore(options, hash => this.holder.forget(hash))
    this.holder = new KeyHolder((hash, records) => this.store.hold(hash, records))
  }

  /** Files in which damage was found. */
  get damagedFiles(): number {
    return this.#damaged.size
  }

  receiptOf(asked: AskedKey, waitMs: number): Promise<GivenReceipt | undefined> {
    return this.holder.receiptOf(asked, waitMs)
  }

  claim(asked: AskedKey, waitMs: number, onWait?: OnWait): Claim | Promise<Claim> {
    const key = this.nameOf(asked)
    const claim = this.nextClaim()
    const verdict = this.verdictOn(key, this.name, claim, waitMs, onWait)
    return verdict instanceof Promise
      ? verdict.then(late => this.#claimOf(key, claim, late))
      : this.#claimOf(key, claim, verdict)
  }

  /** A number for a claim of this process. Processes begin at random numbers, so that no two claims have the same. */
  nextClaim(): number {
    return this.#nextClaim++
  }

  /** The key of a request that comes now. */
  nameOf({ hash, fingerprint }: AskedKey): KeyName {
    const atMs = this.#options.now()
    if (atMs - this.#expiredAt >= EXPIRE_MS) {
      this.#expiredAt = atMs
      this.holder.expire(this.store.sinceMs)
      this.#options.report?.(this.store.usedRatio)
    }
    return { hash, fingerprint, atMs }
  }

  /**
   * What a request is told for whose key this process is the owner. It waits for an earlier one with the same key.
   *
   * @param claimer the process that has the request
   * @param claim the number of the request there
   */
  verdictOn(key: KeyName, claimer: string, claim: number, waitMs: number, onWait?: OnWait): Verdict | Promise<Verdict> {
    const take = (): Verdict => this.store.claim(key, claimer, claim)
    const verdict = take()
    return verdict.type === 'busy' && waitMs > 0 ? this.#wait(take, key.hash, waitMs, onWait) : verdict
  }

  async #wait(take: () => Verdict, hash: string, waitMs: number, onWait?: OnWait): Promise<Verdict> {
    const left = new AbortController()
    onWait?.(() => left.abort())
    const endsAt = performance.now() + waitMs
    for (let leftMs = waitMs; leftMs > 0; leftMs = endsAt - performance.now()) {
      if (!(await this.store.settled(hash, leftMs, left.signal))) break
      const verdict = take()
      if (verdict.type !== 'busy') return verdict
    }
    return { type: 'busy' }
  }

  #claimOf(key: KeyName, claim: number, verdict: Verdict): Claim {
    if (verdict.type !== 'new' && verdict.type !== 'attach') return verdict
    if (verdict.type === 'new') return this.claimed(this.holder.ofNew(key, this.store.sinceMs), key, claim)
    const first = { ...key, atMs: verdict.atMs }
    return this.claimed(this.holder.of(first), first, claim)
  }

  /** A claim of this process on a key whose owner it is. */
  claimed(records: KeyedRecords, key: KeyName, claim: number): Claim {
    records.claim = claim
    const settleOwn = (settlement: Settlement, settled: () => void): void => {
      records.claim = undefined
      const settle = (): void => this.settle(key, claim, settlement, settled)
      if (settlement.type === 'free') {
        this.holder.endWritten(records, settle)
        return
      }
      if (settlement.type === 'open') records.isOpen = true
      else this.holder.end(records)
      settle()
    }
    return { type: 'claimed', key: new ClaimedKey(records, this.holder, settleOwn) }
  }

  /**
   * Ends a claim on a key whose owner this process is.
   *
   * @param settled called with whether an answer is kept: on disk where it has to be, unless this process has no durable log
   */
  settle(key: KeyName, claim: number, settlement: Settlement, settled: (isKept: boolean) => void): void {
    const onDisk = settlement.type === 'answered' && settlement.onDisk
    const keep = (isPossible: boolean): void =>
      this.store.settle(key, claim, settlement, () =>
        settled(isPossible && this.store.isAnswered(key.hash, onDisk && this.#journal !== undefined))
      )
    if (!onDisk || this.#journal !== undefined) {
      keep(true)
      return
    }
    const failed = (error: unknown): void => {
      this.#options.onFailure(error)
      keep(false)
    }
    try {
      this.holder.begin()
    } catch (error) {
      failed(error)
      return
    }
    if (this.#journal !== undefined || this.openLog === undefined) keep(true)
    // The records are in the log of another process.
    else this.openLog().then(() => keep(true), failed)
  }

  /**
   * Reads the keys of an earlier process, before the records in its durable log are delivered.
   *
   * @param directory that of the durable log
   */
  async opened(log: KeyedLog, directory: LogDirectory): Promise<void> {
    const { maxBytes, newSalt, onFailure } = this.#options
    const onDamage = (file: string): void => {
      this.#damaged.add(file)
      this.#options.onDamage?.(file)
    }
    const create = (): KeyJournal => {
      const fileBytes = Math.min(LARGEST_FILE_BYTES, maxBytes / FILES)
      return new KeyJournal({ directory, fileBytes, newSalt, onFailure, onDamage })
    }
    const use = (journal: KeyJournal): void => {
      journal.begin(journal.bound)
      this.#journal = journal
      this.holder.use(journal)
      this.store.use(journal)
    }
    if (KeyJournal.isIn(directory)) await this.#restore(create(), log, use)
    else this.holder.prepare(() => use(create()))
  }

  async #restore(journal: KeyJournal, log: KeyedLog, use: (journal: KeyJournal) => void): Promise<void> {
    const { sinceMs } = this.store
    for (const frame of journal.read()) {
      if (frame.key.atMs < sinceMs) continue
      if (this.#owns(frame.key.hash)) this.store.restore(frame, this.name)
      this.holder.restore(frame)
    }
    use(journal)
    await this.holder.scan(log, journal.bound, sinceMs)
    for (const { key } of this.holder.all) if (this.#owns(key.hash)) this.store.open(key, this.name)
    // Where that cannot be read, the keys stay open until they expire: their requests are neither repeated nor answered.
    void this.holder.resolve(log).catch((error: unknown) => this.#options.onUnresolved?.(error))
    journal.expire(sinceMs)
  }

  close(): void {
    this.#journal?.close()
  }
}
