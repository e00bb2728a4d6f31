import type { HeartbeatResult } from '../operations/membership.js'
import { errorCodes } from '../wire/error-codes.js'
import type { GroupHands, GroupRequest, Timer } from './hands.js'

export interface HeartbeatsOptions {
  readonly hands: GroupHands
  readonly heartbeatIntervalMs: number
  readonly sessionTimeoutMs: number
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
  #answeredAt = 0
  /** Numbers the runs: an answer that belongs to an earlier one is ignored. */
  #run = 0

  constructor(options: HeartbeatsOptions) {
    this.#options = options
  }

  start(member: GroupRequest<'heartbeat'>): void {
    this.stop()
    this.#answeredAt = this.#options.hands.clock()
    this.#later(member, this.#run)
  }

  stop(): void {
    this.#run++
    this.#timer?.cancel()
  }

  #later(member: GroupRequest<'heartbeat'>, run: number): void {
    const { hands, heartbeatIntervalMs } = this.#options
    if (run === this.#run) this.#timer = hands.after(heartbeatIntervalMs, () => this.#beat(member, run))
  }

  #beat(member: GroupRequest<'heartbeat'>, run: number): void {
    const { hands, sessionTimeoutMs } = this.#options
    const timeoutMs = Math.max(1, this.#answeredAt + sessionTimeoutMs - hands.clock())
    hands.ask('heartbeat', { ...member, timeoutMs }, result => {
      if (run !== this.#run) return
      this.#answered(result)
      this.#later(member, run)
    })
  }

  #answered(result: HeartbeatResult): void {
    const { hands, sessionTimeoutMs, onRebalance, onExcluded, onSilence } = this.#options
    const isRebalance = result.type === 'failed' && result.errorCode === errorCodes.REBALANCE_IN_PROGRESS
    if (result.type === 'success' || isRebalance) this.#answeredAt = hands.clock()
    if (isRebalance) onRebalance()
    else if (result.type === 'failed' && !result.retriable) onExcluded(result.errorCode)
    else if (hands.clock() - this.#answeredAt >= sessionTimeoutMs) onSilence()
  }
}
