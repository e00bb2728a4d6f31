import type { ActorRef, ActorSystem } from '../actor/actor.js'
import { BrokerProxy, type BrokerProxyOptions } from '../dispatcher/broker-proxy.js'
import { UnavailableError } from '../errors.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import type { BrokerAddress, ClusterChange, Logger, MonotonicClock } from '../model.js'
import type { Failure, InitProducerId, Produce, RouterMessage, RouterRequest } from '../operations.js'
import { type AnyAccepted, Ledger } from '../processors/accepted.js'
import { answerTimedOut, fail, notSent, ownFailure } from '../processors/answers.js'
import type { FetchTopicMetadataCall } from '../processors/fetch-topic-metadata.js'
import { MessageCache } from '../processors/message-cache.js'
import { ReadCache } from '../processors/read-cache.js'
import type { BrokerClientFactory, TopicMetadata } from '../wire/broker-client.js'
import { concatBatches } from '../wire/concat-batches.js'
import { DecompressedMemory } from '../wire/decompressed-memory.js'
import { errorCodes } from '../wire/error-codes.js'
import { BrokerPool } from './broker-pool.js'
import { ClusterIdentity } from './cluster-identity.js'
import { LeaderTable } from './leader-table.js'
import { isFromOutside, type RouterMailbox, type RouterNotice } from './messages.js'
import { Refresher } from './refresher.js'
import { refuseProduce } from './refuse-produce.js'
import { Routing } from './routing.js'
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
  readonly delivery?: { produce(request: Produce): void } | undefined
  /** Shared with other Routers of the process. Default: one of its own, as large as the settings say. */
  readonly decompressedMemory?: DecompressedMemory | undefined
  readonly onClusterChanged?: ((change: ClusterChange) => void) | undefined
  /** It cannot go on: to be stopped by its owner. */
  readonly onUnusable: (error: Error) => void
}

const SHUTTING_DOWN = ownFailure('shuttingDown', 'the router is shutting down', true)
const NO_DELIVERY = ownFailure('invalidRequest', 'this router was started without delivery', false)
// What a produce call may take beyond the broker's own wait: it should be noticed soon that a broker is silent.
const PRODUCE_CALL_MARGIN_MS = 1_500
// In multiples of the metadata's greatest age.
const UNUSED_TOPICS_KEPT_FOR = 30
// A look-up begins before what is known is too old: time for a silent broker, and to confirm that a topic is gone.
const REFRESH_AT_SHARE_OF_AGE = 0.75
// How often it is looked whether something has become old.
const LOOK_EVERY_MS = 500
const LOOKS_PER_AGE = 10

/**
 * What the Router actor owns: the book of open requests, the tables, the brokers. The actor calls {@link receive} with
 * one message after the other.
 */
export class RouterCore {
  readonly ledger: Ledger
  readonly cache: MessageCache
  readonly #deps: RouterDeps
  readonly #cluster = new ClusterIdentity()
  readonly #readCache: ReadCache
  readonly #leaders: LeaderTable
  readonly #pool: BrokerPool
  /** Topics that brokers may be asked to create, whoever asks. */
  readonly #creations: TokenBucket
  readonly #refresher: Refresher
  readonly #routing: Routing
  readonly #maintenance: NodeJS.Timeout
  #parkedBefore = 0
  #maintainedAt: number
  #stopped = false
  /** For the worst case: how much of the message in hand has been accepted, and the request in hand. */
  #taken = 0
  #inHand: AnyAccepted | undefined

