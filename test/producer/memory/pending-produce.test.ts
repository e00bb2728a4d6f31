import { expect } from 'chai'
import { DurablePendingProduce } from '../../../src/producer/disk/durable-pending-produce.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'

const FULL = failures.logUnavailable('full', 'no')
const LATE = failures.stillPending('late')

const pendingProduces = {
  'in memory': () => {
    const pendingProduce = new MemoryPendingProduce(2, 1_000)
    pendingProduce.wait()
    return { pendingProduce, accept: () => pendingProduce.waited() }
  },
  'on disk': () => {
    const pendingProduce = new DurablePendingProduce(2, 1_000)
    return { pendingProduce, accept: () => pendingProduce.stored() }
  }
}

for (const [where, make] of Object.entries(pendingProduces)) {
  describe(`a ticket of records ${where}`, () => {
    it('tells everybody who asks which records were refused, before and after the others were accepted', async () => {
      const { pendingProduce, accept } = make()
      const asked = [pendingProduce.accepted(), pendingProduce.accepted()]
      pendingProduce.refuse(1, FULL)
      accept()
      for (const refusals of await Promise.all([...asked, pendingProduce.accepted()])) {
        expect(refusals).to.deep.equal([undefined, FULL])
      }
    })

    it('keeps the first outcome of each record, and tells everybody who asks when all are there', async () => {
      const { pendingProduce } = make()
      const asked = [pendingProduce.outcomes(), pendingProduce.outcomes()]
      pendingProduce.settle(0, LATE)
      expect(pendingProduce.isComplete).to.equal(false)
      pendingProduce.refuse(1, FULL)
      pendingProduce.settle(1, LATE)
      for (const outcomes of await Promise.all([...asked, pendingProduce.outcomes()])) {
        expect(outcomes).to.deep.equal([LATE, FULL])
      }
    })
  })
}
