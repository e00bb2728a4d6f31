import { expect } from 'chai'
import type { PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { DeliveryStage, record, resultsOf } from '../../support/delivery-stage.js'

const KIB = 1024
const WAIT_MS = 1_000

describe('delivery: records that wait for capacity in their partition', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  async function start(settings: ConstructorParameters<typeof DeliveryStage>[1] = {}): Promise<void> {
    stage = new DeliveryStage({ orders: 4 }, { maxBytes: 400 * KIB, maxPartitionBytes: 50 * KIB, ...settings })
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
  }
  const send = (value: string, partition = 0, capacityWaitMs = WAIT_MS) =>
    stage.send(record('orders', value.padEnd(10 * KIB, '.'), partition), 30_000, capacityWaitMs)
  /** As many as fit, and `more` that do not. */
  const flood = (more: number) => Array.from({ length: 4 + more }, (_, at) => send(String(at)))
  const stateOf = async ({ pendingProduce }: { pendingProduce: PendingProduce }) => {
    let state = 'waiting'
    void pendingProduce.accepted().then(refused => (state = refused === undefined ? 'accepted' : 'refused'))
    await stage.pass(0)
    return state
  }

  it('are accepted when there is capacity, in order', async () => {
    await start()
    const sent = flood(5)
    expect(sent.map(({ pendingProduce }) => pendingProduce.isWaiting)).to.deep.equal([
      ...Array(4).fill(false),
      ...Array(5).fill(true)
    ])
    expect(sent.filter(({ refused }) => refused !== undefined)).to.deep.equal([])
    expect(await stateOf(sent[5]!)).to.equal('waiting')
    await stage.pass(10)
    stage.router.release()
    await stage.pass(100)
    expect(await stateOf(sent[5]!)).to.equal('accepted')
    expect(sent.flatMap(resultsOf)).to.deep.equal(Array(9).fill('delivered'))
    expect(
      stage.router
        .partition('orders', 0)
        .values.slice(1)
        .map(value => Number.parseInt(value!, 10))
    ).to.deep.equal(Array.from({ length: 9 }, (_, at) => at))
  })

  it('are refused when there was none in time', async () => {
    await start()
    const last = flood(1).at(-1)!
    await stage.pass(WAIT_MS - 100)
    expect(await stateOf(last)).to.equal('waiting')
    await stage.pass(200)
    expect(await stateOf(last)).to.equal('refused')
    expect(resultsOf(last)).to.deep.equal(['overloaded, no'])
    expect((await last.pendingProduce.accepted())?.[0]?.message)
      .to.contain('orders/0')
      .and.to.contain('advanced.delivery.maxPartitionBytes')
  })

  it('are refused at once where nobody wants to wait', async () => {
    await start()
    flood(1)
    const { refused, pendingProduce } = send('impatient', 0, 0)
    expect(refused?.[0]?.code).to.equal('overloaded')
    expect(pendingProduce.isWaiting).to.equal(false)
  })

  it('are not overtaken by smaller ones that would fit', async () => {
    await start()
    flood(2)
    const small = stage.send(record('orders', 'small', 0), 30_000, WAIT_MS)
    expect(small.pendingProduce.isWaiting).to.equal(true)
    expect(stage.send(record('orders', 'impatient', 0)).refused?.[0]?.code).to.equal('overloaded')
    await stage.pass(10)
    stage.router.release()
    await stage.pass(100)
    expect(stage.router.partition('orders', 0).values.at(-1)).to.equal('small')
  })

  it('are the last of a call that stops where it is full: all behind the first without capacity are refused', async () => {
    await start()
    const values = Array.from({ length: 90 }, (_, at) => record('orders', String(at).padEnd(10 * KIB, '.'), 0))
    const fitting = record('orders', 'elsewhere', 1)
    const options = { partitioner: 'murmur2', deadlineMs: 30_000, capacityWaitMs: WAIT_MS } as const
    const refusedOf = (stopsWhereFull: boolean) =>
      stage.delivery.accept([...values, fitting], { ...options, stopsWhereFull }).refused!.map(failure => failure?.code)
    const codes = refusedOf(true)
    const first = codes.indexOf('overloaded')
    expect(first).to.be.within(1, 89)
    expect(codes.slice(first)).to.deep.equal(Array(91 - first).fill('overloaded'))
    expect(refusedOf(false).at(-1)).to.equal(undefined)
  })

  it('hold up no other partition', async () => {
    await start()
    flood(4)
    const other = send('other', 1)
    expect(other.pendingProduce.isWaiting).to.equal(false)
    await stage.pass(50)
    expect(resultsOf(other)).to.deep.equal(['delivered'])
  })

  it('take as much as the buffer beside it at most, and one partition no more than it leaves to others', async () => {
    await start()
    const sent = flood(40)
    const waiting = sent.filter(({ pendingProduce }) => pendingProduce.isWaiting).length
    expect(waiting).to.be.within(15, 19)
    expect(sent.at(-1)!.refused?.[0]?.code).to.equal('overloaded')
    expect(stage.delivery.stats().bufferedBytes).to.be.lessThan(50 * KIB)
  })

  it('take as much as requests may hold where those are counted elsewhere, and the partition its half of it', async () => {
    stage = new DeliveryStage({ orders: 4 }, { maxBytes: 100 * KIB, maxPartitionBytes: 50 * KIB }, undefined, 800 * KIB)
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const values = Array.from({ length: 60 }, (_, at) => record('orders', String(at).padEnd(10 * KIB, '.'), 0))
    const sent = stage.send(values, 30_000, WAIT_MS)
    const isTaken = (at: number): boolean => sent.refused?.[at] === undefined
    expect([isTaken(40), isTaken(59)]).to.deep.equal([true, false])
    expect(stage.delivery.stats().bufferedBytes).to.be.lessThan(100 * KIB)
    await stage.pass(10)
    stage.router.release()
    await stage.pass(100)
    const taken = values.flatMap(({ value }, at) => (isTaken(at) ? [String(value)] : []))
    expect(stage.router.partition('orders', 0).values.slice(1)).to.deep.equal(taken)
  })

  it('may be the first of their topic: the buffer is full of others, and its partitions are looked up meanwhile', async () => {
    stage = new DeliveryStage({ orders: 1, audit: 1 }, { maxBytes: 100 * KIB })
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const full = Array.from({ length: 9 }, (_, at) => record('orders', String(at).padEnd(10 * KIB, '.'), 0))
    const sent = stage.send(
      [...full, record('audit', 'a'.repeat(20 * KIB), 0), record('audit', 'b', 0)],
      30_000,
      WAIT_MS
    )
    expect(sent.refused).to.equal(undefined)
    expect(sent.pendingProduce.isWaiting).to.equal(true)
    await stage.pass(200)
    expect(sent.outcomes, 'the buffer is still full').to.equal(undefined)
    stage.router.release()
    await stage.pass(200)
    expect(resultsOf(sent)).to.deep.equal(Array(11).fill('delivered'))
    expect(stage.router.partition('audit', 0).values.map(value => value![0])).to.deep.equal(['a', 'b'])
  })

  it('are refused in time although their topic was never found, and leave nothing behind', async () => {
    stage = new DeliveryStage({ orders: 1 }, { maxBytes: 100 * KIB })
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    stage.send(Array.from({ length: 9 }, () => record('orders', 'x'.repeat(10 * KIB), 0)))
    const sent = stage.send(record('none', 'a'.repeat(20 * KIB)), 30_000, WAIT_MS)
    expect(sent.refused).to.equal(undefined)
    await stage.pass(WAIT_MS + 100)
    expect(resultsOf(sent)).to.deep.equal(['overloaded, no'])
    stage.router.release()
    await stage.pass(10_000)
    expect(stage.delivery.stats()).to.include({ bufferedBytes: 0, unknownTopics: 0 })
  })

  it('keep no bytes of their caller', async () => {
    await start()
    flood(0)
    const value = Buffer.alloc(10 * KIB, 'a')
    stage.send({ topic: 'orders', partition: 0, key: null, value }, 30_000, WAIT_MS)
    value.fill('b')
    await stage.pass(10)
    stage.router.release()
    await stage.pass(100)
    expect(stage.router.partition('orders', 0).values.at(-1)).to.match(/^a+$/)
  })

  it('wait no longer than their request', async () => {
    await start()
    flood(0)
    const brief = stage.send(record('orders', 'x'.repeat(10 * KIB), 0), 300, WAIT_MS)
    await stage.pass(400)
    expect(resultsOf(brief)).to.deep.equal(['overloaded, no'])
  })

  it('are told when delivery ends, and leave nothing behind', async () => {
    await start()
    const last = flood(1).at(-1)!
    const closed = stage.delivery.close(100)
    await stage.pass(200)
    await closed
    expect(resultsOf(last)).to.deep.equal(['shuttingDown, no'])
    expect(await stateOf(last)).to.equal('refused')
    expect(stage.delivery.stats().bufferedBytes).to.equal(0)
  })
})
