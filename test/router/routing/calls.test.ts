import { expect } from 'chai'
import { A, CastleRouter, metaGood } from '../../support/castle-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import {
  commitReply,
  coordinatorReply,
  fetchReply,
  listOffsetsReply,
  metadataOf,
  offsetFetchReply,
  ScriptedCluster
} from '../../support/scripted-client.js'
import { turns } from '../../support/ticks.js'

const EARLIEST = -2

describe('the Router and its calls of brokers', () => {
  let castle: CastleRouter
  afterEach(() => castle.stop())

  it('castle 105 closes every connection it has opened', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [fakeBatch(1000, [1])] } }))
    cluster.always(1, 'listOffsets', listOffsetsReply(cluster, EARLIEST, 0, 1))
    castle = new CastleRouter(cluster)
    await castle.ask({ type: 'fetchData', topicPartition: A, offset: 1000 })
    await castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: 'earliest' })
    expect(cluster.connections).to.have.members(['1 metadata', '1 fetch-catch-up', '1 control'])
    expect(cluster.openConnections).to.equal(3)
    await castle.router.stop()
    expect(cluster.openConnections).to.equal(0)
  })

  it('castle 107 names offset, buffer size and total size in a fetch, and gives all records back unchanged', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    const batch = fakeBatch(1000, [20, 17, 36])
    cluster.always(1, 'fetch', fetchReply(cluster, { 'perf/1@1000': { batches: [batch] } }))
    castle = new CastleRouter(cluster, { fetchBufferBytes: 4_096, fetchMaxBytes: 65_536 })
    const result = await castle.ask({ type: 'fetchData', topicPartition: A, offset: 1000 })
    expect(result.type === 'success' && result.batch).to.equal(batch)
    const calls = cluster.callsOf(1, 'fetch').map(({ decompression: _, ...call }) => call)
    expect(calls).to.deep.equal([
      {
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: 65_536,
        isolationLevel: 'readUncommitted',
        timeoutMs: 5_000,
        partitions: [
          { topic: 'perf', topicId: undefined, partition: 1, fetchOffset: 1000, maxBytes: 4_096, currentLeaderEpoch: 0 }
        ]
      }
    ])
  })

  it('castle 108 asks for metadata of all topics in one call for everybody, which creates nothing', async () => {
    const cluster = new ScriptedCluster([1])
    cluster.always(0, 'metadata', () => metadataOf(cluster.nodes, { perf: { partitions: { 1: { leaderId: 1 } } } }))
    castle = new CastleRouter(cluster)
    await castle.ask({ type: 'fetchTopicMetadata', requestId: 1 })
    const [bootstrap, asked] = cluster.callsOf(1, 'metadata')
    expect(bootstrap).to.include({ allowAutoTopicCreation: false }).and.to.deep.include({ topics: [] })
    expect(asked).to.include({ topics: null, allowAutoTopicCreation: false })
  })

  it('castle 109 asks for earliest and latest by the constants of the protocol', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'listOffsets', listOffsetsReply(cluster, EARLIEST, 0, 5))
    castle = new CastleRouter(cluster, { isolationLevel: 'readCommitted' })
    await castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: 'earliest' })
    expect(cluster.callsOf(1, 'listOffsets')).to.deep.equal([
      { isolationLevel: 'readCommitted', timeoutMs: 5_000, partitions: [{ ...A, timestamp: EARLIEST }] }
    ])
  })

  it('castle 112 commits as a stand-alone consumer does', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'findCoordinator', coordinatorReply(cluster, 1))
    cluster.always(1, 'offsetCommit', commitReply(cluster, 'c1', { 'perf/1=7': 0 }))
    castle = new CastleRouter(cluster)
    const offsetAndMetadata = { offset: 7 }
    await castle.ask({ type: 'commitConsumerOffset', groupId: 'c1', topicPartition: A, offsetAndMetadata })
    expect(cluster.callsOf(1, 'offsetCommit')[0]).to.include({ groupId: 'c1', generationId: -1, memberId: '' })
  })

  it('makes cluster calls in turn on one connection, and calls of groups on another', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster
      .always(1, 'findCoordinator', coordinatorReply(cluster, 1))
      .always(1, 'offsetFetch', offsetFetchReply(0, 1))
      .always(1, 'offsetCommit', call => ({
        throttleTimeMs: 0,
        partitions: call.partitions.map(at => ({ ...at, errorCode: 0 }))
      }))
      .always(1, 'listOffsets', call => ({
        throttleTimeMs: 0,
        partitions: call.partitions.map(at => ({ ...at, errorCode: 0, timestampMs: -1, offset: 1 }))
      }))
    castle = new CastleRouter(cluster)
    // Makes leader and coordinator known.
    await castle.ask({ type: 'fetchConsumerOffset', groupId: 'g', topicPartition: A })
    const held = cluster.hold(1, 'listOffsets', 1)
    const asks = [castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: 'earliest' })]
    await held.arrived
    const before = cluster.calls.length
    asks.push(castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: 'latest' }) as never)
    asks.push(castle.ask({ type: 'fetchConsumerOffset', groupId: 'g', topicPartition: A }) as never)
    asks.push(castle.ask({ type: 'fetchTopicMetadata', requestId: 1 }) as never)
    const commit = { type: 'commitConsumerOffset', groupId: 'g', topicPartition: A } as const
    asks.push(castle.ask({ ...commit, offsetAndMetadata: { offset: 1 } }) as never)
    await Promise.all(asks.slice(2, 3))
    await turns(5)
    const calls = () => cluster.calls.slice(before).map(({ api }) => api)
    expect(calls(), 'one cluster call in flight').to.deep.equal(['offsetCommit', 'offsetFetch'])
    held.release()
    await Promise.all(asks)
    expect(calls().slice(2)).to.deep.equal(['metadata', 'listOffsets'])
    expect(cluster.connections).to.have.members(['1 metadata', '1 control', '1 group'])
  })

  it('leaves a broker alone for as long as it asks', async () => {
    const cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'listOffsets', call => ({
      throttleTimeMs: 40,
      partitions: call.partitions.map(at => ({ ...at, errorCode: 0, timestampMs: -1, offset: 1 }))
    }))
    const time = new FakeTime()
    try {
      castle = new CastleRouter(cluster, {}, undefined, time.now)
      const ask = () => castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: 'latest' })
      await ask()
      const second = ask()
      await time.pass(35)
      expect(cluster.countOf(1, 'listOffsets')).to.equal(1)
      await time.pass(10)
      await second
      expect(castle.metrics.of('retries')).to.equal(0)
    } finally {
      time.restore()
    }
  })
})
