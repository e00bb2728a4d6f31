import type { ActorRef, OwnedRef, OwnerLogic, Requester } from '../../core/actor/actor.js'
import { UnavailableError } from '../../core/errors.js'
import type { ClusterChange } from '../../core/model.js'
import { guardedLog, guardedMetrics } from '../../core/users-code.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Failure, RouterMessage } from '../messages/operations.js'
import type { OpenTransactionView } from '../processors/open-transactions.js'
import type { TopicLookUp } from '../processors/queue-processor.js'
import { ownFailure } from '../requests/failures.js'
import { fail, type OpenRequest } from '../requests/open-requests.js'
import type { BrokerView } from './broker-pool.js'
import type { NoticeOf, RouterMailbox, RouterNotice } from './messages.js'
import { isFromOutside, isList, isRouterMessage, notRequest, ROUTER_SHUTTING_DOWN } from './request-admission.js'
import { type RouterDeps, RouterParts, type StartRouterOptions } from './router-parts.js'
import { toRouterSettings } from './settings.js'

// How long the leaders of unused topics are kept, in multiples of `metadataMaxAgeMs`.
const UNUSED_LEADERS_KEPT_AGES = 30
// Metadata is looked up at this share of its greatest age. The remaining time is for a silent broker, or for further
// look-ups of a deleted topic.
const REFRESH_AT_SHARE_OF_AGE = 0.75
// The pause between checks of the age of metadata: a fixed pause, or a share of the greatest age if this is shorter.
const LOOK_EVERY_MS = 500
const LOOKS_PER_AGE = 10

/** Whether those who sent the message go on only when a broker has answered, so that they cannot keep the event loop from its turn. */
const isAnsweredByBroker = (type: RouterMessage['type']): boolean =>
  type === 'produceBatches' || type === 'addPartitionsToTxn' || type === 'endTxn'

/**
 * The Router's actor and its address. Requests come by {@link tell}, which refuses them once the Router has stopped; the actor
 * calls {@link receive} with one message after another.
 */
class RouterActor implements ActorRef<RouterMessage>, OwnerLogic<RouterMailbox> {
  readonly path: string
  readonly parts: RouterParts
  readonly #deps: RouterDeps
  readonly #actor: OwnedRef<RouterMailbox>
  readonly #maintenance: NodeJS.Timeout
  #waitedBefore = 0
  #maintainedAt: number
  /** The answer to later requests; `undefined`: they are accepted. */
  #over: Failure | undefined
  #stopped = false
  #stopping: Promise<void> | undefined
  #endWait = (): void => {}
  /** Resolves when all requests from before the stop are answered. */
  readonly #ended = new Promise<void>(resolve => (this.#endWait = resolve))

