import type { Logger, MonotonicClock, RecordFailure } from '../../core/model.js'
import { suggestion } from '../../core/settings/problems.js'
import type {
  AskedKind,
  CloseShareConnection,
  Failure,
  FollowTopics,
  Produce,
  RouterMessage,
  TopicChanged,
  UnfollowTopics
} from '../messages/operations.js'
import { descriptorOf, operations } from '../processors/operations.js'
import { notSent, produceBatch, resetBatch } from '../processors/produce-admission.js'
import { invalid, ownFailure } from '../requests/failures.js'
import { fail, isOf, OpenRequest, type OpenRequests } from '../requests/open-requests.js'
import type { RequestFor } from '../requests/operation.js'
import type { ClusterIdentity } from './broker-pool.js'
import type { RouterMailbox, RouterNotice } from './messages.js'
import type { RouterSettings } from './settings.js'

export interface RequestAdmissionOptions {
  readonly openRequests: OpenRequests
  readonly cluster: ClusterIdentity
  readonly settings: RouterSettings
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly delivery?: { produce(request: Produce): void } | undefined
  readonly routing: {
    route(request: OpenRequest, now: number): void
    /** Takes news and subscriptions of topics, which have no answer. */
    notice(message: UnansweredRequest, now: number): void
  }
}

type OutsideRequest = RequestFor<AskedKind>

export const ROUTER_SHUTTING_DOWN = ownFailure('shuttingDown', 'the router is shutting down', true)
const NO_DELIVERY = ownFailure('invalidRequest', 'this router was started without delivery', false)

/**
 * Takes messages from outside: each request is checked, accepted and routed, or refused. It remembers how many requests
 * of the current message it has taken, so that after a bug each of them still gets exactly one answer.
 */
export class RequestAdmission {
  readonly #options: RequestAdmissionOptions
  /** The number of accepted requests of the current message, and the last accepted request. */
  #taken = 0
  #inHand: OpenRequest | undefined

  constructor(options: RequestAdmissionOptions) {
    this.#options = options
  }

  take(message: RouterMessage, now: number): void {
    if (message.type === 'requests') for (const request of message.requests) this.#takeOne(request, now)
    else if (message.type === 'produceBatches') for (const batch of message.batches) this.#takeBatch(batch, now)
    else if (isUnanswered(message)) this.#options.routing.notice(message, now)
    else this.#takeOne(message, now)
  }

  /** Starts a new message: none of its requests has been accepted yet. */
  nextMessage(): void {
    this.#taken = 0
    this.#inHand = undefined
  }

