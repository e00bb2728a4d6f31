import type { Requester } from '../actor/requester.js'
import type { MetricsLogger, MetricTags } from '../metrics/metrics-logger.js'
import {
  type BrokerNode,
  type Logger,
  type MonotonicClock,
  type Offset,
  type PartitionIdentity,
  UNKNOWN_IDENTITY
} from '../model.js'
import type {
  BatchAnswer,
  CommitConsumerOffset,
  CommitConsumerOffsetResult,
  Failure,
  FetchConsumerOffset,
  FetchConsumerOffsetResult,
  FetchData,
  FetchDataResult,
  FetchOffset,
  FetchOffsetResult,
  FetchTopicMetadata,
  FetchTopicMetadataResult,
  InitProducerId,
  InitProducerIdResult,
  SealedBatch
} from '../operations.js'
import { Deadlines, type Due } from './deadlines.js'

/** Asked by the Router of any broker: who coordinates this group? */
export interface FindCoordinator {
  readonly type: 'findCoordinator'
  readonly groupId: string
  readonly requester: Requester<FindCoordinatorResult>
}
export type FindCoordinatorResult =
  | { readonly type: 'success'; readonly coordinator: BrokerNode }
  | { readonly type: 'timedOut'; readonly reason?: string }
  | Failure

/** What a dispatcher can be given: the public operations but Produce, and requests of the Router and delivery themselves. */
export interface Routed {
  fetchData: { request: FetchData; result: FetchDataResult }
  fetchOffset: { request: FetchOffset; result: FetchOffsetResult }
  fetchConsumerOffset: { request: FetchConsumerOffset; result: FetchConsumerOffsetResult }
  commitConsumerOffset: { request: CommitConsumerOffset; result: CommitConsumerOffsetResult }
  fetchTopicMetadata: { request: FetchTopicMetadata; result: FetchTopicMetadataResult }
  initProducerId: { request: InitProducerId; result: InitProducerIdResult }
  findCoordinator: { request: FindCoordinator; result: FindCoordinatorResult }
  produceBatch: { request: SealedBatch; result: BatchAnswer }
}
export type RoutedKind = keyof Routed
export type AnyAccepted = { [Kind in RoutedKind]: Accepted<Kind> }[RoutedKind]

/** Where a request waits; told when it has been answered or taken elsewhere. */
export interface Holder {
  release(request: AnyAccepted): void
}

/** Why a batch has not been sent yet: what its answer will name if its time runs out. */
export type Obstacle = Extract<BatchAnswer, { type: 'notSent' }>['reason']

/**
 * A request the Router has accepted: it gets exactly one answer, whoever gives it. Passed by reference from room to
 * room, so that whoever holds it last may answer and everybody else sees that it is settled.
 */
export class Accepted<Kind extends RoutedKind> implements Due {
  readonly kind: Kind
  readonly request: Routed[Kind]['request']
  readonly acceptedAt: number
  readonly deadlineAt: number
  readonly #ledger: Ledger
  next: Due | undefined
  previous: Due | undefined
  settled = false
  /** `orders/3`; empty for operations that belong to no partition. */
  key = ''
  /** fetchData: the offset to read next. Moves on when what stands there holds no record (control, compacted). */
  position: Offset = 0
  /** The life of the partition as the Router knew it when it forwarded the request. */
  identity: PartitionIdentity = UNKNOWN_IDENTITY
  /** The cluster that was connected when it was accepted; `undefined`: no broker had told. */
  clusterId: string | undefined
  /** The topic was created a moment ago, as far as the Router knows. */
  isOfNewTopic = false
  /** fetchData: the topic that its offset was meant for, by id; `undefined`: not known. */
  topicIdAsked: string | undefined
  /** How often it came back to the Router. */
  returns = 0
  /** How often a dispatcher that held it met a bug. */
  crashes = 0
  /** The node that said it does not know the partition (-1: none), and how often in a row. */
  unknownAt = -1
  unknownTimes = 0
  /** fetchData: how often the bytes at `position` were damaged. */
  damages = 0
  obstacle: Obstacle = 'noLeader'
  /** Why the broker could not be reached when the request was last sent to it. */
  lastError: string | undefined
  /** commitConsumerOffset: it was sent at least once, so it may have been stored. */
  wasSent = false
  /** A call that carries it is on its way: only the call's end may answer a batch, or let another commit follow. */
  inFlight = false
  /** commitConsumerOffset: called once it has its answer and no call carries it any more. */
  whenOver: (() => void) | undefined
  #holder: Holder | undefined

