import { expect } from 'chai'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import type { AskedKey, LocalKeys } from '../../../src/producer/keys/local-keys.js'
import { localKeys } from '../../support/local-keys.js'
import { toHash } from './send-with-key.js'

const asked = (name: string): AskedKey => ({ hash: toHash(name), fingerprint: 'f'.repeat(8) })

describe('keys whose requests are under way', () => {
  let keys: LocalKeys
  const claim = (name: string): ClaimedKey => {
    const claimed = keys.claim(asked(name))
    if (claimed.type !== 'claimed') throw new Error(claimed.type)
    return claimed.key
  }
  const answer = (key: ClaimedKey): void =>
    key.answered({ status: 200, headers: [], body: Buffer.from('a') }, 'yes', { settled: () => undefined })
  const states = (): readonly string[] => ['a', 'b', 'c'].map(name => keys.claim(asked(name)).type)

  beforeEach(() => {
    keys = localKeys()
  })

  it('are busy, however many there are and in whatever order they are answered', () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
      [2, 0, 1]
    ]) {
      keys = localKeys()
      const claimed = ['a', 'b', 'c'].map(claim)
      expect(keys.size).to.equal(3)
      const expected = ['busy', 'busy', 'busy']
      for (const nth of order) {
        expect(states()).to.deep.equal(expected)
        answer(claimed[nth]!)
        expected[nth] = 'answered'
      }
      expect(states()).to.deep.equal(expected)
      expect(keys.size).to.equal(3)
    }
  })

  it('can be claimed again when they were given back, also the last one', () => {
    const [first, last] = [claim('a'), claim('b')]
    last.release()
    first.release()
    expect(keys.size).to.equal(0)
    expect(states()).to.deep.equal(['claimed', 'claimed', 'claimed'])
  })
})
