import { expect } from 'chai'
import type sinon from 'sinon'
import { type KeyGateways, keyOf } from './key-gateways.js'
import { type KeyedRequests, setUpKeys } from './keyed-requests.js'

const [A, B, C] = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const

describe('keys of gateways while requests wait for others', () => {
  let clock: sinon.SinonFakeTimers
  let gateways: KeyGateways
  let requests: KeyedRequests

  beforeEach(async () => {
    ;({ clock, gateways, requests } = setUpKeys([A, B, C]))
    await requests.startAll()
  })
  afterEach(() => requests.end())

  it('end the wait of a request at another gateway when its client leaves', async () => {
    const asked = gateways.askedOf(B)
    keyOf(await requests.claim(A, asked))
    let leave = (): void => undefined
    let told: string | undefined
    const waiting = requests.at(C).keys.claim(asked, 30_000, end => (leave = end))
    void Promise.resolve(waiting).then(({ type }) => (told = type))
    await clock.tickAsync(1_000)
    leave()
    await clock.tickAsync(10)
    expect(told).to.equal('busy')
    const calls = gateways.calls.length
    await clock.tickAsync(30_000)
    expect(gateways.calls).to.have.length(calls)
  })

  for (const [claimer, asking] of [
    [A, C],
    [B, A],
    [A, B],
    [A, A]
  ] as const) {
    it(`find the receipt of a request under way: it is at ${claimer}, its key with ${B}, asked by ${asking}`, async () => {
      const asked = gateways.askedOf(B)
      const receiptAt = (at: string, fingerprint: string) =>
        requests.at(at).keys.receiptOf({ ...asked, fingerprint }, 3_000)
      const early = receiptAt(asking, asked.fingerprint)
      const key = keyOf(await requests.claim(claimer, asked))
      const other = receiptAt(asking, 'another!')
      await clock.tickAsync(500)
      key.given({ id: 'the-receipt', records: 2 })
      await clock.tickAsync(5_000)
      expect(await early).to.deep.equal({ id: 'the-receipt', records: 2 })
      expect(await other).to.equal(undefined)
      await requests.settle(key, 'yes')
      const late = receiptAt(asking, asked.fingerprint)
      await clock.tickAsync(5_000)
      expect(await late).to.equal(undefined)
    })
  }
})
