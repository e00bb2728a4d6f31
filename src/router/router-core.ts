import type { ActorRef, ActorSystem } from '../actor/actor.js'
import { Proxy, type ProxyOptions } from '../dispatcher/proxy.js'
import { CastellanError } from '../errors.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { BrokerAddress, Logger, MonotonicClock, TopicPartition } from '../model.js'
import type { InitProducerId, Produce, RouterMessage, RouterRequest } from '../operations.js'
import { type AnyAccepted, type Failure, type FindCoordinatorResult, Ledger } from '../processors/accepted.js'
import { answerTimedOut, answerUnknown, fail, kafkaFailure, ownFailure, reply } from '../processors/answers.js'
import { Alarm } from '../processors/deadlines.js'
import { missingTopic } from '../processors/fetch-topic-metadata.js'
import { MessageCache } from '../processors/message-cache.js'
import type { Returned } from '../processors/queue-processor.js'
import { ReadingRoom } from '../processors/reading-room.js'
import type { BrokerClientFactory, MetadataResponse } from '../wire/broker-client.js'
import { concatBatches } from '../wire/concat-batches.js'
import { backoffMs } from './backoff.js'
import { BrokerPool } from './broker-pool.js'
import { CoordinatorTable } from './coordinator-table.js'
import { LeaderTable } from './leader-table.js'
import type { RouterMailbox, RouterNotice } from './messages.js'
import { MetadataSource } from './metadata-source.js'
import { Parking, type ParkingPlace } from './parking.js'
import { type RefreshPlan, RefreshSchedule } from './refresh-schedule.js'
import { refuseProduce } from './refuse-produce.js'
import type { RouterSettings } from './settings.js'
import { TokenBucket } from './token-bucket.js'
import { problemOf } from './validate.js'

export interface RouterDeps {
  readonly system: ActorSystem
  readonly createClient: BrokerClientFactory
  readonly bootstrap: readonly BrokerAddress[]
  readonly settings: RouterSettings
  readonly clock: MonotonicClock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
  /** Takes the Produce requests, which the Router only passes on. */
  readonly delivery?: { produce(request: Produce): void } | undefined
}

const SHUTTING_DOWN = ownFailure('shuttingDown', 'the router is shutting down', true)
const ANY_NODE: ParkingPlace = 'anyNode'
// The same request that made dispatchers crash so often is not tried again.
const MAX_CRASHES = 3
// No hurry where credentials are refused: retrying may lock the account.
const AUTHENTICATION_PAUSE_MS = 1_000
const UNUSED_TOPICS_KEPT_FOR = 10

/**
 * Whom to ask: the tables of leaders and coordinators, the requests that wait for them, and the brokers. Owned by the
 * Router actor, which calls {@link receive} with one message after the other.
 *
 *   request ─▶ leader or coordinator known, broker up ─▶ proxy
 *           ─▶ otherwise parked under what it waits for, until a refresh, a search or a pause ends
 */
export class RouterCore {
  readonly ledger: Ledger
  readonly cache: MessageCache
  readonly #deps: RouterDeps
  readonly #settings: RouterSettings
  readonly #self: ActorRef<RouterNotice>
  readonly #leaders: LeaderTable
  readonly #coordinators = new CoordinatorTable()
  readonly #parking: Parking
  readonly #pool: BrokerPool
  readonly #schedule: RefreshSchedule
  readonly #source: MetadataSource
  readonly #unknownLookUps: TokenBucket
  #refreshTimer: NodeJS.Timeout | undefined
  #maintenance: NodeJS.Timeout | undefined
  #rests = 0
  #parkedBefore = 0
  #hasMetadata = false
  #stopped = false
  /** For the worst case: how much of the message in hand has been accepted, and the request in hand. */
  #taken = 0
  #inHand: AnyAccepted | undefined

