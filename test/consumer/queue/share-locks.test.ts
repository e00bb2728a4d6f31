import { expect } from 'chai'
import { ShareLocks } from '../../../src/consumer/queue/share-locks.js'
import { lockOf } from './lock-of.js'

const PLACE = { topicId: 'AAAAAAAAAAAAAAAAAAAAAQ', partition: 3 }
const OTHER = { ...PLACE, partition: 4 }

describe('the locks of a share session', () => {
  let now: number
  let locks: ShareLocks
  beforeEach(() => {
    now = 1_000
    locks = new ShareLocks(() => now)
  })

  it('are held until they end, each by its own acquisition', () => {
    const former = lockOf({ ...PLACE, offset: 7, endsAt: 2_000 })
    const next = lockOf({ ...PLACE, offset: 7, endsAt: 9_000 })
    expect(locks.holds(former)).to.equal(false)
    locks.add(former)
    expect([former, next].map(one => locks.holds(one))).to.deep.equal([true, false])
    now = 2_000
    expect(locks.holds(former)).to.equal(false)
    former.endsAt = 9_000
    locks.add(next)
    expect([former, next].map(one => locks.holds(one))).to.deep.equal([false, true])
  })

  it('stay where a late answer is about a former acquisition of the message', () => {
    const former = lockOf({ ...PLACE, offset: 7, endsAt: 2_000 })
    const newest = lockOf({ ...PLACE, offset: 7, endsAt: 9_000 })
    locks.add(former)
    locks.add(newest)
    locks.remove(former)
    expect(locks.holds(newest)).to.equal(true)
    locks.remove(newest)
    expect([locks.holds(newest), locks.isEmpty]).to.deep.equal([false, true])
  })

  it('are dropped when they have ended, not sooner and not more often than is asked for', () => {
    const ended = lockOf({ ...PLACE, offset: 7, endsAt: 2_000 })
    const running = lockOf({ ...PLACE, offset: 8, endsAt: 5_000 })
    const ofOther = lockOf({ ...OTHER, offset: 7, endsAt: 2_000 })
    for (const lock of [ended, running, ofOther]) locks.add(lock)
    now = 3_000
    /** Which of them are still kept: a lock that was dropped does not come back with a later end. */
    const kept = (): boolean[] =>
      [ended, ofOther].map(lock => {
        const { endsAt } = lock
        lock.endsAt = 9_000
        const isKept = locks.holds(lock)
        lock.endsAt = endsAt
        return isKept
      })
    locks.dropEnded(5_000)
    expect(kept()).to.deep.equal([true, true])
    locks.dropEnded(2_000)
    expect([...kept(), locks.holds(running)]).to.deep.equal([false, false, true])
    locks.forget(PLACE)
    expect(locks.isEmpty).to.equal(true)
  })
})
