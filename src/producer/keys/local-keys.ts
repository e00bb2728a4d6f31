import type { LogDirectory } from '../log/files.js'
import { AnsweredKeys, isPlace } from './answered-keys.js'
import { ClaimedKey, type KeyOutcome, type SettlingKey } from './claimed-key.js'
import type { KeptAnswer, KeyName, ReadFrame } from './key-frames.js'
import { KeyJournal } from './key-journal.js'
import { KeySpace } from './key-space.js'
import { type GivenReceipt, KeyedRecords } from './keyed-records.js'
import { type KeyedLog, LoggedRecords } from './logged-records.js'
import type { IdempotencySettings } from './settings.js'

/** A request with a key. Texts of one byte per character. */
export interface AskedKey {
  /** Hash of the client and the key; its last four characters are the same for all keys of the client. */
  readonly hash: string
  /** Hash of all that makes the request another one. */
  readonly fingerprint: string
}

/** The result of claiming a key: what its request may do. */
export type Claim =
  | { readonly type: 'claimed'; readonly key: ClaimedKey }
  | { readonly type: 'answered'; readonly answer: KeptAnswer }
  /** Another request with the key is still under way. */
  | { readonly type: 'busy' }
  | { readonly type: 'conflict' }
  | { readonly type: 'full'; readonly retryAfterMs: number }
  /** The answer cannot be read. */
  | { readonly type: 'away' }

export interface LocalKeysOptions extends IdempotencySettings {
  /** Epoch milliseconds. */
  readonly now: () => number
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
}

const LARGEST_FILE_BYTES = 64 * 1024 * 1024
/** A journal has at least so many files when it is full, so that expired ones can be removed. */
const FILES = 16
/** Memory of a key until its request has an answer, measured. */
const KEY_BYTES = 400
const SWEEP_MS = 1_000
/** Number of keys that are forgotten in one go: this takes less than a millisecond. */
const MAX_SWEPT = 1_000
/** A client whose key does not fit should not send it again before this time. */
const LEAST_RETRY_MS = 60_000
const BUSY = { type: 'busy' } as const
const CONFLICT = { type: 'conflict' } as const

/** The keys of requests to produce, which are carried out once each, for as long as they are remembered. */
export class LocalKeys {
  readonly logged = new LoggedRecords()
  readonly #options: LocalKeysOptions
  /** Keys whose answer is not in its final place yet, by hash, oldest claim first. */
  readonly #older = new Map<string, KeyedRecords>()
  /** The newest such key. Most are answered before the next claim, so they never enter the map. */
  #newest: KeyedRecords | undefined
  readonly #space: KeySpace
  readonly #answered: AnsweredKeys
  readonly #damaged = new Set<string>()
  #sweptAt = 0
  /** Some expired keys may not have been forgotten yet. */
  #hasExpired = false

  constructor(options: LocalKeysOptions) {
    this.#options = options
    this.#space = new KeySpace(options.maxBytes, () => this.logged.journal?.sizeBytes ?? 0)
    this.#answered = new AnsweredKeys(this.#space)
  }

  #begins(newest: KeyedRecords | undefined): void {
    if (this.#newest !== undefined) this.#older.set(this.#newest.key.hash, this.#newest)
    this.#newest = newest
  }

  get size(): number {
    return this.#older.size + Number(this.#newest !== undefined) + this.#answered.size
  }

  /** Memory of keys, answers and records. */
  get usedBytes(): number {
    return this.#space.memoryBytes
  }

  get damagedFiles(): number {
    return this.#damaged.size
  }

  /** Whether a request with the key has come to this process, and is under way, or its records or its answer are here. */
  knows(hash: string): boolean {
    return this.find(hash) !== undefined || this.#answered.has(hash)
  }

