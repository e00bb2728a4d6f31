import { expect } from 'chai'
import { DurablePendingProduce } from '../../../src/producer/disk/record-outcomes.js'
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

describe('a request whose records are in memory', () => {
  const row = (index: number, count: number) => ({ index, count, partition: 3, offset: 7 + index, timestampMs: 5 })
  const told = (recordCount: number, settle: (request: MemoryPendingProduce) => void): unknown[] => {
    const request = new MemoryPendingProduce(recordCount, 1_000)
    const all: unknown[] = []
    request.subscribe({ delivered: (...one) => void all.push(one) }, 12)
    settle(request)
    return all
  }

  it('notifies its subscriber when all of its records, or its only one, were delivered next to each other', () => {
    for (const count of [1, 2, 100]) {
      expect(told(count, request => request.delivered(row(0, count)))).to.deep.equal([[12, row(0, count)]])
    }
  })

  it('notifies it neither of parts nor of requests of which a record failed', () => {
    const parts = (request: MemoryPendingProduce): void =>
      [row(0, 1), row(1, 2)].forEach(each => request.delivered(each))
    expect(told(3, parts)).to.deep.equal([])
    const mixed = (request: MemoryPendingProduce): void => {
      request.refuse(0, FULL)
      request.delivered(row(1, 1))
    }
    expect(told(2, mixed)).to.deep.equal([])
    expect(told(2, request => request.delivered(row(0, 1)))).to.deep.equal([])
  })
})
