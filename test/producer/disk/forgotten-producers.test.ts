import { expect } from 'chai'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { record } from '../../support/delivery-stage.js'
import type { FakePartition } from '../../support/fake-router.js'
import { DurableStage } from '../durable-stage.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const OUT_OF_ORDER = 45
const TOPIC_AUTHORIZATION_FAILED = 29
const UNKNOWN_SERVER_ERROR = -1

describe('durable: a batch whose answer was lost, and that Kafka may not recognise', () => {
  let stage: DurableStage
  let metrics: CountingMetrics
  let warnings: string[]
  afterEach(() => stage.restore())

  const partition = (at = 0): FakePartition => stage.router.partition('orders', at)
  const values = (): (string | null)[] => partition().values
  const attempts = (): string[] =>
    partition().attempts.map(({ epoch, baseSequence, count }) => `${epoch}/${baseSequence}+${count}`)
  const asked = (type: string): number => stage.router.messages.filter(message => message.type === type).length

  /** `B` and `C` are one batch that Kafka has not answered; `A` before it is acknowledged. */
  async function sendWithoutAnswer(isWritten: boolean): Promise<void> {
    metrics = new CountingMetrics()
    warnings = []
    const log: Logger = { ...silentLogger, warn: (_, message) => warnings.push(message) }
    stage = new DurableStage({ topics: { orders: 2 }, metrics, log })
    await stage.start()
    stage.send(record('orders', 'A', 0))
    await stage.pass(100)
    partition().script.push({ type: isWritten ? 'loseResponse' : 'loseRequest' })
    stage.send([record('orders', 'B', 0), record('orders', 'C', 0)])
    await stage.pass(4)
    expect(attempts()).to.deep.equal(['0/0+1', '0/1+2'])
  }

  /** Nothing runs meanwhile. Kafka forgets the producer. */
  function timePasses(milliseconds: number): void {
    stage.clock.setSystemTime(Date.now() + milliseconds)
    partition().forgetProducers()
  }

  async function restartAfter(milliseconds: number): Promise<void> {
    stage.kill()
    timePasses(milliseconds)
    await stage.start()
    stage.send(record('orders', 'D', 0))
    await stage.pass(2_000)
  }

  it('is found in the log after a restart, and the next one follows it', async () => {
    await sendWithoutAnswer(true)
    await restartAfter(2 * DAY_MS)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
    expect(attempts()).to.deep.equal(['0/0+1', '0/1+2', '0/3+1'])
    expect(metrics.of('found_batches')).to.equal(1)
    expect((await stage.backlog.log!.look()).openEntries).to.equal(0)
  })

  it('is sent again under its number when it is not in the log', async () => {
    await sendWithoutAnswer(false)
    await restartAfter(2 * DAY_MS)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
    expect(attempts()).to.deep.equal(['0/0+1', '0/1+2', '0/1+2', '0/3+1'])
    expect([metrics.of('found_batches'), warnings]).to.deep.equal([0, []])
  })

  it('is not looked for while Kafka remembers its producer', async () => {
    await sendWithoutAnswer(false)
    await restartAfter(HOUR_MS)
    expect([asked('describeConfigs'), asked('fetchData')]).to.deep.equal([1, 0])
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
  })

  it('is not looked for within seconds, and brokers are not asked for the sake of it', async () => {
    await sendWithoutAnswer(true)
    await stage.pass(5_000)
    expect(values()).to.deep.equal(['A', 'B', 'C'])
    expect(asked('describeConfigs') + asked('fetchTopicMetadata') + asked('fetchData')).to.equal(0)
  })

  it('is looked for after the time for which the brokers say that they remember producers', async () => {
    await sendWithoutAnswer(true)
    stage.router.producerIdExpirationMs = HOUR_MS
    await restartAfter(HOUR_MS)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
    expect(metrics.of('found_batches')).to.equal(1)
  })

  it('is looked for after a day when brokers do not say', async () => {
    await sendWithoutAnswer(true)
    stage.router.producerIdExpirationMs = undefined
    await restartAfter(DAY_MS)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
    expect(metrics.of('found_batches')).to.equal(1)
  })

  it('is found by a gateway that Kafka was away from for days', async () => {
    await sendWithoutAnswer(true)
    stage.router.isAway = true
    stage.send(record('orders', 'D', 0))
    await stage.pass(10_000)
    timePasses(2 * DAY_MS)
    await stage.pass(60_000)
    stage.router.isAway = false
    await stage.pass(60_000)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
    expect([metrics.of('found_batches'), metrics.of('unchecked_batches')]).to.deep.equal([1, 0])
  })

  it('is found when a broker says that it does not know the producer any more', async () => {
    await sendWithoutAnswer(true)
    partition().script.push({ type: 'reject', errorCode: OUT_OF_ORDER })
    stage.send(record('orders', 'D', 0))
    await stage.pass(10_000)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
    expect(attempts()).to.deep.equal(['0/0+1', '0/1+2', '0/1+2', '1/0+1'])
  })

  it('is sent again, with a warning, when the topic may not be read', async () => {
    await sendWithoutAnswer(true)
    stage.router.readRefusal = { errorCode: TOPIC_AUTHORIZATION_FAILED, retriable: false }
    await restartAfter(2 * DAY_MS)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'B', 'C', 'D'])
    expect(metrics.of('unchecked_batches')).to.equal(1)
    expect(warnings.filter(line => line.includes('may be in the log twice'))).to.have.length(1)
  })

  it('is sent again, with a warning, when reading does not succeed for long; other partitions do not wait', async () => {
    await sendWithoutAnswer(true)
    stage.router.readRefusal = { errorCode: UNKNOWN_SERVER_ERROR, retriable: true }
    await restartAfter(2 * DAY_MS)
    stage.send(record('orders', 'E', 1))
    await stage.pass(1_000)
    expect(partition(1).values).to.deep.equal(['E'])
    expect(values()).to.deep.equal(['A', 'B', 'C'])
    await stage.pass(120_000)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'B', 'C', 'D'])
    expect(metrics.of('unchecked_batches')).to.equal(1)
  })

  it('goes to the next cluster when another one answers while it is looked for', async () => {
    await sendWithoutAnswer(true)
    stage.router.readRefusal = { errorCode: UNKNOWN_SERVER_ERROR, retriable: true }
    await restartAfter(2 * DAY_MS)
    stage.router.readRefusal = undefined
    stage.router.wipe({ orders: 2 })
    stage.delivery.clusterChanged({ before: 'cluster-1', now: 'cluster-2' })
    await stage.pass(60_000)
    expect(values()).to.deep.equal(['B', 'C', 'D'])
  })
})
