import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { type RestingConnection, RestingConnections } from '../../../src/http/server/idle-connections.js'

describe('connections at rest', () => {
  let clock: SinonFakeTimers
  let isCrowded: boolean
  let resting: RestingConnections
  let woken: number[]

  const connection = (number: number): RestingConnection => ({ wake: () => woken.push(number) })
  const rest = (count: number): RestingConnection[] => {
    const all = Array.from({ length: count }, (_, number) => connection(number))
    for (const one of all) expect(resting.add(one)).to.equal(true)
    return all
  }
  /** Lets the event loop turn until nothing is planned for a next turn. */
  const nextTurn = (): unknown => clock.tick(0)

  beforeEach(() => {
    clock = useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'performance']
    })
    isCrowded = true
    woken = []
    resting = new RestingConnections(
      1_000,
      () => isCrowded,
      () => performance.now()
    )
  })
  afterEach(() => clock.restore())

  it('has none while there is room', () => {
    isCrowded = false
    expect(resting.add(connection(0))).to.equal(false)
    resting.freed()
    expect([resting.size, clock.countTimers()]).to.deep.equal([0, 0])
  })

  it('reads them again when there is room, in the order in which they came', () => {
    rest(3)
    resting.freed()
    nextTurn()
    expect(woken).to.deep.equal([])
    isCrowded = false
    resting.freed()
    nextTurn()
    expect(woken).to.deep.equal([0, 1, 2])
    expect(clock.countTimers()).to.equal(0)
  })

  it('reads some in a turn, and sees what they bring before it reads more', () => {
    rest(100)
    isCrowded = false
    resting.freed()
    clock.next()
    expect(woken).to.have.length(16)
    isCrowded = true
    nextTurn()
    expect(woken).to.have.length(16)
    expect(resting.size).to.equal(84)
  })

  it('plans one turn, however often it is told that some may be read', () => {
    rest(100)
    for (let at = 0; at < 10; at++) resting.freed()
    // The next turn, and the timer that looks for ends of rests.
    expect(clock.countTimers()).to.equal(2)
    nextTurn()
    expect(clock.countTimers()).to.equal(1)
  })

  it('lets none pass those that rest already', () => {
    rest(1)
    isCrowded = false
    expect(resting.add(connection(1))).to.equal(true)
    nextTurn()
    expect(woken).to.deep.equal([0, 1])
  })

  it('reads a connection again after the longest rest, whatever waits', () => {
    rest(1)
    clock.tick(500)
    resting.add(connection(1))
    clock.tick(499)
    expect(woken).to.deep.equal([])
    clock.tick(51)
    expect(woken).to.deep.equal([0])
    clock.tick(500)
    expect(woken).to.deep.equal([0, 1])
    expect(clock.countTimers()).to.equal(0)
  })

  it('reads few in a turn that find no room, so that the process does not do nothing but refuse', () => {
    rest(10)
    clock.tick(1_000)
    for (let before = woken.length; woken.length < 10; before = woken.length) {
      clock.next()
      expect(woken.length - before).to.be.within(1, 4)
    }
    expect(clock.countTimers()).to.equal(0)
  })

  it('does not wake a connection that has ended', () => {
    const [first, second] = rest(2)
    resting.delete(first!)
    resting.delete(first!)
    isCrowded = false
    resting.freed()
    nextTurn()
    expect(woken).to.deep.equal([1])
    resting.delete(second!)
    expect(clock.countTimers()).to.equal(0)
  })

  it('stops its timer when the last one has ended', () => {
    const [only] = rest(1)
    resting.delete(only!)
    nextTurn()
    expect(clock.countTimers()).to.equal(0)
  })

  it('wakes all of them at once when it is asked to', () => {
    rest(40)
    expect(resting.wakeAll()).to.equal(40)
    expect(woken).to.have.length(40)
    nextTurn()
    expect(clock.countTimers()).to.equal(0)
  })
})
