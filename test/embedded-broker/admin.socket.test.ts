import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { EARLIEST, fetchOne, listOffset, metadata, produce } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

interface NewTopic {
  readonly name: string
  readonly partitions?: number
  readonly factor?: number
  readonly replicas?: readonly (readonly number[])[]
  readonly configs?: Record<string, string>
}

describe('broker: admin', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start({ nodes: 2, defaultPartitions: 3 })
    client = await connect(cluster.nodes[0]!)
  })

  async function createTopic(topic: NewTopic, { isValidateOnly = false, on = client } = {}): Promise<number> {
    const { name, partitions = 1, factor = 1, replicas = [], configs = {} } = topic
    const answer = await on.call(19, 4, body => {
      body.int32(1).string(name).int32(partitions).int16(factor)
      body.array([...replicas.entries()], ([index, ids]) => body.int32(index).array(ids, id => body.int32(id)))
      body.array(Object.entries(configs), ([key, value]) => body.string(key).nullableString(value))
      body.int32(1000).boolean(isValidateOnly)
    })
    answer.int32()
    answer.int32()
    answer.string()
    return answer.int16()
  }
  const replicasOf = async (topic: string) =>
    (await metadata(client, [topic])).topics[0]!.partitions.map(({ replicas }) => replicas)

  it('creates topics with counts, defaults or given replicas', async () => {
    expect(await createTopic({ name: 'counted', partitions: 2, factor: 2 })).to.equal(0)
    expect(await createTopic({ name: 'default', partitions: -1, factor: -1 })).to.equal(0)
    expect(
      await createTopic({
        name: 'given',
        partitions: -1,
        factor: -1,
        replicas: [
          [1, 2],
          [2, 1]
        ]
      })
    ).to.equal(0)
    expect(await replicasOf('counted')).to.deep.equal([
      [1, 2],
      [2, 1]
    ])
    expect(await replicasOf('default')).to.have.length(3)
    expect(await replicasOf('given')).to.deep.equal([
      [1, 2],
      [2, 1]
    ])
  })

  for (const [title, code, topic] of [
    ['36 for a topic that exists', 36, { name: 'x.y' }],
    ['17 for a name that cannot be', 17, { name: 'a b' }],
    ['17 for a name that differs from another in _ and . only', 17, { name: 'x_y' }],
    ['37 for no partitions', 37, { name: 'new', partitions: 0 }],
    ['38 for more replicas than nodes', 38, { name: 'new', factor: 3 }],
    ['39 for a replica on a node that is not there', 39, { name: 'new', replicas: [[1], [7]] }],
    [
      '39 for partitions with different numbers of replicas',
      39,
      { name: 'new', partitions: -1, factor: -1, replicas: [[2], [2, 1]] }
    ],
    ['40 for a setting that does not exist', 40, { name: 'new', configs: { 'no.such': '1' } }],
    ['40 for a setting that makes no sense', 40, { name: 'new', configs: { 'max.message.bytes': 'many' } }]
  ] as const) {
    it(`answers ${title}`, async () => {
      cluster.createTopic('x.y')
      expect(await createTopic(topic)).to.equal(code)
      expect((await metadata(client, null)).topics).to.have.length(1)
    })
  }

  it('only looks when told to validate, and answers 41 where the controller is not', async () => {
    expect(await createTopic({ name: 'new' }, { isValidateOnly: true })).to.equal(0)
    const other = await connect(cluster.nodes[1]!)
    expect(await createTopic({ name: 'new' }, { on: other })).to.equal(41)
    other.close()
    expect((await metadata(client, null)).topics).to.have.length(0)
  })

  it('deletes topics with their records: 3 afterwards, and a new one starts at 0', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await produce(client, 'orders', 0, batchOf(['a'], { producerId: 5, baseSequence: 0 }))
    expect(await deleteTopics(client, ['orders', 'nope'])).to.deep.equal([
      ['orders', 0],
      ['nope', 3]
    ])
    expect(await produce(client, 'orders', 0, batchOf(['b']))).to.include({ errorCode: 3 })
    cluster.createTopic('orders', { partitions: 1 })
    const fresh = batchOf(['c'], { producerId: 5, baseSequence: 7 })
    expect(await produce(client, 'orders', 0, fresh)).to.include({ errorCode: 0, baseOffset: 0 })
    expect(await fetchOne(client, 'orders', 0, 2)).to.include({ errorCode: 1 })
  })

  it('adds partitions: 37 for fewer, 3 for a topic that is not there', async () => {
    cluster.createTopic('orders', { partitions: 2 })
    expect(await createPartitions(client, 'orders', 4)).to.equal(0)
    expect(await replicasOf('orders')).to.have.length(4)
    expect(await createPartitions(client, 'orders', 4)).to.equal(37)
    expect(await createPartitions(client, 'nope', 4)).to.equal(3)
    expect(
      (await produce(client, 'orders', cluster.leaderOf('orders', 2) === 1 ? 2 : 3, batchOf(['a']))).errorCode
    ).to.equal(0)
  })

  it('deletes records before an offset; whole batches still come, the log start tells', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await produce(client, 'orders', 0, batchOf(['a', 'b', 'c']))
    expect(await deleteRecords(client, 'orders', 0, 2)).to.deep.equal({ lowWatermark: 2, errorCode: 0 })
    expect(await fetchOne(client, 'orders', 0, 1)).to.include({ errorCode: 1 })
    const { logStartOffset, records } = await fetchOne(client, 'orders', 0, 2)
    expect([logStartOffset, records.length]).to.deep.equal([2, batchOf(['a', 'b', 'c']).length])
    expect(cluster.records('orders', 0).map(({ value }) => value?.toString())).to.deep.equal(['c'])
    expect(await deleteRecords(client, 'orders', 0, 9)).to.include({ errorCode: 1 })
    expect(await deleteRecords(client, 'orders', 0, -1)).to.include({ lowWatermark: 3 })
    expect(await listOffset(client, 'orders', 0, EARLIEST)).to.include({ offset: 3 })
    expect((await produce(client, 'orders', 0, batchOf(['d']))).baseOffset).to.equal(3)
  })

  it('tells where a leader epoch ended', async () => {
    cluster.createTopic('orders', { partitions: 1, replicationFactor: 2 })
    const other = await connect(cluster.nodes[1]!)
    await produce(client, 'orders', 0, batchOf(['a', 'b']))
    cluster.moveLeader('orders', 0, 2)
    await produce(other, 'orders', 0, batchOf(['c']))
    expect(await endOfEpoch(other, 'orders', 0)).to.deep.equal({ errorCode: 0, leaderEpoch: 0, endOffset: 2 })
    expect(await endOfEpoch(other, 'orders', 1)).to.deep.equal({ errorCode: 0, leaderEpoch: 1, endOffset: 3 })
    expect(await endOfEpoch(other, 'orders', 5)).to.deep.equal({ errorCode: 0, leaderEpoch: -1, endOffset: -1 })
    expect(await endOfEpoch(client, 'orders', 0)).to.include({ errorCode: 6 })
  })

  it('tells where a leader epoch ended in a log that was cut, and of one before all that it knows', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    for (const name of ['a', 'b', 'c', 'd']) await produce(client, 'orders', 0, batchOf([name]))
    cluster.truncate('orders', 0, 3)
    expect(await endOfEpoch(client, 'orders', 0)).to.deep.equal({ errorCode: 0, leaderEpoch: 0, endOffset: 3 })
    for (const name of ['e', 'f']) await produce(client, 'orders', 0, batchOf([name]))
    expect(await endOfEpoch(client, 'orders', 0)).to.deep.equal({ errorCode: 0, leaderEpoch: 0, endOffset: 3 })
    cluster.truncate('orders', 0, 0)
    expect(await endOfEpoch(client, 'orders', 0)).to.deep.equal({ errorCode: 0, leaderEpoch: 0, endOffset: 0 })
    await produce(client, 'orders', 0, batchOf(['g']))
    expect(await endOfEpoch(client, 'orders', 1), 'older than all').to.deep.equal({
      errorCode: 0,
      leaderEpoch: 1,
      endOffset: 0
    })
  })

  it('describes settings, with where they come from', async () => {
    cluster.createTopic('orders', { config: new Map([['retention.bytes', '5000']]) })
    const names = ['retention.bytes', 'cleanup.policy']
    expect(await describeConfigs(client, 2, 'orders', names)).to.deep.equal({
      errorCode: 0,
      entries: [
        ['cleanup.policy', 'delete', 5],
        ['retention.bytes', '5000', 1]
      ]
    })
    expect((await describeConfigs(client, 2, 'orders', null)).entries.length).to.be.greaterThan(10)
    expect(await describeConfigs(client, 2, 'nope', null)).to.deep.include({ errorCode: 3 })
    expect((await describeConfigs(client, 4, '1', ['num.partitions'])).entries).to.deep.equal([
      ['num.partitions', '3', 4]
    ])
  })

  it('changes settings at once and together, and heeds them', async () => {
    cluster.createTopic('orders', { partitions: 1, config: new Map([['retention.bytes', '5000']]) })
    expect(await alterConfigs(client, 44, 'orders', [['max.message.bytes', 0, '80']])).to.equal(0)
    expect((await produce(client, 'orders', 0, batchOf(['x'.repeat(20)]))).errorCode).to.equal(10)
    expect((await describeConfigs(client, 2, 'orders', ['retention.bytes'])).entries[0]![1]).to.equal('5000')
    expect(await alterConfigs(client, 44, 'orders', [['max.message.bytes', 1, null]])).to.equal(0)
    expect((await produce(client, 'orders', 0, batchOf(['x'.repeat(20)]))).errorCode).to.equal(0)
    expect(await alterConfigs(client, 33, 'orders', [['cleanup.policy', 0, 'compact']])).to.equal(0)
    // The old call replaces everything.
    expect((await describeConfigs(client, 2, 'orders', ['retention.bytes'])).entries[0]![1]).to.equal('-1')
    expect(await alterConfigs(client, 33, 'orders', [['cleanup.policy', 0, 'whatever']])).to.equal(40)
    expect(await alterConfigs(client, 33, 'nope', [])).to.equal(3)
  })
})

