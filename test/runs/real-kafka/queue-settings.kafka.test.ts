import { expect } from 'chai'
import { type Castellan, openCastellan } from '../../../src/client.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { kafkaVersion } from './jars.js'
import { runningKafka } from './shared-cluster.js'

const [major = 0, minor = 0] = kafkaVersion.split('.').map(Number)
const HOUR_MS = 3_600_000

describe('settings of queues on Kafka', function () {
  this.timeout(120_000)
  const on = onTargetCluster()
  let castellan: Castellan
  let topic: string
  let group: string
  before(async function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
    castellan = await openCastellan({ brokers: runningKafka().bootstrap, router: { isolationLevel: 'readCommitted' } })
  })
  after(() => castellan?.close())
  beforeEach(async () => {
    topic = freshTopic('settings')
    group = freshTopic('workers')
    await on.cluster.createTopic(topic, 2)
  })

  it('begin an hour ago where a partition has no record that young, which Kafka answers with 78', async () => {
    const old = { topic, partition: 0, value: 'old', timestampMs: Date.now() - 2 * HOUR_MS }
    await castellan.produceOrThrow([old, { topic, partition: 1, value: 'young' }])
    const queue = castellan.queue({ topic, group })
    const start = { durationMs: HOUR_MS }
    const first = await queue.acquire({ start, waitMs: 20_000 })
    expect(first.map(({ value }) => String(value))).to.deep.equal(['young'])
    expect(await queue.acquire({ start, waitMs: 1_000 })).to.deep.equal([])
    await castellan.produceOrThrow([{ topic, partition: 0, value: 'written since' }])
    const second = await queue.acquire({ start, waitMs: 20_000 })
    expect(second.map(({ value }) => String(value))).to.deep.equal(['written since'])
  })

  it('hide records of aborted transactions from a new group where other reads do', async () => {
    const write = (id: string, value: string, end: () => unknown): Promise<unknown> =>
      castellan.transaction(freshTopic(id), async transaction => {
        await transaction.produce({ topic, partition: 0, value })
        await end()
      })
    await write('aborts', 'aborted', () => Promise.reject(new Error('made up'))).catch(() => undefined)
    await write('commits', 'committed', () => undefined)
    const queue = castellan.queue({ topic, group })
    const messages = await queue.acquire({ start: 'earliest', waitMs: 20_000, count: 10 })
    expect(messages.map(({ value }) => String(value))).to.deep.equal(['committed'])
  })

  it('copy a dead letter that is too large for its topic without its value', async () => {
    if (major < 4 || (major === 4 && minor < 4)) return
    const deadLetters = freshTopic('dlq.settings')
    const settings = { 'errors.deadletterqueue.group.enable': 'true', 'max.message.bytes': '2000' }
    await runningKafka().createTopic(deadLetters, 1, settings)
    const changes = [
      { name: 'errors.deadletterqueue.topic.name', value: deadLetters },
      { name: 'errors.deadletterqueue.copy.record.enable', value: 'true' }
    ]
    const resource = { type: 'group', name: group } as const
    const set = await askRouter(castellan.router.ref, { type: 'alterConfigs', resource, changes, validateOnly: false })
    expect(set.type).to.equal('success')
    await castellan.produceOrThrow([{ topic, partition: 0, value: 'x'.repeat(4_000) }])
    const [message] = await castellan.queue({ topic, group }).acquire({ start: 'earliest', waitMs: 20_000 })
    expect(await message!.reject()).to.include({ outcome: 'done' })
    const copies = await on.castellan.read(deadLetters, 0, 1)
    expect([...copies.values()].map(({ value }) => value)).to.deep.equal([null])
  })
})
