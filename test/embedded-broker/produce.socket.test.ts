import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { BatchView } from '../../src/embedded-broker/protocol/record-batch.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { fetchOne, produce } from '../support/raw-kafka-calls.js'
import { checkRows } from '../support/rows.js'
import { brokersOfTests } from './brokers-of-tests.js'

describe('broker: produce', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start()
    cluster.createTopic('orders', { partitions: 2 })
    client = await connect(cluster.nodes[0]!)
  })
  const values = (partition = 0) => cluster.records('orders', partition).map(({ value }) => value?.toString())

  it('counts offsets on from batch to batch, per partition', async () => {
    expect((await produce(client, 'orders', 0, batchOf(['a', 'b']))).baseOffset).to.equal(0)
    expect((await produce(client, 'orders', 0, batchOf(['c']))).baseOffset).to.equal(2)
    expect((await produce(client, 'orders', 1, batchOf(['d']))).baseOffset).to.equal(0)
    expect(values()).to.deep.equal(['a', 'b', 'c'])
    expect(cluster.highWatermark('orders', 0)).to.equal(3)
  })

  it('keeps bytes as they are, and null apart from empty', async () => {
    const bytes = Buffer.from([0, 255, 128])
    await produce(client, 'orders', 0, batchOf([{ key: bytes, value: null }, { key: '', value: bytes }, { value: '' }]))
    const records = cluster.records('orders', 0).map(({ key, value }) => [key?.toString('hex'), value?.toString('hex')])
    expect(records).to.deep.equal([
      ['00ff80', undefined],
      ['', '00ff80'],
      [undefined, '']
    ])
  })

  it('a batch with a defect is answered its code, and nothing of it is written', () =>
    checkRows(
      [
        ['answers 3 for a topic partition that is not there', 3, 9, batchOf(['a'])],
        ['answers 2 for a CRC that does not fit', 2, 0, flipped(batchOf(['abc']), 66)],
        ['answers 2 for a batch that is not all there', 2, 0, batchOf(['abc']).subarray(0, 64)],
        ['answers 10 for a batch beyond max.message.bytes', 10, 0, batchOf([{ value: Buffer.alloc(1_100_000) }])],
        ['answers 87 for no batch', 87, 0, null],
        ['answers 87 for two batches of one partition', 87, 0, Buffer.concat([batchOf(['a']), batchOf(['b'])])],
        ['answers 87 for the message format of old', 87, 0, flipped(batchOf(['abc']), 16)],
        ['answers 87 for a producer id without a sequence', 87, 0, batchOf(['a'], { producerId: 7 })],
        ['answers 87 for a count that lies', 87, 0, batchOf(['a'], { recordCount: 2 })],
        ['answers 87 for a control batch', 87, 0, batchOf(['a'], { isControl: true })]
      ] as const,
      async ([, code, partition, records]) => {
        const { errorCode, baseOffset } = await produce(client, 'orders', partition, records)
        expect({ errorCode, baseOffset }).to.deep.equal({ errorCode: code, baseOffset: -1 })
        expect(values()).to.deep.equal([])
      }
    ))

  it('answers 21 for acks that do not exist', async () => {
    expect((await produce(client, 'orders', 0, batchOf(['a']), 2)).errorCode).to.equal(21)
    expect(values()).to.deep.equal([])
  })

  it('answers 19 to acks=all when too few replicas are there, and takes acks=1', async () => {
    const two = await start({ nodes: 2 })
    two.createTopic('safe', { partitions: 1, config: new Map([['min.insync.replicas', '2']]) })
    const leaderId = two.leaderOf('safe', 0)
    const raw = await connect(two.nodes.find(({ nodeId }) => nodeId === leaderId)!)
    expect((await produce(raw, 'safe', 0, batchOf(['a']))).errorCode).to.equal(0)
    await two.stopNode(two.nodes.find(({ nodeId }) => nodeId !== leaderId)!.nodeId)
    expect((await produce(raw, 'safe', 0, batchOf(['a']))).errorCode).to.equal(19)
    expect((await produce(raw, 'safe', 0, batchOf(['a']), 1)).errorCode).to.equal(0)
  })

  it('answers -1 for garbage in a compressed batch', async () => {
    const batch = batchOf(['abc'])
    batch.writeInt16BE(1, 21)
    new BatchView(batch).sealCrc()
    expect((await produce(client, 'orders', 0, batch)).errorCode).to.equal(-1)
    expect(values()).to.deep.equal([])
  })

  it('answers 87 for a record without a key where keys matter', async () => {
    cluster.createTopic('compacted', { partitions: 1, config: new Map([['cleanup.policy', 'compact']]) })
    expect((await produce(client, 'compacted', 0, batchOf(['a']))).errorCode).to.equal(87)
    expect((await produce(client, 'compacted', 0, batchOf([{ key: 'k', value: 'a' }]))).errorCode).to.equal(0)
  })

  it('does not answer acks=0', async () => {
    client.send(0, 7, body => {
      body
        .nullableString(null)
        .int16(0)
        .int32(1000)
        .int32(1)
        .string('orders')
        .int32(1)
        .int32(0)
        .bytes(batchOf(['a']))
    })
    // The next answer on the connection belongs to the next request.
    expect((await produce(client, 'orders', 0, batchOf(['b']))).baseOffset).to.equal(1)
    expect(values()).to.deep.equal(['a', 'b'])
  })

  it('hangs up when acks=0 fails, for the client has no other way to learn', async () => {
    client.send(0, 7, body => {
      body
        .nullableString(null)
        .int16(0)
        .int32(1000)
        .int32(1)
        .string('nope')
        .int32(1)
        .int32(0)
        .bytes(batchOf(['a']))
    })
    await client.closed()
  })

  it('stamps records of a topic that wants the time of appending', async () => {
    cluster.createTopic('stamped', { partitions: 1, config: new Map([['message.timestamp.type', 'LogAppendTime']]) })
    const before = Date.now()
    const { logAppendTimeMs } = await produce(client, 'stamped', 0, batchOf(['a'], { timestampMs: 5 }))
    expect(logAppendTimeMs).to.be.within(before, Date.now())
    expect(cluster.records('stamped', 0)[0]!.timestampMs).to.equal(logAppendTimeMs)
  })

  it('drops oldest segments beyond the retention limit, never the newest', async () => {
    const small = await start({ retentionBytes: 64 * 1024 })
    small.createTopic('much', { partitions: 1 })
    const raw = await connect(small.nodes[0]!)
    for (let round = 0; round < 40; round++) {
      await produce(raw, 'much', 0, batchOf([{ value: Buffer.alloc(5000, round) }]))
    }
    raw.close()
    const kept = small.records('much', 0)
    expect(small.logStartOffset('much', 0)).to.equal(kept[0]!.offset).and.be.greaterThan(20)
    expect(kept.at(-1)!.offset).to.equal(39)
    expect(kept.length * 5000).to.be.within(50_000, 80_000)
  })

  it('places a batch by rewriting base offset and leader epoch, which leaves the CRC right', async () => {
    const batch = batchOf(['a'])
    await produce(client, 'orders', 0, batch)
    await produce(client, 'orders', 0, batch)
    const { records } = await fetchOne(client, 'orders', 0, 1)
    const stored = new BatchView(records)
    expect([stored.baseOffset, stored.leaderEpoch, stored.hasGoodCrc]).to.deep.equal([1, 0, true])
  })
})

function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at]! ^= 1
  return bytes
}
