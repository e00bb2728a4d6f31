import type { AddPartitionsToTxnResponse, TxnOffsetCommitResponse } from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import { problemOfGroup } from '../requests/failures.js'
import { describeOperation } from '../requests/operation.js'
import { groupFailure } from './error-actions.js'
import type { ProcessorContext } from './queue-processor.js'
import { SharedCalls } from './shared-calls.js'

/** What each operation of a transaction names. */
export interface OfTransaction {
  readonly transactionalId: string
}

/** Each transactional id has a connection of its own to each coordinator, so that none waits for another one. */
const connection = ({ transactionalId }: OfTransaction): string => `transaction ${transactionalId}`

const ofTransaction = {
  role: 'member',
  target: {
    type: 'coordinator',
    of: 'transaction',
    groupId: ({ transactionalId }: OfTransaction) => transactionalId
  },
  connection,
  problemOf: () => undefined
} as const

/** Not sent again: a late copy would count for the next transaction, so the producer decides. */
const unanswered = () => ({ type: 'timedOut', reason: 'an attempt had no answer' }) as const

const outcomeOf = ({ errorCode }: { readonly errorCode: number }) =>
  errorCode === errorCodes.NONE ? ({ type: 'success' } as const) : groupFailure(errorCode)

/** Codes that say nothing of the partition itself. */
const isQuiet = codesOf('NONE', 'OPERATION_NOT_ATTEMPTED')

function outcomeOfAll({ partitions }: AddPartitionsToTxnResponse | TxnOffsetCommitResponse) {
  const telling = partitions.find(({ errorCode }) => !isQuiet.has(errorCode))
  return outcomeOf(telling ?? { errorCode: errorCodes.NONE })
}

/** A producer id for a transactional id; the epoch fences the former one. */
export const initTransactionalId = describeOperation('initTransactionalId', {
  ...ofTransaction,
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('initTransactionalId', {
      send: (client, { transactionalId, transactionTimeoutMs, current }) =>
        client.initTransactionalId({ transactionalId, transactionTimeoutMs, ...current, timeoutMs: callTimeoutMs }),
      outcomeOf({ errorCode, producerId, producerEpoch }) {
        if (errorCode !== errorCodes.NONE) return groupFailure(errorCode)
        return producerId < 0n ? 'retryLater' : { type: 'success', producerId, producerEpoch }
      },
      unanswered
    })
})

export const addPartitionsToTxn = describeOperation('addPartitionsToTxn', {
  ...ofTransaction,
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('addPartitionsToTxn', {
      send: (client, { transactionalId, producer, partitions }) =>
        client.addPartitionsToTxn({ transactionalId, ...producer, partitions, timeoutMs: callTimeoutMs }),
      outcomeOf: outcomeOfAll,
      unanswered
    })
})

export const addOffsetsToTxn = describeOperation('addOffsetsToTxn', {
  ...ofTransaction,
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('addOffsetsToTxn', {
      send: (client, { transactionalId, producer, group }) =>
        client.addOffsetsToTxn({ transactionalId, ...producer, groupId: group, timeoutMs: callTimeoutMs }),
      outcomeOf,
      unanswered
    })
})

export const endTxn = describeOperation('endTxn', {
  ...ofTransaction,
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('endTxn', {
      send: (client, { transactionalId, producer, isCommit }) =>
        client.endTxn({ transactionalId, ...producer, isCommit, timeoutMs: callTimeoutMs }),
      outcomeOf,
      unanswered
    })
})

/** Positions of a group that count when the transaction commits. The coordinator of the group gets them. */
export const txnOffsetCommit = describeOperation('txnOffsetCommit', {
  role: 'member',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  connection,
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls('txnOffsetCommit', {
      send: (client, { transactionalId, groupId, producer, member, offsets }) =>
        client.txnOffsetCommit({
          transactionalId,
          groupId,
          ...producer,
          ...member,
          partitions: offsets,
          timeoutMs: callTimeoutMs
        }),
      outcomeOf(response: TxnOffsetCommitResponse) {
        const large = response.partitions.find(({ errorCode }) => errorCode === errorCodes.OFFSET_METADATA_TOO_LARGE)
        return large === undefined ? outcomeOfAll(response) : { type: 'metadataTooLarge', topicPartition: large }
      },
      unanswered
    })
})
