import { expect } from 'chai'
import type { InPieces } from '../../src/core/loop-turns.js'
import { silentLogger } from '../../src/core/model.js'
import { startDelivery } from '../../src/producer/memory/memory-delivery.js'
import { MemoryReceipts } from '../../src/producer/memory/memory-receipts.js'
import { ReceiptKey } from '../../src/producer/receipts/receipt-ids.js'
import { type ReceiptHolder, Receipts } from '../../src/producer/receipts/receipts.js'
import { CountingMetrics } from '../support/counting-metrics.js'
import { DeliveryStage, record } from '../support/delivery-stage.js'
import { DurableStage } from './durable-stage.js'

const COUNT = 1_000
const RECORDS = Array.from({ length: COUNT }, (_, at) => record('orders', `${at}`, 0))
const VALUES = RECORDS.map(({ value }) => value)
const ASYNC = { partitioner: 'murmur2', deadlineMs: 30_000, answeredBy: 'kprf' } as const

/** A request whose long work the test does. */
function longRequest() {
  const works: InPieces<void>[] = []
  const holder: ReceiptHolder = { principal: 'ann', receipt: undefined, inTurns: work => void works.push(work) }
  return { holder, works }
}

describe('memory: many records of a request that are taken in turns', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())
  const start = () => {
    stage = new DeliveryStage({ orders: 1 })
    const receipts = new Receipts(new ReceiptKey(Buffer.alloc(32, 1)))
    const options = { clock: () => performance.now(), now: () => Date.now(), log: silentLogger }
    const issuer = receipts.issuer('memory', Buffer.alloc(8, 3))
    const delivery = startDelivery({
      ...options,
      router: stage.router,
      random: () => 0.5,
      metrics: new CountingMetrics(),
      receipts: new MemoryReceipts({ ...options, issuer, retentionMs: 60_000 })
    })
    return { delivery, receipts }
  }

  it('wait, and are accepted when all of them are: then there is a receipt for all', async () => {
    const { delivery, receipts } = start()
    const { holder, works } = longRequest()
    const pending = delivery.accept(RECORDS, ASYNC, holder)
    let accepted: unknown = 'not yet'
    void pending.accepted().then(refused => (accepted = refused))
    expect([pending.isWaiting, works.length]).to.deep.equal([true, 1])
    let pieces = 0
    for (; works[0]!.next().done !== true; pieces++) {
      expect([accepted, holder.receipt]).to.deep.equal(['not yet', undefined])
      await stage.pass(1)
    }
    expect(pieces).to.equal(4)
    await stage.pass(1_000)
    expect([accepted, receipts.open(holder.receipt!, ['ann'])?.count]).to.deep.equal([undefined, COUNT])
    expect(stage.router.partition('orders', 0).values).to.deep.equal(VALUES)
    const outcomes = await pending.outcomes()
    expect(outcomes.map(outcome => outcome.type === 'delivered' && outcome.offset)).to.deep.equal(VALUES.map(Number))
  })

  it('are refused from the first one on that finds no capacity, where their request wants that', async () => {
    stage = new DeliveryStage({ orders: 1 }, { maxBytes: 40_000, maxPartitionBytes: 40_000 })
    await stage.warmUp('orders', 0)
    const { holder, works } = longRequest()
    const pending = stage.delivery.accept(RECORDS, { ...ASYNC, stopsWhereFull: true }, holder)
    while (works[0]!.next().done !== true) {}
    const refused = (await pending.accepted())!
    const first = refused.findIndex(failure => failure !== undefined)
    expect(first).to.be.within(1, COUNT - 257)
    expect(refused.slice(first).every(failure => failure?.code === 'overloaded')).to.equal(true)
    await stage.pass(1_000)
    expect(stage.router.partition('orders', 0).values.slice(1)).to.deep.equal(VALUES.slice(0, first))
  })

  it('are taken at once where their request does not want turns, or they are few', async () => {
    const { delivery } = start()
    const { holder, works } = longRequest()
    const few = delivery.accept(RECORDS.slice(0, 256), ASYNC, holder)
    const many = delivery.accept(RECORDS, ASYNC, { principal: 'ann', receipt: undefined })
    expect([few.isWaiting, many.isWaiting, works.length]).to.deep.equal([false, false, 0])
    await stage.pass(1_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal([...VALUES.slice(0, 256), ...VALUES])
  })
})

describe('durable: many records of a request that are taken in turns', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  it('go into the log together, with a receipt for all', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    const { holder, works } = longRequest()
    const pending = stage.delivery.accept(RECORDS, { ...ASYNC, durability: 'disk' }, holder)
    let pieces = 0
    for (; works[0]!.next().done !== true; pieces++) {
      await stage.pass(100)
      expect(stage.router.partition('orders', 0).values).to.deep.equal([])
    }
    expect(pieces).to.equal(3)
    await stage.pass(2_000)
    expect([await pending.accepted(), holder.acceptedRecords]).to.deep.equal([undefined, COUNT])
    expect(stage.receipts.open(holder.receipt!, ['ann'])?.count).to.equal(COUNT)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(VALUES)
  })
})
