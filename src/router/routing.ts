import type { ActorRef } from '../actor/actor.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import { CastellanError } from '../errors.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { Logger, TopicPartition } from '../model.js'
import type { Accepted, AnyAccepted, FindCoordinatorResult, Ledger } from '../processors/accepted.js'
import { answerUnknown, fail, kafkaFailure, notSent, ownFailure, reply } from '../processors/answers.js'
import { missingTopic } from '../processors/fetch-topic-metadata.js'
import type { Returned, ReturnReason } from '../processors/queue-processor.js'
import type { MetadataResponse } from '../wire/broker-client.js'
import type { BrokerPool } from './broker-pool.js'
import type { ClusterIdentity } from './cluster-identity.js'
import { GroupRouting } from './group-routing.js'
import type { LeaderTable, Partition } from './leader-table.js'
import type { RouterNotice } from './messages.js'
import type { Parking, ParkingPlace } from './parking.js'
import type { RefreshSchedule } from './refresh-schedule.js'
import type { RouterSettings } from './settings.js'
import { ANY_NODE, nodePlace, topicPlace, WaitingRequests } from './waiting-requests.js'

export interface RoutingOptions {
  readonly ledger: Ledger
  readonly cluster: ClusterIdentity
  readonly leaders: LeaderTable
  readonly pool: BrokerPool
  readonly schedule: RefreshSchedule
  /** Brokers have answered lately. */
  readonly isInTouch: () => boolean
  readonly settings: RouterSettings
  readonly random: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly self: ActorRef<RouterNotice>
}

// The same request that made dispatchers crash so often is not tried again.
const MAX_CRASHES = 3
// Refused credentials are not tried again at once: that could lock the account.
const AUTHENTICATION_PAUSE_MS = 1_000

/**
 * Whom to ask.
 *
 *   request ─▶ leader or coordinator known, broker up ─▶ its proxy
 *           ─▶ otherwise parked under what it waits for, until a refresh, a search or a pause ends ─▶ again
 */
export class Routing {
  readonly #options: RoutingOptions
  readonly #waiting: WaitingRequests
  readonly #groups: GroupRouting

  constructor(options: RoutingOptions) {
    this.#options = options
    this.#waiting = new WaitingRequests(options, topic => this.#forgetWant(topic))
    this.#groups = new GroupRouting(options, this.#waiting, (requests, now) => this.routeAll(requests, now))
  }

  /** Requests that wait for a leader, a coordinator, a broker or the end of a pause. */
  get parking(): Parking {
    return this.#waiting.parking
  }

  route(request: AnyAccepted, now: number): void {
    if (request.settled) return
    switch (request.kind) {
      case 'fetchData':
      case 'fetchOffset':
        this.#routeToLeader(request, request.request.topicPartition, now)
        break
      case 'produceBatch':
        this.#routeToLeader(request, request.request, now)
        break
      case 'fetchConsumerOffset':
        this.#groups.route(request, request.request.groupId, now)
        break
      case 'commitConsumerOffset':
        this.#groups.routeCommit(request, now)
        break
      case 'fetchTopicMetadata':
        this.#routeMetadata(request, now)
        break
      case 'initProducerId':
      case 'findCoordinator':
        this.#routeToAny(request, now)
    }
  }

  routeAll(requests: readonly AnyAccepted[], now: number): void {
    for (const request of requests) this.route(request, now)
  }

  isWaitedFor(topic: string): boolean {
    return this.parking.has(topicPlace(topic))
  }

  /** What waits there may go on. */
  wake(place: ParkingPlace, now: number): void {
    this.routeAll(this.parking.take(place), now)
  }

  /** Takes a reply into the tables and routes again whatever waited for such news. */
  apply(response: MetadataResponse, asked: readonly string[], askedAt: number, mayCreate: boolean, now: number): void {
    const { pool, leaders } = this.#options
    const back = pool.apply(response.brokers)
    for (const topic of response.topics) leaders.apply(topic, askedAt, now, mayCreate)
    const named = new Set([...asked, ...response.topics.map(({ topic }) => topic)])
    for (const topic of named) this.#wakeTopic(topic, now)
    for (const nodeId of pool.nodeIds()) this.wake(nodePlace(nodeId), now)
    this.wake(ANY_NODE, now)
    this.routeAll(back, now)
  }

  /**
   * Takes back what waits for, or is asked of, the former cluster. Batches that are sealed for it go back to their lanes;
   * everything else is to be routed again.
   */
  leaveCluster(): AnyAccepted[] {
    const { pool, leaders } = this.#options
    leaders.clear()
    this.#groups.forgetAll()
    const rest: AnyAccepted[] = []
    for (const request of [...pool.stop(), ...this.parking.takeAll()]) {
      if (request.kind === 'produceBatch') notSent(request, 'clusterChanged')
      else rest.push(request)
    }
    return rest
  }

