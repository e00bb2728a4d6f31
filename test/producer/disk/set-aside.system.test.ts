import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { DurableStage } from '../durable-stage.js'

const KIB = 1024
const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

describe('durable: batches that were sent and are not in memory', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const numbersIn = (topic: string, partition = 0): number[] =>
    stage.router.partition(topic, partition).values.map(text => Number.parseInt(text!, 10))
  const to = (topic: string, at: number, partition?: number, bytes = KIB): ProduceRecord => ({
    topic,
    partition,
    key: null,
    value: `${at} ${'x'.repeat(bytes)}`
  })
  const keyed = (key: string, at: number): ProduceRecord => ({ topic: 'orders', key, value: `${at}` })
  const stick = (topic: string, partition = 0): void => {
    const { script } = stage.router.partition(topic, partition)
    for (let time = 0; time < 2_000; time++) script.push({ type: 'notSent', reason: 'noLeader' })
  }
  const names = upTo(100).map(at => `stuck-${at}`)

  /** A hundred topics with a partition that is stuck, and memory for a few: most batches are set aside. */
  const crowd = async (stuckOrders = 0): Promise<void> => {
    stage = new DurableStage({
      topics: { ...Object.fromEntries(names.map(name => [name, 1])), orders: Math.max(1, stuckOrders) },
      wal: { readAheadBytes: 256 * KIB, segmentBytes: 1024 * KIB }
    })
    await stage.start()
    for (let partition = 0; partition < stuckOrders; partition++) stick('orders', partition)
    if (stuckOrders > 0) for (let at = 0; at < 40; at++) stage.send(keyed(`${at % 20}`, at))
    for (const name of names) {
      stage.router.topicIds.set(name, `${name}-1`)
      stick(name)
      for (let at = 0; at < 20; at++) stage.send(to(name, at))
    }
    await stage.pass(10_000)
  }

  for (const life of ['another cluster', 'another life of the topics'] as const) {
    it(`durable-queue: ${life} gets the records of batches that had given back their memory`, async () => {
      await crowd()
      if (life === 'another cluster') {
        stage.router.wipe(Object.fromEntries(names.map(name => [name, 1])))
        stage.delivery.clusterChanged({ before: 'cluster-1', now: 'cluster-2' })
      } else {
        for (const name of names) stage.router.topics.delete(name)
        for (const name of names) stage.router.tables.want(name)
        await stage.pass(20_000)
        for (const name of names) {
          stage.router.create(name, 1)
          stage.router.topicIds.set(name, `${name}-2`)
        }
      }
      await stage.pass(120_000)
      for (const name of names) {
        const numbers = numbersIn(name).toSorted((one, other) => one - other)
        expect(numbers, name).to.deep.equal(upTo(20))
      }
    })
  }

  const grow = (partitions: number): void => {
    stage.router.create('orders', partitions)
    stage.router.tables.want('orders')
  }
  const expectOrder = (count: number): void => {
    const ofOrders = stage.router.appended.filter(({ topic }) => topic === 'orders')
    expect(ofOrders.map(({ value }) => Number(value)).sort((one, other) => one - other)).to.deep.equal(upTo(count))
    for (let key = 0; key < 20; key++) {
      const numbers = ofOrders.filter(record => record.key === `${key}`).map(({ value }) => Number(value))
      expect(numbers, `key ${key}`).to.deep.equal(numbers.toSorted((one, other) => one - other))
    }
  }

  it('durable-queue: a key that moves to a new partition waits for the batch that another process has sent', async () => {
    const others = upTo(60).map(at => `other-${at}`)
    stage = new DurableStage({ topics: Object.fromEntries([...others, 'orders'].map(name => [name, 2])) })
    await stage.start()
    for (const name of [...others, 'orders']) {
      for (const partition of [0, 1]) stage.router.partition(name, partition).script.push({ type: 'hold' })
    }
    for (const name of others) stage.send([to(name, 0, 0), to(name, 0, 1)])
    for (let at = 0; at < 40; at++) stage.send(keyed(`${at % 20}`, at))
    await stage.pass(20)
    for (let at = 40; at < 80; at++) stage.send(keyed(`${at % 20}`, at))
    await stage.pass(20)
    stage.kill()
    stage.router.create('orders', 5)
    stage.hostLatencyMs = 5
    await stage.restart()
    await stage.pass(20_000)
    expectOrder(80)
  })

  it('durable-queue: a key that moves to a new partition waits for a batch that has given back its memory', async () => {
    await crowd(2)
    grow(5)
    for (let at = 40; at < 80; at++) stage.send(keyed(`${at % 20}`, at))
    await stage.pass(3_000)
    for (const partition of [0, 1]) stage.router.partition('orders', partition).script.length = 0
    for (const name of names) stage.router.partition(name, 0).script.length = 0
    await stage.pass(60_000)
    expectOrder(80)
  })
})
