import { expect } from 'chai'
import { ShareLocks } from '../../../src/consumer/queue/share-locks.js'
import { keyOf } from '../../../src/kafka/protocol/share.js'
import { fakeRecord } from '../../support/fake-batch.js'

const PLACE = { topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 3 }
const OTHER = { ...PLACE, partition: 4 }
const [KEY, OTHER_KEY] = [keyOf(PLACE), keyOf(OTHER)]
const acquired = (...offsets: readonly number[]) => offsets.map(offset => ({ record: fakeRecord(offset) }))

describe('the locks of a share session', () => {
  let now: number
  let locks: ShareLocks
  beforeEach(() => {
    now = 1_000
    locks = new ShareLocks(() => now)
  })

  it('are held until they end, each by its own acquisition', () => {
    locks.add(PLACE, acquired(7), 2_000)
    const former = locks.find(KEY, 7)
    expect(locks.holds(KEY, 7, former)).to.equal(true)
    expect([locks.find(OTHER_KEY, 7), locks.find(KEY, 8)]).to.deep.equal([undefined, undefined])
    now = 2_000
    expect(locks.holds(KEY, 7, former)).to.equal(false)
    locks.add(PLACE, acquired(7), 9_000)
    expect(locks.holds(KEY, 7, former)).to.equal(false)
    expect(locks.holds(KEY, 7, locks.find(KEY, 7))).to.equal(true)
  })

  it('stay where a late answer is about a former acquisition of the message', () => {
    locks.add(PLACE, acquired(7), 2_000)
    const former = locks.find(KEY, 7)
    locks.add(PLACE, acquired(7), 9_000)
    const newest = locks.find(KEY, 7)
    locks.remove(KEY, 7, former)
    locks.remove(KEY, 7, undefined)
    expect(locks.holds(KEY, 7, newest)).to.equal(true)
    locks.remove(KEY, 7, newest)
    expect([locks.find(KEY, 7), locks.isEmpty]).to.deep.equal([undefined, true])
  })

  it('are dropped when they have ended, not sooner and not more often than is asked for', () => {
    locks.add(PLACE, acquired(7), 2_000)
    locks.add(PLACE, acquired(8), 5_000)
    locks.add(OTHER, acquired(7), 2_000)
    const [ended, running] = [locks.find(KEY, 7), locks.find(KEY, 8)]
    now = 3_000
    locks.dropEnded(5_000)
    expect(locks.find(KEY, 7)).to.equal(ended)
    locks.dropEnded(2_000)
    expect([locks.find(KEY, 7), locks.find(OTHER_KEY, 7), locks.find(KEY, 8)]).to.deep.equal([
      undefined,
      undefined,
      running
    ])
    locks.forget(PLACE)
    expect(locks.isEmpty).to.equal(true)
  })
})
