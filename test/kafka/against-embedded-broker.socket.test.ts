import { expect } from 'chai'
import { silentLogger } from '../../src/core/model.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import type { BrokerClient, FetchCall } from '../../src/kafka/broker-client.js'
import { createBrokerClientFactory } from '../../src/kafka/broker-client-factory.js'
import { type CompressionCodec, prepareCompression } from '../../src/kafka/compression.js'
import { noProducer, RecordBatchWriter } from '../../src/kafka/record-batch-writer.js'
import { producedAt } from '../support/produced.js'

const now = 1_700_000_000_000
const sealed = (values: readonly string[], codec: CompressionCodec = 'none') => {
  const writer = new RecordBatchWriter(1_000_000)
  for (const value of values) writer.append(`key ${value}`, value, [{ key: 'h', value: Buffer.from(value) }], now)
  return writer.seal({ ...noProducer, codec })
}

describe('every call, against the embedded broker', () => {
  let cluster: EmbeddedCluster
  let client: BrokerClient
  before(async () => {
    await prepareCompression()
    cluster = await startEmbeddedCluster({ autoCreateTopics: false })
    const settings = { clientId: 'test', requestTimeoutMs: 10_000, connectTimeoutMs: 10_000, log: silentLogger }
    client = createBrokerClientFactory(settings)(cluster.nodes[0]!, 'test')
    const topics = ['__proto__', 'orders'].map(topic => ({ topic, partitions: 2, replicationFactor: 1 }))
    const created = await client.createTopics({ topics, brokerTimeoutMs: 1000 })
    expect(created.topics.map(({ topic, errorCode }) => [topic, errorCode])).to.deep.equal([
      ['__proto__', 0],
      ['orders', 0]
    ])
  })
  after(async () => {
    await client.close()
    await cluster.close()
  })

  const produce = async (topic: string, partition: number, bytes: Buffer) => {
    const call = { acks: -1, brokerTimeoutMs: 1000, partitions: [{ topic, partition, bytes }] } as const
    return producedAt(await client.produce(call))
  }
  const fetch = async (topic: string, partition: number, fetchOffset: number, maxBytes = 1_000_000) => {
    const ask = { topic, partition, fetchOffset, maxBytes, currentLeaderEpoch: -1 }
    const call: FetchCall = {
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes,
      isolationLevel: 'readUncommitted',
      partitions: [ask]
    }
    return (await client.fetch(call)).partitions[0]!
  }

  it('Metadata names leaders with their epochs, and what does not exist', async () => {
    const { topics, brokers } = await client.metadata({ topics: ['orders', 'none'], allowAutoTopicCreation: false })
    expect(brokers).to.deep.equal(cluster.nodes)
    const [orders, none] = ['orders', 'none'].map(name => topics.find(({ topic }) => topic === name))
    expect(orders!.partitions.map(({ partition, leaderId }) => [partition, leaderId])).to.deep.equal([
      [0, 1],
      [1, 1]
    ])
    expect(orders!.partitions[0]!.leaderEpoch).to.be.at.least(0)
    expect(none).to.deep.include({ errorCode: 3, partitions: [] })
  })

  it('what was produced in any codec is fetched again, whole batches and from within', async () => {
    const codecs: CompressionCodec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
    const values = Array.from({ length: 50 }, (_, index) => `${index} `.repeat(20))
    for (const [index, codec] of codecs.entries()) {
      expect(await produce('__proto__', 0, sealed(values, codec))).to.deep.include({
        errorCode: 0,
        baseOffset: index * 50
      })
    }
    const { records, highWatermark } = await fetch('__proto__', 0, 20)
    expect([highWatermark, records.nextOffset]).to.deep.equal([250, 250])
    const read = records.batches.flatMap(batch => [...batch])
    expect(read.map(record => record.offset)).to.deep.equal(Array.from({ length: 230 }, (_, index) => index + 20))
    expect(read.every(record => record.value!.toString() === values[record.offset % 50])).to.equal(true)
    expect(read.every(record => record.headers[0]!.value!.equals(record.value!))).to.equal(true)
  })

  it('a fetch that is cut by its limit goes on where the whole batches end', async () => {
    for (let index = 0; index < 5; index++) await produce('orders', 1, sealed(['x'.repeat(1000)]))
    const seen: number[] = []
    let sawPartial = false
    for (let offset = 0; offset < 5; ) {
      const { records } = await fetch('orders', 1, offset, 7500)
      sawPartial ||= records.hasPartialBatch
      seen.push(...records.batches.flatMap(batch => [...batch].map(record => record.offset)))
      expect(records.nextOffset).to.be.greaterThan(offset)
      offset = records.nextOffset
    }
    expect(seen).to.deep.equal([0, 1, 2, 3, 4])
    expect(sawPartial).to.equal(true)
  })

  for (const usesTopicIds of [true, false]) {
    it(`a fetch session answers partitions with news only, with topics by their ${usesTopicIds ? 'ids' : 'names'}`, async () => {
      const { topics } = await client.metadata({ topics: ['orders'], allowAutoTopicCreation: false })
      const topicId = usesTopicIds ? topics[0]!.topicId : undefined
      const asked = await Promise.all(
        [0, 1].map(async partition => {
          const fetchOffset = (await fetch('orders', partition, 0)).highWatermark!
          return { topic: 'orders', topicId, partition, fetchOffset, maxBytes: 1_000_000, currentLeaderEpoch: -1 }
        })
      )
      const partitions = new Map(asked.map(ask => [`orders/${ask.partition}`, ask]))
      const session = { usesTopicIds, forgotten: [], partitions, names: new Map([[topicId, 'orders']]) }
      const call = { maxWaitMs: 0, minBytes: 0, maxBytes: 1_000_000, isolationLevel: 'readUncommitted' } as const
      const ask = (id: number, epoch: number, named: typeof asked) =>
        client.fetch({ ...call, session: { ...session, id, epoch }, partitions: named })
      const { sessionId: id, ...first } = await ask(0, 0, asked)
      expect(id).to.be.greaterThan(0)
      expect(first.partitions.map(({ partition }) => partition)).to.deep.equal([0, 1])
      expect(await ask(id, 1, [])).to.deep.include({ errorCode: 0, sessionId: id, partitions: [] })
      await produce('orders', 1, sealed(['news']))
      const { partitions: news } = await ask(id, 2, [])
      expect(news.map(({ topic, partition, records }) => [topic, partition, records.nextOffset])).to.deep.equal([
        ['orders', 1, asked[1]!.fetchOffset + 1]
      ])
      expect(await ask(id, 2, [])).to.include({ errorCode: 71 })
      expect(await ask(id + 1, 1, [])).to.include({ errorCode: 70 })
    })
  }

  it('errors of one partition leave the others their answers', async () => {
    const { rows } = await client.produce({
      acks: -1,
      brokerTimeoutMs: 1000,
      partitions: ['none', 'orders'].map(topic => ({ topic, partition: 0, bytes: sealed(['v']) }))
    })
    expect([rows.errorCode(0), rows.errorCode(1)]).to.deep.equal([3, 0])
    expect(await fetch('orders', 0, 99)).to.deep.include({ errorCode: 1 })
  })

  it('ListOffsets tells both ends and times', async () => {
    const ask = (timestamp: number) => ({ topic: '__proto__', partition: 0, timestamp })
    const { partitions } = await client.listOffsets({ isolationLevel: 'readUncommitted', partitions: [ask(-2)] })
    expect(partitions[0]).to.deep.include({ topic: '__proto__', errorCode: 0, offset: 0 })
    const latest = await client.listOffsets({ isolationLevel: 'readUncommitted', partitions: [ask(-1)] })
    expect(latest.partitions[0]).to.deep.include({ offset: 250, leaderEpoch: 0 })
    const byTime = await client.listOffsets({ isolationLevel: 'readUncommitted', partitions: [ask(now + 1)] })
    expect(byTime.partitions[0]!.offset).to.equal(-1)
  })

  it('OffsetForLeaderEpoch tells where epochs end, OffsetCommit and OffsetFetch keep them, and batches have theirs', async () => {
    cluster.createTopic('elected', { partitions: 1 })
    const topicPartition = { topic: 'elected', partition: 0 }
    const write = (value: string) =>
      client.produce({ acks: -1, brokerTimeoutMs: 1000, partitions: [{ ...topicPartition, bytes: sealed([value]) }] })
    await write('a')
    await write('b')
    cluster.truncate('elected', 0, 1)
    await write('c')
    const ask = (leaderEpoch: number) => ({ ...topicPartition, currentLeaderEpoch: 1, leaderEpoch })
    const ends = await client.offsetForLeaderEpoch({ partitions: [ask(0)] })
    expect(ends.partitions).to.deep.equal([{ ...topicPartition, errorCode: 0, leaderEpoch: 0, endOffset: 1 }])
    const stale = await client.offsetForLeaderEpoch({ partitions: [{ ...ask(0), currentLeaderEpoch: 0 }] })
    expect(stale.partitions[0]).to.include({ errorCode: 74, endOffset: -1 })
    const { records } = await fetch('elected', 0, 0)
    expect(records.batches.flatMap(({ leaderEpochs }) => leaderEpochs)).to.deep.equal([
      { offset: 0, leaderEpoch: 0 },
      { offset: 1, leaderEpoch: 1 }
    ])
    const committed = [{ ...topicPartition, offset: 2, leaderEpoch: 1, metadata: '' }]
    await client.offsetCommit({ groupId: 'epochs', generationId: -1, memberId: '', partitions: committed })
    const found = await client.offsetFetch({ groupId: 'epochs', partitions: [topicPartition] })
    expect(found.partitions[0]).to.include({ offset: 2, leaderEpoch: 1 })
  })

  it('FindCoordinator, OffsetCommit and OffsetFetch keep an offset with its note', async () => {
    const { coordinator } = await client.findCoordinator({ groupId: 'g' })
    expect(coordinator.port).to.equal(cluster.nodes[0]!.port)
    const partitions = [
      { topic: 'orders', partition: 0, offset: 5, metadata: 'nöte' },
      { topic: '__proto__', partition: 1, offset: 7, metadata: '' }
    ]
    const committed = await client.offsetCommit({ groupId: 'g', generationId: -1, memberId: '', partitions })
    expect(committed.partitions.map(({ errorCode }) => errorCode)).to.deep.equal([0, 0])
    const all = await client.offsetFetch({ groupId: 'g', partitions: null })
    expect(all.partitions.map(({ topic, offset, metadata }) => [topic, offset, metadata])).to.have.deep.members([
      ['orders', 5, 'nöte'],
      ['__proto__', 7, '']
    ])
    for (const requireStable of [false, true]) {
      const asked = [0, 1].map(partition => ({ topic: 'orders', partition }))
      const found = await client.offsetFetch({ groupId: 'g', partitions: asked, requireStable })
      expect(found.partitions.map(({ offset, errorCode }) => [offset, errorCode])).to.deep.equal([
        [5, 0],
        [-1, 0]
      ])
    }
  })

  it('InitProducerId gives an id, under which a batch sent twice is in the log once', async () => {
    const { errorCode, producerId, producerEpoch } = await client.initProducerId({})
    expect(errorCode).to.equal(0)
    const writer = new RecordBatchWriter(1000)
    writer.append(null, 'once', undefined, now)
    const batch = writer.seal({ producerId, producerEpoch, baseSequence: 0, codec: 'none' })
    const first = await produce('__proto__', 1, batch)
    expect(await produce('__proto__', 1, batch)).to.deep.include({ errorCode: 0, baseOffset: first.baseOffset })
    expect(cluster.records('__proto__', 1)).to.have.length(1)
    const { records } = await fetch('__proto__', 1, 0)
    expect(records.batches[0]!.origins).to.deep.equal([
      { baseOffset: 0, lastOffset: 0, producerId: Number(producerId), producerEpoch, baseSequence: 0 }
    ])
  })

  it('DescribeConfigs tells the settings that are named, and DeleteTopics deletes', async () => {
    const resources = [{ type: 'topic', name: 'orders' }] as const
    const { resources: topics } = await client.describeConfigs({ resources, names: ['min.insync.replicas'] })
    expect(topics[0]!.configs.map(({ name }) => name)).to.deep.equal(['min.insync.replicas'])
    const setting = 'auto.create.topics.enable'
    const describeBroker = async (nodeId: number) => {
      const broker = { type: 'broker', name: String(nodeId) } as const
      return (await client.describeConfigs({ resources: [broker], names: [setting] })).resources[0]!
    }
    const broker = await describeBroker(cluster.nodes[0]!.nodeId)
    expect([broker.errorCode, broker.configs.map(({ name, value }) => [name, value])]).to.deep.equal([
      0,
      [[setting, 'false']]
    ])
    expect(await describeBroker(77)).to.deep.include({ errorCode: 42, configs: [] })
    const deleted = await client.deleteTopics({ topics: ['orders', 'none'], brokerTimeoutMs: 1000 })
    expect(deleted.topics.map(({ topic, errorCode }) => [topic, errorCode])).to.have.deep.members([
      ['orders', 0],
      ['none', 3]
    ])
  })
})
