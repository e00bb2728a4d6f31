import { expect } from 'chai'
import type { RouterSettingsOverrides } from '../../../src/router/routing/settings.js'
import { CastleRouter } from '../../support/castle-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import { fetchReply, metadataOf, ScriptedCluster, type ScriptedTopic } from '../../support/scripted-client.js'

const MAX_AGE_MS = 10_000

describe('how long the gateway may lag behind a deletion that nobody told it of', () => {
  let castle: CastleRouter
  let time: FakeTime
  let cluster: ScriptedCluster
  let topics: Map<string, ScriptedTopic>
  afterEach(async () => {
    await castle.stop()
    time.restore()
  })

  const start = (names: readonly string[], settings: RouterSettingsOverrides = {}): void => {
    time = new FakeTime()
    cluster = new ScriptedCluster([1])
    topics = new Map(names.map(name => [name, { topicId: 'one', partitions: { 0: { leaderId: 1 } } }]))
    cluster.always(0, 'metadata', call => {
      const named = (call.topics ?? []).map(topic => [topic, topics.get(topic) ?? { errorCode: 3 }] as const)
      return metadataOf(cluster.nodes, Object.fromEntries(named))
    })
    cluster.always(1, 'fetch', call => {
      const table = call.partitions.map(({ topic, partition, fetchOffset }) => {
        const batch = topics.has(topic) ? { batches: [fakeBatch(fetchOffset, [1])] } : { errorCode: 3 }
        return [`${topic}/${partition}@${fetchOffset}`, batch] as const
      })
      return fetchReply(cluster, Object.fromEntries(table))(call)
    })
    castle = new CastleRouter(cluster, settings, undefined, time.now)
  }
  const ask = (topic: string) => castle.ask({ type: 'fetchData', topicPartition: { topic, partition: 0 }, offset: 0 })
  const read = async (topic = 'orders'): Promise<string> => {
    const answer = ask(topic)
    let type: string | undefined
    void answer.then(result => (type = result.type))
    while (type === undefined) await time.pass(5)
    return type
  }
  /** Reads again and again; gives how long it went on succeeding. */
  const readUntilGone = async (everyMs: number): Promise<number> => {
    const from = time.now()
    while ((await read()) === 'success') await time.pass(everyMs, everyMs)
    return time.now() - from
  }

  it('a deleted topic that is polled is read from the cache for ten seconds at most', async () => {
    start(['orders'])
    await read()
    await time.pass(3_000, 50)
    topics.delete('orders')
    expect(await readUntilGone(100)).to.be.at.most(MAX_AGE_MS)
    for (let times = 0; times < 3; times++) {
      const from = time.now()
      expect(await read()).to.equal('unknownTopicOrPartition')
      expect(time.now() - from, 'the next one is told at once').to.be.at.most(50)
    }
  })

  it('the setting decides how long', async () => {
    start(['orders'], { metadataMaxAgeMs: 2_000 })
    await read()
    topics.delete('orders')
    expect(await readUntilGone(50)).to.be.at.most(2_000)
  })

  it('what was read long ago and not since is not served before the topic was looked up', async () => {
    start(['orders'])
    await read()
    await time.pass(60_000, 500)
    topics.delete('orders')
    expect(await read()).to.equal('unknownTopicOrPartition')
  })

  for (const [what, now] of [
    ['a topic that was created anew', { topicId: 'two', partitions: { 0: { leaderId: 1 } } }],
    ['a partition with another leader epoch', { topicId: 'one', partitions: { 0: { leaderId: 1, leaderEpoch: 1 } } }]
  ] as const) {
    it(`${what} is not read from the cache of the one before, longer than allowed`, async () => {
      start(['orders'])
      await read()
      const before = castle.metrics.of('fetches')
      topics.set('orders', now)
      const from = time.now()
      while (castle.metrics.of('fetches') === before) {
        expect(await read()).to.equal('success')
        await time.pass(100, 100)
      }
      expect(time.now() - from).to.be.at.most(MAX_AGE_MS)
    })
  }

  it('while no broker answers, what is cached is served', async () => {
    start(['orders'])
    await read()
    cluster.always(0, 'metadata', () => {
      throw new Error('nobody is there')
    })
    for (let second = 0; second < 40; second++) {
      expect(await read()).to.equal('success')
      await time.pass(1_000, 100)
    }
  })

  it('all topics in use are looked up in one call, those that are not are left alone', async () => {
    const names = Array.from({ length: 300 }, (_, at) => `topic-${at}`)
    start(names)
    const readAll = async (some: readonly string[], forMs: number): Promise<void> => {
      const answers = some.map(ask)
      await time.pass(forMs, 50)
      for (const { type } of await Promise.all(answers)) expect(type).to.equal('success')
    }
    for (let at = 0; at < 300; at += 30) await readAll(names.slice(at, at + 30), 200)
    const inUse = names.slice(0, 200)
    for (let round = 0; round < 6; round++) await readAll(inUse, 2_000)
    const before = cluster.callsOf(1, 'metadata').length
    for (let round = 0; round < 15; round++) await readAll(inUse, 2_000)
    const calls = cluster
      .callsOf(1, 'metadata')
      .slice(before)
      .filter(({ topics: asked }) => asked?.length !== 0)
    expect(calls.length, 'calls in 30 s').to.be.within(3, 5)
    for (const { topics: asked } of calls) expect(asked).to.have.members(inUse)
  })
})
