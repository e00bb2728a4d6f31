import type { ActorRef } from '../../core/actor/actor.js'
import { backoffMs } from '../../core/backoff.js'
import type { Failure } from '../messages/operations.js'
import type { AnyAccepted } from '../requests/accepted.js'
import { fail } from '../requests/answers.js'
import { Alarm } from '../requests/deadlines.js'
import { ownFailure } from '../requests/failures.js'
import type { OpenRequests } from '../requests/open-requests.js'
import type { RouterNotice } from './messages.js'
import { RequestQueues, type WaitingClass, type WaitingPlace } from './request-queues.js'
import type { RouterSettings } from './settings.js'

export interface WaitingOptions {
  readonly openRequests: OpenRequests
  readonly settings: RouterSettings
  readonly random: () => number
  readonly self: ActorRef<RouterNotice>
}

const TOPIC_PLACE = 'topic:'
/** Where requests wait that any broker can answer, while none can be reached. */
export const ANY_NODE: WaitingPlace = 'anyNode'
export const topicPlace = (topic: string): WaitingPlace => TOPIC_PLACE + topic
export const groupPlace = (groupId: string): WaitingPlace => `group:${groupId}`
export const linePlace = (key: string): WaitingPlace => `commits:${key}`
export const nodePlace = (nodeId: number): WaitingPlace => `node:${nodeId}`

/** Requests that cannot be sent now, with what they wait for, and the pauses after which they are sent again. */
export class WaitingRequests {
  readonly queues: RequestQueues
  readonly #options: WaitingOptions
  #rests = 0

  /** @param onTopicEmpty called when no request waits for a topic any more */
  constructor(options: WaitingOptions, onTopicEmpty: (topic: string) => void) {
    this.#options = options
    const { openRequests, settings } = options
    const limit = settings.maxWaitingRequests
    this.queues = new RequestQueues({
      openRequests,
      limit,
      onEvicted: request => fail(request, tooManyWaiting(limit)),
      onEmpty: place => {
        if (place.startsWith(TOPIC_PLACE)) onTopicEmpty(place.slice(TOPIC_PLACE.length))
      }
    })
  }

  /** False when the limit is reached; the request has then been answered. */
  enqueue(place: WaitingPlace, request: AnyAccepted, as: WaitingClass = 'known'): boolean {
    if (this.queues.enqueue(place, request, as)) return true
    fail(request, tooManyWaiting(this.#options.settings.maxWaitingRequests))
    return false
  }

  /** Routes one request again after a pause. */
  rest(request: AnyAccepted, forMs: number, now: number): void {
    const place = `rest:${++this.#rests}`
    if (this.enqueue(place, request)) this.wakeAt(place, now + forMs)
  }

  wakeAt(place: WaitingPlace, at: number): void {
    const { openRequests, self } = this.#options
    openRequests.deadlines.add(new Alarm(at, () => self.tell({ type: 'wake', place })))
  }

  /** @param attempt counted from 1 */
  pauseMs(attempt: number): number {
    const { retryBackoffMs, retryBackoffMaxMs } = this.#options.settings
    return backoffMs(attempt - 1, retryBackoffMs, retryBackoffMaxMs, this.#options.random)
  }
}

const tooManyWaiting = (limit: number): Failure =>
  ownFailure('overloaded', `too many requests wait for Kafka (limit ${limit}; maxWaitingRequests)`, true)
