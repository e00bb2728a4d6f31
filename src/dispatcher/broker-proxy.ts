import type { ActorSystem } from '../actor/actor.js'
import type { MetricsLogger } from '../metrics/metrics-logger.js'
import { startBrokerAtZero } from '../metrics/start-at-zero.js'
import type { BrokerNode } from '../model.js'
import type { AnyAccepted, Ledger } from '../processors/accepted.js'
import { type FetchDataOptions, FetchIntake } from '../processors/fetch-data.js'
import type { FetchTopicMetadataCall } from '../processors/fetch-topic-metadata.js'
import { ProduceBatches, type ProduceBatchesOptions } from '../processors/produce-batches.js'
import type { BrokerTags, Intake } from '../processors/queue-processor.js'
import type { ReadCache } from '../processors/read-cache.js'
import type { BrokerClientFactory, ExpectedClusterId, MetadataResponse } from '../wire/broker-client.js'
import { ControlIntake } from './control-intake.js'
import { type ConnectionPlan, Dispatcher, TIMEOUTS_BEFORE_UNREACHABLE } from './dispatcher.js'
import { GroupIntake, type GroupIntakeOptions } from './group-intake.js'
import type { DispatcherReports } from './messages.js'

export interface BrokerProxyOptions {
  readonly system: ActorSystem
  readonly createClient: BrokerClientFactory
  readonly expectedClusterId: ExpectedClusterId
  readonly ledger: Ledger
  readonly metrics: MetricsLogger
  readonly readCache: ReadCache
  readonly callTimeoutMs: number
  readonly maxQueued: number
  readonly fetch: Pick<
    FetchDataOptions,
    'fetchMaxWaitMs' | 'fetchBufferBytes' | 'fetchMaxBytes' | 'maxPartitionsPerCall'
  >
  readonly group: Pick<GroupIntakeOptions, 'maxGroupConnections' | 'slowGroupCallMs'>
  readonly produce: ProduceBatchesOptions
  /** Which of these missing topics brokers may be asked to create now. */
  readonly admitCreations: (topics: readonly string[]) => readonly string[]
  /** `generation` tells news of this proxy's life from that of one before it. */
  readonly reports: BrokerProxyReports
}

export interface BrokerProxyReports {
  returned(proxy: BrokerProxy, groups: Parameters<DispatcherReports['returned']>[0]): void
  unreachable(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[]): void
  crashed(proxy: BrokerProxy, error: Error, requests: readonly AnyAccepted[]): void
  answered(proxy: BrokerProxy): void
  metadata(response: MetadataResponse, call: FetchTopicMetadataCall): void
}

type Role = 'control' | 'group' | 'fetch' | 'produce'

/**
 * One broker's dispatchers: a plain object that knows which operation goes where. Each is started when it is first
 * needed and replaced when it crashes; connections open with the first call.
 *
 *   control   offsets by time, metadata, coordinators, producer ids          1 connection
 *   group     commits and committed offsets                                  1, and more while calls of groups are slow
 *   fetch     catch-up and tail                                              2 connections
 *   produce   all batches (1 connection or several), those of new topics (1), and of partitions that hold up others (1)
 */
export class BrokerProxy {
  readonly node: BrokerNode
  readonly #options: BrokerProxyOptions
  readonly #tags: BrokerTags
  readonly #dispatchers = new Map<Role, Dispatcher>()
  #answeredAt = Number.NEGATIVE_INFINITY
  /** Of control and group calls, since the last answer to anybody. */
  #timeouts = 0

