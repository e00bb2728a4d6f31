import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { LoopTicks, RequestTicks } from '../../../src/http/server/request-ticks.js'

describe('http: turns of pipelined requests', () => {
  let clock: SinonFakeTimers
  let turns: RequestTicks
  let handled: number[]
  beforeEach(() => {
    clock = useFakeTimers({ toFake: ['setImmediate', 'clearImmediate', 'performance'] })
    turns = new RequestTicks(new LoopTicks())
    handled = []
  })
  afterEach(() => clock.restore())

  /** A request comes: it is handled at once, or in a later turn. */
  const come = (nth: number, handle: () => void = () => handled.push(nth)): void => {
    if (turns.mayHandle()) handle()
    else turns.defer(handle)
  }
  /** What was scheduled until now happens, and not what it schedules itself. */
  const nextTurn = (): void => void clock.next()
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1)

  it('handle eight of one connection at once, and eight more with each turn, in their order', () => {
    for (const nth of upTo(25)) come(nth)
    expect(handled).to.deep.equal(upTo(8))
    nextTurn()
    nextTurn()
    expect(handled).to.deep.equal(upTo(16))
    clock.runAll()
    expect(handled).to.deep.equal(upTo(25))
  })

  it('handle eight more that come in another turn', () => {
    for (const nth of upTo(8)) come(nth)
    clock.runAll()
    for (const nth of upTo(8)) come(nth + 8)
    expect(handled).to.deep.equal(upTo(16))
    come(17)
    expect(handled).to.have.length(16)
  })

  it('let none pass those that wait, in no turn', () => {
    for (const nth of upTo(17)) come(nth)
    nextTurn()
    nextTurn()
    come(18)
    expect(handled).to.deep.equal(upTo(16))
    clock.runAll()
    expect(handled).to.deep.equal(upTo(18))
  })

  it('handle no further one in a turn that has taken long', () => {
    for (const nth of upTo(8)) come(nth)
    for (const nth of [9, 10, 11]) {
      come(nth, () => {
        handled.push(nth)
        clock.tick(1)
      })
    }
    nextTurn()
    nextTurn()
    expect(handled).to.deep.equal(upTo(10))
    clock.runAll()
    expect(handled).to.deep.equal(upTo(11))
  })

  it('leave the others to the next turn behind one that says so', () => {
    for (const nth of upTo(8)) come(nth)
    for (const nth of [9, 10, 11]) {
      turns.defer(() => {
        handled.push(nth)
        return nth !== 10
      })
    }
    nextTurn()
    nextTurn()
    expect(handled).to.deep.equal(upTo(10))
    nextTurn()
    expect(handled).to.deep.equal(upTo(11))
  })

  it('go on behind one that failed', () => {
    for (const nth of upTo(8)) come(nth)
    come(9, () => {
      throw new Error('a bug')
    })
    come(10)
    expect(() => clock.runAll()).to.throw('a bug')
    clock.runAll()
    expect(handled).to.deep.equal([...upTo(8), 10])
  })

  it('schedule nothing while nothing waits', () => {
    for (const nth of upTo(12)) come(nth)
    clock.runAll()
    expect(clock.countTimers()).to.equal(0)
  })

  it('are counted by connection', () => {
    const shared = new LoopTicks()
    const [one, other] = [new RequestTicks(shared), new RequestTicks(shared)]
    expect(upTo(9).map(() => one.mayHandle())).to.deep.equal([...upTo(8).map(() => true), false])
    expect(other.mayHandle()).to.equal(true)
  })
})
