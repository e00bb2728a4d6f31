import type { AddPartitionsToTxnResponse, BrokerClient, TxnOffsetCommitResponse } from '../../kafka/broker-client.js'
import { codesOf, errorCodes } from '../../kafka/error-codes.js'
import type { AskedKind } from '../messages/operations.js'
import { problemOfGroup } from '../requests/failures.js'
import { type ChangeState, describeOperation, type RequestFor } from '../requests/operation.js'
import { groupFailure } from './error-actions.js'
import type { ProcessorContext } from './queue-processor.js'
import { type SharedCall, SharedCalls } from './shared-calls.js'

/** What each operation of a transaction names. */
export interface OfTransaction {
  readonly transactionalId: string
}

/** Each transactional id has a connection of its own to each coordinator, so that none waits for another one. */
const connection = ({ transactionalId }: OfTransaction): string => `transaction ${transactionalId}`

const ofTransaction = {
  role: 'member',
  target: { type: 'coordinator', of: 'transaction', groupId: ({ transactionalId }: OfTransaction) => transactionalId },
  connection,
  problemOf: () => undefined
} as const

/** Not sent again: a late copy would count for the next transaction, so the producer decides. */
const unanswered = () => ({ type: 'timedOut', reason: 'an attempt had no answer' }) as const

const outcomeOf = ({ errorCode }: { readonly errorCode: number }) =>
  errorCode === errorCodes.NONE ? ({ type: 'success' } as const) : groupFailure(errorCode)

/** Makes a processor that sends each request by itself. */
const sending =
  <Kind extends AskedKind, Response>(
    kind: Kind,
    send: (client: BrokerClient, request: RequestFor<Kind>, timeoutMs: number) => Promise<Response>,
    answers: Pick<SharedCall<Kind, Response>, 'outcomeOf' | 'unanswered'>
  ) =>
  ({ callTimeoutMs }: ProcessorContext) =>
    new SharedCalls(kind, { ...answers, send: (client, request) => send(client, request, callTimeoutMs) })

/** Codes that say nothing of the partition itself. */
const isQuiet = codesOf('NONE', 'OPERATION_NOT_ATTEMPTED')

function outcomeOfAll({ partitions }: AddPartitionsToTxnResponse | TxnOffsetCommitResponse) {
  const telling = partitions.find(({ errorCode }) => !isQuiet.has(errorCode))
  return outcomeOf(telling ?? { errorCode: errorCodes.NONE })
}

/** A producer id for a transactional id; the epoch fences the former one. */
export const initTransactionalId = {
  ...describeOperation('initTransactionalId', ofTransaction),
  createProcessor: sending(
    'initTransactionalId',
    (client, { transactionalId, transactionTimeoutMs, current }, timeoutMs) =>
      client.initTransactionalId({ transactionalId, transactionTimeoutMs, ...current, timeoutMs }),
    {
      outcomeOf({ errorCode, producerId, producerEpoch }) {
        if (errorCode !== errorCodes.NONE) return groupFailure(errorCode)
        return producerId < 0n ? 'retryLater' : { type: 'success', producerId, producerEpoch }
      },
      unanswered
    }
  )
}

export const addPartitionsToTxn = {
  ...describeOperation('addPartitionsToTxn', ofTransaction),
  createProcessor: sending(
    'addPartitionsToTxn',
    (client, { transactionalId, producer, partitions }, timeoutMs) =>
      client.addPartitionsToTxn({ transactionalId, ...producer, partitions, timeoutMs }),
    { outcomeOf: outcomeOfAll, unanswered }
  )
}

export const addOffsetsToTxn = {
  ...describeOperation('addOffsetsToTxn', ofTransaction),
  createProcessor: sending(
    'addOffsetsToTxn',
    (client, { transactionalId, producer, group }, timeoutMs) =>
      client.addOffsetsToTxn({ transactionalId, ...producer, groupId: group, timeoutMs }),
    { outcomeOf, unanswered }
  )
}

/** Where it is refused, but an earlier attempt may have been carried out, it is answered as one without an answer. */
export const endTxn = {
  ...describeOperation('endTxn', { ...ofTransaction, initialState: (): ChangeState => ({ isInDoubt: false }) }),
  createProcessor: sending(
    'endTxn',
    (client, { transactionalId, producer, isCommit }, timeoutMs) =>
      client.endTxn({ transactionalId, ...producer, isCommit, timeoutMs }),
    {
      outcomeOf({ errorCode }: { readonly errorCode: number }, { state }) {
        const outcome = outcomeOf({ errorCode })
        if (typeof outcome === 'object') return outcome.type === 'failed' && state.isInDoubt ? unanswered() : outcome
        // A coordinator that loses its place may have written the end, and the next one carries it out.
        if (errorCode !== errorCodes.COORDINATOR_LOAD_IN_PROGRESS) state.isInDoubt = true
        return outcome
      },
      unanswered
    }
  )
}

/** Positions of a group that count when the transaction commits. The coordinator of the group gets them. */
export const txnOffsetCommit = describeOperation('txnOffsetCommit', {
  role: 'member',
  target: { type: 'coordinator', groupId: ({ groupId }) => groupId },
  connection,
  problemOf: ({ groupId }) => problemOfGroup(groupId),
  createProcessor: sending(
    'txnOffsetCommit',
    (client, { transactionalId, groupId, producer, member, offsets: partitions }, timeoutMs) =>
      client.txnOffsetCommit({ transactionalId, groupId, ...producer, ...member, partitions, timeoutMs }),
    {
      outcomeOf(response: TxnOffsetCommitResponse) {
        const large = response.partitions.find(({ errorCode }) => errorCode === errorCodes.OFFSET_METADATA_TOO_LARGE)
        return large === undefined ? outcomeOfAll(response) : { type: 'metadataTooLarge', topicPartition: large }
      },
      unanswered
    }
  )
})
