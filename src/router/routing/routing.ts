import type { ActorRef } from '../../core/actor/actor.js'
import { CastellanError } from '../../core/errors.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, TopicPartition } from '../../core/model.js'
import type { MetadataResponse } from '../../kafka/broker-client.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import type { FindCoordinatorResult, FollowTopics, UnfollowTopics } from '../messages/operations.js'
import { missingTopic } from '../processors/fetch-topic-metadata.js'
import { notSent } from '../processors/produce-batch.js'
import type { Returned, ReturnReason } from '../processors/queue-processor.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { answerUnknown, fail, reply } from '../requests/answers.js'
import { kafkaFailure, ownFailure } from '../requests/failures.js'
import type { OpenRequests } from '../requests/open-requests.js'
import { nodeIdOf, topicPartitionOf } from '../requests/targets.js'
import type { BrokerPool } from './broker-pool.js'
import type { ClusterIdentity } from './cluster-identity.js'
import { GroupRouting } from './group-routing.js'
import type { LeaderTable, Partition } from './leader-table.js'
import type { RouterNotice } from './messages.js'
import type { RefreshSchedule } from './refresh-schedule.js'
import type { RequestQueues, WaitingPlace } from './request-queues.js'
import type { RouterSettings } from './settings.js'
import type { SubscribedTopics } from './subscribed-topics.js'
import { ANY_NODE, nodePlace, topicPlace, WaitingRequests } from './waiting-requests.js'

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

// A request that has made dispatchers crash this often is not tried again.
const MAX_CRASHES = 3
// Refused credentials are not tried again at once: that could lock the account.
const AUTHENTICATION_PAUSE_MS = 1_000

