import { expect } from 'chai'
import { bound } from '../../src/core/bound.js'

class Counter {
  #count = 0

  get count(): number {
    return this.#count
  }

  add(): number {
    return ++this.#count
  }
}

describe('a bound object', () => {
  it('has methods that can be taken from it, and copied', () => {
    const counter = bound(new Counter())
    const { add } = counter
    expect([add(), ({ ...counter } as Counter).add(), counter.add()]).to.deep.equal([1, 2, 3])
    expect(counter.count).to.equal(3)
    expect(counter).to.be.instanceOf(Counter)
  })
})
