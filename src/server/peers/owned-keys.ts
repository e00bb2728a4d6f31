import { OverloadedError } from '../../core/errors.js'
import { Waiters } from '../../core/waiters.js'
import { type KeyName, toldAnswer } from '../../producer/keys/key-frames.js'
import type { Settlement, Verdict } from '../../producer/keys/key-store.js'
import type { LocalKeys, OnWait } from '../../producer/keys/keys.js'
import { EndedClaims } from './ended-claims.js'
import { type HeldPage, heldPage } from './held-keys.js'
import { CALL_TIMEOUT_MS, closing, type KeyLink, pausesOf } from './key-link.js'

/** How long an owner that has just been started lets a claim wait, at least. */
const READY_MS = 500
/** And at most: it may take as long as another process is away. */
const MAX_READY_MS = 2_000
const BUSY = { type: 'busy' } as const

/** A claim on a key, by the number that its process has given it. */
export interface NamedClaim {
  readonly key: KeyName
  readonly claim: number
}

export interface WaitingClaim extends NamedClaim {
  readonly waitMs: number
}

export interface EndedClaim extends NamedClaim {
  readonly settlement: Settlement
  /** Whether the process of the claim has records of the key, or may have some. */
  readonly holds: boolean
}

/** A claim of another process that has no verdict yet. */
interface AskedVerdict {
  readonly from: string
  isCancelled: boolean
  /** Ends its wait for another request. */
  end: () => void
}

interface AnsweredPage extends HeldPage {
  /** Of the process that has the keys. */
  readonly run: string
}

/**
 * The keys that this process owns: it tells all processes who may carry a request out and who has its records, and keeps the
 * answer.
 *
 * A process that was started again does not know which keys were in use. It asks all others for the keys that it owns and
 * whose records they have, before it grants any claim.
 */
export class OwnedKeys {
  readonly #own: LocalKeys
  readonly #link: KeyLink
  /** Claims that wait until all others have said what they hold. */
  readonly #waiting = new Waiters()
  /** Claims of other processes that wait for their verdict. */
  readonly #asked = new Map<number, AskedVerdict>()
  /** Claims that had ended when this process did not know them: they may still be on their way. */
  readonly #ended = new EndedClaims(() => performance.now())
  #isReady = false
  readonly #closing = closing()

