import type { ActorRef } from '../actor/actor.js'
import type { BrokerProxy } from '../dispatcher/broker-proxy.js'
import { CastellanError } from '../errors.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { Logger, TopicPartition } from '../model.js'
import type { Accepted, AnyAccepted, Failure, FindCoordinatorResult, Ledger } from '../processors/accepted.js'
import { answerUnknown, fail, kafkaFailure, notSent, ownFailure, reply } from '../processors/answers.js'
import { Alarm } from '../processors/deadlines.js'
import { missingTopic } from '../processors/fetch-topic-metadata.js'
import type { Returned, ReturnReason } from '../processors/queue-processor.js'
import type { MetadataResponse } from '../wire/broker-client.js'
import { backoffMs } from './backoff.js'
import type { BrokerPool } from './broker-pool.js'
import { CommitLines, lineKey } from './commit-lines.js'
import { CoordinatorTable } from './coordinator-table.js'
import type { LeaderTable, Partition } from './leader-table.js'
import type { RouterNotice } from './messages.js'
import { Parking, type ParkingPlace } from './parking.js'
import type { RefreshSchedule } from './refresh-schedule.js'
import type { RouterSettings } from './settings.js'
import type { TokenBucket } from './token-bucket.js'

export interface RoutingOptions {
  readonly ledger: Ledger
  readonly leaders: LeaderTable
  readonly pool: BrokerPool
  readonly schedule: RefreshSchedule
  readonly unknownLookUps: TokenBucket
  readonly settings: RouterSettings
  readonly random: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly self: ActorRef<RouterNotice>
}

const ANY_NODE: ParkingPlace = 'anyNode'
const topicPlace = (topic: string): ParkingPlace => `topic:${topic}`
const groupPlace = (groupId: string): ParkingPlace => `group:${groupId}`
const linePlace = (key: string): ParkingPlace => `commits:${key}`
const nodePlace = (nodeId: number): ParkingPlace => `node:${nodeId}`

// Topics somebody has invented must not take the room that a leader election needs.
const SHARE_OF_UNKNOWN_TOPICS = 0.5
// The same request that made dispatchers crash so often is not tried again.
const MAX_CRASHES = 3
// No hurry where credentials are refused: retrying may lock the account.
const AUTHENTICATION_PAUSE_MS = 1_000

/**
 * Whom to ask.
 *
 *   request ─▶ leader or coordinator known, broker up ─▶ its proxy
 *           ─▶ otherwise parked under what it waits for, until a refresh, a search or a pause ends ─▶ again
 */
export class Routing {
  readonly parking: Parking
  readonly #options: RoutingOptions
  readonly #coordinators = new CoordinatorTable()
  readonly #commits: CommitLines
  #rests = 0

  constructor(options: RoutingOptions) {
    this.#options = options
    this.parking = new Parking(options.ledger, options.settings.maxParkedRequests)
    this.#commits = new CommitLines(key => options.self.tell({ type: 'wake', place: linePlace(key) }))
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
        this.#routeToCoordinator(request, request.request.groupId, now)
        break
      case 'commitConsumerOffset':
        this.#routeCommit(request, now)
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
    for (const topic of named) this.wake(topicPlace(topic), now)
    for (const nodeId of pool.nodeIds()) this.wake(nodePlace(nodeId), now)
    this.wake(ANY_NODE, now)
    this.routeAll(back, now)
  }

  /**
   * Takes back what waits for, or is asked of, the cluster before. Batches that are sealed for it go back to their lanes;
   * everything else is to be routed again.
   */
  leaveCluster(): AnyAccepted[] {
    const { pool, leaders } = this.#options
    leaders.clear()
    this.#coordinators.forgetAll()
    const rest: AnyAccepted[] = []
    for (const request of [...pool.stop(), ...this.parking.takeAll()]) {
      if (request.kind === 'produceBatch') notSent(request, 'clusterChanged')
      else rest.push(request)
    }
    return rest
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
      schedule.want(topic, false, now)
    }
    for (const request of requests) {
      if (request.settled) continue
      // A commit that only came to the wrong broker goes to the right one before what waits behind it.
      if (reason !== 'notCoordinator' && this.#hasYielded(request)) continue
      metrics.count('router', 'retries', { reason })
      request.returns++
      this.#reroute(request, reason, nodeId, now)
    }
  }

