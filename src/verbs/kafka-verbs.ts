import type { AckResult, Asker, ConsumeManyResult, MessageId, MessageLimits } from '../consumer/group/consume-result.js'
import type { ConsumerGroups } from '../consumer/group/consumer-groups.js'
import { refusalOfWebhookGroup, requireClientsGroup } from '../consumer/group/webhook-groups.js'
import type { InstanceVerbs } from '../consumer/instance/instances.js'
import { type QueueVerbs, tokensOf } from '../consumer/queue/queue-verbs.js'
import { choosePartitions, requireTopic } from '../consumer/stream/topic-readers.js'
import { type FollowSink, followTopic, type ReadSubscription } from '../consumer/stream/topic-subscription.js'
import type { ActorRef } from '../core/actor/actor.js'
import { bound } from '../core/bound.js'
import { performanceClock } from '../core/clocks.js'
import { InvalidRequestError, KafkaError, TimedOutError } from '../core/errors.js'
import { inTime } from '../core/in-time.js'
import {
  type Logger,
  type MonotonicClock,
  type OffsetAndMetadata,
  type ProduceRecord,
  silentLogger
} from '../core/model.js'
import type { Tracing } from '../core/tracing/tracing.js'
import { errorCodes, kafkaErrorOf } from '../kafka/error-codes.js'
import type { StoredRecords } from '../producer/keys/keyed-records.js'
import type { Acceptor, Delivery, ProduceOptions } from '../producer/memory/delivery.js'
import type { Loss, Losses } from '../producer/memory/losses.js'
import type { PendingProduce } from '../producer/memory/pending-produce.js'
import type { ReceiptHolder } from '../producer/receipts/receipts.js'
import type { RouterMessage } from '../router/messages/operations.js'
import { ownFailure } from '../router/requests/failures.js'
import { askRouter } from '../router/routing/ask-router.js'
import type { AdminVerbs } from './admin.js'
import { GroupReaders } from './group-readers.js'
import { KafkaAdmin, requireAnswer } from './kafka-admin.js'
import { KafkaShareGroups } from './kafka-share-groups.js'
import { committedOffsets, findStarts, GroupOffsets, TimeLimit, toError } from './offsets.js'
import { ANONYMOUS, type ProduceOrigin, withOriginHeaders } from './produce-origin.js'
import type {
  CommitOutcome,
  CommittedOffset,
  DurableLogStats,
  FollowOptions,
  GroupOffset,
  GroupVerbs,
  ReadersOnly,
  ShareGroupVerbs,
  TopicsByName,
  Verbs
} from './verbs.js'

interface DurableAcceptor extends Acceptor {
  logStats(): Promise<DurableLogStats | undefined>
  /** Gives a receipt for records that an earlier request with the key has brought. */
  giveReceipt?(holder: ReceiptHolder, stored: StoredRecords): void
}

export interface KafkaVerbsDeps {
  readonly delivery: Acceptor & Partial<Delivery>
  /** Counts accepted records that are lost. Absent: they are not counted. */
  readonly losses?: Losses | undefined
  /** Accepts records that are kept on disk. Absent: `delivery` refuses them. */
  readonly durable?: DurableAcceptor | undefined
  readonly router: ActorRef<RouterMessage>
  /** Whether brokers may create topics that records are for. Default: not */
  readonly createTopics?: boolean | undefined
  readonly groups: Pick<ConsumerGroups, 'requestMany' | 'ack' | 'setOffsets' | 'beginningOf'>
  readonly instances: InstanceVerbs
  /** Absent: requests of queues are refused. */
  readonly queues?: QueueVerbs | undefined
  /** Whether any broker is connected; called for every check of readiness. */
  readonly isReady: () => boolean
  /** Records spans. Absent: nothing does. */
  readonly tracing?: Tracing | undefined
  /** Default: nothing is logged. */
  readonly log?: Logger | undefined
  /** Default: the clock of the process. */
  readonly clock?: MonotonicClock | undefined
}

const NO_QUEUES = ownFailure('invalidRequest', 'this gateway was started without queues', false)
const refuseQueues = (): Promise<never> => Promise.reject(new InvalidRequestError(NO_QUEUES.message))
const WITHOUT_QUEUES: QueueVerbs = {
  acquire(_topic, _groupId, _options, asker) {
    asker.reply(NO_QUEUES)
    return () => undefined
  },
  takeBack: () => undefined,
  settle: async (_topic, _groupId, settlement) => tokensOf(settlement).map(token => ({ token, outcome: 'invalid' })),
  describe: refuseQueues,
  configure: refuseQueues
}

/** The verbs over one Kafka cluster: passes each on to the part of the process that carries it out, or asks the Router. */
export class KafkaVerbs implements Verbs {
  readonly groups: GroupVerbs
  readonly instances: InstanceVerbs
  readonly #deps: KafkaVerbsDeps
  readonly #allTopics = new AllTopics(timeoutMs => fetchTopics(this.#deps.router, null, timeoutMs))
  #admin: AdminVerbs | undefined

