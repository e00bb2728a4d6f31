import { randomUUID } from 'node:crypto'
import { codesOf } from '../../kafka/error-codes.js'
import type { Failure, ResultOf } from '../../router/messages/operations.js'
import { ownFailure } from '../../router/requests/failures.js'
import type { AskRouter } from '../partition/ask.js'

/** Time between two heartbeats until the first assignment, which Kafka tells with a heartbeat only. */
const EAGER_INTERVAL_MS = 250
/** A topic that does not exist is assigned when it is created, so the member does not stay eager. */
const EAGER_BEATS = 120
/** Pause after a heartbeat that was not answered, or was refused with an error that may pass. */
const RETRY_MS = 500
/** Pause after a refusal that does not pass by itself. */
const REFUSED_PAUSE_MS = 5_000
/** Shortest pause between two heartbeats, whatever interval the coordinator tells. */
const LEAST_INTERVAL_MS = 100
const HEARTBEAT_TIMEOUT_MS = 10_000
/** The coordinator has removed the member, or another member has its id. */
const fencedCodes = codesOf('FENCED_MEMBER_EPOCH', 'UNKNOWN_MEMBER_ID')

export interface ShareMemberOptions {
  readonly topic: string
  readonly groupId: string
  readonly ask: AskRouter
  /** Called with each heartbeat that was answered. `assignment` of it: what is assigned; `null`: as before. */
  readonly onAnswered: (assigned: ResultOf<'shareHeartbeat'> & { readonly type: 'success' }) => void
  readonly onFailed: (failure: Failure) => void
}

/**
 * The member of a share group. Its heartbeats make Kafka prepare the state of the group for the topic. It has that for good when
 * partitions are assigned. Which ones does not matter, because every session may fetch all partitions.
 */
export class ShareMember {
  readonly #options: ShareMemberOptions
  #memberId = randomUUID()
  /** Member epoch of the last answer; 0: the member joins with its next heartbeat. */
  #epoch = 0
  /** Number of heartbeats since the member has joined, until it is assigned partitions. */
  #eagerBeats = 0
  /** False: the coordinator does not know the member. */
  #mayBeKnown = false
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  constructor(options: ShareMemberOptions) {
    this.#options = options
  }

  /** Joins, and sends heartbeats until {@link leave}. To be called once. */
  join(): void {
    this.#beat()
  }

  #beat(): void {
    const { ask, groupId, topic } = this.#options
    const epoch = this.#epoch
    const request = { groupId, memberId: this.#memberId, memberEpoch: epoch, topics: epoch === 0 ? [topic] : null }
    const wasKnown = this.#mayBeKnown
    this.#mayBeKnown = true
    ask('shareHeartbeat', { ...request, timeoutMs: HEARTBEAT_TIMEOUT_MS }, result => {
      if (this.#isOver) return
      if (result.type === 'failed') this.#mayBeKnown = wasKnown
      const pauseMs = result.type === 'success' ? this.#answered(result) : this.#failed(result)
      if (!this.#isOver) this.#timer = setTimeout(() => this.#beat(), pauseMs)
    })
  }

  /** Leaves the group. Resolves when the coordinator has answered, after `timeoutMs` at the latest. */
  leave(timeoutMs: number): Promise<void> {
    const { ask, groupId } = this.#options
    clearTimeout(this.#timer)
    this.#isOver = true
    if (!this.#mayBeKnown) return Promise.resolve()
    const request = { groupId, memberId: this.#memberId, memberEpoch: -1, topics: null, timeoutMs }
    return new Promise(resolve => ask('shareHeartbeat', request, () => resolve()))
  }

  /** @returns the pause before the next heartbeat */
  #answered(result: ResultOf<'shareHeartbeat'> & { readonly type: 'success' }): number {
    this.#epoch = result.memberEpoch
    if ((result.assignment?.size ?? 0) > 0) this.#eagerBeats = EAGER_BEATS
    const isEager = this.#eagerBeats++ < EAGER_BEATS
    this.#options.onAnswered(result)
    const intervalMs = isEager ? Math.min(EAGER_INTERVAL_MS, result.heartbeatIntervalMs) : result.heartbeatIntervalMs
    return Math.max(LEAST_INTERVAL_MS, intervalMs)
  }

  #failed(result: Exclude<ResultOf<'shareHeartbeat'>, { readonly type: 'success' }>): number {
    const { onFailed } = this.#options
    if (result.type === 'timedOut') {
      onFailed(
        ownFailure('timedOut', `the coordinator of the group has not answered: ${result.reason ?? 'late'}`, true)
      )
      return RETRY_MS
    }
    if (result.errorCode !== undefined && fencedCodes.has(result.errorCode)) {
      // A late heartbeat of the former member must not be taken for one of the new member.
      this.#memberId = randomUUID()
      this.#epoch = 0
      this.#eagerBeats = 0
      return EAGER_INTERVAL_MS
    }
    onFailed(result)
    return result.retriable ? RETRY_MS : REFUSED_PAUSE_MS
  }
}
