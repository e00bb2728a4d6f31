import { expect } from 'chai'
import { Pace } from '../../src/webhooks/pace.js'
import { pauseAfter } from '../../src/webhooks/verdicts.js'

describe('the pace of a webhook', () => {
  let now: number
  let random: number
  let pace: Pace
  beforeEach(() => {
    now = 1_000
    random = 0
    pace = new Pace({ maxInFlight: 4, clock: () => now, random: () => random })
  })
  const begin = (count: number): number[] => Array.from({ length: count }, () => pace.begin())
  function grow(): void {
    while (pace.window < 4) {
      begin(pace.window - pace.inFlight)
      pace.succeeded()
      pace.end()
    }
    while (pace.inFlight > 0) pace.end()
  }

  it('begins with one attempt at a time, and grows by one with each 2xx while it is full', () => {
    begin(1)
    expect(pace.mayBegin).to.equal(false)
    pace.succeeded()
    expect(pace.window).to.equal(2)
    pace.end()
    begin(1)
    pace.succeeded()
    expect(pace.window, 'it was not full').to.equal(2)
  })

  it('grows to its limit, and shrinks to a lower one', () => {
    grow()
    begin(4)
    pace.succeeded()
    expect(pace.window).to.equal(4)
    pace.configure(2)
    expect(pace.window).to.equal(2)
  })

  it('is halved once by failures of attempts that were under way together', () => {
    grow()
    const attempts = begin(4)
    for (const attempt of attempts) pace.failed(attempt)
    expect(pace.window).to.equal(2)
    for (const _ of attempts) pace.end()
    pace.failed(pace.begin())
    expect(pace.window).to.equal(1)
    expect(pace.pausedUntil).to.equal(undefined)
  })

  it('pauses at 1 for one second to one minute, and ends the pause with a 2xx', () => {
    const pauses = Array.from({ length: 12 }, (_, at) => {
      random = at % 2
      pace.failed(pace.begin())
      pace.end()
      const pauseMs = pace.pausedUntil! - now
      expect(pace.mayBegin).to.equal(false)
      now += pauseMs
      expect(pace.mayBegin).to.equal(true)
      return pauseMs
    })
    expect(Math.min(...pauses)).to.equal(1_000)
    expect(Math.max(...pauses)).to.equal(60_000)
    pace.failed(pace.begin())
    pace.succeeded()
    expect(pace.pausedUntil).to.equal(undefined)
  })

  it('keeps a Retry-After over a 2xx, and its longest one', () => {
    pace.hold(5_000)
    pace.hold(1_000)
    pace.succeeded()
    expect(pace.pausedUntil).to.equal(now + 5_000)
  })

  it('lets a record wait for longer with each attempt, up to 15 minutes', () => {
    expect(pauseAfter(1, 0)).to.equal(250)
    expect([1, 2, 3, 9, 10, 1_000].map(attempts => pauseAfter(attempts, 1))).to.deep.equal([
      2_000, 4_000, 8_000, 512_000, 900_000, 900_000
    ])
  })
})
