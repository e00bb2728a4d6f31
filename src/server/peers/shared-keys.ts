import { OverloadedError } from '../../core/errors.js'
import type { KeyName } from '../../producer/keys/key-frames.js'
import type { Settlement } from '../../producer/keys/key-store.js'
import { KeyedRecords, type RecordsView } from '../../producer/keys/keyed-records.js'
import {
  type AskedKey,
  type Claim,
  ClaimedKey,
  type Keys,
  type LocalKeys,
  type SettledVerdict
} from '../../producer/keys/keys.js'
import { type HeldPage, heldPage } from './held-keys.js'
import { type KeyLink, pause, pausesOf, UnsentError } from './key-link.js'

const CALL_TIMEOUT_MS = 5_000
/** A call that waits takes this much longer than its wait. */
const MARGIN_MS = 1_000
/** How long an owner that has just been started lets a claim wait, at least. */
const READY_MS = 500
/** How long the outcomes of records at another process are waited for. */
const OUTCOMES_MS = 120_000

/** Ends of claims that one owner does not know yet. When there are more, it is asked for no further ones. */
const MAX_UNTOLD = 1_024

/** A claim of this process on a key, and the process that says who has it. */
interface AskedClaim {
  readonly key: KeyName
  readonly claim: number
  readonly owner: string
  /** Another process has asked for the records, so it may have got the key while the verdict was on its way. */
  isDoubted: boolean
}

/** A claim that this process has. */
interface HeldClaim extends AskedClaim {
  readonly records: KeyedRecords
  /** The process that has the records; `undefined`: this one. */
  readonly holder: string | undefined
}

/** What a process says of the records of a key. */
interface HolderView {
  /** A request is under way with them. */
  readonly isUnderWay: boolean
  readonly view?: RecordsView | undefined
}

interface NamedClaim {
  readonly key: KeyName
  readonly claim: number
}

interface AnsweredPage extends HeldPage {
  /** Of the process that has the keys. */
  readonly run: string
}

/** The end of a hash names the client. */
const CLIENT_AT = 12
const BUSY = { type: 'busy' } as const
const GONE = { type: 'away' } as const

/**
 * The keys of several processes. Each key has one process as its owner, which says who may carry a request out, and keeps the
 * answer. The records stay with the process that got the request.
 *
 * A process that was started again does not know which keys were in use. It asks all others for the keys that it owns and
 * whose records they have, before it grants any claim.
 */
export class SharedKeys implements Keys {
  readonly reach: Keys['reach']
  readonly #own: LocalKeys
  readonly #link: KeyLink
  /** Resolves when all others have said what they hold. */
  readonly #ready: Promise<void>
  /** Claims of other processes that wait for their verdict. */
  readonly #asked = new Map<number, { readonly from: string; isCancelled: boolean }>()
  /** Claims of this process that wait for their verdict. */
  readonly #asking = new Set<AskedClaim>()
  /** Claims of this process that have ended, and whose owner may not know it yet. */
  readonly #ending = new Set<number>()
  /** How many ends of claims their owner does not know yet, by owner. */
  readonly #untold = new Map<string, number>()
  #isReady = false
  #isClosed = false