  constructor(deps: RouterDeps, self: ActorRef<RouterNotice>) {
    const { settings, clock, metrics, log, random } = deps
    this.#deps = deps
    this.ledger = new Ledger({ now: clock, metrics, log, onExpired: request => this.#expire(request) })
    this.cache = new MessageCache({
      maxBytes: settings.cacheMaxBytes,
      bufferBytes: settings.fetchBufferBytes,
      concat: concatBatches,
      onEvict: () => metrics.count('router', 'cache_evictions')
    })
    const memory =
      deps.decompressedMemory ??
      new DecompressedMemory(settings.decompressedMaxBytes, bytes =>
        metrics.gauge('router', 'decompressed_bytes', {}, bytes)
      )
    const readCache = new ReadCache({
      cache: this.cache,
      isolationLevel: settings.isolationLevel,
      concat: concatBatches,
      metrics,
      decompression: { memory, responseMaxBytes: settings.fetchMaxDecompressedBytes }
    })
    const proxyOptions = this.#proxyOptions(readCache, self)
    const createProxy = (node: BrokerProxy['node']): BrokerProxy => new BrokerProxy(node, proxyOptions)
    this.#creations = new TokenBucket(settings.unknownTopicLookUpsPerSecond, clock())
    const leaders = new LeaderTable({ ...settings, onRecreated: key => readCache.forget(key) })
    const pool = new BrokerPool({ ...settings, random, createProxy })
    const refresher = new Refresher({
      ...settings,
      createClient: deps.createClient,
      random,
      isKnown: topic => leaders.isKnown(topic),
      isMissing: topic => leaders.isMissing(topic),
      creations: this.#creations,
      addresses: now => pool.addresses(now, deps.bootstrap),
      metrics,
      log,
      self
    })
    this.#readCache = readCache
    this.#leaders = leaders
    this.#pool = pool
    this.#refresher = refresher
    const { schedule } = refresher
    const isInTouch = (): boolean => refresher.isInTouch
    this.#routing = new Routing({
      ...deps,
      ledger: this.ledger,
      cluster: this.#cluster,
      leaders,
      pool,
      schedule,
      isInTouch,
      self
    })
    const lookEveryMs = Math.min(LOOK_EVERY_MS, settings.metadataMaxAgeMs / LOOKS_PER_AGE)
    this.#maintenance = setInterval(() => self.tell({ type: 'maintain' }), lookEveryMs)
    this.#maintainedAt = clock()
    this.#maintenance.unref()
    if (settings.connectAtStart) {
      schedule.wantBrokers()
      refresher.pump(clock())
    }
  }