  /** A call to a broker came to nothing: it is left alone for a while, its requests look for another way. */
  unreachable(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[], now: number): void {
    const { pool, schedule, metrics, log } = this.#options
    const refused = error instanceof CastellanError && error.code === 'authenticationFailed'
    const downUntil = pool.failed(proxy, now, refused ? AUTHENTICATION_PAUSE_MS : undefined)
    const { nodeId, host, port } = proxy.node
    if (downUntil !== undefined) {
      log.warn({ err: error, nodeId, host, port, forMs: Math.round(downUntil - now) }, 'a broker failed')
      this.#wakeAt(nodePlace(nodeId), downUntil)
      this.#wakeAt(ANY_NODE, downUntil)
      schedule.wantBrokers()
    }
    for (const request of requests) {
      if (request.settled || this.#hasYielded(request)) continue
      metrics.count('router', 'retries', { reason: 'unreachable' })
      request.returns++
      request.lastError = error.message
      this.route(request, now)
    }
    // What waits at its other dispatchers would find the same.
    if (downUntil !== undefined) this.routeAll(proxy.drain(), now)
  }

  /** Not the broker's fault: a dispatcher has met a bug; where it had to stop, a new one takes over at once. */
  crashed(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[], now: number): void {
    this.#options.log.error({ err: error, nodeId: proxy.node.nodeId }, 'a dispatcher met a bug')
    for (const request of requests) {
      if (request.settled || this.#hasYielded(request)) continue
      if (++request.crashes >= MAX_CRASHES) fail(request, ownFailure('protocol', error.message, false))
      else this.route(request, now)
    }
  }

  /** The pause before a search is over. */
  askForCoordinator(groupId: string, now: number): void {
    const { self, ledger, settings } = this.#options
    const requester = {
      reply: (result: FindCoordinatorResult): void => self.tell({ type: 'coordinatorFound', groupId, result })
    }
    const request = { type: 'findCoordinator', groupId, requester } as const
    this.route(ledger.accept('findCoordinator', request, 2 * settings.callTimeoutMs, now), now)
  }

  coordinatorFound(groupId: string, result: FindCoordinatorResult, now: number): void {
    this.#coordinators.endSearch(groupId, now)
    const waiting = this.parking.take(groupPlace(groupId))
    if (result.type === 'failed') {
      for (const request of waiting) fail(request, result)
      return
    }
    if (result.type === 'success') {
      this.routeAll(this.#options.pool.ensure(result.coordinator), now)
      this.#coordinators.found(groupId, result.coordinator.nodeId)
    }
    this.routeAll(waiting, now)
  }

  tidy(now: number): void {
    this.#coordinators.tidy(now)
  }

  #routeToLeader(request: AnyAccepted, { topic, partition }: TopicPartition, now: number): void {
    const { leaders } = this.#options
    const found = leaders.lookUp(topic, partition, now)
    switch (found.type) {
      case 'leader':
        this.#toLeader(request, found.partition, now)
        break
      case 'noLeader':
        if (request.unknownAt >= 0 && leaders.isMissed(topic, found.partition.key)) answerUnknown(request, 'topic')
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
    request.obstacle = 'noLeader'
    this.#want(topic, request, now)
    this.#park(topicPlace(topic), request, this.#options.leaders.isKnown(topic) ? 1 : SHARE_OF_UNKNOWN_TOPICS)
  }

  #toLeader(request: AnyAccepted, { leaderId, identity, key }: Partition, now: number): void {
    if (request.unknownAt === leaderId) {
      // It said it does not know the partition, and a refresh has named it again.
      answerUnknown(request, 'partition')
      return
    }
    request.unknownAt = -1
    request.key = key
    request.identity = identity
    const { pool } = this.#options
    const proxy = pool.proxyOf(leaderId)
    if (proxy && pool.isUp(leaderId, now)) {
      proxy.submit(request)
      return
    }
    request.obstacle = 'brokerUnreachable'
    // Leadership may move away from a broker that is down: whichever comes first, the news or the end of its pause.
    const { topic } = topicPartitionOf(request)!
    this.#want(topic, request, now)
    this.#park(proxy ? nodePlace(leaderId) : topicPlace(topic), request)
  }

  #want(topic: string, request: AnyAccepted, now: number): void {
    const { schedule, settings } = this.#options
    schedule.want(topic, request.kind === 'produceBatch' && settings.allowAutoTopicCreation, now)
  }

  #routeCommit(commit: Accepted<'commitConsumerOffset'>, now: number): void {
    switch (this.#commits.enter(commit)) {
      case 'go':
        this.#routeToCoordinator(commit, commit.request.groupId, now)
        break
      case 'wait':
        this.#park(linePlace(lineKey(commit.request)), commit)
        break
      case 'answered':
    }
  }