  constructor(ledger: Ledger, kind: Kind, request: Routed[Kind]['request'], acceptedAt: number, deadlineAt: number) {
    this.#ledger = ledger
    this.kind = kind
    this.request = request
    this.acceptedAt = acceptedAt
    this.deadlineAt = deadlineAt
    if (kind === 'fetchData') this.position = (request as FetchData).offset
  }

  /** Gives the answer. False, and nothing happens, when it has been answered before. */
  answer(result: Routed[Kind]['result']): boolean {
    if (this.settled) return false
    this.settled = true
    this.heldBy(undefined)
    this.#ledger.settle(this as unknown as AnyAccepted)
    try {
      if (this.kind === 'produceBatch') (this.request as SealedBatch).answer(result as BatchAnswer)
      else (this.request as { requester: Requester<Routed[Kind]['result']> }).requester.reply(result)
    } catch (error) {
      this.#ledger.log.error({ err: error, operation: this.kind }, 'a requester threw while it was given its answer')
    }
    if (!this.inFlight) this.whenOver?.()
    return true
  }

  /** The call that carried it has ended. */
  landed(): void {
    this.inFlight = false
    if (this.settled) this.whenOver?.()
  }

  /** Says who holds it now, and lets go of whoever did. */
  heldBy(holder: Holder | undefined): void {
    const before = this.#holder
    this.#holder = holder
    if (before && before !== holder) before.release(this as unknown as AnyAccepted)
  }

  onDue(): void {
    this.#ledger.expire(this as unknown as AnyAccepted)
  }
}

export interface LedgerOptions {
  readonly now: MonotonicClock
  readonly metrics: MetricsLogger
  readonly log: Logger
  /** Called for every request whose time has run out. */
  readonly onExpired: (request: AnyAccepted) => void
}

/** The book of accepted requests: which are open, and when each must be answered at the latest. */
export class Ledger {
  readonly now: MonotonicClock
  readonly log: Logger
  readonly deadlines: Deadlines
  readonly #metrics: MetricsLogger
  readonly #onExpired: (request: AnyAccepted) => void
  #accepted = 0
  #settled = 0

  constructor(options: LedgerOptions) {
    this.now = options.now
    this.log = options.log
    this.#metrics = options.metrics
    this.#onExpired = options.onExpired
    this.deadlines = new Deadlines(options.now)
  }

  /** Requests accepted and not yet answered. */
  get open(): number {
    return this.#accepted - this.#settled
  }
  get accepted(): number {
    return this.#accepted
  }

  accept<Kind extends RoutedKind>(
    kind: Kind,
    request: Routed[Kind]['request'],
    timeoutMs: number,
    now: number
  ): Accepted<Kind> {
    this.#accepted++
    return new Accepted(this, kind, request, now, now + timeoutMs)
  }

  /**
   * Starts watching its deadline. Called where a request begins to wait, so that one answered from the cache in the
   * next turn never costs a place among the deadlines.
   */
  watch(request: AnyAccepted): void {
    if (!request.settled) this.deadlines.add(request)
  }

  settle(request: AnyAccepted): void {
    this.#settled++
    this.deadlines.remove(request)
    const nanoSeconds = (this.now() - request.acceptedAt) * 1_000_000
    this.#metrics.time('router', 'request_latency', operationTags[request.kind], nanoSeconds)
  }

  expire(request: AnyAccepted): void {
    if (!request.settled) this.#onExpired(request)
  }

  /** Every request that waits somewhere, to be answered before the end. */
  waiting(): AnyAccepted[] {
    return this.deadlines.all().filter(item => item instanceof Accepted) as unknown as AnyAccepted[]
  }
}

const operationTags: Readonly<Record<RoutedKind, MetricTags>> = {
  fetchData: { operation: 'fetchData' },
  fetchOffset: { operation: 'fetchOffset' },
  fetchConsumerOffset: { operation: 'fetchConsumerOffset' },
  commitConsumerOffset: { operation: 'commitConsumerOffset' },
  fetchTopicMetadata: { operation: 'fetchTopicMetadata' },
  initProducerId: { operation: 'initProducerId' },
  findCoordinator: { operation: 'findCoordinator' },
  produceBatch: { operation: 'produceBatch' }
}
