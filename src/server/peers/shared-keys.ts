import { ClaimedKey } from '../../producer/keys/claimed-key.js'
import { type KeyName, toldAnswer } from '../../producer/keys/key-frames.js'
import type { Settlement, Verdict } from '../../producer/keys/key-store.js'
import type { GivenReceipt, KeyedRecords, RecordsView } from '../../producer/keys/keyed-records.js'
import type { AskedKey, Claim, Keys, LocalKeys, OnWait } from '../../producer/keys/keys.js'
import {
  CALL_TIMEOUT_MS,
  closing,
  type KeyLink,
  MARGIN_MS,
  partOf,
  pause,
  pausesOf,
  placeToWait,
  UnsentError
} from './key-link.js'
import { KeyReceipts } from './key-receipts.js'
import { type EndedClaim, OwnedKeys } from './owned-keys.js'

/** Pause before an owner is called again that has not answered for a long time. */
const LONG_PAUSE_MS = 60_000
/** How long the outcomes of records at another process are waited for. */
const OUTCOMES_MS = 120_000

/** Ends of claims that one owner does not know yet. When there are more, it is asked for no further ones. */
const MAX_UNTOLD = 1_024
/** A longer answer is not told to an owner that does not listen: its records are kept instead. */
const MAX_UNTOLD_BYTES = 16 * 1_024
/** A longer answer is not sent to another process. */
const MAX_TOLD_BYTES = 8 * 1_024 * 1_024

/** A claim of this process on a key, and the process that says who has it. */
interface AskedClaim {
  /** Its time is that of the first claim, as soon as the owner has said so: the records of all requests expire together. */
  key: KeyName
  readonly claim: number
  readonly owner: string
  /** Another request may have got the key while the verdict was on its way. */
  isDoubted: boolean
}

/** A claim that this process has. */
interface HeldClaim extends AskedClaim {
  readonly records: KeyedRecords
  /** The other processes that have records. */
  readonly others: readonly string[]
}

/** What a process says of the records of a key. */
interface HolderView {
  /** A request is under way with them. */
  readonly isUnderWay: boolean
  readonly view?: RecordsView | undefined
}

/** Records at another process. */
interface FoundRecords {
  readonly holder: string
  readonly view: RecordsView
}

const BUSY = { type: 'busy' } as const
const OPEN = { type: 'open' } as const

/**
 * The keys of several processes. Each key has one process as its owner, which says who may carry a request out, and keeps the
 * answer. The records stay with the process that got the request. When it could not accept all of them, the rest is at the
 * process that got the request later, so a request asks each process that has some.
 */
export class SharedKeys implements Keys {
  readonly reach: Keys['reach']
  readonly #own: LocalKeys
  readonly #link: KeyLink
  readonly #owned: OwnedKeys
  readonly #receipts: KeyReceipts
  /** Claims of this process that wait for their verdict. */
  readonly #asking = new Set<AskedClaim>()
  /** Claims of this process that have ended, and whose owner may not know it yet. */
  readonly #ending = new Set<number>()
  /** How many ends of claims their owner does not know yet, by owner. */
  readonly #untold = new Map<string, number>()
  readonly #closing = closing()

