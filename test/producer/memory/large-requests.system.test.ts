import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { DeliveryStage, record, resultsOf } from '../../support/delivery-stage.js'

const KIB = 1024

describe('delivery: requests of very many records', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())
  const many = (make: (at: number) => ProduceRecord, count = 100_000) =>
    Array.from({ length: count }, (_, at) => make(at))
  const failuresIn = (results: string[] | undefined) => results?.filter(result => result !== 'delivered')

  for (const [what, make] of [
    ['without a key', () => record('orders', 'x')],
    ['with one key', () => record('orders', 'x', undefined, 'key')],
    ['for one partition', () => record('orders', 'x', 3)],
    ['of 140 bytes', () => record('orders', 'x'.repeat(140), 3)]
  ] as const) {
    it(`takes 100,000 records ${what} while it is idle`, async () => {
      stage = new DeliveryStage({ orders: 4 })
      await stage.warmUp('orders', 0)
      const sent = stage.send(many(make))
      expect(sent.refused).to.equal(undefined)
      await stage.pass(2_000)
      expect(failuresIn(resultsOf(sent))).to.deep.equal([])
    })
  }

  it('takes 100,000 records for a topic that it has not met yet', async () => {
    stage = new DeliveryStage({ orders: 4 })
    const sent = stage.send(many(() => record('orders', 'x')))
    expect(sent.refused).to.equal(undefined)
    await stage.pass(2_000)
    expect(failuresIn(resultsOf(sent))).to.deep.equal([])
  })

  it('moves on with records without a key when the partition is full', async () => {
    stage = new DeliveryStage({ orders: 4 }, { maxBytes: 400 * KIB, maxPartitionBytes: 100 * KIB })
    await stage.warmUp('orders', 0)
    for (const partition of stage.router.topics.get('orders')!) partition.script.push({ type: 'hold' })
    const sent = Array.from({ length: 100 }, () => stage.send(record('orders', 'x'.repeat(2 * KIB))))
    expect(sent.filter(({ refused }) => refused !== undefined)).to.deep.equal([])
    await stage.pass(10)
    stage.router.release()
    await stage.pass(1_000)
    expect(sent.flatMap(resultsOf).filter(result => result !== 'delivered')).to.deep.equal([])
    expect(stage.router.topics.get('orders')!.filter(({ log }) => log.length > 2).length).to.be.greaterThan(2)
  })

  it('keeps a quarter of the buffer from the one request that fills a partition', async () => {
    stage = new DeliveryStage({ orders: 4 }, { maxBytes: 400 * KIB, maxPartitionBytes: 50 * KIB })
    await stage.warmUp('orders', 0)
    const sent = stage.send(many(() => record('orders', 'x'.repeat(KIB), 0), 1_000))
    expect(sent.refused?.filter(Boolean).length).to.be.greaterThan(0)
    expect(stage.delivery.stats().bufferedBytes).to.be.within(290 * KIB, 300 * KIB)
    expect(stage.send(record('orders', 'x'.repeat(KIB), 0)).refused?.[0]?.code).to.equal('overloaded')
    expect(stage.send(record('orders', 'x'.repeat(KIB), 1)).refused).to.equal(undefined)
  })
})
