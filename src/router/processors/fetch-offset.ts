import {
  type BrokerClient,
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
  type ListOffsetsResponse
} from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { OffsetType } from '../messages/operations.js'
import { invalid, oddOffset, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, replyAll } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { PartitionProcessor, type Wanted } from './by-partition.js'
import type { ErrorAction } from './error-actions.js'
import { type ProcessorContext, type Returned, returned } from './queue-processor.js'

const NO_OFFSET = -1
const NO_EPOCH = -1
/**
 * The largest accepted timestamp. The protocol has 64 bits for it, which is enough for producers that write
 * nanoseconds.
 */
const LAST_TIMESTAMP = 2 ** 62

type PartitionAnswer = ListOffsetsResponse['partitions'][number]

/** Finds offsets by position or time. The subject is a timestamp of Kafka's protocol: -1 latest, -2 earliest, else epoch milliseconds. */
export class FetchOffsetProcessor extends PartitionProcessor<'fetchOffset', ListOffsetsResponse, PartitionAnswer> {
  readonly name = 'fetchOffset'

  protected subjectOf({ request }: OpenRequest<'fetchOffset'>): number {
    return toTimestamp(request.offsetType)
  }

  protected ask(client: BrokerClient, wanted: readonly Wanted<'fetchOffset'>[]): Promise<ListOffsetsResponse> {
    const { callTimeoutMs, isolationLevel } = this.context
    const partitions = wanted.map(({ subject, waiters }) => ({
      timestamp: subject,
      ...waiters[0]!.request.topicPartition
    }))
    return client.listOffsets({ isolationLevel, partitions, timeoutMs: callTimeoutMs })
  }

  protected answersIn({ partitions }: ListOffsetsResponse): readonly PartitionAnswer[] {
    return partitions
  }

  protected settle(
    key: string,
    { subject, waiters }: Wanted<'fetchOffset'>,
    { errorCode, offset, leaderEpoch = NO_EPOCH }: PartitionAnswer,
    action: ErrorAction
  ): readonly Returned[] | undefined {
    // As in Castle, code 2 with an offset counts as a success.
    if (action !== 'success' && action !== 'corrupt') return undefined
    if (offset !== undefined && offset >= 0) {
      replyAll(waiters, { type: 'success', offset, ...(leaderEpoch > NO_EPOCH && { leaderEpoch }) })
    } else if (offset === NO_OFFSET && subject >= 0) {
      // All records are older than the requested time. The next record is written at the latest offset.
      this.askAgain(key, LATEST_TIMESTAMP, waiters)
    } else if (errorCode !== errorCodes.NONE) return returned('retryLater', waiters)
    else replyAll(waiters, oddOffset(offset))
    return []
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
  target: { type: 'leader', topicPartition: ({ topicPartition }) => topicPartition },
  echo: ({ topicPartition, offsetType }) => ({ operation: 'fetchOffset', topicPartition, offsetType }),
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, offsetType }) =>
    problemOfPartition(topicPartition) ??
    (isOffsetType(offsetType) ? undefined : invalid('invalidRequest', 'no such offset type')),
  createProcessor: (context: ProcessorContext) => new FetchOffsetProcessor(context)
})
