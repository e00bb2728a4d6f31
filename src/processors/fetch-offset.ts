import type { MetricsLogger } from '../metrics/metrics-logger.js'
import { topicPartitionKey } from '../model.js'
import type { OffsetType } from '../operations.js'
import {
  type BrokerClient,
  EARLIEST_TIMESTAMP,
  type IsolationLevel,
  LATEST_TIMESTAMP,
  type ListOffsetsResponse
} from '../wire/broker-client.js'
import { errorCodes } from '../wire/error-codes.js'
import type { Accepted, AnyAccepted } from './accepted.js'
import { kafkaFailure, oddOffset, replyAll } from './answers.js'
import { partitionAction } from './error-actions.js'
import { type BrokerTags, type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'
import { RequestQueue } from './request-queue.js'

const NO_OFFSET = -1
/** A time of the protocol has 64 bits. Some producers write nanoseconds, which fit. */
const LAST_TIMESTAMP = 2 ** 62

type Waiter = Accepted<'fetchOffset'>
type PartitionAnswer = ListOffsetsResponse['partitions'][number]

interface Wanted {
  /** As Kafka has it: -1 latest, -2 earliest, else epoch milliseconds. */
  readonly timestamp: number
  readonly waiters: readonly Waiter[]
}
export type FetchOffsetCall = ReadonlyMap<string, Wanted>

export interface FetchOffsetOptions {
  readonly callTimeoutMs: number
  readonly metrics: MetricsLogger
  readonly tags: BrokerTags
  readonly isolationLevel: IsolationLevel
}

/**
 * Offsets by position or time: one call for all partitions of the broker, the first asked type of each first. Requests
 * that wait share a call. None joins one that is on its way: what was acknowledged before a request was made must be
 * in its answer, and that call may have been answered before.
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
    const unanswered = new Map(call)
    const back: Returned[] = []
    for (const answer of response.partitions) {
      const key = topicPartitionKey(answer.topic, answer.partition)
      const wanted = unanswered.get(key)
      if (!wanted) continue
      unanswered.delete(key)
      back.push(...this.#process(key, wanted, answer))
    }
    for (const { waiters } of unanswered.values()) back.push(...returned('retryLater', waiters))
    return back
  }

  callFailed(call: FetchOffsetCall): readonly AnyAccepted[] {
    return stillOpen([...call.values()].flatMap(({ waiters }) => waiters))
  }

  drain(): AnyAccepted[] {
    return stillOpen(this.#queue.drain())
  }

  #process(key: string, { timestamp, waiters }: Wanted, { errorCode, offset }: PartitionAnswer): readonly Returned[] {
    const action = partitionAction(errorCode)
    switch (action) {
      case 'success':
      case 'corrupt': // Castle takes code 2 with a value as a success
        if (offset !== undefined && offset >= 0) replyAll(waiters, { type: 'success', offset })
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

  /** Nothing that late has been written: the first record that will be is the latest offset. */
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
