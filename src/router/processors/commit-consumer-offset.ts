import { topicPartitionKey } from '../../core/model.js'
import type { BrokerClient, OffsetCommitResponse } from '../../kafka/broker-client.js'
import type { CommitConsumerOffset, Failure, GroupMembership } from '../messages/operations.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { reply } from '../requests/answers.js'
import { kafkaFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isCount, problemOfGroup, problemOfPartition } from '../requests/problems.js'
import { groupAction } from './error-actions.js'
import type { GroupProcessorOptions } from './fetch-consumer-offset.js'
import { everyGroup, GroupQueue, type MayGo, openEntries } from './group-queue.js'
import { toStoredMetadata } from './offset-metadata.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'

type Commit = Accepted<'commitConsumerOffset'>

/** As the protocol has it for a commit of no member. */
const STAND_ALONE = { generationId: -1, memberId: '' }

const isSameMember = (one: GroupMembership | undefined, other: GroupMembership | undefined): boolean =>
  one?.memberId === other?.memberId && one?.generationId === other?.generationId

export interface CommitConsumerOffsetCall {
  readonly groupId: string
  readonly partitions: ReadonlyMap<string, Commit>
}

/**
 * Commits, sent to the coordinator: one call for all partitions of the group that has waited longest. The Router submits at
 * most one open commit per group and partition at a time, and keeps their order.
 */
export class CommitConsumerOffsetProcessor implements QueueProcessor<CommitConsumerOffsetCall, OffsetCommitResponse> {
  readonly name = 'commitConsumerOffset'
  readonly #options: GroupProcessorOptions
  /** By group and partition: the open commit, and commits that were answered while they waited. */
  readonly #queue = new GroupQueue<Commit[]>()

  constructor(options: GroupProcessorOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  addToQueue(request: Commit): void {
    const { groupId, topicPartition } = request.request
    const key = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    this.#queue.set(groupId, key, [...stillOpen(this.#queue.get(groupId, key) ?? []), request])
  }

  isEmptyFor(mayGo: MayGo): boolean {
    return this.#queue.isEmptyFor(mayGo)
  }

  nextCall(mayGo = everyGroup): CommitConsumerOffsetCall | undefined {
    for (let first = this.#queue.takeFirst(mayGo); first; first = this.#queue.takeFirst(mayGo)) {
      const partitions = this.#takeOfOneMember(first.groupId, openEntries(first.partitions))
      if (partitions.size > 0) return { groupId: first.groupId, partitions }
    }
    return undefined
  }

  /** One commit of each partition, as far as they are of the same member; the others go back into the queue. */
  #takeOfOneMember(groupId: string, entries: ReadonlyMap<string, Commit[]>): Map<string, Commit> {
    const taken = new Map<string, Commit>()
    let member: GroupMembership | undefined
    for (const [key, waiting] of entries) {
      const commit = waiting[0]!
      if (taken.size === 0) member = commit.request.member
      if (isSameMember(member, commit.request.member)) {
        waiting.shift()
        commit.inFlight = true
        taken.set(key, commit)
      }
      if (waiting.length > 0) this.#queue.set(groupId, key, waiting)
    }
    return taken
  }

  send(client: BrokerClient, { groupId, partitions }: CommitConsumerOffsetCall): Promise<OffsetCommitResponse> {
    for (const commit of partitions.values()) commit.wasSent = true
    const [first] = partitions.values()
    return client.offsetCommit({
      groupId,
      ...(first!.request.member ?? STAND_ALONE),
      timeoutMs: this.#options.callTimeoutMs,
      partitions: Array.from(
        partitions.values(),
        ({ request: { topicPartition, offsetAndMetadata, rawMetadata } }) => ({
          ...(offsetAndMetadata.leaderEpoch !== undefined && { leaderEpoch: offsetAndMetadata.leaderEpoch }),
          topic: topicPartition.topic,
          partition: topicPartition.partition,
          offset: offsetAndMetadata.offset,
          metadata: toStoredMetadata(offsetAndMetadata.metadata, rawMetadata === true)
        })
      )
    })
  }

  processResponse(call: CommitConsumerOffsetCall, response: OffsetCommitResponse): readonly Returned[] {
    landed(call)
    const unanswered = new Map(call.partitions)
    const back: Returned[] = []
    for (const { topic, partition, errorCode } of response.partitions) {
      const key = topicPartitionKey(topic, partition)
      const commit = unanswered.get(key)
      if (!commit) continue
      unanswered.delete(key)
      back.push(...this.#process(call.groupId, commit, errorCode))
    }
    for (const commit of unanswered.values()) back.push(...returned('retryLater', [commit]))
    return back
  }

  callFailed(call: CommitConsumerOffsetCall): readonly AnyAccepted[] {
    landed(call)
    return stillOpen([...call.partitions.values()])
  }

  drain(): AnyAccepted[] {
    return stillOpen(this.#queue.drain().flat())
  }

  #process(groupId: string, commit: Commit, errorCode: number): readonly Returned[] {
    const action = groupAction(errorCode)
    switch (action) {
      case 'success':
        reply(commit, { type: 'success' })
        return []
      case 'unknownTopicOrPartition': {
        this.#options.metrics.count('kafka_dispatcher', 'unknown_topic_or_partition_responses', this.#options.tags, 1)
        reply(commit, { type: 'unknownTopicOrPartition' })
        const { topic, partition } = commit.request.topicPartition
        return [{ reason: action, requests: [], topic, partition }]
      }
      case 'notCoordinator':
        return returned(action, [commit, ...this.#queue.takeGroup(groupId).flat()])
      case 'corrupt':
      case 'retryLater':
        return returned('retryLater', [commit])
      default:
        reply(commit, kafkaFailure(errorCode))
        return []
    }
  }
}

function landed({ partitions }: CommitConsumerOffsetCall): void {
  for (const commit of partitions.values()) commit.landed()
}

const MAX_METADATA_BYTES = 32_000

export const commitConsumerOffset = describeOperation('commitConsumerOffset', {
  role: 'group',
  deadline: 'Deadline of CommitConsumerOffset',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: ({ topicPartition, groupId, offsetAndMetadata }) => ({
    operation: 'commitConsumerOffset',
    topicPartition,
    groupId,
    offsetAndMetadata
  }),
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, groupId, offsetAndMetadata, negativeOffset }) =>
    problemOfPartition(topicPartition) ??
    problemOfGroup(groupId) ??
    problemOfOffset(offsetAndMetadata, negativeOffset === true),
  createProcessor: (context: ProcessorContext) => new CommitConsumerOffsetProcessor(context)
})

function problemOfOffset(
  { offset, metadata }: CommitConsumerOffset['offsetAndMetadata'],
  mayBeNegative: boolean
): Failure | undefined {
  if (!(isCount(offset) || (mayBeNegative && Number.isSafeInteger(offset))))
    return invalid('invalidRequest', `no offset: ${offset}`)
  if (metadata === undefined) return undefined
  if (typeof metadata === 'string' && Buffer.byteLength(metadata) <= MAX_METADATA_BYTES) return undefined
  return invalid('invalidRequest', `the metadata is not text of at most ${MAX_METADATA_BYTES} bytes`)
}
