import { expect } from 'chai'
import sinon from 'sinon'
import { silentLogger } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { Losses } from '../../../src/producer/memory/losses.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { DeliveryStage, record } from '../../support/delivery-stage.js'
import type { Script } from '../../support/fake-router.js'

const records = (topic: string, count: number) =>
  Array.from({ length: count }, (_, index) => record(topic, `value ${index}`, 0))

describe('accepted records that are lost', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  /** What happens to all attempts from now on. */
  const script = (step: Script): void => {
    const [partition] = stage.router.topics.get('orders')!
    partition!.script.splice(0)
    partition!.script.push(...new Array<Script>(1_000).fill(step))
  }
  /** Records whose client has its answer. */
  const accept = (topic: string, count: number, deadlineMs = 10_000) =>
    stage.delivery.accept(records(topic, count), { partitioner: 'murmur2', deadlineMs, answeredBy: 'kprf' })
  const lost = (reason: string, api = 'kprf'): number => stage.metrics.ofTagged('lost_records', { api, reason })

  it('are counted when they never left and their time is over', async () => {
    stage = new DeliveryStage({ orders: 1 })
    script({ type: 'park' })
    accept('orders', 50)
    await stage.pass(11_000)
    expect(lost('timedOut')).to.equal(50)
    expect(await stage.delivery.close(0)).to.equal(50)
  })

  it('are counted when their batch is tried until its time is over, and not before', async () => {
    stage = new DeliveryStage({ orders: 1 }, { timeoutMs: 10_000 })
    await stage.warmUp('orders', 0)
    script({ type: 'loseRequest' })
    accept('orders', 3, 5_000)
    await stage.pass(6_000)
    expect(lost('timedOut')).to.equal(0)
    await stage.pass(6_000)
    expect(lost('timedOut')).to.equal(3)
  })

  it('are none that come into Kafka after their deadline', async () => {
    stage = new DeliveryStage({ orders: 1 }, { timeoutMs: 10_000 })
    await stage.warmUp('orders', 0)
    script({ type: 'loseRequest' })
    accept('orders', 3, 2_000)
    await stage.pass(3_000)
    script({ type: 'append' })
    await stage.pass(10_000)
    expect([lost('timedOut'), stage.delivery.stats().delivered]).to.deep.equal([0, 4])
    expect(await stage.delivery.close(0)).to.equal(0)
  })

  for (const [reason, code] of [
    ['notAuthorized', errorCodes.TOPIC_AUTHORIZATION_FAILED],
    ['recordTooLarge', errorCodes.MESSAGE_TOO_LARGE],
    ['recordRejected', errorCodes.INVALID_RECORD]
  ] as const) {
    it(`are counted when Kafka refuses them for good: ${reason}`, async () => {
      stage = new DeliveryStage({ orders: 1 })
      await stage.warmUp('orders', 0)
      script({ type: 'reject', errorCode: code })
      accept('orders', 4)
      await stage.pass(1_000)
      expect(lost(reason)).to.equal(4)
    })
  }

  it('are counted when their topic is never found', async () => {
    stage = new DeliveryStage({})
    accept('nowhere', 2)
    await stage.pass(20_000)
    expect(lost('unknownTopic')).to.equal(2)
  })

  it('are counted when their topic is deleted while they wait', async () => {
    stage = new DeliveryStage({ orders: 1 })
    await stage.warmUp('orders', 0)
    script({ type: 'notSent', reason: 'unknownTopic' })
    accept('orders', 2)
    await stage.pass(1_000)
    expect(lost('unknownTopic')).to.equal(2)
  })

  it('are counted when the process stops', async () => {
    stage = new DeliveryStage({ orders: 1 })
    script({ type: 'park' })
    accept('orders', 5)
    accept('parked', 2)
    const closing = stage.delivery.close(1_000)
    await stage.pass(2_000)
    expect([await closing, lost('shuttingDown')]).to.deep.equal([7, 7])
  })

  it('are not those whose caller waits for the outcome and is told', async () => {
    stage = new DeliveryStage({ orders: 1 })
    await stage.warmUp('orders', 0)
    script({ type: 'reject', errorCode: errorCodes.TOPIC_AUTHORIZATION_FAILED })
    stage.send(records('orders', 3))
    await stage.pass(1_000)
    expect([lost('notAuthorized'), lost('notAuthorized', 'library')]).to.deep.equal([0, 0])
    expect(await stage.delivery.close(0)).to.equal(0)
  })

  it('are those whose caller in the library has not asked for the outcome', async () => {
    stage = new DeliveryStage({ orders: 1 })
    await stage.warmUp('orders', 0)
    script({ type: 'reject', errorCode: errorCodes.TOPIC_AUTHORIZATION_FAILED })
    stage.delivery.accept(records('orders', 3), { partitioner: 'murmur2', deadlineMs: 5_000 })
    await stage.pass(1_000)
    expect(lost('notAuthorized', 'library')).to.equal(3)
    expect(await stage.delivery.close(0)).to.equal(3)
  })

  /** One more of 10 KiB than a partition, or an unknown topic, has capacity for. */
  const tooMany = (topic: string, capacityWaitMs: number) =>
    Array.from({ length: 6 }, () =>
      stage.delivery.accept([record(topic, 'x'.repeat(10 * 1024), 0)], {
        partitioner: 'murmur2',
        deadlineMs: 10_000,
        capacityWaitMs
      })
    )
  const small = { maxBytes: 400 * 1024, maxPartitionBytes: 50 * 1024, unknownTopicMaxBytes: 10 * 1024 }

  for (const topic of ['orders', 'nowhere']) {
    it(`are those that waited for capacity in vain, where nobody looks: ${topic}`, async () => {
      stage = new DeliveryStage({ orders: 1 }, small)
      await stage.warmUp('orders', 0)
      script({ type: 'park' })
      const produced = tooMany(topic, 500)
      const waiting = produced.filter(({ isWaiting }) => isWaiting).length
      expect(waiting).to.be.above(0)
      await stage.pass(1_000)
      expect([lost('overloaded', 'library'), stage.delivery.stats().refused]).to.deep.equal([waiting, waiting])
    })

    it(`are those that wait for capacity when the process stops, where nobody looks: ${topic}`, async () => {
      stage = new DeliveryStage({ orders: 1 }, small)
      await stage.warmUp('orders', 0)
      script({ type: 'park' })
      const watched = tooMany(topic, 10_000).slice(0, 2)
      for (const one of watched) void one.outcomes()
      const closing = stage.delivery.close(100)
      await stage.pass(200)
      expect([await closing, lost('shuttingDown', 'library')]).to.deep.equal([6, 4])
    })
  }

  it('are not those that waited for capacity in vain, and whose caller looks', async () => {
    stage = new DeliveryStage({ orders: 1 }, small)
    await stage.warmUp('orders', 0)
    script({ type: 'park' })
    const [awaited, accepted, settled] = [tooMany('orders', 500), tooMany('orders', 500), tooMany('orders', 500)]
    for (const one of awaited) void one.outcomes()
    for (const one of accepted) void one.accepted()
    for (const one of settled) one.whenSettled?.(() => undefined)
    await stage.pass(1_000)
    expect(stage.delivery.stats().refused).to.be.above(10)
    expect(lost('overloaded', 'library')).to.equal(0)
  })

  it('are not those that were refused before their client was answered', () => {
    stage = new DeliveryStage({ orders: 1 })
    const { refused } = accept('no/topic', 2)
    expect(refused).to.have.length(2)
    expect(lost('invalidTopic')).to.equal(0)
  })
})