  constructor(deps: RouterDeps, self: ActorRef<RouterNotice>) {
    const { settings, clock, metrics, log, random, createClient } = deps
    this.#deps = deps
    this.#settings = settings
    this.#self = self
    this.ledger = new Ledger({ now: clock, metrics, log, onExpired: request => this.#expire(request) })
    this.cache = new MessageCache({
      maxBytes: settings.cacheMaxBytes,
      bufferBytes: settings.fetchBufferBytes,
      concat: concatBatches,
      onEvict: () => metrics.count('router', 'cache_evictions')
    })
    const room = new ReadingRoom(this.cache, settings.isolationLevel, concatBatches, metrics)
    this.#leaders = new LeaderTable({ ...settings, onRecreated: key => room.forget(key) })
    this.#parking = new Parking(this.ledger, settings.maxParkedRequests)
    this.#pool = new BrokerPool({ ...settings, random, createProxy: node => new Proxy(node, this.#proxyOptions(room)) })
    this.#unknownLookUps = new TokenBucket(settings.unknownTopicLookUpsPerSecond, clock())
    this.#schedule = new RefreshSchedule({
      ...settings,
      random,
      isKnown: topic => this.#leaders.isKnown(topic),
      unknownLookUps: this.#unknownLookUps
    })
    this.#source = new MetadataSource(createClient, settings.metadataTimeoutMs)
    this.#maintenance = setInterval(() => self.tell({ type: 'maintain' }), settings.metadataMaxAgeMs)
    this.#maintenance.unref()
    if (settings.connectAtStart) {
      this.#schedule.wantBrokers()
      this.#pump(clock())
    }
  }

  /** Some broker has answered, and the last attempt to reach one did not fail. */
  get isReady(): boolean {
    return !this.#stopped && this.#hasMetadata && this.#schedule.failures === 0
  }
  get parked(): number {
    return this.#parking.size
  }
  get brokersUp(): number {
    return this.#pool.nodesUp(this.#deps.clock())
  }
  get brokersKnown(): number {
    return this.#pool.size
  }
  get topicsKnown(): number {
    return this.#leaders.topicCount
  }