  constructor(own: LocalKeys, link: KeyLink) {
    this.#own = own
    this.#link = link
    const serve = <Body>(name: string, handler: (body: Body, from: string) => unknown): void =>
      link.serve(name, (body, from) => handler(body as Body, from))
    serve('claim', (asked: WaitingClaim, from) => this.verdictOn(asked, from))
    serve('leave', ({ claim }: { claim: number }) => this.#left(claim))
    serve('confirm', ({ key, claim }: NamedClaim) => own.store.isClaimedBy(key.hash, claim))
    serve('settle', (ended: EndedClaim, from) => this.settle(ended, from))
    serve('moved', (claim: NamedClaim, from) => this.moved(claim, link.nameOf(from)))
    const pageFor = heldPage(own.holder, hash => link.ownerOf(hash))
    serve('held', ({ from }: { from: number }, run) => ({ ...pageFor(link.nameOf(run), from), run: link.run }))
    link.onGone(run => this.#gone(run))
    void this.#gather()
  }

  /** All others have said which keys they have. */
  get isReady(): boolean {
    return this.#isReady
  }

  close(): void {
    this.#closing.abort()
  }

  #gone(run: string): void {
    for (const asked of this.#asked.values()) if (asked.from === run) asked.isCancelled = true
    this.#own.store.gone(run)
  }

  async #gather(): Promise<void> {
    await Promise.all(this.#link.others.map(other => this.#gatherFrom(other)))
    this.#isReady = !this.#closing.signal.aborted
    this.#waiting.wake()
  }

  async #gatherFrom(other: string): Promise<void> {
    let [from, run] = [0, '']
    for (const pause = pausesOf(this.#link, this.#closing.signal); !this.#closing.signal.aborted; ) {
      try {
        const page = (await this.#link.call(other, 'held', { from }, CALL_TIMEOUT_MS)) as AnsweredPage | undefined
        if (page !== undefined && (from === 0 || page.run === run)) {
          run = page.run
          this.#opened(page, other)
          if (page.isLast) return
          from += page.keys.length
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

  #opened({ keys, run }: AnsweredPage, other: string): void {
    for (const { key, claim } of keys)
      this.#own.store.open(key, other, claim === undefined ? undefined : { claim, claimer: run })
  }

  /** For a request of this process. */
  verdictNow({ key, claim, waitMs }: WaitingClaim, onWait?: OnWait): Verdict | Promise<Verdict> {
    const { name } = this.#own
    const verdict = this.#own.verdictOn(key, name, claim, waitMs, onWait)
    return verdict instanceof Promise
      ? verdict.then(late => this.#inNames(late, key, name))
      : this.#inNames(verdict, key, name)
  }

  /** The verdict on this claim is not needed any more. */
  #left(claim: number): void {
    const asked = this.#asked.get(claim)
    if (asked === undefined) return
    asked.isCancelled = true
    asked.end()
  }

  /** The process whose request with the key is under way. */
  claimerOf(hash: string): string | undefined {
    const run = this.#own.store.claimerOf(hash)
    return run === undefined ? undefined : this.#nameOf(run)
  }

  /** @throws OverloadedError when others have not said in time which keys they have */
  async verdictOn({ key, claim, waitMs }: WaitingClaim, from: string, onWait?: OnWait): Promise<Verdict> {
    const answered = this.#own.store.answered(key)
    // Whatever others have, the answer to the key is this one.
    if (answered !== undefined) return answered
    await this.#untilReady(waitMs)
    if (this.#ended.has(claim)) return BUSY
    const asked: AskedVerdict = { from, isCancelled: false, end: () => undefined }
    this.#asked.set(claim, asked)
    const begins = (end: () => void): void => {
      asked.end = end
      onWait?.(end)
    }
    const verdict = await this.#own.verdictOn(key, from, claim, waitMs, begins)
    this.#asked.delete(claim)
    if (!asked.isCancelled) return this.#inNames(verdict, key, from)
    this.#own.settle(key, claim, { type: verdict.type === 'new' ? 'free' : 'open' }, () => undefined)
    return BUSY
  }

  /** Names the processes that have records. From now on the one that has asked may write some, too. */
  #inNames(verdict: Verdict, { hash }: KeyName, from: string): Verdict {
    if (verdict.type !== 'attach') return verdict
    const holders = [...new Set(verdict.holders.map(run => this.#nameOf(run)))]
    this.#own.store.heldBy(hash, [...new Set([...holders, this.#nameOf(from)])])
    return { ...verdict, holders }
  }

  #nameOf(run: string): string {
    return run === this.#own.name ? this.#link.self : this.#link.nameOf(run)
  }

  /** @throws OverloadedError when others have not said in time which keys they have */
  async #untilReady(waitMs: number): Promise<void> {
    if (!this.#isReady) await this.#waiting.wait(Math.min(Math.max(waitMs, READY_MS), MAX_READY_MS))
    if (!this.#isReady) throw new OverloadedError('not all processes have said yet which keys they have')
  }

  /**
   * Ends a claim.
   *
   * @returns whether the answer is kept; true if there is none
   * @throws OverloadedError before this process knows the claims of others
   */
  async settle({ key, claim, settlement, holds }: EndedClaim, from: string): Promise<boolean> {
    await this.#untilReady(0)
    const { store } = this.#own
    const asked = this.#asked.get(claim)
    if (asked !== undefined) asked.isCancelled = true
    else if (!store.isClaimedBy(key.hash, claim)) this.#ended.add(claim)
    if (!holds && store.isClaimedBy(key.hash, claim)) {
      const name = this.#nameOf(from)
      const holders = store.holdersOf(key.hash).filter(holder => this.#nameOf(holder) !== name)
      store.heldBy(key.hash, holders)
    }
    const own = settlement.type === 'answered' ? { ...settlement, answer: toldAnswer(settlement.answer) } : settlement
    return new Promise(resolve =>
      this.#own.settle(key, claim, own, isKept => resolve(own.type !== 'answered' || isKept))
    )
  }

  /**
   * No other process has records of the key.
   *
   * @returns false: the claim has ended, so another request may have the key
   */
  moved({ key: { hash }, claim }: NamedClaim, holder: string): boolean {
    const { store } = this.#own
    if (!store.isClaimedBy(hash, claim)) return false
    store.heldBy(hash, [holder])
    return true
  }
}