  constructor(own: LocalKeys, link: KeyLink) {
    this.#own = own
    this.#link = link
    this.reach = link.reach
    const serve = <Body>(name: string, handler: (body: Body, from: string) => unknown): void =>
      link.serve(name, (body, from) => handler(body as Body, from))
    serve('claim', (asked: NamedClaim & { waitMs: number }, from) => this.#verdictFor(asked, from))
    serve('confirm', ({ key, claim }: NamedClaim) => own.store.isClaimedBy(key.hash, claim))
    serve('settle', ({ key, claim, settlement }: NamedClaim & { settlement: Settlement }) =>
      this.#settled(key, claim, settlement)
    )
    serve('moved', ({ key, claim }: NamedClaim, from) => this.#moved(key, claim, from))
    serve('records', ({ hash }: KeyName) => this.#recordsOf(hash))
    serve('outcomes', ({ hash, waitMs }: { hash: string; waitMs: number }) => this.#outcomesOf(hash, waitMs))
    serve('ended', ({ hash }: KeyName) => this.#ended(hash))
    const pageFor = heldPage(own.holder, hash => link.ownerOf(hash))
    serve('held', ({ from }: { from: number }, run) => ({ ...pageFor(link.nameOf(run), from), run: link.run }))
    link.onGone(run => this.#gone(run))
    this.#ready = this.#gather()
  }

  close(): void {
    this.#isClosed = true
  }

  #gone(run: string): void {
    for (const asked of this.#asked.values()) if (asked.from === run) asked.isCancelled = true
    this.#own.store.gone(run)
  }

  async #gather(): Promise<void> {
    await Promise.all(this.#link.others.map(other => this.#gatherFrom(other)))
    this.#isReady = !this.#isClosed
  }

  async #gatherFrom(other: string): Promise<void> {
    let [from, run] = [0, '']
    for (const pause = pausesOf(this.#link); !this.#isClosed; ) {
      try {
        const page = (await this.#call(other, 'held', { from }, CALL_TIMEOUT_MS)) as AnsweredPage | undefined
        if (page !== undefined && (from === 0 || page.run === run)) {
          for (const { key, claim } of page.keys) this.#own.store.open(key, page.run, claim)
          if (page.isLast) return
          from += page.keys.length
          run = page.run
          continue
        }
        // It was started again, and has other keys.
        from = 0
      } catch {
        // It does not serve yet.
        from = 0
      }
      await pause()
    }
  }

  claim(asked: AskedKey, waitMs: number): Claim | Promise<Claim> {
    const owner = this.#link.ownerOf(asked.hash)
    const isOwn = owner === this.#link.self
    const key = this.#own.nameOf(asked)
    const mine = { key, claim: this.#own.nextClaim(), owner, isDoubted: false }
    if (!isOwn || !this.#isReady) return this.#claimLater(mine, waitMs)
    const verdict = this.#own.verdictOn(key, this.#own.name, mine.claim, waitMs)
    return verdict instanceof Promise ? verdict.then(late => this.#claimOf(mine, late)) : this.#claimOf(mine, verdict)
  }

  async #claimLater(mine: AskedClaim, waitMs: number): Promise<Claim> {
    if ((this.#untold.get(mine.owner) ?? 0) >= MAX_UNTOLD) return GONE
    this.#asking.add(mine)
    try {
      const verdict = await this.#ask(mine, waitMs)
      return verdict === undefined ? GONE : await this.#claimOf(mine, verdict)
    } catch (error) {
      // The owner may have given the key to this claim, and its answer came too late.
      if (!(error instanceof UnsentError)) void this.#tellOwner(mine, { type: 'open' })
      return GONE
    } finally {
      this.#asking.delete(mine)
    }
  }

  /** @throws Error when the owner does not answer */
  async #ask(mine: AskedClaim, waitMs: number): Promise<SettledVerdict | undefined> {
    const { key, claim, owner } = mine
    const { self, waits } = this.#link
    if (owner === self) return this.#verdictOn({ key, claim, waitMs }, this.#own.name)
    if (waits === undefined) return this.#askOwner(mine, waitMs)
    const endsAt = performance.now() + waitMs
    let verdict = await this.#askOwner(mine, 0)
    if (verdict?.type !== 'busy') return verdict
    const release = waits.take(key.hash.slice(CLIENT_AT))
    if (release === undefined) return verdict
    try {
      for (let leftMs = waitMs; verdict?.type === 'busy' && leftMs > 0 && !this.#isClosed; ) {
        verdict = await this.#askOwner(mine, Math.min(leftMs, waits.partMs))
        leftMs = endsAt - performance.now()
      }
      return verdict
    } finally {
      release()
    }
  }

  async #askOwner({ key, claim, owner }: AskedClaim, waitMs: number): Promise<SettledVerdict | undefined> {
    const asked = { key, claim, waitMs }
    return (await this.#call(owner, 'claim', asked, waitMs + MARGIN_MS)) as SettledVerdict | undefined
  }

  /** As the owner of a key, for another process: names the holder of records as others know it. */
  async #verdictFor(asked: NamedClaim & { waitMs: number }, from: string): Promise<SettledVerdict> {
    const verdict = await this.#verdictOn(asked, from)
    return verdict.type === 'attach' && verdict.holder === this.#own.name
      ? { type: 'attach', holder: this.#link.run }
      : verdict
  }

  async #verdictOn({ key, claim, waitMs }: NamedClaim & { waitMs: number }, from: string): Promise<SettledVerdict> {
    await this.#untilReady(waitMs)
    const asked = { from, isCancelled: false }
    this.#asked.set(claim, asked)
    const verdict = await this.#own.verdictOn(key, from, claim, waitMs)
    this.#asked.delete(claim)
    if (!asked.isCancelled) return verdict
    this.#own.settle(key, claim, { type: verdict.type === 'new' ? 'free' : 'open' }, () => undefined)
    return BUSY
  }

  /** @throws OverloadedError when others have not said in time which keys they have */
  async #untilReady(waitMs: number): Promise<void> {
    if (!this.#isReady) await Promise.race([this.#ready, pause(Math.max(waitMs, READY_MS))])
    if (!this.#isReady) throw new OverloadedError('not all processes have said yet which keys they have')
  }

  async #settled(key: KeyName, claim: number, settlement: Settlement): Promise<true> {
    // Before, this process does not know the claims of others.
    await this.#untilReady(0)
    const asked = this.#asked.get(claim)
    if (asked !== undefined) asked.isCancelled = true
    const own =
      settlement.type === 'answered'
        ? { ...settlement, answer: { ...settlement.answer, body: Buffer.from(settlement.answer.body) } }
        : settlement
    return new Promise(resolve => this.#own.settle(key, claim, own, () => resolve(true)))
  }

  /** @returns false: the claim has ended, so another request may have the key */
  #moved({ hash }: KeyName, claim: number, holder: string): boolean {
    if (!this.#own.store.isClaimedBy(hash, claim)) return false
    this.#own.store.moved(hash, holder)
    return true
  }

  /** @throws Error when another process has to be asked, and does not answer */
  #claimOf(mine: AskedClaim, verdict: SettledVerdict): Claim | Promise<Claim> {
    const { key } = mine
    if (verdict.type === 'answered') {
      return { ...verdict, answer: { ...verdict.answer, body: Buffer.from(verdict.answer.body) } }
    }
    if (verdict.type === 'new') return this.#unlessDoubted(mine, () => this.#own.holder.ofNew(key))
    if (verdict.type !== 'attach') return verdict
    const { holder } = verdict
    const name = holder === this.#own.name ? this.#link.self : this.#link.nameOf(holder)
    if (name === this.#link.self) return this.#unlessDoubted(mine, () => this.#own.holder.of(key))
    return this.#attach(mine, name).catch(() => {
      void this.#tellOwner(mine, { type: 'open' })
      return GONE
    })
  }

  /** The records of a request at this process. A claim that may have ended in the meantime is looked up first. */
  #unlessDoubted(mine: AskedClaim, recordsOf: () => KeyedRecords): Claim | Promise<Claim> {
    return mine.isDoubted ? this.#confirmed(mine, recordsOf) : this.#claimed(recordsOf(), mine)
  }

  async #confirmed(mine: AskedClaim, recordsOf: () => KeyedRecords): Promise<Claim> {
    const { key, claim, owner } = mine
    while (mine.isDoubted) {
      mine.isDoubted = false
      if ((await this.#call(owner, 'confirm', { key, claim }, CALL_TIMEOUT_MS)) !== true) return BUSY
    }
    return this.#claimed(recordsOf(), mine)
  }

  /** @param holder the process that has the records; absent: this one */
  #claimed(records: KeyedRecords, mine: AskedClaim, holder?: string): Claim {
    const { key, claim, owner } = mine
    if (owner === this.#link.self && holder === undefined) return this.#own.claimed(records, key, claim)
    records.claim = claim
    const settle = (settlement: Settlement, settled: () => void): void =>
      void this.#settle({ ...mine, records, holder }, settlement, settled)
    return { type: 'claimed', key: new ClaimedKey(records, this.#own.holder, settle) }
  }

  /** No answer needs the records of this process any more. */
  #ended(hash: string): Promise<void> {
    const records = this.#own.holder.find(hash)
    return new Promise(resolve => {
      if (records === undefined) resolve()
      else this.#own.holder.endWritten(records, resolve)
    })
  }

  /** No answer needs the records any more, wherever they are. A process that does not answer keeps them until they expire. */
  async #end({ records, key, holder }: HeldClaim): Promise<void> {
    if (holder === undefined) await new Promise<void>(resolve => this.#own.holder.endWritten(records, resolve))
    else await this.#call(holder, 'ended', key, CALL_TIMEOUT_MS).catch(() => undefined)
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
    if (settlement.type === 'free') await this.#end(held)
    const isKept = await this.#tellOwner(held, settlement, () => {
      records.isOpen = true
      if (!isTold) settled()
      isTold = true
    })
    this.#ending.delete(claim)
    if (records.claim === claim) records.claim = undefined
    if (settlement.type === 'open') records.isOpen = true
    else if (isKept && settlement.type === 'answered') void this.#end(held)
    if (!isTold) settled()
  }

  /**
   * Ends a claim of this process.
   *
   * @param failed called when the owner does not answer, each time
   * @returns whether the owner knows it
   */
  async #tellOwner(
    { key, claim, owner }: AskedClaim,
    settlement: Settlement,
    failed: () => void = () => undefined
  ): Promise<boolean> {
    const giveUpAt = performance.now() + this.#link.settleForMs
    let untold = 0
    let isTold = false
    for (const pause = pausesOf(this.#link); !this.#isClosed && performance.now() < giveUpAt; await pause()) {
      try {
        if (owner === this.#link.self) await this.#settled(key, claim, settlement)
        else await this.#call(owner, 'settle', { key, claim, settlement }, CALL_TIMEOUT_MS)
        isTold = true
        break
      } catch {
        this.#countUntold(owner, 1 - untold)
        untold = 1
        failed()
      }
    }
    this.#countUntold(owner, -untold)
    return isTold
  }

  #countUntold(owner: string, more: number): void {
    this.#untold.set(owner, (this.#untold.get(owner) ?? 0) + more)
  }

  /**
   * The records are at another process; one that was started again knows those of its durable log.
   *
   * @throws Error when a process does not answer
   */
  async #attach(mine: AskedClaim, holder: string): Promise<Claim> {
    const { key, claim, owner } = mine
    const { isUnderWay, view } = (await this.#call(holder, 'records', key, CALL_TIMEOUT_MS)) as HolderView
    if (isUnderWay) {
      // The owner has taken the process for gone.
      void this.#tellOwner(mine, { type: 'open' })
      return BUSY
    }
    if (view === undefined || view.outcomes.length === 0) {
      // It had accepted none.
      const isMine =
        owner === this.#link.self
          ? this.#moved(key, claim, this.#own.name)
          : await this.#call(owner, 'moved', { key, claim }, CALL_TIMEOUT_MS)
      return isMine === true ? this.#unlessDoubted(mine, () => this.#own.holder.of(key)) : BUSY
    }
    const records = new KeyedRecords(key)
    records.learn(view)
    const claimed = this.#claimed(records, mine, holder)
    void this.#follow(records, holder)
    return claimed
  }

  /** Asks for the outcomes of records at another process, as long as a request waits for them. */
  async #follow(records: KeyedRecords, holder: string): Promise<void> {
    const { hash } = records.key
    const { waits } = this.#link
    const release = waits === undefined ? () => undefined : waits.take(hash.slice(CLIENT_AT))
    if (release === undefined) return
    const endsAt = performance.now() + OUTCOMES_MS
    try {
      for (let leftMs = OUTCOMES_MS; leftMs > 0 && records.claim !== undefined; leftMs = endsAt - performance.now()) {
        const waitMs = Math.min(leftMs, waits?.partMs ?? leftMs)
        const asked = this.#call(holder, 'outcomes', { hash, waitMs }, waitMs + MARGIN_MS)
        const view = (await asked) as RecordsView | undefined
        if (view === undefined) return
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
    const { claim } = records ?? {}
    return { isUnderWay: claim !== undefined && !this.#ending.has(claim), view: records?.view }
  }

  async #outcomesOf(hash: string, waitMs: number): Promise<RecordsView | undefined> {
    const records = this.#own.holder.find(hash)
    await records?.allFinal(waitMs)
    return records?.view
  }

  #call(to: string, name: string, body: object, timeoutMs: number): Promise<unknown> {
    return this.#link.call(to, name, body, timeoutMs)
  }
}
