import { expect } from 'chai'
import type { GroupRuntime, Timer } from '../../../src/consumer/group/group-runtime.js'
import { type FoundTopics, lookUpTopics, WatchedTopics } from '../../../src/consumer/group/topic-look-ups.js'
import type { FetchTopicMetadata } from '../../../src/router/messages/operations.js'

describe('topics that groups watch', () => {
  let partitions: Map<string, number>
  let lookUps: { readonly topics: readonly string[]; readonly answer: (found?: FoundTopics) => void }[]
  let timers: { delayMs: number; run: () => void; isCancelled: boolean }[]
  let watched: WatchedTopics
  let told: string[]
  beforeEach(() => {
    partitions = new Map()
    lookUps = []
    timers = []
    told = []
    watched = new WatchedTopics({
      checkMs: 10_000,
      missingCheckMs: 1_000,
      after: (delayMs, run) => {
        const timer = { delayMs, run, isCancelled: false }
        timers.push(timer)
        return { cancel: () => (timer.isCancelled = true) }
      },
      lookUp: (topics, onFound) => lookUps.push({ topics, answer: onFound })
    })
  })
  const watch = (name: string, counts: Record<string, number>): Timer =>
    watched.watch(new Map(Object.entries(counts)), () => void told.push(name))
  /** The pause between two look-ups passes: of all topics, or of the missing ones. */
  const pass = (pauseMs = 10_000): void => {
    const due = timers.filter(({ delayMs, isCancelled }) => delayMs === pauseMs && !isCancelled)
    timers = timers.filter(timer => !due.includes(timer))
    for (const { run } of due) run()
  }
  const known = {
    partitionsOf: topic => Array.from({ length: partitions.get(topic) ?? 0 }, (_, at) => at)
  } as Partial<FoundTopics> as FoundTopics
  const answer = (): void => {
    for (const { answer } of lookUps.splice(0)) answer(known)
  }

  it('tell those that know fewer partitions, once each', () => {
    watch('knows four', { orders: 4 })
    watch('knows two', { orders: 2, bills: 1 })
    watch('knows none', { orders: 0 })
    watch('other topic', { bills: 1 })
    partitions.set('orders', 4).set('bills', 1)
    pass()
    answer()
    expect(told).to.deep.equal(['knows two', 'knows none'])
    partitions.set('orders', 5)
    pass()
    answer()
    expect(told).to.deep.equal(['knows two', 'knows none', 'knows four'])
  })

  it('are looked up early while they do not exist, without the others', () => {
    watch('waits', { orders: 0, bills: 1 })
    watch('knows', { bills: 1 })
    pass(1_000)
    expect(lookUps.map(({ topics }) => topics)).to.deep.equal([['orders']])
    answer()
    partitions.set('orders', 4)
    pass(1_000)
    answer()
    expect(told).to.deep.equal(['waits'])
    pass(1_000)
    expect(lookUps).to.deep.equal([])
    expect(timers.filter(({ isCancelled }) => !isCancelled).map(({ delayMs }) => delayMs)).to.deep.equal([10_000])
  })

  it('are looked up early, but not those of a group that misses more than a hundred: they may be invented', () => {
    const invented = Object.fromEntries(Array.from({ length: 101 }, (_, at) => [`invented-${at}`, 0]))
    watch('invents', invented)
    expect(timers.map(({ delayMs }) => delayMs)).to.deep.equal([10_000])
    watch('waits', { soon: 0, orders: 4 })
    pass(1_000)
    expect(lookUps[0]!.topics).to.deep.equal(['soon'])
    partitions.set('soon', 2)
    answer()
    expect(told).to.deep.equal(['waits'])
    partitions.set('invented-0', 1)
    pass()
    answer()
    expect(told).to.deep.equal(['waits', 'invents'])
  })

  it('are looked up early in one request, however many groups miss one', () => {
    for (let at = 0; at < 2_500; at++) watch(`g${at}`, { [`missing-${at}`]: 0 })
    pass(1_000)
    expect(lookUps.map(({ topics }) => topics.length)).to.deep.equal([2_000])
  })

  it('are not asked for, and not remembered, once nobody watches', () => {
    const [one, other] = [watch('one', { orders: 4 }), watch('other', { orders: 4, bills: 1 })]
    pass()
    one.cancel()
    other.cancel()
    other.cancel()
    partitions.set('orders', 5)
    answer()
    expect(told).to.deep.equal([])
    expect(watched.size).to.equal(0)
    pass()
    expect(lookUps).to.deep.equal([])
    watch('later', { orders: 4 })
    pass()
    answer()
    expect(told).to.deep.equal(['later'])
  })

  it('are asked for in portions when they are many', () => {
    watch('g', Object.fromEntries(Array.from({ length: 4_500 }, (_, at) => [`t${at}`, 1])))
    pass()
    expect(lookUps.map(({ topics }) => topics.length)).to.deep.equal([2_000, 2_000, 500])
    partitions.set('t4400', 2)
    answer()
    expect(told).to.deep.equal(['g'])
  })
})

describe('partitions of topics', () => {
  it('a name that no topic can have is not asked for, and has none', () => {
    const asked: unknown[] = []
    const found: (readonly number[])[] = []
    const topic = {
      errorCode: 0,
      topic: 'orders',
      topicId: undefined,
      isInternal: false,
      partitions: [{ partition: 0 }]
    }
    const result = { type: 'success', brokers: [], topics: new Map([['orders', topic]]) }
    const ask: GroupRuntime['ask'] = (_kind, request, onResult) => {
      asked.push((request as FetchTopicMetadata).topics)
      onResult(result as never)
    }
    lookUpTopics({ ask }, ['orders', '', 'x'.repeat(300)], topics => {
      found.push(...['orders', '', 'x'.repeat(300)].map(topic => topics!.partitionsOf(topic)))
    })
    expect(asked).to.deep.equal([['orders']])
    expect(found).to.deep.equal([[0], [], []])
  })
})
