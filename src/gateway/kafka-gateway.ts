import type {
  AckResult,
  Asker,
  ConsumeManyResult,
  ConsumeResult,
  MessageId,
  MessageLimits
} from '../consumer/group/consume-result.js'
import type { ConsumerGroups, TopicBeginning } from '../consumer/group/consumer-groups.js'
import { choosePartitions, requireTopic } from '../consumer/stream/readable-partitions.js'
import { type Following, type FollowSink, followTopic } from '../consumer/stream/topic-subscription.js'
import type { ActorRef, ActorSystem } from '../core/actor/actor.js'
import { ask } from '../core/actor/requester.js'
import { InvalidRequestError, KafkaError } from '../core/errors.js'
import {
  type Logger,
  type MonotonicClock,
  type OffsetAndMetadata,
  type ProduceRecord,
  silentLogger
} from '../core/model.js'
import type { TopicMetadata } from '../kafka/calls.js'
import { errorCodes, kafkaErrorOf } from '../kafka/error-codes.js'
import type { Delivery, ProduceOptions } from '../producer/memory/delivery.js'
import type { Loss, Losses } from '../producer/memory/losses.js'
import type { PendingProduce } from '../producer/memory/pending-produce.js'
import type { RouterMessage } from '../router/messages/operations.js'
import type { DescribeTopicConfigsResult } from '../router/messages/topic-configs.js'
import { ownFailure } from '../router/requests/failures.js'
import { askRouter } from '../router/routing/ask-router.js'
import type {
  CommitOutcome,
  DurableLogStats,
  FollowOptions,
  Gateway,
  GroupOffset,
  GroupReader,
  ReadersOnly
} from './gateway.js'
import { GroupOffsets, toError } from './group-offsets.js'
import { GroupReaders } from './group-readers.js'
import { StartOffsets } from './start-offsets.js'

export interface KafkaGatewayDeps {
  readonly delivery: Pick<Delivery, 'accept'>
  /** Counts records that were accepted and are lost. Absent: they are not counted. */
  readonly losses?: Pick<Losses, 'add'> | undefined
  /** For records that are kept on disk. Absent: delivery refuses them. */
  readonly durable?: (Pick<Delivery, 'accept'> & { logStats(): Promise<DurableLogStats | undefined> }) | undefined
  readonly router: ActorRef<RouterMessage>
  /** For readers that follow topics. */
  readonly system: ActorSystem
  /** Absent: requests of consumer groups are refused. */
  readonly groups?:
    | (Pick<ConsumerGroups, 'request' | 'requestMany' | 'ack' | 'setOffsets'> &
        Partial<Pick<ConsumerGroups, 'beginningOf'>>)
    | undefined
  /** Whether any broker is connected; called for every check of readiness. */
  readonly isReady: () => boolean
  /** Default: nothing is logged. */
  readonly log?: Logger | undefined
  /** Default: that of the process. */
  readonly clock?: MonotonicClock | undefined
}

// The Router itself answers timedOut at the deadline. This margin is for a Router that has stopped.
const MARGIN_MS = 1_000

const UNKNOWN_BEGINNING: TopicBeginning = { atEarliest: false, positions: new Map() }

const NO_GROUPS = ownFailure('invalidRequest', 'this gateway was started without consumer groups', false)

/** The gateway's verbs over one Kafka cluster. */
export class KafkaGateway implements Gateway {
  readonly #deps: KafkaGatewayDeps

  constructor(deps: KafkaGatewayDeps) {
    this.#deps = deps
  }

  produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    const { delivery, durable } = this.#deps
    // Untyped callers may pass no options; delivery refuses them.
    return ((options?.durability === 'disk' ? durable : undefined) ?? delivery).accept(records, options)
  }

  lost(api: string, loss: Loss, records: number): void {
    this.#deps.losses?.add(api, loss, records)
  }

  async durableLog(): Promise<DurableLogStats | undefined> {
    return this.#deps.durable?.logStats()
  }

  async topics(names: readonly string[] | 'all', timeoutMs: number): Promise<ReadonlyMap<string, TopicMetadata>> {
    const topics = names === 'all' ? null : names
    const request = { type: 'fetchTopicMetadata', requestId: 0, topics, timeoutMs } as const
    const result = await askRouter(this.#deps.router, request)
    if (result.type === 'success') return result.topics
    throw toError(result, 'what topics there are', timeoutMs)
  }

  async topicConfigs(
    topics: readonly string[],
    timeoutMs: number
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    const result = await ask<DescribeTopicConfigsResult>('topicConfigs', timeoutMs + MARGIN_MS, requester =>
      this.#deps.router.tell({ type: 'describeTopicConfigs', topics, timeoutMs, requester } as unknown as RouterMessage)
    )
    if (result.type === 'success') return result.overrides
    throw toError(result, 'what settings topics have', timeoutMs)
  }

  async offsets(groupId: string, topic: string, timeoutMs: number): Promise<readonly GroupOffset[] | undefined> {
    const group = this.#group(groupId, timeoutMs)
    const found = (await this.topics([topic], timeoutMs)).get(topic)
    if (found === undefined || found.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) return undefined
    const { name, message, retriable } = kafkaErrorOf(found.errorCode)
    if (found.errorCode !== errorCodes.NONE)
      throw new KafkaError(found.errorCode, `topic ${topic}: ${message} (${name})`, retriable)
    return group.read(found, this.#deps.groups?.beginningOf?.(groupId, topic, found.topicId) ?? UNKNOWN_BEGINNING)
  }

  async commit(
    groupId: string,
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>,
    timeoutMs: number
  ): Promise<ReadonlyMap<number, CommitOutcome>> {
    const changed =
      offsets.size === 0 ? undefined : await this.#deps.groups?.setOffsets(groupId, topic, offsets, timeoutMs)
    if (changed === undefined || changed.type === 'notRead')
      return this.#group(groupId, timeoutMs).commit(topic, offsets)
    if (changed.type === 'set') return changed.outcomes
    throw toError(changed, `the offsets of group ${groupId}`, timeoutMs)
  }

  consumers(
    groups: readonly string[] | 'all',
    timeoutMs: number,
    only: ReadersOnly = {}
  ): Promise<ReadonlyMap<string, readonly GroupReader[]>> {
    const { router, log = silentLogger } = this.#deps
    return new GroupReaders({ router, log, timeoutMs, clock: this.#clock }, only).read(groups)
  }

  consume(groupId: string, topic: string, timeoutMs: number | undefined, requester: Asker<ConsumeResult>): () => void {
    const { groups } = this.#deps
    if (groups) return groups.request(groupId, topic, timeoutMs, requester)
    requester.reply(NO_GROUPS)
    return () => undefined
  }

  consumeMany(
    groupId: string,
    topic: string,
    limits: MessageLimits,
    timeoutMs: number | undefined,
    requester: Asker<ConsumeManyResult>
  ): () => void {
    const { groups } = this.#deps
    if (groups) return groups.requestMany(groupId, topic, limits, timeoutMs, requester)
    requester.reply(NO_GROUPS)
    return () => undefined
  }

  async ack(groupId: string, message: MessageId): Promise<AckResult> {
    return this.#deps.groups?.ack(groupId, message) ?? NO_GROUPS
  }

  async follow(topic: string, options: FollowOptions, sink: FollowSink): Promise<Following> {
    const { router, system } = this.#deps
    const { from, maxPartitions, timeoutMs } = options
    const metadata = requireTopic(topic, await this.topics([topic], timeoutMs))
    const partitions = choosePartitions(metadata, options.partitions)
    if (partitions.length > maxPartitions) {
      const text = `${partitions.length} partitions are too many to follow (limit ${maxPartitions}); choose some of them`
      throw new InvalidRequestError(text)
    }
    const starts = new StartOffsets(router, timeoutMs, this.#clock)
    const positions = await starts.find(topic, partitions, from, options.positions)
    return followTopic(system, {
      router,
      topic,
      topicId: metadata.topicId,
      positions,
      ...(options.partitions === undefined && { maxPartitions }),
      sink
    })
  }

  get isReady(): boolean {
    return this.#deps.isReady()
  }

  #group(groupId: string, timeoutMs: number): GroupOffsets {
    return new GroupOffsets(this.#deps.router, groupId, timeoutMs, this.#clock)
  }

  get #clock(): MonotonicClock {
    return this.#deps.clock ?? (() => performance.now())
  }
}
