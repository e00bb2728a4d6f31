import type { BrokerClient, OffsetForLeaderEpochResponse } from '../../kafka/broker-client.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { replyAll } from '../requests/answers.js'
import { kafkaFailure, oddOffset } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isCount, problemOfPartition } from '../requests/problems.js'
import { partitionAction } from './error-actions.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'
import { RequestQueue } from './request-queue.js'
import { settlePartitions } from './settle-partitions.js'

const UNKNOWN = -1

type Waiter = Accepted<'fetchEpochEnd'>
type PartitionAnswer = OffsetForLeaderEpochResponse['partitions'][number]

interface Wanted {
  readonly leaderEpoch: number
  /** The epoch of the leader that is asked. A broker that leads in another one answers with an error. */
  readonly currentLeaderEpoch: number
  readonly waiters: readonly Waiter[]
}
export type FetchEpochEndCall = ReadonlyMap<string, Wanted>

/**
 * Where leader epochs end. One call asks for all partitions of the broker, and for each for the epoch that was asked first.
 * Requests that wait share a call. No request joins a call in flight, which may have been answered before the request was
 * made.
 */
export class FetchEpochEndProcessor implements QueueProcessor<FetchEpochEndCall, OffsetForLeaderEpochResponse> {
  readonly name = 'fetchEpochEnd'
  readonly #options: Pick<ProcessorContext, 'callTimeoutMs' | 'metrics' | 'tags'>
  readonly #queue = new RequestQueue<number, Waiter>()

  constructor(options: Pick<ProcessorContext, 'callTimeoutMs' | 'metrics' | 'tags'>) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  addToQueue(request: Waiter): void {
    this.#queue.add(request.key, request.request.leaderEpoch, request)
  }

  nextCall(): FetchEpochEndCall | undefined {
    const call = new Map<string, Wanted>()
    while (call.size === 0 && !this.#queue.isEmpty) {
      for (const [key, { subkey, waiters }] of this.#queue.takeHeads()) {
        const open = stillOpen(waiters)
        const newest = open.at(-1)
        if (newest === undefined) continue
        call.set(key, { leaderEpoch: subkey, currentLeaderEpoch: newest.identity.leaderEpoch, waiters: open })
      }
    }
    return call.size > 0 ? call : undefined
  }

  send(client: BrokerClient, call: FetchEpochEndCall): Promise<OffsetForLeaderEpochResponse> {
    const partitions = Array.from(call.values(), ({ leaderEpoch, currentLeaderEpoch, waiters }) => ({
      ...waiters[0]!.request.topicPartition,
      currentLeaderEpoch,
      leaderEpoch
    }))
    return client.offsetForLeaderEpoch({ partitions, timeoutMs: this.#options.callTimeoutMs })
  }

  processResponse(call: FetchEpochEndCall, response: OffsetForLeaderEpochResponse): readonly Returned[] {
    return settlePartitions(call, response.partitions, (...settled) => this.#process(...settled))
  }

  callFailed(call: FetchEpochEndCall): readonly AnyAccepted[] {
    return stillOpen([...call.values()].flatMap(({ waiters }) => waiters))
  }

  drain(): AnyAccepted[] {
    return stillOpen(this.#queue.drain())
  }

  #process(key: string, { waiters, currentLeaderEpoch }: Wanted, answer: PartitionAnswer): readonly Returned[] {
    const { errorCode, leaderEpoch, endOffset } = answer
    const action = partitionAction(errorCode)
    switch (action) {
      case 'success':
        if (endOffset === undefined) replyAll(waiters, oddOffset(endOffset))
        else if (leaderEpoch <= UNKNOWN || endOffset < 0) replyAll(waiters, { type: 'notFound', currentLeaderEpoch })
        else replyAll(waiters, { type: 'success', leaderEpoch, endOffset, currentLeaderEpoch })
        return []
      case 'unknownTopicOrPartition':
        this.#options.metrics.count('kafka_dispatcher', 'unknown_topic_or_partition_responses', this.#options.tags, 1)
        return returned(action, waiters)
      case 'notLeader':
        return returned(action, [...waiters, ...this.#queue.removeKey(key)])
      case 'corrupt':
      case 'retryLater':
        return returned('retryLater', waiters)
      case 'staleTopic':
        return returned(action, waiters)
      case 'outOfRange':
      case 'notCoordinator':
      case 'fail':
        replyAll(waiters, kafkaFailure(errorCode))
        return []
    }
  }
}

export const fetchEpochEnd = describeOperation('fetchEpochEnd', {
  role: 'control',
  target: { type: 'leader', topicPartition: ({ topicPartition }) => topicPartition },
  echo: () => ({}),
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, leaderEpoch }) =>
    problemOfPartition(topicPartition) ??
    (isCount(leaderEpoch) ? undefined : invalid('invalidRequest', `no leader epoch: ${leaderEpoch}`)),
  createProcessor: (context: ProcessorContext) => new FetchEpochEndProcessor(context)
})
