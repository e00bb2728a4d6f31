import { expect } from 'chai'
import { StreamTurns, turnLimitsOf } from '../../../src/apis/confluent/v3/stream-turns.js'
import type { TurnTaker } from '../../../src/core/loop-turns.js'
import { turns as ticks } from '../../support/ticks.js'

const MIB = 1024 * 1024
const LIMITS = { costPerTick: 100, costPerTickAlone: 300, costInFlight: 1_000, costInFlightAlone: 2_400 }

describe('confluent: turns of streams', () => {
  let turns: StreamTurns
  /** The stream and the greatest cost of each turn. */
  let taken: [string, number][]
  beforeEach(() => {
    turns = new StreamTurns(LIMITS)
    // More streams than may read more than a hundred per tick.
    for (const other of [1, 2, 3]) turns.setInFlight({ work: () => other }, true)
    taken = []
  })

  /** @param pieces costs of what it reads in its turns */
  const stream = (name: string, ...pieces: number[]): TurnTaker => {
    const taker: TurnTaker = {
      work: maxCost => {
        taken.push([name, maxCost])
        const cost = pieces.shift() ?? 0
        if (pieces.length > 0) turns.ask(taker)
        return cost
      }
    }
    return taker
  }
  const names = (): string => taken.map(([name]) => name).join('')

  it('a stream reads at once when no other waits, as much as a tick has', async () => {
    turns.ask(stream('a', 60, 40, 10))
    expect(taken).to.deep.equal([
      ['a', 100],
      ['a', 40]
    ])
    await ticks(2)
    expect(taken.slice(2)).to.deep.equal([['a', 100]])
  })

  it('few streams read more in a tick than many', () => {
    const few = new StreamTurns(LIMITS)
    few.ask(stream('a', 10))
    few.setInFlight(stream('a'), true)
    few.setInFlight(stream('b'), true)
    few.ask(stream('b', 10))
    expect(taken).to.deep.equal([
      ['a', 300],
      ['b', 140]
    ])
  })

  it('many streams read no more in a tick than others when none has anything in flight', async () => {
    const many = new StreamTurns(LIMITS)
    many.ask(stream('-', 300))
    for (const name of ['a', 'b', 'c']) many.ask(stream(name, 10))
    await ticks(1)
    expect(taken).to.deep.equal([
      ['-', 300],
      ['a', 100],
      ['b', 90],
      ['c', 80]
    ])
  })

  it('streams read one after another, and those that ask again wait for all others', async () => {
    turns.ask(stream('-', 100))
    for (const name of ['a', 'b', 'c']) turns.ask(stream(name, 100, 100))
    expect(names()).to.equal('-')
    await ticks(10)
    expect(names()).to.equal('-abcabc')
  })

  it('a stream that has left has no turn', async () => {
    const [first, second, third] = [stream('a', 100), stream('b', 100), stream('c', 100)]
    for (const one of [first, second, third]) turns.ask(one)
    turns.leave(second)
    await ticks(10)
    expect(names()).to.equal('ac')
  })

  it('a stream that leaves during the turn of another has no turn', () => {
    const other = stream('b', 10)
    turns.ask({
      work: () => {
        turns.ask(other)
        turns.leave(other)
        return 10
      }
    })
    expect(names()).to.equal('')
  })

  it('streams that have something in flight share what may be in flight', () => {
    const [first, second] = [stream('a'), stream('b')]
    // Three others have something in flight.
    expect(turns.shareOf(first)).to.equal(250)
    turns.setInFlight(first, true)
    expect([turns.shareOf(first), turns.shareOf(second)]).to.deep.equal([250, 200])
    turns.setInFlight(second, true)
    expect([turns.shareOf(first), turns.shareOf(second)]).to.deep.equal([200, 200])
    turns.setInFlight(second, false)
    expect(turns.shareOf(first)).to.equal(250)
  })

  it('few streams may have more in flight than many', () => {
    const few = new StreamTurns(LIMITS)
    const streams = [stream('a'), stream('b'), stream('c')]
    const shares = streams.map(one => {
      few.setInFlight(one, true)
      return few.shareOf(one)
    })
    expect(shares).to.deep.equal([2_400, 600, 1_000 / 3])
  })

  it('streams have at most a quarter of the memory for records in flight', () => {
    const [large, small] = [turnLimitsOf(64 * MIB), turnLimitsOf(MIB)]
    expect([large.costInFlight, large.costInFlightAlone]).to.deep.equal([0.75 * MIB, 2 * MIB])
    expect([small.costInFlight, small.costInFlightAlone]).to.deep.equal([0.25 * MIB, 0.25 * MIB])
  })
})
