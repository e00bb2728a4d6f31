import { expect } from 'chai'
import { LeaderTable } from '../../../src/router/routing/leader-table.js'
import { metadataOf, type ScriptedTopic } from '../../support/scripted-client.js'

const named = (topic: string, told: ScriptedTopic) => metadataOf([], { [topic]: told }).topics[0]!
const topicOf = (told: ScriptedTopic) => named('orders', told)
const ledBy = (leaderId: number, leaderEpoch = 0) => topicOf({ partitions: { 0: { leaderId, leaderEpoch } } })
const two = topicOf({ partitions: { 0: { leaderId: 1 }, 1: { leaderId: 1 } } })
const missing = topicOf({ errorCode: 3 })

describe('leader table', () => {
  let table: LeaderTable
  let recreated: string[]
  beforeEach(() => {
    recreated = []
    table = new LeaderTable({
      unknownTopicTimeoutMs: 5_000,
      unknownTopicRememberedMs: 5_000,
      onRecreated: key => recreated.push(key)
    })
  })
  const lookUp = (partition = 0, now = 0, mayBeCreated = false) => {
    const found = table.lookUp('orders', partition, now, mayBeCreated)
    return found.type === 'leader' ? found.partition.leaderId : found.type
  }

  const led = { partitions: { 0: { leaderId: 2 } } }

  it('keeps a topic that nobody has asked for yet for as long as one that was asked for when it was found', () => {
    table.apply(ledBy(2), 7, 7, false)
    table.forgetUnused(300_000, 300_007)
    expect(table.topicCount).to.equal(1)
    table.forgetUnused(300_000, 300_008)
    expect(table.topicCount).to.equal(0)
    expect(recreated).to.deep.equal(['orders/0'])
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

  it('never goes back to a lower epoch that a lagging broker tells', () => {
    table.apply(ledBy(2, 5), 0, 0, false)
    table.apply(ledBy(1, 4), 10, 10, false)
    expect(lookUp()).to.equal(2)
    table.apply(ledBy(3, 6), 20, 20, false)
    expect(lookUp()).to.equal(3)
    expect(recreated).to.deep.equal([])
  })

  it('believes a lower epoch when it is told again and again: the topic was created anew', () => {
    table.apply(ledBy(2, 5), 0, 0, false)
    for (let time = 1; time <= 3; time++) table.apply(ledBy(1, 0), time, time, false)
    expect(lookUp()).to.equal(1)
    expect(recreated).to.deep.equal(['orders/0'])
  })

  it('does not trust a leader that denied it until a refresh that began afterwards', () => {
    table.apply(ledBy(2), 0, 0, false)
    table.suspect('orders', 0, 2, 100)
    expect(lookUp()).to.equal('noLeader')
    table.apply(ledBy(2), 50, 120, false)
    expect(lookUp()).to.equal('noLeader')
    table.apply(ledBy(2), 130, 140, false)
    expect(lookUp()).to.equal(2)
  })

  it('takes a higher epoch at once, and no notice of what an earlier leader says', () => {
    table.apply(ledBy(2, 0), 0, 0, false)
    table.suspect('orders', 0, 2, 100)
    table.apply(ledBy(3, 1), 50, 120, false)
    expect(lookUp()).to.equal(3)
    table.suspect('orders', 0, 2, 150)
    expect(lookUp()).to.equal(3)
  })

  it('gives a topic that is being created five seconds, whatever readers have found meanwhile', () => {
    for (let now = 0; now < 1_000; now += 100) table.apply(missing, now, now, false)
    expect(lookUp(0, 1_000), 'to who reads').to.equal('unknownTopic')
    expect(lookUp(0, 1_000, true), 'to who may create').to.equal('ask')
    for (let now = 1_000; now < 6_000; now += 100) table.apply(missing, now, now, true)
    expect(lookUp(0, 5_900, true)).to.equal('ask')
    table.apply(missing, 6_000, 6_000, true)
    expect(lookUp(0, 6_000, true)).to.equal('unknownTopic')
    table.apply(ledBy(1), 6_100, 6_100, true)
    expect(lookUp(0, 6_100)).to.equal(1)
  })

  it('keeps leading where it did until a topic it knew has been missing for five seconds', () => {
    table.apply(ledBy(2), 0, 0, false)
    table.apply(missing, 10, 10, false)
    expect(lookUp()).to.equal(2)
    expect(recreated).to.deep.equal([])
    table.apply(missing, 20, 20, false)
    expect(recreated, 'not served from the cache after two misses').to.deep.equal(['orders/0'])
    for (let now = 520; now < 5_000; now += 500) table.apply(missing, now, now, false)
    expect(lookUp(0, 4_999)).to.equal(2)
    table.apply(missing, 5_020, 5_020, false)
    expect(lookUp(0, 5_020)).to.equal('unknownTopic')
  })

  const created = (topicId: string, leaderId = 2, leaderEpoch = 0) =>
    topicOf({ topicId, partitions: { 0: { leaderId, leaderEpoch }, 1: { leaderId } } })
  const identity = () => table.leaderOf('orders', 0)?.identity

  it('takes another topic id for another life: all that is known of every partition is void', () => {
    table.apply(created('one', 2, 5), 0, 0, false)
    expect(identity()).to.deep.equal({ topicId: 'one', leaderEpoch: 5 })
    table.apply(created('two', 3, 0), 10, 10, false)
    expect(recreated).to.deep.equal(['orders/0', 'orders/1'])
    expect(identity()).to.deep.equal({ topicId: 'two', leaderEpoch: 0 })
    expect(lookUp()).to.equal(3)
  })

  it('takes another topic id for another life though the epochs are the same', () => {
    table.apply(created('one'), 0, 0, false)
    table.apply(created('two'), 10, 10, false)
    expect(recreated).to.deep.equal(['orders/0', 'orders/1'])
  })

  it('is not brought back to the life before by a lagging broker that tells its id', () => {
    for (const [now, id] of ['one', 'two', 'one', 'two', 'one', 'one', 'two'].entries()) {
      table.apply(created(id), now, now, false)
    }
    expect(identity()?.topicId).to.equal('two')
    expect(recreated).to.deep.equal(['orders/0', 'orders/1'])
  })

  it('believes the id that lives when it is told again and again, though the lagging broker was asked later', () => {
    for (const [now, id] of ['new', 'old', 'new', 'new'].entries()) table.apply(created(id), now, now, false)
    expect(identity()?.topicId).to.equal('old')
    table.apply(created('new'), 4, 4, false)
    expect(identity()?.topicId).to.equal('new')
  })

  it('changes nothing for brokers that tell no ids, and takes the first id told for that of what is known', () => {
    table.apply(ledBy(2), 0, 0, false)
    const without = identity()
    table.apply(ledBy(2), 1, 1, false)
    expect(identity()).to.equal(without)
    table.apply(topicOf({ topicId: 'one', partitions: { 0: { leaderId: 2 } } }), 2, 2, false)
    table.apply(ledBy(2), 3, 3, false)
    expect(identity()).to.deep.equal({ topicId: 'one', leaderEpoch: 0 })
    expect(recreated).to.deep.equal([])
  })

  it('castle 9.16-D6 hides no partition because another one has no leader', () => {
    table.apply(topicOf({ partitions: { 0: { errorCode: 5 }, 1: { leaderId: 4 } } }), 0, 0, false)
    expect(lookUp(0)).to.equal('noLeader')
    expect(lookUp(1)).to.equal(4)
  })

  it('knows that there is no such partition, until partitions may have been added', () => {
    table.apply(ledBy(2), 0, 0, false)
    expect(lookUp(7, 100)).to.equal('unknownPartition')
    expect(lookUp(7, 5_001)).to.equal('ask')
  })

  it('believes fewer partitions only when they are told again and again: a broker may lag', () => {
    table.apply(two, 0, 0, false)
    for (const now of [10, 20]) table.apply(ledBy(1), now, now, false)
    expect(lookUp(1, 20)).to.equal(1)
    table.apply(two, 30, 30, false)
    for (const now of [40, 50]) table.apply(ledBy(1), now, now, false)
    expect(lookUp(1, 50)).to.equal(1)
    expect(recreated).to.deep.equal([])
    table.apply(ledBy(1), 60, 60, false)
    expect(recreated).to.deep.equal(['orders/1'])
    expect(lookUp(1, 60)).to.equal('unknownPartition')
  })

  it('believes fewer partitions at once when the topic id has changed', () => {
    table.apply(created('one'), 0, 0, false)
    table.apply(topicOf({ topicId: 'two', partitions: { 0: { leaderId: 2 } } }), 10, 10, false)
    expect(lookUp(1, 10)).to.equal('unknownPartition')
    expect(recreated).to.deep.equal(['orders/0', 'orders/1'])
  })

  it('bears partition ids that a damaged reply made up', () => {
    table.apply(topicOf({ partitions: { 0: { leaderId: 1 }, 1073741825: { leaderId: 2 } } }), 0, 0, false)
    expect(lookUp(0)).to.equal(1)
    for (let time = 1; time <= 3; time++) {
      table.apply(topicOf({ partitions: { 0: { leaderId: 1 }, 1: { leaderId: 2 } } }), 1, 1, false)
    }
    expect([lookUp(0, 1), lookUp(1, 1), lookUp(1073741825, 1)]).to.deep.equal([1, 2, 'unknownPartition'])
    for (const now of [10, 5_010]) table.apply(missing, now, now, false)
    expect(lookUp(0, 5_010)).to.equal('unknownTopic')
    expect([...new Set(recreated)]).to.have.members(['orders/1073741825', 'orders/0', 'orders/1'])
  })

  it('finds each partition by its id, in whatever order and with whatever gaps brokers report them', () => {
    const inOrder = (ids: readonly number[]) => {
      const told = Object.fromEntries(ids.map(id => [id, { leaderId: id + 100 }]))
      const metadata = topicOf({ partitions: told })
      const byId = new Map(metadata.partitions.map(one => [one.partition, one]))
      return { ...metadata, partitions: ids.map(id => byId.get(id)!) }
    }
    for (const ids of [
      [0, 1, 2, 3, 4],
      [4, 3, 2, 1, 0],
      [2, 0, 4, 1, 3],
      [1, 3],
      [5, 2, 8, 1, 0]
    ]) {
      table.clear()
      recreated = []
      // First a part of them, as a broker that lags may report.
      table.apply(inOrder(ids.slice(0, 2)), 0, 0, false)
      table.apply(inOrder(ids), 1, 1, false)
      const found = Array.from({ length: 10 }, (_, id) => table.leaderOf('orders', id)?.leaderId)
      const expected = Array.from({ length: 10 }, (_, id) => (ids.includes(id) ? id + 100 : undefined))
      expect(found, String(ids)).to.deep.equal(expected)
      expect([table.leaderOf('orders', -1), table.leaderOf('orders', 1.5)]).to.deep.equal([undefined, undefined])
      expect(recreated).to.deep.equal([])
      table.clear()
      expect(recreated).to.have.members(ids.map(id => `orders/${id}`))
    }
  })

  it('keeps to its times where the clock tells parts of a millisecond: at most one later, never earlier', () => {
    table.apply(ledBy(2), 0.25, 0.75, false)
    expect([lookUp(7, 5_000.74), lookUp(7, 5_000.99), lookUp(7, 5_001)]).to.deep.equal([
      'unknownPartition',
      'unknownPartition',
      'ask'
    ])
    table.apply(named('empty', { errorCode: 5 }), 0, 0.25, false)
    table.apply(named('empty', led), 10, 10, false)
    expect(table.leaderOf('empty', 0)!.of.newUntil).to.equal(30_001)
    table.clear()
    table.apply(ledBy(2), 7.25, 7.75, false)
    table.forgetUnused(300_000, 300_007.75)
    expect(table.topicCount, 'met exactly so long ago').to.equal(1)
    table.forgetUnused(300_000, 300_008.25)
    expect(table.topicCount).to.equal(0)
  })

  it('forgets everything when another cluster is connected', () => {
    table.apply(ledBy(2), 0, 0, false)
    table.apply(named('gone', { errorCode: 3 }), 0, 0, false)
    table.clear()
    expect([table.topicCount, table.missingCount, lookUp()]).to.deep.equal([0, 0, 'ask'])
    expect(recreated).to.deep.equal(['orders/0'])
  })
})
