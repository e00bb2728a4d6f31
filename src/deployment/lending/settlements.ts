import type { Timer } from '../../consumer/group/group-runtime.js'
import { getOrAdd } from '../../core/maps.js'
import { type LendingTime, type LoanState, MAX_SETTLED_OF_CALL, type SettledLoans } from '../calls/lending-calls.js'

/** The lender is told so much later that a client has got a message. If the message is settled sooner, only that is told. */
const HAD_MS = 20
const FIRST_PAUSE_MS = 100
const MAX_PAUSE_MS = 1_000
/**
 * A lender is gone when its calls have failed for this long and it cannot be called. A lender that stands still for a
 * shorter time keeps its partitions: the session of a member lasts 45 s.
 */
const GONE_MS = 60_000
/** One that can be called is trouble. */
const STUCK_MS = 10_000

export interface SettlementsDeps<Id> {
  readonly time: LendingTime
  /** After this time, the lender offers the messages again in any case. */
  readonly ackTimeoutMs: number
  /** Whether the gateway can be called. One that cannot for some time is gone. */
  readonly isThere: (id: Id) => boolean
  readonly call: (to: Id, settled: SettledLoans) => Promise<unknown>
}

interface Settlement {
  state: LoanState
  readonly since: number
}

/** Settlements that one lender has to learn. */
interface Lender {
  /** Due settlements by number of the loan. */
  readonly due: Map<number, Settlement>
  isCalling: boolean
  /** Since when its calls have failed. */
  failingSince: number | undefined
  pauseMs: number
  timer: Timer | undefined
  dueAt: number
}

/**
 * Tells each lender what has become of its loans: in one call at a time, which is repeated until the lender has answered, is gone,
 * or offers the messages again.
 */
export class Settlements<Id> {
  readonly #deps: SettlementsDeps<Id>
  readonly #lenders = new Map<Id, Lender>()
  readonly #whenEmpty = new Set<() => void>()
  #isClosed = false

  constructor(deps: SettlementsDeps<Id>) {
    this.#deps = deps
  }

  /** Loans of which something is to be told. */
  get size(): number {
    let size = 0
    for (const { due } of this.#lenders.values()) size += due.size
    return size
  }

  /** The number of lenders that have not answered for some time. */
  get stuck(): number {
    const now = this.#deps.time.clock()
    const since = [...this.#lenders.values()].map(({ failingSince = now }) => failingSince)
    return since.filter(at => now - at >= STUCK_MS).length
  }

  note(to: Id, id: number, state: LoanState): void {
    if (this.#isClosed) return
    const lender = this.#lenderOf(to)
    const known = lender.due.get(id)
    if (known !== undefined) known.state = state
    else lender.due.set(id, { state, since: this.#deps.time.clock() })
    this.#callIn(to, lender, state === 'had' ? HAD_MS : 0)
  }

  /** Calls back when nothing is left to be told, at once if nothing is. */
  whenEmpty(run: () => void): void {
    this.#whenEmpty.add(run)
    this.#noteEmpty()
  }

  /** Stops sending settlements. */
  close(): void {
    this.#isClosed = true
    for (const { due, timer } of this.#lenders.values()) {
      due.clear()
      timer?.cancel()
    }
    this.#lenders.clear()
    this.#noteEmpty()
  }

  #noteEmpty(): void {
    if (this.size > 0) return
    for (const run of this.#whenEmpty) run()
    this.#whenEmpty.clear()
  }

  #lenderOf(id: Id): Lender {
    return getOrAdd(this.#lenders, id, () => ({
      due: new Map(),
      isCalling: false,
      failingSince: undefined,
      pauseMs: FIRST_PAUSE_MS,
      timer: undefined,
      dueAt: Number.POSITIVE_INFINITY
    }))
  }

  #callIn(to: Id, lender: Lender, delayMs: number): void {
    const { after, clock } = this.#deps.time
    const dueAt = clock() + delayMs
    const isPaused = lender.failingSince !== undefined && lender.timer !== undefined
    if (lender.isCalling || isPaused || dueAt >= lender.dueAt) return
    lender.timer?.cancel()
    lender.dueAt = dueAt
    lender.timer = after(delayMs, () => {
      lender.timer = undefined
      lender.dueAt = Number.POSITIVE_INFINITY
      this.#call(to, lender)
    })
  }

  #call(to: Id, lender: Lender): void {
    this.#dropOld(lender)
    const told = [...lender.due].slice(0, MAX_SETTLED_OF_CALL).map(([id, { state }]) => ({ id, state }))
    if (told.length === 0) {
      this.#lenders.delete(to)
      this.#noteEmpty()
      return
    }
    lender.isCalling = true
    const settled = { had: [], acknowledged: [], delivered: [], returned: [] } as Record<LoanState, number[]>
    for (const { id, state } of told) settled[state].push(id)
    this.#deps.call(to, settled).then(
      () => this.#answered(to, lender, told),
      () => this.#failed(to, lender)
    )
  }

  #answered(to: Id, lender: Lender, told: readonly { readonly id: number; readonly state: LoanState }[]): void {
    lender.isCalling = false
    lender.failingSince = undefined
    lender.pauseMs = FIRST_PAUSE_MS
    for (const { id, state } of told) if (lender.due.get(id)?.state === state) lender.due.delete(id)
    if (lender.due.size > 0) this.#callIn(to, lender, 0)
    else this.#lenders.delete(to)
    this.#noteEmpty()
  }

  #failed(to: Id, lender: Lender): void {
    const now = this.#deps.time.clock()
    lender.isCalling = false
    lender.failingSince ??= now
    // If its successor answers, or no gateway does, the messages are offered again.
    if (now - lender.failingSince >= GONE_MS && !this.#deps.isThere(to)) lender.due.clear()
    this.#callIn(to, lender, lender.pauseMs)
    lender.pauseMs = Math.min(MAX_PAUSE_MS, 2 * lender.pauseMs)
  }

  #dropOld({ due }: Lender): void {
    const now = this.#deps.time.clock()
    for (const [id, { since }] of due) if (now - since >= this.#deps.ackTimeoutMs) due.delete(id)
  }
}
