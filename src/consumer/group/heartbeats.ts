import { errorCodes } from '../../kafka/error-codes.js'
import type { HeartbeatResult } from '../../router/messages/membership.js'
import type { GroupRequest, GroupRuntime, Timer } from './group-runtime.js'

/**
 * A member learns from its next heartbeat that another one has left. So it sends them at least this often while its clients wait
 * and it has no partitions for them. Kafka-Pixy tries as often to get a partition that another process owns.
 */
const WAITING_INTERVAL_MS = 500

export interface HeartbeatsOptions {
  readonly runtime: GroupRuntime
  readonly heartbeatIntervalMs: number
  readonly sessionTimeoutMs: number
  /** Whether clients wait at the member for partitions that another one may give up. */
  readonly isWaiting: () => boolean
  /** All members have to join again. Told with each heartbeat until it is over. */
  readonly onRebalance: () => void
  /** The coordinator does not know the member, or its generation. */
  readonly onExcluded: (errorCode: number | undefined) => void
  /** No heartbeat was answered for the session time-out, so others may have the member's partitions. */
  readonly onSilence: () => void
}

/** Keeps a member in its group: one heartbeat after another, while it runs. */
export class Heartbeats {
  readonly #options: HeartbeatsOptions
  #timer: Timer | undefined
  /** When the timer ends, and what it does. */
  #next: { readonly at: number; readonly beat: () => void } | undefined
  #answeredAt = 0
  /** Numbers the runs: an answer that belongs to an earlier one is ignored. */
  #run = 0

  constructor(options: HeartbeatsOptions) {
    this.#options = options
  }

  start(member: GroupRequest<'heartbeat'>): void {
    this.stop()
    this.#answeredAt = this.#options.runtime.clock()
    this.#later(member, this.#run)
  }

  stop(): void {
    this.#run++
    this.#timer?.cancel()
    this.#next = undefined
  }

  /** Clients have begun to wait: the next heartbeat need not be as late as others. */
  hurry(): void {
    const next = this.#next
    if (next && next.at - this.#options.runtime.clock() > WAITING_INTERVAL_MS) this.#set(next.beat, WAITING_INTERVAL_MS)
  }

  #later(member: GroupRequest<'heartbeat'>, run: number): void {
    const { heartbeatIntervalMs, isWaiting } = this.#options
    if (run !== this.#run) return
    const delayMs = isWaiting() ? Math.min(WAITING_INTERVAL_MS, heartbeatIntervalMs) : heartbeatIntervalMs
    this.#set(() => this.#beat(member, run), delayMs)
  }

  #set(beat: () => void, delayMs: number): void {
    const { runtime } = this.#options
    this.#timer?.cancel()
    this.#next = { at: runtime.clock() + delayMs, beat }
    this.#timer = runtime.after(delayMs, beat)
  }

  #beat(member: GroupRequest<'heartbeat'>, run: number): void {
    const { runtime, sessionTimeoutMs } = this.#options
    this.#next = undefined
    const timeoutMs = Math.max(1, this.#answeredAt + sessionTimeoutMs - runtime.clock())
    runtime.ask('heartbeat', { ...member, timeoutMs }, result => {
      if (run !== this.#run) return
      this.#answered(result)
      this.#later(member, run)
    })
  }

  #answered(result: HeartbeatResult): void {
    const { runtime, sessionTimeoutMs, onRebalance, onExcluded, onSilence } = this.#options
    const isRebalance = result.type === 'failed' && result.errorCode === errorCodes.REBALANCE_IN_PROGRESS
    if (result.type === 'success' || isRebalance) this.#answeredAt = runtime.clock()
    if (isRebalance) onRebalance()
    else if (result.type === 'failed' && !result.retriable) onExcluded(result.errorCode)
    else if (runtime.clock() - this.#answeredAt >= sessionTimeoutMs) onSilence()
  }
}
