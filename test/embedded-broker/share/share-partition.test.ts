import { expect } from 'chai'
import { type AcquiredRange, SharePartition } from '../../../src/embedded-broker/share/share-partition.js'
import { ShareSettings } from '../../../src/embedded-broker/share/share-settings.js'
import { FakeTime } from '../../support/fake-time.js'
import { SeededRandom, testSeed } from '../../support/random.js'

type Asked = Pick<
  SharePartition,
  'begin' | 'acquire' | 'skipTo' | 'acknowledge' | 'release' | 'endLocks' | 'forgetLocks' | 'fit'
>
interface Offset {
  state: 'available' | 'acquired' | 'settled'
  count: number
  owner: string | undefined
}

/** A share partition that keeps a state for each offset. */
class OneByOne implements Asked {
  start: number | undefined
  end = 0
  isStored = false
  readonly #locks: number
  readonly #limit: number
  #offsets = new Map<number, Offset>()

  constructor(locks: number, limit: number) {
    this.#locks = locks
    this.#limit = limit
  }

  get seen() {
    const all = [...this.#offsets].sort(([a], [b]) => a - b)
    return {
      startOffset: this.start,
      endOffset: this.end,
      nextOffset: all.find(([, { state }]) => state === 'available')?.[0] ?? this.end,
      settledCount: all.filter(([, { state }]) => state === 'settled').length
    }
  }

  begin(offset: number): void {
    if (this.start === undefined) this.start = this.end = offset
  }

  acquire(owner: string, { maxRecords, lastOffset }: Parameters<SharePartition['acquire']>[1]) {
    const acquired: AcquiredRange[] = []
    const room = this.#locks - (this.end - this.start!)
    for (let at = this.start!, end = this.end; at <= lastOffset && acquired.length < maxRecords; at++) {
      if (at >= end + room) break
      const one = this.#offsets.get(at) ?? { state: 'available', count: 0, owner: undefined }
      if (at >= this.end) this.end = at + 1
      this.#offsets.set(at, one)
      if (one.state !== 'available') continue
      Object.assign(one, { state: 'acquired', owner })
      one.count++
      acquired.push({ first: at, last: at, deliveryCount: one.count })
    }
    return acquired
  }

  skipTo(offset: number): void {
    for (; this.end < offset; this.end++) this.#offsets.set(this.end, { state: 'settled', count: 0, owner: undefined })
    this.#advance()
  }

  acknowledge(owner: string, ranges: Parameters<SharePartition['acknowledge']>[1]) {
    const each = ranges.flatMap(({ first, last, types }) =>
      Array.from({ length: last - first + 1 }, (_, at) => ({ offset: first + at, last, type: types[at] ?? types[0]! }))
    )
    for (const { offset, last } of each) {
      const one = this.#offsets.get(offset)
      if (last >= this.end) return { errorCode: 42, message: 'Batch record not found.' }
      if (offset < this.start!) continue
      if (one!.state !== 'acquired') return { errorCode: 121, message: 'The offset is not acquired.' }
      if (one!.owner !== owner) return { errorCode: 121, message: 'Member is not the owner of offset' }
    }
    for (const { offset, type } of each) {
      const one = this.#offsets.get(offset)
      if (offset < this.start! || type === RENEW) continue
      if (type === RELEASE) this.#free(one!)
      else Object.assign(one!, { state: 'settled', owner: undefined })
    }
    this.isStored = true
    this.#advance()
    return { errorCode: 0, message: null }
  }

  release(owner: string): void {
    for (const one of this.#offsets.values()) if (one.owner === owner) this.#free(one)
    this.#advance()
  }

  endLocks(): void {
    for (const one of this.#offsets.values()) if (one.owner !== undefined) this.#free(one)
    this.#advance()
  }

  forgetLocks(): void {
    for (const one of this.#offsets.values()) {
      if (one.state !== 'acquired') continue
      Object.assign(one, { state: 'available', owner: undefined })
      one.count--
    }
    for (let last = this.#offsets.get(this.end - 1); last?.state === 'available' && last.count === 0; ) {
      this.#offsets.delete(--this.end)
      last = this.#offsets.get(this.end - 1)
    }
    if (this.isStored) return
    this.#offsets.clear()
    this.start = undefined
  }

  fit(first: number, end: number): void {
    if (this.start === undefined) return
    for (const offset of [...this.#offsets.keys()]) if (offset < first || offset >= end) this.#offsets.delete(offset)
    this.end = Math.max(first, Math.min(end, this.end))
    this.start = Math.min(Math.max(first, this.start), this.end)
    this.#advance()
  }

  #free(one: Offset): void {
    Object.assign(one, { state: one.count >= this.#limit ? 'settled' : 'available', owner: undefined })
    this.isStored = true
  }

  #advance(): void {
    if (this.start === undefined) return
    while (this.#offsets.get(this.start)?.state === 'settled') this.#offsets.delete(this.start++)
  }
}

/** Something that is asked of a partition, by lot. @returns does it, and tells its outcome offset by offset */
function stepOf(random: SeededRandom, end: number): (share: Asked) => unknown {
  const member = random.pick(['a', 'b'])
  const [near, far] = [random.between(0, end + 2), random.between(0, end + 20)]
  const [maxRecords, size] = [random.between(1, 12), random.between(1, 4)]
  const types = Array.from({ length: random.pick([1, size]) }, () => random.pick([0, ACCEPT, RELEASE, REJECT, RENEW]))
  const begun = (share: Asked): void => share.begin(3)
  const acquire = (share: Asked): unknown => {
    begun(share)
    return share
      .acquire(member, { maxRecords, lastOffset: far })
      .flatMap(({ first, last, deliveryCount }) =>
        Array.from({ length: last - first + 1 }, (_, at) => `${first + at} ${deliveryCount}`)
      )
  }
  const acknowledge = (share: Asked): unknown => {
    begun(share)
    return share.acknowledge(member, [{ first: near, last: near + size - 1, types }])
  }
  const rare = [
    (share: Asked) => share.endLocks(),
    (share: Asked) => share.forgetLocks(),
    (share: Asked) => share.fit(Math.max(0, near - 5), far),
    (share: Asked) => {
      begun(share)
      share.skipTo(near + 2)
    },
    (share: Asked) => share.release(member)
  ]
  return random.pick([acquire, acquire, acknowledge, acknowledge, acknowledge, random.pick(rare)])
}

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

  it('begins anew after a leader has moved before anything was stored, also behind offsets without records', () => {
    take('a', 9, 3)
    share.skipTo(6)
    take('a', 9)
    share.forgetLocks()
    share.begin(0)
    expect(take('b', 100)).to.deep.equal([[0, 9, 1]])
    expect([share.startOffset, share.endOffset]).to.deep.equal([0, 10])
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

  const seed = testSeed()
  it(`has each offset once, in one state, whatever is asked of it (seed ${seed})`, () => {
    for (let world = seed; world < seed + 100; world++) {
      settings = new ShareSettings(new Map([['share.delivery.count.limit', '3']]))
      share = new SharePartition(() => settings)
      const model = new OneByOne(100, 3)
      const random = new SeededRandom(world)
      for (let step = 0; step < 60; step++) {
        const done = stepOf(random, model.end)
        expect(done(share), `world ${world}, step ${step}: ${done}`).to.deep.equal(done(model))
        const { startOffset, endOffset, nextOffset, settledCount } = share
        const seen = { startOffset, endOffset, nextOffset, settledCount }
        expect(seen, `world ${world}, step ${step}: ${done}`).to.deep.equal(model.seen)
      }
      share.close()
    }
  })

  it('reads how far before now a group begins', () => {
    const startOf = (value: string) => new ShareSettings(new Map([['share.auto.offset.reset', value]])).start
    expect(startOf('by_duration:PT1H')).to.equal(3_600_000)
    expect(startOf('by_duration:P1DT2M3.5S')).to.equal(86_400_000 + 120_000 + 3_500)
    expect(startOf('earliest')).to.equal('earliest')
  })
})
