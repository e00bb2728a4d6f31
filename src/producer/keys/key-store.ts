import { Waiters } from '../../core/waiters.js'
import { AnsweredKeys, type AnswerOrPlace, isPlace } from './answered-keys.js'
import { BriefMap } from './brief-map.js'
import { ClientUses } from './client-uses.js'
import { type Entry, newEntry } from './key-entry.js'
import type { KeptAnswer, KeyName, ReadFrame } from './key-frames.js'
import type { KeyJournal } from './key-journal.js'

export interface KeyStoreOptions {
  /** How long a key is remembered after it was claimed. */
  readonly windowMs: number
  /** Memory for keys and answers, and space on the disk; each may take this much. */
  readonly maxBytes: number
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** What a request with a key is told whose answer is kept. */
type Answered =
  | { readonly type: 'answered'; readonly answer: KeptAnswer }
  /** The key was used for another request. */
  | { readonly type: 'conflict' }
  /** The answer cannot be read. */
  | { readonly type: 'away' }

/** What a request with a key is told. */
export type Verdict =
  | Answered
  | { readonly type: 'new' }
  /** The records of an earlier request may have been accepted; these processes have them. The key was claimed first at `atMs`. */
  | { readonly type: 'attach'; readonly holders: readonly string[]; readonly atMs: number }
  /** Another request with the key is under way. */
  | { readonly type: 'busy' }
  | { readonly type: 'full'; readonly retryAfterMs: number }

/** What became of a request with a key. */
export type Settlement =
  /** @param onDisk the answer is kept on disk, as the records are */
  | { readonly type: 'answered'; readonly answer: KeptAnswer; readonly onDisk: boolean }
  /** Its records were accepted, and their outcome is not known. */
  | { readonly type: 'open' }
  /** None of its records was accepted: the key can be used again. */
  | { readonly type: 'free' }

/** Memory of a key until its request has an answer, measured. */
const KEY_BYTES = 400
/** Memory of a record that is held until its request has an answer, measured. */
const RECORD_BYTES = 90
/** A client may use so many times what is free: alone three quarters of all, and two clients 3/7 each. */
const SHARE = 3
const SWEEP_MS = 1_000
/** So many keys are forgotten in less than a millisecond. */
const MAX_SWEPT = 1_000
/** A client whose key does not fit should not send it again before this time. */
const LEAST_RETRY_MS = 60_000

/** All keys whose owner this process is, for as long as they are remembered. */
export class KeyStore {
  readonly #options: KeyStoreOptions
  /** Keys without an answer, by hash, in the order of their claims. */
  readonly #entries = new BriefMap<Entry>()
  readonly #answered = new AnsweredKeys()
  readonly #clients = new ClientUses()
  /** Memory of keys, answers and records. */
  #bytes = 0
  #journal: KeyJournal | undefined
  #sweptAt = 0
  /** There may be expired keys that are not forgotten yet. */
  #hasExpired = false
  readonly #onForgotten: (hash: string) => void

  /** @param onForgotten called when a key was forgotten */
  constructor(options: KeyStoreOptions, onForgotten: (hash: string) => void) {
    this.#options = options
    this.#onForgotten = onForgotten
  }

  get size(): number {
    return this.#entries.size + this.#answered.size
  }

  has(hash: string): boolean {
    return this.#entries.has(hash) || this.#answered.find(hash) >= 0
  }

  get bytes(): number {
    return this.#bytes
  }

  use(journal: KeyJournal): void {
    this.#journal = journal
  }

  /** Keys of older claims have expired. */
  get sinceMs(): number {
    return this.#options.now() - this.#options.windowMs
  }

