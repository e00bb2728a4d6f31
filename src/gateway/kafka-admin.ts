import type { ActorRef } from '../core/actor/actor.js'
import { type CastellanError, InvalidRequestError, KafkaError } from '../core/errors.js'
import type { MonotonicClock, Offset, TopicPartition } from '../core/model.js'
import type { TopicMetadata } from '../kafka/calls.js'
import { errorCodes } from '../kafka/error-codes.js'
import type { ConfigResourceId, DescribedConfig } from '../kafka/protocol/configs.js'
import type { Delivery } from '../producer/memory/delivery.js'
import type { RouterMessage } from '../router/messages/operations.js'
import { askRouter, mapInPortions } from '../router/routing/ask-router.js'
import {
  type AclOperation,
  type AdminGateway,
  type ChangeOptions,
  type ClusterDescription,
  type ConfigChange,
  type ConfigEntry,
  type ConfigResource,
  type LogEnds,
  type NewTopic,
  resourceName
} from './admin.js'
import type { Unanswered } from './offsets.js'
import { TimeLimit, toError } from './offsets.js'

export interface KafkaAdminDeps {
  readonly router: ActorRef<RouterMessage>
  readonly delivery: Partial<Pick<Delivery, 'topicChanged' | 'clusterId'>>
  readonly clock: MonotonicClock
}

/** Tells Kafka to use the default of the brokers, or the assignments. */
const DEFAULT = -1
/** Pauses between look-ups until brokers show a change. Kafka needs up to about 400 ms. */
const FIRST_PAUSE_MS = 10
const MAX_PAUSE_MS = 200
/** Topics whose settings are described by one call. A larger response holds up the event loop while it is read. */
const MAX_TOPICS_PER_CALL = 200
/** Look-ups in a row that must show a change in a cluster of many brokers. */
const MAX_LOOK_UPS_IN_ROW = 10
/** The longest wait until brokers show a change. The change is made, whether they do or not. */
const MAX_SHOWN_WAIT_MS = 5_000

export class KafkaAdmin implements AdminGateway {
  readonly #deps: KafkaAdminDeps

  constructor(deps: KafkaAdminDeps) {
    this.#deps = deps
  }

