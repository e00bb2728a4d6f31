import { requireClientsGroup } from '../consumer/group/webhook-groups.js'
import type { ActorRef } from '../core/actor/actor.js'
import { pause } from '../core/ending.js'
import { type CastellanError, InvalidRequestError, KafkaError } from '../core/errors.js'
import type { MonotonicClock, Offset, TopicPartition } from '../core/model.js'
import type { TopicMetadata } from '../kafka/calls.js'
import { errorCodes } from '../kafka/error-codes.js'
import type { ConfigResourceId, DescribedConfig } from '../kafka/protocol/administration.js'
import type { Delivery } from '../producer/memory/delivery.js'
import type { ResultOf, RouterMessage } from '../router/messages/operations.js'
import { kafkaFailure } from '../router/requests/failures.js'
import { askRouter, mapInPortions } from '../router/routing/ask-router.js'
import {
  type AclEntry,
  type AclFilter,
  type AclOperation,
  type AdminVerbs,
  type ChangeOptions,
  type ClusterDescription,
  type ConfigChange,
  type ConfigEntry,
  type ConfigResource,
  type LogEnds,
  type NewTopic,
  resourceName
} from './admin.js'
import { TimeLimit, toError, type Unanswered } from './offsets.js'

export interface KafkaAdminDeps {
  readonly router: ActorRef<RouterMessage>
  readonly delivery: Partial<Delivery>
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
/** The longest wait for one look at a topic before it is changed. */
const LOOK_MS = 5_000
/** The longest wait until brokers show a change. The change is made, whether they do or not. */
const MAX_SHOWN_WAIT_MS = 5_000

/** The administration of a cluster by requests to the Router. */
export class KafkaAdmin implements AdminVerbs {
  readonly #router: KafkaAdminDeps['router']
  readonly #delivery: KafkaAdminDeps['delivery']
  readonly #clock: MonotonicClock

  constructor({ router, delivery, clock }: KafkaAdminDeps) {
    this.#router = router
    this.#delivery = delivery
    this.#clock = clock
  }

  /** Takes note of a topic that was changed: what is remembered of it is forgotten at once, not after the next look-up. */
  #changed(topic: string, isDeleted: boolean): void {
    this.#router.tell({ type: 'topicChanged', topic, isDeleted })
    if (!isDeleted) this.#delivery.topicChanged?.(topic)
  }

