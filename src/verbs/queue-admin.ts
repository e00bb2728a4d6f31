import type { FoundGroup, QueueAdmin } from '../consumer/queue/queue-opening.js'
import {
  DeadLettersError,
  type QueueChanges,
  type QueueDescription,
  type QueueSettings
} from '../consumer/queue/queue-verbs.js'
import { requireTopic } from '../consumer/stream/topic-readers.js'
import type { ActorRef } from '../core/actor/actor.js'
import { KafkaError } from '../core/errors.js'
import type { MonotonicClock } from '../core/model.js'
import type { TopicMetadata } from '../kafka/calls.js'
import { errorCodes } from '../kafka/error-codes.js'
import type { ResultOf, RouterMessage } from '../router/messages/operations.js'
import { askRouter } from '../router/routing/ask-router.js'
import type { AdminVerbs, ConfigChange, ConfigEntry } from './admin.js'
import { requireAnswer, toAdminError } from './kafka-admin.js'
import { TimeLimit } from './offsets.js'

const START = 'share.auto.offset.reset'
const LOCK_MS = 'share.record.lock.duration.ms'
const DELIVERY_LIMIT = 'share.delivery.count.limit'
const DEAD_LETTERS = 'errors.deadletterqueue.topic.name'
const COPY_RECORD = 'errors.deadletterqueue.copy.record.enable'
/** The setting of a topic without which Kafka copies nothing to it. */
const TAKES_DEAD_LETTERS = 'errors.deadletterqueue.group.enable'
const DEAD_LETTERS_PREFIX = 'dlq.'
const ISOLATION = 'share.isolation.level'
const READ_COMMITTED = 'read_committed'
const READ_UNCOMMITTED = 'read_uncommitted'
const BY_DURATION = 'by_duration:'

type Offsets = (ResultOf<'fetchShareOffsets'> & { readonly type: 'success' })['offsets']

/** Calls of Kafka that queues need besides those for messages. */
export class KafkaQueueAdmin implements QueueAdmin {
  readonly #router: ActorRef<RouterMessage>
  readonly #admin: AdminVerbs
  readonly #clock: MonotonicClock

  constructor(router: ActorRef<RouterMessage>, admin: AdminVerbs, clock: MonotonicClock) {
    this.#router = router
    this.#admin = admin
    this.#clock = clock
  }

