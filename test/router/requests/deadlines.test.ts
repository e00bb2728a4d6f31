import { expect } from 'chai'
import fc from 'fast-check'
import sinon from 'sinon'
import { Alarm, Deadlines } from '../../../src/router/requests/deadlines.js'

describe('deadlines', () => {
  let clock: sinon.SinonFakeTimers
  let deadlines: Deadlines
  beforeEach(() => {
    clock = sinon.useFakeTimers()
    deadlines = new Deadlines(() => clock.now)
  })
  afterEach(() => {
    deadlines.stop()
    clock.restore()
  })

  it('calls each once, not before its time and at most a slot after', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 50 }), delays => {
        const start = clock.now
        const fired: [number, number][] = []
        for (const delay of delays) {
          deadlines.add(new Alarm(start + delay, () => fired.push([delay, clock.now - start])))
        }
        clock.tick(520)
        expect(fired).to.have.length(delays.length)
        for (const [due, at] of fired) expect(at).to.be.within(due, due + 11)
        expect(deadlines.size).to.equal(0)
      }),
      { numRuns: 100 }
    )
  })

  it('keeps one timer, and none when nothing waits', () => {
    const alarms = Array.from({ length: 1_000 }, (_, at) => new Alarm(1_000 + at, () => {}))
    for (const alarm of alarms) deadlines.add(alarm)
    expect(clock.countTimers()).to.equal(1)
    for (const alarm of alarms) deadlines.remove(alarm)
    clock.tick(1_100)
    expect(clock.countTimers()).to.equal(0)
  })

  it('does not call what was removed, also from within a call', () => {
    const calls: string[] = []
    const second = new Alarm(100, () => calls.push('second'))
    const first = new Alarm(100, () => {
      calls.push('first')
      deadlines.remove(second)
    })
    deadlines.add(first)
    deadlines.add(second)
    clock.tick(200)
    expect(calls).to.deep.equal(['first'])
  })

  it('calls what is added from within a call for a slot whose items were called before', async () => {
    const called: string[] = []
    const add = (name: string, deadlineAt: number, then: () => void = () => {}): void =>
      deadlines.add(
        new Alarm(deadlineAt, () => {
          called.push(name)
          then()
        })
      )
    add('c', 30, () => add('d', 20))
    add('a', 20)
    // The timer is late, so both slots are over.
    clock.jump(35)
    await clock.tickAsync(20)
    expect(called).to.deep.equal(['a', 'c', 'd'])
    expect(deadlines.size).to.equal(0)
  })

  it('calls what is due in the same 10 ms in the order it was added, whatever was removed between', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.boolean()), { maxLength: 40 }), items => {
        const called: number[] = []
        const start = clock.now
        const alarms = items.map(([delay], at) => new Alarm(start + delay, () => called.push(at)))
        for (const alarm of alarms) deadlines.add(alarm)
        items.forEach(([, isRemoved], at) => {
          if (isRemoved) deadlines.remove(alarms[at]!)
        })
        clock.tick(50)
        const slotOf = (at: number): number => Math.ceil((start + items[at]![0]) / 10)
        const expected = items.flatMap(([, isRemoved], at) => (isRemoved ? [] : [at]))
        expected.sort((a, b) => slotOf(a) - slotOf(b) || a - b)
        expect(called).to.deep.equal(expected)
      })
    )
  })

  it('wakes earlier when something earlier is added', () => {
    const calls: number[] = []
    deadlines.add(new Alarm(1_000, () => calls.push(1_000)))
    deadlines.add(new Alarm(50, () => calls.push(50)))
    clock.tick(60)
    expect(calls).to.deep.equal([50])
  })

  it('does not spin for what is due later than a timer can wait', () => {
    for (const at of [2 ** 31, Number.MAX_SAFE_INTEGER, Infinity]) deadlines.add(new Alarm(at, () => {}))
    // A timer that is asked to wait longer than it can fires at once.
    expect(clock.next()).to.be.above(2 ** 30)
    clock.tick(2 ** 31)
    expect(deadlines.size).to.equal(2)
  })

  it('wait for answers that have come while the process stood still, however late they are', () => {
    const calls: string[] = []
    let stoodStillMs = 0
    deadlines = new Deadlines(() => clock.now + stoodStillMs)
    const answered = new Alarm(100, () => calls.push('answered'))
    deadlines.add(answered)
    deadlines.add(new Alarm(100, () => calls.push('unanswered')))
    deadlines.add(new Alarm(70_000, () => calls.push('later')))
    // Sockets are read after timers, and an answer passes the actor of a dispatcher.
    setTimeout(() => setImmediate(() => setImmediate(() => deadlines.remove(answered))), 100)
    stoodStillMs = 60_000
    clock.tick(110)
    expect(calls).to.deep.equal(['unanswered'])
    clock.tick(10_000)
    expect(calls).to.deep.equal(['unanswered', 'later'])
  })

  it('call nothing after they were stopped, also where they have just waited for answers', () => {
    let stoodStillMs = 0
    deadlines = new Deadlines(() => clock.now + stoodStillMs)
    const calls: number[] = []
    deadlines.add(new Alarm(100, () => calls.push(100)))
    setTimeout(() => setImmediate(() => deadlines.stop()), 100)
    stoodStillMs = 60_000
    clock.tick(1_000)
    expect([calls, clock.countTimers()]).to.deep.equal([[], 0])
  })

  it('lists everything that waits', () => {
    const alarms = [10, 20, 20].map(at => new Alarm(at, () => {}))
    for (const alarm of alarms) deadlines.add(alarm)
    deadlines.add(alarms[0]!)
    expect(deadlines.all()).to.have.members(alarms)
    expect(deadlines.size).to.equal(3)
  })
})