  #wakeTopic(topic: string, now: number): void {
    const { leaders, schedule } = this.#options
    this.wake(topicPlace(topic), now)
    // A known topic that one look-up has missed is looked up again soon, whether somebody waits or not.
    if (leaders.isKnown(topic) && leaders.isMissing(topic)) schedule.want(topic, false, now)
    if (!this.parking.has(topicPlace(topic))) this.#forgetWant(topic)
  }

  /** A name that nobody waits for, and that is no topic, is not looked up any more. */
  #forgetWant(topic: string): void {
    const { leaders, schedule } = this.#options
    if (!leaders.isKnown(topic)) schedule.forget(topic)
  }

  /** Whoever waits for it need not wait out its pause. */
  brokerIsBack(nodeId: number, now: number): void {
    this.wake(nodePlace(nodeId), now)
    this.wake(ANY_NODE, now)
  }

  /** A broker could not answer these. */
  returned({ reason, requests, topic, partition }: Returned, nodeId: number, now: number): void {
    const { leaders, schedule, metrics } = this.#options
    if (topic !== undefined) {
      if (partition !== undefined) leaders.suspect(topic, partition, nodeId, now)
      else if (reason === 'staleTopic') leaders.suspectAll(topic, nodeId, now)
      if (leaders.isKnown(topic)) schedule.want(topic, false, now)
    }
    for (const request of requests) {
      if (request.settled) continue
      // A commit that only came to the wrong broker goes to the right one before what waits behind it.
      if (reason !== 'notCoordinator' && this.#groups.hasYielded(request)) continue
      metrics.count('router', 'retries', { reason })
      request.returns++
      this.#reroute(request, reason, nodeId, now)
    }
  }

  /** A call to a broker failed: no more are made for a while, and its requests are routed again. */
  unreachable(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[], now: number): void {
    const { pool, schedule, metrics, log } = this.#options
    const refused = error instanceof CastellanError && error.code === 'authenticationFailed'
    const downUntil = pool.failed(proxy, now, refused ? AUTHENTICATION_PAUSE_MS : undefined)
    const { nodeId, host, port } = proxy.node
    if (downUntil !== undefined) {
      log.warn({ err: error, nodeId, host, port, forMs: Math.round(downUntil - now) }, 'a broker failed')
      this.#waiting.wakeAt(nodePlace(nodeId), downUntil)
      this.#waiting.wakeAt(ANY_NODE, downUntil)
      schedule.wantBrokers()
    }
    for (const request of requests) {
      if (request.settled || this.#groups.hasYielded(request)) continue
      metrics.count('router', 'retries', { reason: 'unreachable' })
      request.returns++
      request.lastError = error.message
      if (request.kind === 'produceBatch') request.request.delayed?.(error.message)
      this.route(request, now)
    }
    // What waits at its other dispatchers would fail as well.
    if (downUntil !== undefined) this.routeAll(proxy.drain(), now)
  }

  /** A dispatcher has met a bug. The broker is not to blame; where the dispatcher had to stop, a new one takes over. */
  crashed(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[], now: number): void {
    this.#options.log.error({ err: error, nodeId: proxy.node.nodeId }, 'a dispatcher met a bug')
    for (const request of requests) {
      if (request.settled || this.#groups.hasYielded(request)) continue
      if (++request.crashes >= MAX_CRASHES) fail(request, ownFailure('protocol', error.message, false))
      else this.route(request, now)
    }
  }

  /** The pause before a search is over. */
  askForCoordinator(groupId: string, now: number): void {
    this.#groups.askForCoordinator(groupId, now)
  }

  coordinatorFound(groupId: string, result: FindCoordinatorResult, now: number): void {
    this.#groups.coordinatorFound(groupId, result, now)
  }

  tidy(now: number): void {
    this.#groups.tidy(now)
  }

  #routeToLeader(request: AnyAccepted, { topic, partition }: TopicPartition, now: number): void {
    const { leaders } = this.#options
    const found = leaders.lookUp(topic, partition, now, this.#mayCreate(request))
    switch (found.type) {
      case 'leader':
        if (this.#mayBeOutdated(request, found.checkedAt, now)) this.#parkForTopic(request, topic, now)
        else {
          request.isOfNewTopic = found.isNew
          this.#toLeader(request, found.partition, now)
        }
        break
      case 'noLeader':
        if (isDenied(request, found.partition) && leaders.isMissed(topic, found.partition.key))
          answerUnknown(request, 'topic')
        else this.#parkForTopic(request, topic, now)
        break
      case 'ask':
        this.#parkForTopic(request, topic, now)
        break
      case 'unknownTopic':
        answerUnknown(request, 'topic')
        break
      case 'unknownPartition':
        answerUnknown(request, 'partition')
        break
      case 'topicError':
        fail(request, kafkaFailure(found.errorCode))
    }
  }

  #parkForTopic(request: AnyAccepted, topic: string, now: number): void {
    const { leaders } = this.#options
    request.obstacle = 'noLeader'
    const as = leaders.isKnown(topic) ? 'known' : leaders.isMissing(topic) ? 'missed' : 'fresh'
    if (this.#waiting.park(topicPlace(topic), request, as)) this.#want(topic, request, now)
  }

  /**
   * Who reads from the cache asks no broker, so nobody would tell that the topic was deleted: what is known of it must not
   * be older than allowed. While no broker answers, what is known is the best there is.
   */
  #mayBeOutdated(request: AnyAccepted, checkedAt: number, now: number): boolean {
    const { settings, isInTouch } = this.#options
    return request.kind === 'fetchData' && now - checkedAt > settings.metadataMaxAgeMs && isInTouch()
  }

  #toLeader(request: AnyAccepted, { leaderId, identity, key }: Partition, now: number): void {
    if (request.unknownAt === leaderId && request.unknownTimes >= this.#options.settings.unknownTopicRefreshes) {
      // It has said again and again that it does not know the partition, and refreshes have named it every time.
      answerUnknown(request, 'partition')
      return
    }
    request.key = key
    request.identity = identity
    const { pool } = this.#options
    const proxy = pool.proxyOf(leaderId)
    if (proxy && pool.isUp(leaderId, now)) {
      proxy.submit(request)
      return
    }
    request.obstacle = 'brokerUnreachable'
    // Waits for the end of the broker's pause or for a new leader, whichever comes first.
    const { topic } = topicPartitionOf(request)!
    if (this.#waiting.park(proxy ? nodePlace(leaderId) : topicPlace(topic), request)) this.#want(topic, request, now)
  }

  #want(topic: string, request: AnyAccepted, now: number): void {
    this.#options.schedule.want(topic, this.#mayCreate(request), now)
  }

  #mayCreate(request: AnyAccepted): boolean {
    return request.kind === 'produceBatch' && this.#options.settings.allowAutoTopicCreation
  }

  #routeMetadata(request: Accepted<'fetchTopicMetadata'>, now: number): void {
    const { leaders, pool } = this.#options
    const { topics, allowAutoTopicCreation = false } = request.request
    if (topics?.length && topics.every(topic => leaders.isRememberedMissing(topic, allowAutoTopicCreation, now))) {
      const missing = new Map(topics.map(topic => [topic, missingTopic(topic)]))
      reply(request, { type: 'success', brokers: pool.nodes(), topics: missing })
    } else this.#routeToAny(request, now)
  }

  #routeToAny(request: AnyAccepted, now: number): void {
    const proxy = this.#options.pool.any(now)
    if (proxy) {
      proxy.submit(request)
      return
    }
    this.#options.schedule.wantBrokers()
    this.#waiting.park(ANY_NODE, request)
  }

  #reroute(request: AnyAccepted, reason: ReturnReason, nodeId: number, now: number): void {
    const { leaders, schedule } = this.#options
    const at = topicPartitionOf(request)
    switch (reason) {
      case 'unknownTopicOrPartition':
      case 'notLeader':
        if (reason === 'unknownTopicOrPartition') noteUnknown(request, nodeId)
        if (at) leaders.suspect(at.topic, at.partition, nodeId, now, reason === 'unknownTopicOrPartition')
        this.route(request, now)
        break
      case 'notCoordinator':
        this.#groups.forgetCoordinator(request, nodeId)
        this.route(request, now)
        break
      case 'staleTopic':
        if (at && leaders.isKnown(at.topic)) schedule.want(at.topic, false, now)
        this.#waiting.rest(request, this.#waiting.pauseMs(request.returns), now)
        break
      case 'retryLater':
        this.#waiting.rest(request, this.#waiting.pauseMs(request.returns), now)
    }
  }
}

/** Its leader has told this request, or one before it, that it does not know the partition. Batches wait until it is sure. */
const isDenied = (request: AnyAccepted, partition: Partition): boolean =>
  request.unknownAt >= 0 || (partition.isDenied && request.kind !== 'produceBatch')

/** One such answer may pass: a broker that has just become leader hears of it a moment later than others. */
function noteUnknown(request: AnyAccepted, nodeId: number): void {
  request.unknownTimes = request.unknownAt === nodeId ? request.unknownTimes + 1 : 1
  request.unknownAt = nodeId
}

function topicPartitionOf(request: AnyAccepted): TopicPartition | undefined {
  switch (request.kind) {
    case 'produceBatch':
      return request.request
    case 'fetchData':
    case 'fetchOffset':
    case 'fetchConsumerOffset':
    case 'commitConsumerOffset':
      return request.request.topicPartition
    case 'fetchTopicMetadata':
    case 'initProducerId':
    case 'findCoordinator':
      return undefined
  }
}
