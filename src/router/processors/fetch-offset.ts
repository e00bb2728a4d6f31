import {
  type BrokerClient,
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
  type ListOffsetsResponse
} from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { OffsetType } from '../messages/operations.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { replyAll } from '../requests/answers.js'
import { kafkaFailure, oddOffset } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, problemOfPartition } from '../requests/problems.js'
import { partitionAction } from './error-actions.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'
import { RequestQueue } from './request-queue.js'
import { settlePartitions } from './settle-partitions.js'

const NO_OFFSET = -1
const NO_EPOCH = -1
/** A time of the protocol has 64 bits, enough for producers that write nanoseconds. */
const LAST_TIMESTAMP = 2 ** 62

type Waiter = Accepted<'fetchOffset'>
type PartitionAnswer = ListOffsetsResponse['partitions'][number]

interface Wanted {
  /** As in Kafka's protocol: -1 latest, -2 earliest, else epoch milliseconds. */
  readonly timestamp: number
  readonly waiters: readonly Waiter[]
}
export type FetchOffsetCall = ReadonlyMap<string, Wanted>

export type FetchOffsetOptions = Pick<ProcessorContext, 'callTimeoutMs' | 'metrics' | 'tags' | 'isolationLevel'>

/**
 * Offsets by position or time. One call asks for all partitions of the broker, and for each for the offset type that was
 * asked first. Requests that wait share a call. No request joins a call in flight: its answer must include records that
 * were acknowledged before the request was made, and the broker may have answered that call earlier.
 */
export class FetchOffsetProcessor implements QueueProcessor<FetchOffsetCall, ListOffsetsResponse> {
  readonly name = 'fetchOffset'
  readonly #options: FetchOffsetOptions
  readonly #queue = new RequestQueue<number, Waiter>()

  constructor(options: FetchOffsetOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  addToQueue(request: Waiter): void {
    this.#queue.add(request.key, toTimestamp(request.request.offsetType), request)
  }

  nextCall(): FetchOffsetCall | undefined {
    const call = new Map<string, Wanted>()
    while (call.size === 0 && !this.#queue.isEmpty) {
      for (const [key, { subkey, waiters }] of this.#queue.takeHeads()) {
        const open = stillOpen(waiters)
        if (open.length > 0) call.set(key, { timestamp: subkey, waiters: open })
      }
    }
    return call.size > 0 ? call : undefined
  }

  send(client: BrokerClient, call: FetchOffsetCall): Promise<ListOffsetsResponse> {
    const { callTimeoutMs, isolationLevel } = this.#options
    const partitions = Array.from(call.values(), ({ timestamp, waiters }) => ({
      ...waiters[0]!.request.topicPartition,
      timestamp
    }))
    return client.listOffsets({ isolationLevel, partitions, timeoutMs: callTimeoutMs })
  }

  processResponse(call: FetchOffsetCall, response: ListOffsetsResponse): readonly Returned[] {
    return settlePartitions(call, response.partitions, (...settled) => this.#process(...settled))
  }

  callFailed(call: FetchOffsetCall): readonly AnyAccepted[] {
    return stillOpen([...call.values()].flatMap(({ waiters }) => waiters))
  }

  drain(): AnyAccepted[] {
    return stillOpen(this.#queue.drain())
  }

  #process(key: string, { timestamp, waiters }: Wanted, answer: PartitionAnswer): readonly Returned[] {
    const { errorCode, offset, leaderEpoch = NO_EPOCH } = answer
    const action = partitionAction(errorCode)
    switch (action) {
      case 'success':
      case 'corrupt': // Castle takes code 2 with a value as a success
        if (offset !== undefined && offset >= 0)
          replyAll(waiters, { type: 'success', offset, ...(leaderEpoch > NO_EPOCH && { leaderEpoch }) })
        else if (offset === NO_OFFSET && timestamp >= 0) this.#askForLatest(key, waiters)
        else if (errorCode !== errorCodes.NONE) return returned('retryLater', waiters)
        else replyAll(waiters, oddOffset(offset))
        return []
      case 'unknownTopicOrPartition':
        this.#options.metrics.count('kafka_dispatcher', 'unknown_topic_or_partition_responses', this.#options.tags, 1)
        return returned(action, waiters)
      case 'notLeader':
        return returned(action, [...waiters, ...this.#queue.removeKey(key)])
      case 'retryLater':
      case 'staleTopic':
        return returned(action, waiters)
      case 'outOfRange':
      case 'notCoordinator':
      case 'fail':
        replyAll(waiters, kafkaFailure(errorCode))
        return []
    }
  }

  /** No record is that late yet. The first one will be written at the latest offset. */
  #askForLatest(key: string, waiters: readonly Waiter[]): void {
    for (const waiter of stillOpen(waiters)) this.#queue.add(key, LATEST_TIMESTAMP, waiter)
  }
}

const toTimestamp = (offsetType: OffsetType): number => {
  if (offsetType === 'earliest') return EARLIEST_TIMESTAMP
  return offsetType === 'latest'
    ? LATEST_TIMESTAMP
    : Math.min(Math.max(0, Math.floor(offsetType.timestampMs)), LAST_TIMESTAMP)
}

const isOffsetType = (offsetType: OffsetType): boolean =>
  offsetType === 'earliest' || offsetType === 'latest' || Number.isFinite(offsetType?.timestampMs)

export const fetchOffset = describeOperation('fetchOffset', {
  role: 'control',
  deadline: 'Deadline of FetchOffset',
  target: { type: 'leader', topicPartition: ({ topicPartition }) => topicPartition },
  echo: ({ topicPartition, offsetType }) => ({ operation: 'fetchOffset', topicPartition, offsetType }),
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, offsetType }) =>
    problemOfPartition(topicPartition) ??
    (isOffsetType(offsetType) ? undefined : invalid('invalidRequest', 'no such offset type')),
  createProcessor: (context: ProcessorContext) => new FetchOffsetProcessor(context)
})
