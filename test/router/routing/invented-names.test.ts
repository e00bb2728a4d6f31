import { expect } from 'chai'
import type { MetadataCall } from '../../../src/kafka/broker-client.js'
import { CastleRouter, Inbox } from '../../support/castle-router.js'
import { FakeTime } from '../../support/fake-time.js'
import { metadataOf, ScriptedCluster, type ScriptedTopic } from '../../support/scripted-client.js'

const offsetOf = (topic: string, timeoutMs = 30_000) =>
  ({ type: 'fetchOffset', topicPartition: { topic, partition: 0 }, offsetType: 'latest', timeoutMs }) as const

/** Topics that exist; every other name is missing, and created where a call may create. */
class Topics {
  readonly cluster = new ScriptedCluster([1])
  readonly existing = new Map<string, ScriptedTopic>()
  /** Names brokers were asked to create, in order. */
  readonly created: string[] = []
  createsAtOnce = false

  constructor(...names: readonly string[]) {
    for (const name of names) this.existing.set(name, { partitions: { 0: { leaderId: 1 } } })
    this.cluster.always(0, 'metadata', call => this.#answer(call))
    this.cluster.always(1, 'listOffsets', call => ({
      throttleTimeMs: 0,
      partitions: call.partitions.map(({ topic, partition }) => ({
        topic,
        partition,
        errorCode: 0,
        timestampMs: -1,
        offset: 7
      }))
    }))
  }

  #answer({ topics, allowAutoTopicCreation }: MetadataCall) {
    if (allowAutoTopicCreation) this.created.push(...(topics ?? []))
    const answers = (topics ?? []).map(topic => [topic, this.existing.get(topic) ?? { errorCode: 3 }] as const)
    if (allowAutoTopicCreation && this.createsAtOnce) {
      for (const topic of topics ?? []) this.existing.set(topic, { partitions: { 0: { leaderId: 1 } } })
    }
    return metadataOf(this.cluster.nodes, Object.fromEntries(answers))
  }
}

