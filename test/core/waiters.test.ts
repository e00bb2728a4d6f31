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
})
