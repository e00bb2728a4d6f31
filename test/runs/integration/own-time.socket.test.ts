import { expect } from 'chai'
import type { KafkaRecord, ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import type { Castellan } from '../../support/castellan.js'
import { onCluster } from '../../support/stage.js'

const HOUR_MS = 3_600_000

describe('a gateway whose clock is ahead of that of the brokers', () => {
  const stage = onCluster()
  let stack: Castellan
  let topic: string
  let aheadMs: number
  beforeEach(async () => {
    aheadMs = 2 * HOUR_MS
    topic = await stage.topic('own-time')
    stack = stage.castellan({ now: () => Date.now() + aheadMs })
  })

  const produce = (...records: Partial<ProduceRecord>[]): Promise<readonly RecordOutcome[]> =>
    stack.delivery
      .accept(
        records.map(record => ({ topic, key: null, value: Buffer.from('v'), headers: [], ...record })),
        { partitioner: 'murmur2', deadlineMs: 50_000 }
      )
      .outcomes()
  const codesOf = (outcomes: readonly RecordOutcome[]): string[] =>
    outcomes.map(one => (one.type === 'failed' ? one.code : one.type))

  const written = async (count: number): Promise<KafkaRecord[]> => [
    ...(await stage.reader.read(topic, 0, count)).values()
  ]

  it('has records of its own times written once each, with times that Kafka takes, and says so', async () => {
    expect(codesOf(await produce({}, {}, {}))).to.deep.equal(['delivered', 'delivered', 'delivered'])
    for (const { timestampMs } of await written(3)) expect(Math.abs(timestampMs - Date.now())).to.be.below(2 * HOUR_MS)
    expect(stack.delivery.warnings[0]?.text).to.match(/^the clock of this machine is ahead .* set back by 68 min/)
  })

  it('has later records written by their first attempt', async () => {
    await produce({})
    const { retries } = stack.delivery.counts()
    expect(retries).to.be.above(0)
    expect(codesOf(await produce({}))).to.deep.equal(['delivered'])
    expect(stack.delivery.counts().retries).to.equal(retries)
  })

  it('has a time that a caller has given refused for good, and no other record with it', async () => {
    const given = { timestampMs: Date.now() + 2 * HOUR_MS }
    expect(codesOf(await produce({}, given, {}))).to.deep.equal(['delivered', 'recordRejected', 'delivered'])
    expect((await written(2)).map(({ offset }) => offset)).to.deep.equal([0, 1])
  })

  it('gives records its own times again once its clock is set', async () => {
    await produce({})
    aheadMs = 0
    await produce({})
    expect(Math.abs((await written(2))[1]!.timestampMs - Date.now())).to.be.below(60_000)
    expect(stack.delivery.warnings).to.deep.equal([])
  })
})
