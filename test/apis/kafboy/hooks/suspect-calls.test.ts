import { expect } from 'chai'
import { SUSPECT_FOR_MS, SuspectCalls } from '../../../../src/apis/kafboy/hooks/suspect-calls.js'

const call = (topic: string | undefined, deadlineAt = 5_000) => ({ topic, deadlineAt })

describe('kafboy: calls of topics with which a thread was lost', () => {
  it('wait until others were served for a while, and are made in order', () => {
    const calls = new SuspectCalls(5_000)
    calls.threadLost('bad', 0)
    const [first, second] = [call('bad'), call('bad')]
    expect([first, second].map(one => calls.take(one, 0))).to.deep.equal([true, true])
    expect(calls.take(call('good'), 0)).to.equal(false)
    expect(calls.take(call(undefined), 0)).to.equal(false)
    expect(calls.release(499)).to.equal(undefined)
    expect([calls.release(500), calls.release(500), calls.release(500)]).to.deep.equal([first, second, undefined])
  })

  it('do not wait for longer than they have time', () => {
    const calls = new SuspectCalls(5_000)
    calls.threadLost('bad', 0)
    const [early, late] = [call('bad', 1_000), call('bad', 1_001)]
    for (const one of [early, late]) calls.take(one, 0)
    expect(calls.takeExpired(1_000)).to.deep.equal([early])
    expect(calls.length).to.equal(1)
    expect(calls.release(1_000)).to.equal(late)
  })

  it('are calls like others after a minute', () => {
    const calls = new SuspectCalls(5_000)
    expect(calls.isAnyAt(0)).to.equal(false)
    calls.threadLost('bad', 0)
    expect(calls.isAnyAt(SUSPECT_FOR_MS - 1)).to.equal(true)
    expect(calls.isAnyAt(SUSPECT_FOR_MS)).to.equal(false)
    expect(calls.take(call('bad'), SUSPECT_FOR_MS)).to.equal(false)
  })

  it('are of a thousand topics at most, whatever names there are', () => {
    const calls = new SuspectCalls(5_000)
    for (let at = 0; at <= 1_000; at++) calls.threadLost(`bad-${at}`, at)
    expect(calls.take(call('bad-0'), 1_000)).to.equal(false)
    expect(calls.take(call('bad-1'), 1_000)).to.equal(true)
  })

  it('are made at the earliest after a tenth of the time that a call has, or a second', () => {
    for (const [timeoutMs, pauseMs] of [
      [50, 5],
      [10_000, 1_000],
      [60_000, 1_000]
    ] as const) {
      const calls = new SuspectCalls(timeoutMs)
      calls.threadLost('bad', 10)
      calls.take(call('bad'), 10)
      expect(calls.release(10 + pauseMs - 1)).to.equal(undefined)
      expect(calls.release(10 + pauseMs)?.topic).to.equal('bad')
    }
  })

  it('are those of a topic for a minute after the last thread that it has cost', () => {
    const calls = new SuspectCalls(5_000)
    calls.threadLost('bad', 0)
    calls.threadLost('bad', 30_000)
    expect(calls.take(call('bad'), 89_999)).to.equal(true)
    expect(calls.take(call('bad'), 90_000)).to.equal(false)
    expect(calls.length).to.equal(1)
  })

  it('are of no topic when the thread was in none', () => {
    const calls = new SuspectCalls(5_000)
    calls.threadLost(undefined, 0)
    expect([calls.take(call('any'), 0), calls.take(call(undefined), 0), calls.isAnyAt(1)]).to.deep.equal([
      false,
      false,
      true
    ])
  })

  it('of a topic that was lost again are forgotten behind those lost before it', () => {
    const calls = new SuspectCalls(5_000)
    for (let at = 0; at < 1_000; at++) calls.threadLost(`bad-${at}`, 0)
    calls.threadLost('bad-0', 1)
    calls.threadLost('one-more', 2)
    expect([calls.take(call('bad-0'), 2), calls.take(call('bad-1'), 2)]).to.deep.equal([true, false])
  })
})
