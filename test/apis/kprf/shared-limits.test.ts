import { expect } from 'chai'
import { LimitTurns } from '../../../src/apis/kprf/limit-turns.js'
import type { PushRecord } from '../../../src/apis/kprf/push-request.js'
import { type Limits, RateLimiter } from '../../../src/apis/kprf/rate-limiter.js'
import { kprfSettings } from '../../../src/apis/kprf/settings.js'
import { limitsOfAll, SharedLimits } from '../../../src/apis/kprf/shared-limits.js'
import { OverloadedError } from '../../../src/core/errors.js'
import { SeededRandom } from '../../support/random.js'
import { turns } from '../../support/ticks.js'

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
