import { isCount } from '../../core/counts.js'
import { topicPartitionKey } from '../../core/model.js'
import { resultOfUser } from '../../core/users-code.js'
import type { BrokerClient, OffsetCommitResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { CommitConsumerOffset, Failure, GroupMembership } from '../messages/operations.js'
import { invalid, problemOfGroup, problemOfPartition } from '../requests/failures.js'
import { type OpenRequest, replyAll, stillOpen } from '../requests/open-requests.js'
import { describeOperation } from '../requests/operation.js'
import type { ErrorAction } from './error-actions.js'
import { toStoredMetadata } from './fetch-consumer-offset.js'
import { type GroupCall, GroupProcessor } from './group-processor.js'
import type { ProcessorContext, Returned } from './queue-processor.js'

type CommitKind = 'commitConsumerOffset'
export type OpenCommit = OpenRequest<CommitKind>
type CommitAnswer = OffsetCommitResponse['partitions'][number]

/** The protocol's values for a commit without a member. */
const STAND_ALONE = { generationId: -1, memberId: '' }

const isSameMember = (one: GroupMembership | undefined, other: GroupMembership | undefined): boolean =>
  one?.memberId === other?.memberId && one?.generationId === other?.generationId

/**
 * Sends commits to the coordinator. The Router submits at most one open commit per group and partition at a time, and
 * keeps the order of commits.
 */
export class CommitConsumerOffsetProcessor extends GroupProcessor<CommitKind, CommitAnswer, OffsetCommitResponse> {
  readonly name = 'commitConsumerOffset'

  /** Drops the commits of the partition that were answered while they waited. */
  override addToQueue(request: OpenCommit): void {
    const { groupId, topicPartition } = request.request
    const key = topicPartitionKey(topicPartition.topic, topicPartition.partition)
    this.putBack(groupId, key, [...stillOpen(this.groups.get(groupId)?.get(key) ?? []), request])
  }

  /** Takes one commit of each partition, all of the same member; commits of other members go back into the line. */
  protected override taken(groupId: string, waiting: Map<string, OpenCommit[]>): Map<string, readonly OpenCommit[]> {
    const taken = new Map<string, readonly OpenCommit[]>()
    let member: GroupMembership | undefined
    for (const [key, commits] of waiting) {
      const commit = commits[0]!
      if (taken.size === 0) member = commit.request.member
      if (isSameMember(member, commit.request.member)) {
        commits.shift()
        commit.state.inFlight = true
        taken.set(key, [commit])
      }
      if (commits.length > 0) this.putBack(groupId, key, commits)
    }
    return taken
  }

  send(client: BrokerClient, call: GroupCall<CommitKind>): Promise<OffsetCommitResponse> {
    const commits = commitsOf(call)
    for (const commit of commits) commit.state.wasSent = true
    return client.offsetCommit({
      groupId: call.groupId,
      ...(commits[0]!.request.member ?? STAND_ALONE),
      timeoutMs: this.context.callTimeoutMs,
      partitions: commits.map(({ request: { topicPartition, offsetAndMetadata, rawMetadata } }) => ({
        topic: topicPartition.topic,
        partition: topicPartition.partition,
        offset: offsetAndMetadata.offset,
        metadata: toStoredMetadata(offsetAndMetadata.metadata, rawMetadata === true),
        ...(offsetAndMetadata.leaderEpoch !== undefined && { leaderEpoch: offsetAndMetadata.leaderEpoch })
      }))
    })
  }

  override processResponse(call: GroupCall<CommitKind>, response: OffsetCommitResponse): readonly Returned[] {
    commitsOf(call).forEach(landed)
    return super.processResponse(call, response)
  }

  override callFailed(call: GroupCall<CommitKind>, error: Error, sent: boolean): readonly OpenRequest[] {
    const commits = commitsOf(call)
    if (sent) commits.forEach(tellUnanswered)
    commits.forEach(landed)
    return super.callFailed(call, error, sent)
  }

  protected answersIn({ partitions }: OffsetCommitResponse) {
    return { answers: partitions, otherwise: errorCodes.NETWORK_EXCEPTION }
  }

  protected settle(
    commits: readonly OpenCommit[],
    _: CommitAnswer,
    action: ErrorAction
  ): readonly Returned[] | undefined {
    if (action !== 'success') return undefined
    replyAll(commits, { type: 'success' })
    return []
  }

  protected settleUnknown(commits: readonly OpenCommit[]): readonly Returned[] {
    replyAll(commits, { type: 'unknownTopicOrPartition' })
    const { topic, partition } = commits[0]!.request.topicPartition
    return [{ reason: 'unknownTopicOrPartition', requests: [], topic, partition }]
  }
}

const commitsOf = ({ partitions }: GroupCall<CommitKind>): OpenCommit[] => [...partitions.values()].flat()

function tellUnanswered({ request: { onUnanswered } }: OpenCommit): void {
  if (onUnanswered !== undefined) resultOfUser('onUnanswered of a request', onUnanswered, undefined)
}

/** The call that carried the commit has ended. */
export function landed({ state, settled }: OpenCommit): void {
  state.inFlight = false
  if (settled) state.whenOver?.()
}

const MAX_METADATA_BYTES = 32_000

export const commitConsumerOffset = describeOperation('commitConsumerOffset', {
  role: 'group',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  echo: ({ topicPartition, groupId, offsetAndMetadata }) => ({
    operation: 'commitConsumerOffset',
    topicPartition,
    groupId,
    offsetAndMetadata
  }),
  initialState: () => ({ clusterId: undefined, wasSent: false, inFlight: false, whenOver: undefined }),
  onAnswered: ({ inFlight, whenOver }) => {
    if (!inFlight) whenOver?.()
  },
  whenUnknown: { type: 'unknownTopicOrPartition' },
  problemOf: ({ topicPartition, groupId, offsetAndMetadata, negativeOffset }) =>
    problemOfPartition(topicPartition) ??
    problemOfGroup(groupId) ??
    problemOfOffset(offsetAndMetadata, negativeOffset === true),
  createProcessor: (context: ProcessorContext) => new CommitConsumerOffsetProcessor(context)
})

function problemOfOffset(
  { offset, metadata }: CommitConsumerOffset['offsetAndMetadata'],
  mayBeNegative: boolean
): Failure | undefined {
  if (!(isCount(offset) || (mayBeNegative && Number.isSafeInteger(offset))))
    return invalid('invalidRequest', `not an offset: ${offset}`)
  if (metadata === undefined) return undefined
  if (typeof metadata === 'string' && Buffer.byteLength(metadata) <= MAX_METADATA_BYTES) return undefined
  return invalid('invalidRequest', `the metadata is not text of at most ${MAX_METADATA_BYTES} bytes`)
}