  constructor(deps: RouterDeps) {
    const { settings, clock, system } = deps
    this.#deps = deps
    this.#actor = system.spawnOwner<RouterMailbox>('router', this)
    this.path = this.#actor.path
    this.parts = new RouterParts(deps, this.#actor)
    const lookEveryMs = Math.min(LOOK_EVERY_MS, settings.metadataMaxAgeMs / LOOKS_PER_AGE)
    this.#maintenance = setInterval(() => this.#actor.tell({ type: 'maintain' }), lookEveryMs)
    this.#maintainedAt = clock()
    this.#maintenance.unref()
    if (!settings.connectAtStart) return
    this.parts.refresher.schedule.wantBrokers()
    this.parts.refresher.pump(clock())
  }

  get isOver(): boolean {
    return this.#over !== undefined
  }

  tell(message: RouterMessage): void {
    if (isRouterMessage(message)) this.#tell(message)
    else if (isList(message)) for (const one of message.requests) this.tell(one)
    else {
      this.#deps.log.error({}, 'the router received a message that is not a request')
      const { requester } = (message ?? {}) as { readonly requester?: Partial<Requester<never>> }
      requester?.reply?.(notRequest(message) as never)
    }
  }

  #tell(message: RouterMessage): void {
    if (this.#over) this.parts.admission.refuse(message, this.#over)
    else if (isAnsweredByBroker(message.type)) this.#actor.tellSoon(message)
    else this.#actor.tell(message)
  }

  /** Stopping is a message, so that requests sent before it are accepted and answered like all others. */
  stop(): Promise<void> {
    if (!this.#stopping && !this.#over) this.#actor.tell({ type: 'stop' })
    return (this.#stopping ??= this.#ended.then(() => this.#actor.stop()))
  }

  receive(message: RouterMailbox): void {
    if (message.type !== 'stop') this.#handle(message)
    else if (this.#over) this.#endWait()
    else {
      // Messages that are sent while open requests are answered are refused at once. Messages that were sent before
      // come before the second stop.
      this.#over = ROUTER_SHUTTING_DOWN
      this.#handle(message)
      this.#actor.tell(message)
    }
  }

  onCrash(error: Error, message: RouterMailbox, unhandled: readonly RouterMailbox[]): void {
    const { metrics, log, onFatal } = this.#deps
    const { admission } = this.parts
    const failure = ownFailure('shuttingDown', `the router has failed: ${error.message}`, true)
    this.#over = failure
    metrics.count('router', 'unexpected_failures', { actor: 'router' })
    log.error({ err: error }, 'the router met a bug and has stopped')
    this.#shutDown(failure)
    // Refuses the requests of the message whose handling threw, and of all later ones.
    admission.refuseRest(message, failure)
    this.#refuseAll(unhandled, failure)
    onFatal(error)
  }

  /** The owner of the actor system has stopped it before the Router, or the Router has ended. */
  onStopped(unhandled: readonly RouterMailbox[]): void {
    this.#over ??= ROUTER_SHUTTING_DOWN
    this.#shutDown()
    this.#refuseAll(unhandled, this.#over)
  }

  #refuseAll(unhandled: readonly RouterMailbox[], failure: Failure): void {
    this.parts.admission.nextMessage()
    for (const one of unhandled) this.parts.admission.refuseRest(one, failure)
    this.#endWait()
  }

  #handle(message: RouterMailbox): void {
    const now = this.#deps.clock()
    const { admission } = this.parts
    admission.nextMessage()
    if (!isFromOutside(message)) this.#notice(message, now)
    else if (this.#stopped) admission.refuse(message)
    else admission.take(message, now)
    admission.nextMessage()
    if (!this.#stopped) this.parts.refresher.pump(now)
    this.#reportWaiting()
  }

  /** Answers all open requests with a failure, and closes all connections. Idempotent. */
  #shutDown(failure = ROUTER_SHUTTING_DOWN): void {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#maintenance)
    const inProxies = this.parts.pool.stop()
    for (const request of [...inProxies, ...this.parts.openRequests.waiting()]) fail(request, failure)
    this.parts.admission.failInHand(failure)
    this.parts.openRequests.deadlines.stop()
    this.parts.refresher.stop()
  }

  #notice(notice: RouterNotice, now: number): void {
    const { routing } = this.parts
    if (this.#stopped) return
    switch (notice.type) {
      case 'metadataAnswered':
        this.#metadataAnswered(notice, now)
        break
      case 'metadataFailed':
        this.parts.refresher.failed(notice.plan, notice.error, now)
        break
      case 'metadataSeen':
        this.#metadataSeen(notice, now)
        break
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
        routing.groups.coordinatorFound(notice, now)
        break
      case 'searchCoordinator':
        routing.groups.askForCoordinator(notice.keyType, notice.groupId, now)
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
        this.#shutDown()
    }
  }

  #metadataAnswered({ plan, response, askedAt, address }: NoticeOf<'metadataAnswered'>, now: number): void {
    const { refresher, pool, cluster, routing } = this.parts
    // After a time in which no broker answered, the pauses of single brokers have no meaning.
    if (refresher.answered(address)) pool.forgive()
    const change = cluster.see(response.clusterId)
    const waiting = change ? this.#clusterChanged(change) : []
    if (this.#stopped) return
    routing.apply(response, plan.topics, askedAt, plan.allowAutoTopicCreation, now)
    routing.routeAll(waiting, now)
  }

  #metadataSeen({ response, call }: NoticeOf<'metadataSeen'>, now: number): void {
    if (!this.parts.cluster.isSame(response.clusterId)) {
      // Only the Router's own refreshes, which run one after another, show which of two clusters is the later one.
      this.parts.refresher.schedule.wantBrokers()
      return
    }
    const topics = response.topics.filter(topic => this.#isOfUse(topic, call))
    // The time of the user's call is unknown, so the answer only replaces older leader epochs, and clears no doubt
    // about a leader.
    const { allowAutoTopicCreation } = call
    this.parts.routing.apply({ ...response, topics }, [], Number.NEGATIVE_INFINITY, allowAutoTopicCreation, now)
  }

  /**
   * True if this topic of a user's look-up is applied to the routing tables. A look-up of all topics does not mark them
   * as used. A user may repeat a look-up quickly, so a missing topic only counts if the look-up creates topics.
   */
  #isOfUse({ topic, errorCode }: TopicMetadata, { topics, allowAutoTopicCreation }: TopicLookUp): boolean {
    if (errorCode !== errorCodes.NONE) return allowAutoTopicCreation
    return topics !== null || this.parts.leaders.isKnown(topic) || this.parts.routing.isWaitedFor(topic)
  }

  /** Returns the requests that must be routed again, to the new cluster. */
  #clusterChanged(change: ClusterChange): readonly OpenRequest[] {
    const { settings, metrics, log, onClusterChanged } = this.#deps
    if (change.before === undefined) {
      onClusterChanged?.(change)
      return []
    }
    metrics.count('router', 'cluster_changes')
    const what = 'another Kafka cluster answers at the same addresses'
    if (settings.onClusterChange === 'stop') {
      const ids = `${change.now}, before it was ${change.before}`
      this.#giveUp(`${what}: ${ids} (advanced.router.onClusterChange: stop)`)
      return []
    }
    log.error({ ...change }, `${what}; everything known of the cluster before is forgotten`)
    const waiting = this.parts.routing.leaveCluster()
    this.parts.readCache.forgetAll()
    this.parts.refresher.clusterChanged()
    onClusterChanged?.(change)
    return waiting
  }

  /** Stops by itself: it cannot go on. */
  #giveUp(why: string): void {
    const error = new UnavailableError('brokerUnreachable', why)
    this.#over = ownFailure('shuttingDown', error.message, true)
    this.#deps.log.error({ err: error }, 'the router has stopped')
    this.#shutDown(this.#over)
    this.#endWait()
    this.#deps.onFatal(error)
  }

