import { expect } from 'chai'
import type sinon from 'sinon'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import type { Claim } from '../../../src/producer/keys/keys.js'
import { type KeyGateways, keyOf, type Process } from './key-gateways.js'
import { answer, type KeyedRequests, setUpKeys } from './keyed-requests.js'

const [A, B, C] = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const
const delivered = { type: 'delivered', partition: 0, offset: 7, timestampMs: 1 } as const

describe('keys of gateways that know each other', () => {
  let clock: sinon.SinonFakeTimers
  let gateways: KeyGateways
  let requests: KeyedRequests

  beforeEach(() => {
    ;({ clock, gateways, requests } = setUpKeys([A, B, C]))
  })
  afterEach(() => requests.end())

  const startAll = (): Promise<void> => requests.startAll()
  const claim = (at: string, asked: { hash: string; fingerprint: string }): Promise<Claim> => requests.claim(at, asked)
  /** Answers a request; resolves when the answer may leave. */
  const settle = async (key: ClaimedKey, persisted: string): Promise<void> => {
    expect(await requests.settle(key, persisted)).to.equal(true)
  }
  /** What the durable log of a gateway has when it is started again. */
  const logged = ({ own }: Process, asked: { hash: string; fingerprint: string }): void => {
    const records = own.holder.of({ ...asked, atMs: 1_000_000 })
    records.stored(0, 1)
    records.isOpen = true
    own.store.open(records.key, own.name)
  }

  for (const claimer of [A, B]) {
    it(`are claimed once, and answered alike by all: a request at ${claimer}, its key with ${B}`, async () => {
      await startAll()
      const asked = gateways.askedOf(B)
      const key = keyOf(await claim(claimer, asked))
      for (const at of [A, B, C]) expect((await claim(at, asked)).type).to.equal('busy')
      await settle(key, 'yes')
      for (const at of [A, B, C]) {
        expect(await claim(at, asked)).to.deep.equal({ type: 'answered', answer })
        expect((await claim(at, { ...asked, fingerprint: 'another!' })).type).to.equal('conflict')
        expect(gateways.running.get(at)!.keys.reach).to.equal('deployment')
      }
    })
  }

  it('let a request at another gateway wait for the first one, in parts', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    const key = keyOf(await claim(A, asked))
    const waiting = gateways.running.get(C)!.keys.claim(asked, 30_000)
    await clock.tickAsync(12_000)
    expect(gateways.calls.filter(name => name === 'key claim')).to.have.length(1 + 4)
    await settle(key, 'yes')
    expect(await waiting).to.deep.equal({ type: 'answered', answer })
  })

  it('let so many requests of one client wait that others can, too', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    keyOf(await claim(A, asked))
    const { keys } = gateways.running.get(C)!
    const ended: string[] = []
    for (let nth = 0; nth < 256; nth++)
      void Promise.resolve(keys.claim(asked, 30_000)).then(({ type }) => ended.push(type))
    await clock.tickAsync(1_000)
    expect([...new Set(ended)]).to.deep.equal(['busy'])
    expect(ended.length).to.be.within(100, 156)
    await clock.tickAsync(32_000)
    expect(ended).to.have.length(256)
  })

  it('are settled once: a repetition ends no claim of another request', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    const first = keyOf(await claim(A, asked))
    gateways.lost = 'key settle'
    await settle(first, 'no')
    const second = keyOf(await claim(B, asked))
    gateways.lost = undefined
    await clock.tickAsync(60_000)
    expect((await claim(A, asked)).type).to.equal('busy')
    await settle(second, 'yes')
    expect((await claim(C, asked)).type).to.equal('answered')
  })

  it('are not locked by a claim whose verdict was lost', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    gateways.lost = 'key claim'
    expect((await claim(A, asked)).type).to.equal('away')
    gateways.lost = undefined
    await clock.tickAsync(3_000)
    keyOf(await claim(C, asked))
  })

  it('are not given out while their owner is away, or others have not said what they have', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    gateways.kill(B)
    for (const at of [A, C]) expect((await claim(at, asked)).type).to.equal('away')
    gateways.kill(C)
    gateways.start(B)
    await clock.tickAsync(5_000)
    for (const at of [A, B]) expect((await claim(at, asked)).type).to.equal('away')
    gateways.start(C)
    await clock.tickAsync(5_000)
    keyOf(await claim(A, asked))
  })

  it('are answered by an owner that was started again and has their answer, whoever is away', async () => {
    await startAll()
    const [known, other] = [gateways.askedOf(B), { ...gateways.askedOf(B), fingerprint: 'another!' }]
    gateways.kill(B)
    gateways.kill(C)
    const process = gateways.create(B)
    keyOf(await process.own.claim(known, 0)).answered(answer, 'yes', () => undefined)
    gateways.appear(process)
    await clock.tickAsync(5_000)
    for (const at of [A, B]) {
      expect(await claim(at, known)).to.deep.equal({ type: 'answered', answer })
      expect((await claim(at, other)).type).to.equal('conflict')
      expect((await claim(at, { ...known, hash: `${known.hash.slice(0, 15)}y` })).type).to.equal('away')
    }
  })

  it('keep an answer that is told to an owner which has been started again, after minutes too', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    const key = keyOf(await claim(A, asked))
    gateways.kill(B)
    await settle(key, 'yes')
    await clock.tickAsync(300_000)
    gateways.start(B)
    await clock.tickAsync(5_000)
    for (const at of [A, B, C]) expect(await claim(at, asked)).to.deep.equal({ type: 'answered', answer })
  })

  it('stay with their requests where the owner is started again, also those that had been open before', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    await settle(keyOf(await claim(A, asked)), 'unknown')
    const key = keyOf(await claim(A, asked))
    gateways.kill(B)
    await clock.tickAsync(1_000)
    gateways.start(B)
    await clock.tickAsync(5_000)
    for (const at of [B, C]) expect((await claim(at, asked)).type).to.equal('busy')
    await settle(key, 'yes')
    expect((await claim(C, asked)).type).to.equal('answered')
  })

  for (const restartsOwner of [false, true]) {
    const what = restartsOwner ? ', and so was the owner' : ''
    it(`lead to the records of a gateway that was killed and started again${what}`, async () => {
      await startAll()
      const asked = gateways.askedOf(B)
      keyOf(await claim(A, asked))
      gateways.kill(A)
      if (restartsOwner) {
        gateways.kill(B)
        gateways.start(B)
      }
      await clock.tickAsync(1_000)
      for (const at of [B, C]) expect((await claim(at, asked)).type).to.equal('away')
      const again = gateways.start(A)
      logged(again, asked)
      await clock.tickAsync(5_000)
      const key = keyOf(await claim(C, asked))
      let isAccepted = false
      const accept = (): never => {
        isAccepted = true
        throw new Error('it is written once more')
      }
      const options = { partitioner: 'crc32', deadlineMs: 10_000, durability: 'disk' } as const
      const record = { topic: 't', key: null, value: Buffer.from('v'), headers: [] }
      const outcomes = key.produce([record], options, accept).outcomes()
      again.own.holder.find(asked.hash)!.conclude(0, delivered)
      await clock.tickAsync(100)
      expect([isAccepted, await outcomes]).to.deep.equal([false, [delivered]])
      await settle(key, 'yes')
      await clock.tickAsync(100)
      expect((await claim(A, asked)).type).to.equal('answered')
      expect(again.own.holder.find(asked.hash)).to.equal(undefined)
    })
  }

  it('lead to the records of their owner', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    const key = keyOf(await claim(B, asked))
    const { holder } = gateways.running.get(B)!.own
    holder.find(asked.hash)!.accepted(0)
    await settle(key, 'unknown')
    const again = keyOf(await claim(A, asked))
    expect((await claim(C, asked)).type).to.equal('busy')
    await settle(again, 'yes')
    await clock.tickAsync(100)
    for (const { own } of gateways.running.values()) expect(own.holder.find(asked.hash)).to.equal(undefined)
  })

  it('lead to the records of a request whose end the owner knows, before the gateway is told so', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    const key = keyOf(await claim(A, asked))
    gateways.running.get(A)!.own.holder.find(asked.hash)!.accepted(0)
    gateways.held.set('key settle', new Promise(() => undefined))
    key.answered(answer, 'unknown', () => undefined)
    await clock.tickAsync(100)
    keyOf(await claim(C, asked))
  })

  it('are known to their owner only, also where an earlier process has left their records', async () => {
    gateways.start(B)
    gateways.start(C)
    const process = gateways.create(A)
    const [own, other] = [gateways.askedOf(A), gateways.askedOf(B)]
    logged(process, own)
    logged(process, other)
    const { store } = process.own
    const both = store.bytes
    gateways.appear(process)
    await clock.tickAsync(3_000)
    expect([store.size, store.bytes < both]).to.deep.equal([1, true])
    for (const asked of [own, other]) expect((await claim(C, asked)).type).to.equal('claimed')
    expect(store.size).to.equal(1)
  })

  it('have the answer that a gateway has kept before it shared them', async () => {
    gateways.start(B)
    gateways.start(C)
    const process = gateways.create(A)
    const asked = gateways.askedOf(B)
    keyOf(await process.own.claim(asked, 0)).answered(answer, 'yes', () => undefined)
    gateways.appear(process)
    await clock.tickAsync(5_000)
    expect(await claim(A, asked)).to.deep.equal({ type: 'answered', answer })
    expect((await claim(A, { ...asked, fingerprint: 'another!' })).type).to.equal('conflict')
  })

  it('are free for others when a gateway was started again before its owner has noticed', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    keyOf(await claim(A, asked))
    gateways.kill(A, false)
    gateways.start(A)
    await clock.tickAsync(3_000)
    keyOf(await claim(C, asked))
  })

  it('lead to the records of a gateway that was started again and gets the request itself', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    keyOf(await claim(A, asked))
    gateways.kill(A)
    logged(gateways.start(A), asked)
    await clock.tickAsync(5_000)
    keyOf(await claim(A, asked))
    expect((await claim(C, asked)).type).to.equal('busy')
  })

  it('are not claimed twice when the owner takes a gateway for gone that is there', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    const key = keyOf(await claim(A, asked))
    gateways.lose(B, A)
    expect((await claim(B, asked)).type).to.equal('away')
    for (let nth = 0; nth < 3; nth++) expect((await claim(C, asked)).type).to.equal('busy')
    gateways.cut.clear()
    expect((await claim(B, asked)).type).to.equal('busy')
    await settle(key, 'yes')
    for (const at of [A, B, C]) expect(await claim(at, asked)).to.deep.equal({ type: 'answered', answer })
  })

  it('are not claimed twice when a verdict is on its way while the owner takes the gateway for gone', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    let arrive: () => void = () => undefined
    gateways.held.set('key claim', new Promise(resolve => (arrive = resolve)))
    const slow = gateways.running.get(A)!.keys.claim(asked, 100)
    await clock.tickAsync(10)
    gateways.held.delete('key claim')
    gateways.lose(B, A)
    gateways.cut.clear()
    const key = keyOf(await claim(C, asked))
    arrive()
    await clock.tickAsync(100)
    expect((await slow).type).to.equal('busy')
    await settle(key, 'yes')
    expect((await claim(A, asked)).type).to.equal('answered')
  })

  it('are not claimed twice when the owner takes a gateway for gone that looks for records', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    keyOf(await claim(A, asked))
    gateways.kill(A)
    gateways.start(A)
    await clock.tickAsync(3_000)
    let arrive: () => void = () => undefined
    gateways.held.set('key records', new Promise(resolve => (arrive = resolve)))
    const slow = gateways.running.get(C)!.keys.claim(asked, 100)
    await clock.tickAsync(10)
    gateways.held.delete('key records')
    gateways.lose(B, C)
    gateways.cut.clear()
    const key = keyOf(await claim(B, asked))
    arrive()
    await clock.tickAsync(100)
    expect((await slow).type).to.equal('busy')
    await settle(key, 'yes')
    expect((await claim(C, asked)).type).to.equal('answered')
  })

  it('are not claimed with the verdict of an owner that has ended', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    let arrive: () => void = () => undefined
    gateways.held.set('key claim', new Promise(resolve => (arrive = resolve)))
    const slow = gateways.running.get(A)!.keys.claim(asked, 100)
    await clock.tickAsync(10)
    gateways.held.delete('key claim')
    gateways.kill(B)
    gateways.start(B)
    await clock.tickAsync(5_000)
    keyOf(await claim(C, asked))
    arrive()
    await clock.tickAsync(100)
    expect((await slow).type).to.equal('away')
  })

  it('are refused while the lists of the gateways differ', async () => {
    gateways.start(A)
    gateways.start(B, [A, B])
    gateways.start(C)
    await clock.tickAsync(3_000)
    expect((await claim(A, gateways.askedOf(B))).type).to.equal('away')
    // B has to say first what it has.
    expect((await claim(A, gateways.askedOf(A))).type).to.equal('away')
    expect(gateways.lines.map(({ message }) => message)).to.include(
      'the gateways have different peers.addresses: requests with keys are refused (503)'
    )
  })

  it('are refused when another gateway answers at the entry of this one', async () => {
    await startAll()
    const { keys } = gateways.running.get(A)!
    const { peers } = gateways.running.get(A)!
    gateways.start(A)
    for (const listener of peers.whenRefreshed) listener()
    expect(await keys.claim(gateways.askedOf(A), 100)).to.include({ type: 'away' })
  })

  it('wait until the gateway has found itself in the list', async () => {
    await startAll()
    gateways.kill(A)
    const process = gateways.create(A)
    const asked = gateways.askedOf(B)
    for (const waitMs of [100, 30_000]) {
      const early = process.keys.claim(asked, waitMs)
      await clock.tickAsync(2_000)
      expect((await early).type).to.equal('away')
    }
    for (let nth = 0; nth < 3; nth++) for (const listener of process.peers.whenRefreshed) listener()
    expect(gateways.lines.at(-1)!.message).to.match(
      /^requests with keys are refused .* no gateway answers at gw-a:8091$/
    )
    const waiting = process.keys.claim(asked, 30_000)
    gateways.appear(process)
    await clock.tickAsync(100)
    keyOf(await waiting)
  })

  it('of an owner that is away are refused without a trace', async () => {
    await startAll()
    gateways.kill(B)
    gateways.calls.length = 0
    const { keys } = gateways.running.get(A)!
    for (let nth = 0; nth < 3_000; nth++) expect((await keys.claim(gateways.askedOf(B), 30_000)).type).to.equal('away')
    gateways.start(B)
    await clock.tickAsync(60_000)
    expect(gateways.calls.filter(name => !['key held', 'key standing'].includes(name))).to.deep.equal([])
  })

  it('are not asked for any more while an owner does not say that it knows the end of many claims', async () => {
    await startAll()
    const { keys } = gateways.running.get(A)!
    const { handlers } = gateways.running.get(B)!.peers
    for (const name of ['key claim', 'key settle']) {
      handlers.set(name, () => {
        throw new Error('it fails')
      })
    }
    const asked = gateways.askedOf(B)
    for (let nth = 0; nth < 1_200; nth++) {
      const claiming = keys.claim({ ...asked, hash: asked.hash.slice(0, 4) + String(nth).padEnd(12) }, 0)
      await clock.tickAsync(0)
      expect((await claiming).type).to.equal('away')
    }
    expect(gateways.calls.filter(name => name === 'key claim')).to.have.length(1_024)
  })

  it('let the answer leave when the owner does not know yet what others have', async () => {
    await startAll()
    const asked = gateways.askedOf(B)
    const key = keyOf(await claim(A, asked))
    gateways.kill(B)
    gateways.kill(C)
    gateways.start(B)
    await clock.tickAsync(5_000)
    let isSettled = false
    key.answered(answer, 'yes', () => (isSettled = true))
    await clock.tickAsync(1_000)
    expect(isSettled).to.equal(true)
    gateways.start(C)
    await clock.tickAsync(10_000)
    expect((await claim(C, asked)).type).to.equal('answered')
  })

  for (const [what, list, looks] of [
    ['has one entry', [A], 0],
    ['does not have this gateway', [B, C], 3]
  ] as const) {
    it(`hold at one gateway when the list ${what}`, async () => {
      gateways.start(B)
      gateways.start(C)
      const { keys } = gateways.start(A, list)
      const waiting = keys.claim(gateways.askedOf(B), 1_000)
      for (let nth = 0; nth < looks; nth++) gateways.refresh()
      await clock.tickAsync(10)
      keyOf(await waiting)
      expect(keys.reach).to.equal('gateway')
      expect(gateways.lines.map(({ message }) => message).join()).to.contain('hold at this gateway only')
    })
  }
})
