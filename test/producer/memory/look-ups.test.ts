import { expect } from 'chai'
import { DeliveryStage, record, resultsOf } from '../../support/delivery-stage.js'

describe('delivery: look-ups of topics that were known', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  it('go on after one that nobody answered, so that added partitions are seen', async () => {
    stage = new DeliveryStage({ orders: 1 }, { metadataMaxAgeMs: 5_000 })
    await stage.warmUp('orders', 0)
    await stage.pass(6_000)
    stage.router.isAway = true
    stage.send(record('orders', 'away', undefined, 'key'))
    await stage.pass(1_000)
    expect(stage.router.lookUps).to.have.length.greaterThan(1)
    stage.router.isAway = false
    stage.router.create('orders', 20)
    for (let second = 0; second < 12; second++) {
      stage.send(Array.from({ length: 20 }, (_, key) => record('orders', 'back', undefined, `${key}`)))
      await stage.pass(1_000)
    }
    const used = stage.router.topics.get('orders')!.filter(({ log }) => log.length > 0)
    expect(used).to.have.length.greaterThan(5)
  })

  it('are no proof that a partition is missing when nobody answered', async () => {
    stage = new DeliveryStage({ orders: 1 })
    await stage.warmUp('orders', 0)
    await stage.pass(5_000)
    stage.router.create('orders', 2)
    stage.router.isAway = true
    const first = stage.send(record('orders', 'first', 1))
    await stage.pass(60)
    const second = stage.send(record('orders', 'second', 1))
    stage.router.isAway = false
    await stage.pass(5_000)
    expect([resultsOf(first), resultsOf(second)]).to.deep.equal([['delivered'], ['delivered']])
    expect(stage.router.partition('orders', 1).values).to.deep.equal(['first', 'second'])
  })

  it('take no place from new topics once the old ones were deleted', async () => {
    const old = ['a', 'b', 'c']
    stage = new DeliveryStage({ a: 1, b: 1, c: 1, new: 1 }, { maxUnknownTopics: 3, createTopics: false })
    for (const topic of old) await stage.warmUp(topic, 0)
    for (const topic of old) stage.router.topics.delete(topic)
    const lost = old.map(topic => stage.send(record(topic, 'too late', 0)))
    await stage.pass(20_000)
    expect(lost.flatMap(resultsOf)).to.deep.equal(old.map(() => 'unknownTopic, no'))
    const sent = stage.send(record('new', 'A', 0))
    await stage.pass(1_000)
    expect(resultsOf(sent)).to.deep.equal(['delivered'])
  })
})
