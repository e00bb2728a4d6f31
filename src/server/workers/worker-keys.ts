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
import type { WorkerPeers } from './peers.js'

const CALL_TIMEOUT_MS = 5_000
/** A call that waits takes this much longer than its wait. */
const MARGIN_MS = 1_000
/** Pause before a call to a worker that does not serve is repeated. */
const RETRY_MS = 100
/** How long a worker that has an answer tries to reach the owner of its key. */
const SETTLE_FOR_MS = 60_000
/** How long the outcomes of records at another worker are waited for. */
const OUTCOMES_MS = 120_000

/** A claim of this worker on a key, and the worker that says who has it. */
interface AskedClaim {
  readonly key: KeyName
  readonly claim: number
  readonly owner: number
}

/** A claim that this worker has. */
interface WorkersClaim extends AskedClaim {
  readonly records: KeyedRecords
  /** The worker that has the records; `undefined`: this one. */
  readonly holder: number | undefined
}

interface HeldKey {
  readonly key: KeyName
  /** The request that is under way; absent: none is. */
  readonly claim: number | undefined
}

/** The worker that owns a key. All workers compute the same owner. */
export const ownerOfKey = (hash: string, workers: number): number =>
  ((hash.charCodeAt(0) * 256 + hash.charCodeAt(1)) % workers) + 1

/**
 * The keys of a gateway that consists of several workers. Each key has one worker as its owner, which says who may carry a
 * request out, and keeps the answer. The records stay with the worker that got the request.
 *
 * A worker that was started again does not know which keys were in use. It asks all others for the keys that it owns and
 * whose records they have, before it grants any claim.
 */
export class WorkerKeys implements Keys {
  readonly reach = 'gateway'
  readonly #own: LocalKeys
  readonly #peers: WorkerPeers
  /** Resolves when all others have said what they hold. */
  readonly #ready: Promise<void>
  /** Claims of other workers that wait for their verdict. */
  readonly #asked = new Map<number, { readonly from: number; isCancelled: boolean }>()
  #isReady = false
  #isClosed = false

