import { expect } from 'chai'
import type { ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { type Stack, startStack } from '../../support/kafka-stack.js'

const HOUR_MS = 3_600_000

describe('a gateway whose clock is ahead of that of the brokers', () => {
  let cluster: EmbeddedCluster
  let stack: Stack
  let aheadMs: number
  beforeEach(async () => {
    aheadMs = 2 * HOUR_MS
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    stack = startStack(cluster.nodes, {}, () => Date.now() + aheadMs)
  })
  afterEach(async () => {
    await stack.close()
    await cluster.close()
  })

  const produce = (...records: Partial<ProduceRecord>[]): Promise<readonly RecordOutcome[]> =>
    stack.delivery
      .accept(
        records.map(record => ({ topic: 'orders', key: null, value: Buffer.from('v'), headers: [], ...record })),
        { partitioner: 'murmur2', deadlineMs: 50_000 }
      )
      .outcomes()
  const codesOf = (outcomes: readonly RecordOutcome[]): string[] =>
    outcomes.map(one => (one.type === 'failed' ? one.code : one.type))

  it('has records of its own times written once each, with times that Kafka takes, and says so', async () => {
    expect(codesOf(await produce({}, {}, {}))).to.deep.equal(['delivered', 'delivered', 'delivered'])
    const records = cluster.records('orders', 0)
    expect(records).to.have.length(3)
    for (const { timestampMs } of records) expect(Math.abs(timestampMs - Date.now())).to.be.below(2 * HOUR_MS)
    expect(stack.delivery.warnings.join()).to.match(/^the clock of this machine is ahead .* set back by 68 min/)
  })

  it('has later records written by their first attempt', async () => {
    await produce({})
    const before = cluster.requestCount('Produce')
    expect(codesOf(await produce({}))).to.deep.equal(['delivered'])
    expect(cluster.requestCount('Produce')).to.equal(before + 1)
  })

  it('has a time that a caller has given refused for good, and no other record with it', async () => {
    const given = { timestampMs: Date.now() + 2 * HOUR_MS }
    expect(codesOf(await produce({}, given, {}))).to.deep.equal(['delivered', 'recordRejected', 'delivered'])
    expect(cluster.records('orders', 0)).to.have.length(2)
  })

  it('gives records its own times again once its clock is set', async () => {
    await produce({})
    aheadMs = 0
    await produce({})
    expect(Math.abs(cluster.records('orders', 0).at(-1)!.timestampMs - Date.now())).to.be.below(60_000)
    expect(stack.delivery.warnings).to.deep.equal([])
  })
})
