import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { FetchSessions, type FetchTopic } from '../../src/embedded-broker/fetch-sessions.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { type FetchOptions, fetch, produce } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

/** Longer than any test runs: who waits for it hangs. */
const FOREVER_MS = 60_000

/** Resolves once so many requests of that kind have arrived. */
async function served(cluster: EmbeddedCluster, requests: number): Promise<void> {
  while (cluster.requestCount('Fetch') < requests) await new Promise(resolve => setImmediate(resolve))
}

type Places = readonly (readonly [partition: number, offset: number])[]

describe('broker: fetch sessions', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  let producer: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start({ nodes: 2 })
    cluster.createTopic('orders', { partitions: 3 })
    for (const partition of [0, 1, 2]) cluster.moveLeader('orders', partition, 1)
    client = await connect(cluster.nodes[0]!)
    producer = await connect(cluster.nodes[0]!)
  })

  const START: Places = [
    [0, 0],
    [1, 0],
    [2, 0]
  ]
  const begin = async (places = START): Promise<number> => {
    const { errorCode, sessionId, partitions } = await fetch(client, 'orders', places, { sessionEpoch: 0 })
    expect(errorCode).to.equal(0)
    expect(sessionId).to.be.greaterThan(0)
    expect(partitions).to.have.length(places.length)
    return sessionId
  }
  const goOn = async (sessionId: number, sessionEpoch: number, places: Places = [], options: FetchOptions = {}) => {
    const answer = await fetch(client, 'orders', places, { ...options, sessionId, sessionEpoch })
    const told = answer.partitions.map(({ partition, records }) => [partition, records.length > 0])
    return { errorCode: answer.errorCode, sessionId: answer.sessionId, told }
  }
  const write = (partition: number) => produce(producer, 'orders', partition, batchOf(['a']))

  it('answer all partitions at first, then those with news, until they are read', async () => {
    const sessionId = await begin()
    expect(await goOn(sessionId, 1)).to.deep.equal({ errorCode: 0, sessionId, told: [] })
    await write(1)
    for (const epoch of [2, 3]) expect((await goOn(sessionId, epoch)).told).to.deep.equal([[1, true]])
    expect((await goOn(sessionId, 4, [[1, 1]])).told).to.deep.equal([])
  })

  it('tell of a partition that is new, or whose error is over, and no more of one that has left', async () => {
    const sessionId = await begin([[0, 0]])
    expect((await goOn(sessionId, 1, [[1, 0]])).told).to.deep.equal([[1, false]])
    cluster.faults.add({ api: 'Fetch', topic: 'orders', partition: 0 }, { type: 'error', errorCode: 56 })
    expect((await goOn(sessionId, 2)).told, 'the fault meets a partition that is not named').to.deep.equal([[0, false]])
    expect((await goOn(sessionId, 3)).told).to.deep.equal([[0, false]])
    await write(0)
    expect((await goOn(sessionId, 4, [], { forgotten: [0] })).told).to.deep.equal([])
  })

  it('wake a long poll for a record of a partition that the request does not name', async () => {
    const sessionId = await begin()
    const waiting = goOn(sessionId, 1, [], { maxWaitMs: FOREVER_MS })
    await served(cluster, 2)
    await write(2)
    expect((await waiting).told).to.deep.equal([[2, true]])
  })

  it('serve partitions with records in turn where not all have capacity', async () => {
    for (const partition of [0, 1, 2]) await write(partition)
    const { sessionId } = await fetch(client, 'orders', START, { sessionEpoch: 0, maxBytes: 1 })
    const first: unknown[] = []
    for (const epoch of [1, 2, 3]) {
      const { told } = await goOn(sessionId, epoch, [], { maxBytes: 1 })
      first.push(told.find(([, hasRecords]) => hasRecords)![0])
    }
    expect(first).to.deep.equal([1, 2, 0])
  })

  it('are unknown (70) when they have ended, belong to another node, or were never begun', async () => {
    const ends = [{ sessionEpoch: -1 }, { sessionEpoch: 0 }]
    for (const { sessionEpoch } of ends) {
      const sessionId = await begin()
      const { sessionId: next } = await fetch(client, 'orders', START, { sessionId, sessionEpoch })
      expect(next === 0).to.equal(sessionEpoch === -1)
      expect(await goOn(sessionId, 1)).to.deep.equal({ errorCode: 70, sessionId: 0, told: [] })
    }
    const sessionId = await begin()
    const other = await connect(cluster.nodes[1]!)
    expect((await fetch(other, 'orders', [], { sessionId, sessionEpoch: 1 })).errorCode).to.equal(70)
    other.close()
    expect((await goOn(77, 3)).errorCode).to.equal(70)
    expect((await goOn(sessionId, 1)).errorCode, 'its own session').to.equal(0)
  })

  it('end with the node that keeps them, and with their last partition', async () => {
    const sessionId = await begin()
    await cluster.stopNode(1)
    await cluster.startNode(1)
    client.close()
    client = await connect(cluster.nodes[0]!)
    expect((await goOn(sessionId, 1)).errorCode).to.equal(70)
    const another = await begin([[0, 0]])
    expect(await goOn(another, 1, [], { forgotten: [0] })).to.deep.equal({ errorCode: 0, sessionId: 0, told: [] })
    expect((await goOn(another, 2)).errorCode).to.equal(70)
  })

  it('refuse an epoch that is not the next one (71), and go on at the next one', async () => {
    const sessionId = await begin()
    for (const epoch of [2, 7]) expect((await goOn(sessionId, epoch)).errorCode).to.equal(71)
    expect((await goOn(sessionId, 1)).errorCode).to.equal(0)
    expect((await goOn(sessionId, 1)).errorCode).to.equal(71)
  })

  it('are lost when a fault says so, which leaves requests without a session alone', async () => {
    const sessionId = await begin()
    cluster.faults.add({ api: 'Fetch', count: 3 }, { type: 'error', errorCode: 70 })
    expect((await goOn(sessionId, 1)).errorCode).to.equal(70)
    const another = await begin()
    expect((await goOn(another, 1)).errorCode).to.equal(70)
    expect((await goOn(sessionId, 1)).errorCode, 'it has ended').to.equal(70)
  })

  describe('on one broker', () => {
    const MOST = 1_000
    const topicOf = (partitions: number, topic = 'orders'): FetchTopic => ({
      topic,
      topicId: undefined,
      partitions: Array.from({ length: partitions }, (_, partition) => ({
        partition,
        currentLeaderEpoch: -1,
        fetchOffset: 0,
        maxBytes: 1
      }))
    })
    let now = 0

    it('are bounded: a further one replaces the one that was not used for longest, if it is in use no more', () => {
      const sessions = new FetchSessions()
      const begun = Array.from({ length: MOST }, () => sessions.begin(1, [topicOf(2)], false, now)!)
      now += 119_999
      sessions.use(begun[0]!.id, 1, now)
      expect(sessions.begin(1, [topicOf(3)], false, now), 'all are in use').to.equal(undefined)
      now += 1
      expect(sessions.begin(1, [topicOf(3)], false, now)).to.not.equal(undefined)
      expect(begun.slice(0, 3).map(({ id }) => sessions.get(id, 1) === undefined)).to.deep.equal([false, true, false])
    })

    it('hold so many partitions at most, and none with a name that no topic has', () => {
      const sessions = new FetchSessions()
      expect(sessions.begin(1, [topicOf(100_001)], false, now)).to.equal(undefined)
      expect(sessions.begin(1, [topicOf(1), topicOf(1, 'x'.repeat(250))], false, now)).to.equal(undefined)
      const longest = sessions.begin(1, [topicOf(1, 'x'.repeat(249))], false, now)!
      expect(sessions.update(longest, [topicOf(1, 'y'.repeat(250))], []), 'a long name').to.equal(false)
      expect(sessions.get(longest.id, 1)).to.equal(undefined)
      const former = sessions.begin(1, [topicOf(60_000)], false, now)!
      now += 120_000
      const first = sessions.begin(1, [topicOf(60_000)], false, now)!
      expect(sessions.get(former.id, 1)).to.equal(undefined)
      const second = sessions.begin(1, [topicOf(40_000)], false, now)!
      expect(sessions.update(first, [topicOf(1, 'one more')], []), 'it has ended').to.equal(false)
      expect(sessions.get(first.id, 1)).to.equal(undefined)
      expect(sessions.update(second, [topicOf(60_000)], [])).to.equal(true)
      expect(sessions.update(second, [], [{ topic: 'orders', partitions: [0, 1, 1] }])).to.equal(true)
      expect(second.size).to.equal(59_998)
    })
  })
})