  #maintain(now: number): void {
    const { metadataMaxAgeMs } = this.#deps.settings
    const { schedule } = this.parts.refresher
    const refreshAgeMs = metadataMaxAgeMs * REFRESH_AT_SHARE_OF_AGE
    // A slow reader makes no requests, but must learn of added partitions.
    this.parts.leaders.used(this.parts.followed.read, now)
    for (const topic of this.parts.leaders.stale(metadataMaxAgeMs, refreshAgeMs, now)) schedule.want(topic, false, now)
    if (now - this.#maintainedAt < metadataMaxAgeMs) return
    this.#maintainedAt = now
    schedule.wantBrokers()
    schedule.tidy(now)
    this.parts.leaders.forgetUnused(UNUSED_LEADERS_KEPT_AGES * metadataMaxAgeMs, now)
    this.parts.routing.groups.tidy(now)
    const { leaders, pool } = this.parts
    pool.offline(leaders.offlineBrokers(), topic => leaders.isKnown(topic) || leaders.isMissing(topic), now)
    pool.tidy(now)
  }

  #reportWaiting(): void {
    const deferred = this.parts.routing.lines.size
    if (deferred === this.#waitedBefore) return
    this.#waitedBefore = deferred
    this.#deps.metrics.gauge?.('router', 'waiting_requests', {}, this.#waitedBefore)
  }
}

