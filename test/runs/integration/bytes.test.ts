import { expect } from 'chai'
import fc from 'fast-check'
import type { Bytes, KafkaRecord, ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const recordCount = 10_000
const burstSize = 500
const partitions = 3

const bytes = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 200 }).map(array => Buffer.from(array)) },
  { weight: 4, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }).map(text => Buffer.from(text)) },
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constant(Buffer.alloc(0)) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('c328', '00', 'ff', 'eda080', 'f8a1a1a1a1', 'c0af', '0a0d00')
      .map(hex => Buffer.from(hex, 'hex'))
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('__proto__', 'constructor', 'toString', 'null').map(text => Buffer.from(text))
  }
)
const header = fc.record({ key: fc.constantFrom('a', 'b', '__proto__', '', 'é'), value: bytes })
const record = fc.record({
  key: bytes,
  value: bytes,
  headers: fc.array(header, { maxLength: 3 }),
  partition: fc.nat(partitions - 1)
})

/** What must come back, as something that can be compared. */
const hex = (of: Bytes | undefined): string | null =>
  of === null || of === undefined ? null : Buffer.from(of).toString('hex')
const asHex = ({ key, value, headers = [] }: ProduceRecord | KafkaRecord): unknown => [
  hex(key),
  hex(value),
  headers.map(({ key: name, value: of }) => [name, hex(of)])
]

describe('bytes', () => {
  inWorld()
  const on = onTargetCluster()

  /** The first one awaited, since the capacity for records of a topic nobody has looked up yet is small; then none. */
  async function produceInBursts(records: readonly ProduceRecord[]): Promise<RecordOutcome[]> {
    const [first, ...bursts] = Array.from({ length: records.length / burstSize }, (_, index) =>
      records.slice(index * burstSize, (index + 1) * burstSize)
    )
    const firstOutcomes = await on.castellan.produce(first!)
    return [firstOutcomes, ...(await Promise.all(bursts.map(burst => on.castellan.produce(burst))))].flat()
  }

  it(`come back identical from ${recordCount} random records`, async () => {
    const topic = freshTopic('bytes')
    await on.cluster.createTopic(topic, partitions)
    const seed = Date.now() % 1_000_000
    const records = fc.sample(record, { numRuns: recordCount, seed }).map(sample => ({ ...sample, topic }))
    const outcomes = await produceInBursts(records)
    expect(outcomes.filter(outcome => outcome.type !== 'delivered')).to.deep.equal([])
    const back = await Promise.all(
      Array.from({ length: partitions }, (_, partition) =>
        on.castellan.read(topic, partition, records.filter(of => of.partition === partition).length)
      )
    )
    records.forEach((sent, index) => {
      const outcome = outcomes[index]!
      if (outcome.type !== 'delivered') return
      expect(outcome.partition).to.equal(sent.partition)
      const found = back[sent.partition]!.get(outcome.offset)!
      expect(asHex(found), `seed ${seed}, record ${index}`).to.deep.equal(asHex(sent))
    })
  })

  it('tells an empty key and value from none', async () => {
    const topic = freshTopic('empty')
    await on.cluster.createTopic(topic, 1)
    const empty = Buffer.alloc(0)
    const sent = [
      { key: null, value: empty },
      { key: empty, value: null },
      { key: null, value: null },
      { key: empty, value: empty }
    ]
    await on.castellan.produce(sent.map(of => ({ ...of, topic, partition: 0 })))
    const back = [...(await on.castellan.read(topic, 0, sent.length)).values()]
    expect(back.map(asHex)).to.deep.equal(sent.map(of => asHex({ ...of, topic })))
  })

  for (const topic of ['__proto__', 'constructor', 'hasOwnProperty']) {
    it(`go through a topic and a key named ${topic}`, async () => {
      const sent = [{ topic, partition: 0, key: topic, value: `${topic} ${Date.now()}` }]
      const [outcome] = await on.castellan.produce(sent)
      if (outcome?.type !== 'delivered') throw new Error(JSON.stringify(outcome))
      const back = await on.castellan.read(topic, 0, 1, outcome.offset)
      expect(asHex(back.get(outcome.offset)!)).to.deep.equal(asHex(sent[0]!))
    })
  }
})
