import { expect } from 'chai'
import type sinon from 'sinon'
import { away, full } from '../../../src/http/api/key-refusals.js'
import { type KeyGateways, keyOf } from './key-gateways.js'
import { type KeyedRequests, setUpKeys } from './keyed-requests.js'

const [A, B, C] = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const
const DAY_MS = 86_400_000

describe('refused keys of gateways', () => {
  let clock: sinon.SinonFakeTimers
  let gateways: KeyGateways
  let requests: KeyedRequests

  beforeEach(async () => {
    ;({ clock, gateways, requests } = setUpKeys([A, B, C]))
    await requests.startAll()
  })
  afterEach(() => requests.end())

  /** Look-ups of all gateways, one after another. */
  const lookUps = async (count: number): Promise<void> => {
    for (let nth = 0; nth < count; nth++) {
      gateways.refresh()
      await clock.tickAsync(2_000)
    }
  }

  it('name the owner that cannot be reached', async () => {
    gateways.kill(B)
    expect(await requests.claim(A, gateways.askedOf(B))).to.deep.equal({
      type: 'away',
      why: `the gateway ${B}, which owns the key, cannot be reached`
    })
  })

  it('name the gateway that has records and cannot be reached', async () => {
    const asked = gateways.askedOf(B)
    const key = keyOf(await requests.claim(C, asked))
    requests.produce(C, key, ['one'])
    await requests.settle(key, 'pending')
    gateways.cut.add(`${A}>${C}`)
    expect(await requests.claim(A, asked)).to.deep.equal({
      type: 'away',
      why: `the gateway ${C}, which has records of an earlier request with the key, cannot be reached`
    })
  })

  it('are a warning while an owner is away, but not for a moment only', async () => {
    const warningsOf = (name: string): readonly string[] => requests.at(name).keys.warnings
    expect(warningsOf(A)).to.deep.equal([])
    gateways.kill(B)
    await lookUps(2)
    expect(warningsOf(A)).to.deep.equal([])
    await lookUps(1)
    expect(warningsOf(A)).to.deep.equal([
      `requests with an Idempotency-Key are refused (503) whose key the gateway ${B} owns, because it cannot be reached`
    ])
    await requests.start(B)
    await lookUps(1)
    for (const name of [A, B, C]) expect(warningsOf(name)).to.deep.equal([])
  })

  it('are a warning while gateways disagree on who shares keys', async () => {
    gateways.kill(A)
    gateways.start(A, [A])
    await lookUps(2)
    expect(requests.at(A).keys.warnings.join()).to.match(/^requests with an Idempotency-Key are refused \(503\): /)
  })

  it('say that nothing was written, and when the oldest key expires', async () => {
    expect(away('the gateway x cannot be reached').detail).to.match(
      /^the gateway x .* This request has written nothing;/
    )
    const used = gateways.askedOf(B)
    keyOf(await requests.claim(B, used))
    const { store } = requests.at(B).own
    store.hold(used.hash, 10_000)
    const claim = await requests.claim(B, { ...used, hash: `${used.hash.slice(0, 11)}y${used.hash.slice(12)}` })
    if (claim.type !== 'full') throw new Error(`it is ${claim.type}`)
    expect(claim.retryAfterMs).to.be.within(DAY_MS - 10_000, DAY_MS)
    expect(full(claim.retryAfterMs).retryAfterSeconds).to.equal(String(Math.ceil(claim.retryAfterMs / 1_000)))
    await clock.tickAsync(DAY_MS - 20_000)
    expect(store.full.retryAfterMs).to.equal(60_000)
  })
})
