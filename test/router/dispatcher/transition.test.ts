import { expect } from 'chai'
import fc from 'fast-check'
import {
  type ConnectionState,
  connectionTransition,
  initialConnectionState,
  nextInTurn
} from '../../../src/router/dispatcher/transition.js'

const ready = (...indices: number[]): boolean[] => [0, 1, 2].map(index => indices.includes(index))

describe('connection to a broker', () => {
  it('sends at once when it is free', () => {
    const [state, effects] = connectionTransition(initialConnectionState(3), { type: 'queued', ready: ready(1) })
    expect(state).to.deep.equal({ mode: 'busy', processor: 1 })
    expect(effects).to.deep.equal([{ type: 'issue', processor: 1 }])
  })

  it('has one call in flight', () => {
    const busy: ConnectionState = { mode: 'busy', processor: 1 }
    expect(connectionTransition(busy, { type: 'queued', ready: ready(0, 2) })).to.deep.equal([busy, []])
  })

  it('goes on with the NEXT processor in turn, the same one last', () => {
    const busy: ConnectionState = { mode: 'busy', processor: 1 }
    const next = (...indices: number[]) =>
      connectionTransition(busy, { type: 'settled', ready: ready(...indices), throttleMs: 0 })[1]
    expect(next(0, 1, 2)).to.deep.equal([{ type: 'issue', processor: 2 }])
    expect(next(0, 1)).to.deep.equal([{ type: 'issue', processor: 0 }])
    expect(next(1)).to.deep.equal([{ type: 'issue', processor: 1 }])
    expect(next()).to.deep.equal([])
  })

  it('remembers whose turn it was while it is free', () => {
    const [free] = connectionTransition(
      { mode: 'busy', processor: 1 },
      { type: 'settled', ready: ready(), throttleMs: 0 }
    )
    expect(free).to.deep.equal({ mode: 'free', last: 1 })
    expect(connectionTransition(free, { type: 'queued', ready: ready(0, 1) })[1]).to.deep.equal([
      { type: 'issue', processor: 0 }
    ])
  })

  it('pauses as long as the broker asks, whatever is queued', () => {
    const [throttled, effects] = connectionTransition(
      { mode: 'busy', processor: 0 },
      { type: 'settled', ready: ready(1), throttleMs: 40 }
    )
    expect(effects).to.deep.equal([{ type: 'pause', forMs: 40 }])
    expect(connectionTransition(throttled, { type: 'queued', ready: ready(1) })).to.deep.equal([throttled, []])
    expect(connectionTransition(throttled, { type: 'resumed', ready: ready(1) })[1]).to.deep.equal([
      { type: 'issue', processor: 1 }
    ])
  })

  it('ignores news that does not fit its state', () => {
    const free: ConnectionState = { mode: 'free', last: 0 }
    expect(connectionTransition(free, { type: 'settled', ready: ready(1), throttleMs: 0 })).to.deep.equal([free, []])
    expect(connectionTransition(free, { type: 'resumed', ready: ready(1) })).to.deep.equal([free, []])
  })
})

describe('next in turn', () => {
  it('finds one that is ready whenever there is one, and starves none', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 8 }), fc.nat(7), (flags, start) => {
        const current = start % flags.length
        const next = nextInTurn(flags, current)
        expect(next !== undefined).to.equal(flags.includes(true))
        if (next === undefined) return
        expect(flags[next]).to.equal(true)
        const seen = new Set<number>()
        for (let turn = 0, at = current; turn < flags.length; turn++) seen.add((at = nextInTurn(flags, at)!))
        expect(seen.size).to.equal(flags.filter(Boolean).length)
      })
    )
  })
})