describe('names that nobody knows', () => {
  let castle: CastleRouter
  let time: FakeTime
  const fakeTime = () => {
    time = new FakeTime()
    return { now: time.now, pass: (ms: number, stepMs?: number) => time.pass(ms, stepMs) }
  }
  afterEach(async () => {
    await castle.stop()
    time.restore()
  })

  it('two thousand invented names, all answered, do not hold up the first request of a topic', async () => {
    const { cluster } = new Topics('orders')
    const { now, pass } = fakeTime()
    castle = new CastleRouter(cluster, {}, undefined, now)
    const inbox = new Inbox<'fetchOffset'>()
    for (let at = 0; at < 2_000; at++) castle.tell(inbox, offsetOf(`invented-${at}`, 1_000))
    await pass(5_000, 20)
    expect(inbox.results).to.have.length(2_000)
    const before = cluster.countOf(0, 'metadata')
    const good = castle.ask(offsetOf('orders', 1_000))
    await pass(60, 5)
    expect((await good).type).to.equal('success')
    expect(
      cluster
        .callsOf(1, 'metadata')
        .slice(before)
        .map(({ topics }) => topics)
    ).to.deep.equal([['orders']])
  })

  it('a topic that exists is found while thousands of invented names wait', async () => {
    const { cluster } = new Topics('orders')
    const { now, pass } = fakeTime()
    castle = new CastleRouter(cluster, {}, undefined, now)
    const inbox = new Inbox<'fetchOffset'>()
    for (let at = 0; at < 5_000; at++) castle.tell(inbox, offsetOf(`invented-${at}`))
    const good = castle.ask(offsetOf('orders'))
    await pass(500, 5)
    expect((await good).type).to.equal('success')
    await pass(5_000, 20)
    expect(new Set((await inbox.take(5_000)).map(({ type }) => type))).to.deep.equal(
      new Set(['unknownTopicOrPartition'])
    )
  })

  it('a leader that moves is found at once while thousands of invented names wait', async () => {
    const { cluster, existing } = new Topics('orders')
    const { now, pass } = fakeTime()
    castle = new CastleRouter(cluster, {}, undefined, now)
    const first = castle.ask(offsetOf('orders'))
    await pass(50)
    expect((await first).type).to.equal('success')
    const inbox = new Inbox<'fetchOffset'>()
    for (let at = 0; at < 3_000; at++) castle.tell(inbox, offsetOf(`invented-${at}`))
    existing.set('orders', { partitions: { 0: { leaderId: 1, leaderEpoch: 1 } } })
    cluster.on(1, 'listOffsets', 2, () => ({
      throttleTimeMs: 0,
      partitions: [{ topic: 'orders', partition: 0, errorCode: 6, timestampMs: -1, offset: -1 }]
    }))
    const moved = castle.ask(offsetOf('orders'))
    await pass(30, 2)
    expect((await moved).type).to.equal('success')
    await pass(5_000, 20)
    await inbox.take(3_000)
  })

  it('an existing topic is found through FetchTopicMetadata while others have topics created', async () => {
    const { cluster, created } = new Topics('orders')
    const { now, pass } = fakeTime()
    castle = new CastleRouter(cluster, {}, undefined, now)
    const ask = (topics: readonly string[]) =>
      castle.ask({ type: 'fetchTopicMetadata', requestId: 1, topics, allowAutoTopicCreation: true })
    for (let at = 0; at < 50; at++) void ask(Array.from({ length: 100 }, (_, name) => `invented-${at}-${name}`))
    const good = ask(['orders', 'invented-last'])
    await pass(30)
    const result = await good
    expect(result.type === 'success' && result.topics.get('orders')?.partitions).to.have.length(1)
    expect(result.type === 'success' && result.topics.get('invented-last')?.errorCode).to.equal(3)
    expect(created, 'within the budget').to.have.length(20)
    const again = ask(['orders', created[0]!])
    await pass(500)
    await again
    expect(
      created.filter(name => name === created[0]),
      'not again while it is being created'
    ).to.have.length(1)
  })

  it('five thousand that wait for a leaderless topic do not use up the capacity of others', async () => {
    const { cluster, existing } = new Topics('orders')
    existing.set('leaderless', { partitions: { 0: { errorCode: 5 } } })
    const { now, pass } = fakeTime()
    castle = new CastleRouter(cluster, {}, undefined, now)
    const inbox = new Inbox<'fetchOffset'>()
    const first = castle.ask(offsetOf('leaderless', 200))
    await pass(300)
    expect((await first).type).to.equal('timedOut')
    for (let at = 0; at < 15_000; at++) castle.tell(inbox, offsetOf('leaderless', 1_000))
    const good = castle.ask(offsetOf('orders'))
    await pass(100)
    expect((await good).type).to.equal('success')
    const types = inbox.results.map(({ type }) => type)
    expect(types).to.have.length(5_001).and.to.include('failed')
    await pass(1_000, 20)
    await inbox.take(15_000)
  })

  it('what a message costs does not depend on how many names wait, nor is anything left of them', async () => {
    const { cluster, existing } = new Topics('orders')
    existing.set('orders', { partitions: { 0: { leaderId: 1 } } })
    const { now, pass } = fakeTime()
    castle = new CastleRouter(cluster, {}, undefined, now)
    const inbox = new Inbox<'fetchOffset'>()
    for (let round = 0; round < 6; round++) {
      for (let at = 0; at < 2_000; at++) castle.tell(inbox, offsetOf(`invented-${round}-${at}`, 50))
      await pass(100)
    }
    await pass(1_000)
    expect(inbox.results).to.have.length(12_000)
    expect(castle.router.stats()).to.include({ deferred: 0, topicsWanted: 0, topicsKnown: 0 })
    expect(castle.router.stats().topicsMissing).to.be.at.most(10_000)
  })
})
