import { topicPartitionKey } from '../../core/model.js'
import type { BrokerClient, OffsetFetchResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { reply, replyAll } from '../requests/answers.js'
import { kafkaFailure, oddOffset } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { problemOfGroup, problemOfPartition } from '../requests/problems.js'
import { groupAction } from './error-actions.js'
import { everyGroup, GroupQueue, type MayGo, openEntries } from './group-queue.js'
import { fromStoredMetadata } from './offset-metadata.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'

const NOTHING_STORED = -1

type Waiter = Accepted<'fetchConsumerOffset'>
type PartitionAnswer = OffsetFetchResponse['partitions'][number]
export interface FetchConsumerOffsetCall {
  readonly groupId: string
  readonly partitions: ReadonlyMap<string, readonly Waiter[]>
}

export type GroupProcessorOptions = Pick<ProcessorContext, 'callTimeoutMs' | 'metrics' | 'tags'>

/**
 * Committed offsets, asked of the coordinator: one call for all partitions of the group that has waited longest. No request
 * joins a call in flight, because its answer may be older than a commit that was accepted before the request was made.
 */
export class FetchConsumerOffsetProcessor implements QueueProcessor<FetchConsumerOffsetCall, OffsetFetchResponse> {
  readonly name = 'fetchConsumerOffset'
  readonly #options: GroupProcessorOptions
  readonly #queue = new GroupQueue<Waiter[]>()

  constructor(options: GroupProcessorOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  addToQueue(request: Waiter): void {
    const { groupId } = request.request
    const { topic, partition } = request.request.topicPartition
    const key = topicPartitionKey(topic, partition)
    const waiting = this.#queue.get(groupId, key)
    if (waiting) waiting.push(request)
    else this.#queue.set(groupId, key, [request])
  }

  isEmptyFor(mayGo: MayGo): boolean {
    return this.#queue.isEmptyFor(mayGo)
  }

  nextCall(mayGo = everyGroup): FetchConsumerOffsetCall | undefined {
    for (let first = this.#queue.takeFirst(mayGo); first; first = this.#queue.takeFirst(mayGo)) {
      const partitions = openEntries(first.partitions)
      if (partitions.size > 0) return { groupId: first.groupId, partitions }
    }
    return undefined
  }

  send(client: BrokerClient, { groupId, partitions }: FetchConsumerOffsetCall): Promise<OffsetFetchResponse> {
    return client.offsetFetch({
      groupId,
      partitions: Array.from(partitions.values(), waiters => waiters[0]!.request.topicPartition),
      timeoutMs: this.#options.callTimeoutMs
    })
  }

  processResponse(call: FetchConsumerOffsetCall, response: OffsetFetchResponse): readonly Returned[] {
    const unanswered = new Map(call.partitions)
    const back: Returned[] = []
    if (response.errorCode === errorCodes.NONE) {
      for (const answer of response.partitions) {
        const key = topicPartitionKey(answer.topic, answer.partition)
        const waiters = unanswered.get(key)
        if (!waiters) continue
        unanswered.delete(key)
        back.push(...this.#process(call.groupId, waiters, answer))
      }
    }
    for (const waiters of unanswered.values()) {
      back.push(
        ...this.#processError(
          call.groupId,
          waiters,
          response.errorCode === errorCodes.NONE ? errorCodes.NETWORK_EXCEPTION : response.errorCode
        )
      )
    }
    return back
  }

  callFailed(call: FetchConsumerOffsetCall): readonly AnyAccepted[] {
    return stillOpen([...call.partitions.values()].flat())
  }

  drain(): AnyAccepted[] {
    return stillOpen(this.#queue.drain().flat())
  }

  #process(groupId: string, waiters: readonly Waiter[], answer: PartitionAnswer): readonly Returned[] {
    const { errorCode, offset, metadata, leaderEpoch } = answer
    const action = groupAction(errorCode)
    const hasValue = offset !== undefined && offset >= 0
    if (action !== 'success' && !(action === 'corrupt' && hasValue)) {
      return this.#processError(groupId, waiters, errorCode)
    }
    if (offset === NOTHING_STORED) {
      replyAll(waiters, { type: 'notFound' })
      return []
    }
    for (const waiter of waiters) {
      if (offset === undefined || (offset < 0 && !waiter.request.negativeOffset)) {
        reply(waiter, oddOffset(offset))
        continue
      }
      const shown = fromStoredMetadata(metadata, waiter.request.rawMetadata === true)
      const offsetAndMetadata = {
        offset,
        ...(shown !== undefined && { metadata: shown }),
        ...(leaderEpoch >= 0 && { leaderEpoch })
      }
      reply(waiter, { type: 'success', offsetAndMetadata })
    }
    return []
  }

  #processError(groupId: string, waiters: readonly Waiter[], errorCode: number): readonly Returned[] {
    const action = groupAction(errorCode)
    switch (action) {
      case 'unknownTopicOrPartition':
        this.#options.metrics.count('kafka_dispatcher', 'unknown_topic_or_partition_responses', this.#options.tags, 1)
        replyAll(waiters, { type: 'notFound' })
        return []
      case 'notCoordinator':
        return returned(action, [...waiters, ...this.#queue.takeGroup(groupId).flat()])
      case 'corrupt':
      case 'retryLater':
        return returned('retryLater', waiters)
      default:
        replyAll(waiters, kafkaFailure(errorCode))
        return []
    }
  }
}

export const fetchConsumerOffset = describeOperation('fetchConsumerOffset', {
  role: 'group',
  deadline: 'Deadline of FetchConsumerOffset',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: ({ topicPartition, groupId }) => ({ operation: 'fetchConsumerOffset', topicPartition, groupId }),
  whenUnknown: { type: 'notFound' },
  problemOf: ({ topicPartition, groupId }) => problemOfPartition(topicPartition) ?? problemOfGroup(groupId),
  createProcessor: (context: ProcessorContext) => new FetchConsumerOffsetProcessor(context)
})
