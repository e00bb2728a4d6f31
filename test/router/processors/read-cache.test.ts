import { expect } from 'chai'
import type { PartitionIdentity } from '../../../src/core/model.js'
import { MessageCache } from '../../../src/router/processors/message-cache.js'
import { ReadCache } from '../../../src/router/processors/read-cache.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { FakeBatch, fakeBatchOf } from '../../support/fake-batch.js'

const KEY = 'orders/0'

describe('read cache', () => {
  let cache: ReadCache
  let metrics: CountingMetrics
  beforeEach(() => {
    metrics = new CountingMetrics()
    const messages = new MessageCache({ maxBytes: 10_000, bufferBytes: 1_000, concat: FakeBatch.concat })
    cache = new ReadCache({ cache: messages, isolationLevel: 'readUncommitted', concat: FakeBatch.concat, metrics })
  })

  const identity = (leaderEpoch: number, topicId: string | undefined = 'A'): PartitionIdentity => ({
    topicId,
    leaderEpoch
  })
  /** Records 5 to 9 of a log that reaches from 0 to 10. */
  const keepFive = (of = identity(3)): void => {
    cache.setIdentity(KEY, of)
    cache.saw(KEY, 0, 10)
    cache.keep(KEY, 5, fakeBatchOf(5, 5, 50))
  }
  const cached = (): number[] => [5, 6, 7, 8, 9].filter(offset => cache.lookUp(KEY, offset) !== undefined)
  const all = [5, 6, 7, 8, 9]

  it('keeps what it has under the same identity, whoever brings it', () => {
    keepFive()
    const now = identity(3)
    cache.setIdentity(KEY, now)
    expect(cached()).to.deep.equal(all)
    expect([cache.endOf(KEY), cache.identityOf(KEY) === now]).to.deep.equal([10, true])
    expect(metrics.gaugeOf('cache_bytes')).to.equal(cache.cache.sizeBytes)
  })

  it('takes no notice of a request that was routed before the present leader was known', () => {
    const present = identity(3)
    keepFive(present)
    cache.setIdentity(KEY, identity(2))
    expect(cached()).to.deep.equal(all)
    expect(cache.identityOf(KEY)).to.equal(present)
  })

  it('forgets records and bounds under a later leader, and under another topic of whatever epoch', () => {
    for (const next of [identity(4), identity(2, 'B'), identity(3, 'B')]) {
      cache.forgetAll()
      keepFive()
      cache.setIdentity(KEY, next)
      expect(cached()).to.deep.equal([])
      expect([cache.startOf(KEY), cache.endOf(KEY)]).to.deep.equal([undefined, undefined])
      expect(cache.identityOf(KEY)).to.equal(next)
    }
  })

  it('keeps to the bounds that answers name, one by one', () => {
    keepFive()
    cache.saw(KEY, 6, undefined)
    expect(cached()).to.deep.equal([6, 7, 8, 9])
    expect([cache.startOf(KEY), cache.endOf(KEY)]).to.deep.equal([6, 10])
    cache.saw(KEY, undefined, 9)
    expect(cached(), 'an entry that reaches beyond the end is dropped').to.deep.equal([])
    expect([cache.startOf(KEY), cache.endOf(KEY)]).to.deep.equal([6, 9])
  })

  it('knows no bounds of a partition that nobody has asked about', () => {
    cache.saw(KEY, 0, 10)
    cache.sawOutOfRange(KEY, 5)
    expect([cache.startOf(KEY), cache.endOf(KEY)]).to.deep.equal([undefined, undefined])
  })

  it('drops everything of a topic without an id when its log became shorter: it may be another one', () => {
    const unnamed = { topicId: undefined, leaderEpoch: 3 }
    keepFive(unnamed)
    cache.saw(KEY, undefined, 10)
    expect(cached(), 'as long as before').to.deep.equal(all)
    cache.saw(KEY, undefined, 11)
    expect(cached(), 'longer').to.deep.equal(all)
    cache.saw(KEY, undefined, 10)
    expect(cached(), 'shorter, though it holds all that is cached').to.deep.equal([])
  })

  describe('after a broker refused an offset', () => {
    for (const refused of [0, 7, 10]) {
      it(`${refused} between the bounds, serves nothing until they are known, and then only if it is outside of them`, () => {
        keepFive()
        cache.sawOutOfRange(KEY, refused)
        expect(cached()).to.deep.equal([])
        cache.saw(KEY, 0, 10)
        expect(cached(), 'the log was cut and has grown since').to.deep.equal([])
        keepFive()
        expect(cached()).to.deep.equal(all)
      })
    }

    it('outside of the bounds, goes on: that says nothing new', () => {
      keepFive()
      cache.saw(KEY, 1, undefined)
      for (const refused of [0, 11]) cache.sawOutOfRange(KEY, refused)
      expect(cached()).to.deep.equal(all)
    })

    it('keeps what is inside once it is known that the log begins behind the refused one, or ends before it', () => {
      keepFive()
      cache.sawOutOfRange(KEY, 5)
      cache.saw(KEY, 6, 10)
      expect(cached()).to.deep.equal([6, 7, 8, 9])
      cache.saw(KEY, 6, 12)
      cache.sawOutOfRange(KEY, 12)
      cache.saw(KEY, 6, 11)
      expect(cached()).to.deep.equal([6, 7, 8, 9])
    })
  })

  it('forgets one partition, or all', () => {
    keepFive()
    cache.forget(KEY)
    expect([cached(), cache.identityOf(KEY)]).to.deep.equal([[], undefined])
    keepFive()
    cache.forgetAll()
    expect([cached(), cache.identityOf(KEY)]).to.deep.equal([[], undefined])
  })
})
