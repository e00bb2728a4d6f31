import { expect } from 'chai'
import type { BrokerNode } from '../../../src/core/model.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import type { RouterSettingsOverrides } from '../../../src/router/routing/settings.js'
import { CastleRouter, Inbox } from '../../support/castle-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import { fetchReply, metadataOf, ScriptedCluster, type ScriptedTopic } from '../../support/scripted-client.js'

const gone = new Error('nobody is there')
const fetchOf = (topic: string) => ({ type: 'fetchData', topicPartition: { topic, partition: 0 }, offset: 0 }) as const
const led: ScriptedTopic = { partitions: { 0: { leaderId: 1 } } }

describe('the Router by itself', () => {
  let time: FakeTime
  let cluster: ScriptedCluster
  let nodes: readonly BrokerNode[]
  let topics: Map<string, ScriptedTopic>
  let isAway: boolean
  let castle: CastleRouter
  afterEach(async () => {
    await castle.stop()
    time.restore()
  })

  const start = (settings: RouterSettingsOverrides = {}): void => {
    time = new FakeTime()
    cluster = new ScriptedCluster([1])
    nodes = cluster.nodes
    topics = new Map([['orders', led]])
    isAway = false
    cluster.always(0, 'metadata', call => {
      if (isAway) throw gone
      const named = (call.topics ?? []).map(topic => [topic, topics.get(topic) ?? { errorCode: 3 }] as const)
      return metadataOf(nodes, Object.fromEntries(named))
    })
    cluster.always(1, 'fetch', fetchReply(cluster, { 'orders/0@0': { batches: [fakeBatch(0, [1])] } }))
    castle = new CastleRouter(cluster, { metadataMaxAgeMs: 1_000, ...settings }, undefined, time.now)
  }
  const ask = (topic: string, timeoutMs = 20_000): Inbox<'fetchData'> => {
    const inbox = new Inbox<'fetchData'>()
    castle.tell(inbox, { ...fetchOf(topic), timeoutMs })
    return inbox
  }
  const typesOf = ({ results }: Inbox<'fetchData'>): string[] => results.map(({ type }) => type)
  const countOfCalls = (): number => cluster.countOf(0, 'metadata')

  it('looks for the brokers at the start, and then as often as metadata gets old', async () => {
    start({ connectAtStart: true })
    await time.pass(900, 50)
    expect(countOfCalls()).to.equal(1)
    await time.pass(3_000, 50)
    expect(countOfCalls()).to.equal(4)
    expect(castle.router.stats()).to.include({ brokersKnown: 1, brokersUp: 1 })
  })

  it('asks nobody before the first request where it is told so', async () => {
    start({ metadataMaxAgeMs: 100_000 })
    await time.pass(2_000, 50)
    expect([countOfCalls(), castle.router.isReady]).to.deep.equal([0, false])
    expect(castle.router.stats()).to.include({ brokersKnown: 0, brokersUp: 0 })
  })

  it('forgets a topic, with what is cached of it, thirty times as long after it was asked for last', async () => {
    start()
    const read = ask('orders')
    await time.pass(100)
    expect(typesOf(read)).to.deep.equal(['success'])
    expect(castle.router.stats()).to.include({ topicsKnown: 1, cacheEntries: 1, open: 0, accepted: 1 })
    await time.pass(28_500, 500)
    expect(castle.router.stats()).to.include({ topicsKnown: 1, cacheEntries: 1 })
    await time.pass(3_000, 500)
    expect(castle.router.stats()).to.include({ topicsKnown: 0, cacheEntries: 0, cacheBytes: 0 })
  })

  it('forgets what it has looked up, and which names are missing, once nobody asks for them', async () => {
    start({ unknownTopicTimeoutMs: 1_000, unknownTopicRememberedMs: 1_000 })
    const [found, missing] = [ask('orders'), ask('invented')]
    await time.pass(2_000, 50)
    expect([typesOf(found), typesOf(missing)]).to.deep.equal([['success'], ['unknownTopicOrPartition']])
    expect(castle.router.stats()).to.include({ topicsWanted: 1, topicsMissing: 1 })
    await time.pass(12_000, 500)
    expect(castle.router.stats()).to.include({ topicsWanted: 0, topicsMissing: 0 })
  })

  it('names a broker that has died for as long as a topic in use has a replica on it', async () => {
    start({ metadataMaxAgeMs: 10_000, connectAtStart: true })
    nodes = [...cluster.nodes, { nodeId: 2, host: 'broker-2', port: 9092, rack: null }]
    const inUse = { leaderId: 1, replicas: [1, 2] }
    const brokers = (): string[] => castle.router.brokers().map(({ nodeId, state }) => `${nodeId} ${state}`)
    const useFor = async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 120_000) {
        ask('orders')
        await time.pass(120_000, 5_000)
      }
    }
    topics.set('orders', { partitions: { 0: { ...inUse, offlineReplicas: [] } } })
    await useFor(1)
    expect(brokers()).to.deep.equal(['1 notAsked', '2 notAsked'])
    nodes = cluster.nodes
    topics.set('orders', { partitions: { 0: { ...inUse, offlineReplicas: [2] } } })
    await useFor(2 * 3_600_000)
    expect(brokers()).to.deep.equal(['1 notAsked', '2 gone'])
    topics.set('orders', { partitions: { 0: { leaderId: 1, replicas: [1], offlineReplicas: [] } } })
    await useFor(1)
    expect(brokers()).to.deep.equal(['1 notAsked'])
  })

  it('says how many requests wait, also when none does any more', async () => {
    start()
    topics.set('orders', { partitions: { 0: { leaderId: -1 } } })
    const waits = ask('orders', 2_000)
    await time.pass(100)
    expect([castle.metrics.gaugeOf('waiting_requests'), castle.router.stats().deferred]).to.deep.equal([1, 1])
    await time.pass(2_000, 50)
    expect(typesOf(waits)).to.deep.equal(['timedOut'])
    expect([castle.metrics.gaugeOf('waiting_requests'), castle.metrics.of('timeouts_sent')]).to.deep.equal([0, 1])
  })

  it('tells whose time is up why no broker answers, as long as none does', async () => {
    start()
    isAway = true
    const late = ask('orders', 500)
    await time.pass(600)
    expect(late.results[0]).to.include({ type: 'timedOut', reason: gone.message })
    expect([castle.router.isReady, castle.router.awayBecause]).to.deep.equal([false, gone])
    isAway = false
    await time.pass(2_000, 50)
    expect([castle.router.isReady, castle.router.awayBecause]).to.deep.equal([true, undefined])
  })

  it('goes on when it is given another size of the cache', async () => {
    start()
    ask('orders')
    await time.pass(100)
    const { cacheBytes } = castle.router.stats()
    expect(cacheBytes).to.be.greaterThan(0)
    castle.router.resizeCache(cacheBytes - 1)
    expect(castle.router.stats()).to.include({ cacheMaxBytes: cacheBytes - 1, cacheEntries: 0, cacheEvictions: 1 })
    expect(castle.metrics.of('cache_evictions')).to.equal(1)
  })

  it('leaves no timer behind when it stops, whatever it waits for', async () => {
    start({ connectAtStart: true })
    isAway = true
    const waits = ask('orders')
    await time.pass(300)
    await castle.router.stop()
    expect(typesOf(waits)).to.deep.equal(['failed'])
    expect(time.timers, 'timers').to.equal(0)
    expect(castle.router.stop(), 'stopping again').to.equal(castle.router.stop())
  })

  it('answers what is open when its reference is stopped, as when it is stopped itself, and refuses what comes later', async () => {
    start({ connectAtStart: true })
    isAway = true
    const waits = ask('orders')
    await time.pass(50)
    castle.router.ref.stop()
    await time.pass(50)
    expect(waits.results.map(result => result.type === 'failed' && result.code)).to.deep.equal(['shuttingDown'])
    const late = ask('orders')
    await time.pass(50)
    expect(late.results.map(result => result.type === 'failed' && result.code)).to.deep.equal(['shuttingDown'])
    await castle.router.stop()
  })

  it('answers also what is asked while it ends what is open, at once or a moment later', async () => {
    start({ connectAtStart: true })
    isAway = true
    const codes: string[] = []
    const again = (asks: number): Promise<void> =>
      askRouter(castle.router.ref, { ...fetchOf('orders'), timeoutMs: 20_000 }).then(result => {
        codes.push(result.type === 'failed' ? result.code : result.type)
        return asks > 1 ? again(asks - 1) : undefined
      })
    const late: Inbox<'fetchData'>[] = []
    const first = { reply: () => void late.push(ask('orders')) }
    castle.router.ref.tell({ ...fetchOf('orders'), timeoutMs: 20_000, requester: first })
    void again(3)
    await time.pass(50)
    await castle.router.stop()
    await time.pass(50)
    expect(late.flatMap(typesOf)).to.deep.equal(['failed'])
    expect(codes).to.deep.equal(['shuttingDown', 'shuttingDown', 'shuttingDown'])
  })
})
