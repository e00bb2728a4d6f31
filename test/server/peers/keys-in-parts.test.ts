import { expect } from 'chai'
import type sinon from 'sinon'
import type { RecordOutcome } from '../../../src/core/model.js'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import type { Claim } from '../../../src/producer/keys/keys.js'
import type { PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { type KeyGateways, keyOf, type Process } from './key-gateways.js'
import { deliveredAt, type KeyedRequests, OpenRecords, setUpKeys } from './keyed-requests.js'

const [A, B, C] = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const
const options = { partitioner: 'crc32', deadlineMs: 10_000, durability: 'disk' } as const

describe('keys of requests whose records are at several gateways', () => {
  const values = ['one', 'two', 'three']
  let clock: sinon.SinonFakeTimers
  let gateways: KeyGateways
  let requests: KeyedRequests

  beforeEach(async () => {
    ;({ clock, gateways, requests } = setUpKeys([A, B, C]))
    await requests.startAll()
  })
  afterEach(() => requests.end())

  const claim = (at: string, asked: { hash: string; fingerprint: string }): Promise<Claim> => requests.claim(at, asked)
  const settle = async (key: ClaimedKey, persisted: string): Promise<void> => {
    expect(await requests.settle(key, persisted)).to.equal(true)
  }
  const produce = (at: string, key: ClaimedKey): PendingProduce => requests.produce(at, key, values)
  /** The durable log of a gateway that is started has these records of the request. */
  const logged = ({ own }: Process, asked: { hash: string; fingerprint: string }, indexes: readonly number[]): void => {
    const records = own.holder.of({ ...asked, atMs: 1_000_000 })
    for (const index of indexes) records.stored(index, index)
    records.isOpen = true
    own.store.open(records.key, own.name)
  }
  /** A gateway was killed when it had written the first of the records; another one has written the rest. */
  const leaveParts = async (asked: { hash: string; fingerprint: string }): Promise<void> => {
    keyOf(await claim(A, asked))
    gateways.kill(A)
    logged(gateways.start(A), asked, [0])
    await clock.tickAsync(5_000)
    const rest = keyOf(await claim(C, asked))
    produce(C, rest)
    expect(requests.written).to.deep.equal([`two at ${C}`, `three at ${C}`])
    await settle(rest, 'ppp')
  }

  for (const owner of [A, B, C]) {
    it(`are written once each, wherever the request comes again; their key is with ${owner}`, async () => {
      const asked = gateways.askedOf(owner)
      await leaveParts(asked)
      for (const at of [A, B, C, C, A]) {
        const again = keyOf(await claim(at, asked))
        produce(at, again)
        expect((await claim(B, asked)).type).to.equal('busy')
        await settle(again, 'ppp')
      }
      expect(requests.written).to.have.length(2)
    })

    it(`are written once each when the owner was started again; their key is with ${owner}`, async () => {
      const asked = gateways.askedOf(owner)
      await leaveParts(asked)
      gateways.kill(owner)
      const again = gateways.start(owner)
      if (owner === A) logged(again, asked, [0])
      if (owner === C) logged(again, asked, [1, 2])
      await clock.tickAsync(5_000)
      for (const at of [B, A, C]) {
        const key = keyOf(await claim(at, asked))
        produce(at, key)
        await settle(key, 'ppp')
      }
      expect(requests.written).to.have.length(2)
    })
  }

  it('are not written while one of these gateways is away', async () => {
    const asked = gateways.askedOf(B)
    await leaveParts(asked)
    gateways.kill(C)
    for (const at of [A, B]) expect((await claim(at, asked)).type).to.equal('away')
    logged(gateways.start(C), asked, [1, 2])
    await clock.tickAsync(5_000)
    produce(A, keyOf(await claim(A, asked)))
    expect(requests.written).to.have.length(2)
  })

  it('have the outcomes that each gateway knows, and are forgotten by all when there is an answer', async () => {
    const asked = gateways.askedOf(B)
    await leaveParts(asked)
    const again = keyOf(await claim(B, asked))
    const outcomes = produce(B, again).outcomes()
    const holderOf = (at: string) => gateways.running.get(at)!.own.holder
    holderOf(A).find(asked.hash)!.conclude(0, deliveredAt(5))
    for (const index of [1, 2])
      holderOf(C)
        .find(asked.hash)!
        .conclude(index, deliveredAt(5 + index))
    await clock.tickAsync(1_000)
    expect(await outcomes).to.deep.equal([deliveredAt(5), deliveredAt(6), deliveredAt(7)])
    await settle(again, 'yes')
    for (const at of [A, B, C]) {
      expect(holderOf(at).find(asked.hash), at).to.equal(undefined)
      expect((await claim(at, asked)).type).to.equal('answered')
    }
  })

  it('need no gateway that has asked and written nothing', async () => {
    const asked = gateways.askedOf(B)
    const first = keyOf(await claim(A, asked))
    produce(A, first)
    await settle(first, 'ppp')
    const again = keyOf(await claim(C, asked))
    produce(C, again)
    await settle(again, 'ppp')
    expect(gateways.running.get(C)!.own.holder.find(asked.hash)).to.equal(undefined)
    gateways.kill(C)
    for (const at of [A, B]) {
      const key = keyOf(await claim(at, asked))
      produce(at, key)
      await settle(key, 'ppp')
    }
    expect(requests.written).to.have.length(3)
  })

  it('are asked for at a gateway that did not know their outcomes when it answered', async () => {
    const asked = gateways.askedOf(B)
    const first = keyOf(await claim(A, asked))
    const record = { topic: 't', key: null, value: 'v', headers: [] }
    let arrive: (outcomes: readonly RecordOutcome[]) => void = () => undefined
    const sent = new OpenRecords(1, options.deadlineMs)
    sent.outcomes = () => new Promise(resolve => (arrive = resolve))
    first.produce([record], { ...options, durability: 'memory' }, () => sent)
    await settle(first, 'unknown')
    arrive([deliveredAt(5)])
    await clock.tickAsync(10)
    const again = keyOf(await claim(C, asked))
    const accept = (): never => {
      throw new Error('it is sent once more')
    }
    expect(await again.produce([record], options, accept).outcomes()).to.deep.equal([deliveredAt(5)])
  })

  it('may be at a gateway that was killed while it wrote the rest', async () => {
    const asked = gateways.askedOf(B)
    keyOf(await claim(A, asked))
    gateways.kill(A)
    logged(gateways.start(A), asked, [0])
    await clock.tickAsync(5_000)
    produce(C, keyOf(await claim(C, asked)))
    gateways.kill(C)
    for (const at of [A, B]) expect((await claim(at, asked)).type).to.equal('away')
    logged(gateways.start(C), asked, [1, 2])
    await clock.tickAsync(5_000)
    produce(A, keyOf(await claim(A, asked)))
    expect(requests.written).to.have.length(2)
  })

  it('are not freed by an answer that another one has no records, while they wait', async () => {
    const asked = gateways.askedOf(B)
    const first = keyOf(await claim(A, asked))
    produce(A, first)
    await settle(first, 'ppp')
    // The API refuses the request before it sends records: too many requests, for instance.
    await settle(keyOf(await claim(C, asked)), 'no')
    await settle(keyOf(await claim(A, asked)), 'no')
    for (const at of [B, C, A]) {
      const key = keyOf(await claim(at, asked))
      produce(at, key)
      await settle(key, 'ppp')
    }
    expect(requests.written).to.have.length(3)
  })

  it('are not sent twice at one gateway that the owner takes for gone', async () => {
    const asked = gateways.askedOf(B)
    const first = keyOf(await claim(A, asked))
    gateways.lose(B, A)
    gateways.cut.clear()
    expect((await claim(A, asked)).type).to.equal('busy')
    produce(A, first)
    await settle(first, 'yes')
    expect((await claim(A, asked)).type).to.equal('answered')
  })

  it('are not sent twice at one gateway by a verdict that comes late, after the retry has been answered', async () => {
    const asked = gateways.askedOf(B)
    let arrive: () => void = () => undefined
    gateways.held.set('key claim', new Promise(resolve => (arrive = resolve)))
    const slow = gateways.running.get(A)!.keys.claim(asked, 100)
    await clock.tickAsync(10)
    gateways.held.delete('key claim')
    gateways.lose(B, A)
    gateways.cut.clear()
    const retry = keyOf(await claim(A, asked))
    produce(A, retry)
    await settle(retry, 'yes')
    arrive()
    await clock.tickAsync(100)
    expect((await slow).type).to.equal('busy')
  })
})