  constructor(node: BrokerNode, options: BrokerProxyOptions) {
    this.node = node
    this.#options = options
    this.#tags = { broker_host: node.host, broker_port: String(node.port), broker_id: String(node.nodeId) }
    startBrokerAtZero(options.metrics, this.#tags)
  }

  submit(request: AnyAccepted): void {
    this.#dispatcher(roleOf(request)).submit(request)
  }

  /** Requests it has not answered yet. */
  get held(): number {
    let held = 0
    for (const dispatcher of this.#dispatchers.values()) held += dispatcher.held
    return held
  }
  get controlLoad(): number {
    return this.#dispatchers.get('control')?.load ?? 0
  }

  /** Takes back everything that has not been sent. */
  drain(): AnyAccepted[] {
    return [...this.#dispatchers.values()].flatMap(dispatcher => dispatcher.drain())
  }

  /** Stops everything at once; gives back all it held. */
  stop(): AnyAccepted[] {
    const requests = [...this.#dispatchers.values()].flatMap(dispatcher => dispatcher.stop())
    this.#dispatchers.clear()
    return requests
  }

  /** Where another call was answered after this one was sent, it is this call that is not well. */
  #isSilent(sentAt: number): boolean {
    return this.#answeredAt <= sentAt && ++this.#timeouts >= TIMEOUTS_BEFORE_UNREACHABLE
  }

  #dispatcher(role: Role): Dispatcher {
    let dispatcher = this.#dispatchers.get(role)
    if (!dispatcher) this.#dispatchers.set(role, (dispatcher = this.#start(role)))
    return dispatcher
  }

  #start(role: Role): Dispatcher {
    const { system, ledger, metrics, maxQueued, createClient, expectedClusterId, reports } = this.#options
    const { nodeId, host, port } = this.node
    const { intake, connections } = this.#plan(role)
    return new Dispatcher({
      name: `broker-${nodeId}-${role}`,
      role,
      system,
      ledger,
      intake,
      connections,
      metrics,
      tags: this.#tags,
      maxQueued,
      createClient: purpose => createClient({ host, port }, purpose, expectedClusterId),
      onAnswered: () => {
        this.#answeredAt = ledger.now()
        this.#timeouts = 0
        reports.answered(this)
      },
      isSilent: isCalledByAnybody(role) ? sentAt => this.#isSilent(sentAt) : undefined,
      reports: {
        returned: groups => reports.returned(this, groups),
        unreachable: (error, requests) => reports.unreachable(this, error, requests),
        spoiled: (error, requests) => reports.crashed(this, error, requests),
        crashed: (error, requests) => {
          this.#dispatchers.delete(role)
          reports.crashed(this, error, requests)
        }
      }
    })
  }

  #plan(role: Role): { readonly intake: Intake; readonly connections: readonly ConnectionPlan[] } {
    const { fetch, group, produce, readCache, metrics, ledger, callTimeoutMs } = this.#options
    switch (role) {
      case 'control': {
        const intake = new ControlIntake(this.#options, this.#tags)
        return { intake, connections: [{ purpose: 'control', processors: intake.processors }] }
      }
      case 'group': {
        const intake = new GroupIntake({ ...group, callTimeoutMs, metrics, tags: this.#tags })
        const purposeOf = (at: number): string => (at === 0 ? 'group' : `group-${at + 1}`)
        return {
          intake,
          connections: intake.processors.map((processors, at) => ({ purpose: purposeOf(at), processors }))
        }
      }
      case 'fetch': {
        const intake = new FetchIntake(readCache, {
          ...fetch,
          metrics,
          tags: this.#tags,
          now: ledger.now,
          callTimeoutMs
        })
        return {
          intake,
          connections: [
            { purpose: 'fetch-catch-up', processors: [intake.catchUp] },
            { purpose: 'fetch-tail', processors: [intake.tail] }
          ]
        }
      }
      case 'produce': {
        const intake = new ProduceBatches(produce)
        // A lane of delivery has one batch on its way, so calls at the same time are for different partitions.
        const main = Array.from({ length: produce.connections ?? 1 }, () => ({
          purpose: 'produce',
          processors: [intake.main]
        }))
        const newTopics = { purpose: 'produce-new-topics', processors: [intake.newTopics] }
        return { intake, connections: [...main, newTopics, { purpose: 'produce-slow', processors: [intake.slow] }] }
      }
    }
  }
}

/** Of these calls a single slow one says nothing about the others. */
const isCalledByAnybody = (role: Role): boolean => role === 'control' || role === 'group'

function roleOf({ kind }: AnyAccepted): Role {
  switch (kind) {
    case 'fetchData':
      return 'fetch'
    case 'produceBatch':
      return 'produce'
    case 'fetchConsumerOffset':
    case 'commitConsumerOffset':
      return 'group'
    case 'fetchOffset':
    case 'fetchTopicMetadata':
    case 'initProducerId':
    case 'findCoordinator':
      return 'control'
  }
}
