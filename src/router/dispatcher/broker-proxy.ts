import type { ActorSystem } from '../../core/actor/actor.js'
import { startBrokerAtZero } from '../../core/metrics/start-at-zero.js'
import type { BrokerNode } from '../../core/model.js'
import type { BrokerClientFactory, ExpectedClusterId, MetadataResponse } from '../../kafka/broker-client.js'
import type { TopicLookUp } from '../processors/processor-context.js'
import type { BrokerTags } from '../processors/queue-processor.js'
import type { AnyAccepted } from '../requests/accepted.js'
import type { Role } from '../requests/operation.js'
import { connectionOf } from '../requests/targets.js'
import { Dispatcher, TIMEOUTS_BEFORE_UNREACHABLE } from './dispatcher.js'
import { type DispatcherPlanOptions, planDispatcher } from './dispatcher-plan.js'
import type { DispatcherReports } from './messages.js'

export interface BrokerProxyOptions extends Omit<DispatcherPlanOptions, 'tags' | 'reports'> {
  readonly system: ActorSystem
  readonly createClient: BrokerClientFactory
  readonly expectedClusterId: ExpectedClusterId
  readonly maxQueued: number
  readonly reports: BrokerProxyReports
}

export interface BrokerProxyReports {
  returned(proxy: BrokerProxy, groups: Parameters<DispatcherReports['returned']>[0]): void
  unreachable(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[]): void
  crashed(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[]): void
  answered(proxy: BrokerProxy): void
  metadata(response: MetadataResponse, call: TopicLookUp): void
}

/** A broker that has answered so lately is there, whatever happens to the connection of one member. */
const ANSWERED_LATELY_MS = 1_000
/** Most members send heartbeats more often; the others connect anew. */
const MEMBER_IDLE_MS = 20_000

/**
 * The dispatchers of one broker, by role. Each is started when it is first needed, and replaced when it crashes.
 * Connections are opened by the first call.
 *
 *   control   offsets by time, metadata, coordinators, producer ids          1 connection
 *   group     commits and committed offsets                                  1, and more while calls of groups are slow
 *   fetch     catch-up and tail                                              2 connections
 *   member    JoinGroup, SyncGroup and Heartbeat of one member of a group    1 connection for each member
 *   produce   all batches (1 connection or several), those of new topics (1), and of partitions that hold up others (1)
 */
export class BrokerProxy {
  readonly node: BrokerNode
  readonly #options: BrokerProxyOptions
  readonly #tags: BrokerTags
  /** By role; of the role `member` one per connection. */
  readonly #dispatchers = new Map<string, Dispatcher>()
  /** When each dispatcher of a member was last given a request. */
  readonly #membersUsedAt = new Map<string, number>()
  #answeredAt = Number.NEGATIVE_INFINITY
  /** Time-outs of independent calls since the last answer of the broker. */
  #timeouts = 0

  constructor(node: BrokerNode, options: BrokerProxyOptions) {
    this.node = node
    this.#options = options
    this.#tags = { broker_host: node.host, broker_port: String(node.port), broker_id: String(node.nodeId) }
    startBrokerAtZero(options.metrics, this.#tags)
  }

  submit(request: AnyAccepted): void {
    const { role, connection } = request.operation
    if (role === 'member') this.#submitOfMember(request)
    else this.#dispatcher(role, role).submit(request)
    if (role !== 'member' && connection) this.#left(memberKeyOf(request))
  }

  #submitOfMember(request: AnyAccepted): void {
    const key = memberKeyOf(request)
    this.#membersUsedAt.set(key, this.#options.openRequests.now())
    this.#dispatcher('member', key).submit(request)
  }

  /** Nothing more is asked over the connection of this member. */
  #left(key: string): void {
    if (this.#membersUsedAt.has(key)) this.#membersUsedAt.set(key, Number.NEGATIVE_INFINITY)
  }

  /** Closes the connections of members that have left, have another coordinator now, or have gone without a word. */
  tidy(now: number): void {
    for (const [key, usedAt] of this.#membersUsedAt) {
      const dispatcher = this.#dispatchers.get(key)
      if (dispatcher && (dispatcher.load > 0 || now - usedAt <= MEMBER_IDLE_MS)) continue
      dispatcher?.stop()
      this.#dispatchers.delete(key)
      this.#membersUsedAt.delete(key)
    }
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
  drain(): AnyAccepted[] {
    return [...this.#dispatchers.values()].flatMap(dispatcher => dispatcher.drain())
  }

  /** Stops all dispatchers at once. Returns all requests they held. */
  stop(): AnyAccepted[] {
    const requests = [...this.#dispatchers.values()].flatMap(dispatcher => dispatcher.stop())
    this.#dispatchers.clear()
    this.#membersUsedAt.clear()
    return requests
  }

  /** If another call has been answered since this one was sent, the time-out is due to the call itself. */
  #isSilent(sentAt: number): boolean {
    return this.#answeredAt <= sentAt && ++this.#timeouts >= TIMEOUTS_BEFORE_UNREACHABLE
  }

  #dispatcher(role: Role, key: string): Dispatcher {
    let dispatcher = this.#dispatchers.get(key)
    if (!dispatcher) this.#dispatchers.set(key, (dispatcher = this.#start(role, key)))
    return dispatcher
  }

  #start(role: Role, key: string): Dispatcher {
    const { system, openRequests, metrics, maxQueued, createClient, expectedClusterId, reports } = this.#options
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
      maxQueued,
      createClient: purpose => createClient({ host, port }, purpose, expectedClusterId),
      onAnswered: () => {
        this.#answeredAt = openRequests.now()
        this.#timeouts = 0
        reports.answered(this)
      },
      isSilent: isIndependent(role) ? sentAt => this.#isSilent(sentAt) : undefined,
      isAlone: role === 'member' ? () => openRequests.now() - this.#answeredAt <= ANSWERED_LATELY_MS : undefined,
      reports: {
        returned: groups => reports.returned(this, groups),
        unreachable: (error, requests) => reports.unreachable(this, error, requests),
        spoiled: (error, requests) => reports.crashed(this, error, requests),
        crashed: (error, requests) => {
          this.#dispatchers.delete(key)
          reports.crashed(this, error, requests)
        }
      }
    })
  }
}

const memberKeyOf = (request: AnyAccepted): string => `member ${connectionOf(request)}`

/** Roles whose calls are independent: a slow one says nothing about the others. */
const isIndependent = (role: Role): boolean => role === 'control' || role === 'group' || role === 'member'