  async find(topic: string, groupId: string, timeoutMs: number): Promise<FoundGroup> {
    const limit = new TimeLimit(timeoutMs, this.#clock)
    await this.#topic(topic, limit)
    const [configs, offsets] = await Promise.all([this.#configs(groupId, limit), this.#offsets(groupId, limit)])
    if (!offsets?.length) await this.#checkKind(groupId, limit)
    const isSet = (setting?: string): boolean | undefined =>
      configs?.some(({ name, source }) => source === OF_GROUP && (setting === undefined || name === setting))
    const hasState = offsets && offsets.length > 0
    return {
      settings: configs && settingsIn(configs),
      hasStart: isSet(START),
      hasTopic: offsets?.some(one => one.topic === topic),
      otherTopics: topicsOf(offsets ?? []).filter(other => other !== topic),
      hasIsolation: eitherOf(isSet(ISOLATION), hasState),
      exists: eitherOf(isSet(), hasState),
      hides: hiddenOf(configs, offsets)
    }
  }

  async settings(groupId: string, timeoutMs: number): Promise<QueueSettings | undefined> {
    const configs = await this.#configs(groupId, new TimeLimit(timeoutMs, this.#clock))
    return configs && settingsIn(configs)
  }

  async configure(topic: string, groupId: string, changes: QueueChanges, timeoutMs: number): Promise<QueueSettings> {
    const limit = new TimeLimit(timeoutMs, this.#clock)
    const { deadLetters } = changes
    await Promise.all([this.#topic(topic, limit), this.#checkKind(groupId, limit)])
    const resource = { type: 'group', name: groupId } as const
    const hasDeadLetters = deadLetters === undefined || (await this.#hasDeadLetters(groupId, limit))
    if (typeof deadLetters === 'string') await this.#checkDeadLetters(deadLetters, hasDeadLetters, limit)
    const changed = changesOf(hasDeadLetters ? changes : { ...changes, deadLetters: undefined })
    if (changed.length > 0) await this.#admin.alterConfigs(resource, changed, { timeoutMs: limit.remainingMs })
    const found = await this.#admin.describeConfigs([resource], limit.remainingMs)
    return settingsIn(found.get(groupId) ?? [])
  }

  async describe(topic: string, groupId: string, timeoutMs: number): Promise<QueueDescription> {
    const limit = new TimeLimit(timeoutMs, this.#clock)
    const { partitions } = await this.#topic(topic, limit)
    const [group, configs, offsets = []] = await Promise.all([
      askRouter(this.#router, { type: 'describeShareGroup', groupId, timeoutMs: limit.remainingMs }),
      this.#configs(groupId, limit),
      this.#offsets(groupId, limit)
    ])
    if (group.type === 'failed' || group.type === 'timedOut')
      throw toAdminError(group, `the description of group ${groupId}`, timeoutMs)
    if (group.type === 'notFound') await this.#checkKind(groupId, limit)
    const members = group.type === 'success' ? group.members : []
    const known = new Map(offsets.filter(one => one.topic === topic).map(one => [one.partition, one]))
    return {
      state: group.type === 'success' ? group.state : 'absent',
      members: members
        .filter(({ topics }) => topics.includes(topic))
        .map(({ memberId, clientId, clientHost, assignment }) => {
          return { memberId, clientId, clientHost, partitions: assignment.get(topic) ?? [] }
        }),
      partitions: partitions.map(({ partition }) => {
        const { startOffset = UNKNOWN, lag = UNKNOWN } = known.get(partition) ?? {}
        return { partition, startOffset: startOffset < 0 ? null : startOffset, lag: lag < 0 ? null : lag }
      }),
      settings: configs && settingsIn(configs),
      topics: [...new Set([...offsets.map(one => one.topic), ...members.flatMap(({ topics }) => topics)])].sort()
    }
  }

  async #topic(topic: string, limit: TimeLimit): Promise<TopicMetadata> {
    const asked = { topics: [topic], timeoutMs: limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'fetchTopicMetadata', ...asked })
    return requireTopic(topic, requireAnswer(result, 'the request for the topic', limit.timeoutMs).topics)
  }

  /**
   * Kafka keeps settings of a share group under any id, and shows an id of another kind as one that it does not know.
   *
   * @throws KafkaError 69 when the id belongs to a group of consumers
   */
  async #checkKind(groupId: string, limit: TimeLimit): Promise<void> {
    const asked = { groupId, timeoutMs: limit.remainingMs }
    const groups = await Promise.all([
      askRouter(this.#router, { type: 'describeGroup', ...asked }),
      askRouter(this.#router, { type: 'describeConsumerGroup', ...asked })
    ])
    for (const group of groups) {
      if (group.type === 'success')
        throw new KafkaError(errorCodes.GROUP_ID_NOT_FOUND, 'the id belongs to a group of another kind', false)
      if (group.type === 'timedOut' || (group.type === 'failed' && group.retriable))
        throw toAdminError(group, `the description of group ${groupId}`, limit.timeoutMs)
    }
  }

  /** @returns `undefined`: Kafka does not show them to this gateway */
  async #configs(groupId: string, limit: TimeLimit): Promise<readonly ConfigEntry[] | undefined> {
    try {
      const found = await this.#admin.describeConfigs([{ type: 'group', name: groupId }], limit.remainingMs)
      return found.get(groupId)
    } catch (error) {
      if (error instanceof KafkaError && error.errorCode === errorCodes.GROUP_AUTHORIZATION_FAILED) return undefined
      throw error
    }
  }

  /** @returns `undefined`: Kafka does not show them to this gateway */
  async #offsets(groupId: string, limit: TimeLimit): Promise<Offsets | undefined> {
    const asked = { groupId, topic: null, timeoutMs: limit.remainingMs }
    const result = await askRouter(this.#router, { type: 'fetchShareOffsets', ...asked })
    if (result.type === 'failed' && result.errorCode === errorCodes.GROUP_AUTHORIZATION_FAILED) return undefined
    return requireAnswer(result, `the offsets of group ${groupId}`, limit.timeoutMs).offsets
  }

  async #hasDeadLetters(groupId: string, limit: TimeLimit): Promise<boolean> {
    const ofGroup = await this.#admin.describeConfigs([{ type: 'group', name: groupId }], limit.remainingMs)
    return ofGroup.get(groupId)?.some(({ name }) => name === DEAD_LETTERS) === true
  }

  /** Kafka takes any name, and then copies nothing where a step is missing. */
  async #checkDeadLetters(deadLetters: string, hasDeadLetters: boolean, limit: TimeLimit): Promise<void> {
    if (!hasDeadLetters) {
      const text = 'this Kafka has no dead letters of share groups: they need Kafka 4.4 or later, and share.version 2'
      throw new KafkaError(errorCodes.UNSUPPORTED_VERSION, text, false)
    }
    if (!deadLetters.startsWith(DEAD_LETTERS_PREFIX))
      throw new DeadLettersError(
        `Kafka copies dead letters only to topics whose names begin with ${DEAD_LETTERS_PREFIX}`
      )
    const ofTopic = await this.#admin.describeConfigs([{ type: 'topic', name: deadLetters }], limit.remainingMs)
    const configs = ofTopic.get(deadLetters)
    if (configs === undefined) throw new DeadLettersError(`the topic ${deadLetters} does not exist: create it first`)
    if (configs.find(({ name }) => name === TAKES_DEAD_LETTERS)?.value !== 'true')
      throw new DeadLettersError(`set ${TAKES_DEAD_LETTERS}=true at the topic ${deadLetters} first`)
  }
}

/** Whether one of two facts holds. `undefined`: neither is known to hold, and Kafka hides one of them. */
const eitherOf = (one: boolean | undefined, other: boolean | undefined): boolean | undefined =>
  one === true || other === true || (one === undefined || other === undefined ? undefined : false)

function hiddenOf(configs: object | undefined, offsets: object | undefined): readonly string[] {
  const hidden: string[] = []
  if (configs === undefined) hidden.push('DESCRIBE_CONFIGS')
  if (offsets === undefined) hidden.push('DESCRIBE')
  return hidden
}

const topicsOf = (offsets: Offsets): readonly string[] => [...new Set(offsets.map(({ topic }) => topic))].sort()

const OF_GROUP = 'DYNAMIC_GROUP_CONFIG'
const UNKNOWN = -1

function settingsIn(configs: readonly ConfigEntry[]): QueueSettings {
  const textOf = (setting: string): string => configs.find(({ name }) => name === setting)?.value ?? ''
  const start = textOf(START)
  return {
    start: start.startsWith(BY_DURATION) ? start.slice(BY_DURATION.length) : start,
    lockMs: Number(textOf(LOCK_MS)),
    deliveryLimit: Number(textOf(DELIVERY_LIMIT) || Number.NaN),
    deadLetters: textOf(DEAD_LETTERS) || null,
    isolation: textOf(ISOLATION) === READ_COMMITTED ? 'readCommitted' : 'readUncommitted'
  }
}

function changesOf({ start, lockMs, deliveryLimit, deadLetters, isolation }: QueueChanges): ConfigChange[] {
  const changes: ConfigChange[] = []
  const add = (name: string, value: string | number | null | undefined): void => {
    if (value !== undefined) changes.push({ name, value: value === null ? null : String(value) })
  }
  add(START, start?.startsWith('P') ? `${BY_DURATION}${start}` : start)
  add(LOCK_MS, lockMs)
  add(DELIVERY_LIMIT, deliveryLimit)
  add(DEAD_LETTERS, deadLetters)
  add(ISOLATION, isolation && (isolation === 'readCommitted' ? READ_COMMITTED : READ_UNCOMMITTED))
  add(COPY_RECORD, deadLetters && 'true')
  return changes
}
