import type { LogDirectory } from '../log/files.js'
import { ClaimedKey } from './claimed-key.js'
import type { KeptAnswer, KeyName } from './key-frames.js'
import { type KeyedLog, KeyHolder } from './key-holder.js'
import { KeyJournal } from './key-journal.js'
import { KeyStore, type KeyStoreOptions, type Settlement, type Verdict } from './key-store.js'
import type { GivenReceipt, KeyedRecords } from './keyed-records.js'

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
  /** Whether a request with the key has come to this process, and is under way, or its records or its answer are here. */
  knows(hash: string): boolean
  /** @param waitMs how long to wait for another request with the same key */
  claim(asked: AskedKey, waitMs: number, onWait?: OnWait): Claim | Promise<Claim>
  /** The receipt of the request with this key that is under way, as soon as all its records are on disk. */
  receiptOf(asked: AskedKey, waitMs: number): Promise<GivenReceipt | undefined>
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

  knows(hash: string): boolean {
    return this.store.has(hash)
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
    const verdict = this.store.claim(key, claimer, claim)
    if (verdict.type !== 'busy' || waitMs <= 0) return verdict
    return this.#wait(() => this.store.claim(key, claimer, claim), key.hash, waitMs, onWait)
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
      if (settlement.type === 'free') {
        this.holder.endWritten(records, () => this.store.settle(key, claim, settlement, settled))
        return
      }
      if (settlement.type === 'open') records.isOpen = true
      else this.holder.end(records)
      if (settlement.type === 'answered' && settlement.onDisk) this.settle(key, claim, settlement, settled)
      else this.store.settle(key, claim, settlement, settled)
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
