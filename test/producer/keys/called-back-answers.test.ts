import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { localKeys } from '../../support/local-keys.js'

const records: readonly ProduceRecord[] = [{ topic: 'orders', key: null, value: 'a' }]
const synchronous = { partitioner: 'murmur2', deadlineMs: 1_000 } as const

describe('a key whose request is answered as soon as its records have outcomes', () => {
  it('has noted them when the answer leaves, so that a request that begins then sends no record again', () => {
    const keys = localKeys()
    const claimed = (): ClaimedKey => {
      const claim = keys.claim({ hash: 'k'.repeat(16), fingerprint: 'f'.repeat(8) })
      if (claim.type !== 'claimed') throw new Error(claim.type)
      return claim.key
    }
    let sent = 0
    const pending = new MemoryPendingProduce(1, Number.POSITIVE_INFINITY)
    const acceptor = {
      accept: (): MemoryPendingProduce => {
        sent++
        return pending
      }
    }
    const key = claimed()
    key.produce(records, synchronous, acceptor)
    pending.whenSettled(() => {
      // A connection whose requests are limited begins its next one in the call that ends the answer of the one before.
      const settled = (): void => void claimed().produce(records, synchronous, acceptor)
      key.answered({ status: 504, headers: [], body: Buffer.from('') }, 'unknown', { settled })
    }, true)
    pending.settle(0, failures.timedOut('kafka has not acknowledged it', 'unknown'))
    expect(sent).to.equal(1)
  })
})
