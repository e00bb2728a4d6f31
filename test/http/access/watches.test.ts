import { expect } from 'chai'
import { OverloadedError, UnauthenticatedError, UnavailableError } from '../../../src/core/errors.js'
import type {
  AccessTarget,
  Authentication,
  Identity,
  IncomingRequest,
  Operation
} from '../../../src/http/access/access.js'
import { Watches } from '../../../src/http/access/watches.js'
import { FakeTime } from '../../support/fake-time.js'

const wrong = new UnauthenticatedError('the token has expired', 'Bearer')

describe('admitted requests that stay open', () => {
  let time: FakeTime
  let answer: Authentication | Promise<Authentication>
  let isAllowed: boolean
  let asked: number
  let watches: Watches
  let ends: (() => void)[]
  let refusals: string[]
  const identity: Identity = { principal: 'anna', method: 'jwt', validUntil: Number.POSITIVE_INFINITY }
  const incoming = { onEnd: (ended: () => void) => ends.push(ended) } as unknown as IncomingRequest

  beforeEach(() => {
    time = new FakeTime()
    answer = identity
    isAllowed = true
    asked = 0
    ends = []
    refusals = []
    watches = new Watches({
      authenticate: () => {
        asked++
        return answer
      },
      allows: (principal: string, operation: Operation, { topic }: AccessTarget) =>
        isAllowed && principal === 'anna' && operation === 'consume' && topic === 'orders',
      onEnded: () => undefined,
      clock: time.now,
      now: time.now
    })
  })
  afterEach(() => time.restore())
  const watch = (known = identity): void =>
    watches.add({
      incoming,
      identity: known,
      operation: 'consume',
      target: { topic: 'orders' },
      onRefused: error => refusals.push(`${error.code}: ${error.message}`)
    })

  it('is looked at again every minute', async () => {
    watch()
    await time.pass(59_000, 500)
    expect(asked).to.equal(0)
    await time.pass(2_500, 500)
    expect(asked).to.equal(1)
    answer = wrong
    await time.pass(61_500, 500)
    expect(refusals).to.deep.equal(['unauthenticated: the token has expired'])
    expect(time.timers).to.equal(0)
  })

  it('ends within seconds of its credentials', async () => {
    watch({ ...identity, validUntil: time.now() + 5_000 })
    answer = wrong
    await time.pass(4_500, 500)
    expect(refusals).to.deep.equal([])
    await time.pass(2_000, 500)
    expect(refusals).to.have.length(1)
  })

  it('ends at once when the settings have changed and do not allow it', () => {
    watch()
    watches.checkAll()
    expect(refusals).to.deep.equal([])
    isAllowed = false
    watches.checkAll()
    expect(refusals).to.deep.equal(['forbidden: no rule allows anna to go on (access.rules)'])
    watches.checkAll()
    expect([refusals.length, time.timers]).to.deep.equal([1, 0])
  })

  it('ends when the credentials belong to somebody else now', () => {
    watch()
    answer = { ...identity, principal: 'bob' }
    watches.checkAll()
    expect(refusals).to.deep.equal(['forbidden: the credentials belong to another principal now'])
  })

  it('goes on for a while when its credentials cannot be verified, and no longer', async () => {
    for (const reason of [new OverloadedError('busy'), new UnavailableError('issuerUnreachable', 'no keys')]) {
      watch()
      answer = Promise.resolve(reason)
      watches.checkAll()
      await time.pass(60_000, 500)
      expect(refusals).to.deep.equal([])
      answer = identity
      await time.pass(120_000, 500)
      expect(refusals).to.deep.equal([])
      answer = Promise.resolve(reason)
      await time.pass(185_000, 500)
      expect(refusals.splice(0)).to.have.length(1)
    }
  })

  it('is looked at about once a second while its credentials have expired and new ones cannot be verified', async () => {
    watch({ ...identity, validUntil: time.now() + 60_000 })
    answer = new UnavailableError('issuerUnreachable', 'no keys')
    await time.pass(60_000, 500)
    asked = 0
    await time.pass(10_000, 5)
    expect(asked).to.be.within(9, 11)
  })

  it('is not looked at any more when its request is over, nor ended by a look that was under way', async () => {
    watch()
    let settle!: (found: Authentication) => void
    answer = new Promise(resolve => (settle = resolve))
    watches.checkAll()
    for (const end of ends) end()
    settle(wrong)
    await time.pass(10)
    expect([refusals, time.timers]).to.deep.equal([[], 0])
  })
})
