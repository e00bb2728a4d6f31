import { expect } from 'chai'
import { type Castellan, startCastellan } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { kcatConsume } from './kcat.js'
import { runningKafka } from './shared-cluster.js'

describe('a log that real Kafka has cleaned', () => {
  let castellan: Castellan
  before(async () => {
    castellan = await startCastellan(runningKafka().bootstrap)
  })
  after(() => castellan?.close())

  const write = async (topic: string, count: number, keys: number, label: string): Promise<void> => {
    for (let at = 0; at < count; at += 100) {
      const records = Array.from({ length: 100 }, (_, index) => {
        return {
          topic,
          partition: 0,
          key: `k${(at + index) % keys}`,
          value: `${label} ${at + index} ${'x'.repeat(100)}`
        }
      })
      const outcomes = await castellan.produce(records)
      expect(outcomes.filter(outcome => outcome.type !== 'delivered')).to.deep.equal([])
    }
  }

  it('is read through its holes after compaction, exactly what kcat reads', async () => {
    const cluster = runningKafka()
    const topic = freshTopic('compacted')
    const eager = { 'segment.ms': '500', 'min.cleanable.dirty.ratio': '0.01', 'max.compaction.lag.ms': '1000' }
    await cluster.createTopic(topic, 1, { 'cleanup.policy': 'compact', ...eager })
    await write(topic, 2000, 10, 'value')
    await cluster.waitFor('compaction', async () => {
      // A record now and then, since the cleaner leaves the segment alone that is being written.
      await write(topic, 100, 10, 'later')
      return (await kcatConsume(cluster.bootstrap, topic)).length < 1000
    })
    const reader = await startCastellan(cluster.bootstrap)
    try {
      const expected = await kcatConsume(cluster.bootstrap, topic)
      const read = await reader.readAll(topic, 0)
      // The cleaner may come by between the two: whatever kcat still sees afterwards, the reader must have seen.
      const after = await kcatConsume(cluster.bootstrap, topic)
      const seen = new Map(read.map(({ offset, key, value }) => [offset, `${key}=${value}`]))
      for (const { offset, key, value } of after)
        expect(seen.get(offset), `offset ${offset}`).to.equal(`${key}=${value}`)
      const offsets = new Set(expected.map(record => record.offset))
      expect(read.filter(record => !offsets.has(record.offset))).to.deep.equal([])
      const middle = await reader.fetchData(topic, 0, 1)
      expect(middle.type).to.equal('success')
    } finally {
      await reader.close()
    }
  })

  it('answers an offset that retention has taken as out of range', async () => {
    const cluster = runningKafka()
    const topic = freshTopic('retained')
    await cluster.createTopic(topic, 1, { 'retention.bytes': '20000', 'segment.ms': '500' })
    await write(topic, 2000, 10, 'value')
    await cluster.waitFor('retention', async () => {
      await write(topic, 100, 10, 'later')
      return (await kcatConsume(cluster.bootstrap, topic))[0]!.offset > 0
    })
    const reader = await startCastellan(cluster.bootstrap)
    try {
      expect((await reader.fetchData(topic, 0, 0)).type).to.equal('offsetOutOfRange')
    } finally {
      await reader.close()
    }
  })
})
