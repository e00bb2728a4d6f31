import { expect } from 'chai'
import type { ProduceOptions } from '../../../src/producer/memory/delivery.js'
import type { PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { DeliveryStage, record, resultsOf, type Sent } from '../../support/delivery-stage.js'

const KIB = 1024

describe('delivery: a caller that sends as soon as it hears of its records', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())
  const held = () => {
    const { bufferedRecords, bufferedBytes, stuckBytes } = stage.delivery.stats()
    return [bufferedRecords, bufferedBytes, stuckBytes]
  }
  const settled = (one: PendingProduce, then: () => void): void => one.whenSettled!(then)

  it('has them delivered, also in a batch that begins behind those whose deadlines have passed', async () => {
    stage = new DeliveryStage({ orders: 1 }, { timeoutMs: 60_000 })
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const first = stage.send(record('orders', 'in flight', 0))
    await stage.pass(10)
    const late = stage.send(record('orders', 'late', 0), 500)
    const later: Sent[] = [first, stage.send(record('orders', 'stays', 0))]
    settled(late.pendingProduce, () => {
      for (const letter of ['x', 'y']) later.push(stage.send(record('orders', letter.repeat(900 * KIB), 0)))
    })
    await stage.pass(600)
    expect(resultsOf(late)).to.deep.equal(['timedOut, no'])
    stage.router.release()
    await stage.pass(1_000)
    expect(later.flatMap(resultsOf)).to.deep.equal(Array(4).fill('delivered'))
    const firsts = stage.router.partition('orders', 0).values.map(value => value?.slice(0, 2))
    expect(firsts.slice(1)).to.deep.equal(['in', 'st', 'xx', 'yy'])
    expect(held()).to.deep.equal([0, 0, 0])
  })

  it('has them counted once, where they wait for a topic that is looked up', async () => {
    stage = new DeliveryStage({}, { timeoutMs: 60_000 })
    const late = stage.send(record('later', 'late', 0), 1_500)
    let next: Sent | undefined
    settled(late.pendingProduce, () => (next = stage.send(record('later', 'next', 0), 500)))
    await stage.pass(1_600)
    expect(resultsOf(late)).to.deep.equal(['unknownTopic, no'])
    expect(held()[0]).to.equal(1)
    await stage.pass(600)
    expect(resultsOf(next!)).to.deep.equal(['unknownTopic, no'])
    expect(held()).to.deep.equal([0, 0, 0])
  })

  it('has them wait for capacity, also after it has given up others that waited', async () => {
    stage = new DeliveryStage({ orders: 1 }, { maxBytes: 400 * KIB, maxPartitionBytes: 50 * KIB })
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const end = new AbortController()
    const send = (options: Partial<ProduceOptions> = {}): PendingProduce =>
      stage.delivery.accept([record('orders', '.'.repeat(10 * KIB), 0)], {
        partitioner: 'murmur2',
        deadlineMs: 30_000,
        capacityWaitMs: 500,
        ...options
      })
    const first = Array.from({ length: 4 }, () => send())
    const one = send()
    const other = send({ signal: end.signal })
    expect([...first, one, other].filter(({ isWaiting }) => isWaiting === true)).to.have.length(2)
    let next: PendingProduce | undefined
    settled(one, () => {
      end.abort()
      next = send({ capacityWaitMs: 10_000 })
    })
    await stage.pass(700)
    const given = [...(await one.outcomes()), ...(await other.outcomes())]
    expect(given.map(({ type }) => type)).to.deep.equal(['failed', 'failed'])
    expect(next!.isWaiting).to.equal(true)
    stage.router.release()
    await stage.pass(500)
    expect(next!.isWaiting).to.equal(false)
    expect((await next!.outcomes())[0]!.type).to.equal('delivered')
    expect(held()).to.deep.equal([0, 0, 0])
  })
})
