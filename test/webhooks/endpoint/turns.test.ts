import { expect } from 'chai'
import { Places } from '../../../src/core/places.js'
import { AttemptTime } from '../../../src/webhooks/endpoint/attempt-time.js'
import { HandshakePace } from '../../../src/webhooks/endpoint/handshake-pace.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'

const never = new AbortController().signal

describe('turns of endpoints', () => {
  let fake: FakeTime

  beforeEach(() => (fake = new FakeTime()))
  afterEach(() => fake.restore())

  it('begin fifty handshakes at once, and fifty in each second after that', async () => {
    const pace = new HandshakePace(fake.now)
    let begun = 0
    const all = Array.from({ length: 120 }, () => pace.turn('one', never).then(() => begun++))
    await turns(3)
    expect(begun).to.equal(50)
    await fake.pass(1_000)
    expect(begun).to.equal(100)
    await fake.pass(1_000)
    await Promise.all(all)
    expect(fake.timers).to.equal(0)
  })

  it('begin handshakes of one webhook after another', async () => {
    const pace = new HandshakePace(fake.now)
    const begun: string[] = []
    const ask = (owner: string): void => void pace.turn(owner, never).then(() => begun.push(owner))
    for (let at = 0; at < 150; at++) ask('many')
    ask('one')
    ask('two')
    ask('one')
    await fake.pass(100)
    expect(begun.slice(50)).to.deep.equal(['many', 'one', 'two', 'many', 'one'])
    await fake.pass(3_000)
    expect(begun).to.have.lengthOf(153)
  })

  it('of handshakes are not held for those who have left', async () => {
    const pace = new HandshakePace(fake.now)
    const leaves = new AbortController()
    for (let at = 0; at < 50; at++) await pace.turn('one', never)
    const left = pace.turn('left', leaves.signal).catch(reason => reason)
    leaves.abort('gone')
    expect(await left).to.equal('gone')
    let begun = false
    const next = pace.turn('one', never).then(() => (begun = true))
    await fake.pass(25)
    expect(begun).to.equal(true)
    await next
    await fake.pass(50)
    expect(fake.timers).to.equal(0)
  })

  it('end for an attempt whose time is over', async () => {
    const late = { kind: 'late', message: 'no answer within 1000 ms' }
    const time = new AttemptTime(1_000, fake.now, [])
    time.run()
    const turn = new Places(() => 0, 'places').take({ signal: time.signal }).catch(error => error)
    let calls = 0
    time.whenOver(() => calls--)
    time.whenOver(() => calls++)
    await fake.pass(990)
    expect([time.isOver, time.signal.aborted, calls]).to.deep.equal([false, false, 0])
    await fake.pass(20)
    expect(await turn).to.deep.include(late)
    expect([time.isOver, time.signal.reason, calls]).to.deep.equal([true, await turn, 1])
    expect(() => time.throwIfOver()).to.throw(late.message)
    time.end()
  })

  it('take nothing of the time of an attempt, which runs for what is the endpoint’s alone', async () => {
    const time = new AttemptTime(1_000, fake.now, [])
    await fake.pass(5_000)
    time.run()
    await fake.pass(600)
    for (const _ of [1, 2, 3]) {
      let come: () => void = () => undefined
      const waited = time.ours(new Promise<void>(resolve => (come = resolve)))
      await fake.pass(5_000)
      come()
      await waited
      await fake.pass(100)
    }
    expect(time.isOver).to.equal(false)
    await fake.pass(100)
    expect(time.signal.reason).to.deep.include({ kind: 'late' })
    time.end()
    expect(fake.timers).to.equal(0)
  })

  it('end for an attempt that is ended', async () => {
    const leaves = new AbortController()
    const time = new AttemptTime(1_000, fake.now, [undefined, leaves.signal])
    time.throwIfOver()
    leaves.abort()
    let calls = 0
    time.whenOver(() => calls++)
    expect(time.signal.reason).to.deep.include({ kind: 'cut', message: 'the attempt was ended' })
    await fake.pass(1_100)
    expect([time.signal.reason.kind, calls]).to.deep.equal(['cut', 1])
    time.end()
    expect(fake.timers).to.equal(0)
  })
})
