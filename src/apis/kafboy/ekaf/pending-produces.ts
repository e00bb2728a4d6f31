import type { ErrorCode } from '../../../core/errors.js'
import type { RecordFailure, RecordOutcome } from '../../../core/model.js'
import type { PendingProduce } from '../../../gateway/gateway.js'

const failure = (code: ErrorCode, message: string): RecordFailure => ({
  type: 'failed',
  code,
  errorCode: undefined,
  message,
  persisted: 'no',
  retriable: code === 'overloaded'
})

/** Why records are refused before they reach delivery. */
export const ekafFailures = {
  downtimeBufferFull: (topic: string, limit: number) =>
    failure(
      'overloaded',
      `no broker can be reached, and ${limit} records of ${topic} wait already (advanced.apis.kafboy.maxDowntimeRecords)`
    ),
  batchBufferFull: (limit: number) =>
    failure(
      'overloaded',
      `the memory for waiting records of batch routes is full (limit ${limit}; advanced.apis.kafboy.maxBufferBytes)`
    ),
  stopped: () => failure('shuttingDown', 'the process stopped before there was memory for the record'),
  tooManyWaiting: () => failure('overloaded', 'too many records wait until the partitions of their topics are known'),
  notPicked: (topic: string) => failure('unknownPartition', `the hook pickPartition has refused a record of ${topic}`)
} as const

type Refusals = readonly (RecordFailure | undefined)[]

/** The pending produce of records of which none was handed on. */
export function refusedPending(recordCount: number, failure: RecordFailure): PendingProduce {
  const refused = new Array<RecordFailure>(recordCount).fill(failure)
  return { refused, accepted: async () => refused, outcomes: async () => refused }
}

/**
 * The pending produce of records of which some were refused before the others were handed on.
 *
 * @param refusals one entry per record, `undefined` for those of `pendingProduce`, in their order
 */
export const mergedPending = (refusals: Refusals, pendingProduce: PendingProduce): PendingProduce => ({
  refused: inOrder(refusals, pendingProduce.refused ?? []),
  isWaiting: pendingProduce.isWaiting === true,
  accepted: async () => inOrder(refusals, (await pendingProduce.accepted()) ?? []),
  outcomes: async () => inOrder(refusals, await pendingProduce.outcomes()) as readonly RecordOutcome[]
})

/** Merges the results of the records that were handed on with the refusals, in the order of the records. */
function inOrder<Said>(refusals: Refusals, others: readonly Said[]): readonly (Said | RecordFailure | undefined)[] {
  let next = 0
  return refusals.map(refusal => refusal ?? others[next++])
}
