import { isCount } from '../../core/counts.js'
import {
  EARLIEST_TIMESTAMP,
  type FetchPartitionResponse,
  type FetchResponse,
  LATEST_TIMESTAMP,
  type ListOffsetsResponse,
  type OffsetForLeaderEpochResponse
} from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { OffsetType } from '../messages/operations.js'
import { invalid, oddOffset, ownFailure, problemOfPartition, problemOfPlace } from '../requests/failures.js'
import { type OpenRequest, replyAll } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { type AskedPartition, askingPartitions, ofPartition } from './by-partition.js'
import { toAsk } from './fetch-session.js'
import { type Returned, returned } from './queue-processor.js'

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
      client.listOffsets({ isolationLevel, partitions: askedPlacesOf(wanted), timeoutMs: callTimeoutMs }),
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
export const askedPlacesOf = (wanted: readonly AskedPartition<'fetchOffset' | 'fetchStableEnd' | 'fetchLogEnd'>[]) =>
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

const MAX_PARTITION_BYTES = 128 * 1024
/**
 * Maximum number of bytes of one answer, unless one batch is larger. The limit is low, because look-ups on the same
 * connection wait for the answer.
 */
const MAX_BYTES = 1024 * 1024

type OriginWaiters = readonly OpenRequest<'fetchOrigins'>[]

function settleRecords(offset: number, waiters: OriginWaiters, answer: FetchPartitionResponse): readonly Returned[] {
  const { records, highWatermark } = answer
  const { batches, nextOffset, sizeBytes, corruption, tooLarge, unavailable } = records
  if (nextOffset > offset) {
    const origins = batches.flatMap(batch => batch.origins ?? [])
    replyAll(waiters, { type: 'success', origins, nextOffset, sizeBytes })
  } else if (corruption) replyAll(waiters, { type: 'corruptMessage' })
  else if (tooLarge || unavailable) {
    const reason = unavailable?.reason ?? `the batch at offset ${offset} is too large to be decompressed`
    replyAll(waiters, ownFailure('batchTooLarge', reason, false))
  } else if (highWatermark === undefined || offset < highWatermark) return returned('retryLater', waiters)
  else replyAll(waiters, { type: 'noMessages' })
  return []
}

/**
 * Finds which producers wrote the batches of a log. It also reads uncommitted batches, whatever the isolation level of
 * the Router is. It does not use the cache, and never waits for records. The subject is an offset.
 */
export const fetchOrigins = describeOperation('fetchOrigins', {
  ...ofPartition,
  role: 'control',
  problemOf: request => problemOfPlace(request),
  createProcessor: askingPartitions('fetchOrigins', {
    subjectOf: ({ request }) => request.offset,
    ask: (client, wanted, { callTimeoutMs, decompression }) =>
      client.fetch({
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: MAX_BYTES,
        isolationLevel: 'readUncommitted',
        decompression,
        timeoutMs: callTimeoutMs,
        partitions: wanted.map(({ subject, waiters }) => {
          const { request, identity } = waiters.at(-1)!
          return toAsk({ ...request.topicPartition, position: subject, identity }, MAX_PARTITION_BYTES)
        })
      }),
    // A response with an error code of its own has no answer for any partition.
    answersIn: ({ errorCode, partitions }: FetchResponse) => (errorCode === errorCodes.NONE ? partitions : []),
    settle({ subject, waiters }, answer, action) {
      if (action === 'success') return settleRecords(subject, waiters, answer)
      if (action !== 'corrupt' && action !== 'outOfRange') return undefined
      replyAll(waiters, { type: action === 'corrupt' ? 'corruptMessage' : 'offsetOutOfRange' })
      return []
    }
  })
})
