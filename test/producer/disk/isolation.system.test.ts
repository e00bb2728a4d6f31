import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { readDeadLetters } from '../../../src/producer/log/inspect.js'
import { DurableStage } from '../durable-stage.js'

const KIB = 1024
const value = (at: number, bytes = KIB): string => `${at} ${'x'.repeat(bytes)}`

describe('durable: topics and partitions in trouble', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const stick = (topic: string, partition: number): void => {
    const { script } = stage.router.partition(topic, partition)
    for (let time = 0; time < 1_000; time++) script.push({ type: 'notSent', reason: 'noLeader' })
  }
  const heal = (topic: string, partition: number): void => {
    stage.router.partition(topic, partition).script.length = 0
  }
  const to = (topic: string, at: number, partition?: number, bytes?: number): ProduceRecord => ({
    topic,
    partition,
    key: null,
    value: value(at, bytes)
  })
  const numbersIn = (topic: string, partition: number): number[] =>
    stage.router.partition(topic, partition).values.map(text => Number.parseInt(text!, 10))
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

  it('durable-queue: arion 23: a topic that is not there delays no other, and is delivered when it is made', async () => {
    stage = new DurableStage({ topics: { orders: 1 }, delivery: { createTopics: false } })
    await stage.start()
    for (let at = 0; at < 200; at++) stage.send([to('nowhere', at), to('orders', at)])
    await stage.pass(2_000)
    expect(numbersIn('orders', 0)).to.deep.equal(upTo(200))
    await stage.pass(60_000)
    const lookUps = stage.router.lookUps.length
    await stage.pass(60_000)
    expect(stage.router.lookUps.length - lookUps, 'looked up now and then').to.be.within(2, 60)
    stage.router.create('nowhere', 1)
    await stage.pass(20_000)
    expect(numbersIn('nowhere', 0)).to.deep.equal(upTo(200))
  })

  it('durable-queue: arion 24: a partition that is stuck delays no other of its topic', async () => {
    stage = new DurableStage({ topics: { orders: 3 }, delivery: { batchMaxBytes: 8 * KIB } })
    await stage.start()
    stick('orders', 1)
    for (let at = 0; at < 600; at++) stage.send(to('orders', at, at % 3))
    await stage.pass(5_000)
    expect([0, 2].map(partition => numbersIn('orders', partition).length)).to.deep.equal([200, 200])
    expect(stage.backlog.readAhead.bytes).to.be.lessThan(20 * KIB)
    heal('orders', 1)
    await stage.pass(10_000)
    expect(numbersIn('orders', 1)).to.deep.equal(upTo(600).filter(at => at % 3 === 1))
  })

  it('durable-queue: records without a key go round a partition that is stuck', async () => {
    stage = new DurableStage({ topics: { orders: 3 }, delivery: { batchMaxBytes: 8 * KIB } })
    await stage.start()
    stick('orders', 1)
    for (let at = 0; at < 600; at++) stage.send(to('orders', at))
    await stage.pass(5_000)
    expect(numbersIn('orders', 0).length + numbersIn('orders', 2).length).to.be.at.least(580)
  })

  it('durable-queue: many partitions that are stuck, and the memory they hold, leave enough to one that is not', async () => {
    const stuck = upTo(300).map(at => `stuck-${at}`)
    stage = new DurableStage({
      topics: Object.fromEntries([...stuck, 'orders'].map(name => [name, 1])),
      wal: { readAheadBytes: 256 * KIB, segmentBytes: 1024 * KIB }
    })
    await stage.start()
    for (const topic of stuck) stick(topic, 0)
    for (const topic of stuck) for (let at = 0; at < 20; at++) stage.send(to(topic, at))
    await stage.pass(10_000)
    expect(stage.backlog.readAhead.bytes).to.be.at.most(256 * KIB)
    for (let at = 0; at < 500; at++) stage.send(to('orders', at))
    await stage.pass(5_000)
    expect(numbersIn('orders', 0)).to.deep.equal(upTo(500))
    expect(stage.backlog.readAhead.bytes).to.be.at.most(256 * KIB)
    for (const topic of stuck) heal(topic, 0)
    await stage.pass(30_000)
    expect(stuck.filter(topic => numbersIn(topic, 0).length < 20)).to.deep.equal([])
  })

  it('durable-queue: large records of partitions that are stuck leave space for large ones of others', async () => {
    const stuck = upTo(40).map(at => `stuck-${at}`)
    stage = new DurableStage({
      topics: Object.fromEntries([...stuck, 'orders'].map(name => [name, 1])),
      wal: { readAheadBytes: 256 * KIB, segmentBytes: 1024 * KIB }
    })
    await stage.start()
    for (const topic of stuck) stick(topic, 0)
    for (const topic of stuck) for (let at = 0; at < 3; at++) stage.send(to(topic, at, 0, 40 * KIB))
    await stage.pass(10_000)
    for (let at = 0; at < 20; at++) stage.send(to('orders', at, 0, 40 * KIB))
    await stage.pass(20_000)
    expect(numbersIn('orders', 0)).to.deep.equal(upTo(20))
  })

  it('durable-queue: 9 of 1,000 topics that are gone cost the others nothing, however much waits for them', async () => {
    const names = upTo(1_000).map(at => `topic-${at}`)
    const gone = new Set(names.filter((_, at) => at % 111 === 5))
    stage = new DurableStage({
      topics: Object.fromEntries(names.filter(name => !gone.has(name)).map(name => [name, 1])),
      delivery: { createTopics: false },
      wal: { segmentBytes: 1024 * KIB }
    })
    await stage.start()
    stage.router.isAway = true
    for (let at = 0; at < 5; at++) stage.send(names.map(name => to(name, at, undefined, gone.has(name) ? 8 * KIB : 10)))
    await stage.pass(1_000)
    await stage.restart()
    stage.router.isAway = false
    const reads = stage.reads
    await stage.pass(8_000)
    const incomplete = names.filter(name => !gone.has(name) && numbersIn(name, 0).length < 5)
    expect(incomplete).to.deep.equal([])
    expect(stage.reads - reads).to.be.lessThan(500)
  })

  it('durable-queue: an operator has time to give the right to write', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    const { script } = stage.router.partition('orders', 0)
    for (let time = 0; time < 100; time++) {
      script.push({ type: 'reject', errorCode: errorCodes.TOPIC_AUTHORIZATION_FAILED })
    }
    for (let at = 0; at < 10; at++) stage.send(to('orders', at))
    await stage.pass(30_000)
    expect([...readDeadLetters(stage.disk.directory)]).to.deep.equal([])
    heal('orders', 0)
    await stage.pass(5_000)
    expect(numbersIn('orders', 0)).to.deep.equal(upTo(10))
  })
})
