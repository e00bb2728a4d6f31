import { expect } from 'chai'
import fc from 'fast-check'
import { RateLimiter } from '../../../src/apis/kprf/rate-limits.js'

const rules = [{ topic: 'orders', maxPerMinute: 42 }]
const limiter = (maxPerMinute = 42): RateLimiter =>
  new RateLimiter({ enabled: true, rules: [{ topic: 'orders', maxPerMinute }] })
/** Asks so many times and says how often it was allowed. */
const ask = (asked: RateLimiter, count: number, nowMs: number, topic = 'orders'): number =>
  Array.from({ length: count }, () => asked.allows(topic, nowMs)).filter(Boolean).length

/** Source: kprf's own unit cases of its limiter (fd32acc). */
describe('kprf RateLimiter', () => {
  it('lets the limit-th record pass and refuses the next', () => {
    expect(ask(limiter(), 42, 5_000)).to.equal(42)
    expect(ask(limiter(), 43, 5_000)).to.equal(42)
  })

  it('allows all when disabled, and knows it', () => {
    const disabled = new RateLimiter({ enabled: false, rules })
    expect(disabled.isActive).to.equal(false)
    expect(ask(disabled, 100, 0)).to.equal(100)
  })

  it('allows topics without a rule, the empty topic and the limit 0', () => {
    const some = new RateLimiter({
      enabled: true,
      rules: [
        { topic: '', maxPerMinute: 1 },
        { topic: 'free', maxPerMinute: 0 },
        { topic: 'orders', maxPerMinute: 1 }
      ]
    })
    expect(ask(some, 100, 0, '')).to.equal(100)
    expect(ask(some, 100, 0, 'free')).to.equal(100)
    expect(ask(some, 100, 0, 'other')).to.equal(100)
    expect(ask(some, 100, 0, '__proto__')).to.equal(100)
  })

  it('lets the last rule of a topic win', () => {
    const twice = new RateLimiter({ enabled: true, rules: [...rules, { topic: 'orders', maxPerMinute: 3 }] })
    expect(ask(twice, 10, 0)).to.equal(3)
  })

  it('counts what it refuses, so that a client which goes on stays blocked', () => {
    const hammered = limiter()
    for (let second = 0; second < 200; second++) ask(hammered, 50, second * 1_000)
    expect(ask(hammered, 1, 200_000)).to.equal(0)
    expect(ask(hammered, 1, 300_000)).to.equal(1)
  })

  it('lets 42 a minute be 42 within any 60 seconds, over the boundaries of minutes and seconds', () => {
    const times = fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 400 })
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 42 }), (asked, limit) => {
        const checked = limiter(limit)
        const passed = asked.sort((a, b) => a - b).filter(nowMs => checked.allows('orders', nowMs))
        for (const from of passed) {
          const within = passed.filter(at => at >= from && at < from + 60_000).length
          if (within > limit) throw new Error(`${within} within the minute from ${from}`)
        }
      })
    )
  })

  it('counts the same, whenever it was asked before', () => {
    const times = fc.array(fc.double({ min: 0, max: 200_000, noNaN: true }), { maxLength: 200 })
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 42 }), (asked, limit) => {
        const checked = limiter(limit)
        const seconds = new Map<number, { count: number; lastAtMs: number }>()
        for (const nowMs of asked.sort((a, b) => a - b)) {
          const second = Math.floor(nowMs / 1_000)
          seconds.set(second, { count: (seconds.get(second)?.count ?? 0) + 1, lastAtMs: nowMs })
          const counted = [...seconds.values()].filter(({ lastAtMs }) => nowMs - lastAtMs < 60_000)
          const sum = counted.reduce((all, { count }) => all + count, 0)
          expect(checked.allows('orders', nowMs)).to.equal(sum <= limit)
        }
      })
    )
  })

  it('does not forget a second before its last record is a minute old', () => {
    const checked = limiter()
    expect(ask(checked, 42, 900)).to.equal(42)
    expect(ask(checked, 1, 60_000)).to.equal(0)
    const exact = limiter()
    expect(ask(exact, 42, 0)).to.equal(42)
    expect(ask(exact, 42, 60_000)).to.equal(42)
  })

  it('says when a record passes again, if none comes until then', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(120_000), { minLength: 1, maxLength: 200 }),
        fc.integer({ min: 1, max: 5 }),
        (at, limit) => {
          const checked = limiter(limit)
          const times = at.sort((a, b) => a - b)
          const isAllowed = times.map(nowMs => checked.allows('orders', nowMs)).at(-1)
          if (isAllowed) return
          const now = times.at(-1)!
          const seconds = checked.retryAfterSeconds('orders', now)
          expect(seconds).to.be.within(1, 60)
          expect(checked.allows('orders', now + seconds * 1_000)).to.equal(true)
        }
      )
    )
  })

  it('sums over sixty one-second slots', () => {
    const spread = limiter(60)
    for (let second = 0; second < 60; second++) expect(ask(spread, 1, second * 1_000)).to.equal(1)
    expect(ask(spread, 1, 59_000)).to.equal(0)
    // Second 60 takes the slot of second 0, whose record is forgotten; the refused one of second 59 is not.
    expect(ask(spread, 1, 60_000)).to.equal(0)
    expect(ask(spread, 1, 119_000)).to.equal(1)
  })
})