  /**
   * @param claimer the process with the request; it will have the records, if the key is new
   * @param claim a number that no other claim has, to end this one with
   */
  claim(key: KeyName, claimer: string, claim: number): Verdict {
    this.#sweep(key.atMs)
    const entry = this.#entries.get(key.hash)
    if (entry === undefined) {
      const row = this.#answered.find(key.hash)
      if (row < 0) return this.#begin(key, claimer, claim)
      return this.#answeredAt(row, key.fingerprint) ?? this.#beginAgain(key, claimer, claim)
    }
    if (this.#isExpired(entry.key.atMs) && entry.status !== 'claimed') return this.#beginAgain(key, claimer, claim)
    if (entry.key.fingerprint !== key.fingerprint) return { type: 'conflict' }
    if (entry.status === 'claimed') return { type: 'busy' }
    if (entry.status === 'answered') return { type: 'answered', answer: entry.answer! }
    entry.status = 'claimed'
    entry.claimer = claimer
    entry.claim = claim
    return { type: 'attach', holders: entry.holders, atMs: entry.key.atMs }
  }

  /** Waits for the end of the request that is under way. @param left ends the wait @returns whether it came in time */
  async settled(hash: string, limitMs: number, left?: AbortSignal): Promise<boolean> {
    const entry = this.#entries.get(hash)
    return entry?.status !== 'claimed' || (entry.waiters ??= new Waiters()).wait(limitMs, left)
  }

  /** The answer of an earlier request with the key; `undefined`: none is kept. */
  answered({ hash, fingerprint }: KeyName): Answered | undefined {
    const entry = this.#entries.get(hash)
    if (entry !== undefined) {
      if (entry.status !== 'answered' || this.#isExpired(entry.key.atMs)) return undefined
      return entry.key.fingerprint === fingerprint ? { type: 'answered', answer: entry.answer! } : { type: 'conflict' }
    }
    const row = this.#answered.find(hash)
    return row < 0 ? undefined : this.#answeredAt(row, fingerprint)
  }

  #answeredAt(row: number, fingerprint: string): Answered | undefined {
    if (this.#isExpired(this.#answered.atMsOf(row))) return undefined
    if (!this.#answered.isOf(row, fingerprint)) return { type: 'conflict' }
    const kept = this.#answered.answerOf(row)
    const answer = isPlace(kept) ? this.#journal?.answerAt(kept) : kept
    // The records may be in Kafka: carrying the request out once more would write them twice.
    return answer === undefined ? { type: 'away' } : { type: 'answered', answer }
  }

  /** The key has expired. */
  #beginAgain(key: KeyName, claimer: string, claim: number): Verdict {
    if (this.#delete(key.hash)) this.#onForgotten(key.hash)
    return this.#begin(key, claimer, claim)
  }

  #begin(key: KeyName, claimer: string, claim: number): Verdict {
    if (this.isFullFor(key.hash)) return this.full
    const entry = newEntry(key, 'claimed', claimer)
    entry.claim = claim
    this.#add(entry)
    return NEW
  }

  /** Each client leaves some space to the others, however many keys it uses. Expired keys make space first. */
  isFullFor(hash: string): boolean {
    while (this.#hasExpired && this.#lacksSpaceFor(hash)) this.#hasExpired = this.#forgetExpired()
    return this.#lacksSpaceFor(hash)
  }

  #lacksSpaceFor(hash: string): boolean {
    const { maxBytes } = this.#options
    const { memoryBytes, diskBytes } = this.#clients.of(hash)
    const memoryFree = maxBytes - this.#bytes
    const diskFree = maxBytes - (this.#journal?.sizeBytes ?? 0)
    if (this.#answered.isFull) return true
    return memoryFree < KEY_BYTES || diskFree < 0 || memoryBytes > SHARE * memoryFree || diskBytes > SHARE * diskFree
  }

  /** What a request is told for whose key there is no space: none is freed before the oldest key expires. */
  get full(): Verdict & { readonly type: 'full' } {
    const unanswered = this.#entries.values().next().value?.key.atMs ?? Number.POSITIVE_INFINITY
    const oldest = Math.min(unanswered, this.#answered.firstAtMs ?? Number.POSITIVE_INFINITY)
    const expiresAt = Number.isFinite(oldest) ? oldest + this.#options.windowMs : 0
    return { type: 'full', retryAfterMs: Math.max(LEAST_RETRY_MS, expiresAt - this.#options.now()) }
  }

  /** Used share of the memory or of the space on the disk, whichever is larger. */
  get usedRatio(): number {
    return Math.max(this.#bytes, this.#journal?.sizeBytes ?? 0) / this.#options.maxBytes
  }

  /** Counts this many more records of a key as held. */
  hold(hash: string, records: number): void {
    this.#use(hash, records * RECORD_BYTES)
  }

  #use(hash: string, memoryBytes: number, diskBytes = 0): void {
    this.#bytes += memoryBytes
    this.#clients.add(hash, memoryBytes, diskBytes)
  }

  #add(entry: Entry): void {
    this.#entries.add(entry.key.hash, entry)
    this.#use(entry.key.hash, KEY_BYTES)
  }

  /** @returns whether the key was known */
  #delete(hash: string): boolean {
    const entry = this.#entries.get(hash)
    if (entry !== undefined) {
      this.#entries.delete(hash)
      this.#use(hash, -KEY_BYTES - bytesOf(entry.answer))
      return true
    }
    const row = this.#answered.find(hash)
    if (row >= 0) this.#deleteRow(hash, row)
    return row >= 0
  }

  #deleteRow(hash: string, row: number): void {
    this.#use(hash, -this.#answered.memoryOf(row), -this.#answered.diskBytesOf(row))
    this.#answered.delete(row)
  }

  /** The key has an answer that is where it stays. @param entryBytes memory that it has used so far */
  #keep(key: KeyName, answer: AnswerOrPlace, entryBytes: number): void {
    const row = this.#answered.add(key, answer)
    this.#use(key.hash, this.#answered.memoryOf(row) - entryBytes, this.#answered.diskBytesOf(row))
  }

  /**
   * Ends a claim. One that has ended before stays as it is: its owner may be told several times, and late.
   *
   * @param settled called when an answer that is kept on disk survives the death of the process
   */
  settle(key: KeyName, claim: number, settlement: Settlement, settled: () => void): void {
    const entry = this.#entries.get(key.hash)
    if (entry === undefined || !isEndedBy(entry, key, claim, settlement)) {
      if (entry?.unwritten === undefined) settled()
      else entry.unwritten.push(settled)
      return
    }
    entry.claim = undefined
    if (settlement.type === 'answered') this.#answer(entry, settlement, settled)
    else {
      if (settlement.type === 'free') this.#delete(key.hash)
      else entry.status = 'open'
      this.#wake(entry, settled)
    }
  }

  #answer(entry: Entry, settlement: Settlement & { type: 'answered' }, settled: () => void): void {
    const { answer, onDisk } = settlement
    if (!onDisk || this.#journal === undefined) {
      this.#entries.delete(entry.key.hash)
      this.#keep(entry.key, answer, KEY_BYTES)
      this.#wake(entry, settled)
      return
    }
    entry.status = 'answered'
    entry.answer = answer
    entry.unwritten = [settled]
    this.#use(entry.key.hash, bytesOf(answer))
    this.#journal.add(entry.key, settlement, undefined, place => {
      // The answer is on disk, so it need not be in memory.
      if (place !== undefined && this.#entries.get(entry.key.hash) === entry) {
        this.#entries.delete(entry.key.hash)
        this.#keep(entry.key, place, KEY_BYTES + bytesOf(answer))
      }
      this.#wake(entry, undefined)
    })
  }

