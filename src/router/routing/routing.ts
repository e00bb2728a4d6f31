import type { ActorRef } from '../../core/actor/actor.js'
import { CastellanError } from '../../core/errors.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, TopicPartition } from '../../core/model.js'
import type { MetadataResponse } from '../../kafka/broker-client.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import type { CloseShareConnection, FollowTopics, TopicChanged, UnfollowTopics } from '../messages/operations.js'
import { missingTopic } from '../processors/fetch-topic-metadata.js'
import { notSent } from '../processors/produce-admission.js'
import type { Returned, ReturnReason } from '../processors/queue-processor.js'
import { connectionOfSession } from '../processors/share.js'
import { kafkaFailure, ownFailure } from '../requests/failures.js'
import {
  answerUnknown,
  attemptsOf,
  fail,
  isOf,
  noteUnknown,
  type OpenRequest,
  type OpenRequests,
  reply
} from '../requests/open-requests.js'
import type { PartitionOfRequest } from '../requests/partition.js'
import type { BrokerPool, ClusterIdentity } from './broker-pool.js'
import { GroupRouting } from './group-routing.js'
import type { LeaderTable } from './leader-table.js'
import type { RouterNotice, WaitingPlace } from './messages.js'
import { MISSES_OF_UNKNOWN } from './missing-topics.js'
import type { RefreshSchedule } from './refresh-schedule.js'
import type { RouterSettings } from './settings.js'
import type { SubscribedTopics } from './subscribed-topics.js'
import { ANY_NODE, nodePlace, type RequestLines, topicPlace, WaitingRequests } from './waiting-requests.js'

export interface RoutingOptions {
  readonly openRequests: OpenRequests
  readonly cluster: ClusterIdentity
  readonly leaders: LeaderTable
  readonly pool: BrokerPool
  readonly schedule: RefreshSchedule
  readonly followed: SubscribedTopics
  /** True while brokers answer. */
  readonly isInTouch: () => boolean
  readonly settings: RouterSettings
  readonly random: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly self: ActorRef<RouterNotice>
}

// A request is not sent again after this many crashes of dispatchers that held it.
const MAX_CRASHES = 3
// Refused credentials are only used again after this pause, because quick attempts could lock the account.
const AUTHENTICATION_PAUSE_MS = 1_000

/**
 * Decides which broker gets a request.
 *
 *   request ─▶ leader or coordinator known, broker up ─▶ its proxy
 *           ─▶ otherwise in the line of what it waits for, until a refresh, a search or a pause ends, and routed again
 */
export class Routing {
  readonly #options: RoutingOptions
  readonly #waiting: WaitingRequests
  readonly groups: GroupRouting

