import type { BrokerClient, OffsetFetchResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { oddOffset, problemOfGroup, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, reply, replyAll } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import type { ErrorAction } from './error-actions.js'
import { type GroupCall, GroupProcessor } from './group-processor.js'
import type { ProcessorContext, Returned } from './queue-processor.js'

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

/** The offset of a group without a committed one. If it has metadata, a client has set it. */
const NOTHING_STORED = -1

type OffsetKind = 'fetchConsumerOffset'
type OffsetWaiters = readonly OpenRequest<OffsetKind>[]
type OffsetAnswer = OffsetFetchResponse['partitions'][number]

/**
 * Asks the coordinator for committed offsets. No request joins a call in flight, because the answer of this call may be
 * older than a commit that was accepted before the request.
 */
export class FetchConsumerOffsetProcessor extends GroupProcessor<OffsetKind, OffsetAnswer, OffsetFetchResponse> {
  readonly name = 'fetchConsumerOffset'

  /**
   * Takes the requests that require a stable offset, or those that do not: the latter would wait for a transaction as well.
   * The others go back into the line.
   */
  protected override taken(
    groupId: string,
    waiting: Map<string, OpenRequest<OffsetKind>[]>
  ): Map<string, OffsetWaiters> {
    const taken = new Map<string, OffsetWaiters>()
    let isStable: boolean | undefined
    for (const [key, waiters] of waiting) {
      isStable ??= requiresStable(waiters[0]!)
      const alike = waiters.filter(waiter => requiresStable(waiter) === isStable)
      const others = waiters.filter(waiter => requiresStable(waiter) !== isStable)
      if (alike.length > 0) taken.set(key, alike)
      if (others.length > 0) this.putBack(groupId, key, others)
    }
    return taken
  }

  send(client: BrokerClient, { groupId, partitions }: GroupCall<OffsetKind>): Promise<OffsetFetchResponse> {
    return client.offsetFetch({
      groupId,
      partitions: Array.from(partitions.values(), waiters => waiters[0]!.request.topicPartition),
      requireStable: [...partitions.values()].some(([first]) => requiresStable(first!)),
      timeoutMs: this.context.callTimeoutMs
    })
  }

  protected answersIn({ errorCode, partitions }: OffsetFetchResponse) {
    return errorCode === errorCodes.NONE
      ? { answers: partitions, otherwise: errorCodes.NETWORK_EXCEPTION }
      : { answers: [], otherwise: errorCode }
  }

  protected settle(waiters: OffsetWaiters, answer: OffsetAnswer, action: ErrorAction): readonly Returned[] | undefined {
    const { offset, metadata, leaderEpoch } = answer
    const hasValue = offset !== undefined && offset >= 0
    if (action !== 'success' && !(action === 'corrupt' && hasValue)) return undefined
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

  protected settleUnknown(waiters: OffsetWaiters): readonly Returned[] {
    replyAll(waiters, { type: 'notFound' })
    return []
  }
}

const requiresStable = ({ request }: OpenRequest<OffsetKind>): boolean => request.requireStable === true

export const fetchConsumerOffset = describeOperation('fetchConsumerOffset', {
  role: 'group',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: ({ topicPartition, groupId }) => ({ operation: 'fetchConsumerOffset', topicPartition, groupId }),
  whenUnknown: { type: 'notFound' },
  problemOf: ({ topicPartition, groupId }) => problemOfPartition(topicPartition) ?? problemOfGroup(groupId),
  createProcessor: (context: ProcessorContext) => new FetchConsumerOffsetProcessor(context)
})
