import { expect } from 'chai'
import type { KeyName } from '../../../src/producer/keys/key-frames.js'
import { LocalKeys } from '../../../src/producer/keys/local-keys.js'

const MAX_BYTES = 1024 * 1024
/** Memory of a key while its request is under way, and of one with the answer below. */
const KEY_BYTES = 400
const ANSWERED_BYTES = 172

describe('the memory for keys', () => {
  let keys: LocalKeys
  let nowMs: number
  let ratio: number
  beforeEach(() => {
    nowMs = 1_000_000
    ratio = 0
    keys = new LocalKeys({
      windowMs: 60_000,
      maxBytes: MAX_BYTES,
      now: () => nowMs,
      newSalt: () => 7,
      report: used => {
        ratio = used
      },
      onFailure: error => {
        throw error
      }
    })
  })

  let last = 0
  const keyOf = (client: string): KeyName => ({
    hash: `${last++}`.padStart(12, '0') + client.padEnd(4),
    fingerprint: 'f'.repeat(8),
    atMs: nowMs
  })
  const answer = { status: 200, headers: [], body: Buffer.alloc(100) }
  /** Uses new keys until one is refused. @returns how many were taken */
  const fill = (client: string, most = Number.POSITIVE_INFINITY): number => {
    for (let taken = 0; taken < most; taken++) {
      const key = keyOf(client)
      const claim = keys.claim(key)
      if (!('type' in claim) || claim.type !== 'claimed') {
        expect(claim).to.include({ type: 'full' })
        return taken
      }
      claim.key.answered(answer, 'yes', { settled: () => undefined })
    }
    return most
  }
  const all = MAX_BYTES / ANSWERED_BYTES

  it('is left to others by one client, however many keys it uses', () => {
    expect(fill('ann') / all).to.be.closeTo(0.75, 0.01)
    expect(fill('bob') / all).to.be.closeTo(0.1875, 0.01)
    expect(fill('ann')).to.equal(0)
    expect(fill('cid', 10)).to.equal(10)
  })

  it('is a client’s again when its keys have expired', () => {
    const taken = fill('ann')
    nowMs += 60_001
    expect(fill('bob', 1)).to.equal(1)
    expect(fill('ann')).to.be.closeTo(taken, 2)
  })

  it('is used by records until their request has a certain answer', async () => {
    const key = keyOf('ann')
    const claim = await keys.claim(key)
    if (claim.type !== 'claimed') throw new Error(claim.type)
    const before = keys.usedBytes
    const records = keys.find(key.hash)
    for (let index = 0; index < 1_000; index++) keys.logged.stored(records!, index, index + 1)
    records!.isAwaited = true
    claim.key.answered(answer, 'pending', { settled: () => undefined })
    expect(keys.usedBytes - before).to.equal(90 * 1_000)
    const again = await keys.claim(records!.key)
    if (again.type !== 'claimed') throw new Error(again.type)
    again.key.answered(answer, 'yes', { settled: () => undefined })
    expect(keys.usedBytes - before).to.equal(ANSWERED_BYTES - KEY_BYTES)
  })

  it('is not used by requests that do not wait for one under way', () => {
    const key = keyOf('ann')
    keys.claim(key)
    for (let again = 0; again < 10; again++) expect(keys.claim(key)).to.deep.equal({ type: 'busy' })
    expect([keys.usedBytes, keys.size]).to.deep.equal([KEY_BYTES, 1])
  })

  it('is reported as the share that is used', () => {
    fill('ann')
    nowMs += 1_000
    fill('ann')
    expect(ratio).to.be.closeTo(0.75, 0.01)
  })

  it('is freed in small steps when many keys have expired, and all of it as more requests come', () => {
    const count = fill('ann', 3_500)
    nowMs += 60_001
    fill('bob', 1)
    expect(keys.size).to.be.within(count - 1_000, count)
    fill('bob', 4)
    expect(keys.size).to.equal(5)
  })

  it('is freed as far as a new key needs it, however many keys have expired', () => {
    const count = fill('ann')
    nowMs += 60_001
    expect(fill('ann', 10)).to.equal(10)
    expect(count).to.be.greaterThan(3_000)
  })
})
