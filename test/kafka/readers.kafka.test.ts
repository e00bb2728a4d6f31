import { expect } from 'chai'
import { type Castellan, startCastellan } from '../support/castellan.js'
import { Account, CountingReader } from '../support/counting-reader.js'
import { freshTopic } from '../support/target-cluster.js'
import { runningKafka } from './shared-cluster.js'

/** What only a real log does: compaction and retention. */
describe('readers of a log that Kafka rewrites', () => {
  let castellan: Castellan
  let account: Account
  before(async () => {
    castellan = await startCastellan(runningKafka().bootstrap)
  })
  beforeEach(() => {
    account = new Account(castellan.router.ref)
  })
  afterEach('every request has exactly one answer', () => {
    expect(account.sent).to.be.greaterThan(0)
    expect({ answered: account.answered, doubled: account.doubled }).to.deep.equal({
      answered: account.sent,
      doubled: 0
    })
  })
  after(() => castellan?.close())

  const write = async (topic: string, records: readonly (readonly [string, string])[]): Promise<void> => {
    const outcomes = await castellan.produce(records.map(([key, value]) => ({ topic, partition: 0, key, value })))
    expect([...new Set(outcomes.map(outcome => outcome.type))]).to.deep.equal(['delivered'])
  }

  const earliest = async (topic: string): Promise<number> => {
    const topicPartition = { topic, partition: 0 }
    const result = await account.ask({ type: 'fetchOffset', topicPartition, offsetType: 'earliest' })
    return result.operation === 'fetchOffset' && result.type === 'success' ? result.offset : -1
  }

  it('read over the holes that compaction left', async () => {
    const topic = freshTopic('compacted')
    await runningKafka().createTopic(topic, 1, {
      'cleanup.policy': 'compact',
      'segment.ms': '500',
      'min.cleanable.dirty.ratio': '0.01',
      'max.compaction.lag.ms': '500',
      'min.compaction.lag.ms': '0',
      'delete.retention.ms': '0'
    })
    const rounds = 5
    for (let round = 0; round < rounds; round++) {
      await write(
        topic,
        [0, 1, 2, 3].map(key => [`key-${key}`, `${key}-round-${round}`] as const)
      )
      await new Promise(resolve => setTimeout(resolve, 600))
    }
    // A fresh Router each time, so that nothing comes from its cache.
    let offsets: number[] = []
    await runningKafka().waitFor('compaction', async () => {
      const fresh = await startCastellan(runningKafka().bootstrap)
      const reader = new CountingReader(new Account(fresh.router.ref), topic, 0)
      try {
        while (await reader.step()) {}
      } finally {
        await fresh.close()
      }
      offsets = reader.offsets
      if (offsets.length < rounds * 4) return true
      await write(topic, [['another', 'key']])
      return false
    })
    expect(offsets.length).to.be.lessThan(rounds * 4)
    const reader = new CountingReader(account, topic, 0)
    await write(topic, [['last', 'one']])
    await reader.readUntil(() => reader.values.includes('one'), 'the record behind the holes')
    expect(reader.notable).to.deep.equal([])
    expect(reader.offsets).to.deep.equal([...reader.offsets].sort((a, b) => a - b))
    for (const key of [0, 1, 2, 3]) expect(reader.values).to.include(`${key}-round-${rounds - 1}`)
  })

  it('are told when retention has taken what they ask for, and go on with what is left', async () => {
    const topic = freshTopic('truncated')
    await runningKafka().createTopic(topic, 1, { 'segment.ms': '500' })
    for (let round = 0; round < 3; round++) {
      await write(
        topic,
        [0, 1, 2, 3].map(index => ['k', `${round}-${index}`] as const)
      )
      await new Promise(resolve => setTimeout(resolve, 600))
    }
    await write(topic, [['k', 'rolls the segment']])
    await runningKafka().admin.ask('setTopicConfig', topic, 'retention.ms', '1000')
    await runningKafka().waitFor('retention', async () => (await earliest(topic)) >= 12)
    await runningKafka().admin.ask('setTopicConfig', topic, 'retention.ms', '3600000')
    await write(topic, [['k', 'kept']])
    const reader = new CountingReader(account, topic, 0)
    await reader.readUntil(() => reader.values.includes('kept'), 'what is left')
    expect(reader.notable).to.deep.equal(['offsetOutOfRange'])
  })

  it('are told when records were deleted under them', async () => {
    const topic = freshTopic('deleted-records')
    await runningKafka().createTopic(topic, 1)
    await write(
      topic,
      Array.from({ length: 30 }, (_, index) => ['k', `${index}`] as const)
    )
    await runningKafka().admin.ask('deleteRecords', topic, 0, 17)
    const reader = new CountingReader(account, topic, 0)
    await reader.readUntil(() => reader.values.includes('29'), 'the last record')
    expect([reader.notable, reader.offsets[0]]).to.deep.equal([['offsetOutOfRange'], 17])
  })
})