  receive(message: RouterMailbox): void {
    const now = this.#deps.clock()
    this.#taken = 0
    this.#handle(message, now)
    this.#inHand = undefined
    if (!this.#stopped) this.#pump(now)
    if (this.#parking.size !== this.#parkedBefore) {
      this.#parkedBefore = this.#parking.size
      this.#deps.metrics.gauge('router', 'parked_requests', {}, this.#parkedBefore)
    }
  }

  /** Answers everything that is open with a failure and closes all connections. Idempotent. */
  shutDown(failure = SHUTTING_DOWN): void {
    if (this.#stopped) return
    this.#stopped = true
    clearTimeout(this.#refreshTimer)
    clearInterval(this.#maintenance)
    const inProxies = this.#pool.stop()
    for (const request of [...inProxies, ...this.ledger.waiting()]) fail(request, failure)
    if (this.#inHand) fail(this.#inHand, failure)
    this.ledger.deadlines.stop()
    this.#source.close()
  }

  /** Answers what a message that made {@link receive} throw still has open. */
  refuseRest(message: RouterMailbox, failure: Failure): void {
    switch (message.type) {
      case 'requests':
        return this.refuse({ ...message, requests: message.requests.slice(this.#taken) }, failure)
      case 'produceBatches':
        return this.refuse({ ...message, batches: message.batches.slice(this.#taken) }, failure)
      case 'returned':
        for (const group of message.groups) for (const request of group.requests) fail(request, failure)
        return
      case 'unreachable':
      case 'crashed':
        for (const request of message.requests) fail(request, failure)
        return
      default:
        if (this.#taken === 0 && isFromOutside(message)) this.refuse(message, failure)
    }
  }

  /** The same for a message behind it. */
  refuseUnhandled(message: RouterMailbox, failure: Failure): void {
    this.#taken = 0
    this.refuseRest(message, failure)
  }

  /** Answers a message that came too late to be accepted. */
  refuse(message: RouterMessage, failure = SHUTTING_DOWN): void {
    if (message.type === 'requests') for (const request of message.requests) this.refuse(request, failure)
    else if (message.type === 'produce') refuseProduce(message, failure)
    else if (message.type === 'produceBatches') {
      for (const batch of message.batches)
        fail(this.ledger.accept('produceBatch', batch, 0, this.#deps.clock()), failure)
    } else fail(this.#accept(message, this.#deps.clock()), failure)
  }

  #handle(message: RouterMailbox, now: number): void {
    switch (message.type) {
      case 'requests':
        for (const request of message.requests) this.#takeRequest(request, now)
        return
      case 'produceBatches':
        for (const batch of message.batches) {
          this.#routeNew(this.ledger.accept('produceBatch', batch, this.#settings.produceParkMs, now), now)
        }
        return
      case 'metadataAnswered':
        return this.#metadataAnswered(message, now)
      case 'metadataFailed':
        this.#schedule.failed(message.plan, now)
        this.#deps.log.warn({ err: message.error }, 'no broker answered a metadata request')
        return
      case 'metadataSeen':
        return this.#metadataSeen(message, now)
      case 'returned':
        for (const group of message.groups) this.#returned(group, message.proxy.node.nodeId, now)
        return
      case 'unreachable':
        return this.#unreachable(message.proxy, message.error, message.requests, now)
      case 'crashed':
        return this.#crashed(message.proxy, message.error, message.requests, now)
      case 'coordinatorFound':
        return this.#coordinatorFound(message.groupId, message.result, now)
      case 'searchCoordinator':
        return this.#askForCoordinator(message.groupId, now)
      case 'wake':
        return this.#routeAll(this.#parking.take(message.place), now)
      case 'refreshDue':
        return
      case 'maintain':
        return this.#maintain(now)
      case 'stop':
        this.shutDown()
        message.onStopped()
        return
      default:
        return this.#takeRequest(message, now)
    }
  }

  #accept(request: Exclude<RouterRequest, Produce> | InitProducerId, now: number): AnyAccepted {
    const timeoutMs = request.timeoutMs ?? this.#settings.requestTimeoutMs[request.type]
    return this.ledger.accept(request.type, request, timeoutMs, now) as AnyAccepted
  }

  #takeRequest(request: RouterRequest | InitProducerId, now: number): void {
    if (this.#stopped) return this.refuse(request)
    if (request.type === 'produce') {
      this.#taken++
      if (this.#deps.delivery) this.#deps.delivery.produce(request)
      else refuseProduce(request, ownFailure('invalidRequest', 'this router was started without delivery', false))
      return
    }
    const accepted = this.#accept(request, now)
    const problem = problemOf(request)
    if (problem) {
      this.#taken++
      fail(accepted, problem)
    } else this.#routeNew(accepted, now)
  }

  #routeNew(request: AnyAccepted, now: number): void {
    this.#inHand = request
    this.#taken++
    this.#route(request, now)
  }

  #routeAll(requests: readonly AnyAccepted[], now: number): void {
    for (const request of requests) this.#route(request, now)
  }

  #route(request: AnyAccepted, now: number): void {
    if (request.settled) return
    if (this.#stopped) return fail(request, SHUTTING_DOWN)
    switch (request.kind) {
      case 'fetchData':
      case 'fetchOffset':
        return this.#routeToLeader(request, request.request.topicPartition, now)
      case 'produceBatch':
        return this.#routeToLeader(request, request.request, now)
      case 'fetchConsumerOffset':
      case 'commitConsumerOffset':
        return this.#routeToCoordinator(request, request.request.groupId, now)
      case 'fetchTopicMetadata':
        return this.#routeMetadata(request, now)
      case 'initProducerId':
      case 'findCoordinator':
        return this.#routeToAny(request, now)
    }
  }

  #routeToLeader(request: AnyAccepted, { topic, partition }: TopicPartition, now: number): void {
    const found = this.#leaders.lookUp(topic, partition, now)
    switch (found.type) {
      case 'leader': {
        const { leaderId, leaderEpoch, key } = found.partition
        if (request.unknownAt === leaderId) return answerUnknown(request, 'partition')
        request.unknownAt = -1
        request.key = key
        request.leaderEpoch = leaderEpoch
        return this.#forward(request, leaderId, topic, now)
      }
      case 'noLeader':
      case 'ask':
        request.obstacle = 'noLeader'
        return this.#parkForTopic(request, topic, now)
      case 'unknownTopic':
        return answerUnknown(request, 'topic')
      case 'unknownPartition':
        return answerUnknown(request, 'partition')
      case 'topicError':
        return fail(request, kafkaFailure(found.errorCode))
    }
  }

  #forward(request: AnyAccepted, nodeId: number, topic: string, now: number): void {
    const proxy = this.#pool.proxyOf(nodeId)
    if (proxy && this.#pool.isUp(nodeId, now)) return proxy.submit(request)
    request.obstacle = 'brokerUnreachable'
    // Leadership may move away from a broker that is down: whichever comes first, news or the end of its pause.
    this.#want(topic, request, now)
    this.#park(proxy ? nodePlace(nodeId) : topicPlace(topic), request)
  }

  #parkForTopic(request: AnyAccepted, topic: string, now: number): void {
    this.#want(topic, request, now)
    this.#park(topicPlace(topic), request)
  }

  #want(topic: string, request: AnyAccepted, now: number): void {
    this.#schedule.want(topic, request.kind === 'produceBatch' && this.#settings.allowAutoTopicCreation, now)
  }

  #routeToCoordinator(request: AnyAccepted, groupId: string, now: number): void {
    const nodeId = this.#coordinators.nodeOf(groupId)
    const proxy = nodeId === undefined ? undefined : this.#pool.proxyOf(nodeId)
    if (proxy && this.#pool.isUp(proxy.node.nodeId, now)) return proxy.submit(request)
    if (nodeId !== undefined) this.#coordinators.forget(groupId, nodeId)
    this.#park(groupPlace(groupId), request)
    this.#searchCoordinator(groupId, now)
  }

  #routeMetadata(request: Extract<AnyAccepted, { kind: 'fetchTopicMetadata' }>, now: number): void {
    const topics = request.request.topics ?? []
    const unknown = topics.filter(topic => !this.#leaders.isKnown(topic))
    if (topics.length > 0 && topics.every(topic => this.#leaders.isRememberedMissing(topic, now))) {
      const missing = new Map(topics.map(topic => [topic, missingTopic(topic)]))
      return reply(request, { type: 'success', brokers: this.#pool.nodes(), topics: missing })
    }
    if (unknown.length > 0 && this.#unknownLookUps.take(1, now) === 0) {
      return this.#rest(request, this.#unknownLookUps.untilNextMs, now)
    }
    this.#routeToAny(request, now)
  }

  #routeToAny(request: AnyAccepted, now: number): void {
    const proxy = this.#pool.any(now)
    if (proxy) return proxy.submit(request)
    this.#schedule.wantBrokers()
    this.#park(ANY_NODE, request)
  }

  #park(place: ParkingPlace, request: AnyAccepted): void {
    if (this.#parking.park(place, request)) return
    const limit = this.#settings.maxParkedRequests
    fail(request, ownFailure('overloaded', `too many requests wait for Kafka (limit ${limit})`, true))
  }

  /** Sends it on its way again after a pause of its own. */
  #rest(request: AnyAccepted, forMs: number, now: number): void {
    const place = `rest:${++this.#rests}`
    this.#park(place, request)
    if (!request.settled) this.#wakeAt(place, now + forMs)
  }

  #wakeAt(place: ParkingPlace, at: number): void {
    this.ledger.deadlines.add(new Alarm(at, () => this.#self.tell({ type: 'wake', place })))
  }

  #returned({ reason, requests, topic, partition }: Returned, nodeId: number, now: number): void {
    if (topic !== undefined) {
      this.#leaders.suspect(topic, partition ?? 0, nodeId, now)
      this.#schedule.want(topic, false, now)
    }
    for (const request of requests) {
      if (request.settled) continue
      this.#deps.metrics.count('router', 'retries', { reason })
      request.returns++
      this.#reroute(request, reason, nodeId, now)
    }
  }

  #reroute(request: AnyAccepted, reason: Returned['reason'], nodeId: number, now: number): void {
    const tp = topicPartitionOf(request)
    switch (reason) {
      case 'unknownTopicOrPartition':
        request.unknownAt = nodeId
        if (tp) this.#leaders.suspect(tp.topic, tp.partition, nodeId, now)
        return this.#route(request, now)
      case 'notLeader':
        if (tp) this.#leaders.suspect(tp.topic, tp.partition, nodeId, now)
        return this.#route(request, now)
      case 'notCoordinator':
        if (request.kind === 'fetchConsumerOffset' || request.kind === 'commitConsumerOffset') {
          this.#coordinators.forget(request.request.groupId, nodeId)
        }
        return this.#route(request, now)
      case 'staleTopic':
        if (tp) this.#schedule.want(tp.topic, false, now)
        return this.#rest(request, this.#retryPauseMs(request), now)
      case 'retryLater':
        return this.#rest(request, this.#retryPauseMs(request), now)
    }
  }

  #retryPauseMs(request: AnyAccepted): number {
    const { retryBackoffMs, retryBackoffMaxMs } = this.#settings
    return backoffMs(request.returns - 1, retryBackoffMs, retryBackoffMaxMs, this.#deps.random)
  }

  #unreachable(proxy: Proxy, error: Error, requests: readonly AnyAccepted[], now: number): void {
    const refused = error instanceof CastellanError && error.code === 'authenticationFailed'
    const downUntil = this.#pool.failed(proxy, now, refused ? AUTHENTICATION_PAUSE_MS : undefined)
    const { nodeId, host, port } = proxy.node
    if (downUntil !== undefined) {
      this.#deps.log.warn({ err: error, nodeId, host, port, forMs: Math.round(downUntil - now) }, 'a broker failed')
      this.#wakeAt(nodePlace(nodeId), downUntil)
      this.#wakeAt(ANY_NODE, downUntil)
      this.#schedule.wantBrokers()
    }
    for (const request of requests) {
      if (request.settled) continue
      this.#deps.metrics.count('router', 'retries', { reason: 'unreachable' })
      request.returns++
      this.#route(request, now)
    }
    // What waits at its other dispatchers would find the same.
    if (downUntil !== undefined) this.#routeAll(proxy.drain(), now)
  }

  /** Not the broker's fault: a new dispatcher takes over at once. */
  #crashed(proxy: Proxy, error: Error, requests: readonly AnyAccepted[], now: number): void {
    const { nodeId } = proxy.node
    this.#deps.log.error({ err: error, nodeId }, 'a dispatcher met a bug and was replaced')
    for (const request of requests) {
      if (request.settled) continue
      if (++request.crashes >= MAX_CRASHES) fail(request, ownFailure('protocol', error.message, false))
      else this.#route(request, now)
    }
  }

  #metadataAnswered(notice: Extract<RouterNotice, { type: 'metadataAnswered' }>, now: number): void {
    const wasAway = this.#schedule.failures > 0 || !this.#hasMetadata
    this.#schedule.succeeded()
    if (!this.#hasMetadata) this.#deps.log.info({ ...notice.address }, 'Kafka answered')
    this.#hasMetadata = true
    if (wasAway) this.#pool.forgive()
    const { plan, response, askedAt } = notice
    this.#apply(response, plan.topics, askedAt, plan.allowAutoTopicCreation, now)
  }

  #metadataSeen({ response, call }: Extract<RouterNotice, { type: 'metadataSeen' }>, now: number): void {
    // Only one of many refreshes: it must not count towards believing that a topic is missing unless it may create it.
    const topics = response.topics.filter(topic => topic.errorCode === 0 || call.allowAutoTopicCreation)
    this.#apply({ ...response, topics }, [], now, call.allowAutoTopicCreation, now)
  }

  #apply(response: MetadataResponse, asked: readonly string[], askedAt: number, mayCreate: boolean, now: number): void {
    const back = this.#pool.apply(response.brokers)
    for (const topic of response.topics) this.#leaders.apply(topic, askedAt, now, mayCreate)
    const named = new Set([...asked, ...response.topics.map(({ topic }) => topic)])
    for (const topic of named) this.#routeAll(this.#parking.take(topicPlace(topic)), now)
    for (const nodeId of this.#pool.nodeIds()) this.#routeAll(this.#parking.take(nodePlace(nodeId)), now)
    this.#routeAll(this.#parking.take(ANY_NODE), now)
    this.#routeAll(back, now)
  }

  #searchCoordinator(groupId: string, now: number): void {
    const attempts = this.#coordinators.beginSearch(groupId, now)
    if (attempts === undefined) return
    if (attempts === 0) return this.#askForCoordinator(groupId, now)
    const { retryBackoffMs, retryBackoffMaxMs } = this.#settings
    const pauseMs = backoffMs(attempts - 1, retryBackoffMs, retryBackoffMaxMs, this.#deps.random)
    const ask = (): void => this.#self.tell({ type: 'searchCoordinator', groupId })
    this.ledger.deadlines.add(new Alarm(now + pauseMs, ask))
  }

  #askForCoordinator(groupId: string, now: number): void {
    const requester = {
      reply: (result: FindCoordinatorResult): void => this.#self.tell({ type: 'coordinatorFound', groupId, result })
    }
    const timeoutMs = 2 * this.#settings.callTimeoutMs
    this.#route(
      this.ledger.accept('findCoordinator', { type: 'findCoordinator', groupId, requester }, timeoutMs, now),
      now
    )
  }

  #coordinatorFound(groupId: string, result: FindCoordinatorResult, now: number): void {
    this.#coordinators.endSearch(groupId, now)
    const waiting = this.#parking.take(groupPlace(groupId))
    if (result.type === 'failed') {
      for (const request of waiting) fail(request, result)
      return
    }
    if (result.type === 'success') {
      this.#routeAll(this.#pool.ensure(result.coordinator), now)
      this.#coordinators.found(groupId, result.coordinator.nodeId)
    }
    this.#routeAll(waiting, now)
  }

  #expire(request: AnyAccepted): void {
    this.#deps.metrics.count('router', 'timeouts_sent', { operation: request.kind })
    answerTimedOut(request)
  }

  #maintain(now: number): void {
    const { metadataMaxAgeMs } = this.#settings
    for (const topic of this.#leaders.stale(metadataMaxAgeMs, now)) this.#schedule.want(topic, false, now)
    this.#schedule.wantBrokers()
    this.#leaders.forgetUnused(UNUSED_TOPICS_KEPT_FOR * metadataMaxAgeMs, now)
    this.#schedule.tidy(now)
    this.#coordinators.tidy(now)
  }

  /** Starts the next refresh if one is due, else sees to it that we wake when one is. */
  #pump(now: number): void {
    const plan = this.#schedule.start(now)
    if (plan) this.#refresh(plan, now)
    clearTimeout(this.#refreshTimer)
    const next = this.#schedule.nextAt(now)
    if (next === undefined) return
    this.#refreshTimer = setTimeout(() => this.#self.tell({ type: 'refreshDue' }), Math.max(1, next - now))
  }

  #refresh(plan: RefreshPlan, askedAt: number): void {
    this.#deps.metrics.count('router', 'metadata_refreshes')
    this.#source.ask(plan, this.#pool.addresses(askedAt, this.#deps.bootstrap)).then(
      ({ response, address }) => this.#self.tell({ type: 'metadataAnswered', plan, response, address, askedAt }),
      error => this.#self.tell({ type: 'metadataFailed', plan, error })
    )
  }

