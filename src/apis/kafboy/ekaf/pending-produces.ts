import type { RecordFailure, RecordOutcome } from '../../../core/model.js'
import type { ProduceTicket } from '../../../gateway/gateway.js'

type Refusals = readonly (RecordFailure | undefined)[]

/** The ticket of records of which none was handed on. */
export function refusedTicket(recordCount: number, failure: RecordFailure): ProduceTicket {
  const refused = new Array<RecordFailure>(recordCount).fill(failure)
  return { refused, accepted: async () => refused, outcomes: async () => refused }
}

/**
 * The ticket of records of which some were refused before the others were handed on.
 *
 * @param refusals one entry per record, `undefined` for those of `ticket`, in their order
 */
export const mergedTicket = (refusals: Refusals, ticket: ProduceTicket): ProduceTicket => ({
  refused: inOrder(refusals, ticket.refused ?? []),
  isWaiting: ticket.isWaiting === true,
  accepted: async () => inOrder(refusals, (await ticket.accepted()) ?? []),
  outcomes: async () => inOrder(refusals, await ticket.outcomes()) as readonly RecordOutcome[]
})

/** Puts what is said of the records that were handed on between the refusals. */
function inOrder<Said>(refusals: Refusals, others: readonly Said[]): readonly (Said | RecordFailure | undefined)[] {
  let next = 0
  return refusals.map(refusal => refusal ?? others[next++])
}
