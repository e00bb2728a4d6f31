import { Waiters } from '../../core/waiters.js'
import type { LogDirectory } from '../log/files.js'
import { AnsweredKeys, type AnswerOrPlace, isPlace } from './answered-keys.js'
import { BriefMap } from './brief-map.js'
import { ClaimedKey, type Settlement } from './claimed-key.js'
import type { KeptAnswer, KeyName, ReadFrame } from './key-frames.js'
import { KeyJournal } from './key-journal.js'
import { KeySpace, RECORD_BYTES } from './key-space.js'
import { type GivenReceipt, KeyedRecords } from './keyed-records.js'
import { type KeyedLog, LoggedRecords } from './logged-records.js'

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
  /** The answer cannot be read. */
  | { readonly type: 'away' }

export interface LocalKeysOptions {
  /** How long a key is remembered after it was claimed. */
  readonly windowMs: number
  /** Memory for keys and answers, and space on the disk; each may take this much. */
  readonly maxBytes: number
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
/** So many keys are forgotten in less than a millisecond. */
const MAX_SWEPT = 1_000
/** A client whose key does not fit should not send it again before this time. */
const LEAST_RETRY_MS = 60_000
const BUSY = { type: 'busy' } as const
const CONFLICT = { type: 'conflict' } as const

/** The keys of requests to produce, which are carried out once each, for as long as they are remembered. */
export class LocalKeys {
  readonly logged = new LoggedRecords()
  readonly #options: LocalKeysOptions
  /** Keys without an answer that is where it stays, by hash, in the order of their claims. */
  readonly #open = new BriefMap<KeyedRecords>()
  readonly #answered = new AnsweredKeys()
  readonly #space: KeySpace
  readonly #damaged = new Set<string>()
  #sweptAt = 0
  /** There may be expired keys that are not forgotten yet. */
  #hasExpired = false

  constructor(options: LocalKeysOptions) {
    this.#options = options
    this.#space = new KeySpace(options.maxBytes, () => this.logged.journal?.sizeBytes ?? 0)
  }

  get size(): number {
    return this.#open.size + this.#answered.size
  }

  /** Memory of keys, answers and records. */
  get usedBytes(): number {
    return this.#space.memoryBytes
  }

  /** Files in which damage was found. */
  get damagedFiles(): number {
    return this.#damaged.size
  }

  /** Whether a request with the key has come to this process, and is under way, or its records or its answer are here. */
  knows(hash: string): boolean {
    return this.#open.has(hash) || this.#answered.find(hash) >= 0
  }

  /** @returns `undefined`: the key has an answer, or is not known */
  find(hash: string): KeyedRecords | undefined {
    return this.#open.get(hash)
  }

  /** The receipt of the request with this key that is under way, as soon as all its records are on disk. */
  async receiptOf({ hash, fingerprint }: AskedKey, waitMs: number): Promise<GivenReceipt | undefined> {
    const records = this.#open.get(hash)
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
      const { waiters = new Waiters() } = this.#open.get(asked.hash)!
      this.#open.get(asked.hash)!.waiters = waiters
      if (!(await waiters.wait(leftMs, leaving.signal))) return BUSY
    }
  }

  claim({ hash, fingerprint }: AskedKey): Claim {
    const atMs = this.#options.now()
    this.#sweep(atMs)
    let records = this.#open.get(hash)
    if (records !== undefined && records.state !== 'busy' && records.key.atMs < this.#sinceMs) {
      this.#forget(records)
      records = undefined
    }
    if (records === undefined) return this.#answerOf(hash, fingerprint) ?? this.#begin({ hash, fingerprint, atMs })
    if (records.key.fingerprint !== fingerprint) return CONFLICT
    if (records.state === 'busy') return BUSY
    return records.state === 'answered' ? { type: 'answered', answer: records.answer! } : this.#claimed(records)
  }

