import { expect } from 'chai'
import { mergedTicket, refusedTicket } from '../../../../src/apis/kafboy/ekaf/pending-produces.js'
import type { RecordFailure, RecordOutcome } from '../../../../src/core/model.js'
import type { ProduceTicket } from '../../../../src/gateway/gateway.js'

const failure = (message: string): RecordFailure => ({ type: 'failed', message }) as RecordFailure
const delivered = (offset: number): RecordOutcome => ({ type: 'delivered', offset }) as RecordOutcome

describe('kafboy: tickets of records that were not all handed on', () => {
  const full = failure('full')
  const late = failure('late')
  const ticketOf = (more: Partial<ProduceTicket> = {}): ProduceTicket => ({
    refused: undefined,
    accepted: async () => undefined,
    outcomes: async () => [delivered(1), delivered(2)],
    ...more
  })

  it('say the same of each record when none was', async () => {
    const ticket = refusedTicket(3, full)
    const three = [full, full, full]
    expect([ticket.refused, await ticket.accepted(), await ticket.outcomes()]).to.deep.equal([three, three, three])
    expect(refusedTicket(0, full).refused).to.deep.equal([])
  })

  it('put what became of the others between those that were refused', async () => {
    const ticket = mergedTicket([undefined, full, undefined, full], ticketOf())
    expect(ticket.refused).to.deep.equal([undefined, full, undefined, full])
    expect(await ticket.accepted()).to.deep.equal([undefined, full, undefined, full])
    expect(await ticket.outcomes()).to.deep.equal([delivered(1), full, delivered(2), full])
  })

  it('tell of those that are refused at once or late', async () => {
    const ticket = mergedTicket(
      [full, undefined, undefined],
      ticketOf({ refused: [undefined, late], accepted: async () => [late, undefined] })
    )
    expect(ticket.refused).to.deep.equal([full, undefined, late])
    expect(await ticket.accepted()).to.deep.equal([full, late, undefined])
  })

  it('wait for room when the others do', () => {
    expect(mergedTicket([], ticketOf()).isWaiting).to.equal(false)
    expect(mergedTicket([], ticketOf({ isWaiting: false })).isWaiting).to.equal(false)
    expect(mergedTicket([], ticketOf({ isWaiting: true })).isWaiting).to.equal(true)
  })
})
