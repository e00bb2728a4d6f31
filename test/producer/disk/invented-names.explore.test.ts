import { queryObjects } from 'node:v8'
import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { DurableTopic } from '../../../src/producer/disk/durable-topic.js'
import { MAX_UNKNOWN_TOPICS } from '../../../src/producer/disk/durable-topics.js'
import { DurableStage } from '../durable-stage.js'

/** 80,000 show more, and take longer. */
const NAMES = Number(process.env.INVENTED_NAMES ?? 16_000)
const AT_ONCE = 2_000

describe('durable: names of topics that Kafka does not know', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const to = (topic: string, value: string): ProduceRecord => ({ topic, key: null, value })
  const invented = (at: number): ProduceRecord => to(`invented-${at}`, 'x')

  const sendInvented = async (from: number, end: number): Promise<void> => {
    for (let at = from; at < end; at += AT_ONCE) {
      stage.send(Array.from({ length: Math.min(AT_ONCE, end - at) }, (_, index) => invented(at + index)))
      await stage.pass(1)
    }
  }

  it('durable-queue: any number of them costs no more than some, and a real topic in the middle is delivered', async () => {
    stage = new DurableStage({ delivery: { createTopics: false }, wal: { segmentBytes: 1024 * 1024 } })
    stage.router.isAway = true
    await stage.start()
    await sendInvented(0, NAMES / 2)
    for (let at = 0; at < 10; at++) stage.send(to('orders', `${at}`))
    await sendInvented(NAMES / 2, NAMES)
    expect(stage.delivery.stats().topics, 'while Kafka is away').to.equal(MAX_UNKNOWN_TOPICS)
    stage.router.create('orders', 1)
    stage.router.isAway = false
    await stage.pass(2_000 + NAMES / 8)
    expect(stage.router.values('orders')).to.deep.equal(Array.from({ length: 10 }, (_, at) => `${at}`))
    expect(stage.delivery.stats().topics, 'afterwards').to.be.at.most(MAX_UNKNOWN_TOPICS + 1)
  })

  it('durable-queue: a name that Kafka learns later is delivered in order, with what came meanwhile, also after a restart', async () => {
    stage = new DurableStage({ topics: { orders: 1 }, delivery: { createTopics: false } })
    await stage.start()
    const names = Array.from({ length: 3 * MAX_UNKNOWN_TOPICS }, (_, at) => `late-${at}`)
    for (let round = 0; round < 3; round++) {
      stage.send(names.map(name => to(name, `${round}`)))
      await stage.pass(5_000)
      stage.send(to('orders', `${round}`))
      await stage.pass(100)
      if (round === 1) await stage.restart()
    }
    const late = [names[0]!, names[1_500]!, names.at(-1)!]
    for (const name of late) stage.router.create(name, 1)
    await stage.pass(30_000)
    for (const name of [...late, 'orders']) expect(stage.router.values(name)).to.deep.equal(['0', '1', '2'])
    expect((await stage.backlog.log!.backlog()).size).to.equal(names.length - late.length)
  })

  it('durable-queue: nothing is kept in memory of names that have given up their places, however long they stand there', async () => {
    stage = new DurableStage({ delivery: { createTopics: false }, wal: { segmentBytes: 1024 * 1024 } })
    await stage.start()
    const topics = (): number => queryObjects(DurableTopic, { format: 'count' })
    const before = topics()
    await sendInvented(0, 4 * MAX_UNKNOWN_TOPICS)
    await stage.pass(60_000)
    expect(topics() - before).to.be.at.most(MAX_UNKNOWN_TOPICS)
  })
})
