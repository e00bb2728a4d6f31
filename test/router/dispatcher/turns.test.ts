import { expect } from 'chai'
import fc from 'fast-check'
import { nextInTurn } from '../../../src/router/dispatcher/dispatcher.js'

describe('next in turn', () => {
  it('finds one that is ready whenever there is one, and starves none', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }), fc.nat(7), (flags, start) => {
        const current = start % flags.length
        const turns = flags.map(isReady => ({ isEmpty: !isReady }))
        const next = nextInTurn(turns, current)
        expect(next !== undefined).to.equal(flags.includes(true))
        if (next === undefined) return
        expect(flags[next]).to.equal(true)
        const seen = new Set<number>()
        for (let turn = 0, at = current; turn < flags.length; turn++) seen.add((at = nextInTurn(turns, at)!))
        expect(seen.size).to.equal(flags.filter(Boolean).length)
      })
    )
  })
})
