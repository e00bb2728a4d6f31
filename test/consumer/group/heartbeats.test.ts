import { expect } from 'chai'
import { Heartbeats } from '../../../src/consumer/group/heartbeats.js'
import { FakeRuntime } from './fake-runtime.js'

const MEMBER = {
  groupId: 'billing',
  memberId: 'm',
  generationId: 1,
  connection: '1',
  instanceId: null,
  timeoutMs: 10_000
}

describe('heartbeats of a member', () => {
  let runtime: FakeRuntime
  let isWaiting: boolean
  let heartbeats: Heartbeats
  beforeEach(() => {
    runtime = new FakeRuntime([])
    isWaiting = false
    heartbeats = new Heartbeats({
      runtime,
      heartbeatIntervalMs: 3_000,
      sessionTimeoutMs: 10_000,
      isWaiting: () => isWaiting,
      onRebalance: () => {},
      onExcluded: () => {},
      onSilence: () => {}
    })
    heartbeats.start(MEMBER, false)
  })

  /** How many are sent in this time. */
  const sentIn = (ms: number): number => {
    runtime.newly('heartbeat')
    runtime.pass(ms)
    return runtime.newly('heartbeat')
  }

  it('are sent twice a second while clients wait at a member without partitions', () => {
    isWaiting = true
    sentIn(3_000)
    expect(sentIn(5_000)).to.equal(10)
    isWaiting = false
    sentIn(500)
    expect(sentIn(6_000)).to.equal(2)
  })

  it('are sent twice a second for the time of a session after a rebalance', () => {
    heartbeats.start(MEMBER, true)
    expect(sentIn(10_000)).to.equal(20)
    sentIn(3_000)
    expect(sentIn(6_000)).to.equal(2)
  })

  it('begin to be so as soon as clients wait', () => {
    expect(sentIn(1_000)).to.equal(0)
    isWaiting = true
    heartbeats.hurry()
    expect(sentIn(500)).to.equal(1)
  })

  it('are not put off by clients that begin to wait again and again', () => {
    sentIn(2_600)
    for (let asked = 0; asked < 3; asked++) {
      heartbeats.hurry()
      runtime.pass(100)
    }
    heartbeats.hurry()
    expect(sentIn(100)).to.equal(1)
    heartbeats.stop()
    heartbeats.hurry()
    expect([sentIn(10_000), runtime.timersLeft]).to.deep.equal([0, 0])
  })
})
