import { errorCodes } from '../../kafka/error-codes.js'
import type { ResultOf } from '../../router/messages/operations.js'
import type { AskedRequest } from '../partition/ask.js'
import type { GroupRuntime, Timer } from './group-runtime.js'

/**
 * Longest interval while another rebalance is likely to help or to come: while clients wait and the member has no partitions
 * for them, and for a while after a rebalance, as members come and go one after another. A member that joins waits until
 * the heartbeats of all others were answered. Kafka-Pixy retries at this interval for a partition that another process owns.
 */
const SHORT_INTERVAL_MS = 500

export interface HeartbeatsOptions {
  readonly runtime: GroupRuntime
  readonly heartbeatIntervalMs: number
  readonly sessionTimeoutMs: number
  /** True while clients wait and the member has no partitions for them. */
  readonly isWaiting: () => boolean
  /** Called when all members have to join again, with each heartbeat until the rebalance has ended. */
  readonly onRebalance: () => void
  /** Called when the coordinator does not know the member or its generation. */
  readonly onExcluded: (errorCode: number | undefined) => void
  /** Called when no heartbeat was answered for the session time-out. Other members may then have the partitions. */
  readonly onSilence: () => void
}

export class Heartbeats {
  readonly #options: HeartbeatsOptions
  #timer: Timer | undefined
  /** The time at which the timer fires, and the function that it calls. */
  #next: { readonly at: number; readonly beat: () => void } | undefined
  #answeredAt = 0
  /** Until then the intervals are short, because there was a rebalance. */
  #shortUntil = Number.NEGATIVE_INFINITY
  /** The number of the run. An answer to a heartbeat of an earlier run is ignored. */
  #run = 0

  constructor(options: HeartbeatsOptions) {
    this.#options = options
  }

  /** @param wasIn the member was in the group before this rebalance, too */
  start(member: AskedRequest<'heartbeat'>, wasIn: boolean): void {
    this.stop()
    const { runtime, sessionTimeoutMs } = this.#options
    this.#answeredAt = runtime.clock()
    this.#shortUntil = wasIn ? this.#answeredAt + sessionTimeoutMs : Number.NEGATIVE_INFINITY
    this.#later(member, this.#run)
  }

  stop(): void {
    this.#run++
    this.#timer?.cancel()
    this.#next = undefined
  }

  /** Sends the next heartbeat earlier, because clients have begun to wait. */
  hurry(): void {
    const next = this.#next
    if (next && next.at - this.#options.runtime.clock() > SHORT_INTERVAL_MS) this.#set(next.beat, SHORT_INTERVAL_MS)
  }

  #later(member: AskedRequest<'heartbeat'>, run: number): void {
    const { runtime, heartbeatIntervalMs, isWaiting } = this.#options
    if (run !== this.#run) return
    const longestMs = isWaiting() || runtime.clock() < this.#shortUntil ? SHORT_INTERVAL_MS : heartbeatIntervalMs
    this.#set(() => this.#beat(member, run), Math.min(longestMs, heartbeatIntervalMs))
  }

  #set(beat: () => void, delayMs: number): void {
    const { runtime } = this.#options
    this.#timer?.cancel()
    this.#next = { at: runtime.clock() + delayMs, beat }
    this.#timer = runtime.after(delayMs, beat)
  }

  #beat(member: AskedRequest<'heartbeat'>, run: number): void {
    const { runtime, sessionTimeoutMs } = this.#options
    this.#next = undefined
    const timeoutMs = Math.max(1, this.#answeredAt + sessionTimeoutMs - runtime.clock())
    runtime.ask('heartbeat', { ...member, timeoutMs }, result => {
      if (run !== this.#run) return
      this.#answered(result)
      this.#later(member, run)
    })
  }

  #answered(result: ResultOf<'heartbeat'>): void {
    const { runtime, sessionTimeoutMs, onRebalance, onExcluded, onSilence } = this.#options
    const isRebalance = result.type === 'failed' && result.errorCode === errorCodes.REBALANCE_IN_PROGRESS
    if (result.type === 'success' || isRebalance) this.#answeredAt = runtime.clock()
    if (isRebalance) onRebalance()
    else if (result.type === 'failed' && !result.retriable) onExcluded(result.errorCode)
    else if (runtime.clock() - this.#answeredAt >= sessionTimeoutMs) onSilence()
  }
}
