import { expect } from 'chai'
import { advanced, newNumbering, raised } from '../../../src/producer/memory/numbering.js'

describe('numbering of batches', () => {
  it('goes on after the records of a batch', () => {
    expect(advanced({ producerId: 7n, epoch: 2, nextSequence: 10 }, 5)).to.deep.equal({
      producerId: 7n,
      epoch: 2,
      nextSequence: 15
    })
  })

  it('has 0 after 2147483647, counting the records of the batch', () => {
    expect(advanced({ producerId: 7n, epoch: 0, nextSequence: 2147483647 }, 1).nextSequence).to.equal(0)
    expect(advanced({ producerId: 7n, epoch: 0, nextSequence: 2147483640 }, 10).nextSequence).to.equal(2)
  })

  it('starts at sequence 0 in the next epoch, as long as there is one', () => {
    expect(raised({ producerId: 7n, epoch: 2, nextSequence: 10 })).to.deep.equal(newNumbering(7n, 3))
    expect(raised({ producerId: 7n, epoch: 32766, nextSequence: 10 })?.epoch).to.equal(32767)
    expect(raised({ producerId: 7n, epoch: 32767, nextSequence: 10 })).to.equal(undefined)
  })
})