/**
 * Decides which broker is asked.
 *
 *   request ─▶ leader or coordinator known, broker up ─▶ its proxy
 *           ─▶ otherwise queued by what it waits for, until a refresh, a search or a pause ends, and routed again
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
  get queues(): RequestQueues {
    return this.#waiting.queues
  }

  route(request: AnyAccepted, now: number): void {
    if (request.settled) return
    switch (request.operation.target.type) {
      case 'leader':
        this.#routeToLeader(request, topicPartitionOf(request)!, now)
        break
      case 'coordinator':
        this.#groups.route(request, now)
        break
      case 'node':
        this.#routeToNode(request, nodeIdOf(request)!, now)
        break
      case 'any':
        if (request.kind === 'fetchTopicMetadata' && this.#answerMissing(request, now)) break
        this.#routeToAny(request, now)
    }
  }

  routeAll(requests: readonly AnyAccepted[], now: number): void {
    for (const request of requests) this.route(request, now)
  }

  isWaitedFor(topic: string): boolean {
    return this.queues.has(topicPlace(topic)) || this.#options.followed.has(topic)
  }

  follow(message: FollowTopics | UnfollowTopics, now: number): void {
    const { followed } = this.#options
    if (message.type === 'followTopics') followed.follow(message, now)
    else {
      followed.unfollow(message)
      for (const topic of message.topics) if (!this.isWaitedFor(topic)) this.#forgetWant(topic)
    }
  }

  /** Routes the requests again that wait at a place. */
  wake(place: WaitingPlace, now: number): void {
    this.routeAll(this.queues.take(place), now)
  }

  /** Takes metadata into the tables, and routes requests again that were waiting for it. */
  apply(response: MetadataResponse, asked: readonly string[], askedAt: number, mayCreate: boolean, now: number): void {
    const { pool, leaders, followed } = this.#options
    const back = pool.apply(response.brokers)
    for (const topic of response.topics) leaders.apply(topic, askedAt, now, mayCreate)
    const named = new Set([...asked, ...response.topics.map(({ topic }) => topic)])
    followed.lookedUp(named, now)
    for (const topic of named) this.#wakeTopic(topic, now)
    for (const nodeId of pool.nodeIds()) this.wake(nodePlace(nodeId), now)
    this.wake(ANY_NODE, now)
    this.routeAll(back, now)
  }

  /**
   * Takes back all requests that wait for the former cluster or were sent to it. Batches that were sealed for it go back to
   * their partitions; the other requests are returned, to be routed again.
   */
  leaveCluster(): AnyAccepted[] {
    const { pool, leaders, followed } = this.#options
    leaders.clear()
    followed.clear()
    this.#groups.forgetAll()
    const rest: AnyAccepted[] = []
    for (const request of [...pool.stop(), ...this.queues.takeAll()]) {
      if (request.kind === 'produceBatch') notSent(request, 'clusterChanged')
      else rest.push(request)
    }
    return rest
  }

  #wakeTopic(topic: string, now: number): void {
    const { leaders, schedule } = this.#options
    this.wake(topicPlace(topic), now)
    // A known topic that one look-up has missed is looked up again soon, even when no request waits for it.
    if (leaders.isKnown(topic) && leaders.isMissing(topic)) schedule.want(topic, false, now)
    if (!this.queues.has(topicPlace(topic))) this.#forgetWant(topic)
  }

  /** A name that is not a known topic, and for which no request waits, is not looked up any more. */
  #forgetWant(topic: string): void {
    const { leaders, schedule, followed } = this.#options
    if (!leaders.isKnown(topic) && !followed.has(topic)) schedule.forget(topic)
  }

  /** A broker that failed answers again: requests that wait for it need not wait until its pause is over. */
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
      // A commit that was only sent to the wrong broker still goes to the right one before the commits behind it.
      if (reason !== 'notCoordinator' && this.#groups.hasYielded(request)) continue
      metrics.count('router', 'retries', { reason })
      request.returns++
      this.#reroute(request, reason, nodeId, now)
    }
  }

  /** A call to a broker failed. The broker is not asked for a while, and the requests of the call are routed again. */
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
    // Requests that wait at its other dispatchers would fail as well.
    if (downUntil !== undefined) this.routeAll(proxy.drain(), now)
  }

  /** A dispatcher has met a bug, which is not the fault of the broker. If the dispatcher has stopped, a new one replaces it. */
  crashed(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[], now: number): void {
    this.#options.log.error({ err: error, nodeId: proxy.node.nodeId }, 'a dispatcher met a bug')
    for (const request of requests) {
      if (request.settled || this.#groups.hasYielded(request)) continue
      if (++request.crashes >= MAX_CRASHES) fail(request, ownFailure('protocol', error.message, false))
      else this.route(request, now)
    }
  }

  /** The pause before a search for a coordinator is over. */
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
        if (this.#mayBeOutdated(request, found.checkedAt, now)) this.#waitForTopic(request, topic, now)
        else {
          request.isOfNewTopic = found.isNew
          this.#toLeader(request, found.partition, now)
        }
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
        answerUnknown(request, 'topic')
        break
      case 'unknownPartition':
        // Keys were spread over a number that a broker which lags may have contradicted.
        if (request.kind === 'produceBatch' && leaders.isCountDoubted(topic)) this.#waitForTopic(request, topic, now)
        else answerUnknown(request, 'partition')
        break
      case 'topicError':
        fail(request, kafkaFailure(found.errorCode))
    }
  }

  #waitForTopic(request: AnyAccepted, topic: string, now: number): void {
    const { leaders } = this.#options
    request.obstacle = 'noLeader'
    const as = leaders.isKnown(topic) ? 'known' : leaders.isMissing(topic) ? 'missed' : 'fresh'
    if (this.#waiting.enqueue(topicPlace(topic), request, as)) this.#want(topic, request, now)
  }

  /**
   * A reader that is served from the cache asks no broker, so no broker would say that the topic was deleted. Therefore the
   * metadata must not be older than allowed, unless no broker answers at the moment.
   */
  #mayBeOutdated(request: AnyAccepted, checkedAt: number, now: number): boolean {
    const { settings, isInTouch } = this.#options
    return request.kind === 'fetchData' && now - checkedAt > settings.metadataMaxAgeMs && isInTouch()
  }

  #toLeader(request: AnyAccepted, { leaderId, identity, key }: Partition, now: number): void {
    if (request.unknownAt === leaderId && request.unknownTimes >= this.#options.settings.unknownTopicRefreshes) {
      // The leader has repeatedly denied the partition, although every refresh named it.
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
    // Waits until the pause of the broker is over or another leader is known, whichever comes first.
    const { topic } = topicPartitionOf(request)!
    if (this.#waiting.enqueue(proxy ? nodePlace(leaderId) : topicPlace(topic), request)) this.#want(topic, request, now)
  }

  #want(topic: string, request: AnyAccepted, now: number): void {
    this.#options.schedule.want(topic, this.#mayCreate(request), now)
  }

  #mayCreate(request: AnyAccepted): boolean {
    return request.kind === 'produceBatch' && this.#options.settings.allowAutoTopicCreation
  }

  /** Answers a look-up that only has names that brokers have just said are missing. False: a broker has to be asked. */
  #answerMissing(request: Accepted<'fetchTopicMetadata'>, now: number): boolean {
    const { leaders, pool } = this.#options
    const { topics, allowAutoTopicCreation = false } = request.request
    if (!topics?.length) return false
    if (!topics.every(topic => leaders.isRememberedMissing(topic, allowAutoTopicCreation, now))) return false
    const missing = new Map(topics.map(topic => [topic, missingTopic(topic)]))
    reply(request, { type: 'success', brokers: pool.nodes(), topics: missing })
    return true
  }

  #routeToNode(request: AnyAccepted, nodeId: number, now: number): void {
    const { pool } = this.#options
    const proxy = pool.proxyOf(nodeId)
    if (!proxy) fail(request, ownFailure('brokerUnreachable', `the cluster has no broker ${nodeId} now`, true))
    else if (pool.isUp(nodeId, now)) proxy.submit(request)
    else this.#waiting.enqueue(nodePlace(nodeId), request)
  }

  #routeToAny(request: AnyAccepted, now: number): void {
    const proxy = this.#options.pool.any(now)
    if (proxy) {
      proxy.submit(request)
      return
    }
    this.#options.schedule.wantBrokers()
    this.#waiting.enqueue(ANY_NODE, request)
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

/** The leader has answered this request, or an earlier one, that it does not know the partition. Batches wait for certainty. */
const isDenied = (request: AnyAccepted, partition: Partition): boolean =>
  request.unknownAt >= 0 || (partition.isDenied && request.kind !== 'produceBatch')

/** A single such answer may be wrong: a broker that has just become leader may learn of it later than others. */
function noteUnknown(request: AnyAccepted, nodeId: number): void {
  request.unknownTimes = request.unknownAt === nodeId ? request.unknownTimes + 1 : 1
  request.unknownAt = nodeId
}
