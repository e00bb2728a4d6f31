import { expect } from 'chai'
import sinon from 'sinon'
import { Waiters } from '../../src/core/waiters.js'

describe('waits for an event', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => clock.restore())

  it('end with the event, or with their limits, and leave nothing', async () => {
    const waiters = new Waiters()
    const [short, long] = [waiters.wait(10), waiters.wait(20)]
    expect(waiters.size).to.equal(2)
    await clock.tickAsync(10)
    expect(await short).to.equal(false)
    expect(waiters.size).to.equal(1)
    waiters.wake()
    expect(await long).to.equal(true)
    expect([waiters.size, clock.countTimers()]).to.deep.equal([0, 0])
  })

  it('do not end at once where their limit is longer than a timer of Node', async () => {
    const waiters = new Waiters()
    const waits = [waiters.wait(2 ** 31), waiters.wait(Number.POSITIVE_INFINITY)]
    await clock.tickAsync(1_000)
    expect(waiters.size).to.equal(2)
    waiters.wake()
    expect(await Promise.all(waits)).to.deep.equal([true, true])
  })
})
