import { expect } from 'chai'
import type sinon from 'sinon'
import { type KeyGateways, keyOf } from './key-gateways.js'
import { type KeyedRequests, setUpKeys } from './keyed-requests.js'

const [A, B, C] = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const

describe('keys of gateways that disagree on who shares them', () => {
  let clock: sinon.SinonFakeTimers
  let gateways: KeyGateways
  let requests: KeyedRequests

  beforeEach(() => {
    ;({ clock, gateways, requests } = setUpKeys([A, B, C]))
  })
  afterEach(() => requests.end())

  /** Look-ups of all gateways, one after another. */
  const lookUps = async (): Promise<void> => {
    for (let nth = 0; nth < 4; nth++) {
      gateways.refresh()
      await clock.tickAsync(2_000)
    }
  }
  const startAll = async (): Promise<void> => {
    for (const name of gateways.names) gateways.start(name)
    await lookUps()
  }
  const typeAt = async (name: string, owner: string): Promise<string> => {
    const claiming = gateways.running.get(name)!.keys.claim(gateways.askedOf(owner), 100)
    await clock.tickAsync(3_000)
    return (await claiming).type
  }
  const errors = (): readonly string[] =>
    gateways.lines.filter(({ level }) => level === 'error').map(({ message }) => message)
  const REFUSED =
    'some gateways share keys of requests and others do not: requests with keys are refused (503); compare peers.addresses and builds'

  for (const list of [[A], [B, C]]) {
    it(`are not claimed at one that is started with the list ${list.join()}, while others share them`, async () => {
      await startAll()
      gateways.kill(A)
      gateways.start(A, list)
      await lookUps()
      for (const owner of [A, B, C]) expect(await typeAt(A, owner), owner).to.equal('away')
      for (const name of [B, C]) {
        expect(await typeAt(name, name)).to.equal('claimed')
        expect(await typeAt(name, A)).to.equal('away')
      }
      expect(errors()).to.include(REFUSED)
    })
  }

  it('are claimed there as soon as no other one shares them', async () => {
    await startAll()
    gateways.kill(A)
    const { keys } = gateways.start(A, [A])
    await lookUps()
    for (const name of [B, C]) gateways.kill(name)
    await lookUps()
    keyOf(await keys.claim(gateways.askedOf(B), 100))
    expect(keys.reach).to.equal('gateway')
  })

  it('are not claimed at those that share them, while one serves them by itself that does not reach them', async () => {
    await startAll()
    gateways.kill(A)
    for (const name of [B, C]) gateways.cut.add(`${A}>${name}`)
    gateways.start(A, [A])
    await lookUps()
    expect(await typeAt(A, B)).to.equal('claimed')
    expect(await typeAt(B, B)).to.equal('away')
    gateways.cut.clear()
    await lookUps()
    expect(await typeAt(A, A)).to.equal('away')
    expect(await typeAt(C, C)).to.equal('claimed')
  })

  it('are not claimed at those that share them, while one that serves them by itself is not called for a moment', async () => {
    await startAll()
    gateways.kill(A)
    for (const name of [B, C]) gateways.cut.add(`${A}>${name}`)
    gateways.start(A, [A])
    await lookUps()
    gateways.paused.add(A)
    await lookUps()
    expect(await typeAt(B, B)).to.equal('away')
    gateways.kill(A)
    await lookUps()
    expect(await typeAt(B, B)).to.equal('claimed')
  })

  it('are not claimed at those that share them, while one runs an earlier build', async () => {
    await startAll()
    gateways.kill(A)
    const { peers } = gateways.start(A)
    peers.handlers.clear()
    await lookUps()
    for (const name of [B, C]) expect(await typeAt(name, name)).to.equal('away')
    expect(errors()).to.include(REFUSED)
    gateways.kill(A)
    gateways.start(A)
    await lookUps()
    for (const name of [B, C]) expect(await typeAt(name, name)).to.equal('claimed')
  })
})
