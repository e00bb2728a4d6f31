import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { World } from './world.js'

describe('simulation: one clock for all', () => {
  let world: World
  let realNow: number
  beforeEach(() => {
    realNow = Date.now()
    world = new World({ seed: 1 })
  })
  afterEach(() => world.close())

  it('tells the time and fires timers as it is told to go on, whatever the real time is', async () => {
    const fired: string[] = []
    setTimeout(() => fired.push('100 ms'), 100)
    const everyMinute = setInterval(() => fired.push('a minute'), 60_000)
    const never = setTimeout(() => fired.push('never'), 50)
    clearTimeout(never)
    const before = Date.now()
    await world.pass(150_000)
    clearInterval(everyMinute)
    await world.pass(150_000)
    expect(fired).to.deep.equal(['100 ms', 'a minute', 'a minute'])
    expect(performance.now()).to.be.within(300_000, 300_001)
    expect(Date.now() - before).to.be.within(300_000, 300_001)
  })

  it('lets those who sleep by a promise wake at their time, and not at the real one', async () => {
    const slept = sleep(60_000, 'rested').then(value => [value, performance.now()] as const)
    await world.pass(120_000)
    const [value, wokenAt] = await slept
    expect(value).to.equal('rested')
    expect(wokenAt).to.be.within(60_000, 60_001)
  })

  it('runs promises and ticks before the next turn', async () => {
    const order: string[] = []
    setTimeout(() => {
      order.push('timer')
      process.nextTick(() => order.push('tick'))
      void Promise.resolve().then(() => order.push('promise'))
      setImmediate(() => order.push('immediate'))
    }, 1)
    setTimeout(() => order.push('next timer'), 2)
    await world.pass(10)
    expect(order).to.deep.equal(['timer', 'tick', 'promise', 'immediate', 'next timer'])
  })

  it('a host that stands still does nothing, and afterwards everything that was due, in order', async () => {
    const host = world.host('busy')
    const done: string[] = []
    world.on(host, () => {
      setTimeout(() => done.push('first'), 10)
      setTimeout(() => done.push('second'), 20)
    })
    world.time.pause(host)
    await world.pass(1_000)
    expect(done).to.deep.equal([])
    world.time.resume(host)
    await world.pass(1)
    expect(done).to.deep.equal(['first', 'second'])
    expect(host.heldUpMs).to.be.within(1_000, 1_001)
  })

  it('a host that died does nothing more, and what it started neither', async () => {
    const host = world.host('mortal')
    let beats = 0
    const beat = (): void => {
      beats++
      setTimeout(beat, 10)
    }
    world.on(host, beat)
    await world.pass(95)
    world.time.kill(host)
    await world.pass(1_000)
    expect(beats).to.equal(10)
  })

  it('draws the same lots from the same seed', () => {
    const lots = (): unknown[] => [Math.random(), randomBytes(8).toString('hex'), randomUUID()]
    const first = lots()
    world.close()
    world = new World({ seed: 1 })
    expect(lots()).to.deep.equal(first)
    world.close()
    world = new World({ seed: 2 })
    expect(lots()).not.to.deep.equal(first)
  })

  it('gives everything back', () => {
    world.close()
    expect(Date.now()).to.be.within(realNow, realNow + 20_000)
    expect(Math.random()).not.to.equal(Math.random())
    expect(String(setTimeout)).not.to.contain('Simulated')
  })

  it('ends a world that goes round in circles', async () => {
    world.close()
    world = new World({ seed: 1, mostTurns: 1_000 })
    const again = (): void => void setImmediate(again)
    world.on(world.host('restless'), again)
    const error = await world.pass(10).catch((reason: Error) => reason)
    expect(error)
      .to.be.instanceOf(Error)
      .with.property('message')
      .that.matches(/^1000 turns by /)
  })

  it('hears of what nobody catches', async () => {
    const host = world.host('careless')
    world.on(host, () =>
      setTimeout(() => {
        throw new Error('in a timer')
      }, 5)
    )
    await world.pass(10)
    expect(world.crashes).to.have.length(1)
    expect(world.crashes[0]).to.include({ host: 'careless' })
  })
})