  /** True: a commit whose fate is open is not sent again, since a later one waits behind it. */
  #hasYielded(request: AnyAccepted): boolean {
    return request.kind === 'commitConsumerOffset' && this.#commits.yields(request)
  }

  #routeToCoordinator(request: AnyAccepted, groupId: string, now: number): void {
    const { pool } = this.#options
    const nodeId = this.#coordinators.nodeOf(groupId)
    const proxy = nodeId === undefined ? undefined : pool.proxyOf(nodeId)
    if (proxy && pool.isUp(proxy.node.nodeId, now)) {
      proxy.submit(request)
      return
    }
    if (nodeId !== undefined) this.#coordinators.forget(groupId, nodeId)
    this.#park(groupPlace(groupId), request)
    this.#searchCoordinator(groupId, now)
  }

  #searchCoordinator(groupId: string, now: number): void {
    const attempts = this.#coordinators.beginSearch(groupId, now)
    if (attempts === undefined) return
    if (attempts === 0) {
      this.askForCoordinator(groupId, now)
      return
    }
    const { ledger, self } = this.#options
    const ask = (): void => self.tell({ type: 'searchCoordinator', groupId })
    ledger.deadlines.add(new Alarm(now + this.#pauseMs(attempts), ask))
  }

  #routeMetadata(request: Accepted<'fetchTopicMetadata'>, now: number): void {
    const { leaders, pool, unknownLookUps } = this.#options
    const topics = request.request.topics ?? []
    if (topics.length > 0 && topics.every(topic => leaders.isRememberedMissing(topic, now))) {
      const missing = new Map(topics.map(topic => [topic, missingTopic(topic)]))
      reply(request, { type: 'success', brokers: pool.nodes(), topics: missing })
    } else if (topics.some(topic => !leaders.isKnown(topic)) && unknownLookUps.take(1, now) === 0) {
      this.#rest(request, unknownLookUps.untilNextMs, now)
    } else this.#routeToAny(request, now)
  }

  #routeToAny(request: AnyAccepted, now: number): void {
    const proxy = this.#options.pool.any(now)
    if (proxy) {
      proxy.submit(request)
      return
    }
    this.#options.schedule.wantBrokers()
    this.#park(ANY_NODE, request)
  }

  #reroute(request: AnyAccepted, reason: ReturnReason, nodeId: number, now: number): void {
    const { leaders, schedule } = this.#options
    const at = topicPartitionOf(request)
    switch (reason) {
      case 'unknownTopicOrPartition':
      case 'notLeader':
        if (reason === 'unknownTopicOrPartition') request.unknownAt = nodeId
        if (at) leaders.suspect(at.topic, at.partition, nodeId, now)
        this.route(request, now)
        break
      case 'notCoordinator':
        if (request.kind === 'fetchConsumerOffset' || request.kind === 'commitConsumerOffset') {
          this.#coordinators.forget(request.request.groupId, nodeId)
        }
        this.route(request, now)
        break
      case 'staleTopic':
        if (at) schedule.want(at.topic, false, now)
        this.#rest(request, this.#pauseMs(request.returns), now)
        break
      case 'retryLater':
        this.#rest(request, this.#pauseMs(request.returns), now)
    }
  }

  /** @param attempt counted from 1 */
  #pauseMs(attempt: number): number {
    const { retryBackoffMs, retryBackoffMaxMs } = this.#options.settings
    return backoffMs(attempt - 1, retryBackoffMs, retryBackoffMaxMs, this.#options.random)
  }

  #park(place: ParkingPlace, request: AnyAccepted, share = 1): void {
    if (this.parking.park(place, request, share)) return
    const limit = this.#options.settings.maxParkedRequests
    fail(request, tooManyParked(limit))
  }

  /** Sends it on its way again after a pause of its own. */
  #rest(request: AnyAccepted, forMs: number, now: number): void {
    const place = `rest:${++this.#rests}`
    this.#park(place, request)
    if (!request.settled) this.#wakeAt(place, now + forMs)
  }

  #wakeAt(place: ParkingPlace, at: number): void {
    const { ledger, self } = this.#options
    ledger.deadlines.add(new Alarm(at, () => self.tell({ type: 'wake', place })))
  }
}

const tooManyParked = (limit: number): Failure =>
  ownFailure('overloaded', `too many requests wait for Kafka (limit ${limit}; maxParkedRequests)`, true)

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
