import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { OwnTime } from '../../../src/producer/memory/own-time.js'

describe('delivery: the clock of this machine', () => {
  let wallMs: number
  let monotonicMs: number
  let time: OwnTime
  beforeEach(() => {
    wallMs = 1_000_000
    monotonicMs = 0
    time = new OwnTime({ now: () => wallMs, clock: () => monotonicMs, log: silentLogger })
  })

  it('is compared with the times at which brokers append, as long as what they have told is new', () => {
    expect(time.clockAheadMs, 'no broker has told').to.equal(undefined)
    time.appended(960_000, 5_000)
    expect(time.clockAheadMs).to.equal(35_000)
    time.appended(1_060_000, 5_000)
    expect(time.clockAheadMs).to.equal(-60_000)
    time.appended(999_000, 5_000)
    expect(time.clockAheadMs).to.equal(0)
    monotonicMs = 600_001
    expect(time.clockAheadMs).to.equal(undefined)
  })

  it('is ahead by what times are set back, which is what Kafka takes', () => {
    time.accepted(4_096_000)
    expect(time.clockAheadMs).to.equal(4_096_000)
    wallMs -= 4_000_000
    expect(time.clockAheadMs, 'it was set').to.equal(undefined)
  })
})
