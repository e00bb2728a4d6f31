import type { BrokerClient, FetchPartitionResponse, FetchResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { replyAll } from '../requests/answers.js'
import { kafkaFailure, ownFailure } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { invalid, isCount, problemOfPartition } from '../requests/problems.js'
import { partitionAction } from './error-actions.js'
import { toAsk } from './fetch-session.js'
import type { ProcessorContext } from './processor-context.js'
import { type QueueProcessor, type Returned, returned, stillOpen } from './queue-processor.js'
import { RequestQueue } from './request-queue.js'
import { settlePartitions } from './settle-partitions.js'

/** Of one partition in one answer. */
const MAX_PARTITION_BYTES = 128 * 1024
/** Of one answer, unless one batch is larger. Look-ups wait for it, which share the connection. */
const MAX_BYTES = 1024 * 1024

type Waiter = Accepted<'fetchOrigins'>

interface Wanted {
  readonly offset: number
  readonly waiters: readonly Waiter[]
}
export type FetchOriginsCall = ReadonlyMap<string, Wanted>

/**
 * Which producers wrote the batches of a log. Reads what is not committed too, whatever the Router's readers see, and keeps
 * nothing in their cache. One call asks for all partitions of the broker, and never waits for records.
 */
export class FetchOriginsProcessor implements QueueProcessor<FetchOriginsCall, FetchResponse> {
  readonly name = 'fetchOrigins'
  readonly #options: Pick<ProcessorContext, 'callTimeoutMs' | 'decompression'>
  readonly #queue = new RequestQueue<number, Waiter>()

  constructor(options: Pick<ProcessorContext, 'callTimeoutMs' | 'decompression'>) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#queue.isEmpty
  }

  addToQueue(request: Waiter): void {
    this.#queue.add(request.key, request.request.offset, request)
  }

  nextCall(): FetchOriginsCall | undefined {
    const call = new Map<string, Wanted>()
    while (call.size === 0 && !this.#queue.isEmpty) {
      for (const [key, { subkey, waiters }] of this.#queue.takeHeads()) {
        const open = stillOpen(waiters)
        if (open.length > 0) call.set(key, { offset: subkey, waiters: open })
      }
    }
    return call.size > 0 ? call : undefined
  }

  send(client: BrokerClient, call: FetchOriginsCall): Promise<FetchResponse> {
    const partitions = Array.from(call.values(), ({ offset, waiters }) => {
      const { request, identity } = waiters.at(-1)!
      const wanted = { ...request.topicPartition, position: offset, identity, waiters: [], joined: [] }
      return toAsk(wanted, MAX_PARTITION_BYTES)
    })
    const { callTimeoutMs, decompression } = this.#options
    return client.fetch({
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes: MAX_BYTES,
      isolationLevel: 'readUncommitted',
      decompression,
      timeoutMs: callTimeoutMs,
      partitions
    })
  }

  processResponse(call: FetchOriginsCall, response: FetchResponse): readonly Returned[] {
    // The others are left out, which is no answer.
    const told = response.errorCode === errorCodes.NONE ? response.partitions : []
    return settlePartitions(call, told, (...settled) => this.#process(...settled))
  }

  callFailed(call: FetchOriginsCall): readonly AnyAccepted[] {
    return stillOpen([...call.values()].flatMap(({ waiters }) => waiters))
  }

  drain(): AnyAccepted[] {
    return stillOpen(this.#queue.drain())
  }

  #process(key: string, { offset, waiters }: Wanted, answer: FetchPartitionResponse): readonly Returned[] {
    const action = partitionAction(answer.errorCode)
    switch (action) {
      case 'success':
        return this.#records(offset, waiters, answer)
      case 'corrupt':
        return this.#damaged(waiters)
      case 'outOfRange':
        replyAll(waiters, { type: 'offsetOutOfRange' })
        return []
      case 'notLeader':
        return returned(action, [...waiters, ...this.#queue.removeKey(key)])
      case 'unknownTopicOrPartition':
      case 'retryLater':
      case 'staleTopic':
        return returned(action, waiters)
      case 'notCoordinator':
      case 'fail':
        replyAll(waiters, kafkaFailure(answer.errorCode))
        return []
    }
  }

  #records(offset: number, waiters: readonly Waiter[], answer: FetchPartitionResponse): readonly Returned[] {
    const { records, highWatermark } = answer
    const { batches, nextOffset, sizeBytes, corruption, tooLarge, unavailable } = records
    if (nextOffset > offset) {
      const origins = batches.flatMap(batch => batch.origins ?? [])
      replyAll(waiters, { type: 'success', origins, nextOffset, sizeBytes })
    } else if (corruption) return this.#damaged(waiters)
    else if (tooLarge || unavailable) {
      const reason = unavailable?.reason ?? `the batch at offset ${offset} is too large to be decompressed`
      replyAll(waiters, ownFailure('batchTooLarge', reason, false))
    } else if (highWatermark === undefined || offset < highWatermark) return returned('retryLater', waiters)
    else replyAll(waiters, { type: 'noMessages' })
    return []
  }

  /** What is damaged once may have been damaged in transit. */
  #damaged(waiters: readonly Waiter[]): readonly Returned[] {
    const again = waiters.filter(waiter => waiter.damages++ === 0)
    replyAll(
      waiters.filter(waiter => !again.includes(waiter)),
      { type: 'corruptMessage' }
    )
    return returned('retryLater', again)
  }
}

export const fetchOrigins = describeOperation('fetchOrigins', {
  role: 'control',
  target: { type: 'leader', topicPartition: ({ topicPartition }) => topicPartition },
  echo: () => ({}),
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, offset }) =>
    problemOfPartition(topicPartition) ??
    (isCount(offset) ? undefined : invalid('invalidRequest', `no offset: ${offset}`)),
  createProcessor: (context: ProcessorContext) => new FetchOriginsProcessor(context)
})
