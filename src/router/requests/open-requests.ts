import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import {
  type Logger,
  type MonotonicClock,
  type PartitionIdentity,
  type TopicPartition,
  UNKNOWN_IDENTITY
} from '../../core/model.js'
import { watchRejection } from '../../core/users-code.js'
import type { Coordinated } from '../../kafka/protocol/groups.js'
import type { AskedKind, Failure, RoutedKind } from '../messages/operations.js'
import { Deadlines, type Due } from './deadlines.js'
import type {
  AskedDescriptor,
  OperationDescriptor,
  Outcome,
  RequestFor,
  ResultFor,
  StateOf,
  Unknown
} from './operation.js'
import type { PartitionOfRequest } from './partition.js'

/** Holds a request while it waits. `release` is called when the request has been answered or has another holder. */
export interface Holder {
  release(request: OpenRequest): void
}

/** The failed attempts to get an answer for a request. Routing updates the fields. */
interface FailedAttempts {
  /** How often a broker returned the request to the Router. */
  returns: number
  /** How often a dispatcher crashed while it held the request. */
  crashes: number
  /**
   * The last node that answered that it does not know the partition (-1: none), and how often in a row it gave this
   * answer.
   */
  unknownAt: number
  unknownTimes: number
  lastError: string | undefined
}

/**
 * A request that the Router has accepted. It gets exactly one answer, from the part of the Router that holds it. Other
 * parts see in `settled` that it was answered.
 *
 * The fields of this class are the same for all operations, so that hot paths see objects of only one shape. The fields
 * of one operation are in `state`.
 */
export class OpenRequest<Kind extends RoutedKind = RoutedKind> implements Due {
  readonly operation: OperationDescriptor<Kind>
  readonly kind: Kind
  request: RequestFor<Kind>
  readonly state: StateOf<Kind>
  acceptedAt: number
  /** A whole millisecond; see `LONG_AGO`. */
  deadlineAt: number
  readonly #openRequests: OpenRequests
  next: Due | undefined
  previous: Due | undefined
  settled = false
  /** True when nothing of the Router refers to the answered request any more, so that {@link reopen} may be called. */
  isOver = false
  /** The partition whose leader the request was last sent to. Routing sets it. */
  partition: PartitionOfRequest | undefined
  /** The topic id and leader epoch of the partition when the request was last sent to its leader. Routing sets it. */
  identity: PartitionIdentity = UNKNOWN_IDENTITY
  /** `undefined`: no attempt has failed. */
  attempts: FailedAttempts | undefined
  #holder: Holder | undefined

  constructor(
    openRequests: OpenRequests,
    operation: OperationDescriptor<Kind>,
    request: RequestFor<Kind>,
    acceptedAt: number,
    deadlineAt: number
  ) {
    this.#openRequests = openRequests
    this.operation = operation
    this.kind = operation.kind
    this.request = request
    this.state = operation.initialState(request)
    this.acceptedAt = acceptedAt
    this.deadlineAt = deadlineAt
  }

  /** Begins again, for another request of the same object. */
  reopen(acceptedAt: number, deadlineAt: number): void {
    this.acceptedAt = acceptedAt
    this.deadlineAt = deadlineAt
    this.settled = false
    this.isOver = false
    this.identity = UNKNOWN_IDENTITY
    this.attempts = undefined
  }

  /** `orders/3`; empty for a request that was sent to no leader. */
  get key(): string {
    return this.partition?.key ?? ''
  }

  /** The partition whose leader answers the request; `undefined`: the request is not for a leader. */
  get topicPartition(): TopicPartition | undefined {
    const { target } = this.operation
    return target.type === 'leader' ? target.topicPartition(this.request) : undefined
  }

  /** The kind of coordinator that is sought: of a group or of a transactional id; `groupId` is the id. */
  get coordinated(): Coordinated {
    const { target } = this.operation
    return (target.type === 'coordinator' ? target.of : undefined) ?? 'group'
  }

  /** The group whose coordinator answers the request; `undefined`: the request is not for a coordinator. */
  get groupId(): string | undefined {
    const { target } = this.operation
    return target.type === 'coordinator' ? target.groupId(this.request) : undefined
  }

  /**
   * The broker that the request names; `undefined`: a partition or a group determines the broker, or any broker can
   * answer.
   */
  get nodeId(): number | undefined {
    const { target } = this.operation
    return target.type === 'node' ? target.nodeId(this.request) : undefined
  }

  /**
   * Answers the request. Returns false, and does nothing, if it has been answered before.
   *
   * @param now the time, where the caller has it already
   */
  answer(result: ResultFor<Kind>, now = this.#openRequests.now()): boolean {
    if (this.settled) return false
    this.settled = true
    this.heldBy(undefined)
    this.#openRequests.settle(this, now)
    try {
      watchRejection(this.operation.give(this.request, result), error => this.#requesterThrew(error))
    } catch (error) {
      this.#requesterThrew(error)
    }
    this.operation.onAnswered?.(this.state, this)
    return true
  }

  #requesterThrew(error: unknown): void {
    const fields = { err: error, operation: this.kind }
    this.#openRequests.log.error(fields, 'a requester threw when it was given its answer')
  }

