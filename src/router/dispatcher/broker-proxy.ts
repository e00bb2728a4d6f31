import type { ActorSystem } from '../../core/actor/actor.js'
import { startBrokerAtZero } from '../../core/metrics/metric-names.js'
import type { BrokerNode } from '../../core/model.js'
import type { BrokerClientFactory, ExpectedClusterId, MetadataResponse } from '../../kafka/broker-client.js'
import type { BrokerTags, TopicLookUp } from '../processors/queue-processor.js'
import { ownFailure } from '../requests/failures.js'
import { fail, type OpenRequest } from '../requests/open-requests.js'
import type { Role } from '../requests/operation.js'
import { Dispatcher, type DispatcherReports, TIMEOUTS_BEFORE_UNREACHABLE } from './dispatcher.js'
import { type DispatcherPlanOptions, planDispatcher } from './dispatcher-plan.js'

export interface BrokerProxyOptions extends Omit<DispatcherPlanOptions, 'tags' | 'reports'> {
  readonly system: ActorSystem
  readonly createClient: BrokerClientFactory
  readonly expectedClusterId: ExpectedClusterId
  readonly maxWaiting: number
  readonly reports: BrokerProxyReports
}

export interface BrokerProxyReports {
  returned(proxy: BrokerProxy, groups: Parameters<DispatcherReports['returned']>[0]): void
  unreachable(proxy: BrokerProxy, error: Error, requests: readonly OpenRequest[]): void
  crashed(proxy: BrokerProxy, error: Error, requests: readonly OpenRequest[]): void
  answered(proxy: BrokerProxy): void
  metadata(response: MetadataResponse, call: TopicLookUp): void
}

/** A broker that has answered within this time counts as reachable, even if the connection of one member is lost. */
const ANSWERED_LATELY_MS = 1_000
/** Roles with a connection for each member or session. */
type OwnRole = 'member' | 'session'
/**
 * The connection of a member or session is closed after this time without a request. Most members send heartbeats more often;
 * other members connect again. By default, Kafka closes a silent connection after ten minutes itself.
 */
const IDLE_MS: Readonly<Record<OwnRole, number>> = { member: 20_000, session: 600_000 }
const SESSION_CLOSED = ownFailure('brokerUnreachable', 'the connection of the share session was closed', false)

/**
 * The dispatchers of one broker, by role. A dispatcher is started when it is first needed, and replaced when it
 * crashes. Its first call opens the connection.
 *
 *   control   offsets by time, metadata, coordinators, producer ids          1 connection
 *   admin     what describes or changes the cluster, which may wait for the controller for seconds  1 connection
 *   group     commits and committed offsets                                  1, and more while calls of groups are slow
 *   fetch     catch-up and tail                                              2 connections
 *   member    JoinGroup, SyncGroup and Heartbeat of one member of a group    1 connection for each member
 *             all calls of one transactional id                              1 connection for each id
 *             heartbeats of share groups                                     1 connection
 *   session   ShareFetch and ShareAcknowledge of one share session           1 connection for each session, opened once
 *   produce   all batches (1 connection or several), those of new topics (1), and of partitions that hold up others (1)
 */
export class BrokerProxy {
  readonly node: BrokerNode
  readonly #options: BrokerProxyOptions
  readonly #tags: BrokerTags
  /** Dispatchers by role; for members and sessions, one per connection. */
  readonly #dispatchers = new Map<string, Dispatcher>()
  /** Time until which the dispatcher of a member or session is kept without requests. */
  readonly #keptUntil = new Map<string, number>()
  #answeredAt = Number.NEGATIVE_INFINITY
  /** Time-outs of independent calls since the last answer of the broker. */
  #timeouts = 0

  constructor(node: BrokerNode, options: BrokerProxyOptions) {
    this.node = node
    this.#options = options
    this.#tags = { broker_host: node.host, broker_port: String(node.port), broker_id: String(node.nodeId) }
    startBrokerAtZero(options.metrics, this.#tags)
  }

  submit(request: OpenRequest): void {
    const { operation } = request
    const { role } = operation
    const connection = operation.connection?.(request.request)
    if (connection !== undefined && (role === 'member' || role === 'session')) {
      this.#submitOverOwn(request, role, connection)
      return
    }
    this.#dispatcher(role, role).submit(request)
    if (connection !== undefined) this.#left(keyOf('member', connection))
  }

  #submitOverOwn(request: OpenRequest, role: OwnRole, connection: string): void {
    const key = keyOf(role, connection)
    this.#keptUntil.set(key, this.#options.openRequests.now() + IDLE_MS[role])
    this.#dispatcher(role, key).submit(request)
  }

