import { expect } from 'chai'
import { backoffMs } from '../../../src/core/backoff.js'
import { CoordinatorTable } from '../../../src/router/routing/group-routing.js'
import { LeaderTable } from '../../../src/router/routing/leader-table.js'
import { RefreshSchedule, TokenBucket } from '../../../src/router/routing/refresh-schedule.js'
import { metadataOf, type ScriptedTopic } from '../../support/scripted-client.js'

const topicOf = (topic: ScriptedTopic) => metadataOf([], { orders: topic }).topics[0]!
const ledBy = (leaderId: number, leaderEpoch = 0) => topicOf({ partitions: { 0: { leaderId, leaderEpoch } } })
const missing = topicOf({ errorCode: 3 })

describe('leader table', () => {
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
  const lookUp = (partition = 0, now = 0, mayBeCreated = false) => {
    const found = table.lookUp('orders', partition, now, mayBeCreated)
    return found.type === 'leader' ? found.partition.leaderId : found.type
  }

  it('asks for what it has not seen', () => {
    expect(lookUp()).to.equal('ask')
    table.apply(ledBy(2), 0, 0, false)
    expect(lookUp()).to.equal(2)
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

  it('believes that a topic is missing after three refreshes, remembers it, and asks again later', () => {
    table.apply(missing, 0, 0, false)
    table.apply(missing, 100, 100, false)
    expect(lookUp(0, 100)).to.equal('ask')
    table.apply(missing, 200, 200, false)
    expect(lookUp(0, 200)).to.equal('unknownTopic')
    expect(lookUp(0, 5_100)).to.equal('unknownTopic')
    expect(lookUp(0, 5_300)).to.equal('ask')
  })

  it('does not add up misses that lie far apart', () => {
    table.apply(missing, 0, 0, false)
    table.apply(missing, 100, 100, false)
    table.apply(missing, 60_000, 60_000, false)
    expect(lookUp(0, 60_000)).to.equal('ask')
  })

  it('a topic that a broker and a refresh both miss is missing for who reads, and no longer cached', () => {
    table.apply(ledBy(2), 0, 0, false)
    expect(table.isMissed('orders', 'orders/0')).to.equal(false)
    table.apply(missing, 10, 10, false)
    expect(table.isMissed('orders', 'orders/0')).to.equal(true)
    expect(recreated).to.deep.equal(['orders/0'])
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

  it('a try to create it that ended long ago does not end the next one at once', () => {
    for (let now = 0; now <= 5_000; now += 500) table.apply(missing, now, now, true)
    expect(lookUp(0, 5_000, true)).to.equal('unknownTopic')
    for (let now = 6_000; now <= 12_000; now += 1_000) table.apply(missing, now, now, false)
    table.apply(missing, 19_000, 19_000, true)
    expect(lookUp(0, 19_000, true)).to.equal('ask')
  })

  it('remembers ten thousand missing names at most, and those only for a while', () => {
    for (let at = 0; at < 30_000; at++) table.apply({ ...missing, topic: `invented-${at}` }, 0, 0, false)
    expect(table.missingCount).to.be.within(9_000, 10_000)
    expect(table.topicCount).to.equal(0)
    table.forgetUnused(300_000, 10_001)
    expect(table.missingCount).to.equal(0)
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

  it('another topic id is another life: all that is known of every partition is void', () => {
    table.apply(created('one', 2, 5), 0, 0, false)
    expect(identity()).to.deep.equal({ topicId: 'one', leaderEpoch: 5 })
    table.apply(created('two', 3, 0), 10, 10, false)
    expect(recreated).to.deep.equal(['orders/0', 'orders/1'])
    expect(identity()).to.deep.equal({ topicId: 'two', leaderEpoch: 0 })
    expect(lookUp()).to.equal(3)
  })

  it('another topic id with the same epochs is another life too', () => {
    table.apply(created('one'), 0, 0, false)
    table.apply(created('two'), 10, 10, false)
    expect(recreated).to.deep.equal(['orders/0', 'orders/1'])
  })

  it('a lagging broker that tells the id before does not bring the life before back', () => {
    for (const [now, id] of ['one', 'two', 'one', 'two', 'one', 'one', 'two'].entries()) {
      table.apply(created(id), now, now, false)
    }
    expect(identity()?.topicId).to.equal('two')
    expect(recreated).to.deep.equal(['orders/0', 'orders/1'])
  })

  it('where the lagging broker was asked later, the id that lives wins by being told again and again', () => {
    for (const [now, id] of ['new', 'old', 'new', 'new'].entries()) table.apply(created(id), now, now, false)
    expect(identity()?.topicId).to.equal('old')
    table.apply(created('new'), 4, 4, false)
    expect(identity()?.topicId).to.equal('new')
  })

  it('brokers that do not tell ids change nothing, and the first id told is that of what is known', () => {
    table.apply(ledBy(2), 0, 0, false)
    const without = identity()
    table.apply(ledBy(2), 1, 1, false)
    expect(identity()).to.equal(without)
    table.apply(topicOf({ topicId: 'one', partitions: { 0: { leaderId: 2 } } }), 2, 2, false)
    table.apply(ledBy(2), 3, 3, false)
    expect(identity()).to.deep.equal({ topicId: 'one', leaderEpoch: 0 })
    expect(recreated).to.deep.equal([])
  })

  it('castle 9.16-D6 a leaderless partition hides no other', () => {
    table.apply(topicOf({ partitions: { 0: { errorCode: 5 }, 1: { leaderId: 4 } } }), 0, 0, false)
    expect(lookUp(0)).to.equal('noLeader')
    expect(lookUp(1)).to.equal(4)
  })

  it('knows that there is no such partition, until partitions may have been added', () => {
    table.apply(ledBy(2), 0, 0, false)
    expect(lookUp(7, 100)).to.equal('unknownPartition')
    expect(lookUp(7, 5_001)).to.equal('ask')
  })

  const two = topicOf({ partitions: { 0: { leaderId: 1 }, 1: { leaderId: 1 } } })

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

  it('remembers for a while that a topic is refused', () => {
    table.apply(topicOf({ errorCode: 29 }), 0, 0, false)
    expect(lookUp(0, 100)).to.equal('topicError')
    expect(lookUp(0, 5_001)).to.equal('ask')
  })

  it('bears topics named __proto__ and constructor', () => {
    for (const topic of ['__proto__', 'constructor']) {
      expect(table.lookUp(topic, 0, 0).type).to.equal('ask')
      table.apply({ ...ledBy(3), topic }, 0, 0, false)
      expect(table.lookUp(topic, 0, 0).type).to.equal('leader')
    }
  })

  it('lists what is in use and old, forgets what nobody asks for', () => {
    table.apply(ledBy(2), 0, 0, false)
    lookUp(0, 20_000)
    expect(table.stale(30_000, 25_000, 24_000)).to.deep.equal([])
    expect(table.stale(30_000, 25_000, 25_000)).to.deep.equal(['orders'])
    expect(table.stale(30_000, 25_000, 60_000)).to.deep.equal([])
    table.forgetUnused(300_000, 320_000)
    expect(table.topicCount).to.equal(1)
    table.forgetUnused(300_000, 320_001)
    expect(table.topicCount).to.equal(0)
    expect(recreated).to.deep.equal(['orders/0'])
  })
})

describe('refresh schedule', () => {
  const known = new Set<string>()
  const missing = new Set<string>()
  let schedule: RefreshSchedule
  beforeEach(() => {
    known.clear()
    missing.clear()
    schedule = new RefreshSchedule({
      refreshBackoffMs: 100,
      refreshBackoffMaxMs: 1_000,
      random: () => 1,
      leaders: { isKnown: topic => known.has(topic), isMissing: topic => missing.has(topic) },
      creations: new TokenBucket(20, 0)
    })
  })
  const refresh = (now: number): readonly string[] | undefined => {
    const plan = schedule.start(now)
    if (plan) schedule.succeeded()
    return plan?.topics
  }

  it('castle 9.16-D12 pixy A4 has one call in flight, and merges what is wanted meanwhile', () => {
    schedule.want('a', false, 0)
    expect(schedule.start(0)?.topics).to.deep.equal(['a'])
    for (const topic of ['b', 'c', 'b']) schedule.want(topic, false, 1)
    expect(schedule.start(1)).to.equal(undefined)
    schedule.succeeded()
    expect(schedule.start(20)?.topics).to.deep.equal(['b', 'c'])
  })

  it('castle 9.16-D12 pixy A3 refreshes one topic at once, then with a doubling pause; others are not held up', () => {
    known.add('a').add('b')
    const started: number[] = []
    for (let now = 0; now <= 3_000; now++) {
      schedule.want('a', false, now)
      if (refresh(now)?.includes('a')) started.push(now)
    }
    expect(started).to.deep.equal([0, 100, 300, 700, 1_500, 2_500])
    schedule.want('b', false, 3_000)
    expect(refresh(3_000)).to.deep.equal(['b'])
  })

  it('pixy A2 starts over with a first refresh after a quiet time', () => {
    known.add('a')
    schedule.want('a', false, 0)
    refresh(0)
    schedule.want('a', false, 20_000)
    expect(refresh(20_000)).to.deep.equal(['a'])
  })

  it('pauses everything after a call that nobody answered, and still wants what was asked', () => {
    schedule.want('a', false, 0)
    schedule.failed(schedule.start(0)!, 10)
    expect(schedule.start(50)).to.equal(undefined)
    expect(schedule.nextAt(50)).to.equal(110)
    const plan = schedule.start(110)!
    expect(plan.topics).to.deep.equal(['a'])
    schedule.failed(plan, 120)
    expect(schedule.nextAt(120)).to.equal(320)
  })

  it('looks up known topics first and many names at once, however many were invented', () => {
    for (let at = 0; at < 2_000; at++) schedule.want(`invented-${at}`, false, 0)
    known.add('known')
    schedule.want('known', false, 0)
    const first = refresh(0)!
    expect(first[0]).to.equal('known')
    expect(first).to.have.length(501)
    for (let at = 2_000; at < 4_000; at++) schedule.want(`invented-${at}`, false, 0)
    schedule.want('known', false, 1)
    expect(refresh(1), 'names nobody knows pause for a moment').to.equal(undefined)
    expect(schedule.nextAt(1)).to.equal(20)
    expect(refresh(100)![0]).to.equal('known')
  })

  it('asks brokers to create what they say is missing only, within the budget, in turn with look-ups', () => {
    for (let at = 0; at < 50; at++) schedule.want(`new-${at}`, true, 0)
    expect(schedule.start(0)).to.deep.include({ allowAutoTopicCreation: false })
    schedule.succeeded()
    for (let at = 0; at < 50; at++) {
      missing.add(`new-${at}`)
      schedule.want(`new-${at}`, true, 1)
    }
    const creation = schedule.start(1)!
    expect(creation.allowAutoTopicCreation).to.equal(true)
    expect(creation.topics).to.have.length(20)
    schedule.succeeded()
    for (const topic of creation.topics) schedule.want(topic, true, 2)
    expect(schedule.start(200), 'look-ups go on meanwhile').to.deep.include({ allowAutoTopicCreation: false })
    schedule.succeeded()
    const next = schedule.start(500)!
    expect(next.allowAutoTopicCreation).to.equal(true)
    expect(next.topics, 'each once a second').to.have.length(9).and.not.include(creation.topics[0])
  })

  it('a want ends with its last waiter, and nothing is left of it', () => {
    for (let at = 0; at < 1_000; at++) schedule.want(`invented-${at}`, true, 0)
    for (let at = 0; at < 1_000; at++) schedule.forget(`invented-${at}`)
    expect(schedule.size).to.equal(0)
    expect(schedule.nextAt(0)).to.equal(undefined)
    expect(schedule.start(0)).to.equal(undefined)
  })

  it('never lets a topic be created that is only read', () => {
    missing.add('read').add('written')
    schedule.want('read', false, 0)
    schedule.want('written', true, 0)
    const plans = [schedule.start(0)!]
    schedule.succeeded()
    plans.push(schedule.start(0)!)
    expect(plans).to.deep.equal([
      { topics: ['written'], allowAutoTopicCreation: true },
      { topics: ['read'], allowAutoTopicCreation: false }
    ])
  })

  it('wants nothing, wakes for nothing', () => {
    expect(schedule.nextAt(0)).to.equal(undefined)
    expect(schedule.start(0)).to.equal(undefined)
    schedule.wantBrokers()
    expect(schedule.start(0)?.topics).to.deep.equal([])
  })

  it('asks for the list of brokers at once, then with a doubling pause, however often it is wanted', () => {
    const started: number[] = []
    for (let now = 0; now <= 3_000; now++) {
      schedule.wantBrokers()
      if (refresh(now)) started.push(now)
      else expect(schedule.nextAt(now)).to.be.greaterThan(now)
    }
    expect(started).to.deep.equal([0, 100, 300, 700, 1_500, 2_500])
    known.add('a')
    schedule.want('a', false, 3_001)
    expect(refresh(3_001), 'topics are not held up').to.deep.equal(['a'])
    expect(schedule.nextAt(3_100), 'that answer had the list of brokers, too').to.equal(undefined)
    schedule.wantBrokers()
    expect(refresh(20_000)).to.deep.equal([])
  })

  it('asks for the list of brokers as soon as any broker may be asked again', () => {
    schedule.wantBrokers()
    schedule.failed(schedule.start(0)!, 10)
    expect(schedule.nextAt(10)).to.equal(110)
    expect(schedule.start(110)?.topics).to.deep.equal([])
  })
})

describe('coordinator table', () => {
  it('searches for a group once at a time, and counts searches in a row', () => {
    const table = new CoordinatorTable()
    expect(table.beginSearch('g', 0)).to.equal(0)
    expect(table.beginSearch('g', 1)).to.equal(undefined)
    table.endSearch('g', 2)
    expect(table.beginSearch('g', 3)).to.equal(1)
    table.endSearch('g', 4)
    expect(table.beginSearch('g', 20_000)).to.equal(0)
  })

  it('forgets a coordinator only when it is the one that denied it', () => {
    const table = new CoordinatorTable()
    table.found('g', 2)
    table.forget('g', 1)
    expect(table.nodeOf('g')).to.equal(2)
    table.forget('g', 2)
    expect(table.nodeOf('g')).to.equal(undefined)
  })

  it('does not grow with invented groups', () => {
    const table = new CoordinatorTable()
    for (let at = 0; at < 10_001; at++) table.found(`g${at}`, 1)
    expect(table.nodeOf('g0')).to.equal(undefined)
    expect(table.nodeOf('g10000')).to.equal(1)
  })
})

describe('backoff', () => {
  it('doubles between half and whole, up to its maximum', () => {
    expect([0, 1, 2, 50].map(attempt => backoffMs(attempt, 100, 1_000, () => 1))).to.deep.equal([100, 200, 400, 1_000])
    expect(backoffMs(2, 100, 1_000, () => 0)).to.equal(200)
  })
})
