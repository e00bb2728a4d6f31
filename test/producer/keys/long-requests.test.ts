import { expect } from 'chai'
import { LocalKeys } from '../../../src/producer/keys/local-keys.js'

const WINDOW_MS = 60_000

describe('a key whose request is under way for longer than the window', () => {
  const asked = { hash: 'a'.padStart(16, 'k'), fingerprint: 'f'.repeat(8) }
  let now: number
  let keys: LocalKeys
  beforeEach(() => {
    now = 1_000_000
    keys = new LocalKeys({
      windowMs: WINDOW_MS,
      maxBytes: 2 ** 24,
      now: () => now,
      newSalt: () => 5,
      onFailure: error => expect.fail(String(error))
    })
  })

  it('is busy for a repetition, which is not carried out', () => {
    expect(keys.claim(asked).type).to.equal('claimed')
    now += 2 * WINDOW_MS
    expect(keys.claim(asked).type).to.equal('busy')
  })

  it('is not forgotten with those that have expired when other requests come', () => {
    expect(keys.claim(asked).type).to.equal('claimed')
    now += 2 * WINDOW_MS
    expect(keys.claim({ ...asked, hash: 'b'.padStart(16, 'k') }).type).to.equal('claimed')
    expect([keys.size, keys.claim(asked).type]).to.deep.equal([2, 'busy'])
  })
})
