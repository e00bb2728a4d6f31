import type { FetchPartitionResponse, FetchResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { invalid, isCount, ownFailure, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, replyAll } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { askingPartitions, ofPartition } from './by-partition.js'
import { toAsk } from './fetch-session.js'
import { type Returned, returned } from './queue-processor.js'

const MAX_PARTITION_BYTES = 128 * 1024
/**
 * Maximum number of bytes of one answer, unless one batch is larger. The limit is low, because look-ups on the same
 * connection wait for the answer.
 */
const MAX_BYTES = 1024 * 1024

type Waiters = readonly OpenRequest<'fetchOrigins'>[]

function settleRecords(offset: number, waiters: Waiters, answer: FetchPartitionResponse): readonly Returned[] {
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
  problemOf: ({ topicPartition, offset }) =>
    problemOfPartition(topicPartition) ??
    (isCount(offset) ? undefined : invalid('invalidRequest', `not an offset: ${offset}`)),
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