  /** @returns `undefined`: the key has an answer, or is not known */
  find(hash: string): KeyedRecords | undefined {
    if (this.#newest?.key.hash === hash) return this.#newest
    // Mostly there is none, and a look-up makes V8 hash a text that is used once.
    return this.#older.size === 0 ? undefined : this.#older.get(hash)
  }

  /** The receipt of the request with this key that is under way, as soon as all its records are on disk. */
  async receiptOf({ hash, fingerprint }: AskedKey, waitMs: number): Promise<GivenReceipt | undefined> {
    const records = this.find(hash)
    const isUnderWay = records?.state === 'busy' && records.key.fingerprint === fingerprint
    return isUnderWay ? records.receiptWithin(waitMs) : undefined
  }

  /**
   * Waits for another request with the same key.
   *
   * @param left ends the wait: the claim is not needed any more
   */
  async claimWithin(asked: AskedKey, waitMs: number, left?: Promise<void>): Promise<Claim> {
    const leaving = new AbortController()
    void left?.then(() => leaving.abort())
    const endsAt = performance.now() + waitMs
    for (let leftMs = waitMs; ; leftMs = endsAt - performance.now()) {
      const claim = leaving.signal.aborted ? BUSY : this.claim(asked)
      if (claim.type !== 'busy' || leftMs <= 0) return claim
      if (!(await this.find(asked.hash)!.waiters.wait(leftMs, leaving.signal))) return BUSY
    }
  }

  claim({ hash, fingerprint }: AskedKey): Claim {
    const atMs = this.#options.now()
    this.#sweep(atMs)
    const records = this.find(hash)
    const sinceMs = atMs - this.#options.windowMs
    if (records === undefined || (records.state !== 'busy' && records.key.atMs < sinceMs)) {
      if (records !== undefined) this.#forget(records)
      return this.#answerTo(hash, fingerprint, sinceMs) ?? this.#begin({ hash, fingerprint, atMs })
    }
    if (records.key.fingerprint !== fingerprint) return CONFLICT
    if (records.state === 'busy') return BUSY
    return records.state === 'answered' ? { type: 'answered', answer: records.answer! } : this.#claimed(records)
  }

  #answerTo(hash: string, fingerprint: string, sinceMs: number): Claim | undefined {
    const kept = this.#answered.answerTo(hash, fingerprint, sinceMs)
    if (kept === undefined) return undefined
    if (kept === 'conflict') return CONFLICT
    const answer = isPlace(kept) ? this.logged.journal?.answerAt(kept) : kept
    // The records may be in Kafka: carrying the request out once more would write them twice.
    return answer === undefined ? { type: 'away' } : { type: 'answered', answer }
  }

  #begin(key: KeyName): Claim {
    while (this.#hasExpired && this.#isFullFor(key.hash)) this.#hasExpired = this.#forgetExpired()
    return this.#isFullFor(key.hash) ? this.#full : this.#claimed(this.#add(key))
  }

