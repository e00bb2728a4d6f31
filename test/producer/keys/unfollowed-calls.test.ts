import { expect } from 'chai'
import type { ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import { LocalKeys } from '../../../src/producer/keys/local-keys.js'
import type { ProduceOptions } from '../../../src/producer/memory/delivery.js'
import { MemoryPendingProduce, type PendingProduce } from '../../../src/producer/memory/pending-produce.js'

const DELIVERED = { type: 'delivered', partition: 0, offset: 7, timestampMs: 1 } as const
const records: readonly ProduceRecord[] = [{ topic: 'orders', key: null, value: 'a' }]
const asynchronous: ProduceOptions = { partitioner: 'murmur2', deadlineMs: 30_000, answeredBy: 'kprf' }

const newKeys = (): LocalKeys =>
  new LocalKeys({ windowMs: 60_000, maxBytes: 1e6, now: () => 1_000, newSalt: () => 1, onFailure: () => undefined })

describe('keys of requests that do not wait for the outcomes of their records in memory', () => {
  let keys: LocalKeys
  beforeEach(() => {
    keys = newKeys()
  })

  const claimed = async (): Promise<ClaimedKey> => {
    const claim = await keys.claim({ hash: 'k'.repeat(16), fingerprint: 'f'.repeat(8) })
    if (claim.type !== 'claimed') throw new Error(claim.type)
    return claim.key
  }
  const sent = (key: ClaimedKey): MemoryPendingProduce => {
    const [pending] = sentWith(key)
    return pending!
  }
  const sentWith = (key: ClaimedKey): [MemoryPendingProduce | undefined, PendingProduce] => {
    let accepted: MemoryPendingProduce | undefined
    const result = key.produce(records, asynchronous, {
      accept: (_, options, __, tag) => {
        accepted = new MemoryPendingProduce(1, Number.POSITIVE_INFINITY, 0, undefined, undefined, options, tag)
        return accepted
      }
    })
    return [accepted, result]
  }
  const answer = (key: ClaimedKey, persisted: string): void =>
    key.answered({ status: 200, headers: [], body: Buffer.from(persisted) }, persisted, { settled: () => undefined })
  const deliver = (pending: MemoryPendingProduce): void => pending.delivered(0, 1, 0, 7, 1)

  it('learn the outcomes where the answer was unknown, before the answer or after it', async () => {
    for (const isBefore of [true, false]) {
      const key = await claimed()
      const pending = sent(key)
      if (isBefore) deliver(pending)
      answer(key, 'unknown')
      if (!isBefore) deliver(pending)
      await pending.outcomes()
      const [again, result] = sentWith(await claimed())
      expect(again).to.equal(undefined)
      const outcomes: readonly RecordOutcome[] = await result.outcomes()
      expect(outcomes).to.deep.equal([DELIVERED])
      keys = newKeys()
    }
  })

  it('are given again as they were, without the outcomes', async () => {
    const key = await claimed()
    sent(key)
    answer(key, 'pending')
    const claim = await keys.claim({ hash: 'k'.repeat(16), fingerprint: 'f'.repeat(8) })
    expect(claim).to.deep.include({ type: 'answered' })
    expect(keys.find('k'.repeat(16))).to.equal(undefined)
  })
})