async function deleteTopics(client: RawKafka, names: readonly string[]) {
  const answer = await client.call(20, 3, body => body.array(names, name => body.string(name)).int32(1000))
  answer.int32()
  return answer.array(() => [answer.string(), answer.int16()])
}

async function createPartitions(client: RawKafka, topic: string, count: number): Promise<number> {
  const answer = await client.call(37, 1, body => {
    body.int32(1).string(topic).int32(count).int32(-1).int32(1000).boolean(false)
  })
  answer.int32()
  answer.int32()
  answer.string()
  return answer.int16()
}

async function deleteRecords(client: RawKafka, topic: string, partition: number, offset: number) {
  const answer = await client.call(21, 1, body => {
    body.int32(1).string(topic).int32(1).int32(partition).int64(offset).int32(1000)
  })
  answer.int32()
  answer.int32()
  answer.string()
  answer.int32()
  answer.int32()
  return { lowWatermark: answer.int64(), errorCode: answer.int16() }
}

async function endOfEpoch(client: RawKafka, topic: string, epoch: number) {
  const answer = await client.call(23, 3, body => {
    body.int32(-1).int32(1).string(topic).int32(1).int32(0).int32(-1).int32(epoch)
  })
  answer.int32()
  answer.int32()
  answer.string()
  answer.int32()
  const errorCode = answer.int16()
  answer.int32()
  return { errorCode, leaderEpoch: answer.int32(), endOffset: answer.int64() }
}

