import { expect } from 'chai'
import { DeliveryHarness, record, resultsOf } from '../../support/delivery-stage.js'

describe('delivery: look-ups of topics that were known', () => {
  let harness: DeliveryHarness
  afterEach(() => harness.restore())

  it('go on after one that nobody answered, so that added partitions are seen', async () => {
    harness = new DeliveryHarness({ orders: 1 }, { metadataMaxAgeMs: 5_000 })
    await harness.warmUp('orders', 0)
    await harness.pass(6_000)
    harness.router.isAway = true
    harness.send(record('orders', 'away', undefined, 'key'))
    await harness.pass(1_000)
    expect(harness.router.lookUps).to.have.length.greaterThan(1)
    harness.router.isAway = false
    harness.router.create('orders', 20)
    for (let second = 0; second < 12; second++) {
      harness.send(Array.from({ length: 20 }, (_, key) => record('orders', 'back', undefined, `${key}`)))
      await harness.pass(1_000)
    }
    const used = harness.router.topics.get('orders')!.filter(({ log }) => log.length > 0)
    expect(used).to.have.length.greaterThan(5)
  })

  it('are no proof that a partition is missing when nobody answered', async () => {
    harness = new DeliveryHarness({ orders: 1 })
    await harness.warmUp('orders', 0)
    await harness.pass(5_000)
    harness.router.create('orders', 2)
    harness.router.isAway = true
    const first = harness.send(record('orders', 'first', 1))
    await harness.pass(60)
    const second = harness.send(record('orders', 'second', 1))
    harness.router.isAway = false
    await harness.pass(5_000)
    expect([resultsOf(first), resultsOf(second)]).to.deep.equal([['delivered'], ['delivered']])
    expect(harness.router.partition('orders', 1).values).to.deep.equal(['first', 'second'])
  })

  it('take no place from new topics once the old ones were deleted', async () => {
    const old = ['a', 'b', 'c']
    harness = new DeliveryHarness({ a: 1, b: 1, c: 1, new: 1 }, { maxUnknownTopics: 3, createTopics: false })
    for (const topic of old) await harness.warmUp(topic, 0)
    for (const topic of old) harness.router.topics.delete(topic)
    const lost = old.map(topic => harness.send(record(topic, 'too late', 0)))
    await harness.pass(20_000)
    expect(lost.flatMap(resultsOf)).to.deep.equal(old.map(() => 'unknownTopic, no'))
    const sent = harness.send(record('new', 'A', 0))
    await harness.pass(1_000)
    expect(resultsOf(sent)).to.deep.equal(['delivered'])
  })
})