  constructor(own: LocalKeys, link: KeyLink) {
    this.#own = own
    this.#link = link
    this.reach = link.reach
    link.serve('records', key => this.#recordsOf((key as KeyName).hash))
    link.serve('outcomes', asked => this.#outcomesOf(asked as { hash: string; waitMs: number }))
    link.serve('ended', key => this.#ended((key as KeyName).hash))
    this.#owned = new OwnedKeys(own, link)
    this.#receipts = new KeyReceipts(own, link, this.#owned, this.#closing.signal)
    // The successor of an owner may give the keys of its claims to others.
    link.onGone(run => {
      for (const asking of this.#asking) if (asking.owner === link.nameOf(run)) asking.isDoubted = true
    })
  }

  /** All others have said which keys they have. */
  get isReady(): boolean {
    return this.#owned.isReady
  }

  close(): void {
    this.#closing.abort()
    this.#owned.close()
  }

  claim(asked: AskedKey, waitMs: number, onWait?: OnWait): Claim | Promise<Claim> {
    const owner = this.#link.ownerOf(asked.hash)
    const key = this.#own.nameOf(asked)
    const mine = { key, claim: this.#own.nextClaim(), owner, isDoubted: false }
    // This process may have owned the key before.
    if (owner !== this.#link.self) return this.#own.store.answered(key) ?? this.#claimLater(mine, waitMs, onWait)
    if (!this.#owned.isReady) return this.#claimLater(mine, waitMs, onWait)
    const verdict = this.#owned.verdictNow({ key, claim: mine.claim, waitMs }, onWait)
    return verdict instanceof Promise ? verdict.then(late => this.#claimOf(mine, late)) : this.#claimOf(mine, verdict)
  }

  async #claimLater(mine: AskedClaim, waitMs: number, onWait?: OnWait): Promise<Claim> {
    if ((this.#untold.get(mine.owner) ?? 0) >= MAX_UNTOLD) return this.#ownerAway(mine)
    this.#asking.add(mine)
    try {
      const verdict = await this.#ask(mine, waitMs, onWait)
      return verdict === undefined ? this.#ownerAway(mine) : await this.#claimOf(mine, verdict)
    } catch (error) {
      // The owner may have given the key to this claim, and its answer came too late.
      const away = this.#ownerAway(mine)
      return error instanceof UnsentError ? away : this.#withdrawn(mine, away)
    } finally {
      this.#asking.delete(mine)
    }
  }

  /** @throws Error when the owner does not answer */
  async #ask(mine: AskedClaim, waitMs: number, onWait?: OnWait): Promise<Verdict | undefined> {
    const { key, claim, owner } = mine
    if (owner === this.#link.self) return this.#owned.verdictOn({ key, claim, waitMs }, this.#own.name, onWait)
    const endsAt = performance.now() + waitMs
    let verdict = await this.#askOwner(mine, 0)
    if (verdict?.type !== 'busy') return verdict
    const release = placeToWait(this.#link, key.hash)
    if (release === undefined) return verdict
    let hasLeft = false
    onWait?.(() => {
      hasLeft = true
      void this.#call(owner, 'leave', { claim }, CALL_TIMEOUT_MS).catch(() => undefined)
    })
    try {
      for (let leftMs = waitMs; leftMs > 0 && !hasLeft && !this.#closing.signal.aborted; ) {
        verdict = await this.#askOwner(mine, partOf(this.#link, leftMs))
        if (verdict?.type !== 'busy') break
        leftMs = endsAt - performance.now()
      }
      return verdict
    } finally {
      release()
    }
  }

  receiptOf(asked: AskedKey, waitMs: number): Promise<GivenReceipt | undefined> {
    return this.#receipts.of(asked, waitMs)
  }

  async #askOwner({ key, claim, owner }: AskedClaim, waitMs: number): Promise<Verdict | undefined> {
    const asked = { key, claim, waitMs }
    return (await this.#call(owner, 'claim', asked, waitMs + MARGIN_MS)) as Verdict | undefined
  }

  /** @throws Error when another process has to be asked, and does not answer */
  #claimOf(mine: AskedClaim, verdict: Verdict): Claim | Promise<Claim> {
    const { key, owner } = mine
    const { self } = this.#link
    switch (verdict.type) {
      case 'answered':
        return { ...verdict, answer: toldAnswer(verdict.answer) }
      case 'new':
        if (owner !== self && this.#own.store.isFullFor(key.hash))
          return this.#withdrawn(mine, this.#own.store.full, { type: 'free' })
        return this.#unlessDoubted(mine, () =>
          this.#claimed(mine, this.#own.holder.ofNew(key, this.#own.store.sinceMs), [])
        )
      case 'attach': {
        const others = verdict.holders.filter(holder => holder !== self)
        mine.key = { ...key, atMs: verdict.atMs }
        for (const asking of this.#asking) if (asking.key.hash === key.hash) asking.isDoubted ||= asking !== mine
        if (others.length === 0)
          return this.#unlessDoubted(mine, () => this.#claimed(mine, this.#own.holder.of(mine.key), []))
        return this.#attach(mine, others).catch(() => this.#withdrawn(mine, this.#holderAway(others)))
      }
      default:
        return verdict
    }
  }

  #ownerAway({ owner }: AskedClaim): Claim {
    const { kind, self } = this.#link
    if (owner === self) return { type: 'away', why: `this ${kind}, which owns the key, waits for other ${kind}s` }
    return { type: 'away', why: `the ${kind} ${owner}, which owns the key, cannot be reached` }
  }

  #holderAway(holders: readonly string[]): Claim {
    const { kind } = this.#link
    const who = holders.map(holder => `the ${kind} ${holder}`).join(' or ')
    return { type: 'away', why: `${who}, which has records of an earlier request with the key, cannot be reached` }
  }

  /** The request does not get the key after all, so the owner must not wait for its end. */
  #withdrawn<Told extends Claim>(mine: AskedClaim, told: Told, settlement: Settlement = OPEN): Told {
    void this.#tellOwner(mine, settlement)
    return told
  }

  /** A claim that may have ended in the meantime is looked up before it is used. */
  #unlessDoubted(mine: AskedClaim, claimed: () => Claim): Claim | Promise<Claim> {
    return mine.isDoubted
      ? this.#confirmed(mine, claimed).catch(() => this.#withdrawn(mine, this.#ownerAway(mine)))
      : claimed()
  }

  /** @throws Error when the owner does not answer */
  async #confirmed(mine: AskedClaim, claimed: () => Claim): Promise<Claim> {
    while (mine.isDoubted) {
      mine.isDoubted = false
      if (!(await this.#isGranted(mine))) return BUSY
    }
    return claimed()
  }

  async #isGranted({ key, claim, owner }: AskedClaim): Promise<boolean> {
    if (owner === this.#link.self) return this.#own.store.isClaimedBy(key.hash, claim)
    return (await this.#call(owner, 'confirm', { key, claim }, CALL_TIMEOUT_MS)) === true
  }

  #claimed(mine: AskedClaim, records: KeyedRecords, found: readonly FoundRecords[]): Claim {
    const { key, claim, owner } = mine
    // The owner has taken this process for gone.
    if (this.#isUnderWay(records)) return this.#withdrawn(mine, BUSY)
    if (owner === this.#link.self && found.length === 0) return this.#own.claimed(records, key, claim)
    records.claim = claim
    for (const { holder, view } of found) {
      records.learn(view)
      void this.#follow(records, claim, holder)
    }
    const others = found.map(({ holder }) => holder)
    const settle = (settlement: Settlement, settled: () => void): void =>
      void this.#settle({ ...mine, records, others }, settlement, settled)
    return { type: 'claimed', key: new ClaimedKey(records, this.#own.holder, settle) }
  }

  #isUnderWay({ claim }: KeyedRecords): boolean {
    return claim !== undefined && !this.#ending.has(claim)
  }

  /**
   * Other processes may have records; one that was started again knows those of its durable log.
   *
   * @throws Error when a process does not answer
   */
  async #attach(mine: AskedClaim, others: readonly string[]): Promise<Claim> {
    const { key } = mine
    const views = await Promise.all(
      others.map(async holder => {
        const view = (await this.#call(holder, 'records', key, CALL_TIMEOUT_MS)) as HolderView
        return { ...view, holder }
      })
    )
    // The owner has taken a process for gone.
    if (views.some(({ isUnderWay }) => isUnderWay)) return this.#withdrawn(mine, BUSY)
    const found = views.flatMap(({ holder, view }) =>
      view === undefined || view.outcomes.length === 0 ? [] : [{ holder, view }]
    )
    if (found.length === 0 && !(await this.#isMoved(mine))) return BUSY
    return this.#unlessDoubted(mine, () => this.#claimed(mine, this.#own.holder.of(key), found))
  }

  /** No other process has accepted records. @returns false: the claim has ended */
  async #isMoved({ key, claim, owner }: AskedClaim): Promise<boolean> {
    const { self } = this.#link
    if (owner === self) return this.#owned.moved({ key, claim }, self)
    return (await this.#call(owner, 'moved', { key, claim }, CALL_TIMEOUT_MS)) === true
  }

  /** No answer needs the records of this process any more. */
  #ended(hash: string): Promise<void> {
    const records = this.#own.holder.find(hash)
    return new Promise(resolve => {
      if (records === undefined) resolve()
      else this.#own.holder.endWritten(records, resolve)
    })
  }

  /**
   * No answer needs the records any more, wherever they are. A process that does not answer keeps them until they expire.
   *
   * @returns whether all have answered
   */
  async #end({ records, key, others }: HeldClaim): Promise<boolean> {
    const told = others.map(other =>
      this.#call(other, 'ended', key, CALL_TIMEOUT_MS).then(
        () => true,
        () => false
      )
    )
    if (records.isOwn) await new Promise<void>(resolve => this.#own.holder.endWritten(records, resolve))
    else this.#own.holder.end(records)
    return (await Promise.all(told)).every(Boolean)
  }

  /**
   * The answer leaves when the owner has it. If the owner does not answer, the answer leaves all the same: this process has
   * the records, and says so when the owner serves again.
   */
  async #settle(held: HeldClaim, settlement: Settlement, settled: () => void): Promise<void> {
    const { records, claim } = held
    let isTold = false
    this.#ending.add(claim)
    // A request that comes as soon as the key is free must not find the records of this one.
    const staysOpen = settlement.type === 'free' && !(await this.#end(held))
    const isKept = await this.#tellOwner(held, staysOpen ? OPEN : settlement, () => {
      records.isOpen = true
      if (!isTold) settled()
      isTold = true
    })
    this.#ending.delete(claim)
    if (records.claim === claim) records.claim = undefined
    if (isKept) void this.#end(held)
    else if (records.claim === undefined) this.#release(records)
    if (!isTold) settled()
  }

  /** The records may be asked for again. Those of others are with them. */
  #release(records: KeyedRecords): void {
    records.isOpen = true
    records.forgetLearned()
    if (!records.isOwn) this.#own.holder.end(records)
  }

  /**
   * Ends a claim of this process.
   *
   * @param failed called when the owner does not answer, each time
   * @returns whether the owner keeps the answer
   */
  async #tellOwner(mine: AskedClaim, settlement: Settlement, failed: () => void = () => undefined): Promise<boolean> {
    const { key, claim, owner } = mine
    const hurryUntil = performance.now() + this.#link.settleForMs
    let told = noLongerThan(MAX_TOLD_BYTES, settlement)
    let untold = 0
    let isKept = false
    // Until the owner knows it, the key is locked.
    const short = pausesOf(this.#link, this.#closing.signal)
    const next = (): Promise<void> =>
      performance.now() < hurryUntil ? short() : pause(LONG_PAUSE_MS, this.#closing.signal)
    for (; !this.#closing.signal.aborted; await next()) {
      try {
        isKept = await this.#settleAt(owner, { key, claim, settlement: told, holds: this.#holds(key.hash) })
        break
      } catch {
        this.#countUntold(owner, 1 - untold)
        untold = 1
        told = noLongerThan(MAX_UNTOLD_BYTES, told)
        failed()
      }
    }
    this.#countUntold(owner, -untold)
    return isKept && told.type === 'answered'
  }

  /** @throws Error when the owner does not answer */
  async #settleAt(owner: string, ended: EndedClaim): Promise<boolean> {
    if (owner === this.#link.self) return this.#owned.settle(ended, this.#own.name)
    return (await this.#call(owner, 'settle', ended, CALL_TIMEOUT_MS)) === true
  }

  #countUntold(owner: string, more: number): void {
    this.#untold.set(owner, (this.#untold.get(owner) ?? 0) + more)
  }

  /** Asks for the outcomes of records at another process, as long as the request waits for them. */
  async #follow(records: KeyedRecords, claim: number, holder: string): Promise<void> {
    const { hash } = records.key
    const release = placeToWait(this.#link, hash)
    if (release === undefined) return
    const endsAt = performance.now() + OUTCOMES_MS
    try {
      for (let leftMs = OUTCOMES_MS; leftMs > 0 && records.claim === claim; leftMs = endsAt - performance.now()) {
        const waitMs = partOf(this.#link, leftMs)
        const asked = this.#call(holder, 'outcomes', { hash, waitMs }, waitMs + MARGIN_MS)
        const view = (await asked) as RecordsView | undefined
        if (view === undefined || records.claim !== claim) return
        records.learn(view)
        if (view.outcomes.every(([, outcome]) => outcome !== null)) return
      }
    } catch {
      // The request is answered that the outcome is unknown.
    } finally {
      release()
    }
  }

  #recordsOf(hash: string): HolderView {
    for (const asking of this.#asking) if (asking.key.hash === hash) asking.isDoubted = true
    const records = this.#own.holder.find(hash)
    return { isUnderWay: records !== undefined && this.#isUnderWay(records), view: records?.view }
  }

  /** Whether this process has records of the key, or may have some soon. */
  #holds(hash: string): boolean {
    const records = this.#own.holder.find(hash)
    return records !== undefined && (records.isOwn || this.#isUnderWay(records))
  }

  async #outcomesOf({ hash, waitMs }: { hash: string; waitMs: number }): Promise<RecordsView | undefined> {
    const records = this.#own.holder.find(hash)
    await records?.allFinal(waitMs)
    return records?.view
  }

  #call(to: string, name: string, body: object, timeoutMs: number): Promise<unknown> {
    return this.#link.call(to, name, body, timeoutMs)
  }
}

/** The answer, unless it is too long: the request that comes again is then answered anew, with the outcomes of its records. */
const noLongerThan = (maxBytes: number, settlement: Settlement): Settlement =>
  settlement.type === 'answered' && settlement.answer.body.length > maxBytes ? OPEN : settlement
