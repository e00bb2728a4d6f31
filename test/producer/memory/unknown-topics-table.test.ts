import { expect } from 'chai'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import type { DeliverySettings } from '../../../src/producer/memory/settings.js'
import { type UnknownTopic, UnknownTopics } from '../../../src/producer/memory/unknown-topics.js'

/** A topic that fails its records when it has to give way. */
class FakeTopic implements UnknownTopic {
  readonly name: string
  isKnown = false
  hasProducers = false
  waitingBytes: number
  overAt = 0
  readonly ticks: number[] = []
  onGiveWay: () => void = () => undefined

  constructor(name: string, waitingBytes = 0) {
    this.name = name
    this.waitingBytes = waitingBytes
  }
  isOver(nowMs: number): boolean {
    return nowMs >= this.overAt
  }
  tick(nowMs: number): void {
    this.ticks.push(nowMs)
  }
  giveWay(): void {
    this.onGiveWay()
  }
}

describe('delivery: the places of topics that are not known', () => {
  let forgotten: string[]
  let gaveWay: string[]
  let table: UnknownTopics<FakeTopic>

  const open = (settings: Partial<DeliverySettings> = {}): void => {
    forgotten = []
    gaveWay = []
    const all = { maxPendingTopics: 8, maxUnknownTopics: 3, maxBytes: 4_000, ...settings } as DeliverySettings
    table = new UnknownTopics<FakeTopic>(all, all.maxBytes, topic => forgotten.push(topic.name))
  }
  beforeEach(() => open())
  const waiting = (name: string, bytes = 0, as: 'pending' | 'missing' = 'pending'): FakeTopic => {
    const topic = new FakeTopic(name, bytes)
    topic.onGiveWay = () => {
      gaveWay.push(name)
      table.leave(topic, 0)
    }
    table.enter(topic, as)
    return topic
  }
  const namesOf = (as: 'pending' | 'missing'): string[] => [...table.topics(as)].map(({ name }) => name)
  const pendingWith = (newTopics: number): MemoryPendingProduce =>
    Object.assign(new MemoryPendingProduce(1, 0), { newTopics })

  it('are as many as the setting says, and a quarter of them for one request', () => {
    expect(table.refusal(pendingWith(1))).to.equal(undefined)
    expect(table.refusal(pendingWith(2))).to.include({ code: 'overloaded', persisted: 'no' })
    for (let at = 0; at < 7; at++) waiting(`t${at}`)
    expect(table.refusal(pendingWith(0))).to.equal(undefined)
    const last = waiting('last')
    expect(table.refusal(pendingWith(0))?.message).to.contain('the list of topics to look up is full (limit 8)')
    table.enter(last, 'missing')
    expect(table.refusal(pendingWith(0)), 'missing ones have places of their own').to.equal(undefined)
  })

  it('hold a quarter of the buffer in bytes each, and those that queue before them as much', () => {
    const pending = waiting('pending', 600)
    expect([table.hasCapacity(pending, 400), table.hasCapacity(pending, 401)]).to.deep.equal([true, false])
    const missing = waiting('missing', 900, 'missing')
    expect([table.hasCapacity(missing, 100), table.hasCapacity(missing, 101)]).to.deep.equal([true, false])
    expect(table.hasCapacity(pending, 400), 'by itself').to.equal(true)
    table.grew(missing, -900)
    missing.waitingBytes = 0
    expect(table.hasCapacity(missing, 1_000)).to.equal(true)
    table.queued(700)
    expect([table.mayQueue(300), table.mayQueue(301)]).to.deep.equal([true, false])
    table.queued(-700)
    expect(table.mayQueue(1_000)).to.equal(true)
  })

  it('are left with what waits there', () => {
    const topic = waiting('a', 600)
    table.grew(topic, 300)
    topic.waitingBytes = 900
    table.enter(topic, 'pending')
    expect(table.hasCapacity(topic, 100), 'entered once').to.equal(true)
    table.enter(topic, 'missing')
    const other = waiting('b')
    expect([table.hasCapacity(other, 1_000), table.hasCapacity(topic, 101)]).to.deep.equal([true, false])
    table.leave(topic, 0)
    expect([table.size, namesOf('missing'), table.hasCapacity(waiting('c', 0, 'missing'), 1_000)]).to.deep.equal([
      1,
      [],
      true
    ])
  })

  it('know whether nothing waits for another topic', () => {
    const first = waiting('a', 600)
    expect(table.isAlone(first)).to.equal(true)
    const second = waiting('b', 1)
    expect([table.isAlone(first), table.isAlone(second)]).to.deep.equal([false, false])
    table.enter(second, 'missing')
    expect([table.isAlone(first), table.isAlone(second)], 'a missing one is not').to.deep.equal([true, false])
  })

  it('of missing topics are given up by those that went missing first', () => {
    for (const name of ['a', 'b', 'c']) waiting(name, 0, 'missing')
    expect(gaveWay).to.deep.equal([])
    waiting('d', 0, 'missing')
    expect([gaveWay, namesOf('missing')]).to.deep.equal([['a'], ['b', 'c', 'd']])
  })

  it('of missing topics are given up for bytes as well, but for the last one', () => {
    waiting('a', 600, 'missing')
    waiting('b', 400, 'missing')
    expect(gaveWay).to.deep.equal([])
    waiting('c', 1, 'missing')
    expect([gaveWay, namesOf('missing')]).to.deep.equal([['a'], ['b', 'c']])
    waiting('large', 5_000, 'missing')
    expect([gaveWay, namesOf('missing')]).to.deep.equal([['a', 'b', 'c'], ['large']])
  })

  it('of pending topics are given up for none', () => {
    for (let at = 0; at < 9; at++) waiting(`t${at}`, 1_000)
    expect([gaveWay, table.size]).to.deep.equal([[], 9])
  })

  describe('that were left', () => {
    /** Nothing waits for it any more, and that it was denied applies until then. */
    const left = (name: string, overAt: number): FakeTopic => {
      const topic = waiting(name, 0, 'missing')
      topic.overAt = overAt
      table.leave(topic, 100)
      return topic
    }

    it('are forgotten at once when nothing of them applies any more', () => {
      left('over', 100)
      left('not yet', 101)
      expect([forgotten, table.size]).to.deep.equal([['over'], 1])
    })

    it('are remembered for so long, and no more than so many', () => {
      for (const name of ['a', 'b', 'c']) left(name, 200)
      expect([forgotten, table.size]).to.deep.equal([[], 3])
      left('d', 300)
      expect([forgotten, table.size]).to.deep.equal([['a'], 3])
      table.tick(199)
      expect(forgotten).to.deep.equal(['a'])
      table.tick(200)
      expect([forgotten, table.size]).to.deep.equal([['a', 'b', 'c'], 1])
    })

    it('are kept by topics that were found, or that have partitions', () => {
      const [known, laned] = [left('known', 200), left('laned', 200)]
      known.isKnown = laned.hasProducers = true
      table.tick(200)
      expect([forgotten, table.size]).to.deep.equal([[], 0])
    })

    it('are taken again when somebody waits', () => {
      const topic = left('a', 200)
      table.enter(topic, 'pending')
      table.tick(200)
      expect([forgotten, namesOf('pending'), table.size]).to.deep.equal([[], ['a'], 1])
    })

    it('and all others are nothing any more once they are forgotten', () => {
      for (const topic of [left('a', 200), waiting('b', 10), waiting('c', 10, 'missing')]) table.forget(topic)
      expect([table.size, forgotten]).to.deep.equal([0, []])
      expect(table.hasCapacity(waiting('d'), 1_000)).to.equal(true)
    })
  })

  it('are told the time where something waits, and not where it is only remembered', () => {
    const [pending, missing, remembered] = [waiting('a'), waiting('b', 0, 'missing'), waiting('c')]
    remembered.overAt = 900
    table.leave(remembered, 100)
    table.tick(300)
    expect([pending, missing, remembered].map(({ ticks }) => ticks)).to.deep.equal([[300], [300], []])
  })
})
