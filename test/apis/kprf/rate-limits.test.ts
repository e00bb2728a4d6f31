import { expect } from 'chai'
import fc from 'fast-check'
import type { PushRecord } from '../../../src/apis/kprf/push-parse.js'
import { type Limits, LimitTurns, limitsOfAll, RateLimiter, SharedLimits } from '../../../src/apis/kprf/rate-limits.js'
import { kprfSettings } from '../../../src/apis/kprf/settings.js'
import { OverloadedError } from '../../../src/core/errors.js'
import { SeededRandom } from '../../support/random.js'
import { turns } from '../../support/ticks.js'

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

  it('counts what it refuses, so hammering stays blocked', () => {
    const hammered = limiter()
    for (let second = 0; second < 200; second++) ask(hammered, 50, second * 1_000)
    expect(ask(hammered, 1, 200_000)).to.equal(0)
    expect(ask(hammered, 1, 300_000)).to.equal(1)
  })

  it('42 per minute are 42 within any 60 seconds, over the boundaries of minutes and seconds', () => {
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

const settings = kprfSettings.parse({
  ratelimit: { enabled: true, rules: [{ topic: 'orders', maxPerMinute: 42 }] }
})
const records = (topic: string, count: number): PushRecord[] =>
  Array.from({ length: count }, () => ({ topic }) as unknown as PushRecord)
const passing = (limits: Limits | undefined, topic: string, count: number): number =>
  records(topic, count).filter(() => limits === undefined || limits.allows(topic, 0)).length

describe('kprf rate limits of several processes', () => {
  it('workers: take of many records is take of each', () => {
    const random = new SeededRandom(7)
    const one = new RateLimiter(settings.ratelimit)
    const other = new RateLimiter(settings.ratelimit)
    let nowMs = 1_000
    for (let i = 0; i < 500; i++) {
      const count = random.between(0, 12)
      let passed = 0
      for (let n = 0; n < count; n++) if (one.allows('orders', nowMs)) passed++
      expect(other.take('orders', count, nowMs), `round ${i}`).to.equal(passed)
      nowMs += random.between(0, 30_000)
    }
  })

  it('let pass as many as one process would, whichever is asked', async () => {
    const decide = limitsOfAll(settings, () => 1_000)
    const processes = [1, 2, 3].map(() => new SharedLimits(settings, async question => decide(question)))
    let passed = 0
    for (let i = 0; i < 30; i++) passed += passing(await processes[i % 3]!.permits(records('orders', 2)), 'orders', 2)
    expect(passed).to.equal(42)
    const refused = await processes[0]!.permits(records('orders', 1))
    expect(refused!.retryAfterSeconds('orders', 1_000)).to.equal(60)
  })

  it('do not ask about topics without a rule', () => {
    const shared = new SharedLimits(settings, () => Promise.reject(new Error('asked')))
    expect(shared.permits(records('other', 3))).to.equal(undefined)
    const none = kprfSettings.parse({})
    expect(new SharedLimits(none, () => Promise.reject(new Error('asked'))).permits(records('orders', 3))).to.equal(
      undefined
    )
  })

  it('serve the pushes of a connection in their order, and others at once', async () => {
    const answers: ((granted: unknown) => void)[] = []
    const turnsOf = new LimitTurns(new SharedLimits(settings, () => new Promise(resolve => answers.push(resolve))))
    const [connection, another] = [{}, {}]
    const served: string[] = []
    const push = (from: object, topic: string, name: string): void => {
      const turn = turnsOf.take(from, records(topic, 1))
      if (turn === undefined) served.push(name)
      else turn(() => served.push(name), assertNever)
    }
    push(connection, 'orders', 'first')
    push(connection, 'other', 'second')
    push(connection, 'orders', 'third')
    push(another, 'other', 'of another')
    expect(served).to.deep.equal(['of another'])
    answers[1]!([[1, 0]])
    await turns(3)
    expect(served).to.deep.equal(['of another'])
    answers[0]!([[1, 0]])
    await turns(5)
    expect(served).to.deep.equal(['of another', 'first', 'second', 'third'])
    push(connection, 'other', 'at once')
    expect(served.at(-1)).to.equal('at once')
  })

  it('refuse what cannot be asked about as overload', async () => {
    const turnsOf = new LimitTurns(new SharedLimits(settings, () => Promise.reject(new Error('gone'))))
    const errors: unknown[] = []
    turnsOf.take({}, records('orders', 1))!(assertNever, error => errors.push(error))
    await turns(5)
    expect(errors).to.have.length(1)
    expect(errors[0]).to.be.instanceOf(OverloadedError)
  })
})

const assertNever = (): never => {
  throw new Error('not to be called')
}
