import { randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { openQueues } from '../../../src/client/open-queues.js'
import type { Queues } from '../../../src/consumer/queue/queues.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import type { App } from '../../../src/server/app/app.js'
import {
  type AcquireOptions,
  type AcquireResult,
  NOTHING_TO_SETTLE,
  type QueueMessage,
  type Settlement,
  type TokenResult
} from '../../../src/verbs/verbs.js'
import { onTargetCluster } from '../../support/castellan.js'
import { WIDE_LIMITS } from '../../support/queue-limits.js'
import { freshTopic } from '../../support/target-cluster.js'
import { metricOf, startTestApp } from '../../support/test-app.js'

const ASKED: AcquireOptions = {
  count: 1,
  waitMs: 20_000,
  maxBytes: 1_048_576,
  lockMs: undefined,
  start: 'earliest',
  client: 'a test',
  mayAlter: true
}

describe('a queue over a share group', function () {
  this.timeout(90_000)
  const on = onTargetCluster()
  const warnings: object[] = []
  const log: Logger = { debug() {}, info() {}, warn: fields => void warnings.push(fields), error() {} }
  let queues: Queues
  let topic: string
  let group: string

  before(() => {
    const { router, delivery } = on.castellan
    const of = { cluster: 'default', limits: WIDE_LIMITS, log, metrics: defaultLogger }
    queues = openQueues({ ...of, router: router.ref, delivery })
  })
  beforeEach(async () => {
    topic = freshTopic('queues')
    group = `workers-${randomUUID()}`
    await on.cluster.createTopic(topic, 3)
  })
  after(() => queues?.drain(0))

  const write = async (...values: string[]): Promise<void> => {
    const records = values.map((value, at) => ({ topic, partition: at % 3, key: null, value }))
    const outcomes = await on.castellan.produce(records)
    expect(outcomes.map(({ type }) => type)).to.deep.equal(values.map(() => 'delivered'))
  }
  const ask = (options: Partial<AcquireOptions> = {}): Promise<AcquireResult> =>
    new Promise(reply => void queues.acquire(topic, group, { ...ASKED, ...options }, { reply }))
  const acquire = async (options?: Partial<AcquireOptions>): Promise<readonly QueueMessage[]> => {
    const result = await ask(options)
    if (result.type === 'failed') throw new Error(`an acquire was refused: ${result.code} ${result.message}`)
    return result.messages
  }
  const settle = (words: Partial<Settlement>): Promise<readonly TokenResult[]> =>
    queues.settle(topic, group, { ...NOTHING_TO_SETTLE, ...words })
  const outcomeOf = async (words: Partial<Settlement>): Promise<string> => (await settle(words))[0]!.outcome
  const textOf = ({ record }: QueueMessage): string => String(record.value)

  it('gives each message once while it is held, and no more when it is accepted', async () => {
    await write('a', 'b', 'c', 'd')
    const found: QueueMessage[] = []
    while (found.length < 4) found.push(...(await acquire({ count: 4 - found.length })))
    expect(found.map(textOf).sort()).to.deep.equal(['a', 'b', 'c', 'd'])
    expect(found.map(({ deliveryCount, lastDelivery }) => [deliveryCount, lastDelivery])).to.deep.equal(
      found.map(() => [1, false])
    )
    const results = await settle({ accept: found.map(({ token }) => token) })
    expect(results.map(({ outcome }) => outcome)).to.deep.equal(found.map(() => 'done'))
    expect(await acquire({ waitMs: 1_000 })).to.deep.equal([])
  })

  it('gives a released message again, with the next count', async () => {
    await write('a')
    const [first] = await acquire()
    expect(await outcomeOf({ release: [first!.token] })).to.equal('done')
    const [second] = await acquire()
    expect([textOf(second!), second!.deliveryCount]).to.deep.equal(['a', 2])
    expect(await outcomeOf({ accept: [first!.token] })).to.equal('lost')
    expect(await outcomeOf({ accept: [second!.token] })).to.equal('done')
    expect(await outcomeOf({ accept: [second!.token] })).to.equal('done')
  })

  it('gives a rejected message never again', async () => {
    await write('a')
    const [message] = await acquire()
    expect(await outcomeOf({ reject: [message!.token] })).to.equal('done')
    expect(await acquire({ waitMs: 1_000 })).to.deep.equal([])
  })

  it('loses the token when the lock of the client ends, unless the client renews it', async () => {
    await write('a')
    const [first] = await acquire({ lockMs: 1_000 })
    await pass(600)
    expect(await outcomeOf({ renew: [first!.token] })).to.equal('done')
    await pass(700)
    expect(await outcomeOf({ renew: [first!.token] })).to.equal('done')
    const [second] = await acquire()
    expect([textOf(second!), second!.deliveryCount]).to.deep.equal(['a', 2])
    expect(await outcomeOf({ accept: [first!.token] })).to.equal('lost')
    const [renewed] = await settle({ renew: [second!.token] })
    expect(renewed!.outcome).to.equal('done')
    expect(renewed!.lockEndsAt).to.be.greaterThan(second!.lockEndsAt - 5_000)
    expect(await outcomeOf({ accept: [second!.token] })).to.equal('done')
  })

  it('gives a message later that is released with a delay', async () => {
    await write('a')
    const [first] = await acquire()
    expect(await outcomeOf({ release: [first!.token], delayMs: 2_000 })).to.equal('done')
    expect(await acquire({ waitMs: 1_000 })).to.deep.equal([])
    const [second] = await acquire()
    expect([textOf(second!), second!.deliveryCount]).to.deep.equal(['a', 2])
    await settle({ accept: [second!.token] })
  })

  it('begins at the end where it is told to, and skips nothing that is written after the first answer', async () => {
    await write('a', 'b', 'c')
    const result = await ask({ start: 'latest', waitMs: 100 })
    expect(result).to.deep.equal({ type: 'acquired', messages: [], isNewGroup: true })
    await write('d', 'e', 'f')
    const found: QueueMessage[] = []
    while (found.length < 3) found.push(...(await acquire({ count: 3 })))
    expect(found.map(textOf).sort()).to.deep.equal(['d', 'e', 'f'])
    await settle({ accept: found.map(({ token }) => token) })
  })

  it('gives the message of a client that has gone to the next one, without a further delivery', async () => {
    await write('a')
    const gone = await acquire()
    queues.takeBack(gone)
    const [next] = await acquire()
    expect([textOf(next!), next!.deliveryCount]).to.deep.equal(['a', 1])
    expect(await outcomeOf({ accept: [gone[0]!.token] })).to.equal('lost')
    expect(await outcomeOf({ accept: [next!.token] })).to.equal('done')
  })

  it('tells which delivery is the last, and that its release archives the message', async () => {
    const { deliveryLimit } = await queues.configure(topic, group, { deliveryLimit: 2 }, 20_000)
    expect(deliveryLimit).to.equal(2)
    await write('a')
    const [first] = await acquire()
    await settle({ release: [first!.token] })
    const [second] = await acquire()
    expect(second).to.include({ deliveryCount: 2, lastDelivery: true })
    const [result] = await settle({ release: [second!.token] })
    expect(result).to.include({ outcome: 'done', reason: 'archived' })
    expect(warnings.at(-1)).to.include({ topic, offset: second!.record.offset, because: 'it was released' })
    expect(await acquire({ waitMs: 1_000 })).to.deep.equal([])
  })

  it('gives the tokens of a queue to no other group', async () => {
    await write('a')
    const [message] = await acquire()
    const results = await queues.settle(topic, `${group}-2`, { ...NOTHING_TO_SETTLE, accept: [message!.token] })
    expect(results[0]!.outcome).to.equal('invalid')
    await settle({ accept: [message!.token] })
  })

  it('describes the group before and after', async () => {
    expect(await queues.describe(topic, group, 20_000)).to.deep.include({ state: 'absent', members: [], topics: [] })
    await write('a')
    const [message] = await acquire()
    await settle({ accept: [message!.token] })
    const { state, members, partitions, settings, topics } = await queues.describe(topic, group, 20_000)
    expect([state, members.length, topics]).to.deep.equal(['Stable', 1, [topic]])
    expect(settings).to.include({ start: 'earliest', deadLetters: null })
    const settled = partitions.find(({ partition }) => partition === message!.partition)
    // Kafka moves the start later than it settles a record, and takes what is settled off the lag at once.
    expect(settled).to.include({ lag: 0 })
    expect(settled!.startOffset).to.be.oneOf([0, 1])
  })

  it('refuses a topic that does not exist', async () => {
    topic = freshTopic('absent')
    expect(await ask()).to.include({ type: 'failed', code: 'unknownTopic' })
  })
})

describe('a gateway with queues', function () {
  this.timeout(90_000)
  const on = onTargetCluster()
  let app: App
  afterEach(() => app?.stop())

  it('settles messages over HTTP, and answers those that wait when it stops', async () => {
    const topic = freshTopic('queues')
    await on.cluster.createTopic(topic, 1)
    app = await startTestApp(on.cluster.bootstrap, { 'shutdown.drainMs': '2000' })
    const queue = `${app.urls.shared}/queues/${topic}/workers-${randomUUID()}`
    const post = (path: string, body: object): Promise<Response> =>
      fetch(`${queue}/${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' }
      })
    await on.castellan.produce([
      { topic, partition: 0, key: null, value: 'a' },
      { topic, partition: 0, key: null, value: 'b' }
    ])
    const first = await post('acquire', { start: 'earliest', encoding: 'text', count: 2 })
    const { messages } = (await first.json()) as { messages: { token: string; value: string }[] }
    expect([first.status, messages.map(({ value }) => value)]).to.deep.equal([200, ['a', 'b']])
    const [one, two] = messages
    const settled = await post('settle', { accept: [one!.token] })
    expect(settled.status).to.equal(200)
    expect(await metricOf(app.urls.management, 'castellan_queues_acquired_messages_total')).to.equal(2)

    const waiting = post('acquire', { waitMs: 60_000 })
    await pass(500)
    const stopped = app.stop()
    const answer = await waiting
    expect([answer.status, await answer.json()]).to.deep.equal([200, { messages: [] }])
    const late = await fetch(`${queue}/messages/${two!.token}`, { method: 'DELETE' })
    expect(late.status).to.equal(204)
    await stopped
    const { partitions } = await openQueues({
      cluster: 'default',
      limits: WIDE_LIMITS,
      log: silentLogger,
      metrics: defaultLogger,
      router: on.castellan.router.ref,
      delivery: on.castellan.delivery
    }).describe(topic, decodeURIComponent(queue.slice(queue.lastIndexOf('/') + 1)), 20_000)
    expect(partitions[0]).to.include({ lag: 0 })
  })
})