  constructor(deps: KafkaVerbsDeps) {
    this.#deps = deps
    this.groups = new KafkaGroups(deps)
    this.instances = deps.instances
  }

  get queues(): QueueVerbs {
    return this.#deps.queues ?? WITHOUT_QUEUES
  }

  get shareGroups(): ShareGroupVerbs {
    const { router, log = silentLogger, clock = performanceClock } = this.#deps
    return new KafkaShareGroups({ router, log, clock }, this.admin)
  }

  get admin(): AdminVerbs {
    const { router, delivery, clock = performanceClock } = this.#deps
    // Programs may take a verb from it.
    return (this.#admin ??= bound(new KafkaAdmin({ router, delivery, clock })))
  }

  produce(given: readonly ProduceRecord[], options: ProduceOptions, origin?: ProduceOrigin): PendingProduce {
    const { tracing } = this.#deps
    if (tracing === undefined) return this.#produce(given, options, origin)
    const trace = options?.trace ?? origin?.trace?.context ?? tracing.current
    const pending = this.#produce(given, { ...options, trace }, origin)
    if (options?.durability === 'disk' && given.length > 0) {
      const end = tracing.append(given[0]!.topic, given.length, trace)
      void pending.accepted().then(refused => end(refused?.filter(one => one !== undefined).length ?? 0))
    }
    return pending
  }

  #produce(given: readonly ProduceRecord[], options: ProduceOptions, origin?: ProduceOrigin): PendingProduce {
    const { delivery, durable } = this.#deps
    const all = origin === undefined ? given : withOriginHeaders(given, origin)
    // A caller without types may pass no options. `delivery` then refuses the call.
    const holder = origin ?? { principal: ANONYMOUS, acceptedRecords: undefined, receipt: undefined }
    const acceptor = (options?.durability === 'disk' ? durable : undefined) ?? delivery
    const key = origin?.key
    if (key === undefined) return acceptor.accept(all, options, holder)
    return key.produce(all, options, acceptor, holder, durable, origin?.places)
  }

  lost(api: string, loss: Loss, records: number): void {
    this.#deps.losses?.add(api, loss, records)
  }

  async durableLog(): Promise<DurableLogStats | undefined> {
    return this.#deps.durable?.logStats()
  }

  topics(names: readonly string[] | 'all', timeoutMs: number, mayCreate = false): Promise<TopicsByName> {
    const { router, createTopics = false } = this.#deps
    if (names === 'all') return this.#allTopics.ask(timeoutMs)
    return fetchTopics(router, names, timeoutMs, mayCreate && createTopics)
  }

  async topicConfigs(
    topics: readonly string[],
    timeoutMs: number
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    const resources = topics.map(name => ({ type: 'topic', name }) as const)
    const result = await askRouter(this.#deps.router, { type: 'describeConfigs', resources, timeoutMs })
    if (result.type !== 'success') throw toError(result, 'the request for the settings of topics', timeoutMs)
    return new Map(
      [...result.configs].map(([topic, configs]) => {
        const own = configs.filter(({ source }) => source === 'DYNAMIC_TOPIC_CONFIG')
        return [topic, new Map(own.map(({ name, value }) => [name, value ?? '']))]
      })
    )
  }

  async follow(topic: string, options: FollowOptions, sink: FollowSink): Promise<ReadSubscription> {
    const { router } = this.#deps
    const { maxPartitions, timeoutMs } = options
    const metadata = requireTopic(topic, await this.topics([topic], timeoutMs))
    const partitions = choosePartitions(metadata, options.partitions)
    if (partitions.length > maxPartitions) {
      const text = `${partitions.length} partitions are too many to follow (limit ${maxPartitions}); choose some of them`
      throw new InvalidRequestError(text)
    }
    const limit = new TimeLimit(timeoutMs, this.#deps.clock ?? performanceClock)
    const positions = await findStarts(router, limit, topic, partitions, options)
    return followTopic({
      router,
      metadata,
      positions,
      ends: options.ends,
      ...(options.partitions === undefined && { maxPartitions }),
      sink
    })
  }

  get isReady(): boolean {
    return this.#deps.isReady()
  }
}

/** Offsets and members of groups are asked of Kafka; messages come from the groups that this process is a member of. */
class KafkaGroups implements GroupVerbs {
  readonly #deps: KafkaVerbsDeps

  constructor(deps: KafkaVerbsDeps) {
    this.#deps = deps
  }

  async offsets(groupId: string, topic: string, timeoutMs: number): Promise<readonly GroupOffset[] | undefined> {
    const { router, groups } = this.#deps
    const group = this.#offsetsOf(groupId, timeoutMs)
    const found = (await fetchTopics(router, [topic], timeoutMs)).get(topic)
    if (found === undefined || found.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) return undefined
    const { name, message, retriable } = kafkaErrorOf(found.errorCode)
    if (found.errorCode !== errorCodes.NONE)
      throw new KafkaError(found.errorCode, `topic ${topic}: ${message} (${name})`, retriable)
    return group.read(found, groups.beginningOf(groupId, topic, found.topicId))
  }

  async commit(
    groupId: string,
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>,
    timeoutMs: number
  ): Promise<ReadonlyMap<number, CommitOutcome>> {
    requireClientsGroup(groupId)
    const group = this.#offsetsOf(groupId, timeoutMs)
    const wanted = await group.withEnds(topic, offsets)
    if (wanted.size === 0) return group.commit(topic, wanted)
    const changed = await this.#deps.groups.setOffsets(groupId, topic, wanted, timeoutMs)
    if (changed.type === 'notRead') return group.commit(topic, wanted)
    if (changed.type === 'set') return changed.outcomes
    throw toError(changed, `the offsets of group ${groupId}`, timeoutMs)
  }

  #offsetsOf(groupId: string, timeoutMs: number): GroupOffsets {
    const { router, clock = performanceClock } = this.#deps
    return new GroupOffsets(router, groupId, timeoutMs, clock)
  }

  consumers(wanted: readonly string[] | 'all', timeoutMs: number, only: ReadersOnly = {}) {
    return this.#readers(timeoutMs, only).read(wanted)
  }

  describe(wanted: readonly string[] | 'all', timeoutMs: number, includes?: (groupId: string) => boolean) {
    return this.#readers(timeoutMs, { includes }).describe(wanted)
  }

  #readers(timeoutMs: number, only: ReadersOnly): GroupReaders {
    const { router, log = silentLogger, clock = performanceClock } = this.#deps
    return new GroupReaders({ router, log, timeoutMs, clock }, only)
  }

