import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { record } from '../../support/delivery-stage.js'
import { DurableStage } from '../durable-stage.js'

const keyed = (topic: string, key: string, value: string): ProduceRecord => ({ topic, key, value })
const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, at) => `${from + at}`)

describe('delivery from the durable log', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  it('durable 1: accepts a record when the log has it, and brings it to Kafka', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    const sent = stage.send(keyed('orders', 'k', 'hello'), 10_000)
    expect(sent.isAccepted).to.equal(false)
    await stage.pass(100)
    expect(sent.isAccepted).to.equal(true)
    expect(sent.lateRefusals).to.equal(undefined)
    expect(sent.outcomes).to.deep.include({ type: 'delivered', partition: 0, offset: 0, timestampMs: 1_000_000 })
    expect(stage.router.partition('orders', 0).log).to.deep.equal([{ key: 'k', value: 'hello' }])
  })

  it('durable-queue 6: a topic that waits for records is woken by the put of one, before any timer', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    stage.send(record('orders', 'A'))
    await stage.pass(5_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A'])
    const sent = stage.send(record('orders', 'B'))
    await stage.pass(20)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A', 'B'])
    expect(sent.isAccepted).to.equal(true)
  })

  it('durable 2: keeps the order of a thousand records of one key', async () => {
    stage = new DurableStage({ topics: { orders: 4 } })
    await stage.start()
    for (const value of numbers(1_000)) stage.send(keyed('orders', 'k', value))
    await stage.pass(2_000)
    const used = stage.router.topics.get('orders')!.filter(({ log }) => log.length > 0)
    expect(used).to.have.length(1)
    expect(used[0]!.values).to.deep.equal(numbers(1_000))
  })

  it('durable 3: answers that a record is pending when nobody waits, or the wait is over', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    stage.router.isAway = true
    const [hasty, patient] = [stage.send(record('orders', 'A'), 0), stage.send(record('orders', 'B'), 3_000)]
    await stage.pass(100)
    expect(hasty.outcomes?.[0]).to.include({ type: 'failed', persisted: 'pending' })
    expect(patient.outcomes).to.equal(undefined)
    await stage.pass(3_000)
    expect(patient.outcomes?.[0]).to.include({ code: 'timedOut', persisted: 'pending' })
    stage.router.isAway = false
    await stage.pass(5_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A', 'B'])
  })

  it('durable 4: delivers what an earlier process has left, before what comes later', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    stage.router.isAway = true
    for (const value of numbers(50)) stage.send(record('orders', value))
    await stage.pass(100)
    await stage.restart()
    for (const value of numbers(50, 50)) stage.send(record('orders', value))
    await stage.pass(100)
    stage.router.isAway = false
    await stage.pass(5_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(numbers(100))
  })

  it('durable 5: sends no record twice after a process was killed at any moment', async () => {
    for (let moment = 0; moment < 60; moment++) {
      stage?.restore()
      stage = new DurableStage({ topics: { orders: 2 } })
      await stage.start()
      for (const value of numbers(40)) stage.send(keyed('orders', `${Number(value) % 7}`, value))
      for (let step = 0; step < moment; step++) await stage.clock.nextAsync()
      await stage.restart()
      await stage.pass(10_000)
      const values = stage.router.values('orders')
      // What was not accepted yet may be there or not.
      expect(new Set(values).size, `killed after ${moment} steps`).to.equal(values.length)
      await stage.restart()
      await stage.pass(10_000)
      expect(stage.router.values('orders')).to.deep.equal(values)
    }
  })

  it('durable 6: reads nothing again that a topic has space for when it is appended', async () => {
    stage = new DurableStage({ topics: { orders: 2 } })
    await stage.start()
    stage.send(record('orders', 'first'))
    await stage.pass(1_000)
    const { reads } = stage
    for (const value of numbers(500)) {
      stage.send(keyed('orders', `${Number(value) % 7}`, value))
      if (Number(value) % 10 === 0) await stage.pass(1)
    }
    await stage.pass(1_500)
    expect(stage.router.values('orders')).to.have.length(501)
    // Those that tell the age of the oldest record.
    expect(stage.reads - reads).to.be.at.most(2)
    expect(stage.backlog.readAhead.bytes).to.equal(0)
  })

  it('durable 7: reads from the log what it had no space for, in order with what comes meanwhile', async () => {
    stage = new DurableStage({
      topics: { orders: 1 },
      delivery: { batchMaxBytes: 4_096 },
      wal: { readAheadBytes: 64 * 1024 }
    })
    await stage.start()
    stage.router.latencyMs = 20
    for (const value of numbers(600)) {
      stage.send(keyed('orders', 'k', value.padEnd(200)))
      if (Number(value) % 7 === 0) await stage.pass(5)
      expect(stage.backlog.readAhead.bytes).to.be.at.most(64 * 1024)
    }
    await stage.pass(10_000)
    expect(stage.router.partition('orders', 0).values.map(value => value!.trim())).to.deep.equal(numbers(600))
    expect(stage.reads).to.be.greaterThan(5)
  })

  it('durable 8: begins with what an earlier process has left when it is told to, and new records come behind that', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    stage.router.isAway = true
    for (const value of numbers(20)) stage.send(record('orders', value))
    await stage.pass(100)
    stage.router.isAway = false
    stage.drainsLater = true
    await stage.restart()
    const late = stage.send(record('orders', '20'))
    await stage.pass(2_000)
    expect([late.isAccepted, stage.router.values('orders')]).to.deep.equal([true, []])
    stage.backlog.drain()
    await stage.pass(2_000)
    expect(stage.router.values('orders')).to.deep.equal(numbers(21))
  })
})
