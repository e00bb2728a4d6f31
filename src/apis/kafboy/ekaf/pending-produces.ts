import type { RecordFailure, RecordOutcome } from '../../../core/model.js'
import type { PendingProduce } from '../../../gateway/gateway.js'

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

/** Puts what is said of the records that were handed on between the refusals. */
function inOrder<Said>(refusals: Refusals, others: readonly Said[]): readonly (Said | RecordFailure | undefined)[] {
  let next = 0
  return refusals.map(refusal => refusal ?? others[next++])
}
