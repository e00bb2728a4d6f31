import { expect } from 'chai'
import { HeldAmount } from '../../src/core/held-amount.js'

describe('a held amount', () => {
  it('is released once, however often its release is called', () => {
    const amount = new HeldAmount('places')
    const [one, other] = [amount.take(2), amount.take(3)]
    one()
    one()
    expect(amount.value).to.equal(3)
    other()
    expect(amount.value).to.equal(0)
  })

  it('is never below zero, and tells of a release of more than is held', () => {
    const told: string[] = []
    const watch = HeldAmount.watch
    HeldAmount.watch = { made: () => undefined, overdrawn: ({ name }) => void told.push(name) }
    try {
      const amount = new HeldAmount('bytes')
      amount.add(5)
      amount.release(5)
      expect(told).to.deep.equal([])
      amount.release(1)
      expect(told).to.deep.equal(['bytes'])
      expect(amount.value).to.equal(0)
    } finally {
      HeldAmount.watch = watch
    }
  })
})