  #wake(entry: Entry, settled: (() => void) | undefined): void {
    const { waiters, unwritten } = entry
    entry.waiters = undefined
    entry.unwritten = undefined
    settled?.()
    for (const written of unwritten ?? []) written()
    waiters?.wake()
  }

  /** Takes note of a key of an earlier process. */
  restore({ key, news, file, offset, sizeBytes }: ReadFrame & { readonly file: number }, holder: string): void {
    if (key.atMs < this.sinceMs) return
    if (news.type === 'ended') {
      // An answer stays: the process that keeps it ends its own records, too.
      if (!this.isAnswered(key.hash)) this.#delete(key.hash)
    } else if (news.type === 'answered') {
      this.#delete(key.hash)
      this.#keep(key, { file, offset, sizeBytes }, 0)
    } else this.open(key, holder)
  }

  /**
   * Records of the key were accepted by an earlier process, or are at another one.
   *
   * @param underWay the claim of a request that is under way there
   */
  open(key: KeyName, holder: string, underWay?: { readonly claim: number; readonly claimer: string }): void {
    if (key.atMs < this.sinceMs || this.isAnswered(key.hash)) return
    const entry = this.#entries.get(key.hash) ?? newEntry(key, 'open', holder)
    if (!this.#entries.has(key.hash)) this.#add(entry)
    if (!entry.holders.includes(holder)) entry.holders = [...entry.holders, holder]
    if (underWay !== undefined && entry.status === 'open') Object.assign(entry, { status: 'claimed', ...underWay })
  }

  /** Other processes own some of the keys that an earlier process had records of: these need not be known here. */
  disown(isOwn: (hash: string) => boolean): void {
    for (const { key, status } of this.#entries.values()) {
      if (status === 'open' && !isOwn(key.hash)) this.#delete(key.hash)
    }
  }

  /** Whether a claim has not ended. */
  isClaimedBy(hash: string, claim: number): boolean {
    const entry = this.#entries.get(hash)
    return entry?.status === 'claimed' && entry.claim === claim
  }

  /** Whether the answer to the request is kept. @param onDisk it has to survive the death of the process */
  isAnswered(hash: string, onDisk = false): boolean {
    const entry = this.#entries.get(hash)
    if (entry !== undefined) return entry.status === 'answered' && !onDisk
    const row = this.#answered.find(hash)
    return row >= 0 && (!onDisk || this.#answered.isOnDisk(row))
  }

  /** The process whose request is under way. */
  claimerOf(hash: string): string | undefined {
    const entry = this.#entries.get(hash)
    return entry?.status === 'claimed' ? entry.claimer : undefined
  }

  holdersOf(hash: string): readonly string[] {
    return this.#entries.get(hash)?.holders ?? []
  }

  /** These processes have records of the key, and no others. */
  heldBy(hash: string, holders: readonly string[]): void {
    const entry = this.#entries.get(hash)
    if (entry !== undefined) entry.holders = holders
  }

  /** A process has ended: its requests are not under way any more, and their records may have been accepted. */
  gone(claimer: string): void {
    for (const entry of this.#entries.values()) {
      if (entry.status !== 'claimed' || entry.claimer !== claimer) continue
      entry.status = 'open'
      entry.claim = undefined
      this.#wake(entry, undefined)
    }
  }

  #isExpired(atMs: number): boolean {
    return atMs < this.sinceMs
  }

  /** Forgets expired keys, in steps: after a quiet day there may be millions of them. */
  #sweep(nowMs: number): void {
    if (!this.#hasExpired && nowMs - this.#sweptAt < SWEEP_MS && nowMs >= this.#sweptAt) return
    this.#sweptAt = nowMs
    this.#hasExpired = this.#forgetExpired()
    this.#journal?.expire(this.sinceMs)
  }

  /** Those of requests that are under way stay. @returns whether more may be left */
  #forgetExpired(): boolean {
    let left = MAX_SWEPT
    for (const entry of this.#entries.values()) {
      if (!this.#isExpired(entry.key.atMs)) break
      if (entry.status === 'claimed') continue
      this.#delete(entry.key.hash)
      this.#onForgotten(entry.key.hash)
      if (--left === 0) return true
    }
    for (const { hash, row } of this.#answered.expired(this.sinceMs)) {
      this.#deleteRow(hash, row)
      this.#onForgotten(hash)
      if (--left === 0) return true
    }
    return false
  }
}

/** A certain answer is welcome as well after its claim has ended without one, unless another request has the key. */
const isEndedBy = (entry: Entry, key: KeyName, claim: number, { type }: Settlement): boolean =>
  entry.claim === claim || (entry.status === 'open' && type === 'answered' && entry.key.fingerprint === key.fingerprint)

const NEW: Verdict = { type: 'new' }

const bytesOf = (answer: KeptAnswer | undefined): number => {
  if (answer === undefined) return 0
  let bytes = answer.body.length
  for (const [name, value] of answer.headers) bytes += name.length + value.length
  return bytes
}
