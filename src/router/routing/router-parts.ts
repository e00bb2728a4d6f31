import type { ActorRef, ActorSystem } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { BrokerAddress, ClusterChange, Logger, MonotonicClock } from '../../core/model.js'
import { TokenBucket } from '../../core/token-bucket.js'
import type { BrokerClientFactory } from '../../kafka/broker-client.js'
import { DecompressedMemory } from '../../kafka/decompressed-memory.js'
import { concatBatches } from '../../kafka/record-batches.js'
import { BrokerProxy, type BrokerProxyOptions } from '../dispatcher/broker-proxy.js'
import type { Produce } from '../messages/operations.js'
import { MessageCache } from '../processors/message-cache.js'
import { ReadCache } from '../processors/read-cache.js'
import { answerTimedOut, type OpenRequest, OpenRequests } from '../requests/open-requests.js'
import { BrokerPool, ClusterIdentity } from './broker-pool.js'
import { LeaderTable } from './leader-table.js'
import type { RouterNotice } from './messages.js'
import { CREATIONS_PER_SECOND } from './refresh-schedule.js'
import { Refresher } from './refresher.js'
import { RequestAdmission } from './request-admission.js'
import { Routing } from './routing.js'
import type { RouterSettings, RouterSettingsOverrides } from './settings.js'
import { SubscribedTopics } from './subscribed-topics.js'

/** The parts and settings with which a Router starts. */
export interface StartRouterOptions {
  readonly system: ActorSystem
  readonly createClient: BrokerClientFactory
  /** Bootstrap brokers: the first metadata comes from one of them. */
  readonly bootstrap: readonly BrokerAddress[]
  /** Absent settings have their default values. */
  readonly settings?: RouterSettingsOverrides
  readonly clock: MonotonicClock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
  /** Gets the Produce requests from the Router. Absent: Produce requests are refused. */
  readonly delivery?: { produce(request: Produce): void }
  /**
   * The memory that all Routers of the process share. Default: the Router has its own, with the limit
   * `decompressedMaxBytes`.
   */
  readonly decompressedMemory?: DecompressedMemory | undefined
  /**
   * Called with the first cluster id and with every change, before anything is sent to the new cluster. Producer ids,
   * offsets and numbers of partitions of the former cluster are then void.
   */
  readonly onClusterChanged?: (change: ClusterChange) => void
  /**
   * Called when the Router has stopped because of a bug, or because it cannot continue. All its requests have been
   * answered.
   */
  readonly onFatal: (error: Error) => void
}

/** The part of these options that the parts of the Router get. */
export interface RouterDeps extends Omit<StartRouterOptions, 'settings'> {
  readonly settings: RouterSettings
}

// A Fetch request with this many partitions has 100 kB. A long poll may have ten times as many, because its responses are
// small.
const MAX_FETCHED_PARTITIONS = 2_000
// Margin of the time limit of a produce call, beyond the time that a broker may wait for its replicas. A short margin
// detects a silent broker soon.
const PRODUCE_CALL_MARGIN_MS = 1_500

/** Builds the parts of a Router: the open requests, the routing tables, the brokers, and the classes that use them. */
export class RouterParts {
  readonly openRequests: OpenRequests
  readonly cache: MessageCache
  readonly readCache: ReadCache
  readonly cluster = new ClusterIdentity()
  readonly leaders: LeaderTable
  readonly pool: BrokerPool
  readonly refresher: Refresher
  readonly followed: SubscribedTopics
  readonly routing: Routing
  readonly admission: RequestAdmission
  readonly #deps: RouterDeps
  readonly #self: ActorRef<RouterNotice>
  /** Limits how many topics per second brokers are asked to create, for all requesters together. */
  readonly #creations: TokenBucket

