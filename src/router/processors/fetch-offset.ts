import {
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
  type ListOffsetsResponse,
  type OffsetForLeaderEpochResponse
} from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { OffsetType } from '../messages/operations.js'
import { invalid, isCount, oddOffset, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, replyAll } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { askingPartitions, ofPartition, type Wanted } from './by-partition.js'
import { returned } from './queue-processor.js'

const NO_OFFSET = -1
const NO_EPOCH = -1
/**
 * The largest accepted timestamp. The protocol has 64 bits for it, which is enough for producers that write
 * nanoseconds.
 */
const LAST_TIMESTAMP = 2 ** 62

const toTimestamp = (offsetType: OffsetType): number => {
  if (offsetType === 'earliest') return EARLIEST_TIMESTAMP
  return offsetType === 'latest'
    ? LATEST_TIMESTAMP
    : Math.min(Math.max(0, Math.floor(offsetType.timestampMs)), LAST_TIMESTAMP)
}

const isOffsetType = (offsetType: OffsetType): boolean =>
  offsetType === 'earliest' || offsetType === 'latest' || Number.isFinite(offsetType?.timestampMs)

/** Finds offsets by position or time. The subject is a timestamp of Kafka's protocol: -1 latest, -2 earliest, else epoch milliseconds. */
export const fetchOffset = describeOperation('fetchOffset', {
  ...ofPartition,
  role: 'control',
  echo: ({ topicPartition, offsetType }) => ({ operation: 'fetchOffset', topicPartition, offsetType }),
  problemOf: ({ topicPartition, offsetType }) =>
    problemOfPartition(topicPartition) ??
    (isOffsetType(offsetType) ? undefined : invalid('invalidRequest', 'no such offset type')),
  createProcessor: askingPartitions('fetchOffset', {
    subjectOf: ({ request }) => toTimestamp(request.offsetType),
    ask: (client, wanted, { callTimeoutMs, isolationLevel }) =>
      client.listOffsets({ isolationLevel, partitions: placesOf(wanted), timeoutMs: callTimeoutMs }),
    answersIn: ({ partitions }: ListOffsetsResponse) => partitions,
    settle({ subject, waiters }, { errorCode, offset, leaderEpoch = NO_EPOCH }, action, askAgain) {
      // As in Castle, code 2 with an offset counts as a success.
      if (action !== 'success' && action !== 'corrupt') return undefined
      if (offset !== undefined && offset >= 0) {
        replyAll(waiters, { type: 'success', offset, ...(leaderEpoch > NO_EPOCH && { leaderEpoch }) })
      } else if (offset === NO_OFFSET && subject >= 0) {
        // All records are older than the requested time. The next record is written at the latest offset.
        askAgain(LATEST_TIMESTAMP)
      } else if (errorCode !== errorCodes.NONE) return returned('retryLater', waiters)
      else replyAll(waiters, oddOffset(offset))
      return []
    }
  })
})

/** The partitions of a call, each with the timestamp that is asked for. */
export const placesOf = (wanted: readonly Wanted<'fetchOffset' | 'fetchStableEnd' | 'fetchLogEnd'>[]) =>
  wanted.map(({ subject, waiters }) => ({ timestamp: subject, ...waiters[0]!.request.topicPartition }))

/** The known epoch of the leader. A broker that leads in another epoch answers with an error. */
const leaderEpochOf = (waiters: readonly OpenRequest<'fetchEpochEnd'>[]): number => waiters.at(-1)!.identity.leaderEpoch

/** Finds where leader epochs end. The subject is a leader epoch. */
export const fetchEpochEnd = describeOperation('fetchEpochEnd', {
  ...ofPartition,
  role: 'control',
  problemOf: ({ topicPartition, leaderEpoch }) =>
    problemOfPartition(topicPartition) ??
    (isCount(leaderEpoch) ? undefined : invalid('invalidRequest', `not a leader epoch: ${leaderEpoch}`)),
  createProcessor: askingPartitions('fetchEpochEnd', {
    subjectOf: ({ request }) => request.leaderEpoch,
    ask(client, wanted, { callTimeoutMs: timeoutMs }) {
      const partitions = wanted.map(({ subject, waiters }) => ({
        currentLeaderEpoch: leaderEpochOf(waiters),
        leaderEpoch: subject,
        ...waiters[0]!.request.topicPartition
      }))
      return client.offsetForLeaderEpoch({ partitions, timeoutMs })
    },
    answersIn: ({ partitions }: OffsetForLeaderEpochResponse) => partitions,
    settle({ waiters }, { leaderEpoch, endOffset }, action) {
      if (action !== 'success') return undefined
      const currentLeaderEpoch = leaderEpochOf(waiters)
      if (endOffset === undefined) replyAll(waiters, oddOffset(endOffset))
      else if (leaderEpoch <= NO_EPOCH || endOffset < 0) replyAll(waiters, { type: 'notFound', currentLeaderEpoch })
      else replyAll(waiters, { type: 'success', leaderEpoch, endOffset, currentLeaderEpoch })
      return []
    }
  })
})