  async describeCluster(timeoutMs: number): Promise<ClusterDescription> {
    const result = await askRouter(this.#deps.router, { type: 'describeCluster', timeoutMs })
    if (result.type !== 'success') throw toAdminError(result, 'the description of the cluster', timeoutMs)
    const { clusterId, controllerId, brokers } = result
    return { clusterId, controllerId, brokers: [...brokers].sort((one, other) => one.nodeId - other.nodeId) }
  }

  async clusterId(timeoutMs: number): Promise<string | null> {
    return this.#deps.delivery.clusterId ?? (await this.describeCluster(timeoutMs)).clusterId
  }

  async createTopic(topic: NewTopic, { timeoutMs, validateOnly = false }: ChangeOptions): Promise<void> {
    const { name, partitions = DEFAULT, replicationFactor = DEFAULT } = topic
    const { assignments = new Map(), configs = new Map() } = topic
    const limit = new TimeLimit(timeoutMs, this.#deps.clock)
    const asked = { topic: name, partitions, replicationFactor, assignments, configs, validateOnly }
    const result = await askRouter(this.#deps.router, { type: 'createTopic', ...asked, timeoutMs })
    if (result.type !== 'success') throw toAdminError(result, `the creation of topic ${name}`, timeoutMs)
    if (validateOnly) return
    this.#deps.router.tell({ type: 'topicChanged', topic: name, isDeleted: false })
    await this.#shown(name, limit, hasLeaders)
    this.topicChanged(name, false)
  }

  async deleteTopic(topic: string, timeoutMs: number): Promise<void> {
    const limit = new TimeLimit(timeoutMs, this.#deps.clock)
    const result = await askRouter(this.#deps.router, { type: 'deleteTopic', topic, timeoutMs })
    if (result.type !== 'success') throw toAdminError(result, `the deletion of topic ${topic}`, timeoutMs)
    await this.#shown(topic, limit, ({ errorCode }) => errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
    this.topicChanged(topic, true)
  }

  async createPartitions(topic: string, total: number, options: ChangeOptions): Promise<void> {
    const { timeoutMs, validateOnly = false } = options
    const limit = new TimeLimit(timeoutMs, this.#deps.clock)
    const result = await askRouter(this.#deps.router, {
      type: 'createPartitions',
      topic,
      total,
      validateOnly,
      timeoutMs
    })
    if (result.type !== 'success') throw toAdminError(result, `the growth of topic ${topic}`, timeoutMs)
    if (validateOnly) return
    await this.#shown(topic, limit, found => found.partitions.length >= total && hasLeaders(found))
    this.topicChanged(topic, false)
  }

  async describeConfigs(
    resources: readonly ConfigResource[],
    timeoutMs: number
  ): Promise<ReadonlyMap<string, readonly ConfigEntry[]>> {
    const limit = new TimeLimit(timeoutMs, this.#deps.clock)
    const topics = resources.filter(({ type }) => type === 'topic')
    if (topics.length > 0 && topics.length < resources.length) {
      throw new InvalidRequestError('the settings of topics and of brokers cannot be described in one request')
    }
    const atOnce = topics.length > 0 ? MAX_TOPICS_PER_CALL : 1
    const calls: (readonly ConfigResource[])[] = []
    for (let at = 0; at < resources.length; at += atOnce) calls.push(resources.slice(at, at + atOnce))
    const results = await mapInPortions(calls, call => this.#describe(call, limit))
    return new Map(results.flatMap(found => [...found].map(([name, configs]) => [name, entriesOf(configs)] as const)))
  }

  async alterConfigs(
    resource: ConfigResource,
    changes: readonly ConfigChange[],
    { timeoutMs, validateOnly = false }: ChangeOptions
  ): Promise<void> {
    const limit = new TimeLimit(timeoutMs, this.#deps.clock)
    const asked = { resource: toId(resource), changes, validateOnly, timeoutMs }
    const result = await askRouter(this.#deps.router, { type: 'alterConfigs', ...asked })
    if (result.type !== 'success')
      throw toAdminError(result, `the change of settings of ${nameOf(resource)}`, timeoutMs)
    if (!validateOnly) await this.#altered(resource, changes, limit)
  }

  async topicOperations(
    topics: readonly string[] | 'all',
    timeoutMs: number
  ): Promise<ReadonlyMap<string, readonly AclOperation[]>> {
    const asked = { topics: topics === 'all' ? null : topics, timeoutMs }
    const result = await askRouter(this.#deps.router, { type: 'fetchTopicOperations', ...asked })
    if (result.type === 'success') return result.operations
    throw toAdminError(result, 'the request for the operations on topics', timeoutMs)
  }

  logEnds(partitions: readonly TopicPartition[], timeoutMs: number): Promise<readonly (LogEnds | undefined)[]> {
    const limit = new TimeLimit(timeoutMs, this.#deps.clock)
    return mapInPortions(partitions, async topicPartition => {
      const [start, end] = await Promise.all([this.#start(topicPartition, limit), this.#end(topicPartition, limit)])
      return start === undefined || end === undefined ? undefined : { start, end }
    })
  }

  topicChanged(topic: string, isDeleted: boolean): void {
    this.#deps.router.tell({ type: 'topicChanged', topic, isDeleted })
    if (!isDeleted) this.#deps.delivery.topicChanged?.(topic)
  }

  async #describe(
    resources: readonly ConfigResource[],
    limit: TimeLimit
  ): Promise<ReadonlyMap<string, readonly DescribedConfig[]>> {
    const asked = { resources: resources.map(toId), withSynonyms: true, timeoutMs: limit.remainingMs }
    const result = await askRouter(this.#deps.router, { type: 'describeConfigs', ...asked })
    if (result.type === 'success') return result.configs
    throw toAdminError(result, `the settings of ${nameOf(resources[0]!)}`, limit.timeoutMs)
  }

  async #start(topicPartition: TopicPartition, limit: TimeLimit): Promise<Offset | undefined> {
    const timeoutMs = limit.remainingMs
    const asked = { type: 'fetchOffset', topicPartition, offsetType: 'earliest', timeoutMs } as const
    const result = await askRouter(this.#deps.router, asked)
    if (result.type === 'success') return result.offset
    if (result.type === 'unknownTopicOrPartition') return undefined
    throw toAdminError(result, 'the request for the start of a log', limit.timeoutMs)
  }

  async #end(topicPartition: TopicPartition, limit: TimeLimit): Promise<Offset | undefined> {
    const timeoutMs = limit.remainingMs
    const result = await askRouter(this.#deps.router, { type: 'fetchStableEnd', topicPartition, timeoutMs })
    if (result.type === 'success') return result.offset
    if (result.type === 'unknownTopicOrPartition') return undefined
    throw toAdminError(result, 'the request for the end of a log', limit.timeoutMs)
  }

  /** Waits until all brokers show changed settings, because they learn of them one after another. */
  async #altered(resource: ConfigResource, changes: readonly ConfigChange[], limit: TimeLimit): Promise<void> {
    const own = new TimeLimit(Math.min(limit.remainingMs, MAX_SHOWN_WAIT_MS), this.#deps.clock)
    const cluster = await askRouter(this.#deps.router, { type: 'describeCluster', timeoutMs: own.remainingMs })
    const brokers = cluster.type === 'success' ? cluster.brokers.map(({ nodeId }) => nodeId) : []
    const nodeIds = resource.type === 'broker' ? [resource.nodeId] : brokers
    await mapInPortions(nodeIds, nodeId => this.#alteredAt(nodeId, toId(resource), changes, own))
  }

  async #alteredAt(
    nodeId: number,
    resource: ConfigResourceId,
    changes: readonly ConfigChange[],
    limit: TimeLimit
  ): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; limit.remainingMs > pauseMs; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      const asked = { resources: [resource], nodeId, timeoutMs: limit.remainingMs }
      const result = await askRouter(this.#deps.router, { type: 'describeConfigs', ...asked })
      // A broker that cannot answer may be down; the change is made all the same.
      if (result.type !== 'success') return
      const configs = result.configs.get(resource.name) ?? []
      if (changes.every(change => isShownIn(configs, change, resource))) return
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
  }

  /**
   * Waits until brokers show the change, because they learn of it one after another. Look-ups go to the brokers in turn,
   * so as many must show it in a row as there are brokers.
   */
  async #shown(topic: string, limit: TimeLimit, isShown: (found: TopicMetadata) => boolean): Promise<void> {
    const own = new TimeLimit(Math.min(limit.remainingMs, MAX_SHOWN_WAIT_MS), this.#deps.clock)
    let pauseMs = FIRST_PAUSE_MS
    for (let inRow = 0, brokers = 1; inRow < Math.min(brokers, MAX_LOOK_UPS_IN_ROW); ) {
      const asked = { requestId: 0, topics: [topic], timeoutMs: own.remainingMs }
      const result = await askRouter(this.#deps.router, { type: 'fetchTopicMetadata', ...asked })
      const found = result.type === 'success' ? result.topics.get(topic) : undefined
      if (result.type === 'success') brokers = result.brokers.length
      inRow = found !== undefined && isShown(found) ? inRow + 1 : 0
      const isHidden = found?.errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED
      if (isHidden || own.remainingMs <= pauseMs) return
      if (inRow > 0) continue
      await new Promise(resolve => setTimeout(resolve, pauseMs))
      pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)
    }
  }
}

const hasLeaders = ({ errorCode, partitions }: TopicMetadata): boolean =>
  errorCode === errorCodes.NONE && partitions.length > 0 && partitions.every(({ leaderId }) => leaderId >= 0)

/** True when a description has the new value, or when a setting that was reset has no value of this resource. */
function isShownIn(
  configs: readonly DescribedConfig[],
  { name, value }: ConfigChange,
  { type, name: resource }: ConfigResourceId
): boolean {
  const ofBroker = resource === '' ? 'DYNAMIC_DEFAULT_BROKER_CONFIG' : 'DYNAMIC_BROKER_CONFIG'
  const own = type === 'topic' ? 'DYNAMIC_TOPIC_CONFIG' : ofBroker
  const found = configs.find(config => config.name === name && config.source === own)
  if (value === null || found === undefined) return value === null && found === undefined
  // Kafka does not reveal a sensitive value.
  return found.value === null || normalized(found.value) === normalized(value)
}

/** Kafka describes `compact, delete` as `compact,delete`, and `TRUE` as `true`. */
const normalized = (value: string): string => value.replaceAll(/\s/g, '').toLowerCase()

const toId = (resource: ConfigResource): ConfigResourceId => ({
  type: resource.type === 'topic' ? 'topic' : 'broker',
  name: resourceName(resource)
})

const nameOf = (resource: ConfigResource): string =>
  resource.type === 'brokers' ? 'all brokers' : `${resource.type} ${resourceName(resource)}`

const entriesOf = (configs: readonly DescribedConfig[]): ConfigEntry[] =>
  configs
    .map(({ name, value, source, isReadOnly, isSensitive, synonyms }) => {
      return { name, value, isDefault: source === 'DEFAULT_CONFIG', isReadOnly, isSensitive, source, synonyms }
    })
    .sort((one, other) => (one.name < other.name ? -1 : 1))

/** Like {@link toError}; every refusal of Kafka is a KafkaError, so that callers can map its code. */
export function toAdminError(result: Unanswered, what: string, timeoutMs: number): CastellanError {
  if (result.type === 'failed' && result.errorCode !== undefined) {
    return new KafkaError(result.errorCode, result.message, result.retriable)
  }
  return toError(result, what, timeoutMs)
}
