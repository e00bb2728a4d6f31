import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { BatchView, splitBatches } from '../../src/embedded-broker/protocol/record-batch.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { fetch, fetchOne, produce } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

/** Longer than any test runs: who waits for it hangs. */
const FOREVER_MS = 60_000

describe('broker: fetch', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  let producer: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start()
    cluster.createTopic('orders', { partitions: 3 })
    client = await connect(cluster.nodes[0]!)
    producer = await connect(cluster.nodes[0]!)
  })
  const basesOf = (records: Buffer) => splitBatches(records).batches.map(batch => new BatchView(batch).baseOffset)

  it('gives whole batches from the offset on, with the watermarks', async () => {
    await produce(producer, 'orders', 0, batchOf(['a', 'b']))
    await produce(producer, 'orders', 0, batchOf(['c']))
    const answer = await fetchOne(client, 'orders', 0, 0)
    expect(answer).to.include({ errorCode: 0, highWatermark: 3, lastStableOffset: 3, logStartOffset: 0 })
    expect(basesOf(answer.records)).to.deep.equal([0, 2])
    expect(basesOf((await fetchOne(client, 'orders', 0, 2)).records)).to.deep.equal([2])
  })

  it('gives the whole batch for an offset inside it', async () => {
    await produce(producer, 'orders', 0, batchOf(['a', 'b', 'c']))
    expect(basesOf((await fetchOne(client, 'orders', 0, 2)).records)).to.deep.equal([0])
  })

  it('cuts at exactly the byte limit, in the middle of a batch', async () => {
    const size = batchOf(['a']).length
    for (let round = 0; round < 3; round++) await produce(producer, 'orders', 0, batchOf(['a']))
    const byPartition = await fetchOne(client, 'orders', 0, 0, { partitionMaxBytes: size + 10 })
    expect(byPartition.records).to.have.length(size + 10)
    const byRequest = await fetchOne(client, 'orders', 0, 0, { maxBytes: 2 * size + 1 })
    expect(byRequest.records).to.have.length(2 * size + 1)
  })

  it('gives the first batch whole however large it is, and to one partition only', async () => {
    const batch = batchOf([{ value: Buffer.alloc(5000) }])
    await produce(producer, 'orders', 0, batch)
    await produce(producer, 'orders', 1, batch)
    const wanted = [
      [0, 0],
      [1, 0]
    ] as const
    const { partitions } = await fetch(client, 'orders', wanted, { maxBytes: 100 })
    expect(partitions.map(({ records }) => records.length)).to.deep.equal([batch.length, 0])
  })

  it('answers 1 with watermarks of -1 outside of the log', async () => {
    await produce(producer, 'orders', 0, batchOf(['a']))
    for (const offset of [2, -1]) {
      const answer = await fetchOne(client, 'orders', 0, offset, { maxWaitMs: FOREVER_MS })
      expect(answer).to.include({ errorCode: 1, highWatermark: -1, lastStableOffset: -1, logStartOffset: -1 })
    }
  })

  it('answers 3 for a partition that is not there, at once', async () => {
    expect(await fetchOne(client, 'orders', 7, 0, { maxWaitMs: FOREVER_MS })).to.include({ errorCode: 3 })
    expect(await fetchOne(client, 'nope', 0, 0, { maxWaitMs: FOREVER_MS })).to.include({ errorCode: 3 })
  })

  it('answers at once at the high watermark when nothing needs to be there', async () => {
    expect((await fetchOne(client, 'orders', 0, 0, { maxWaitMs: FOREVER_MS, minBytes: 0 })).records).to.have.length(0)
  })

  it('is empty at the high watermark when the time is over', async () => {
    expect(await fetchOne(client, 'orders', 0, 0, { maxWaitMs: 20 })).to.deep.include({
      errorCode: 0,
      records: Buffer.alloc(0)
    })
  })

  it('wakes when a record arrives in any of its partitions', async () => {
    const waiting = fetch(
      client,
      'orders',
      [
        [0, 0],
        [1, 0],
        [2, 0]
      ],
      { maxWaitMs: FOREVER_MS }
    )
    await served(cluster, 'Fetch', 1)
    await produce(producer, 'orders', 1, batchOf(['a']))
    const { partitions } = await waiting
    expect(partitions.map(({ records }) => basesOf(records))).to.deep.equal([[], [0], []])
  })

  it('waits until minBytes are there, over partitions', async () => {
    const size = batchOf(['a']).length
    const waiting = fetch(
      client,
      'orders',
      [
        [0, 0],
        [1, 0]
      ],
      { maxWaitMs: FOREVER_MS, minBytes: 2 * size }
    )
    let isAnswered = false
    waiting.then(() => (isAnswered = true))
    await served(cluster, 'Fetch', 1)
    await produce(producer, 'orders', 0, batchOf(['a']))
    expect(isAnswered).to.equal(false)
    await produce(producer, 'orders', 1, batchOf(['b']))
    const { partitions } = await waiting
    expect(partitions.map(({ records }) => records.length)).to.deep.equal([size, size])
  })

  it('stops waiting with an error when the topic goes', async () => {
    const waiting = fetchOne(client, 'orders', 0, 0, { maxWaitMs: FOREVER_MS })
    await served(cluster, 'Fetch', 1)
    cluster.deleteTopic('orders')
    expect(await waiting).to.include({ errorCode: 3 })
  })

  it('checks the leader epoch: 74 for an old one, 75 for one to come', async () => {
    const three = await start({ nodes: 3 })
    three.createTopic('orders', { partitions: 1 })
    three.moveLeader('orders', 0, 2)
    const raw = await connect(three.nodes[1]!)
    const codes = []
    for (const leaderEpoch of [0, 1, 2]) codes.push((await fetchOne(raw, 'orders', 0, 0, { leaderEpoch })).errorCode)
    expect(codes).to.deep.equal([74, 0, 75])
  })

  it('answers from a follower with data from v11 on, with 6 below', async () => {
    const three = await start({ nodes: 3 })
    three.createTopic('orders', { partitions: 1, replicationFactor: 2 })
    const [leader, follower, stranger] = await Promise.all(three.nodes.map(node => connect(node)))
    await produce(leader!, 'orders', 0, batchOf(['a']))
    expect((await fetchOne(follower!, 'orders', 0, 0)).records).to.not.have.length(0)
    expect(await fetchOne(follower!, 'orders', 0, 0, { version: 10 })).to.include({ errorCode: 6 })
    expect(await fetchOne(stranger!, 'orders', 0, 0)).to.include({ errorCode: 6 })
    for (const client of [leader, follower, stranger]) client!.close()
  })

  for (const version of [4, 5, 7, 9, 11]) {
    it(`speaks version ${version}`, async () => {
      await produce(producer, 'orders', 0, batchOf(['a']))
      const answer = await fetchOne(client, 'orders', 0, 0, { version })
      expect([answer.errorCode, answer.highWatermark, basesOf(answer.records)]).to.deep.equal([0, 1, [0]])
    })
  }
})

/** Until the broker has read the n-th request of the kind: what follows happens while that waits. */
async function served(cluster: EmbeddedCluster, api: 'Fetch', count: number): Promise<void> {
  while (cluster.requestCount(api) < count) await new Promise(resolve => setImmediate(resolve))
}
