import { expect } from 'chai'
import type { QueueView } from '../../../src/consumer/queue/queue.js'
import { QueueTroubles } from '../../../src/consumer/queue/queue-troubles.js'
import { KafkaError } from '../../../src/core/errors.js'
import { kafkaFailure, ownFailure } from '../../../src/router/requests/failures.js'
import { ScriptedQueues, SETTINGS } from './scripted-queues.js'

const QUEUE = { topic: 'orders', groupId: 'workers' }
const NO_LEADER = ownFailure('noLeader', 'no partition of the topic has a leader', true)

describe('trouble of queues', () => {
  let now: number
  let troubles: QueueTroubles
  const left = () => [...troubles.ofLeft(() => false)]
  beforeEach(() => {
    now = 1_000
    troubles = new QueueTroubles(() => now)
  })

  it('that may pass is told when it has lasted for 30 s, until the queue is served', () => {
    troubles.failed(QUEUE, NO_LEADER)
    now += 29_999
    expect(troubles.of(QUEUE, true).notServed).to.equal(undefined)
    now += 1
    expect(troubles.of(QUEUE, true).notServed).to.deep.equal({ message: NO_LEADER.message, forMs: 30_000 })
    now += 600_000
    expect(troubles.of(QUEUE, true).notServed).to.deep.include({ forMs: 630_000 })
    troubles.served(QUEUE)
    expect(troubles.of(QUEUE, true).notServed).to.equal(undefined)
  })

  it('that does not pass is told at once, and for a minute after the last client that met it', () => {
    troubles.failed(QUEUE, kafkaFailure(30))
    now += 50_000
    troubles.failed(QUEUE, kafkaFailure(30))
    now += 60_000
    expect(left().map(({ notServed }) => notServed?.forMs)).to.deep.equal([110_000])
    now += 1
    expect(left()).to.deep.equal([])
    troubles.failed(QUEUE, kafkaFailure(30))
    expect(left().map(({ notServed }) => notServed?.forMs)).to.deep.equal([0])
  })

  it('is not what its clients have done wrong', () => {
    for (const failure of [
      ownFailure('unknownTopic', 'the topic does not exist', true),
      ownFailure('forbidden', 'new groups are not allowed', false),
      kafkaFailure(69),
      kafkaFailure(23)
    ])
      troubles.failed(QUEUE, failure)
    expect(left()).to.deep.equal([])
  })

  it('is remembered for eleven minutes after a message was archived', () => {
    troubles.archived(QUEUE)
    now += 660_000
    expect(left().map(({ archivedAgoMs }) => archivedAgoMs)).to.deep.equal([660_000])
    now += 1
    expect(left()).to.deep.equal([])
  })

  it('is told of a hundred partitions of a queue that was left', () => {
    const errors = new Map(Array.from({ length: 500 }, (_, at) => [at, { name: 'UNKNOWN_TOPIC_ID', forMs: at }]))
    troubles.left(QUEUE, errors)
    expect([...troubles.partitionErrorsOf(QUEUE).keys()]).to.deep.equal([...errors.keys()].slice(0, 100))
    now += 60_000
    expect(troubles.partitionErrorsOf(QUEUE).size).to.equal(100)
    now += 1
    expect([troubles.partitionErrorsOf(QUEUE).size, left()]).to.deep.equal([0, []])
  })

  it('is kept of a thousand queues at most, the latest ones', () => {
    for (let at = 0; at < 1_500; at++) troubles.archived({ topic: 'orders', groupId: String(at) })
    troubles.archived({ topic: 'orders', groupId: '500' })
    const kept = left().map(({ groupId }) => groupId)
    expect([kept.length, kept[0], kept.at(-1)]).to.deep.equal([1_000, '501', '500'])
  })
})

describe('the views of queues', () => {
  let script: ScriptedQueues
  afterEach(() => script.end())
  const views = (): QueueView[] => [...script.queues.views()]
  const pass = (ms: number): Promise<void> => script.time.pass(ms, 500)

  it('and the number of queues that cannot be served tell a queue that nobody can open', async () => {
    script = new ScriptedQueues({ findFails: new KafkaError(30, 'not authorized', false) })
    await script.acquire()
    await pass(5_500)
    const [view] = views()
    expect(view).to.include({ topic: 'orders', group: 'workers', failure: 'not authorized', waiting: 0 })
    expect(script.metrics.gaugeOf('unserved_queues')).to.equal(1)
    await pass(66_000)
    expect(views()).to.deep.equal([])
    expect(script.metrics.gaugeOf('unserved_queues')).to.equal(0)
  })

  it('tell that a queue is not served after 30 s, and no more when it is', async () => {
    script = new ScriptedQueues()
    await script.acquire({ waitMs: 60_000 })
    script.reader.events.failed(NO_LEADER)
    await pass(20_000)
    expect(views()[0]).to.include({ failure: NO_LEADER.message, notServedMs: undefined })
    await pass(15_000)
    expect(views()[0]?.notServedMs).to.be.within(30_000, 36_000)
    expect(script.metrics.gaugeOf('unserved_queues')).to.equal(1)
    script.reader.acquire({ offset: 1 })
    expect(views()[0]).to.include({ failure: undefined, notServedMs: undefined })
    await pass(5_500)
    expect(script.metrics.gaugeOf('unserved_queues')).to.equal(0)
  })

  it('tell the partitions that are refused for 30 s, also while messages of others come', async () => {
    script = new ScriptedQueues()
    await script.acquire({ waitMs: 60_000 })
    script.reader.acquire({ offset: 1 })
    script.reader.partitionErrors.set(7, { name: 'NOT_LEADER_OR_FOLLOWER', forMs: 40_000 })
    expect(views()[0]).to.include({
      failure: 'Kafka refuses partition 7 (NOT_LEADER_OR_FOLLOWER)',
      notServedMs: 40_000
    })
    await pass(5_500)
    expect(script.metrics.gaugeOf('unserved_queues')).to.equal(1)
    script.reader.partitionErrors.set(9, { name: 'OFFSET_NOT_AVAILABLE', forMs: 50_000 })
    script.reader.partitionErrors.set(8, { name: 'OFFSET_NOT_AVAILABLE', forMs: 30_000 })
    const failure = 'Kafka refuses partition 9 (OFFSET_NOT_AVAILABLE) and 2 others'
    expect(views()[0]).to.include({ failure, notServedMs: 50_000 })
    script.reader.partitionErrors.clear()
    expect(views()[0]).to.include({ failure: undefined, notServedMs: undefined })
  })

  it('tell of a queue that has been left that a message of it was archived lately', async () => {
    script = new ScriptedQueues()
    const { tokens } = await script.given({ offset: 1, deliveryCount: SETTINGS.deliveryLimit })
    expect(await script.outcomeOf('release', tokens[0])).to.equal('done')
    expect(views()[0]).to.include({ archived: 1, archivedAgoMs: 0 })
    await pass(300_000)
    expect(script.queues.size).to.equal(0)
    expect(views().map(({ group, held, archivedAgoMs }) => [group, held, archivedAgoMs])).to.deep.equal([
      ['workers', 0, 300_000]
    ])
    await pass(361_000)
    expect(views()).to.deep.equal([])
  })
})
