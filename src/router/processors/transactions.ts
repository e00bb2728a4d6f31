import type { AddPartitionsToTxnResponse, TxnOffsetCommitResponse } from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { ChangeState } from '../requests/operation.js'
import { groupFailure } from './error-actions.js'
import { ofGroup } from './group-processor.js'
import { describeCall, IN_DOUBT, inDoubt } from './shared-calls.js'

/** Fields of every operation of a transaction. */
export interface OfTransaction {
  readonly transactionalId: string
}

/** Each transactional id has a connection of its own to each coordinator, so that none waits for another one. */
const connection = ({ transactionalId }: OfTransaction): string => `transaction ${transactionalId}`

/** These calls are not repeated: a late copy would count for the next transaction, so the producer decides. */
const ofTransaction = {
  role: 'member',
  target: { type: 'coordinator', of: 'transaction', groupId: ({ transactionalId }: OfTransaction) => transactionalId },
  connection,
  problemOf: () => undefined,
  unanswered: inDoubt
} as const

const outcomeOf = ({ errorCode }: { readonly errorCode: number }) =>
  errorCode === errorCodes.NONE ? ({ type: 'success' } as const) : groupFailure(errorCode)

/** Codes that say nothing of the partition itself. */
const quietCodes = codesOf('NONE', 'OPERATION_NOT_ATTEMPTED')

function outcomeOfAll({ partitions }: AddPartitionsToTxnResponse | TxnOffsetCommitResponse) {
  const telling = partitions.find(({ errorCode }) => !quietCodes.has(errorCode))
  return outcomeOf(telling ?? { errorCode: errorCodes.NONE })
}

/** A producer id for a transactional id; the epoch fences the former one. */
export const initTransactionalId = describeCall('initTransactionalId', {
  ...ofTransaction,
  send: (client, { transactionalId, transactionTimeoutMs, current }, timeoutMs) =>
    client.initTransactionalId({ transactionalId, transactionTimeoutMs, ...current, timeoutMs }),
  outcomeOf({ errorCode, producerId, producerEpoch }) {
    if (errorCode !== errorCodes.NONE) return groupFailure(errorCode)
    return producerId < 0n ? 'retryLater' : { type: 'success', producerId, producerEpoch }
  }
})

export const addPartitionsToTxn = describeCall('addPartitionsToTxn', {
  ...ofTransaction,
  send: (client, { transactionalId, producer, partitions }, timeoutMs) =>
    client.addPartitionsToTxn({ transactionalId, ...producer, partitions, timeoutMs }),
  outcomeOf: outcomeOfAll
})

export const addOffsetsToTxn = describeCall('addOffsetsToTxn', {
  ...ofTransaction,
  send: (client, { transactionalId, producer, group }, timeoutMs) =>
    client.addOffsetsToTxn({ transactionalId, ...producer, groupId: group, timeoutMs }),
  outcomeOf
})

/** A refusal after an earlier attempt that may have been carried out is answered like a missing answer. */
export const endTxn = describeCall('endTxn', {
  ...ofTransaction,
  initialState: (): ChangeState => ({ isInDoubt: false }),
  send: (client, { transactionalId, producer, isCommit }, timeoutMs) =>
    client.endTxn({ transactionalId, ...producer, isCommit, timeoutMs }),
  outcomeOf({ errorCode }: { readonly errorCode: number }, { state }) {
    const outcome = outcomeOf({ errorCode })
    if (typeof outcome === 'object') return outcome.type === 'failed' && state.isInDoubt ? IN_DOUBT : outcome
    // A coordinator that loses its place may have written the end, and the next one carries it out.
    if (errorCode !== errorCodes.COORDINATOR_LOAD_IN_PROGRESS) state.isInDoubt = true
    return outcome
  }
})

/** Positions of a group that count when the transaction commits. The coordinator of the group gets them. */
export const txnOffsetCommit = describeCall('txnOffsetCommit', {
  ...ofGroup,
  role: 'member',
  connection,
  send: (client, { transactionalId, groupId, producer, member, offsets: partitions }, timeoutMs) =>
    client.txnOffsetCommit({ transactionalId, groupId, ...producer, ...member, partitions, timeoutMs }),
  outcomeOf(response: TxnOffsetCommitResponse) {
    const large = response.partitions.find(({ errorCode }) => errorCode === errorCodes.OFFSET_METADATA_TOO_LARGE)
    return large === undefined ? outcomeOfAll(response) : { type: 'metadataTooLarge', topicPartition: large }
  },
  unanswered: inDoubt
})