  constructor(own: LocalKeys, peers: WorkerPeers) {
    this.#own = own
    this.#peers = peers
    const serve = <Body>(name: string, handler: (body: Body, from: number) => unknown): void =>
      peers.serve(`key ${name}`, (body, { from }) => handler(body as Body, from))
    serve('claim', (asked: { key: KeyName; claim: number; waitMs: number }, from) => this.#verdictOn(asked, from))
    serve('settle', ({ key, claim, settlement }: { key: KeyName; claim: number; settlement: Settlement }) =>
      this.#settled(key, claim, settlement)
    )
    serve('moved', ({ hash }: KeyName, from) => own.store.moved(hash, String(from)))
    serve('records', ({ hash }: KeyName) => own.holder.find(hash)?.view)
    serve('outcomes', ({ hash, waitMs }: { hash: string; waitMs: number }) => this.#outcomesOf(hash, waitMs))
    serve('ended', ({ hash }: KeyName) => this.#ended(hash))
    serve('held', (_, from) => this.#heldFor(from))
    peers.onGone(number => this.#gone(number))
    this.#ready = this.#gather()
  }

  close(): void {
    this.#isClosed = true
  }

  #gone(number: number): void {
    for (const asked of this.#asked.values()) if (asked.from === number) asked.isCancelled = true
    this.#own.store.gone(String(number))
  }

  async #gather(): Promise<void> {
    await Promise.all(this.#peers.others.map(other => this.#gatherFrom(other)))
    this.#isReady = true
  }

  async #gatherFrom(other: number): Promise<void> {
    while (!this.#isClosed) {
      try {
        const held = (await this.#call(other, 'held', {}, CALL_TIMEOUT_MS)) as readonly HeldKey[] | undefined
        for (const { key, claim } of held ?? []) this.#own.store.open(key, String(other), claim)
        if (held !== undefined) return
      } catch {
        // It does not serve yet.
      }
      await pause(RETRY_MS)
    }
  }

  #heldFor(owner: number): readonly HeldKey[] {
    return [...this.#own.holder.all]
      .filter(({ key }) => this.#ownerOf(key.hash) === owner)
      .map(({ key, claim }) => ({ key, claim }))
  }

  #ownerOf(hash: string): number {
    return ownerOfKey(hash, this.#peers.count)
  }

  claim(asked: AskedKey, waitMs: number): Claim | Promise<Claim> {
    const owner = this.#ownerOf(asked.hash)
    const isOwn = owner === this.#peers.id
    const key = this.#own.nameOf(asked)
    const mine = { key, claim: this.#own.nextClaim(), owner }
    if (!isOwn || !this.#isReady) return this.#claimLater(mine, waitMs)
    const verdict = this.#own.verdictOn(key, this.#own.name, mine.claim, waitMs)
    return verdict instanceof Promise ? verdict.then(late => this.#claimOf(mine, late)) : this.#claimOf(mine, verdict)
  }

  async #claimLater(mine: AskedClaim, waitMs: number): Promise<Claim> {
    const { key, claim, owner } = mine
    const asked = { key, claim, waitMs }
    let verdict: SettledVerdict | undefined
    try {
      verdict =
        owner === this.#peers.id
          ? await this.#verdictOn(asked, owner)
          : ((await this.#call(owner, 'claim', asked, waitMs + MARGIN_MS)) as SettledVerdict | undefined)
    } catch {
      // The owner may have given the key to this claim, and its answer came too late.
      void this.#tellOwner(mine, { type: 'open' })
    }
    if (verdict === undefined) return { type: 'away' }
    try {
      return await this.#claimOf(mine, verdict)
    } catch {
      return { type: 'away' }
    }
  }

  /** As the owner of a key. */
  async #verdictOn(
    { key, claim, waitMs }: { key: KeyName; claim: number; waitMs: number },
    from: number
  ): Promise<SettledVerdict> {
    if (!this.#isReady && (await Promise.race([this.#ready, pause(waitMs).then(() => 'late')])) === 'late')
      throw new Error('not all workers have said yet which keys they have')
    const asked = { from, isCancelled: false }
    this.#asked.set(claim, asked)
    const verdict = await this.#own.verdictOn(key, String(from), claim, waitMs)
    this.#asked.delete(claim)
    if (!asked.isCancelled) return verdict
    this.#own.settle(key, claim, { type: verdict.type === 'new' ? 'free' : 'open' }, () => undefined)
    return { type: 'busy' }
  }

  async #settled(key: KeyName, claim: number, settlement: Settlement): Promise<true> {
    // Before, this worker does not know the claims of others.
    await this.#ready
    const asked = this.#asked.get(claim)
    if (asked !== undefined) asked.isCancelled = true
    const own =
      settlement.type === 'answered'
        ? { ...settlement, answer: { ...settlement.answer, body: Buffer.from(settlement.answer.body) } }
        : settlement
    return new Promise(resolve => this.#own.settle(key, claim, own, () => resolve(true)))
  }

  #claimOf(mine: AskedClaim, verdict: SettledVerdict): Claim | Promise<Claim> {
    const { key } = mine
    if (verdict.type === 'answered') {
      return { ...verdict, answer: { ...verdict.answer, body: Buffer.from(verdict.answer.body) } }
    }
    if (verdict.type === 'new') return this.#claimed(this.#own.holder.ofNew(key), mine)
    if (verdict.type !== 'attach') return verdict
    if (verdict.holder === this.#own.name) return this.#claimed(this.#own.holder.of(key), mine)
    return this.#attach(mine, Number(verdict.holder))
  }

  /** @param holder the worker that has the records; absent: this one */
  #claimed(records: KeyedRecords, mine: AskedClaim, holder?: number): Claim {
    const { key, claim, owner } = mine
    if (owner === this.#peers.id && holder === undefined) return this.#own.claimed(records, key, claim)
    records.claim = claim
    const settle = (settlement: Settlement, settled: () => void): void =>
      void this.#settle({ ...mine, records, holder }, settlement, settled)
    return { type: 'claimed', key: new ClaimedKey(records, this.#own.holder, settle) }
  }

  /** No answer needs the records of this worker any more. */
  #ended(hash: string): Promise<void> {
    const records = this.#own.holder.find(hash)
    return new Promise(resolve => {
      if (records === undefined) resolve()
      else this.#own.holder.endWritten(records, resolve)
    })
  }

  /** No answer needs the records any more, wherever they are. A worker that does not answer keeps them until they expire. */
  async #end({ records, key, holder }: WorkersClaim): Promise<void> {
    if (holder === undefined) await new Promise<void>(resolve => this.#own.holder.endWritten(records, resolve))
    else await this.#call(holder, 'ended', key, CALL_TIMEOUT_MS).catch(() => undefined)
  }

  /**
   * The answer leaves when the owner has it. If the owner does not answer, the answer leaves all the same: this worker has
   * the records, and says so when the owner serves again.
   */
  async #settle(claim: WorkersClaim, settlement: Settlement, settled: () => void): Promise<void> {
    const { records } = claim
    let isTold = false
    // A request that comes as soon as the key is free must not find the records of this one.
    if (settlement.type === 'free') await this.#end(claim)
    const isKept = await this.#tellOwner(claim, settlement, () => {
      records.isOpen = true
      if (!isTold) settled()
      isTold = true
    })
    records.claim = undefined
    if (settlement.type === 'open') records.isOpen = true
    else if (isKept && settlement.type === 'answered') void this.#end(claim)
    if (!isTold) settled()
  }

  /**
   * Ends a claim of this worker.
   *
   * @param failed called when the owner does not answer, each time
   * @returns whether the owner knows it
   */
  async #tellOwner(
    { key, claim, owner }: AskedClaim,
    settlement: Settlement,
    failed: () => void = () => undefined
  ): Promise<boolean> {
    const giveUpAt = performance.now() + SETTLE_FOR_MS
    while (!this.#isClosed && performance.now() < giveUpAt) {
      try {
        if (owner === this.#peers.id) await this.#settled(key, claim, settlement)
        else await this.#call(owner, 'settle', { key, claim, settlement }, CALL_TIMEOUT_MS)
        return true
      } catch {
        failed()
        await pause(RETRY_MS)
      }
    }
    return false
  }

  /** The records are at another worker; one that was started again knows those of its durable log. */
  async #attach(mine: AskedClaim, holder: number): Promise<Claim> {
    const { key, owner } = mine
    let view: RecordsView | undefined
    try {
      view = (await this.#call(holder, 'records', key, CALL_TIMEOUT_MS)) as RecordsView | undefined
      if (view === undefined || view.outcomes.length === 0) {
        // It had accepted none.
        if (owner === this.#peers.id) this.#own.store.moved(key.hash, this.#own.name)
        else await this.#call(owner, 'moved', key, CALL_TIMEOUT_MS)
        return this.#claimed(this.#own.holder.of(key), mine)
      }
    } catch {
      void this.#tellOwner(mine, { type: 'open' })
      return { type: 'away' }
    }
    const records = new KeyedRecords(key)
    records.learn(view)
    void this.#follow(records, holder)
    return this.#claimed(records, mine, holder)
  }

  async #follow(records: KeyedRecords, holder: number): Promise<void> {
    const { hash } = records.key
    try {
      const asked = { hash, waitMs: OUTCOMES_MS }
      const view = (await this.#call(holder, 'outcomes', asked, OUTCOMES_MS + MARGIN_MS)) as RecordsView | undefined
      if (view !== undefined) records.learn(view)
    } catch {
      // The request is answered that the outcome is unknown.
    }
  }

  async #outcomesOf(hash: string, waitMs: number): Promise<RecordsView | undefined> {
    const records = this.#own.holder.find(hash)
    await records?.allFinal(waitMs)
    return records?.view
  }

  #call(to: number, name: string, body: object, timeoutMs: number): Promise<unknown> {
    return this.#peers.call(to, `key ${name}`, body, { timeoutMs })
  }
}

const pause = (durationMs: number): Promise<void> =>
  new Promise(resolve => {
    setTimeout(resolve, durationMs).unref()
  })