  /** Answers the request that was being routed when {@link take} threw. */
  failInHand(failure: Failure): void {
    if (this.#inHand) fail(this.#inHand, failure)
  }

  /** Answers the open requests of a message whose handling threw an error. */
  refuseRest(message: RouterMailbox, failure: Failure): void {
    switch (message.type) {
      case 'requests':
        this.refuse({ ...message, requests: message.requests.slice(this.#taken) }, failure)
        break
      case 'produceBatches':
        this.refuse({ ...message, batches: message.batches.slice(this.#taken) }, failure)
        break
      case 'returned':
        for (const group of message.groups) for (const request of group.requests) fail(request, failure)
        break
      case 'unreachable':
      case 'crashed':
        for (const request of message.requests) fail(request, failure)
        break
      default:
        if (this.#taken === 0 && isFromOutside(message)) this.refuse(message, failure)
    }
  }

  /** Answers a message that came too late to be accepted. A message that cannot be understood is logged. */
  refuse(message: RouterMessage, failure = ROUTER_SHUTTING_DOWN): void {
    try {
      this.#refuse(message, failure)
    } catch (error) {
      this.#options.log.error({ err: error }, 'a message to the router could not be answered')
    }
  }

  #refuse(message: RouterMessage, failure: Failure): void {
    const { openRequests, clock } = this.#options
    if (message.type === 'requests') for (const request of message.requests) this.refuse(request, failure)
    else if (message.type === 'produce') refuseProduce(message, failure)
    else if (message.type === 'produceBatches') {
      for (const batch of message.batches) fail(openRequests.accept(produceBatch, batch, 0, clock()), failure)
    } else if (!isUnanswered(message)) fail(this.#accept(message, clock()), failure)
  }

  #takeBatch(batch: RequestFor<'produceBatch'>, now: number): void {
    const { cluster, settings } = this.#options
    const accepted = this.#acceptBatch(batch, settings.produceWaitMs, now)
    batch.accepted = accepted
    batch.recall = recall
    if (cluster.isSame(batch.clusterId ?? null)) this.#send(accepted, now)
    else {
      this.#taken++
      notSent(accepted, 'clusterChanged')
    }
  }

  /** An object for each of many small batches is much garbage, so the object of an appended batch is used again. */
  #acceptBatch(batch: RequestFor<'produceBatch'>, timeoutMs: number, now: number): OpenRequest<'produceBatch'> {
    const { openRequests } = this.#options
    const before = batch.accepted
    if (!(before instanceof OpenRequest) || !before.isOver)
      return openRequests.accept(produceBatch, batch, timeoutMs, now)
    const again = before as OpenRequest<'produceBatch'>
    resetBatch(again.state)
    openRequests.acceptAgain(again, timeoutMs, now)
    return again
  }

  #takeOne(request: OutsideRequest | Produce, now: number): void {
    if (request.type === 'produce') {
      this.#taken++
      if (this.#options.delivery) this.#options.delivery.produce(request)
      else refuseProduce(request, NO_DELIVERY)
      return
    }
    const accepted = this.#accept(request, now)
    const problem = problemOf(accepted)
    if (!problem) this.#send(accepted, now)
    else {
      this.#taken++
      fail(accepted, problem)
    }
  }

  #accept(request: OutsideRequest, now: number): OpenRequest {
    const { openRequests, settings } = this.#options
    const timeoutMs = request.timeoutMs ?? settings.requestTimeoutMs
    return openRequests.accept(descriptorOf(request.type), request, timeoutMs, now)
  }

  #send(request: OpenRequest, now: number): void {
    this.#inHand = request
    this.#taken++
    if (isOf(request, 'commitConsumerOffset')) request.state.clusterId = this.#options.cluster.id
    this.#options.routing.route(request, now)
  }
}

/** Takes back the batch whose method it is, unless a call with it is in flight. */
function recall(this: RequestFor<'produceBatch'>): boolean {
  const { accepted } = this
  return accepted !== undefined && !accepted.state.inFlight && notSent(accepted, 'noLeader')
}

type UnansweredRequest = FollowTopics | UnfollowTopics | TopicChanged | CloseShareConnection
const unanswered = {
  followTopics: true,
  unfollowTopics: true,
  topicChanged: true,
  closeShareConnection: true
} as const satisfies Record<UnansweredRequest['type'], true>
/** True for a message without an answer, which is not refused. */
const isUnanswered = (message: RouterMessage): message is UnansweredRequest => Object.hasOwn(unanswered, message.type)

/**
 * Answers a Produce request that was refused as a whole. None of its records is written. If it has no list of records,
 * the answer has one failure.
 */
function refuseProduce({ records, requester }: Produce, failure: Failure): void {
  const { code, errorCode, message, retriable } = failure
  const outcome: RecordFailure = { type: 'failed', code, errorCode, message, retriable, persisted: 'no' }
  const outcomes = Array.isArray(records) ? records.map(() => outcome) : [outcome]
  requester.reply({ operation: 'produce', type: 'completed', outcomes })
}

/** The types of messages that need no further check here. `produceBatch` is sent in `produceBatches` only. */
const plainMessages: ReadonlySet<unknown> = new Set([
  ...Object.keys(operations).filter(type => type !== 'produceBatch'),
  ...(['produce', 'produceBatches'] satisfies RouterMessage['type'][])
])

/** The failure for a message that is no request; it names the type that the sender may have meant. */
export function notRequest(message: unknown): Failure {
  const { type } = (message ?? {}) as { readonly type?: unknown }
  const meant = typeof type === 'string' ? suggestion(type, Object.keys(operations)) : ''
  return invalid('invalidRequest', `this is not a request to the router${meant}`)
}

/** True for a list of requests, some of which the Router may not understand. */
export const isList = (message: RouterMessage): message is Extract<RouterMessage, { type: 'requests' }> =>
  message?.type === 'requests' && Array.isArray(message.requests)

/** True for a message that the Router understands. JavaScript callers may send anything. */
export function isRouterMessage(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false
  const { type } = message as Partial<Record<string, unknown>>
  if (plainMessages.has(type)) return true
  const { requests, topics, topic, memberId } = message as Partial<Record<string, unknown>>
  if (type === 'closeShareConnection') return typeof memberId === 'string'
  if (type === 'topicChanged') return typeof topic === 'string'
  if (type === 'followTopics' || type === 'unfollowTopics') return Array.isArray(topics) && 'follower' in message
  return type === 'requests' && Array.isArray(requests) && requests.every(isRouterMessage)
}

/** The reason to refuse this request; `undefined`: it is accepted. */
function problemOf({ operation, request }: OpenRequest): Failure | undefined {
  const { timeoutMs } = request as { readonly timeoutMs?: unknown }
  if (!isTimeout(timeoutMs)) return invalid('invalidRequest', `not a time-out: ${timeoutMs}`)
  try {
    return operation.problemOf(request as never)
  } catch {
    return invalid('invalidRequest', `a ${operation.kind} request lacks a part`)
  }
}

const isTimeout = (timeoutMs: unknown): boolean =>
  timeoutMs === undefined || (typeof timeoutMs === 'number' && !Number.isNaN(timeoutMs))

const notices = {
  metadataAnswered: true,
  metadataFailed: true,
  metadataSeen: true,
  returned: true,
  unreachable: true,
  crashed: true,
  coordinatorFound: true,
  searchCoordinator: true,
  wake: true,
  brokerIsBack: true,
  refreshDue: true,
  maintain: true,
  stop: true
} as const satisfies Record<RouterNotice['type'], true>

/** True for a message of a user of the Router, false for a message of its own parts. */
export const isFromOutside = (message: RouterMailbox): message is RouterMessage => !Object.hasOwn(notices, message.type)