export type { StartRouterOptions } from './router-parts.js'

export interface RouterStats {
  /** The number of requests accepted since the start, and the number of them without an answer. */
  readonly accepted: number
  readonly open: number
  /** Open requests that wait for a leader, a coordinator or a broker. */
  readonly deferred: number
  readonly brokersKnown: number
  readonly brokersUp: number
  readonly topicsKnown: number
  /** The number of topics that are or were lately looked up, and of names that brokers report as missing. */
  readonly topicsWanted: number
  readonly topicsMissing: number
  /** Subscriptions to news of topics, of deliveries and readers. Those that are closed have none. */
  readonly followers: number
  readonly cacheBytes: number
  readonly cacheMaxBytes: number
  readonly cacheEntries: number
  readonly cacheEvictions: number
}

export interface RouterHandle {
  /** Accepts requests. After the Router has stopped, it refuses them at once and drops none. */
  readonly ref: ActorRef<RouterMessage>
  /** True when a broker has answered and the last attempt to reach a broker did not fail. */
  readonly isReady: boolean
  /** The last error while no broker answers; `undefined` while a broker answers. */
  readonly awayBecause: Error | undefined
  stats(): RouterStats
  brokers(): readonly BrokerView[]
  /** Partitions where reads have seen an open transaction for a minute or more, the oldest first. */
  openTransactions(): readonly OpenTransactionView[]
  /** The broker that leads the partition, as far as known; -1: the partition has no leader. */
  leaderOf(topic: string, partition: number): number | undefined
  /** Changes the limit of the cache. A lower limit evicts the least recently used batches first. */
  resizeCache(bytes: number): void
  /** Answers all open requests with `failed` (shuttingDown) and closes all connections. Idempotent. */
  stop(): Promise<void>
}

/** Starts the root actor. It connects at once or at the first request; see `connectAtStart`. */
export function startRouter(options: StartRouterOptions): RouterHandle {
  const actor = new RouterActor({
    ...options,
    settings: toRouterSettings(options.settings),
    log: guardedLog(options.log),
    metrics: guardedMetrics(options.metrics)
  })
  const { pool, leaders, refresher, cache, readCache } = actor.parts
  return {
    ref: actor,
    get isReady() {
      return !actor.isOver && refresher.isInTouch
    },
    get awayBecause() {
      return refresher.awayBecause
    },
    stats: () => statsOf(actor.parts, options.clock()),
    brokers: () => pool.views(options.clock()),
    openTransactions: () => readCache.openTransactions.views(options.clock()),
    leaderOf: (topic, partition) => leaders.leaderOf(topic, partition)?.leaderId,
    resizeCache: bytes => cache.resize(bytes),
    stop: () => actor.stop()
  }
}

const statsOf = (
  { openRequests, routing, pool, leaders, refresher, cache, followed }: RouterParts,
  now: number
): RouterStats => ({
  accepted: openRequests.accepted,
  open: openRequests.open,
  deferred: routing.lines.size,
  brokersKnown: pool.size,
  brokersUp: pool.nodesUp(now),
  topicsKnown: leaders.topicCount,
  topicsWanted: refresher.schedule.size,
  topicsMissing: leaders.missingCount,
  followers: followed.count,
  cacheBytes: cache.sizeBytes,
  cacheMaxBytes: cache.maxBytes,
  cacheEntries: cache.entryCount,
  cacheEvictions: cache.evictions
})

/** Castle's name for the root actor. `Router.start(options)` is {@link startRouter}, and its result is a `Router`. */
export const Router = { start: startRouter } as const
export type Router = RouterHandle
