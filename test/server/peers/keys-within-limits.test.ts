import { expect } from 'chai'
import type sinon from 'sinon'
import type { Claim } from '../../../src/producer/keys/keys.js'
import { type KeyGateways, keyOf } from './key-gateways.js'
import { type KeyedRequests, setUpKeys } from './keyed-requests.js'

const [A, B, C] = ['gw-a:8091', 'gw-b:8091', 'gw-c:8091'] as const
const delivered = { type: 'delivered', partition: 0, offset: 7, timestampMs: 1 } as const
const options = { partitioner: 'crc32', deadlineMs: 10_000, durability: 'memory' } as const
const answerOf = (bytes: number) => ({ status: 200, headers: [], body: Buffer.alloc(bytes, 'a') })

describe('keys of several gateways, within their limits', () => {
  let clock: sinon.SinonFakeTimers
  let gateways: KeyGateways
  let requests: KeyedRequests

  beforeEach(async () => {
    ;({ clock, gateways, requests } = setUpKeys([A, B, C]))
    await requests.startAll()
  })
  afterEach(() => requests.end())

  const claim = (at: string, asked: { hash: string; fingerprint: string }): Promise<Claim> => requests.claim(at, asked)
  const recordsAt = (at: string, hash: string) => gateways.running.get(at)!.own.holder.find(hash)!

  it('leave a long answer with its records, from which a request that comes again is answered', async () => {
    const asked = gateways.askedOf(B)
    const key = keyOf(await claim(A, asked))
    recordsAt(A, asked.hash).conclude(0, delivered)
    let isSettled = false
    key.answered(answerOf(9 * 1_024 * 1_024), 'y', () => (isSettled = true))
    await clock.tickAsync(100)
    expect(isSettled).to.equal(true)
    expect(gateways.running.get(B)!.own.store.bytes).to.be.below(1_000)
    const again = keyOf(await claim(C, asked))
    const record = { topic: 't', key: null, value: Buffer.from('v'), headers: [] }
    const accept = (): never => {
      throw new Error('it is sent once more')
    }
    expect(await again.produce([record], options, accept).outcomes()).to.deep.equal([delivered])
  })

  for (const [bytes, type] of [
    [16 * 1_024, 'answered'],
    [17 * 1_024, 'claimed']
  ] as const) {
    it(`keep an answer of ${bytes} bytes that the owner did not get at first: ${type === 'answered'}`, async () => {
      const asked = gateways.askedOf(B)
      const key = keyOf(await claim(A, asked))
      recordsAt(A, asked.hash).conclude(0, delivered)
      gateways.kill(B)
      key.answered(answerOf(bytes), 'y', () => undefined)
      await clock.tickAsync(1_000)
      gateways.start(B)
      await clock.tickAsync(10_000)
      expect((await claim(C, asked)).type).to.equal(type)
    })
  }

  it('are not claimed where the gateway with the request has no capacity for its records', async () => {
    const asked = gateways.askedOf(B)
    const used = gateways.askedOf(A)
    keyOf(await claim(A, used))
    gateways.running.get(A)!.own.store.hold(used.hash, 10_000)
    expect((await claim(A, asked)).type).to.equal('full')
    keyOf(await claim(C, asked))
  })

  it('keep records as long as their answer is not kept, because another request has the key', async () => {
    const asked = gateways.askedOf(B)
    const first = keyOf(await claim(A, asked))
    recordsAt(A, asked.hash).conclude(0, delivered)
    gateways.cut.add(`${A}>${B}`)
    first.answered(answerOf(10), 'yes', () => undefined)
    await clock.tickAsync(10)
    gateways.lose(B, A)
    gateways.cut.delete(`${B}>${A}`)
    keyOf(await claim(C, asked))
    gateways.cut.clear()
    await clock.tickAsync(10_000)
    expect(recordsAt(A, asked.hash).view.outcomes).to.deep.equal([[0, delivered]])
    gateways.kill(C)
    gateways.start(C)
    await clock.tickAsync(5_000)
    const again = keyOf(await claim(B, asked))
    again.answered(answerOf(10), 'yes', () => undefined)
    await clock.tickAsync(100)
    expect(recordsAt(A, asked.hash)).to.equal(undefined)
  })
})
