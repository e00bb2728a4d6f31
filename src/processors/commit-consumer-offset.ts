import { topicPartitionKey } from '../model.js'
import type { BrokerClient, OffsetCommitResponse } from '../wire/broker-client.js'
import type { Accepted, AnyAccepted } from './accepted.js'
import { kafkaFailure, reply } from './answers.js'
import { groupAction } from './error-actions.js'
import type { GroupProcessorOptions } from './fetch-consumer-offset.js'
import { everybody, GroupQueue, type MayGo, openEntries } from './group-queue.js'
import { toStoredMetadata } from './offset-metadata.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'

type Commit = Accepted<'commitConsumerOffset'>
export interface CommitConsumerOffsetCall {
  readonly groupId: string
  readonly partitions: ReadonlyMap<string, Commit>
}

/**
 * Commits: all partitions of the oldest group in one call, asked of its coordinator. The Router gives at most one open
 * commit per group and partition at a time, and sees to their order.
 */
export class CommitConsumerOffsetProcessor implements QueueProcessor<CommitConsumerOffsetCall, OffsetCommitResponse> {
  readonly name = 'commitConsumerOffset'
  readonly #options: GroupProcessorOptions
  /** Per partition the open commit, and such as were answered while they waited. */
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

  nextCall(mayGo = everybody): CommitConsumerOffsetCall | undefined {
    for (let first = this.#queue.takeFirst(mayGo); first; first = this.#queue.takeFirst(mayGo)) {
      const { groupId } = first
      const partitions = new Map<string, Commit>()
      for (const [key, waiting] of openEntries(first.partitions)) {
        const commit = waiting.shift()!
        commit.inFlight = true
        partitions.set(key, commit)
        if (waiting.length > 0) this.#queue.set(groupId, key, waiting)
      }
      if (partitions.size > 0) return { groupId, partitions }
    }
    return undefined
  }

  send(client: BrokerClient, { groupId, partitions }: CommitConsumerOffsetCall): Promise<OffsetCommitResponse> {
    for (const commit of partitions.values()) commit.wasSent = true
    return client.offsetCommit({
      groupId,
      generationId: -1,
      memberId: '',
      timeoutMs: this.#options.callTimeoutMs,
      partitions: Array.from(
        partitions.values(),
        ({ request: { topicPartition, offsetAndMetadata, rawMetadata } }) => ({
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
