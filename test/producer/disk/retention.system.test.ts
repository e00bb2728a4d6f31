import { expect } from 'chai'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import type { DurableTopic } from '../../../src/producer/disk/durable-topic.js'
import { askForRetention, RetentionWatch, retentionOf } from '../../../src/producer/disk/retention-watch.js'
import type { DurableLog } from '../../../src/producer/log/durable-log.js'
import type { DeliveryDeps } from '../../../src/producer/memory/delivery.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { record } from '../../support/delivery-stage.js'
import { DurableStage, type DurableStageOptions } from '../durable-stage.js'

const HOUR_MS = 3_600_000

describe('durable: how long a topic keeps records', () => {
  for (const [what, configs, expected] of [
    ['is its own setting, or that of its broker', { 'retention.ms': '60000', 'cleanup.policy': 'delete' }, 60_000],
    ['is as much where Kafka does not tell the policy', { 'retention.ms': '60000' }, 60_000],
    ['has no end for -1', { 'retention.ms': '-1', 'cleanup.policy': 'delete' }, Number.POSITIVE_INFINITY],
    ['has no end when compacted', { 'retention.ms': '60000', 'cleanup.policy': 'compact' }, Number.POSITIVE_INFINITY],
    [
      'is that of a topic that is compacted and deleted',
      { 'retention.ms': '9', 'cleanup.policy': 'compact, delete' },
      9
    ],
    [
      'does not begin before the broker has a record where it gives it its time',
      { 'retention.ms': '9', 'message.timestamp.type': 'LogAppendTime' },
      Number.POSITIVE_INFINITY
    ],
    ['is unknown where Kafka does not tell', { 'cleanup.policy': 'delete' }, undefined]
  ] as const) {
    it(what, () => expect(retentionOf(new Map(Object.entries(configs)))).to.deep.equal(expected))
  }

  it('is asked of Kafka, and is unknown where nobody answers', async () => {
    let answer: object = {}
    const ask = askForRetention({
      path: 'router',
      tell: (message: RouterMessage) => {
        const { requester, ...rest } = message as unknown as { requester: { reply(result: object): void } }
        expect(rest).to.deep.equal({
          type: 'describeConfigs',
          resources: [{ type: 'topic', name: 'orders' }],
          timeoutMs: 2_000
        })
        requester.reply(answer)
      },
      stop: () => undefined
    })
    answer = { type: 'success', configs: new Map([['orders', [{ name: 'retention.ms', value: '7' }]]]) }
    expect(await ask('orders')).to.equal(7)
    answer = { type: 'success', configs: new Map() }
    expect(await ask('orders')).to.equal(undefined)
    for (const nothing of [{ type: 'timedOut' }, { type: 'failed', retriable: false, message: 'not allowed' }]) {
      answer = nothing
      expect(await ask('orders')).to.equal(undefined)
    }
  })
})