  /** Some broker has answered, and the last attempt to reach one did not fail. */
  get isReady(): boolean {
    return !this.#stopped && this.#refresher.isInTouch
  }
  /** Why no broker answers, if none does. */
  get awayBecause(): Error | undefined {
    return this.#refresher.awayBecause
  }
  get parked(): number {
    return this.#routing.parking.size
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
  get topicsWanted(): number {
    return this.#refresher.schedule.size
  }
  get topicsMissing(): number {
    return this.#leaders.missingCount
  }

  receive(message: RouterMailbox): void {
    const now = this.#deps.clock()
    this.#taken = 0
    if (!isFromOutside(message)) this.#notice(message, now)
    else if (this.#stopped) this.refuse(message)
    else this.#take(message, now)
    this.#inHand = undefined
    if (!this.#stopped) this.#refresher.pump(now)
    this.#reportParked()
  }

  /** Answers everything that is open with a failure and closes all connections. Idempotent. */
  shutDown(failure = SHUTTING_DOWN): void {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#maintenance)
    const inProxies = this.#pool.stop()
    for (const request of [...inProxies, ...this.ledger.waiting()]) fail(request, failure)
    if (this.#inHand) fail(this.#inHand, failure)
    this.ledger.deadlines.stop()
    this.#refresher.stop()
  }

  /** Answers what a message that made {@link receive} throw still has open. */
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

  /** The same for a message behind it. */
  refuseUnhandled(message: RouterMailbox, failure: Failure): void {
    this.#taken = 0
    this.refuseRest(message, failure)
  }

  /** Answers a message that came too late to be accepted. What nobody can make sense of is passed over. */
  refuse(message: RouterMessage, failure = SHUTTING_DOWN): void {
    try {
      this.#refuse(message, failure)
    } catch (error) {
      this.#deps.log.error({ err: error }, 'a message to the router could not be answered')
    }
  }

  #refuse(message: RouterMessage, failure: Failure): void {
    if (message.type === 'requests') for (const request of message.requests) this.refuse(request, failure)
    else if (message.type === 'produce') refuseProduce(message, failure)
    else if (message.type === 'produceBatches') {
      for (const batch of message.batches) {
        fail(this.ledger.accept('produceBatch', batch, 0, this.#deps.clock()), failure)
      }
    } else fail(this.#accept(message, this.#deps.clock()), failure)
  }

  #take(message: RouterMessage, now: number): void {
    if (message.type === 'requests') for (const request of message.requests) this.#takeRequest(request, now)
    else if (message.type === 'produceBatches') {
      const { produceParkMs } = this.#deps.settings
      for (const batch of message.batches) {
        const accepted = this.ledger.accept('produceBatch', batch, produceParkMs, now)
        if (this.#cluster.isSame(batch.clusterId ?? null)) this.#routeNew(accepted, now)
        else {
          this.#taken++
          notSent(accepted, 'clusterChanged')
        }
      }
    } else this.#takeRequest(message, now)
  }

  #takeRequest(request: RouterRequest | InitProducerId, now: number): void {
    if (request.type === 'produce') {
      this.#taken++
      if (this.#deps.delivery) this.#deps.delivery.produce(request)
      else refuseProduce(request, NO_DELIVERY)
      return
    }
    const problem = problemOf(request)
    const accepted = this.#accept(request, now)
    if (!problem) this.#routeNew(accepted, now)
    else {
      this.#taken++
      fail(accepted, problem)
    }
  }

  #accept(request: Exclude<RouterRequest, Produce> | InitProducerId, now: number): AnyAccepted {
    const timeoutMs = request.timeoutMs ?? this.#deps.settings.requestTimeoutMs[request.type]
    return this.ledger.accept(request.type, request, timeoutMs, now) as AnyAccepted
  }

  #routeNew(request: AnyAccepted, now: number): void {
    this.#inHand = request
    this.#taken++
    request.clusterId = this.#cluster.id
    this.#routing.route(request, now)
  }

  #notice(notice: RouterNotice, now: number): void {
    const routing = this.#routing
    if (this.#stopped) return
    switch (notice.type) {
      case 'metadataAnswered': {
        const { plan, response, askedAt } = notice
        // After a time when nobody answered, the pauses of single brokers say nothing any more.
        if (this.#refresher.answered(notice.address)) this.#pool.forgive()
        const change = this.#cluster.see(response.clusterId)
        const waiting = change ? this.#clusterChanged(change) : []
        if (this.#stopped) break
        routing.apply(response, plan.topics, askedAt, plan.allowAutoTopicCreation, now)
        routing.routeAll(waiting, now)
        break
      }
      case 'metadataFailed':
        this.#refresher.failed(notice.plan, notice.error, now)
        break
      case 'metadataSeen': {
        const { response, call } = notice
        if (!this.#cluster.isSame(response.clusterId)) {
          // Only the Router's own refreshes, one after the other, tell which of two clusters came later.
          this.#refresher.schedule.wantBrokers()
          break
        }
        const topics = response.topics.filter(topic => this.#isOfUse(topic, call))
        // When it was asked is not known, so it clears no suspicion; a higher epoch does.
        routing.apply({ ...response, topics }, [], Number.NEGATIVE_INFINITY, call.allowAutoTopicCreation, now)
        break
      }
      case 'returned':
        for (const group of notice.groups) routing.returned(group, notice.proxy.node.nodeId, now)
        break
      case 'unreachable':
        routing.unreachable(notice.proxy, notice.error, notice.requests, now)
        break
      case 'crashed':
        routing.crashed(notice.proxy, notice.error, notice.requests, now)
        break
      case 'coordinatorFound':
        routing.coordinatorFound(notice.groupId, notice.result, now)
        break
      case 'searchCoordinator':
        routing.askForCoordinator(notice.groupId, now)
        break
      case 'wake':
        routing.wake(notice.place, now)
        break
      case 'brokerIsBack':
        routing.brokerIsBack(notice.nodeId, now)
        break
      case 'refreshDue':
        break
      case 'maintain':
        this.#maintain(now)
        break
      case 'stop':
        this.shutDown()
        notice.onStopped()
    }
  }

  /**
   * Whether the tables take something from a user's look-up. Who lists all topics does not use them all. Users may ask in
   * quick succession: their misses count only where asking creates, or once for a name that nothing is known of.
   */
  #isOfUse({ topic, errorCode }: TopicMetadata, { topics, allowAutoTopicCreation }: FetchTopicMetadataCall): boolean {
    if (errorCode !== errorCodes.NONE) return allowAutoTopicCreation
    return topics !== null || this.#leaders.isKnown(topic) || this.#routing.isWaitedFor(topic)
  }

  /** Names of missing topics that brokers may be asked to create now: each once in a while, all within the budget. */
  #admitCreations(names: readonly string[]): string[] {
    const now = this.#deps.clock()
    const admitted = this.#leaders.admitCreations(names, this.#creations.available(now), now)
    this.#creations.take(admitted.length, now)
    return admitted
  }

  /** Gives back what is to be asked of the new cluster. */
  #clusterChanged(change: ClusterChange): readonly AnyAccepted[] {
    const { settings, metrics, log, onClusterChanged, onUnusable } = this.#deps
    if (change.before === undefined) {
      onClusterChanged?.(change)
      return []
    }
    metrics.count('router', 'cluster_changes')
    const what = 'another Kafka cluster answers at the same addresses'
    if (settings.onClusterChange === 'stop') {
      const ids = `${change.now}, before it was ${change.before}`
      onUnusable(new UnavailableError('brokerUnreachable', `${what}: ${ids} (router.onClusterChange: stop)`))
      return []
    }
    log.error({ ...change }, `${what}; everything known of the cluster before is forgotten`)
    const waiting = this.#routing.leaveCluster()
    this.#readCache.forgetAll()
    this.#refresher.clusterChanged()
    onClusterChanged?.(change)
    return waiting
  }

  #maintain(now: number): void {
    const { metadataMaxAgeMs } = this.#deps.settings
    const { schedule } = this.#refresher
    const refreshAgeMs = metadataMaxAgeMs * REFRESH_AT_SHARE_OF_AGE
    for (const topic of this.#leaders.stale(metadataMaxAgeMs, refreshAgeMs, now)) schedule.want(topic, false, now)
    if (now - this.#maintainedAt < metadataMaxAgeMs) return
    this.#maintainedAt = now
    schedule.wantBrokers()
    schedule.tidy(now)
    this.#leaders.forgetUnused(UNUSED_TOPICS_KEPT_FOR * metadataMaxAgeMs, now)
    this.#routing.tidy(now)
  }

  #expire(request: AnyAccepted): void {
    this.#deps.metrics.count('router', 'timeouts_sent', { operation: request.kind })
    answerTimedOut(request, this.awayBecause?.message)
  }

  #reportParked(): void {
    if (this.parked === this.#parkedBefore) return
    this.#parkedBefore = this.parked
    this.#deps.metrics.gauge('router', 'parked_requests', {}, this.#parkedBefore)
  }

  #proxyOptions(readCache: ReadCache, self: ActorRef<RouterNotice>): BrokerProxyOptions {
    const { system, createClient, metrics, settings } = this.#deps
    return {
      system,
      createClient,
      expectedClusterId: () => this.#cluster.id,
      metrics,
      readCache,
      ledger: this.ledger,
      callTimeoutMs: settings.callTimeoutMs,
      maxQueued: settings.maxQueuedPerDispatcher,
      group: settings,
      fetch: { ...settings, maxPartitionsPerCall: settings.fetchMaxPartitions },
      produce: {
        connections: settings.produceConnections,
        requestMaxBytes: settings.produceRequestMaxBytes,
        brokerTimeoutMs: settings.produceBrokerTimeoutMs,
        callMarginMs: PRODUCE_CALL_MARGIN_MS
      },
      reports: {
        returned: (proxy, groups) => self.tell({ type: 'returned', proxy, groups }),
        unreachable: (proxy, error, requests) => self.tell({ type: 'unreachable', proxy, error, requests }),
        crashed: (proxy, error, requests) => self.tell({ type: 'crashed', proxy, error, requests }),
        answered: proxy => {
          if (this.#pool.answered(proxy)) self.tell({ type: 'brokerIsBack', nodeId: proxy.node.nodeId })
        },
        metadata: (response, call) => self.tell({ type: 'metadataSeen', response, call })
      },
      admitCreations: names => this.#admitCreations(names)
    }
  }
}