  async committed(groupId: string, timeoutMs: number): Promise<readonly CommittedOffset[]> {
    const result = await askRouter(this.#deps.router, { type: 'fetchGroupOffsets', groupId, timeoutMs })
    return committedOffsets(requireAnswer(result, `the offsets of group ${groupId}`, timeoutMs).offsets)
  }

  consume(
    groupId: string,
    topic: string,
    limits: MessageLimits,
    timeoutMs: number | undefined,
    requester: Asker<ConsumeManyResult>
  ): () => void {
    return this.#deps.groups.requestMany(groupId, topic, limits, timeoutMs, requester)
  }

  async ack(groupId: string, message: MessageId): Promise<AckResult> {
    return refusalOfWebhookGroup(groupId) ?? this.#deps.groups.ack(groupId, message)
  }
}

async function fetchTopics(
  router: KafkaVerbsDeps['router'],
  topics: readonly string[] | null,
  timeoutMs: number,
  allowAutoTopicCreation = false
): Promise<TopicsByName> {
  const asked = { type: 'fetchTopicMetadata', topics, timeoutMs, allowAutoTopicCreation } as const
  const result = await askRouter(router, asked)
  if (result.type === 'success') return result.topics
  throw toError(result, 'the request for the topics', timeoutMs)
}

/** Added to the time limit, so that the Router's own time-out, which names the cause, comes first. */
const LATER_MS = 100

/**
 * Asks Kafka for all topics, once at a time: requests that come while Kafka is asked share the next answer. An answer about
 * thousands of topics takes megabytes, and hundreds of requests at the same time would each hold one of their own.
 */
export class AllTopics {
  readonly #fetch: (timeoutMs: number) => Promise<TopicsByName>
  #open: Promise<void> = Promise.resolve()
  #next: Promise<TopicsByName> | undefined
  /** The longest of those that wait for the next answer. */
  #timeoutMs = 0

  constructor(fetch: (timeoutMs: number) => Promise<TopicsByName>) {
    this.#fetch = fetch
  }

  /** Topics as they were at a moment after the call. @throws what Kafka is asked with, TimedOutError after `timeoutMs` */
  ask(timeoutMs: number): Promise<TopicsByName> {
    this.#timeoutMs = Math.max(this.#timeoutMs, timeoutMs)
    const asked = (this.#next ??= this.#open.then(() => this.#begin()))
    const late = (): Promise<never> => Promise.reject(new TimedOutError('the request for the topics', timeoutMs))
    return inTime(asked, timeoutMs + LATER_MS, late)
  }

  #begin(): Promise<TopicsByName> {
    const topics = this.#fetch(this.#timeoutMs)
    this.#next = undefined
    this.#timeoutMs = 0
    this.#open = topics.then(
      () => undefined,
      () => undefined
    )
    return topics
  }
}