  #proxyOptions(room: ReadingRoom): ProxyOptions {
    const { system, createClient, metrics } = this.#deps
    const settings = this.#settings
    return {
      system,
      createClient,
      metrics,
      room,
      ledger: this.ledger,
      callTimeoutMs: settings.callTimeoutMs,
      maxQueued: settings.maxQueuedPerDispatcher,
      fetch: { ...settings, maxPartitionsPerCall: settings.fetchMaxPartitions },
      produce: {
        requestMaxBytes: settings.produceRequestMaxBytes,
        brokerTimeoutMs: settings.produceBrokerTimeoutMs,
        callTimeoutMs: settings.callTimeoutMs
      },
      reports: {
        returned: (proxy, groups) => this.#self.tell({ type: 'returned', proxy, groups }),
        unreachable: (proxy, error, requests) => this.#self.tell({ type: 'unreachable', proxy, error, requests }),
        crashed: (proxy, error, requests) => this.#self.tell({ type: 'crashed', proxy, error, requests }),
        answered: proxy => this.#pool.answered(proxy),
        metadata: (response, call) => this.#self.tell({ type: 'metadataSeen', response, call })
      }
    }
  }
}

const NOTICES: ReadonlySet<string> = new Set<RouterNotice['type']>([
  'metadataAnswered',
  'metadataFailed',
  'metadataSeen',
  'returned',
  'unreachable',
  'crashed',
  'coordinatorFound',
  'searchCoordinator',
  'wake',
  'refreshDue',
  'maintain',
  'stop'
])
const isFromOutside = (message: RouterMailbox): message is RouterMessage => !NOTICES.has(message.type)

const topicPlace = (topic: string): ParkingPlace => `topic:${topic}`
const groupPlace = (groupId: string): ParkingPlace => `group:${groupId}`
const nodePlace = (nodeId: number): ParkingPlace => `node:${nodeId}`

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