async function describeConfigs(client: RawKafka, type: number, name: string, names: readonly string[] | null) {
  const answer = await client.call(32, 2, body => {
    body.int32(1).int8(type).string(name)
    if (names) body.array(names, one => body.string(one))
    else body.int32(-1)
    body.boolean(false)
  })
  answer.int32()
  answer.int32()
  const errorCode = answer.int16()
  answer.nullableString()
  answer.int8()
  answer.string()
  const entries = answer.array(() => {
    const key = answer.string()
    const value = answer.nullableString()
    answer.boolean()
    const source = answer.int8()
    answer.boolean()
    answer.int32()
    return [key, value, source]
  })
  return { errorCode, entries }
}

type Change = readonly [name: string, operation: number, value: string | null]

/** AlterConfigs (33) or IncrementalAlterConfigs (44) of a topic. */
async function alterConfigs(
  client: RawKafka,
  key: 33 | 44,
  topic: string,
  changes: readonly Change[]
): Promise<number> {
  const answer = await client.call(key, 0, body => {
    body.int32(1).int8(2).string(topic)
    body.array(changes, ([name, operation, value]) => {
      body.string(name)
      if (key === 44) body.int8(operation)
      body.nullableString(value)
    })
    body.boolean(false)
  })
  answer.int32()
  answer.int32()
  return answer.int16()
}
