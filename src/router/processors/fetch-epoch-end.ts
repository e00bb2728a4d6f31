import type { BrokerClient, OffsetForLeaderEpochResponse } from '../../kafka/broker-client.js'
import { invalid, isCount, oddOffset, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, replyAll } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import { PartitionProcessor, type Wanted } from './by-partition.js'
import type { ErrorAction } from './error-actions.js'
import type { ProcessorContext, Returned } from './queue-processor.js'

const UNKNOWN = -1

type PartitionAnswer = OffsetForLeaderEpochResponse['partitions'][number]

/** Finds where leader epochs end. The subject is a leader epoch. */
export class FetchEpochEndProcessor extends PartitionProcessor<
  'fetchEpochEnd',
  OffsetForLeaderEpochResponse,
  PartitionAnswer
> {
  readonly name = 'fetchEpochEnd'

  protected subjectOf({ request }: OpenRequest<'fetchEpochEnd'>): number {
    return request.leaderEpoch
  }

  protected ask(
    client: BrokerClient,
    wanted: readonly Wanted<'fetchEpochEnd'>[]
  ): Promise<OffsetForLeaderEpochResponse> {
    const partitions = wanted.map(({ subject, waiters }) => ({
      currentLeaderEpoch: leaderEpochOf(waiters),
      leaderEpoch: subject,
      ...waiters[0]!.request.topicPartition
    }))
    return client.offsetForLeaderEpoch({ partitions, timeoutMs: this.context.callTimeoutMs })
  }

  protected answersIn({ partitions }: OffsetForLeaderEpochResponse): readonly PartitionAnswer[] {
    return partitions
  }

  protected settle(
    _: string,
    { waiters }: Wanted<'fetchEpochEnd'>,
    { leaderEpoch, endOffset }: PartitionAnswer,
    action: ErrorAction
  ): readonly Returned[] | undefined {
    if (action !== 'success') return undefined
    const currentLeaderEpoch = leaderEpochOf(waiters)
    if (endOffset === undefined) replyAll(waiters, oddOffset(endOffset))
    else if (leaderEpoch <= UNKNOWN || endOffset < 0) replyAll(waiters, { type: 'notFound', currentLeaderEpoch })
    else replyAll(waiters, { type: 'success', leaderEpoch, endOffset, currentLeaderEpoch })
    return []
  }
}

/** The known epoch of the leader. A broker that leads in another epoch answers with an error. */
const leaderEpochOf = (waiters: readonly OpenRequest<'fetchEpochEnd'>[]): number => waiters.at(-1)!.identity.leaderEpoch

export const fetchEpochEnd = describeOperation('fetchEpochEnd', {
  role: 'control',
  target: { type: 'leader', topicPartition: ({ topicPartition }) => topicPartition },
  echo: () => ({}),
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, leaderEpoch }) =>
    problemOfPartition(topicPartition) ??
    (isCount(leaderEpoch) ? undefined : invalid('invalidRequest', `not a leader epoch: ${leaderEpoch}`)),
  createProcessor: (context: ProcessorContext) => new FetchEpochEndProcessor(context)
})