  #answerOf(hash: string, fingerprint: string): Claim | undefined {
    const row = this.#answered.find(hash)
    if (row < 0) return undefined
    if (this.#answered.atMsOf(row) < this.#sinceMs) {
      this.#deleteRow(hash, row)
      return undefined
    }
    if (!this.#answered.isOf(row, fingerprint)) return CONFLICT
    const kept = this.#answered.answerOf(row)
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

  /** What a request is told for whose key there is no space: none is freed before the oldest key expires. */
  get #full(): Claim {
    const unanswered = this.#open.values().next().value?.key.atMs ?? Number.POSITIVE_INFINITY
    const oldest = Math.min(unanswered, this.#answered.firstAtMs ?? Number.POSITIVE_INFINITY)
    const expiresAt = Number.isFinite(oldest) ? oldest + this.#options.windowMs : 0
    return { type: 'full', retryAfterMs: Math.max(LEAST_RETRY_MS, expiresAt - this.#options.now()) }
  }

  #add(key: KeyName): KeyedRecords {
    const records = new KeyedRecords(key, this.#space)
    this.#open.add(key.hash, records)
    this.#space.use(key.hash, KEY_BYTES)
    return records
  }

  #claimed(records: KeyedRecords): Claim {
    records.state = 'busy'
    return { type: 'claimed', key: new ClaimedKey(records, this) }
  }

  /** Ends a claim. @param settled called when an answer that is kept on disk survives the death of the process */
  settle(records: KeyedRecords, settlement: Settlement, settled: () => void): void {
    switch (settlement.type) {
      case 'open':
        records.state = 'open'
        this.#wake(records, settled)
        break
      case 'free':
        this.#free(records, settled)
        break
      case 'answered':
        this.#answer(records, settlement.answer, settled)
    }
  }

  /** After a restart the records must not count as those of a request that comes later. */
  #free(records: KeyedRecords, settled: () => void): void {
    const journal = records.isDurable ? this.logged.journal : undefined
    this.#end(records)
    const free = (): void => {
      if (this.#open.get(records.key.hash) !== records) return
      this.#remove(records)
      this.#wake(records, settled)
    }
    if (journal === undefined) free()
    else journal.add(records.key, { type: 'ended' }, undefined, free)
  }

  #answer(records: KeyedRecords, answer: KeptAnswer, settled: () => void): void {
    const journal = records.isDurable ? this.logged.journal : undefined
    this.#end(records)
    if (journal === undefined) {
      this.#keep(records, answer)
      this.#wake(records, settled)
      return
    }
    records.state = 'answered'
    records.answer = answer
    const answerBytes = bytesOf(answer)
    this.#space.use(records.key.hash, answerBytes)
    let isSettled = false
    journal.add(records.key, { type: 'answered', answer }, undefined, place => {
      // The answer is on disk, so it need not be in memory.
      if (place !== undefined && this.#open.get(records.key.hash) === records) this.#keep(records, place)
      if (!isSettled) this.#wake(records, settled)
      isSettled = true
    })
  }

  #wake(records: KeyedRecords, settled: () => void): void {
    const { waiters } = records
    records.waiters = undefined
    settled()
    waiters?.wake()
  }

  /** The key has an answer that is where it stays. */
  #keep(records: KeyedRecords, answer: AnswerOrPlace): void {
    this.#remove(records)
    this.#addRow(records.key, answer)
  }

  #addRow(key: KeyName, answer: AnswerOrPlace): void {
    const row = this.#answered.add(key, answer)
    this.#space.use(key.hash, this.#answered.memoryOf(row), this.#answered.diskBytesOf(row))
  }

  #deleteRow(hash: string, row: number): void {
    this.#space.use(hash, -this.#answered.memoryOf(row), -this.#answered.diskBytesOf(row))
    this.#answered.delete(row)
  }

  /** No answer needs the records any more. */
  #end(records: KeyedRecords): void {
    if (records.isEnded) return
    this.#space.use(records.key.hash, -records.count * RECORD_BYTES)
    records.isEnded = true
    this.logged.forget(records)
  }

  #remove({ key: { hash }, answer }: KeyedRecords): void {
    this.#open.delete(hash)
    this.#space.use(hash, -KEY_BYTES - bytesOf(answer))
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

  /** Those of requests that are under way stay. @returns whether more may be left */
  #forgetExpired(): boolean {
    let left = MAX_SWEPT
    for (const records of this.#open.values()) {
      if (records.key.atMs >= this.#sinceMs) break
      if (records.state === 'busy') continue
      this.#forget(records)
      if (--left === 0) return true
    }
    for (const { hash, row } of this.#answered.expired(this.#sinceMs)) {
      this.#deleteRow(hash, row)
      if (--left === 0) return true
    }
    return false
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
      this.logged.journal = journal
    }
    if (!KeyJournal.isIn(directory)) {
      this.logged.prepare(() => use(create()))
      return
    }
    const journal = create()
    for (const frame of journal.read()) this.#restore(frame)
    use(journal)
    await this.logged.scan(log, journal.bound, key => this.#restored(key))
    // Where that cannot be read, the keys stay open until they expire: their requests are neither repeated nor answered.
    void this.logged.resolve(log).catch((error: unknown) => this.#options.onUnresolved?.(error))
    journal.expire(this.#sinceMs)
  }

  /** Takes note of a key of an earlier process. */
  #restore({ key, news, file, offset, sizeBytes }: ReadFrame & { readonly file: number }): void {
    if (news.type === 'ended' || news.type === 'answered') {
      const records = this.#open.get(key.hash)
      if (records !== undefined) this.#forget(records)
      if (news.type === 'ended' || key.atMs < this.#sinceMs) return
      const row = this.#answered.find(key.hash)
      if (row >= 0) this.#deleteRow(key.hash, row)
      this.#addRow(key, { file, offset, sizeBytes })
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
    if (key.atMs < this.#sinceMs || this.#answered.find(key.hash) >= 0) return undefined
    const records = this.#open.get(key.hash) ?? this.#add(key)
    records.state = 'open'
    return records
  }

  close(): void {
    this.logged.journal?.close()
  }
}

const bytesOf = (answer: KeptAnswer | undefined): number => {
  if (answer === undefined) return 0
  const headers = answer.headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  return answer.body.length + headers
}
