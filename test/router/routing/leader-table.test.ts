import { expect } from 'chai'
import { LeaderTable } from '../../../src/router/routing/leader-table.js'
import { metadataOf, type ScriptedTopic } from '../../support/scripted-client.js'

const named = (topic: string, told: ScriptedTopic) => metadataOf([], { [topic]: told }).topics[0]!
const topicOf = (told: ScriptedTopic) => named('orders', told)
const ledBy = (leaderId: number) => topicOf({ partitions: { 0: { leaderId } } })
const two = topicOf({ partitions: { 0: { leaderId: 1 }, 1: { leaderId: 1 } } })
const missing = topicOf({ errorCode: 3 })

describe('leader table: what it tells of topics', () => {
  let table: LeaderTable
  let recreated: string[]
  beforeEach(() => {
    recreated = []
    table = new LeaderTable({
      unknownTopicRefreshes: 3,
      unknownTopicTimeoutMs: 5_000,
      unknownTopicRememberedMs: 5_000,
      onRecreated: key => recreated.push(key)
    })
  })
  const lookUp = (partition = 0, now = 0) => {
    const found = table.lookUp('orders', partition, now)
    return found.type === 'leader' ? found.partition.leaderId : found.type
  }

  const led = { partitions: { 0: { leaderId: 2 } } }

  it('keeps a topic that nobody has asked for yet for as long as one that was asked for when it was found', () => {
    table.apply(ledBy(2), 7, 7, false)
    table.forgetUnused(300_000, 300_007)
    expect(table.topicCount).to.equal(1)
    table.forgetUnused(300_000, 300_008)
    expect(table.topicCount).to.equal(0)
  })

  it('lists topics whose turn would come soon with one whose turn it is, and none without', () => {
    for (const [topic, at] of [
      ['old', 0],
      ['half', 5_000],
      ['young', 5_001]
    ] as const) {
      table.apply(named(topic, led), at, at, false)
    }
    const use = (now: number): void => {
      for (const topic of ['old', 'half', 'young']) table.lookUp(topic, 0, now)
    }
    use(9_999)
    expect(table.stale(30_000, 10_000, 9_999)).to.deep.equal([])
    expect(table.stale(30_000, 10_000, 10_000)).to.deep.equal(['old', 'half'])
    expect(table.stale(30_000, 10_000, 39_999), 'in use until then').to.have.length(3)
    expect(table.stale(30_000, 10_000, 40_000)).to.deep.equal([])
  })

  it('counts a topic that is read as in use for as long as it is read', () => {
    table.apply(ledBy(2), 0, 0, false)
    table.used(['orders', 'never met'], 40_000)
    expect(table.stale(30_000, 10_000, 70_000)).to.deep.equal(['orders'])
    expect(table.stale(30_000, 10_000, 70_001)).to.deep.equal([])
    expect(table.topicCount).to.equal(1)
  })

  it('counts a topic as looked up by an answer of an error, too, but not by a first miss', () => {
    table.apply(ledBy(2), 0, 0, false)
    lookUp(0, 100)
    table.apply(missing, 50, 60, false)
    expect(table.stale(1_000, 100, 100)).to.deep.equal(['orders'])
    table.apply(missing, 70, 80, false)
    expect(table.stale(1_000, 100, 169)).to.deep.equal([])
    expect(table.stale(1_000, 100, 170)).to.deep.equal(['orders'])
    table.apply(topicOf({ errorCode: 29 }), 90, 95, false)
    expect(table.stale(1_000, 100, 189)).to.deep.equal([])
    table.apply(ledBy(2), 10, 195, false)
    expect(table.stale(1_000, 100, 190), 'an answer that was asked for earlier').to.deep.equal(['orders'])
  })

  it('tells topics that were just created, because they were missed before or have no leader yet, for 30 seconds', () => {
    const isNew = (topic: string, now: number): unknown => {
      const found = table.lookUp(topic, 0, now)
      return found.type === 'leader' ? found.partition.of.newUntil > now : found.type
    }
    table.apply(named('missed', { errorCode: 3 }), 0, 0, true)
    table.apply(named('empty', { errorCode: 5 }), 0, 0, false)
    for (const topic of ['missed', 'empty', 'old']) table.apply(named(topic, led), 10, 10, false)
    expect(['missed', 'empty', 'old'].map(topic => isNew(topic, 10))).to.deep.equal([true, true, false])
    expect([isNew('missed', 30_009), isNew('missed', 30_010)]).to.deep.equal([true, false])
    expect([isNew('empty', 29_999), isNew('empty', 30_000)]).to.deep.equal([true, false])
  })

  it('doubts all partitions of a topic that a silent broker leads, and no other', () => {
    const spread = topicOf({ partitions: { 0: { leaderId: 1 }, 1: { leaderId: 2 }, 2: { leaderId: 1 } } })
    table.apply(spread, 0, 0, false)
    table.apply(named('audit', { partitions: { 0: { leaderId: 1 } } }), 0, 0, false)
    table.suspectAll('orders', 1, 10)
    table.suspectAll('unheard-of', 1, 10)
    expect([0, 1, 2].map(partition => lookUp(partition, 10))).to.deep.equal(['noLeader', 2, 'noLeader'])
    expect(table.lookUp('audit', 0, 10).type).to.equal('leader')
    table.apply(spread, 10, 20, false)
    expect([0, 1, 2].map(partition => lookUp(partition, 20))).to.deep.equal([1, 2, 1])
  })

  it('holds on to it that the leader denied a partition when it is doubted once more', () => {
    table.apply(ledBy(2), 0, 0, false)
    table.suspect('orders', 0, 2, 10, true)
    table.suspect('orders', 0, 2, 20)
    expect(table.leaderOf('orders', 0)).to.include({ isDenied: true, suspectSince: 20 })
    table.suspect('orders', 7, 2, 30, true)
    table.suspect('unheard-of', 0, 2, 30, true)
    expect(table.leaderOf('orders', 7)).to.equal(undefined)
  })

  it('admits missing names for creation in order, up to a number, each once a second', () => {
    expect(table.admitCreations(['a', 'b', 'c'], 2, 0)).to.deep.equal(['a', 'b'])
    expect(table.admitCreations(['a', 'b', 'c'], 2, 999)).to.deep.equal(['c'])
    expect(table.admitCreations(['a', 'b', 'c'], 0, 1_000)).to.deep.equal([])
    expect(table.admitCreations(['a', 'b', 'c'], 9, 1_000)).to.deep.equal(['a', 'b'])
  })

  it('knows whether a topic is known or missing, and that its number of partitions is contradicted', () => {
    const state = (): boolean[] => [
      table.isKnown('orders'),
      table.isMissing('orders'),
      table.isCountDoubted('orders'),
      table.isRememberedMissing('orders', false, 300)
    ]
    expect(state()).to.deep.equal([false, false, false, false])
    for (const now of [100, 200, 300]) table.apply(missing, now, now, false)
    expect(state()).to.deep.equal([false, true, false, true])
    table.apply(two, 310, 310, false)
    expect(state()).to.deep.equal([true, false, false, false])
    table.apply(missing, 320, 320, false)
    expect(state()).to.deep.equal([true, true, false, false])
    table.apply(ledBy(1), 330, 330, false)
    expect(state()).to.deep.equal([true, false, true, false])
  })

  it('tells writers how many partitions there are, once it knows', () => {
    const news = () => table.newsOf('orders', false, 0)
    expect(news()).to.equal(undefined)
    table.apply(topicOf({ errorCode: 5 }), 0, 0, false)
    expect(news(), 'found, without partitions').to.equal(undefined)
    table.apply(topicOf({ topicId: 'one', partitions: { 0: { leaderId: 2 }, 1: { leaderId: 2 } } }), 0, 0, false)
    const known = { type: 'known', topic: 'orders', partitionCount: 2, topicId: 'one' }
    expect(news()).to.deep.equal({ ...known, isDoubted: false })
    table.apply(topicOf({ topicId: 'two', partitions: { 0: { leaderId: 2 } } }), 10, 10, false)
    expect(news()).to.deep.equal({ ...known, isDoubted: true })
  })

  it('keeps a refused topic that is known, and answers that it is refused for a while', () => {
    table.apply(ledBy(2), 0, 0, false)
    table.apply(topicOf({ errorCode: 17 }), 10, 10, false)
    expect([lookUp(0, 10), lookUp(0, 5_009), lookUp(0, 5_010)]).to.deep.equal(['topicError', 'topicError', 2])
    table.apply(topicOf({ errorCode: 7 }), 5_020, 5_020, false)
    expect(lookUp(0, 5_020), 'an error that passes by').to.equal(2)
  })

  it('forgets everything when another cluster is connected', () => {
    table.apply(ledBy(2), 0, 0, false)
    table.apply(named('gone', { errorCode: 3 }), 0, 0, false)
    table.clear()
    expect([table.topicCount, table.missingCount, lookUp()]).to.deep.equal([0, 0, 'ask'])
    expect(recreated).to.deep.equal(['orders/0'])
  })
})
