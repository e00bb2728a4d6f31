import type { ActorRef } from '../core/actor/actor.js'
import { type CastellanError, InvalidRequestError, KafkaError } from '../core/errors.js'
import type { MonotonicClock, Offset } from '../core/model.js'
import type { TopicMetadata } from '../kafka/calls.js'
import { errorCodes } from '../kafka/error-codes.js'
import type { ConfigResourceId, DescribedConfig } from '../kafka/protocol/administration.js'
import type { Delivery } from '../producer/memory/delivery.js'
import type { ResultOf, RouterMessage } from '../router/messages/operations.js'
import { kafkaFailure } from '../router/requests/failures.js'
import { askRouter, mapInPortions } from '../router/routing/ask-router.js'
import {
  type AdminVerbs,
  type ConfigChange,
  type ConfigEntry,
  type ConfigResource,
  type NewTopic,
  resourceName
} from './admin.js'
import { TimeLimit, toError, type Unanswered } from './offsets.js'

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
/** The longest wait for one look at a topic before it is changed. */
const LOOK_MS = 5_000
/** The longest wait until brokers show a change. The change is made, whether they do or not. */
const MAX_SHOWN_WAIT_MS = 5_000

/** The administration of a cluster by requests to the Router. */
export function kafkaAdmin({ router, delivery, clock }: KafkaAdminDeps): AdminVerbs {
  const topicChanged: AdminVerbs['topicChanged'] = (topic, isDeleted) => {
    router.tell({ type: 'topicChanged', topic, isDeleted })
    if (!isDeleted) delivery.topicChanged?.(topic)
  }
  const describeCluster: AdminVerbs['describeCluster'] = async timeoutMs => {
    const result = await askRouter(router, { type: 'describeCluster', timeoutMs })
    if (result.type !== 'success') throw toAdminError(result, 'the description of the cluster', timeoutMs)
    const { clusterId, controllerId, brokers } = result
    return { clusterId, controllerId, brokers: [...brokers].sort((one, other) => one.nodeId - other.nodeId) }
  }
  const describe = async (resources: readonly ConfigResource[], limit: TimeLimit) => {
    const asked = { resources: resources.map(toId), withSynonyms: true, timeoutMs: limit.remainingMs }
    const result = await askRouter(router, { type: 'describeConfigs', ...asked })
    if (result.type === 'success') return result.configs
    throw toAdminError(result, `the settings of ${nameOf(resources[0]!)}`, limit.timeoutMs)
  }
  const areShown = async ({ name, configs = new Map() }: NewTopic, limit: TimeLimit): Promise<boolean> => {
    if (configs.size === 0) return true
    const resource = { type: 'topic', name } as const
    const found = (await describe([resource], limit)).get(name) ?? []
    return [...configs].every(([setting, value]) => isShownIn(found, { name: setting, value }, resource))
  }
  /** A topic to delete. One that a broker does not show may be new, so as many must not show it as there are brokers. */
  const found = async (topic: string, limit: TimeLimit): Promise<TopicMetadata> => {
    const thrown = (result: Unanswered) => toAdminError(result, `the deletion of topic ${topic}`, limit.timeoutMs)
    for (;;) {
      const result = await ask(router, topic, limit)
      if (result.type === 'failed') throw thrown(result)
      const one = result.type === 'success' ? result.topics.get(topic) : undefined
      if (one !== undefined && !isGone(one)) return one
      if (one !== undefined && (await shown(router, topic, limit, clock, isGone)))
        throw thrown(kafkaFailure(errorCodes.UNKNOWN_TOPIC_OR_PARTITION))
      if (limit.remainingMs <= MAX_PAUSE_MS) throw thrown({ type: 'timedOut', reason: 'no broker tells the topic id' })
      await new Promise(resolve => setTimeout(resolve, MAX_PAUSE_MS))
    }
  }
  return {
    describeCluster,
    clusterId: async timeoutMs => delivery.clusterId ?? (await describeCluster(timeoutMs)).clusterId,
    createTopic: async (topic, { timeoutMs, validateOnly = false }) => {
      const { name, partitions = DEFAULT, replicationFactor = DEFAULT } = topic
      const { assignments = new Map(), configs = new Map() } = topic
      const limit = new TimeLimit(timeoutMs, clock)
      const asked = { topic: name, partitions, replicationFactor, assignments, configs, validateOnly }
      const before = validateOnly ? undefined : await lookUp(router, name, limit)
      const result = await askRouter(router, { type: 'createTopic', ...asked, timeoutMs: limit.remainingMs })
      const isMade = async (): Promise<boolean> =>
        isGone(before) && isAsAsked(await lookUp(router, name, limit), topic) && (await areShown(topic, limit))
      if (!(await isDone(result, validateOnly, limit, isMade))) {
        throw toAdminError(result as Unanswered, `the creation of topic ${name}`, timeoutMs)
      }
      if (validateOnly) return
      router.tell({ type: 'topicChanged', topic: name, isDeleted: false })
      await shown(router, name, limit, clock, hasLeaders)
      topicChanged(name, false)
    },
    deleteTopic: async (topic, timeoutMs) => {
      const limit = new TimeLimit(timeoutMs, clock)
      const { topicId } = await found(topic, limit)
      const isDeleted = (found: TopicMetadata | undefined): boolean =>
        isGone(found) || (topicId !== undefined && found?.topicId !== undefined && found.topicId !== topicId)
      const remove = (id?: string) =>
        askRouter(router, { type: 'deleteTopic', topic, topicId: id, timeoutMs: limit.remainingMs })
      let result = await remove(topicId)
      // Before Kafka 2.8, no topic can be named by its id.
      if (result.type === 'failed' && result.errorCode === errorCodes.UNSUPPORTED_VERSION) result = await remove()
      if (!(await isDone(result, false, limit, async () => isDeleted(await lookUp(router, topic, limit))))) {
        throw toAdminError(result as Unanswered, `the deletion of topic ${topic}`, timeoutMs)
      }
      await shown(router, topic, limit, clock, isDeleted)
      topicChanged(topic, true)
    },
    createPartitions: async (topic, total, { timeoutMs, validateOnly = false }) => {
      const limit = new TimeLimit(timeoutMs, clock)
      const before = validateOnly ? undefined : await lookUp(router, topic, limit)
      const asked = { topic, total, validateOnly, timeoutMs: limit.remainingMs }
      const result = await askRouter(router, { type: 'createPartitions', ...asked })
      const isMade = async (): Promise<boolean> => {
        const found = await lookUp(router, topic, limit)
        const isSame = before !== undefined && found?.topicId === before.topicId
        return (
          isSame &&
          before.errorCode === errorCodes.NONE &&
          before.partitions.length < total &&
          found?.partitions.length === total
        )
      }
      if (!(await isDone(result, validateOnly, limit, isMade))) {
        throw toAdminError(result as Unanswered, `the growth of topic ${topic}`, timeoutMs)
      }
      if (validateOnly) return
      await shown(router, topic, limit, clock, found => found.partitions.length >= total && hasLeaders(found))
      topicChanged(topic, false)
    },
    describeConfigs: async (resources, timeoutMs) => {
      const limit = new TimeLimit(timeoutMs, clock)
      const topics = resources.filter(({ type }) => type === 'topic')
      if (topics.length > 0 && topics.length < resources.length) {
        throw new InvalidRequestError('the settings of topics and of brokers cannot be described in one request')
      }
      const atOnce = topics.length > 0 ? MAX_TOPICS_PER_CALL : 1
      const calls: (readonly ConfigResource[])[] = []
      for (let at = 0; at < resources.length; at += atOnce) calls.push(resources.slice(at, at + atOnce))
      const results = await mapInPortions(calls, call => describe(call, limit))
      return new Map(results.flatMap(found => [...found].map(([name, configs]) => [name, entriesOf(configs)] as const)))
    },
    alterConfigs: async (resource, changes, { timeoutMs, validateOnly = false }) => {
      const limit = new TimeLimit(timeoutMs, clock)
      const id = toId(resource)
      const areChanged = async (): Promise<boolean> => {
        const configs = await describe([resource], limit)
        return changes.every(change => isShownIn(configs.get(id.name) ?? [], change, id))
      }
      // What is shown before says nothing of this attempt.
      const before = validateOnly || (await areChanged().catch(() => true))
      const asked = { resource: id, changes, validateOnly, timeoutMs: limit.remainingMs }
      const result = await askRouter(router, { type: 'alterConfigs', ...asked })
      if (!(await isDone(result, validateOnly, limit, async () => !before && (await areChanged())))) {
        throw toAdminError(result as Unanswered, `the change of settings of ${nameOf(resource)}`, timeoutMs)
      }
      if (!validateOnly) await altered(router, resource, changes, ownOf(limit, clock))
    },
    topicOperations: async (topics, timeoutMs) => {
      const asked = { topics: topics === 'all' ? null : topics, timeoutMs }
      const result = await askRouter(router, { type: 'fetchTopicOperations', ...asked })
      if (result.type === 'success') return result.operations
      throw toAdminError(result, 'the request for the operations on topics', timeoutMs)
    },
    logEnds: (partitions, timeoutMs) => {
      const limit = new TimeLimit(timeoutMs, clock)
      return mapInPortions(partitions, async topicPartition => {
        const asked = { topicPartition, timeoutMs: limit.remainingMs }
        const [earliest, latest] = await Promise.all([
          askRouter(router, { type: 'fetchOffset', offsetType: 'earliest', ...asked }),
          askRouter(router, { type: 'fetchStableEnd', ...asked })
        ])
        const start = offsetOf(earliest, 'the request for the start of a log', timeoutMs)
        const end = offsetOf(latest, 'the request for the end of a log', timeoutMs)
        return start === undefined || end === undefined ? undefined : { start, end }
      })
    },
    topicChanged
  }
}

