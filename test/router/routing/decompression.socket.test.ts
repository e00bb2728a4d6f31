import { expect } from 'chai'
import { ask } from '../../../src/core/actor/actor.js'
import { noProducer, RecordBatchWriter } from '../../../src/kafka/record-batch-writer.js'
import type { BatchAnswer, FetchDataResult } from '../../../src/router/messages/operations.js'
import { type EmbeddedRouter, startEmbeddedRouter } from '../../support/embedded-router.js'

const KIB = 1024
const MIB = 1024 * KIB

/** `records` records of 10 KiB that are next to nothing when compressed. */
function bomb(records: number): Buffer {
  const writer = new RecordBatchWriter(20 * MIB)
  for (let record = 0; record < records; record++) writer.append(null, 'x'.repeat(10 * KIB), undefined, 1)
  return writer.seal({ ...noProducer, codec: 'gzip' })
}

describe('router: compressed records', () => {
  let embedded: EmbeddedRouter
  beforeEach(async () => {
    embedded = await startEmbeddedRouter({}, { decompressedMaxBytes: 2 * MIB })
  })
  afterEach(() => embedded.stop())

  const write = (topic: string, partition: number, bytes: Buffer): Promise<BatchAnswer> =>
    new Promise(answer => {
      embedded.router.ref.tell({ type: 'produceBatches', batches: [{ topic, partition, bytes, answer }] })
    })
  const fetch = (topic: string, partition: number, offset: number): Promise<FetchDataResult> =>
    ask('a fetch', 10_000, requester =>
      embedded.router.ref.tell({ type: 'fetchData', requester, topicPartition: { topic, partition }, offset })
    )

  it('a bomb fails its own readers and says why; all others are served, within the bounds', async () => {
    embedded.cluster.createTopic('packed', { partitions: 40 })
    for (let partition = 0; partition < 40; partition++) await write('packed', partition, bomb(60))
    await write('packed', 7, bomb(150))
    await write('packed', 7, bomb(10))
    let most = 0
    const gauge = embedded.metrics.gauge.bind(embedded.metrics)
    embedded.metrics.gauge = (component, name, tags, value) => {
      if (name === 'decompressed_bytes') most = Math.max(most, value)
      gauge(component, name, tags, value)
    }
    const all = [fetch('packed', 7, 60), ...Array.from({ length: 40 }, (_, partition) => fetch('packed', partition, 0))]
    const [tooLarge, ...others] = await Promise.all(all)
    expect(tooLarge).to.include({ type: 'failed', code: 'batchTooLarge', retriable: false })
    expect(tooLarge?.type === 'failed' && tooLarge.message).to.contain('before offset 210')
    for (const result of others) expect(result.type === 'success' && [...result.batch].length).to.equal(60)
    const behind = await fetch('packed', 7, 210)
    expect(behind.type === 'success' && [...behind.batch].length).to.equal(10)
    expect(most).to.be.within(600 * KIB, 2 * MIB)
    expect(embedded.metrics.gaugeOf('decompressed_bytes')).to.be.at.most(2 * MIB)
    const again = await fetch('packed', 3, 30)
    expect(again.type === 'success' && again.batch.at(0).offset, 'from the cache, decompressed again').to.equal(30)
    expect(embedded.metrics.of('cache_hits')).to.equal(1)
  })
})
