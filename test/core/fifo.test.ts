import { expect } from 'chai'
import { Fifo } from '../../src/core/fifo.js'

describe('a first-in, first-out queue that keeps its memory', () => {
  it('is as a list is, whatever is done with it', () => {
    const queue = new Fifo<number>()
    let list: number[] = []
    let seed = 1
    const random = (below: number) => (seed = (seed * 16_807) % 2_147_483_647) % below
    for (let step = 0; step < 5_000; step++) {
      const numbers = Array.from({ length: random(40) }, (_, at) => step * 100 + at)
      const action = random(100)
      if (action < 40) for (const number of numbers) expect(queue.push(number)).to.equal(list.push(number))
      else if (action < 50) {
        queue.putBack(numbers)
        list = [...numbers, ...list]
      } else if (action < 98)
        for (const _ of numbers) {
          expect(queue.shift()).to.equal(list.shift())
        }
      else expect(queue.takeAll()).to.deep.equal(list.splice(0))
      expect([queue.size, queue.first]).to.deep.equal([list.length, list[0]])
    }
    expect(queue.takeAll()).to.deep.equal(list)
  })
})
