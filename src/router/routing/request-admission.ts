import type { Logger, MonotonicClock } from '../../core/model.js'
import type {
  AskedKind,
  Failure,
  FollowTopics,
  Produce,
  RouterMessage,
  UnfollowTopics
} from '../messages/operations.js'
import { descriptorOf } from '../processors/operations.js'
import { notSent, produceBatch } from '../processors/produce-batch.js'
import type { AnyAccepted } from '../requests/accepted.js'
import { fail } from '../requests/answers.js'
import { ownFailure } from '../requests/failures.js'
import type { OpenRequests } from '../requests/open-requests.js'
import type { RequestFor } from '../requests/operation.js'
import type { ClusterIdentity } from './cluster-identity.js'
import { isFromOutside, type RouterMailbox } from './messages.js'
import { refuseProduce } from './refuse-produce.js'
import type { RouterSettings } from './settings.js'
import { problemOf } from './validate.js'

export interface RequestAdmissionOptions {
  readonly openRequests: OpenRequests
  readonly cluster: ClusterIdentity
  readonly settings: RouterSettings
  readonly clock: MonotonicClock
  readonly log: Logger
  readonly delivery?: { produce(request: Produce): void } | undefined
  /** Sends an accepted request on its way. */
  readonly route: (request: AnyAccepted, now: number) => void
  /** Delivery wants to be told about topics, or not any more. */
  readonly follow: (message: FollowTopics | UnfollowTopics, now: number) => void
}

/** A request that brokers are asked. */
type Asked = RequestFor<AskedKind>

export const SHUTTING_DOWN = ownFailure('shuttingDown', 'the router is shutting down', true)
const NO_DELIVERY = ownFailure('invalidRequest', 'this router was started without delivery', false)

/**
 * Takes messages from outside into the book: each request is checked, accepted and sent on its way, or refused. It knows
 * how far it has come with the message in hand, so that after a bug each of its requests still gets exactly one answer.
 */
export class RequestAdmission {
  readonly #options: RequestAdmissionOptions
  /** How many requests of the message in hand have been accepted, and the one that was accepted last. */
  #taken = 0
  #inHand: AnyAccepted | undefined

  constructor(options: RequestAdmissionOptions) {
    this.#options = options
  }

  take(message: RouterMessage, now: number): void {
    if (message.type === 'requests') for (const request of message.requests) this.#takeOne(request, now)
    else if (message.type === 'produceBatches') for (const batch of message.batches) this.#takeBatch(batch, now)
    else if (isFollowing(message)) this.#options.follow(message, now)
    else this.#takeOne(message, now)
  }

  /** The message in hand has been dealt with, or none of it. */
  nextMessage(): void {
    this.#taken = 0
    this.#inHand = undefined
  }

  /** Answers the request that was being sent on its way when {@link take} threw. */
  failInHand(failure: Failure): void {
    if (this.#inHand) fail(this.#inHand, failure)
  }

  /** Answers what a message that made the Router throw still has open. */
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
  refuse(message: RouterMessage, failure = SHUTTING_DOWN): void {
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
    } else if (!isFollowing(message)) fail(this.#accept(message, clock()), failure)
  }

  #takeBatch(batch: RequestFor<'produceBatch'>, now: number): void {
    const { openRequests, cluster, settings } = this.#options
    const accepted = openRequests.accept(produceBatch, batch, settings.produceWaitMs, now)
    batch.recall = () => !accepted.inFlight && notSent(accepted, 'noLeader')
    if (cluster.isSame(batch.clusterId ?? null)) this.#send(accepted, now)
    else {
      this.#taken++
      notSent(accepted, 'clusterChanged')
    }
  }

  #takeOne(request: Asked | Produce, now: number): void {
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

  #accept(request: Asked, now: number): AnyAccepted {
    const { openRequests, settings } = this.#options
    const timeouts: Readonly<Partial<Record<AskedKind, number>>> = settings.requestTimeoutMs
    const timeoutMs = request.timeoutMs ?? timeouts[request.type] ?? settings.callTimeoutMs
    return openRequests.accept(descriptorOf(request.type), request, timeoutMs, now) as AnyAccepted
  }

  #send(request: AnyAccepted, now: number): void {
    this.#inHand = request
    this.#taken++
    request.clusterId = this.#options.cluster.id
    this.#options.route(request, now)
  }
}

/** Answered by news of topics, if at all: there is nothing to refuse. */
const isFollowing = (message: RouterMessage): message is FollowTopics | UnfollowTopics =>
  message.type === 'followTopics' || message.type === 'unfollowTopics'
