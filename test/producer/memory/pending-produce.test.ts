import { expect } from 'chai'
import { DurableTicket } from '../../../src/producer/disk/durable-pending-produce.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { MemoryTicket } from '../../../src/producer/memory/pending-produce.js'

const FULL = failures.logUnavailable('full', 'no')
const LATE = failures.stillPending('late')

const tickets = {
  'in memory': () => {
    const ticket = new MemoryTicket(2, 1_000)
    ticket.wait()
    return { ticket, accept: () => ticket.waited() }
  },
  'on disk': () => {
    const ticket = new DurableTicket(2, 1_000)
    return { ticket, accept: () => ticket.stored() }
  }
}

for (const [where, make] of Object.entries(tickets)) {
  describe(`a ticket of records ${where}`, () => {
    it('tells everybody who asks which records were refused, before and after the others were accepted', async () => {
      const { ticket, accept } = make()
      const asked = [ticket.accepted(), ticket.accepted()]
      ticket.refuse(1, FULL)
      accept()
      for (const refusals of await Promise.all([...asked, ticket.accepted()])) {
        expect(refusals).to.deep.equal([undefined, FULL])
      }
    })

    it('keeps the first outcome of each record, and tells everybody who asks when all are there', async () => {
      const { ticket } = make()
      const asked = [ticket.outcomes(), ticket.outcomes()]
      ticket.settle(0, LATE)
      expect(ticket.isComplete).to.equal(false)
      ticket.refuse(1, FULL)
      ticket.settle(1, LATE)
      for (const outcomes of await Promise.all([...asked, ticket.outcomes()])) {
        expect(outcomes).to.deep.equal([LATE, FULL])
      }
    })
  })
}