  constructor(options: RoutingOptions) {
    this.#options = options
    this.#waiting = new WaitingRequests(options, topic => this.#forgetWant(topic))
    this.groups = new GroupRouting(options, this.#waiting, (requests, now) => this.routeAll(requests, now))
  }

  /** Requests that wait for a leader, a coordinator, a broker or the end of a pause. */
  get lines(): RequestLines {
    return this.#waiting.lines
  }

  route(request: OpenRequest, now: number): void {
    if (request.settled) return
    switch (request.operation.target.type) {
      case 'leader':
        this.#routeToLeader(request, request.topicPartition!, now)
        break
      case 'coordinator':
        this.groups.route(request, now)
        break
      case 'node':
        if (request.nodeId === undefined) this.#routeToAny(request, now)
        else this.#routeToNode(request, request.nodeId, now)
        break
      case 'controller':
        this.#routeToController(request, now)
        break
      case 'any':
        if (isOf(request, 'fetchTopicMetadata') && this.#answerMissing(request, now)) break
        this.#routeToAny(request, now)
    }
  }

  routeAll(requests: readonly OpenRequest[], now: number): void {
    for (const request of requests) this.route(request, now)
  }

  isWaitedFor(topic: string): boolean {
    return this.lines.has(topicPlace(topic)) || this.#options.followed.has(topic)
  }

  notice(message: FollowTopics | UnfollowTopics | TopicChanged | CloseShareConnection, now: number): void {
    const { followed, pool } = this.#options
    if (message.type === 'closeShareConnection') {
      pool.proxyOf(message.nodeId)?.closeSession(connectionOfSession(message))
    } else if (message.type === 'followTopics') followed.follow(message, now)
    else if (message.type === 'topicChanged') this.#topicChanged(message, now)
    else {
      followed.unfollow(message)
      for (const topic of message.topics) if (!this.isWaitedFor(topic)) this.#forgetWant(topic)
    }
  }

  /** Applies a change of a topic that the controller has confirmed. Lagging brokers may not show it yet. */
  #topicChanged({ topic, isDeleted }: TopicChanged, now: number): void {
    const { leaders, followed, schedule } = this.#options
    if (isDeleted) {
      leaders.deleted(topic, now)
      followed.deleted(topic, now)
    } else if (leaders.isKnown(topic)) schedule.want(topic, false, now)
    else leaders.forgetMissing(topic)
    this.#wakeTopic(topic, now)
  }

  wake(place: WaitingPlace, now: number): void {
    this.routeAll(this.lines.take(place), now)
  }

  /** Applies metadata to the tables, and routes the requests that waited for it. */
  apply(response: MetadataResponse, asked: readonly string[], askedAt: number, mayCreate: boolean, now: number): void {
    const { pool, leaders, followed } = this.#options
    const back = pool.apply(response.brokers, response.controllerId, now)
    for (const topic of response.topics) leaders.apply(topic, askedAt, now, mayCreate)
    // An answer names no topic that the Router has not asked for.
    const named = asked.length > 0 ? asked : response.topics.map(({ topic }) => topic)
    followed.lookedUp(named, now)
    for (const topic of named) this.#wakeTopic(topic, now)
    for (const nodeId of pool.nodeIds()) this.wake(nodePlace(nodeId), now)
    this.wake(ANY_NODE, now)
    this.routeAll(back, now)
  }

  /**
   * Takes back all requests that wait for the former cluster or were sent to it. Batches that were sealed for the
   * former cluster go back to their partitions. The other requests are returned, so that the caller routes them again.
   */
  leaveCluster(): OpenRequest[] {
    const { pool, leaders, followed } = this.#options
    leaders.clear()
    followed.clear()
    this.groups.forgetCoordinators()
    const rest: OpenRequest[] = []
    for (const request of [...pool.stop(), ...this.lines.takeAll()]) {
      if (isOf(request, 'produceBatch')) notSent(request, 'clusterChanged')
      else rest.push(request)
    }
    return rest
  }

  #wakeTopic(topic: string, now: number): void {
    const { leaders, schedule } = this.#options
    const place = topicPlace(topic)
    this.wake(place, now)
    // A known topic that a look-up did not find is looked up again soon, even if no request waits for it.
    if (leaders.isMissing(topic) && leaders.isKnown(topic)) schedule.want(topic, false, now)
    if (!this.lines.has(place)) this.#forgetWant(topic)
  }

