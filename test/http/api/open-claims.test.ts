import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import sinon from 'sinon'
import type { ProduceRecord } from '../../../src/core/model.js'
import { OpenClaims } from '../../../src/http/api/open-claims.js'
import { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import type { LocalKeys } from '../../../src/producer/keys/keys.js'
import type { ProduceOptions } from '../../../src/producer/memory/delivery.js'
import type { PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { localKeys } from '../../support/local-keys.js'

const asked = { hash: 'h'.padEnd(16), fingerprint: 'f'.padEnd(8) }
const records: readonly ProduceRecord[] = [{ topic: 'orders', key: null, value: 'v' }]
const options: ProduceOptions = { partitioner: 'murmur2', deadlineMs: 5_000, durability: 'memory' }

describe('a key whose API does not answer', () => {
  let clock: sinon.SinonFakeTimers
  let keys: LocalKeys
  let claims: OpenClaims
  beforeEach(() => {
    clock = sinon.useFakeTimers({ now: 1_000_000 })
    keys = localKeys({ windowMs: 86_400_000 })
    claims = new OpenClaims()
  })
  afterEach(() => clock.restore())

  const claim = async (): Promise<ClaimedKey | string> => {
    claims.look()
    const claiming = keys.claim(asked)
    await clock.tickAsync(1)
    const claimed = await claiming
    return claimed.type === 'claimed' ? claimed.key : claimed.type
  }
  const begin = async (response: { writableEnded: boolean; destroyed: boolean }): Promise<ClaimedKey> => {
    const key = (await claim()) as ClaimedKey
    claims.add(key, response as ServerResponse, 30_000)
    return key
  }
  /** @param outcomes of records that are accepted in memory */
  const produce = (key: ClaimedKey, outcomes: PendingProduce['outcomes']): PendingProduce =>
    key.produce(records, options, () => ({
      refused: undefined,
      isWaiting: false,
      accepted: () => Promise.resolve(undefined),
      outcomes
    }))

  for (const [how, response] of [
    ['has left', { writableEnded: false, destroyed: true }],
    ['has another answer', { writableEnded: true, destroyed: false }]
  ] as const) {
    it(`can be used again some time after its client ${how}`, async () => {
      const key = await begin({ ...response })
      await clock.tickAsync(80_000)
      expect(await claim()).to.equal('busy')
      await clock.tickAsync(30_000)
      expect(await claim()).to.be.an.instanceOf(ClaimedKey)
      expect(claims.size).to.equal(0)
      key.answered({ status: 200, headers: [], body: Buffer.of() }, 'yes', () => undefined)
      expect(await claim()).to.equal('busy')
    })
  }

  it('stays with its request while the client waits', async () => {
    const response = { writableEnded: false, destroyed: false }
    await begin(response)
    await clock.tickAsync(600_000)
    expect(await claim()).to.equal('busy')
    response.destroyed = true
    await clock.tickAsync(10_001)
    expect(await claim()).to.be.an.instanceOf(ClaimedKey)
  })

  it('stays with its request while records may still be accepted', async () => {
    const key = await begin({ writableEnded: true, destroyed: false })
    let settle = (): void => undefined
    produce(
      key,
      () =>
        new Promise(resolve => {
          settle = () => resolve([{ type: 'delivered', partition: 0, offset: 7, timestampMs: 1 }])
        })
    )
    await clock.tickAsync(600_000)
    expect(await claim()).to.equal('busy')
    settle()
    await clock.tickAsync(10_001)
    const again = await claim()
    expect(again).to.be.an.instanceOf(ClaimedKey)
    const attached = produce(again as ClaimedKey, () => Promise.reject(new Error('a second record')))
    expect(await attached.outcomes()).to.deep.include.members([
      { type: 'delivered', partition: 0, offset: 7, timestampMs: 1 }
    ])
  })

  it('lets its request send nothing more once another one may have it', async () => {
    const key = await begin({ writableEnded: true, destroyed: false })
    await clock.tickAsync(100_000)
    claims.look()
    const late = produce(key, () => Promise.reject(new Error('a second record')))
    const [outcome] = await late.outcomes()
    expect(outcome).to.include({ type: 'failed', persisted: 'no', code: 'timedOut' })
  })

  it('is no longer looked after once its API has answered', async () => {
    const key = await begin({ writableEnded: true, destroyed: false })
    claims.delete(key)
    expect(claims.size).to.equal(0)
    await clock.tickAsync(600_000)
    expect(await claim()).to.equal('busy')
  })
})