describe('the log of accepted records that are lost', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => (clock = sinon.useFakeTimers()))
  afterEach(() => clock.restore())

  const lossesTo = (lines: object[]): Losses =>
    new Losses({
      log: { ...silentLogger, error: (fields, text) => lines.push({ ...fields, text }) },
      metrics: new CountingMetrics(),
      clock: () => performance.now()
    })
  const late = { code: 'timedOut', message: 'too late', topic: 'orders' } as const

  it('has one line for all of a moment, with their number', async () => {
    const lines: object[] = []
    const losses = lossesTo(lines)
    for (let record = 0; record < 50; record++) losses.add('kprf', late)
    await clock.tickAsync(0)
    expect(lines).to.deep.equal([
      {
        records: 50,
        api: 'kprf',
        reason: 'timedOut',
        topic: 'orders',
        lostRecords: 50,
        text: '50 records that kprf had accepted are lost, 50 in all since the start: too late'
      }
    ])
  })

  it('has a line for each reason and API, then one for all that come within 10 s', async () => {
    const lines: object[] = []
    const losses = lossesTo(lines)
    losses.add('kprf', late, 2)
    losses.add('kprf', { code: 'unknownTopic', message: 'no such topic' })
    losses.add('kafboy', late)
    await clock.tickAsync(0)
    expect(lines.splice(0)).to.have.length(3)
    for (let second = 0; second < 9; second++) {
      losses.add('kprf', late, 10)
      await clock.tickAsync(1_000)
    }
    expect(lines).to.deep.equal([])
    await clock.tickAsync(1_000)
    expect(lines).to.have.length(1)
    expect(lines[0]).to.include({ records: 90, lostRecords: 94 })
  })

  it('has all of them at the end, and leaves no timer', async () => {
    const lines: object[] = []
    const losses = lossesTo(lines)
    losses.add('kprf', late, 2)
    await clock.tickAsync(0)
    losses.add('kprf', late, 3)
    await clock.tickAsync(100)
    losses.close()
    expect(lines.map(line => (line as { records: number }).records)).to.deep.equal([2, 3])
    expect(clock.countTimers()).to.equal(0)
  })
})

describe('lost records as people see them', () => {
  let now = 10
  const losses = () => new Losses({ metrics: new CountingMetrics(), log: silentLogger, clock: () => now })

  it('are shown for each API, topic and reason, with the time of the first and of the last one', () => {
    const seen = losses()
    seen.add('kprf', { code: 'timedOut', message: 'too late', topic: '__proto__' }, 2)
    seen.add('kprf', { code: 'timedOut', message: 'too late', topic: 'b' }, 1)
    now = 2_010
    seen.add('kprf', { code: 'timedOut', message: 'later', topic: '__proto__' }, 4)
    seen.add('arion', { code: 'timedOut', message: 'too late' }, 1)
    const [first, ...others] = seen.views()
    const times = { perSecond: 3, firstAt: 10, lastAt: 2_010 }
    expect(first).to.deep.equal({
      ...{ api: 'kprf', topic: '__proto__', reason: 'timedOut', message: 'later', records: 6 },
      ...times
    })
    expect(others.map(({ api, topic, records }) => [api, topic, records])).to.deep.equal([
      ['kprf', 'b', 1],
      ['arion', undefined, 1]
    ])
  })

  it('are shown for 100 topics, and for all further ones together', () => {
    const seen = losses()
    for (let topic = 0; topic < 1_000; topic++) seen.add('kprf', { code: 'timedOut', message: 'm', topic: `t${topic}` })
    expect(seen.views()).to.have.length(101)
    expect(seen.views()[100]).to.include({ topic: undefined, records: 900 })
  })
})