  /** Ends the look-ups of a name that is not a known topic and for which no request waits. */
  #forgetWant(topic: string): void {
    const { leaders, schedule, followed } = this.#options
    if (!leaders.isKnown(topic) && !followed.has(topic)) schedule.forget(topic)
  }

  /** Routes the requests that wait for a broker that answers again, before its pause is over. */
  brokerIsBack(nodeId: number, now: number): void {
    this.wake(nodePlace(nodeId), now)
    this.wake(ANY_NODE, now)
  }

  returned({ reason, requests, topic, partition }: Returned, nodeId: number, now: number): void {
    const { leaders, schedule, metrics } = this.#options
    if (topic !== undefined) {
      if (partition !== undefined) leaders.suspect(topic, partition, nodeId, now)
      else if (reason === 'staleTopic') leaders.suspectAll(topic, nodeId, now)
      if (leaders.isKnown(topic)) schedule.want(topic, false, now)
    }
    for (const request of requests) {
      if (request.settled) continue
      // A commit that was only sent to a wrong broker is still sent to the right broker, before later commits.
      if (reason !== 'notCoordinator' && this.groups.hasYielded(request)) continue
      metrics.count('router', 'retries', { reason })
      attemptsOf(request).returns++
      this.#reroute(request, reason, nodeId, now)
    }
  }

  /**
   * A call to a broker failed. The broker gets no requests for a while, and the requests of the call are routed again.
   */
  unreachable(proxy: BrokerProxy, error: Error, requests: readonly OpenRequest[], now: number): void {
    const { pool, schedule, metrics, log } = this.#options
    const refused = error instanceof CastellanError && error.code === 'authenticationFailed'
    const downUntil = pool.failed(proxy, now, refused ? AUTHENTICATION_PAUSE_MS : undefined)
    const { nodeId, host, port } = proxy.node
    if (downUntil !== undefined) {
      pool.blame(nodeId, error.message)
      log.warn({ err: error, nodeId, host, port, forMs: Math.round(downUntil - now) }, 'a broker failed')
      this.#waiting.wakeAt(nodePlace(nodeId), downUntil)
      this.#waiting.wakeAt(ANY_NODE, downUntil)
      schedule.wantBrokers()
    }
    for (const request of requests) {
      if (request.settled || this.groups.hasYielded(request)) continue
      metrics.count('router', 'retries', { reason: 'unreachable' })
      const attempts = attemptsOf(request)
      attempts.returns++
      attempts.lastError = error.message
      if (isOf(request, 'produceBatch')) request.request.delayed?.(error.message)
      this.route(request, now)
    }
    // Requests that wait at other dispatchers of the broker would fail as well.
    if (downUntil !== undefined) this.routeAll(proxy.drain(), now)
  }

  /**
   * Routes the requests of a dispatcher that met a bug. The broker is not at fault. If the dispatcher has stopped, a
   * new one replaces it.
   */
  crashed(proxy: BrokerProxy, error: Error, requests: readonly OpenRequest[], now: number): void {
    this.#options.log.error({ err: error, nodeId: proxy.node.nodeId }, 'a dispatcher met a bug')
    for (const request of requests) {
      if (request.settled || this.groups.hasYielded(request)) continue
      if (++attemptsOf(request).crashes >= MAX_CRASHES) fail(request, ownFailure('protocol', error.message, false))
      else this.route(request, now)
    }
  }

  #routeToLeader(request: OpenRequest, { topic, partition }: TopicPartition, now: number): void {
    const { leaders } = this.#options
    if (request.kind === 'produceBatch' && request.partition !== undefined && leaders.isLed(request.partition, now)) {
      this.#toLeader(request, request.partition, now)
      return
    }
    const found = leaders.lookUp(topic, partition, now, this.#mayCreate(request), request.partition)
    switch (found.type) {
      case 'leader':
        if (this.#mayBeOutdated(request, found.checkedAt, now)) this.#waitForTopic(request, topic, now)
        else this.#toLeader(request, found.partition, now)
        break
      case 'noLeader':
        if (isDenied(request, found.partition) && leaders.isMissed(topic, found.partition.key))
          answerUnknown(request, 'topic')
        else this.#waitForTopic(request, topic, now)
        break
      case 'ask':
        this.#waitForTopic(request, topic, now)
        break
      case 'unknownTopic':
        answerUnknown(request, found.mayCome === true ? 'uncreatedTopic' : 'topic')
        break
      case 'unknownPartition':
        // A broker, which may lag, has contradicted the number of partitions among which keys were distributed.
        if (request.kind === 'produceBatch' && leaders.isCountDoubted(topic)) this.#waitForTopic(request, topic, now)
        else answerUnknown(request, 'partition')
        break
      case 'topicError':
        fail(request, kafkaFailure(found.errorCode))
    }
  }

  #waitForTopic(request: OpenRequest, topic: string, now: number): void {
    const { leaders } = this.#options
    if (isOf(request, 'produceBatch')) request.state.obstacle = 'noLeader'
    const as = leaders.isKnown(topic) ? 'known' : leaders.isMissing(topic) ? 'missed' : 'fresh'
    if (this.#waiting.enqueue(topicPlace(topic), request, as)) this.#want(topic, request, now)
  }

  /**
   * A reader that gets its records from the cache sends no request to a broker, so it does not learn that the topic was
   * deleted. Therefore the metadata must not be older than allowed, unless no broker answers at the moment.
   */
  #mayBeOutdated(request: OpenRequest, checkedAt: number, now: number): boolean {
    const { settings, isInTouch } = this.#options
    return request.kind === 'fetchData' && now - checkedAt > settings.metadataMaxAgeMs && isInTouch()
  }

  #toLeader(request: OpenRequest, partition: PartitionOfRequest, now: number): void {
    const { leaderId } = partition
    const { attempts } = request
    if (attempts?.unknownAt === leaderId && attempts.unknownTimes >= MISSES_OF_UNKNOWN) {
      // The leader has answered repeatedly that it does not know the partition, although refreshes named it as leader.
      answerUnknown(request, 'partition')
      return
    }
    request.partition = partition
    request.identity = partition.identity
    const { pool } = this.#options
    const proxy = pool.upProxyOf(leaderId, now)
    if (proxy) {
      proxy.submit(request)
      return
    }
    if (isOf(request, 'produceBatch')) request.state.obstacle = 'brokerUnreachable'
    // Waits until the pause of the broker is over or another leader is known, whichever comes first.
    const { topic } = partition
    const place = pool.has(leaderId) ? nodePlace(leaderId) : topicPlace(topic)
    if (this.#waiting.enqueue(place, request)) this.#want(topic, request, now)
  }

  #want(topic: string, request: OpenRequest, now: number): void {
    this.#options.schedule.want(topic, this.#mayCreate(request), now)
  }

  #mayCreate(request: OpenRequest): boolean {
    return request.kind === 'produceBatch' && this.#options.settings.allowAutoTopicCreation
  }

  /**
   * Answers a look-up if brokers have just reported all its names as missing. Returns false when a broker has to be
   * asked.
   */
  #answerMissing(request: OpenRequest<'fetchTopicMetadata'>, now: number): boolean {
    const { leaders, pool } = this.#options
    const { topics, allowAutoTopicCreation = false } = request.request
    if (!topics?.length) return false
    if (!topics.every(topic => leaders.isRememberedMissing(topic, allowAutoTopicCreation, now))) return false
    const missing = new Map(topics.map(topic => [topic, missingTopic(topic)]))
    reply(request, { type: 'success', brokers: pool.nodes(), topics: missing })
    return true
  }

  #routeToController(request: OpenRequest, now: number): void {
    const { pool } = this.#options
    const proxy = pool.upProxyOf(pool.controllerId, now)
    if (proxy) proxy.submit(request)
    else this.#waitForBrokers(request)
  }

  #routeToNode(request: OpenRequest, nodeId: number, now: number): void {
    const { pool } = this.#options
    const proxy = pool.upProxyOf(nodeId, now)
    if (proxy) proxy.submit(request)
    else if (request.operation.role === 'session') {
      // Other connections have failed. A request of an open session goes on; others do not wait, since their callers
      // may have better brokers.
      const session = pool.proxyOf(nodeId)
      if (session?.hasSession(request)) session.submit(request)
      else fail(request, ownFailure('brokerUnreachable', `broker ${nodeId} cannot be reached now`, true))
    } else if (pool.size === 0) this.#waitForBrokers(request)
    else if (pool.has(nodeId)) this.#waiting.enqueue(nodePlace(nodeId), request)
    else fail(request, ownFailure('brokerUnreachable', `the cluster has no broker ${nodeId} now`, true))
  }

  #routeToAny(request: OpenRequest, now: number): void {
    const proxy = this.#options.pool.any(now)
    if (proxy) proxy.submit(request)
    else this.#waitForBrokers(request)
  }

  #waitForBrokers(request: OpenRequest): void {
    this.#options.schedule.wantBrokers()
    this.#waiting.enqueue(ANY_NODE, request)
  }

  #reroute(request: OpenRequest, reason: ReturnReason, nodeId: number, now: number): void {
    const { leaders, schedule } = this.#options
    const at = request.topicPartition
    switch (reason) {
      case 'unknownTopicOrPartition':
      case 'notLeader':
        if (reason === 'unknownTopicOrPartition') noteUnknown(request, nodeId)
        if (at) leaders.suspect(at.topic, at.partition, nodeId, now, reason === 'unknownTopicOrPartition')
        this.route(request, now)
        break
      case 'notCoordinator':
        this.groups.forgetCoordinator(request, nodeId)
        this.route(request, now)
        break
      case 'notController':
      case 'staleTopic':
      case 'retryLater':
        if (reason === 'notController') schedule.wantBrokers()
        if (reason === 'staleTopic' && at && leaders.isKnown(at.topic)) schedule.want(at.topic, false, now)
        this.#waiting.pause(request, this.#waiting.pauseMs(attemptsOf(request).returns), now)
    }
  }
}

/**
 * True when the leader has answered this request, or an earlier request, that it does not know the partition. For a
 * batch, only answers to the batch itself count.
 */
const isDenied = (request: OpenRequest, partition: PartitionOfRequest): boolean =>
  (request.attempts?.unknownAt ?? -1) >= 0 || (partition.isDenied && request.kind !== 'produceBatch')