  constructor(deps: RouterDeps, self: ActorRef<RouterNotice>) {
    const { settings, clock, metrics, log } = deps
    this.#deps = deps
    this.#self = self
    this.#creations = new TokenBucket(CREATIONS_PER_SECOND, clock())
    this.openRequests = new OpenRequests({ now: clock, metrics, log, onExpired: request => this.#expire(request) })
    this.cache = this.#createCache()
    this.readCache = this.#createReadCache()
    this.leaders = this.#createLeaders()
    this.pool = this.#createPool()
    this.refresher = this.#createRefresher()
    const { schedule } = this.refresher
    const mayCreate = settings.allowAutoTopicCreation
    this.followed = new SubscribedTopics({ leaders: this.leaders, schedule, mayCreate })
    this.routing = this.#createRouting()
    this.admission = new RequestAdmission({ ...deps, ...this })
  }

  #createCache(): MessageCache {
    const { settings, metrics } = this.#deps
    return new MessageCache({
      maxBytes: settings.cacheMaxBytes,
      bufferBytes: settings.fetchBufferBytes,
      concat: concatBatches,
      onEvict: () => metrics.count('router', 'cache_evictions')
    })
  }

  #createReadCache(): ReadCache {
    const { settings, metrics, decompressedMemory } = this.#deps
    const gauge = (bytes: number): void => metrics.gauge?.('router', 'decompressed_bytes', {}, bytes)
    return new ReadCache({
      cache: this.cache,
      isolationLevel: settings.isolationLevel,
      concat: concatBatches,
      metrics,
      decompression: {
        memory: decompressedMemory ?? new DecompressedMemory(settings.decompressedMaxBytes, gauge),
        // The other half is for the batches that readers hold meanwhile.
        responseMaxBytes: settings.decompressedMaxBytes / 2
      }
    })
  }

  #createLeaders(): LeaderTable {
    return new LeaderTable({
      ...this.#deps.settings,
      createsNone: () => this.refresher.createsNone,
      onRecreated: key => this.readCache.forget(key)
    })
  }

  #createPool(): BrokerPool {
    const { settings, random } = this.#deps
    const options = this.#proxyOptions()
    return new BrokerPool({ ...settings, random, createProxy: node => new BrokerProxy(node, options) })
  }

  #createRefresher(): Refresher {
    const { settings, createClient, random, metrics, log, bootstrap } = this.#deps
    return new Refresher({
      ...settings,
      createClient,
      random,
      leaders: this.leaders,
      cannotBeCreated: () => !settings.allowAutoTopicCreation || this.refresher.createsNone,
      creations: this.#creations,
      addresses: now => this.pool.addresses(now, bootstrap),
      metrics,
      log,
      self: this.#self
    })
  }

  #createRouting(): Routing {
    const { settings, random, log, metrics } = this.#deps
    const { schedule } = this.refresher
    const isInTouch = (): boolean => this.refresher.isInTouch
    return new Routing({ ...this, settings, random, log, metrics, schedule, isInTouch, self: this.#self })
  }

  #proxyOptions(): BrokerProxyOptions {
    const { system, createClient, metrics, settings } = this.#deps
    return {
      system,
      createClient,
      expectedClusterId: () => this.cluster.id,
      metrics,
      readCache: this.readCache,
      openRequests: this.openRequests,
      callTimeoutMs: settings.callTimeoutMs,
      maxWaiting: settings.maxWaitingRequests,
      group: settings,
      fetch: { ...settings, maxPartitionsPerCall: MAX_FETCHED_PARTITIONS },
      produce: {
        connections: settings.produceConnections,
        requestMaxBytes: settings.produceRequestMaxBytes,
        brokerTimeoutMs: settings.produceBrokerTimeoutMs,
        callMarginMs: PRODUCE_CALL_MARGIN_MS
      },
      reports: this.#proxyReports(),
      admitCreations: names => this.#admitCreations(names),
      waitsForCreation: topic =>
        settings.allowAutoTopicCreation && this.leaders.waitsForCreation(topic, this.#deps.clock())
    }
  }

  /** Passes reports of proxies to the Router as messages, which it handles in a turn of its own. */
  #proxyReports(): BrokerProxyOptions['reports'] {
    const self = this.#self
    return {
      returned: (proxy, groups) => self.tell({ type: 'returned', proxy, groups }),
      unreachable: (proxy, error, requests) => self.tell({ type: 'unreachable', proxy, error, requests }),
      crashed: (proxy, error, requests) => self.tell({ type: 'crashed', proxy, error, requests }),
      answered: proxy => {
        if (this.pool.answered(proxy, this.#deps.clock()))
          self.tell({ type: 'brokerIsBack', nodeId: proxy.node.nodeId })
      },
      metadata: (response, call) => self.tell({ type: 'metadataSeen', response, call })
    }
  }

  #expire(request: OpenRequest): void {
    this.#deps.metrics.count('router', 'timeouts_sent', request.operation.tags)
    answerTimedOut(request, this.refresher.awayBecause?.message)
  }

  /**
   * Chooses the missing topics that brokers may be asked to create now. Each name has a pause between attempts, and all
   * names share a budget.
   */
  #admitCreations(names: readonly string[]): string[] {
    const now = this.#deps.clock()
    const { schedule } = this.refresher
    const admitted = this.leaders.admitCreations(names, schedule.freeCreations(now), now)
    schedule.tookCreations(admitted.length, now)
    return admitted
  }
}
