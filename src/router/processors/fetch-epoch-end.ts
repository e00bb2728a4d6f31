import type { OffsetForLeaderEpochResponse } from '../../kafka/broker-client.js'
import { invalid, isCount, oddOffset, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, replyAll } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { ofPartition, PartitionProcessor } from './by-partition.js'
import type { ProcessorContext } from './queue-processor.js'

const UNKNOWN = -1

/** The known epoch of the leader. A broker that leads in another epoch answers with an error. */
const leaderEpochOf = (waiters: readonly OpenRequest<'fetchEpochEnd'>[]): number => waiters.at(-1)!.identity.leaderEpoch

/** Finds where leader epochs end. The subject is a leader epoch. */
export const fetchEpochEnd = describeOperation('fetchEpochEnd', {
  ...ofPartition,
  role: 'control',
  problemOf: ({ topicPartition, leaderEpoch }) =>
    problemOfPartition(topicPartition) ??
    (isCount(leaderEpoch) ? undefined : invalid('invalidRequest', `not a leader epoch: ${leaderEpoch}`)),
  createProcessor: (context: ProcessorContext) =>
    new PartitionProcessor(
      'fetchEpochEnd',
      {
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
          else if (leaderEpoch <= UNKNOWN || endOffset < 0) replyAll(waiters, { type: 'notFound', currentLeaderEpoch })
          else replyAll(waiters, { type: 'success', leaderEpoch, endOffset, currentLeaderEpoch })
          return []
        }
      },
      context
    )
})