/**
 * Looks until the time is over whether an attempt without an answer has made a change; the attempt itself is not sent
 * again, because it may arrive later than what others change meanwhile.
 */
async function isDone(
  result: { readonly type: string },
  validateOnly: boolean,
  limit: TimeLimit,
  isMade: () => Promise<boolean>
): Promise<boolean> {
  if (result.type !== 'timedOut' || validateOnly) return result.type === 'success'
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    if (await isMade().catch(() => false)) return true
    if (limit.remainingMs <= pauseMs) return false
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
}

const ask = (router: KafkaAdminDeps['router'], topic: string, limit: TimeLimit) => {
  const asked = { requestId: 0, topics: [topic], timeoutMs: Math.min(limit.remainingMs, LOOK_MS) }
  return askRouter(router, { type: 'fetchTopicMetadata', ...asked })
}

/** What a broker shows of a topic now; `undefined`: no broker has told. */
async function lookUp(
  router: KafkaAdminDeps['router'],
  topic: string,
  limit: TimeLimit
): Promise<TopicMetadata | undefined> {
  const result = await ask(router, topic, limit)
  return result.type === 'success' ? result.topics.get(topic) : undefined
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
  if (result.type === 'success') return result.offset
  if (result.type === 'unknownTopicOrPartition') return undefined
  throw toAdminError(result, what, timeoutMs)
}