  /** Sets the holder, and releases the request from the former holder. */
  heldBy(holder: Holder | undefined): void {
    const before = this.#holder
    this.#holder = holder
    if (before && before !== holder) before.release(this)
  }

  onDue(): void {
    this.#openRequests.expire(this)
  }
}

export interface OpenRequestsOptions {
  readonly now: MonotonicClock
  readonly metrics: MetricsLogger
  readonly log: Logger
  /** Called with every request that is not answered at its deadline. */
  readonly onExpired: (request: OpenRequest) => void
}

/** The requests that have no answer yet, and their deadlines. */
export class OpenRequests {
  readonly now: MonotonicClock
  readonly log: Logger
  readonly deadlines: Deadlines
  readonly #metrics: MetricsLogger
  readonly #onExpired: (request: OpenRequest) => void
  #accepted = 0
  #settled = 0

  constructor(options: OpenRequestsOptions) {
    this.now = options.now
    this.log = options.log
    this.#metrics = options.metrics
    this.#onExpired = options.onExpired
    this.deadlines = new Deadlines(options.now)
  }

  /** Number of accepted requests without an answer. */
  get open(): number {
    return this.#accepted - this.#settled
  }
  get accepted(): number {
    return this.#accepted
  }

  accept<Kind extends RoutedKind>(
    operation: OperationDescriptor<Kind>,
    request: RequestFor<Kind>,
    timeoutMs: number,
    now: number
  ): OpenRequest<Kind> {
    this.#accepted++
    return new OpenRequest(this, operation, request, now, Math.ceil(now + timeoutMs))
  }

  /** Accepts an object again whose former request {@link OpenRequest.isOver}. */
  acceptAgain(request: OpenRequest, timeoutMs: number, now: number): void {
    this.#accepted++
    request.reopen(now, Math.ceil(now + timeoutMs))
  }

  /**
   * Starts to watch the deadline of a request. Called only when a request begins to wait, because a request that is
   * answered from the cache needs no deadline.
   */
  watch(request: OpenRequest): void {
    if (!request.settled) this.deadlines.add(request)
  }

  settle(request: OpenRequest, now: number): void {
    this.#settled++
    this.deadlines.remove(request)
    const nanoSeconds = (now - request.acceptedAt) * 1_000_000
    this.#metrics.time('router', 'request_latency', request.operation.tags, nanoSeconds)
  }

  expire(request: OpenRequest): void {
    if (!request.settled) this.#onExpired(request)
  }

  /** All requests whose deadlines are watched. */
  waiting(): OpenRequest[] {
    return this.deadlines.all().filter(item => item instanceof OpenRequest)
  }
}

export const isOf = <Kind extends RoutedKind>(request: OpenRequest, kind: Kind): request is OpenRequest<Kind> =>
  request.kind === kind

/** The failed attempts of a request, for routing to update. */
export const attemptsOf = (request: OpenRequest): FailedAttempts =>
  (request.attempts ??= { returns: 0, crashes: 0, unknownAt: -1, unknownTimes: 0, lastError: undefined })

/**
 * Notes that a broker does not know the partition. A single such answer may be wrong, because a new leader may learn
 * late that it leads.
 */
export function noteUnknown(request: OpenRequest, nodeId: number): void {
  const attempts = attemptsOf(request)
  attempts.unknownTimes = attempts.unknownAt === nodeId ? attempts.unknownTimes + 1 : 1
  attempts.unknownAt = nodeId
}

export const stillOpen = <Request extends OpenRequest>(requests: readonly Request[]): Request[] =>
  requests.filter(request => !request.settled)

/** Answers a request with `outcome` and the fields of the request that the result repeats. */
export function reply<Kind extends AskedKind>(asked: OpenRequest<Kind>, outcome: Outcome<Kind>): void {
  const { resultOf } = asked.operation as AskedDescriptor<Kind>
  asked.answer(resultOf(asked.request, outcome))
}

export function replyAll<Kind extends AskedKind>(waiters: readonly OpenRequest<Kind>[], outcome: Outcome<Kind>): void {
  for (const waiter of waiters) reply(waiter, outcome)
}

export function fail(request: OpenRequest, failure: Failure): void {
  request.answer(request.operation.answers.failed(request.request, failure))
}

/**
 * Answers a request at its deadline. A batch in flight is answered later, when its call ends, because its outcome is
 * unknown before.
 *
 * @param awayBecause why no broker can be reached, if none can
 */
export function answerTimedOut(request: OpenRequest, awayBecause?: string): void {
  const result = request.operation.answers.timedOut(request, request.attempts?.lastError ?? awayBecause)
  if (result !== undefined) request.answer(result)
}

/** Answers a request for a topic or partition that does not exist in Kafka, which refreshes have confirmed. */
export function answerUnknown(request: OpenRequest, what: Unknown): void {
  request.answer(request.operation.answers.unknown(request.request, what))
}
