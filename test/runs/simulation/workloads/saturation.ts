import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import type { LendingWatch } from './lending-watch.js'

/** A gateway tells others at most so often what is wanted. */
const MORE_MS = 100
/** Of a message that is lent: want, offer, take and answer, and a new connection for each. */
const MORE_WAYS = 12
/** Of the messages at most so many are returned. */
const MOST_RETURNED = 0.05

type Who = 'together' | 'alone'

export interface SaturationOptions {
  /** The share of messages that are lent at the most. */
  readonly mostLent: number
  /** Of lending, for each message. */
  readonly mostCalls: number
  readonly longestWayMs: number
}

/**
 * How long clients of several gateways wait for a message at rest, beside clients of one gateway that have the same to do; and what
 * lending costs meanwhile.
 */
export class Saturation implements Workload {
  readonly name = 'saturation'
  readonly isFinished = true
  readonly #waited: Readonly<Record<Who, number[]>> = { together: [], alone: [] }
  /** Counts of the watch, when the first and the last message came. */
  #first: Readonly<Record<string, number>> | undefined
  #last: Readonly<Record<string, number>> | undefined

  constructor(
    readonly host: Host,
    readonly options: SaturationOptions,
    readonly watch: LendingWatch
  ) {}

  start(): void {}

  stop(): void {}

  tryOnceMore(succeeded: () => void): void {
    succeeded()
  }

  /** @param waitedMs since the request was sent and the message was written */
  waited(who: Who, waitedMs: number): void {
    this.#waited[who].push(waitedMs)
    if (who === 'alone') return
    this.#last = { ...this.watch.counts }
    this.#first ??= this.#last
  }

  get counts(): Readonly<Record<string, number>> {
    const of = (who: Who) => ({
      [`messages ${who}`]: this.#waited[who].length,
      [`ms median ${who}`]: this.#waitOf(who, 0.5),
      [`ms p99 ${who}`]: this.#waitOf(who, 0.99),
      [`ms longest ${who}`]: this.#waitOf(who, 1)
    })
    const [lent, returned, calls] = [this.#since('loans'), this.#since('released'), this.#since('calls')]
    return { ...of('together'), ...of('alone'), lent, returned, calls }
  }

  check(): readonly Violation[] {
    const { together, alone } = this.#waited
    const { mostLent, mostCalls, longestWayMs } = this.options
    const violations: Violation[] = []
    const violated = (rule: string, what: string) => void violations.push({ rule, what })
    if (together.length === 0 || alone.length === 0) violated('not measured', 'no message at rest')
    const moreMs = this.#waitOf('together', 1) - this.#waitOf('alone', 1)
    if (moreMs > MORE_MS + MORE_WAYS * longestWayMs)
      violated('waited longer', `${moreMs.toFixed(1)} ms than at one gateway`)
    const most = { loans: mostLent, released: MOST_RETURNED, calls: mostCalls }
    for (const [name, share] of Object.entries(most))
      if (this.#since(name) > share * together.length)
        violated('cost', `${this.#since(name)} ${name} of ${together.length} messages`)
    return violations
  }

  #since(name: string): number {
    return (this.#last?.[name] ?? 0) - (this.#first?.[name] ?? 0)
  }

  #waitOf(who: Who, share: number): number {
    const sorted = this.#waited[who].toSorted((one, other) => one - other)
    return Math.round(10 * (sorted[Math.floor(share * (sorted.length - 1))] ?? 0)) / 10
  }
}