describe('durable: records that wait for nearly as long as their topic keeps them', () => {
  let stage: DurableStage
  let metrics: CountingMetrics
  let lines: { readonly topic: string; readonly message: string }[]
  let answers: Map<string, number>
  let asked: string[]
  afterEach(() => stage.restore())

  async function start(options: DurableStageOptions = {}): Promise<void> {
    metrics = new CountingMetrics()
    lines = []
    asked = []
    answers = new Map([['orders', HOUR_MS]])
    const warn = (fields: object, message: string): unknown =>
      lines.push({ topic: (fields as { topic: string }).topic, message })
    const log: Logger = { debug: () => {}, info: () => {}, warn: warn as Logger['warn'], error: () => {} }
    const retention = async (topic: string): Promise<number | undefined> => {
      asked.push(topic)
      return stage.router.isAway ? undefined : answers.get(topic)
    }
    stage = new DurableStage({ topics: { orders: 1, audit: 1 }, metrics, log, retentionOf: retention, ...options })
    await stage.start()
    stage.send([record('orders', 'first'), record('audit', 'first')])
    await stage.pass(10_000)
    stage.router.isAway = true
    stage.send([record('orders', 'A'), record('audit', 'B')])
  }
  const told = (): string[] => lines.filter(({ message }) => message.includes('retention.ms')).map(({ topic }) => topic)
  const ratio = (): number | undefined => metrics.gaugeOf('backlog_retention_ratio')

  it('are told of by a metric, a warning, and one line of the log, until they are in Kafka', async () => {
    await start()
    await stage.pass(0.4 * HOUR_MS)
    expect([stage.delivery.warnings, told()]).to.deep.equal([[], []])
    expect(ratio()).to.be.closeTo(0.4, 0.01)
    await stage.pass(0.2 * HOUR_MS)
    expect(told()).to.deep.equal(['orders'])
    expect(stage.delivery.warnings).to.have.length(1)
    expect(stage.delivery.warnings[0]?.text).to.match(
      /^records of orders have waited 0\.6\d* h .* for 1\.0 h .*those that wait longer/
    )
    await stage.pass(0.5 * HOUR_MS)
    expect(told()).to.deep.equal(['orders'])
    expect(ratio()).to.be.closeTo(1.1, 0.01)
    stage.router.isAway = false
    await stage.pass(25_000)
    expect(stage.router.values('orders')).to.deep.equal(['first', 'A'])
    expect([stage.delivery.warnings, ratio()]).to.deep.equal([[], 0])
  })

  it('are told of again after a restart, once Kafka tells how long it keeps them', async () => {
    await start()
    await stage.pass(0.6 * HOUR_MS)
    await stage.restart()
    stage.router.isAway = false
    const { script } = stage.router.partition('orders', 0)
    for (let at = 0; at < 100; at++) script.push({ type: 'reject', errorCode: 19 })
    await stage.pass(25_000)
    expect(stage.delivery.warnings).to.have.length(1)
  })

  it('are told of after a start without Kafka, at its first answer: it deletes them at once', async () => {
    const many = Array.from({ length: 25 }, (_, at) => `many-${at}`)
    await start({ topics: Object.fromEntries(['orders', 'audit', ...many].map(topic => [topic, 1])) })
    for (const topic of many) answers.set(topic, HOUR_MS)
    stage.send(many.map(topic => record(topic, 'A')))
    await stage.pass(1_000)
    await stage.restart()
    await stage.pass(1.5 * HOUR_MS)
    stage.router.isAway = false
    await stage.pass(25_000)
    expect(stage.router.values('orders')).to.deep.equal(['first', 'A'])
    expect(told()).to.have.members(['orders', ...many])
  })

  it('are not asked about at once where they have not waited', async () => {
    await start()
    stage.router.isAway = false
    stage.router.create('young', 1)
    stage.send(record('young', 'A'))
    await stage.pass(5_000)
    expect([stage.router.values('young'), asked.includes('young')]).to.deep.equal([['A'], false])
  })

  it('are not told of once the setting of the topic is another one', async () => {
    await start()
    stage.router.isAway = false
    const { script } = stage.router.partition('orders', 0)
    for (let at = 0; at < 10_000; at++) script.push({ type: 'reject', errorCode: 19 })
    stage.send(record('orders', 'stuck'))
    await stage.pass(0.6 * HOUR_MS)
    expect(stage.delivery.warnings).to.have.length(1)
    answers.set('orders', Number.POSITIVE_INFINITY)
    await stage.pass(70_000)
    expect([stage.delivery.warnings, ratio()]).to.deep.equal([[], 0])
  })

  it('are not told of once they are sent, also where the clock has stepped back before the next record', async () => {
    let now = 10 * HOUR_MS
    let oldest = { sequence: 5, acceptedAtMs: now - 0.6 * HOUR_MS }
    const log = { read: async () => ({ entries: [oldest], nextSequence: oldest.sequence + 1 }) }
    const watch = new RetentionWatch({ now: () => now, log: silentLogger } as DeliveryDeps, async () => HOUR_MS)
    const topic = { name: 'orders', topicId: 'id', partitionCount: 1, destination: 'default/orders', isIdle: false }
    const look = () => watch.look([topic as DurableTopic], log as unknown as DurableLog)
    await look()
    expect([watch.share, watch.warnings.length]).to.deep.equal([0.6, 1])
    oldest = { sequence: 9, acceptedAtMs: now }
    now -= HOUR_MS
    await look()
    expect([watch.share, watch.warnings]).to.deep.equal([0, []])
  })

  it('are not told of where records get the time at which they are sent', async () => {
    await start({ wal: { timestamps: 'sent' } })
    await stage.pass(2 * HOUR_MS)
    expect([stage.delivery.warnings, told(), asked, ratio()]).to.deep.equal([[], [], [], 0])
  })
})
