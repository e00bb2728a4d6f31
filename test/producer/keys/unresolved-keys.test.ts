import { expect } from 'chai'
import { UnavailableError } from '../../../src/core/errors.js'
import { LocalKeys } from '../../../src/producer/keys/keys.js'
import { type KeySetUp, setUpKeys } from '../../server/peers/keyed-requests.js'

describe('keys of an earlier process whose outcomes cannot be read', () => {
  let world: KeySetUp
  beforeEach(() => (world = setUpKeys(['a'])))
  afterEach(() => world.requests.end())

  it('stay open, and cost the process nothing but a line of the log', async () => {
    const { requests, clock } = world
    await requests.startAll()
    const asked = { hash: 'h'.repeat(16), fingerprint: 'f'.repeat(8) }
    const claim = await requests.claim('a', asked)
    if (claim.type !== 'claimed') throw new Error(claim.type)
    requests.produce('a', claim.key, ['1'])
    await clock.tickAsync(1_000)
    const errors: unknown[] = []
    const next = new LocalKeys({
      windowMs: 86_400_000,
      maxBytes: 2 ** 24,
      now: Date.now,
      newSalt: () => 5,
      onFailure: error => errors.push(`not written: ${error}`),
      onUnresolved: error => errors.push(error)
    })
    const unreadable = new UnavailableError('logUnavailable', 'not now')
    const log = {
      read: async () => ({ entries: [], nextSequence: 0, isAtEnd: true }),
      states: () => Promise.reject(unreadable)
    }
    await next.opened(log, requests.diskOf('a').directory)
    await clock.tickAsync(60_000)
    expect(errors).to.deep.equal([unreadable])
    expect(next.store.size).to.equal(1)
  })
})
