import { expect } from 'chai'
import { SharePartition } from '../../../src/embedded-broker/share/share-partition.js'
import { ShareSettings } from '../../../src/embedded-broker/share/share-settings.js'
import { FakeTime } from '../../support/fake-time.js'

const [ACCEPT, RELEASE, REJECT, RENEW] = [1, 2, 3, 4] as const

describe('the share partition of the embedded broker', () => {
  let time: FakeTime
  let settings: ShareSettings
  let share: SharePartition

  beforeEach(() => {
    time = new FakeTime()
    settings = new ShareSettings()
    share = new SharePartition(() => settings)
    share.begin(0)
  })
  afterEach(() => {
    share.close()
    time.restore()
  })

  const take = (memberId: string, maxRecords: number, lastOffset = 9) =>
    share.acquire(memberId, { maxRecords, lastOffset }).map(range => [range.first, range.last, range.deliveryCount])
  const settle = (memberId: string, first: number, last: number, ...types: number[]) =>
    share.acknowledge(memberId, [{ first, last, types }]).errorCode

  it('gives each record to one member, and moves on when the first are settled', () => {
    expect(take('a', 2)).to.deep.equal([[0, 1, 1]])
    expect(take('b', 100)).to.deep.equal([[2, 9, 1]])
    expect(take('b', 1)).to.deep.equal([])
    expect(settle('a', 0, 1, ACCEPT, REJECT)).to.equal(0)
    expect([share.startOffset, share.endOffset]).to.deep.equal([2, 10])
  })

  it('refuses what the member does not hold (121) and what was never acquired (42), and takes what is over', () => {
    take('a', 2)
    take('b', 1)
    expect(settle('b', 0, 0, ACCEPT)).to.equal(121)
    expect(settle('a', 1, 2, ACCEPT)).to.equal(121)
    expect(settle('a', 3, 3, ACCEPT)).to.equal(42)
    expect(settle('a', 0, 0, ACCEPT)).to.equal(0)
    expect(settle('a stranger', 0, 0, RELEASE)).to.equal(0)
    settle('b', 2, 2, ACCEPT)
    expect(settle('b', 2, 2, ACCEPT)).to.equal(121)
  })

  it('takes all ranges of a partition or none', () => {
    take('a', 2)
    const ranges = [
      { first: 0, last: 0, types: [ACCEPT] },
      { first: 5, last: 5, types: [ACCEPT] }
    ]
    expect(share.acknowledge('a', ranges).errorCode).to.equal(42)
    expect(share.startOffset).to.equal(0)
  })

  it('gives a released record again at once, counts it, and archives it at the limit', () => {
    settings = new ShareSettings(new Map([['share.delivery.count.limit', '2']]))
    take('a', 1)
    settle('a', 0, 0, RELEASE)
    expect(take('b', 1)).to.deep.equal([[0, 0, 2]])
    settle('b', 0, 0, RELEASE)
    expect([share.startOffset, share.nextOffset]).to.deep.equal([1, 1])
  })

  it('ends a lock at its time, tells those that wait, and starts it anew by a renewal', async () => {
    let woken = 0
    share.watch(() => woken++)
    take('a', 2)
    await time.pass(20_000, 1_000)
    expect(settle('a', 1, 1, RENEW)).to.equal(0)
    await time.pass(10_000, 1_000)
    expect([woken, settle('a', 0, 0, ACCEPT)]).to.deep.equal([1, 121])
    expect(take('b', 9)).to.deep.equal([
      [0, 0, 2],
      [2, 9, 1]
    ])
    await time.pass(19_000, 1_000)
    expect(settle('a', 1, 1, ACCEPT)).to.equal(0)
  })

  it('renews no lock where the group may not', () => {
    settings = new ShareSettings(new Map([['share.renew.acknowledge.enable', 'false']]))
    take('a', 1)
    expect(settle('a', 0, 0, RENEW)).to.equal(121)
  })

  it('holds no more than its window, until the first record is settled', () => {
    settings = new ShareSettings(new Map([['share.partition.max.record.locks', '100']]))
    expect(take('a', 500, 999)).to.deep.equal([[0, 99, 1]])
    expect([share.canAcquire, take('a', 1, 999)]).to.deep.equal([false, []])
    settle('a', 1, 99, ACCEPT)
    expect(share.canAcquire).to.equal(false)
    settle('a', 0, 0, ACCEPT)
    expect(take('a', 1, 999)).to.deep.equal([[100, 100, 1]])
  })

  it('acquires whole batches where it is told their ends, and nothing that is hidden', () => {
    const endOfBatch = (offset: number) => Math.floor(offset / 5) * 5 + 4
    const acquired = share.acquire('a', { maxRecords: 7, lastOffset: 19, endOfBatch, hidden: [{ first: 4, last: 6 }] })
    expect(acquired.map(({ first, last }) => [first, last])).to.deep.equal([
      [0, 3],
      [7, 9]
    ])
  })

  it('forgets locks and their deliveries as a new leader does, and keeps what is settled', () => {
    take('a', 4)
    settle('a', 1, 1, ACCEPT)
    share.forgetLocks()
    expect(settle('a', 0, 0, ACCEPT)).to.equal(121)
    expect(settle('a', 3, 3, ACCEPT)).to.equal(42)
    expect(take('b', 3)).to.deep.equal([
      [0, 0, 1],
      [2, 3, 1]
    ])
  })

  it('releases what a member holds, and leaves the others alone', () => {
    take('a', 2)
    take('b', 2)
    share.release('a')
    expect(take('c', 2)).to.deep.equal([[0, 1, 2]])
    expect(settle('b', 2, 3, ACCEPT)).to.equal(0)
  })

  it('follows a log that loses records at its beginning or end', () => {
    take('a', 6)
    share.fit(3, 5)
    expect([share.startOffset, share.endOffset]).to.deep.equal([3, 5])
    expect(settle('a', 0, 1, ACCEPT)).to.equal(0)
    expect(settle('a', 3, 4, ACCEPT)).to.equal(0)
  })

  it('reads how far before now a group begins', () => {
    const startOf = (value: string) => new ShareSettings(new Map([['share.auto.offset.reset', value]])).start
    expect(startOf('by_duration:PT1H')).to.equal(3_600_000)
    expect(startOf('by_duration:P1DT2M3.5S')).to.equal(86_400_000 + 120_000 + 3_500)
    expect(startOf('earliest')).to.equal('earliest')
  })
})