  async describeCluster(timeoutMs: number): Promise<ClusterDescription> {
    const result = await askRouter(this.#router, { type: 'describeCluster', timeoutMs })
    const { clusterId, controllerId, brokers } = requireAnswer(result, 'the description of the cluster', timeoutMs)
    return { clusterId, controllerId, brokers: [...brokers].sort((one, other) => one.nodeId - other.nodeId) }
  }

  async clusterId(timeoutMs: number): Promise<string | null> {
    return this.#delivery.clusterId ?? (await this.describeCluster(timeoutMs)).clusterId
  }

  async createTopic(topic: NewTopic, { timeoutMs, validateOnly = false }: ChangeOptions): Promise<void> {
    const { name, partitions = DEFAULT, replicationFactor = DEFAULT } = topic
    const { assignments = new Map(), configs = new Map() } = topic
    const limit = this.#limit(timeoutMs)
    const asked = { topic: name, partitions, replicationFactor, assignments, configs, validateOnly }
    const before = validateOnly ? undefined : await this.#lookUp(name, limit)
    const result = await askRouter(this.#router, { type: 'createTopic', ...asked, timeoutMs: limit.remainingMs })
    const isMade = async (): Promise<boolean> =>
      isGone(before) && isAsAsked(await this.#lookUp(name, limit), topic) && (await this.#areShown(topic, limit))
    await requireDone(result, `the creation of topic ${name}`, validateOnly, limit, isMade)
    if (validateOnly) return
    this.#router.tell({ type: 'topicChanged', topic: name, isDeleted: false })
    await this.#shown(name, limit, hasLeaders)
    this.#changed(name, false)
  }

  async deleteTopic(topic: string, timeoutMs: number): Promise<void> {
    const limit = this.#limit(timeoutMs)
    const { topicId } = await this.#toDelete(topic, limit)
    const isDeleted = (found: TopicMetadata | undefined): boolean =>
      isGone(found) || (topicId !== undefined && found?.topicId !== undefined && found.topicId !== topicId)
    const remove = (id?: string) =>
      askRouter(this.#router, { type: 'deleteTopic', topic, topicId: id, timeoutMs: limit.remainingMs })
    let result = await remove(topicId)
    // Before Kafka 2.8, no topic can be named by its id.
    if (result.type === 'failed' && result.errorCode === errorCodes.UNSUPPORTED_VERSION) result = await remove()
    const isMade = async (): Promise<boolean> => isDeleted(await this.#lookUp(topic, limit))
    await requireDone(result, `the deletion of topic ${topic}`, false, limit, isMade)
    await this.#shown(topic, limit, isDeleted)
    this.#changed(topic, true)
  }

  async createPartitions(
    topic: string,
    total: number,
    { timeoutMs, validateOnly = false }: ChangeOptions
  ): Promise<void> {
    const limit = this.#limit(timeoutMs)
    const before = validateOnly ? undefined : await this.#lookUp(topic, limit)
    const asked = { topic, total, validateOnly, timeoutMs: limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'createPartitions', ...asked })
    const isMade = async (): Promise<boolean> => {
      const found = await this.#lookUp(topic, limit)
      if (before === undefined || found?.topicId !== before.topicId) return false
      return (
        before.errorCode === errorCodes.NONE && before.partitions.length < total && found?.partitions.length === total
      )
    }
    await requireDone(result, `the growth of topic ${topic}`, validateOnly, limit, isMade)
    if (validateOnly) return
    await this.#shown(topic, limit, found => found.partitions.length >= total && hasLeaders(found))
    this.#changed(topic, false)
  }

  async deleteRecords(topicPartition: TopicPartition, offset: Offset, timeoutMs: number): Promise<void> {
    const limit = this.#limit(timeoutMs)
    const asked = { topicPartition, offset, timeoutMs: limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'deleteRecords', ...asked })
    const what = `the deletion of records of ${topicPartition.topic}/${topicPartition.partition}`
    const isMade = async (): Promise<boolean> => {
      const start = { topicPartition, offsetType: 'earliest', timeoutMs: limit.remainingMs } as const
      const found = limit.heard(await askRouter(this.#router, { type: 'fetchOffset', ...start }))
      return found.type === 'success' && found.offset >= offset
    }
    const isUnknown = result.type === 'unknownTopicOrPartition'
    const answer = isUnknown ? kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION) : result
    await requireDone(answer, what, false, limit, isMade)
  }

  async deleteGroup(groupId: string, timeoutMs: number): Promise<void> {
    requireClientsGroup(groupId)
    const limit = this.#limit(timeoutMs)
    const result = await askRouter(this.#router, { type: 'deleteGroup', groupId, timeoutMs: limit.remainingMs })
    const isMade = async (): Promise<boolean> => {
      const asked = { groupId, timeoutMs: limit.remainingMs }
      const group = limit.heard(await askRouter(this.#router, { type: 'describeGroup', ...asked }))
      const stored = await askRouter(this.#router, { type: 'fetchGroupOffsets', ...asked })
      const isGone = group.type === 'notFound' && stored.type === 'success' && stored.offsets.length === 0
      // DescribeGroups does not know share groups.
      return isGone && isNone(await askRouter(this.#router, { type: 'describeShareGroup', ...asked }))
    }
    await requireDone(result, `the deletion of group ${groupId}`, false, limit, isMade)
  }

  async describeConfigs(
    resources: readonly ConfigResource[],
    timeoutMs: number
  ): Promise<ReadonlyMap<string, readonly ConfigEntry[]>> {
    const limit = this.#limit(timeoutMs)
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
    const limit = this.#limit(timeoutMs)
    const id = toId(resource)
    const areChanged = async (): Promise<boolean> => {
      const configs = await this.#describe([resource], limit)
      return changes.every(change => isShownIn(configs.get(id.name) ?? [], change, id))
    }
    // If the changes are shown already, seeing them later says nothing about this attempt.
    const before = validateOnly || (await areChanged().catch(() => true))
    const asked = { resource: id, changes, validateOnly, timeoutMs: limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'alterConfigs', ...asked })
    const isMade = async (): Promise<boolean> => !before && (await areChanged())
    await requireDone(result, `the change of settings of ${nameOf(resource)}`, validateOnly, limit, isMade)
    if (!validateOnly) await this.#altered(resource, changes, limit.within(MAX_SHOWN_WAIT_MS))
  }

  async describeAcls(filter: AclFilter, timeoutMs: number): Promise<readonly AclEntry[]> {
    const result = await askRouter(this.#router, { type: 'describeAcls', filter, timeoutMs })
    return requireAnswer(result, 'the request for access control lists', timeoutMs).entries
  }

  async topicOperations(
    topics: readonly string[] | 'all',
    timeoutMs: number
  ): Promise<ReadonlyMap<string, readonly AclOperation[]>> {
    const asked = { topics: topics === 'all' ? null : topics, timeoutMs }
    const result = await askRouter(this.#router, { type: 'fetchTopicOperations', ...asked })
    return requireAnswer(result, 'the request for the operations on topics', timeoutMs).operations
  }

  logEnds(partitions: readonly TopicPartition[], timeoutMs: number): Promise<readonly (LogEnds | undefined)[]> {
    const limit = this.#limit(timeoutMs)
    return mapInPortions(partitions, async topicPartition => {
      const asked = { topicPartition, timeoutMs: limit.remainingMs }
      const [earliest, latest] = await Promise.all([
        askRouter(this.#router, { type: 'fetchOffset', offsetType: 'earliest', ...asked }),
        askRouter(this.#router, { type: 'fetchStableEnd', ...asked })
      ])
      const start = offsetOf(earliest, 'the request for the start of a log', timeoutMs)
      const end = offsetOf(latest, 'the request for the end of a log', timeoutMs)
      return start === undefined || end === undefined ? undefined : { start, end }
    })
  }

  #limit(timeoutMs: number): TimeLimit {
    return new TimeLimit(timeoutMs, this.#clock)
  }

  async #describe(resources: readonly ConfigResource[], limit: TimeLimit) {
    const asked = { resources: resources.map(toId), withSynonyms: true, timeoutMs: limit.remainingMs }
    const result = limit.heard(await askRouter(this.#router, { type: 'describeConfigs', ...asked }))
    return requireAnswer(result, `the settings of ${nameOf(resources[0]!)}`, limit.timeoutMs).configs
  }

  async #areShown({ name, configs = new Map() }: NewTopic, limit: TimeLimit): Promise<boolean> {
    if (configs.size === 0) return true
    const resource = { type: 'topic', name } as const
    const found = (await this.#describe([resource], limit)).get(name) ?? []
    return [...configs].every(([setting, value]) => isShownIn(found, { name: setting, value }, resource))
  }

  /** A topic to delete. One that a broker does not show may be new, so as many must not show it as there are brokers. */
  async #toDelete(topic: string, limit: TimeLimit): Promise<TopicMetadata> {
    const thrown = (result: Unanswered) => toAdminError(result, `the deletion of topic ${topic}`, limit.timeoutMs)
    for (;;) {
      const result = await this.#ask(topic, limit)
      if (result.type === 'failed') throw thrown(result)
      const one = result.type === 'success' ? result.topics.get(topic) : undefined
      if (one !== undefined && !isGone(one)) return one
      if (one !== undefined && (await this.#shown(topic, limit, isGone)))
        throw thrown(kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION))
      if (limit.remainingMs <= MAX_PAUSE_MS) throw thrown({ type: 'timedOut', reason: 'no broker tells the topic id' })
      await pause(MAX_PAUSE_MS)
    }
  }

  async #ask(topic: string, limit: TimeLimit): Promise<ResultOf<'fetchTopicMetadata'>> {
    const asked = { topics: [topic], timeoutMs: Math.min(limit.remainingMs, LOOK_MS) }
    return limit.heard(await askRouter(this.#router, { type: 'fetchTopicMetadata', ...asked }))
  }

  /** The present metadata of a topic; `undefined`: no broker has answered. */
  async #lookUp(topic: string, limit: TimeLimit): Promise<TopicMetadata | undefined> {
    const result = await this.#ask(topic, limit)
    return result.type === 'success' ? result.topics.get(topic) : undefined
  }

  /** Waits until all brokers show changed settings, because they learn of them one after another. */
  async #altered(resource: ConfigResource, changes: readonly ConfigChange[], limit: TimeLimit): Promise<void> {
    const cluster = await askRouter(this.#router, { type: 'describeCluster', timeoutMs: limit.remainingMs })
    const brokers = cluster.type === 'success' ? cluster.brokers.map(({ nodeId }) => nodeId) : []
    const id = toId(resource)
    await mapInPortions(resource.type === 'broker' ? [resource.nodeId] : brokers, async nodeId => {
      for await (const _ of looks(limit)) {
        const asked = { resources: [id], nodeId, timeoutMs: limit.remainingMs }
        const result = await askRouter(this.#router, { type: 'describeConfigs', ...asked })
        // A broker that cannot answer may be down; the change is made all the same.
        if (result.type !== 'success') return
        const configs = result.configs.get(id.name) ?? []
        if (changes.every(change => isShownIn(configs, change, id))) return
      }
    })
  }

  /**
   * Waits until brokers show the change, because they learn of it one after another. Look-ups go to the brokers in turn,
   * so as many must show it in a row as there are brokers.
   *
   * @returns false: they did not in time
   */
  async #shown(topic: string, whole: TimeLimit, isShown: (found: TopicMetadata) => boolean): Promise<boolean> {
    const limit = whole.within(MAX_SHOWN_WAIT_MS)
    let pauseMs = FIRST_PAUSE_MS
    for (let inRow = 0, brokers = 1; inRow < Math.min(brokers, MAX_LOOK_UPS_IN_ROW); ) {
      const asked = { topics: [topic], timeoutMs: limit.remainingMs }
      const result = limit.heard(await askRouter(this.#router, { type: 'fetchTopicMetadata', ...asked }))
      const found = result.type === 'success' ? result.topics.get(topic) : undefined
      if (result.type === 'success') brokers = result.brokers.length
      inRow = found !== undefined && isShown(found) ? inRow + 1 : 0
      const isHidden = found?.errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED
      if (isHidden || limit.remainingMs <= pauseMs) return false
      if (inRow > 0) continue
      await pause(pauseMs)
      pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)
    }
    return true
  }
}

/**
 * The answer of Kafka.
 *
 * @param what was asked for, for the error
 * @throws CastellanError when Kafka refuses, or did not answer in time
 */
export function requireAnswer<Result extends { readonly type: 'success' } | Unanswered>(
  result: Result,
  what: string,
  timeoutMs: number
): Exclude<Result, Unanswered> {
  if (result.type !== 'success') throw toAdminError(result as Unanswered, what, timeoutMs)
  return result as Exclude<Result, Unanswered>
}

/**
 * Looks until the time is over whether an attempt without an answer has made a change. The attempt is not repeated, because a
 * late copy could undo later changes of others.
 *
 * @param change for the error
 * @throws CastellanError when the change is not made, or nothing shows it
 */
export async function requireDone(
  result: { readonly type: 'success' } | Unanswered,
  change: string,
  validateOnly: boolean,
  limit: TimeLimit,
  isMade: () => Promise<boolean>
): Promise<void> {
  if (result.type === 'success') return
  const isOpen = result.type === 'timedOut' && !validateOnly
  if (isOpen) for await (const _ of looks(limit)) if (await isMade().catch(() => false)) return
  throw toAdminError(result, change, limit.timeoutMs)
}

/** A broker that does not have the request has no share groups. */
const isNone = (found: ResultOf<'describeShareGroup'>): boolean =>
  found.type === 'notFound' || (found.type === 'failed' && found.errorCode === errorCodes.UNSUPPORTED_VERSION)

/** Moments to look whether a change is made: now, and after pauses. It ends where the next one is behind the limit. */
async function* looks(limit: TimeLimit): AsyncGenerator<void> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    yield
    if (limit.remainingMs <= pauseMs) return
    await pause(pauseMs)
  }
}

const isGone = (found: TopicMetadata | undefined): boolean => found?.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION

/** True when a topic has the partitions and replicas that were asked for. */
function isAsAsked(found: TopicMetadata | undefined, topic: NewTopic): boolean {
  if (found === undefined || !hasLeaders(found)) return false
  const { partitions = DEFAULT, replicationFactor = DEFAULT } = topic
  const { assignments = new Map<number, readonly number[]>() } = topic
  const total = assignments.size || (partitions === DEFAULT ? found.partitions.length : partitions)
  const isPlaced = ({ partition, replicas }: TopicMetadata['partitions'][number]): boolean =>
    assignments.size > 0
      ? assignments.get(partition)?.join() === replicas.join()
      : replicationFactor === DEFAULT || replicas.length === replicationFactor
  return found.partitions.length === total && found.partitions.every(isPlaced)
}

/** @returns `undefined`: there is no such partition */
function offsetOf(
  result: ResultOf<'fetchOffset'> | ResultOf<'fetchStableEnd'>,
  what: string,
  timeoutMs: number
): Offset | undefined {
  return result.type === 'unknownTopicOrPartition' ? undefined : requireAnswer(result, what, timeoutMs).offset
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
  const own = { topic: 'DYNAMIC_TOPIC_CONFIG', group: 'DYNAMIC_GROUP_CONFIG', broker: ofBroker }[type]
  const found = configs.find(config => config.name === name && config.source === own)
  if (value === null || found === undefined) return value === null && found === undefined
  // Kafka does not reveal a sensitive value.
  return found.value === null || normalized(found.value) === normalized(value)
}

/** Kafka describes `compact, delete` as `compact,delete`, and `TRUE` as `true`. */
const normalized = (value: string): string => value.replaceAll(/\s/g, '').toLowerCase()

const toId = (resource: ConfigResource): ConfigResourceId => ({
  type: resource.type === 'brokers' ? 'broker' : resource.type,
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
