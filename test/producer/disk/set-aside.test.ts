import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { DurableStage } from '../durable-stage.js'

const KIB = 1024
const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

describe('durable: a batch that was set aside', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  const keyed = (at: number): ProduceRecord => ({ topic: 'orders', key: `${at % 20}`, value: `${at}` })
  const stick = (topic: string, partition = 0): void => {
    const { script } = stage.router.partition(topic, partition)
    for (let time = 0; time < 2_000; time++) script.push({ type: 'notSent', reason: 'noLeader' })
  }

  it('comes before later records of its keys, also where its topic has grown and they have another partition', async () => {
    const others = upTo(16).map(at => `other-${at}`)
    stage = new DurableStage({
      topics: { ...Object.fromEntries(others.map(name => [name, 1])), orders: 2 },
      wal: { readAheadBytes: 32 * KIB }
    })
    await stage.start()
    for (const partition of [0, 1]) stick('orders', partition)
    for (const at of upTo(40)) stage.send(keyed(at))
    for (const name of others) {
      stick(name)
      for (const at of upTo(20)) stage.send({ topic: name, key: null, value: `${at} ${'x'.repeat(KIB)}` })
    }
    await stage.pass(3_000)
    stage.router.create('orders', 5)
    stage.router.tables.want('orders')
    for (const at of upTo(40)) stage.send(keyed(40 + at))
    await stage.pass(3_000)
    for (const partition of [0, 1]) stage.router.partition('orders', partition).script.length = 0
    for (const name of others) stage.router.partition(name, 0).script.length = 0
    await stage.pass(60_000)
    const numbersOf = (key?: number): number[] =>
      stage.router.appended
        .filter(record => record.topic === 'orders' && (key === undefined || record.key === `${key}`))
        .map(({ value }) => Number(value))
    expect(numbersOf().toSorted((one, other) => one - other)).to.deep.equal(upTo(80))
    for (const key of upTo(20)) {
      expect(numbersOf(key), `key ${key}`).to.deep.equal(numbersOf(key).toSorted((one, other) => one - other))
    }
  })
})