const ownOf = (limit: TimeLimit, clock: MonotonicClock): TimeLimit =>
  new TimeLimit(Math.min(limit.remainingMs, MAX_SHOWN_WAIT_MS), clock)

/** Waits until all brokers show changed settings, because they learn of them one after another. */
async function altered(
  router: KafkaAdminDeps['router'],
  resource: ConfigResource,
  changes: readonly ConfigChange[],
  limit: TimeLimit
): Promise<void> {
  const cluster = await askRouter(router, { type: 'describeCluster', timeoutMs: limit.remainingMs })
  const brokers = cluster.type === 'success' ? cluster.brokers.map(({ nodeId }) => nodeId) : []
  const id = toId(resource)
  await mapInPortions(resource.type === 'broker' ? [resource.nodeId] : brokers, async nodeId => {
    for (let pauseMs = FIRST_PAUSE_MS; limit.remainingMs > pauseMs; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
      const asked = { resources: [id], nodeId, timeoutMs: limit.remainingMs }
      const result = await askRouter(router, { type: 'describeConfigs', ...asked })
      // A broker that cannot answer may be down; the change is made all the same.
      if (result.type !== 'success') return
      const configs = result.configs.get(id.name) ?? []
      if (changes.every(change => isShownIn(configs, change, id))) return
      await new Promise(resolve => setTimeout(resolve, pauseMs))
    }
  })
}

/**
 * Waits until brokers show the change, because they learn of it one after another. Look-ups go to the brokers in turn,
 * so as many must show it in a row as there are brokers.
 *
 * @returns false: they did not in time
 */
async function shown(
  router: KafkaAdminDeps['router'],
  topic: string,
  whole: TimeLimit,
  clock: MonotonicClock,
  isShown: (found: TopicMetadata) => boolean
): Promise<boolean> {
  const limit = ownOf(whole, clock)
  let pauseMs = FIRST_PAUSE_MS
  for (let inRow = 0, brokers = 1; inRow < Math.min(brokers, MAX_LOOK_UPS_IN_ROW); ) {
    const asked = { requestId: 0, topics: [topic], timeoutMs: limit.remainingMs }
    const result = await askRouter(router, { type: 'fetchTopicMetadata', ...asked })
    const found = result.type === 'success' ? result.topics.get(topic) : undefined
    if (result.type === 'success') brokers = result.brokers.length
    inRow = found !== undefined && isShown(found) ? inRow + 1 : 0
    const isHidden = found?.errorCode === errorCodes.TOPIC_AUTHORIZATION_FAILED
    if (isHidden || limit.remainingMs <= pauseMs) return false
    if (inRow > 0) continue
    await new Promise(resolve => setTimeout(resolve, pauseMs))
    pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)
  }
  return true
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
