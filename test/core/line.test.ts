import { expect } from 'chai'
import { Line } from '../../src/core/line.js'
import { grownOldBytes } from '../support/old-generation.js'

describe('a line of what is open for a short time', () => {
  it('lists its items in order, and each leaves once, wherever it stands', () => {
    const line = new Line<string>()
    const [first, second, third] = ['first', 'second', 'third'].map(one => line.add(one))
    expect(line.all).to.deep.equal(['first', 'second', 'third'])
    second!.leave()
    second!.leave()
    expect(line.all).to.deep.equal(['first', 'third'])
    first!.leave()
    line.put(second!)
    expect([line.first, line.firstPlace, line.all]).to.deep.equal(['third', third, ['third', 'second']])
    third!.leave()
    second!.leave()
    expect([line.first, line.firstPlace, line.all]).to.deep.equal([undefined, undefined, []])
  })

  it('lists those of that time, while some leave and others come', () => {
    const line = new Line<number>()
    const places = [0, 1, 2].map(one => line.add(one))
    const seen = line.all.map(one => {
      places[one]!.leave()
      line.add(one + 3)
      return one
    })
    expect([seen, line.all]).to.deep.equal([
      [0, 1, 2],
      [3, 4, 5]
    ])
  })

  it('is freed without a collection of the whole heap, which a Set does not allow', () => {
    const line = new Line<{ readonly bytes: readonly number[] }>()
    const open = [0, 1, 2, 3].map(() => line.add({ bytes: [] }))
    const grown = grownOldBytes(() => {
      for (let at = 0; at < 20_000; at++) {
        open.push(line.add({ bytes: new Array<number>(128).fill(at) }))
        open.shift()!.leave()
      }
    })
    expect(grown).to.be.below(1_000_000)
  })
})
