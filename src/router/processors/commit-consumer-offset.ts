import { topicPartitionKey } from '../../core/model.js'
import type { BrokerClient, OffsetCommitResponse } from '../../kafka/broker-client.js'
import type { CommitConsumerOffset, Failure, GroupMembership } from '../messages/operations.js'
import { invalid, isCount, kafkaFailure, problemOfGroup, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, reply, stillOpen } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { groupAction } from './error-actions.js'
import { type GroupProcessorOptions, toStoredMetadata } from './fetch-consumer-offset.js'
import { everyGroup, GroupQueue, type MayGo, openEntries } from './group-queue.js'
import { type ProcessorContext, type QueueProcessor, type Returned, returned } from './queue-processor.js'

export type Commit = OpenRequest<'commitConsumerOffset'>

/** The protocol's values for a commit without a member. */
const STAND_ALONE = { generationId: -1, memberId: '' }

const isSameMember = (one: GroupMembership | undefined, other: GroupMembership | undefined): boolean =>
  one?.memberId === other?.memberId && one?.generationId === other?.generationId

export interface CommitConsumerOffsetCall {
  readonly groupId: string
  readonly partitions: ReadonlyMap<string, Commit>
}

/**
 * Sends commits to the coordinator. Each call is for the group that has waited longest, and has all its partitions. The
 * Router submits at most one open commit per group and partition at a time, and keeps the order of commits.
 */
export class CommitConsumerOffsetProcessor implements QueueProcessor<CommitConsumerOffsetCall, OffsetCommitResponse> {
  readonly name = 'commitConsumerOffset'
  readonly #options: GroupProcessorOptions
  /** For each group and partition: the open commit, and commits that were answered while they waited. */
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

  /** Takes one commit of each partition, all of the same member; commits of other members go back into the queue. */
  #takeOfOneMember(groupId: string, entries: ReadonlyMap<string, Commit[]>): Map<string, Commit> {
    const taken = new Map<string, Commit>()
    let member: GroupMembership | undefined
    for (const [key, waiting] of entries) {
      const commit = waiting[0]!
      if (taken.size === 0) member = commit.request.member
      if (isSameMember(member, commit.request.member)) {
        waiting.shift()
        commit.state.inFlight = true
        taken.set(key, commit)
      }
      if (waiting.length > 0) this.#queue.set(groupId, key, waiting)
    }
    return taken
  }

  send(client: BrokerClient, { groupId, partitions }: CommitConsumerOffsetCall): Promise<OffsetCommitResponse> {
    for (const commit of partitions.values()) commit.state.wasSent = true
    const [first] = partitions.values()
    return client.offsetCommit({
      groupId,
      ...(first!.request.member ?? STAND_ALONE),
      timeoutMs: this.#options.callTimeoutMs,
      partitions: Array.from(
        partitions.values(),
        ({ request: { topicPartition, offsetAndMetadata, rawMetadata } }) => ({
          topic: topicPartition.topic,
          partition: topicPartition.partition,
          offset: offsetAndMetadata.offset,
          metadata: toStoredMetadata(offsetAndMetadata.metadata, rawMetadata === true),
          ...(offsetAndMetadata.leaderEpoch !== undefined && { leaderEpoch: offsetAndMetadata.leaderEpoch })
        })
      )
    })
  }

  processResponse(call: CommitConsumerOffsetCall, response: OffsetCommitResponse): readonly Returned[] {
    for (const commit of call.partitions.values()) landed(commit)
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

  callFailed(call: CommitConsumerOffsetCall): readonly OpenRequest[] {
    for (const commit of call.partitions.values()) landed(commit)
    return stillOpen([...call.partitions.values()])
  }

  drain(): OpenRequest[] {
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

/** The call that carried the commit has ended. */
export function landed({ state, settled }: Commit): void {
  state.inFlight = false
  if (settled) state.whenOver?.()
}

const MAX_METADATA_BYTES = 32_000

export const commitConsumerOffset = describeOperation('commitConsumerOffset', {
  role: 'group',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: ({ topicPartition, groupId, offsetAndMetadata }) => ({
    operation: 'commitConsumerOffset',
    topicPartition,
    groupId,
    offsetAndMetadata
  }),
  initialState: () => ({ clusterId: undefined, wasSent: false, inFlight: false, whenOver: undefined }),
  onAnswered: ({ inFlight, whenOver }) => {
    if (!inFlight) whenOver?.()
  },
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
    return invalid('invalidRequest', `not an offset: ${offset}`)
  if (metadata === undefined) return undefined
  if (typeof metadata === 'string' && Buffer.byteLength(metadata) <= MAX_METADATA_BYTES) return undefined
  return invalid('invalidRequest', `the metadata is not text of at most ${MAX_METADATA_BYTES} bytes`)
}
