import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { BatchView, HEADER_BYTES, splitBatches } from '../../src/embedded-broker/protocol/record-batch.js'
import { batchOf, controlBatch, type RawKafka } from '../support/raw-kafka.js'
import { fetchOne, LATEST, listOffset, produce } from '../support/raw-kafka-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

const PRODUCER = 9

describe('broker: what readers may meet', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start()
    cluster.createTopic('orders', { partitions: 1 })
    client = await connect(cluster.nodes[0]!)
  })
  const batchesFrom = async (offset: number) =>
    splitBatches((await fetchOne(client, 'orders', 0, offset)).records).batches.map(bytes => new BatchView(bytes))
  const keyed = (...keys: string[]) => batchOf(keys.map((key, index) => ({ key, value: `${key}${index}` })))

  it('compaction leaves holes inside batches and keeps offsets', async () => {
    await produce(client, 'orders', 0, keyed('a', 'b', 'a', 'c'))
    await produce(client, 'orders', 0, keyed('b'))
    cluster.compact('orders', 0)
    const [first, second] = await batchesFrom(0)
    expect([first!.baseOffset, first!.lastOffsetDelta, first!.recordCount, first!.hasGoodCrc]).to.deep.equal([
      0,
      3,
      2,
      true
    ])
    expect([second!.baseOffset, second!.recordCount]).to.deep.equal([4, 1])
    expect(cluster.records('orders', 0).map(({ offset, value }) => [offset, value?.toString()])).to.deep.equal([
      [2, 'a2'],
      [3, 'c3'],
      [4, 'b0']
    ])
    expect((await produce(client, 'orders', 0, keyed('d'))).baseOffset).to.equal(5)
  })

  it('compaction leaves an empty header of an idempotent batch, and nothing of another', async () => {
    const records = ['a', 'b', 'c'].map(key => ({ key, value: 'old' }))
    await produce(client, 'orders', 0, batchOf(records, { producerId: PRODUCER, baseSequence: 0 }))
    await produce(client, 'orders', 0, keyed('a'))
    await produce(client, 'orders', 0, keyed('a', 'b', 'c'))
    cluster.compact('orders', 0)
    const [empty, full, ...rest] = await batchesFrom(0)
    expect(empty!.bytes).to.have.length(HEADER_BYTES)
    expect([empty!.recordCount, empty!.lastOffset, empty!.hasGoodCrc]).to.deep.equal([0, 2, true])
    expect([full!.baseOffset, full!.recordCount, rest.length]).to.deep.equal([4, 3, 0])
    // What an offset in the gap gets is what comes next.
    expect((await batchesFrom(3))[0]!.baseOffset).to.equal(4)
    expect(cluster.highWatermark('orders', 0)).to.equal(7)
  })

  it('an open transaction holds read_committed readers back, its end lets them on', async () => {
    await produce(client, 'orders', 0, batchOf(['before']))
    cluster.appendRaw('orders', 0, transactional('in doubt'))
    await produce(client, 'orders', 0, batchOf(['after']))
    const held = await fetchOne(client, 'orders', 0, 0, { isReadCommitted: true })
    expect([held.highWatermark, held.lastStableOffset]).to.deep.equal([3, 1])
    expect(splitBatches(held.records).batches).to.have.length(1)
    expect(await listOffset(client, 'orders', 0, LATEST, { isReadCommitted: true })).to.include({ offset: 1 })
    expect(await batchesFrom(0)).to.have.length(3)
    cluster.appendRaw('orders', 0, controlBatch('abort', PRODUCER))
    const free = await fetchOne(client, 'orders', 0, 0, { isReadCommitted: true })
    expect(free.lastStableOffset).to.equal(4)
    expect(free.aborted).to.deep.equal([{ producerId: PRODUCER, firstOffset: 1 }])
    expect(splitBatches(free.records).batches).to.have.length(4)
  })

  it('a committed transaction is not listed as aborted', async () => {
    cluster.appendRaw('orders', 0, transactional('a'))
    cluster.appendRaw('orders', 0, controlBatch('commit', PRODUCER))
    const { aborted, lastStableOffset } = await fetchOne(client, 'orders', 0, 0, { isReadCommitted: true })
    expect([aborted, lastStableOffset]).to.deep.equal([[], 2])
  })

  it('wakes a read_committed reader when the transaction ends', async () => {
    cluster.appendRaw('orders', 0, transactional('a'))
    const waiting = fetchOne(client, 'orders', 0, 0, { isReadCommitted: true, maxWaitMs: 60_000 })
    while (cluster.requestCount('Fetch') === 0) await new Promise(setImmediate)
    cluster.appendRaw('orders', 0, controlBatch('commit', PRODUCER))
    expect(splitBatches((await waiting).records).batches).to.have.length(2)
  })

  it('raw bytes go out as they went in', async () => {
    const damaged = batchOf(['a', 'b'])
    damaged[70]! ^= 1
    cluster.appendRaw('orders', 0, damaged)
    cluster.appendRaw('orders', 0, Buffer.from('not a batch at all'))
    await produce(client, 'orders', 0, batchOf(['c']))
    const { records } = await fetchOne(client, 'orders', 0, 0)
    expect(new BatchView(records.subarray(0, damaged.length)).hasGoodCrc).to.equal(false)
    expect(records.toString('latin1')).to.include('not a batch at all')
    expect((await batchesFrom(3))[0]!.hasGoodCrc).to.equal(true)
  })
})

const transactional = (...values: string[]): Buffer =>
  batchOf(values, { producerId: PRODUCER, baseSequence: 0, isTransactional: true })
