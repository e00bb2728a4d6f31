import { expect } from 'chai'
import { DeliveryStage, record, resultsOf } from '../../support/delivery-stage.js'

const change = { before: 'old', now: 'new' }

describe('delivery: another cluster at the same addresses', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())
  const start = async (): Promise<void> => {
    stage = new DeliveryStage({ orders: 2 })
    stage.delivery.clusterChanged({ before: undefined, now: 'old' })
    await stage.warmUp('orders', 0)
  }
  const idOf = (bytes: Buffer): bigint => bytes.readBigInt64BE(43)

  it('writes under an id of that cluster, where the old one may be somebody else', async () => {
    await start()
    stage.router.wipe({ orders: 2 })
    stage.router.partition('orders', 0).writtenByAnother(1n, 5)
    stage.delivery.clusterChanged(change)
    const sent = stage.send(['A', 'B', 'C'].map(value => record('orders', value, 0)))
    await stage.pass(500)
    expect(resultsOf(sent)).to.deep.equal(['delivered', 'delivered', 'delivered'])
    const { values, attempts } = stage.router.partition('orders', 0)
    expect(values.slice(5)).to.deep.equal(['A', 'B', 'C'])
    expect(attempts.map(({ bytes, baseSequence }) => [idOf(bytes), baseSequence])).to.deep.equal([[2n, 0]])
  })

  it('sends what is unsettled again under the new id, in order', async () => {
    await start()
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const first = stage.send(record('orders', 'A', 0))
    await stage.pass(10)
    const second = stage.send(record('orders', 'B', 0))
    stage.router.wipe({ orders: 2 })
    stage.router.partition('orders', 0).writtenByAnother(1n, 2)
    stage.delivery.clusterChanged(change)
    await stage.pass(1_000)
    expect([first, second].flatMap(resultsOf)).to.deep.equal(['delivered', 'delivered'])
    const { values, attempts } = stage.router.partition('orders', 0)
    expect(values).to.deep.equal(['another 0', 'another 1', 'A', 'B'])
    expect(new Set(attempts.map(({ bytes }) => idOf(bytes)))).to.deep.equal(new Set([2n]))
  })

  it('does not become certain that a record is nowhere, which the cluster before may have', async () => {
    await start()
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const maybe = stage.send(record('orders', 'A', 0))
    await stage.pass(10)
    const never = stage.send(record('orders', 'B', 0))
    stage.router.wipe({ orders: 2 })
    stage.router.partition('orders', 0).script.push(...Array(2).fill({ type: 'reject', errorCode: 29 }))
    stage.delivery.clusterChanged(change)
    await stage.pass(1_000)
    expect([maybe, never].flatMap(resultsOf)).to.deep.equal(['notAuthorized, unknown', 'notAuthorized, no'])
  })

  it('asks again how many partitions the topics have', async () => {
    await start()
    stage.router.wipe({ orders: 1 })
    stage.delivery.clusterChanged(change)
    const sent = stage.send([record('orders', 'A', 0), record('orders', 'B', 1)])
    await stage.pass(1_000)
    expect(resultsOf(sent)).to.deep.equal(['delivered', 'unknownPartition, no'])
  })

  it('creates topics there that it has records for', async () => {
    await start()
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const unsettled = stage.send(record('orders', 'A', 0))
    await stage.pass(10)
    stage.router.createsTopics = 2
    stage.router.wipe({})
    stage.delivery.clusterChanged(change)
    const later = stage.send(record('orders', 'B', 0))
    await stage.pass(3_000)
    expect([unsettled, later].flatMap(resultsOf)).to.deep.equal(['delivered', 'delivered'])
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A', 'B'])
  })

  it('names the cluster that a batch is sealed for', async () => {
    await start()
    stage.delivery.clusterChanged(change)
    stage.send(record('orders', 'A', 0))
    await stage.pass(500)
    expect(stage.router.clusterIds).to.deep.equal(['old', 'new'])
  })
})
