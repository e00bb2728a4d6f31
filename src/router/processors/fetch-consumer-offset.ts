import { topicPartitionKey } from '../../core/model.js'
import type { BrokerClient, OffsetFetchResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { kafkaFailure, oddOffset, problemOfGroup, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, reply, replyAll, stillOpen } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { groupAction } from './error-actions.js'
import { everyGroup, GroupQueue, type MayGo, openEntries } from './group-queue.js'
import { type ProcessorContext, type QueueProcessor, type Returned, returned } from './queue-processor.js'

/**
 * Castle puts a mark in front of the metadata of a committed offset, and returns only metadata with the mark. Castellan does
 * the same, so that each can read what the other has committed.
 * Source: Box-Castle/router 1.0.3, KafkaOffsetAndMetadata.
 */
const MARKER = 'V1|CONSUMER_METADATA'

/** The metadata that Kafka stores; the empty string for none. */
export const toStoredMetadata = (metadata: string | undefined, raw: boolean): string => {
  if (metadata === undefined) return ''
  return raw ? metadata : MARKER + metadata
}

/** `raw`: returns the metadata unchanged, for offsets that other clients have committed. */
const fromStoredMetadata = (stored: string | null, raw: boolean): string | undefined => {
  if (raw) return stored === null || stored === '' ? undefined : stored
  return stored?.startsWith(MARKER) ? stored.slice(MARKER.length) : undefined
}

/** With metadata, it is an offset that a client has set. */
const NOTHING_STORED = -1

type Waiter = OpenRequest<'fetchConsumerOffset'>
type PartitionAnswer = OffsetFetchResponse['partitions'][number]
export interface FetchConsumerOffsetCall {
  readonly groupId: string
  readonly partitions: ReadonlyMap<string, readonly Waiter[]>
}

export type GroupProcessorOptions = Pick<ProcessorContext, 'callTimeoutMs' | 'metrics' | 'tags'>

/**
 * Asks the coordinator for committed offsets. Each call is for the group that has waited longest, and has all its
 * partitions. No request joins a call in flight, because the answer of this call may be older than a commit that was
 * accepted before the request.
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

  callFailed(call: FetchConsumerOffsetCall): readonly OpenRequest[] {
    return stillOpen([...call.partitions.values()].flat())
  }

  drain(): OpenRequest[] {
    return stillOpen(this.#queue.drain().flat())
  }

  #process(groupId: string, waiters: readonly Waiter[], answer: PartitionAnswer): readonly Returned[] {
    const { errorCode, offset, metadata, leaderEpoch } = answer
    const action = groupAction(errorCode)
    const hasValue = offset !== undefined && offset >= 0
    if (action !== 'success' && !(action === 'corrupt' && hasValue)) {
      return this.#processError(groupId, waiters, errorCode)
    }
    for (const waiter of waiters) {
      if (offset === NOTHING_STORED && !(waiter.request.negativeOffset && metadata)) {
        reply(waiter, { type: 'notFound' })
        continue
      }
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
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: ({ topicPartition, groupId }) => ({ operation: 'fetchConsumerOffset', topicPartition, groupId }),
  whenUnknown: { type: 'notFound' },
  problemOf: ({ topicPartition, groupId }) => problemOfPartition(topicPartition) ?? problemOfGroup(groupId),
  createProcessor: (context: ProcessorContext) => new FetchConsumerOffsetProcessor(context)
})
