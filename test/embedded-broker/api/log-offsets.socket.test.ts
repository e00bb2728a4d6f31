import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { BatchView, HEADER_BYTES } from '../../../src/embedded-broker/protocol/record-batch.js'
import { batchOf, type RawKafka } from '../../support/raw-kafka.js'
import { EARLIEST, LATEST, listOffset, produce } from '../../support/raw-kafka-calls.js'
import { brokersOfTests } from '../brokers-of-tests.js'

describe('broker: list offsets', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start({ nodes: 2 })
    cluster.createTopic('orders', { partitions: 1 })
    client = await connect(cluster.nodes[0]!)
  })

  it('answers earliest and latest', async () => {
    await produce(client, 'orders', 0, batchOf(['a', 'b']))
    expect(await listOffset(client, 'orders', 0, EARLIEST)).to.deep.equal(found(0, -1))
    expect(await listOffset(client, 'orders', 0, LATEST)).to.deep.equal(found(2, -1))
  })

  it('finds the first record at or after a time, inside batches too', async () => {
    await produce(client, 'orders', 0, batchOf(['a', 'b', 'c'], { timestampMs: 1000 }))
    await produce(client, 'orders', 0, gzipped(batchOf(['d', 'e'], { timestampMs: 2000 })))
    expect(await listOffset(client, 'orders', 0, 1)).to.deep.equal(found(0, 1000))
    expect(await listOffset(client, 'orders', 0, 1002)).to.deep.equal(found(2, 1002))
    expect(await listOffset(client, 'orders', 0, 2001)).to.deep.equal(found(4, 2001))
    expect(await listOffset(client, 'orders', 0, 2002)).to.include({ errorCode: 0, offset: -1, timestamp: -1 })
  })

  it('answers 3, 6, 74 and 75 where it cannot tell', async () => {
    const follower = await connect(cluster.nodes[1]!)
    expect(await listOffset(client, 'nope', 0, LATEST)).to.include({ errorCode: 3, offset: -1 })
    expect(await listOffset(follower, 'orders', 0, LATEST)).to.include({ errorCode: 6, offset: -1 })
    cluster.moveLeader('orders', 0, 2)
    expect(await listOffset(follower, 'orders', 0, LATEST, { leaderEpoch: 0 })).to.include({ errorCode: 74 })
    expect(await listOffset(follower, 'orders', 0, LATEST, { leaderEpoch: 2 })).to.include({ errorCode: 75 })
  })
})

const found = (offset: number, timestamp: number) => ({ errorCode: 0, timestamp, offset, leaderEpoch: 0 })

function gzipped(batch: Buffer): Buffer {
  const bytes = Buffer.concat([batch.subarray(0, HEADER_BYTES), gzipSync(batch.subarray(HEADER_BYTES))])
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt16BE(1, 21)
  new BatchView(bytes).sealCrc()
  return bytes
}