  /** Marks the connection of a member that has left for closing. */
  #left(key: string): void {
    if (this.#keptUntil.has(key)) this.#keptUntil.set(key, Number.NEGATIVE_INFINITY)
  }

  /** True when the share session of the request has a connection. */
  hasSession({ operation, request }: OpenRequest): boolean {
    return this.#dispatchers.has(keyOf('session', operation.connection!(request)))
  }

  /** Closes the connection of a share session at once, and answers its calls. */
  closeSession(connection: string): void {
    for (const request of this.#close(keyOf('session', connection))) fail(request, SESSION_CLOSED)
  }

  /**
   * Closes the connections of members that have left, have moved to another coordinator, or no longer send requests, and of
   * forgotten sessions.
   */
  tidy(now: number): void {
    for (const [key, until] of this.#keptUntil) {
      const dispatcher = this.#dispatchers.get(key)
      if (dispatcher && (dispatcher.load > 0 || now <= until)) continue
      this.#close(key)
    }
  }

  /** Returns the requests that were not sent. */
  #close(key: string): OpenRequest[] {
    const dispatcher = this.#dispatchers.get(key)
    this.#dispatchers.delete(key)
    this.#keptUntil.delete(key)
    return dispatcher?.stop() ?? []
  }

  /** Requests that have no answer yet. */
  get held(): number {
    let held = 0
    for (const dispatcher of this.#dispatchers.values()) held += dispatcher.held
    return held
  }
  get controlLoad(): number {
    return this.#dispatchers.get('control')?.load ?? 0
  }

  /** Returns all requests that have not been sent. */
  drain(): OpenRequest[] {
    return [...this.#dispatchers.values()].flatMap(dispatcher => dispatcher.drain())
  }

  /** Stops all dispatchers at once. Returns all requests that they held. */
  stop(): OpenRequest[] {
    const requests = [...this.#dispatchers.values()].flatMap(dispatcher => dispatcher.stop())
    this.#dispatchers.clear()
    this.#keptUntil.clear()
    return requests
  }

  /**
   * Decides whether a time-out means that the broker is silent. If the broker has answered another call since `sentAt`,
   * only the call itself was slow.
   */
  #isSilent(sentAt: number): boolean {
    return this.#answeredAt <= sentAt && ++this.#timeouts >= TIMEOUTS_BEFORE_UNREACHABLE
  }

  #dispatcher(role: Role, key: string): Dispatcher {
    let dispatcher = this.#dispatchers.get(key)
    if (!dispatcher) this.#dispatchers.set(key, (dispatcher = this.#start(role, key)))
    return dispatcher
  }

  #start(role: Role, key: string): Dispatcher {
    const { system, openRequests, metrics, maxWaiting, createClient, expectedClusterId, reports } = this.#options
    const { nodeId, host, port } = this.node
    const { admission, connections } = planDispatcher(role, { ...this.#options, tags: this.#tags })
    return new Dispatcher({
      name: `broker-${nodeId}-${role}`,
      role,
      system,
      openRequests,
      admission,
      connections,
      metrics,
      tags: this.#tags,
      // A partition has one batch here, and delivery limits the bytes of all batches.
      maxWaiting: role === 'produce' ? Number.POSITIVE_INFINITY : maxWaiting,
      createClient: purpose => createClient({ host, port }, purpose, expectedClusterId),
      onAnswered: () => {
        this.#answeredAt = openRequests.now()
        this.#timeouts = 0
        reports.answered(this)
      },
      isSilent: INDEPENDENT.has(role) ? sentAt => this.#isSilent(sentAt) : undefined,
      isAlone: this.#isAlone(role),
      connectsOnce: role === 'session',
      reports: this.#reportsOf(key)
    })
  }

  /**
   * Whether a lost connection says nothing about the broker. That of a session never does, since other calls ask the broker, too;
   * that of a member does not if the broker has answered lately.
   */
  #isAlone(role: Role): (() => boolean) | undefined {
    if (role === 'session') return () => true
    if (role !== 'member') return undefined
    return () => this.#options.openRequests.now() - this.#answeredAt <= ANSWERED_LATELY_MS
  }

  #reportsOf(key: string): DispatcherReports {
    const { reports } = this.#options
    return {
      returned: groups => reports.returned(this, groups),
      unreachable: (error, requests) => reports.unreachable(this, error, requests),
      spoiled: (error, requests) => reports.crashed(this, error, requests),
      crashed: (error, requests) => {
        this.#dispatchers.delete(key)
        reports.crashed(this, error, requests)
      }
    }
  }
}

const keyOf = (role: OwnRole, connection: string): string => `${role} ${connection}`

/** Roles whose calls are independent: a slow call does not delay the others. */
const INDEPENDENT: ReadonlySet<Role> = new Set(['control', 'admin', 'group', 'member', 'session'])
