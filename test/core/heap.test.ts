import { expect } from 'chai'
import fc from 'fast-check'
import { Heap } from '../../src/core/heap.js'

interface Numbered {
  value: number
  heapAt: number
}

const numbered = (value: number): Numbered => ({ value, heapAt: -1 })

describe('a heap', () => {
  it('has the least item first, whatever joins, leaves and moves', () => {
    const step = fc.record({
      kind: fc.constantFrom('add', 'remove', 'moved', 'first'),
      value: fc.nat(50),
      at: fc.nat()
    })
    const property = fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const heap = new Heap<Numbered>((one, other) => one.value < other.value)
      const all: Numbered[] = []
      for (const { kind, value, at } of steps) {
        const one = all[at % Math.max(1, all.length)]
        if (kind === 'add') {
          all.push(numbered(value))
          heap.add(all.at(-1)!)
        } else if (one !== undefined && kind === 'moved') {
          one.value = value
          heap.moved(one)
        } else if (one !== undefined) {
          const gone = kind === 'first' ? heap.first! : one
          heap.remove(gone)
          all.splice(all.indexOf(gone), 1)
          expect(gone.heapAt).to.equal(-1)
        }
        expect(heap.size).to.equal(all.length)
        expect(heap.first?.value).to.equal(all.length === 0 ? undefined : Math.min(...all.map(item => item.value)))
      }
    })
    fc.assert(property)
  })

  for (const n of [10, 1_000, 10_000])
    it(`compares about log2 n of ${n} items where the first one leaves and another one joins`, () => {
      let compared = 0
      const heap = new Heap<Numbered>((one, other) => ++compared > 0 && one.value < other.value)
      for (let at = 0; at < n; at++) heap.add(numbered((at * 7_919) % n))
      compared = 0
      for (let at = 0; at < n; at++) {
        heap.remove(heap.first!)
        heap.add(numbered(n + at))
      }
      expect(compared / n).to.be.at.most(4 + Math.log2(n))
    })
})
