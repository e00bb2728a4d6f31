import { expect } from 'chai'
import sinon from 'sinon'
import { performanceClock } from '../../../src/core/clocks.js'
import { HeldRequests } from '../../../src/deployment/gateways/held-requests.js'
import type { HeldForOwner } from '../../../src/http/api/key-owners.js'
import { CountingMetrics } from '../../support/counting-metrics.js'

const LIMIT_MS = 30_000
const MEBIBYTE = 1_048_576
const never = new Promise<void>(() => undefined)

describe('requests that are held until the owners of their keys can be tried', () => {
  let clock: sinon.SinonFakeTimers
  let canBeTried: Set<string>
  let held: HeldRequests
  let metrics: CountingMetrics
  /** What has left, in order, each with whether it was its turn. */
  let left: string[]
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    canBeTried = new Set()
    metrics = new CountingMetrics()
    held = new HeldRequests(owner => canBeTried.has(owner), performanceClock, 256 * MEBIBYTE, metrics)
    left = []
  })
  afterEach(() => {
    held.close()
    clock.restore()
  })

  const hold = (
    client: string,
    name = client,
    more: { bytes?: number; limitMs?: number; left?: Promise<void>; owner?: string } = {}
  ): void => {
    const { owner = 'b', bytes = 1, limitMs = LIMIT_MS, left: leaves = never } = more
    const request = { hash: name, client, bytes, left: leaves }
    void held.wait(owner, request, limitMs).then(isItsTurn => {
      held.ended(request)
      left.push(`${name} ${isItsTurn ? 'goes' : 'ends'}`)
    })
  }
  const shares = (owner: string): void => {
    canBeTried.add(owner)
    held.changed()
  }

  it('leave in turns of their clients', async () => {
    for (let nth = 0; nth < 300; nth++) hold('many', `many-${nth}`)
    for (const client of ['one', 'two']) hold(client)
    await clock.tickAsync(500)
    shares('b')
    await clock.tickAsync(0)
    expect(left.slice(0, 5)).to.deep.equal(['many-0 goes', 'one goes', 'two goes', 'many-1 goes', 'many-2 goes'])
    expect(left).to.have.length(256)
    await clock.tickAsync(499)
    expect(left, 'the others leave half a second later').to.have.length(256)
    await clock.tickAsync(1)
    expect(left).to.have.length(302)
  })

  it('are counted while they are held', async () => {
    expect(metrics.gaugeOf('held_requests')).to.equal(0)
    hold('one', 'of b', { limitMs: 1_000 })
    hold('one', 'of c', { owner: 'c' })
    hold('one', 'late', { limitMs: 0 })
    expect(metrics.gaugeOf('held_requests')).to.equal(2)
    await clock.tickAsync(1_000)
    expect(metrics.gaugeOf('held_requests')).to.equal(1)
    shares('c')
    expect(metrics.gaugeOf('held_requests')).to.equal(0)
  })

  it('wait for their own owner', async () => {
    hold('one', 'of b')
    hold('one', 'of c', { owner: 'c' })
    await clock.tickAsync(500)
    shares('c')
    await clock.tickAsync(500)
    expect(left).to.deep.equal(['of c goes'])
    expect([held.isHolding('b'), held.isHolding('c')]).to.deep.equal([true, false])
  })

  describe('of one key', () => {
    /** Holds it until it is tried or has to leave. @returns how it has left, once it has */
    const holdOne = (request: HeldForOwner, limitMs = LIMIT_MS): { way?: boolean } => {
      const seen: { way?: boolean } = {}
      void held.wait('b', request, limitMs).then(way => (seen.way = way))
      return seen
    }
    const ofKey = (hash: string): HeldForOwner => ({ hash, client: 'one', bytes: 1, left: never })

    it('are tried one at a time, also those whose owner has refused an earlier one', async () => {
      const [first, second, third, other] = [ofKey('k'), ofKey('k'), ofKey('k'), ofKey('other')]
      const waits = [first, second, other].map(request => holdOne(request))
      shares('b')
      await clock.tickAsync(500)
      expect(waits).to.deep.equal([{ way: true }, {}, { way: true }])
      expect([held.hasEarlier('k'), held.hasEarlier('x')]).to.deep.equal([true, false])
      const again = holdOne(first)
      const later = holdOne(third)
      await clock.tickAsync(500)
      expect([again, waits[1], later]).to.deep.equal([{ way: true }, {}, {}])
      held.ended(first)
      await clock.tickAsync(500)
      expect([waits[1], later]).to.deep.equal([{ way: true }, {}])
      held.ended(second)
      await clock.tickAsync(500)
      expect(later).to.deep.equal({ way: true })
      for (const request of [third, other]) held.ended(request)
      expect([held.hasEarlier('k'), held.hasEarlier('other')]).to.deep.equal([false, false])
    })

    it('leave at once behind one that was carried out, however many they are', async () => {
      const requests = Array.from({ length: 100 }, () => ofKey('k'))
      const waits = requests.map(request => holdOne(request))
      shares('b')
      await clock.tickAsync(500)
      for (const [nth, request] of requests.entries()) {
        expect(waits.filter(({ way }) => way === true)).to.have.length(nth + 1)
        held.ended(request)
        await clock.tickAsync(0)
      }
      expect(held.hasEarlier('k')).to.equal(false)
    })

    it('wait half a second behind one whose owner has refused it until its time was over', async () => {
      const [first, second] = [ofKey('k'), ofKey('k')]
      const [, late] = [holdOne(first), holdOne(second)]
      shares('b')
      await clock.tickAsync(500)
      canBeTried.clear()
      const again = holdOne(first, 100)
      await clock.tickAsync(100)
      expect(again).to.deep.equal({ way: false })
      canBeTried.add('b')
      held.ended(first)
      await clock.tickAsync(0)
      expect(late).to.deep.equal({})
      await clock.tickAsync(500)
      expect(late).to.deep.equal({ way: true })
    })

    it('wait behind no request whose time is over', async () => {
      const [first, second] = [ofKey('k'), ofKey('k')]
      const [early, late] = [holdOne(first, 1_000), holdOne(second, 2_000)]
      await clock.tickAsync(1_000)
      expect([early, late]).to.deep.equal([{ way: false }, {}])
      held.ended(first)
      shares('b')
      await clock.tickAsync(500)
      expect(late).to.deep.equal({ way: true })
    })

    it('end behind an earlier one when their own time is over', async () => {
      const [first, second] = [ofKey('k'), ofKey('k')]
      const [early, late] = [holdOne(first), holdOne(second, 1_000)]
      await clock.tickAsync(1_000)
      held.ended(second)
      expect([early, late]).to.deep.equal([{}, { way: false }])
      shares('b')
      await clock.tickAsync(500)
      expect(early).to.deep.equal({ way: true })
      held.ended(first)
      expect(held.hasEarlier('k')).to.equal(false)
    })
  })

  it('end when their time is over, their client leaves, or the process stops', async () => {
    let leave = (): void => undefined
    hold('one', 'early', { limitMs: 1_000 })
    hold('one', 'gone', { left: new Promise(resolve => (leave = resolve)) })
    hold('one', 'last')
    hold('one', 'late', { limitMs: 0 })
    await clock.tickAsync(0)
    expect(left).to.deep.equal(['late ends'])
    leave()
    await clock.tickAsync(0)
    expect(left).to.deep.equal(['late ends', 'gone ends'])
    await clock.tickAsync(1_000)
    expect(left).to.deep.equal(['late ends', 'gone ends', 'early ends'])
    held.close()
    hold('one', 'further')
    await clock.tickAsync(0)
    expect(left.slice(3).toSorted()).to.deep.equal(['further ends', 'last ends'])
    expect(clock.countTimers()).to.equal(0)
  })

  it('are 1,000 at most, of which one client has about half', async () => {
    for (let nth = 0; nth < 600; nth++) hold('many', `many-${nth}`)
    await clock.tickAsync(0)
    expect(left, 'refused').to.have.length(99)
    for (let nth = 0; nth < 600; nth++) hold(`client ${nth}`)
    await clock.tickAsync(0)
    expect(left, 'refused').to.have.length(99 + 101)
  })

  it('have a quarter of the bytes of all bodies at most, of which one client has about half', async () => {
    for (let nth = 0; nth < 40; nth++) hold('many', `many-${nth}`, { bytes: MEBIBYTE })
    await clock.tickAsync(0)
    expect(left, 'refused').to.have.length(7)
    hold('another', 'large', { bytes: 40 * MEBIBYTE })
    hold('another', 'small', { bytes: MEBIBYTE })
    await clock.tickAsync(0)
    expect(left.slice(7)).to.deep.equal(['large ends'])
  })
})