  #isFullFor(hash: string): boolean {
    return this.#answered.isFull || this.#space.lacksFor(hash, KEY_BYTES)
  }

  /** The answer to a request for whose key there is no space. No space becomes free before the oldest key expires. */
  get #full(): Claim {
    const [oldestOpen = this.#newest] = this.#older.values()
    const oldest = Math.min(
      oldestOpen?.key.atMs ?? Number.POSITIVE_INFINITY,
      this.#answered.firstAtMs ?? Number.POSITIVE_INFINITY
    )
    const expiresAt = Number.isFinite(oldest) ? oldest + this.#options.windowMs : 0
    return { type: 'full', retryAfterMs: Math.max(LEAST_RETRY_MS, expiresAt - this.#options.now()) }
  }

  #add(key: KeyName): KeyedRecords {
    const records = new KeyedRecords(key, this.#space)
    this.#begins(records)
    records.use(KEY_BYTES)
    return records
  }

  #claimed(records: KeyedRecords): Claim {
    records.state = 'busy'
    return { type: 'claimed', key: new ClaimedKey(records, this) }
  }

  /** Ends a claim. @param settling called when an answer that is kept on disk survives the death of the process */
  settle(records: KeyedRecords, settlement: KeyOutcome, settling: SettlingKey): void {
    if (settlement === 'open') {
      records.state = 'open'
      this.#wake(records, settling)
      return
    }
    const { key, isDurable } = records
    const journal = isDurable ? this.logged.journal : undefined
    const answer = settlement === 'free' ? undefined : settlement
    this.#end(records)
    if (journal === undefined) {
      this.#remove(records)
      if (answer !== undefined) this.#answered.add(key, answer)
      this.#wake(records, settling)
      return
    }
    if (answer !== undefined) {
      records.state = 'answered'
      records.answer = answer
      records.use(bytesOf(answer))
    }
    this.#settleOnDisk(journal, records, answer, settling)
  }

  /** Writes to the journal. A method of its own: one with a function costs memory with each call. */
  #settleOnDisk(
    journal: KeyJournal,
    records: KeyedRecords,
    answer: KeptAnswer | undefined,
    settling: SettlingKey
  ): void {
    const { key } = records
    let isSettled = false
    // If there is no answer, the journal must forget the records: after a restart they would count for a later request
    // with the key.
    journal.add(key, answer === undefined ? { type: 'ended' } : { type: 'answered', answer }, undefined, place => {
      if (this.find(key.hash) === records && (answer === undefined || place !== undefined)) {
        this.#remove(records)
        // The answer is on disk, so it need not be in memory.
        if (answer !== undefined) this.#answered.add(key, place!)
      }
      if (!isSettled) this.#wake(records, settling)
      isSettled = true
    })
  }

  #wake(records: KeyedRecords, settling: SettlingKey): void {
    settling.settled()
    records.changed()
  }

  /** No answer needs the records any more. */
  #end(records: KeyedRecords): void {
    if (records.isEnded) return
    records.isEnded = true
    this.logged.forget(records)
  }

  #remove(records: KeyedRecords): void {
    if (this.#newest === records) this.#newest = undefined
    else this.#older.delete(records.key.hash)
    records.use(-records.usedBytes)
  }

  #forget(records: KeyedRecords): void {
    this.#end(records)
    this.#remove(records)
  }

  /** Keys of older claims have expired. */
  get #sinceMs(): number {
    return this.#options.now() - this.#options.windowMs
  }

  /** Forgets expired keys, in steps: after a quiet day there may be millions of them. */
  #sweep(nowMs: number): void {
    if (!this.#hasExpired && nowMs - this.#sweptAt < SWEEP_MS && nowMs >= this.#sweptAt) return
    this.#sweptAt = nowMs
    this.#options.report?.(this.#space.usedRatio)
    this.#hasExpired = this.#forgetExpired()
    this.logged.journal?.expire(this.#sinceMs)
  }

  /** Forgets expired keys, except those of requests under way. @returns whether more may be left */
  #forgetExpired(): boolean {
    let left = MAX_SWEPT
    this.#begins(undefined)
    for (const records of this.#older.values()) {
      if (records.key.atMs >= this.#sinceMs) break
      if (records.state === 'busy') continue
      this.#forget(records)
      if (--left === 0) return true
    }
    return this.#answered.expire(this.#sinceMs, left)
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
    const fileBytes = Math.min(LARGEST_FILE_BYTES, maxBytes / FILES)
    const journal = new KeyJournal({ directory, fileBytes, newSalt, onFailure, onDamage })
    const use = (): void => {
      journal.begin()
      this.logged.journal = journal
    }
    if (!KeyJournal.isIn(directory)) {
      this.logged.prepare(use)
      return
    }
    for (const frame of journal.read()) this.#restore(frame)
    use()
    await this.logged.scan(log, journal.bound, key => this.#restored(key))
    // If the log cannot be read, the keys stay open until they expire: their requests are neither carried out again nor answered.
    void this.logged.resolve(log).catch((error: unknown) => this.#options.onUnresolved?.(error))
    journal.expire(this.#sinceMs)
  }

  /** Takes note of a key of an earlier process. */
  #restore({ key, news, ...place }: ReadFrame & { readonly file: number }): void {
    if (news.type === 'ended' || news.type === 'answered') {
      const records = this.find(key.hash)
      if (records !== undefined) this.#forget(records)
      if (news.type === 'ended' || key.atMs < this.#sinceMs) return
      this.#answered.delete(key.hash)
      this.#answered.add(key, place)
      return
    }
    const records = this.#restored(key)
    if (records === undefined) return
    if (news.type === 'outcome') {
      records.isDurable = true
      records.conclude(news.index, news.outcome)
      return
    }
    for (let nth = 0; nth < news.count; nth++) this.logged.isAt(records, news.index + nth, news.sequence + nth)
  }

  /** The records of an earlier process. @returns `undefined`: their key has an answer, or has expired */
  #restored(key: KeyName): KeyedRecords | undefined {
    if (key.atMs < this.#sinceMs || this.#answered.has(key.hash)) return undefined
    const records = this.find(key.hash) ?? this.#add(key)
    records.state = 'open'
    return records
  }

  close(): void {
    this.logged.journal?.close()
  }
}

const bytesOf = ({ headers, body }: KeptAnswer): number =>
  headers.reduce((sum, [name, value]) => sum + name.length + value.length, body.length)
