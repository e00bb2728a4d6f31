import { expect } from 'chai'
import { record } from '../../support/delivery-stage.js'
import { DurableHarness } from '../durable-stage.js'

describe('durable: after a crash', () => {
  let harness: DurableHarness
  afterEach(() => harness.restore())
  const attempts = () =>
    harness.router.partition('orders', 0).attempts.map(({ epoch, baseSequence, count, bytes }) => ({
      producerId: bytes.readBigInt64BE(43),
      epoch,
      baseSequence,
      count
    }))
  /** A batch whose answer never comes, and a process that dies. */
  const crashAfterSending = async (written: boolean, topicId: string | undefined): Promise<void> => {
    harness = new DurableHarness({ topics: { orders: 1 } })
    if (topicId !== undefined) harness.router.topicIds.set('orders', topicId)
    await harness.start()
    harness.send(record('orders', 'A'))
    await harness.pass(100)
    harness.router.partition('orders', 0).script.push(written ? { type: 'loseResponse' } : { type: 'loseRequest' })
    harness.send([record('orders', 'B'), record('orders', 'C')])
    await harness.pass(4)
    expect(attempts()).to.have.length(2)
    harness.kill()
    await harness.pass(100)
  }

  for (const written of [true, false]) {
    it(`durable-queue: sends the identical batch again, which Kafka ${written ? 'had written' : 'had not'}`, async () => {
      await crashAfterSending(written, 'life-1')
      await harness.start()
      harness.send(record('orders', 'D'))
      await harness.pass(1_000)
      expect(attempts().slice(0, 3)).to.deep.equal([
        { producerId: 1n, epoch: 0, baseSequence: 0, count: 1 },
        { producerId: 1n, epoch: 0, baseSequence: 1, count: 2 },
        { producerId: 1n, epoch: 0, baseSequence: 1, count: 2 }
      ])
      expect(harness.router.partition('orders', 0).values).to.deep.equal(['A', 'B', 'C', 'D'])
      expect((await harness.queue.log!.look()).openEntries).to.equal(0)
    })
  }

  it('durable-queue: takes a new identity when another cluster answers', async () => {
    await crashAfterSending(true, 'life-1')
    harness.clusterId = 'cluster-2'
    harness.router.wipe({ orders: 1 })
    await harness.start()
    await harness.pass(1_000)
    const [attempt] = attempts()
    expect(attempt?.producerId).to.equal(2n)
    expect(harness.router.partition('orders', 0).values).to.deep.equal(['B', 'C'])
  })

  it('durable-queue: takes a new identity when the topic was made anew', async () => {
    await crashAfterSending(true, 'life-1')
    harness.router.topics.delete('orders')
    harness.router.create('orders', 1)
    harness.router.topicIds.set('orders', 'life-2')
    await harness.start()
    await harness.pass(1_000)
    expect(attempts()[0]?.producerId).to.equal(2n)
    expect(harness.router.partition('orders', 0).values).to.deep.equal(['B', 'C'])
  })

  for (const [before, after] of [
    [undefined, 'life-1'],
    ['life-1', undefined]
  ] as const) {
    it(`durable-queue: sends the identical batch again when brokers tell ${after === undefined ? 'no id of the topic any more' : 'an id of the topic since'}`, async () => {
      await crashAfterSending(true, before)
      if (after === undefined) harness.router.topicIds.clear()
      else harness.router.topicIds.set('orders', after)
      await harness.start()
      await harness.pass(1_000)
      expect(attempts().slice(1)).to.deep.equal([
        { producerId: 1n, epoch: 0, baseSequence: 1, count: 2 },
        { producerId: 1n, epoch: 0, baseSequence: 1, count: 2 }
      ])
      expect(harness.router.partition('orders', 0).values).to.deep.equal(['A', 'B', 'C'])
    })
  }

  it('durable-queue: sends a batch again, at the cost of a copy, when Kafka has forgotten its producer', async () => {
    await crashAfterSending(true, 'life-1')
    harness.router.partition('orders', 0).forgetProducers()
    await harness.start()
    await harness.pass(5_000)
    expect(harness.router.partition('orders', 0).values).to.deep.equal(['A', 'B', 'C', 'B', 'C'])
  })

  it('durable-queue: forgets what it noted of topics that have nothing left', async () => {
    harness = new DurableHarness({ topics: { orders: 1 } })
    await harness.start()
    harness.send(record('orders', 'A'))
    await harness.pass(1_000)
    await harness.restart()
    await harness.pass(100)
    harness.send(record('orders', 'B'))
    await harness.pass(1_000)
    expect(attempts().map(({ producerId, baseSequence }) => [producerId, baseSequence])).to.deep.equal([
      [1n, 0],
      [2n, 0]
    ])
  })

  it('durable-queue: keeps what it cannot send when it stops, and says so to whoever waits', async () => {
    harness = new DurableHarness({ topics: { orders: 1 } })
    await harness.start()
    harness.router.isAway = true
    const sent = harness.send(record('orders', 'A'), 60_000)
    await harness.pass(100)
    const closing = harness.delivery.close(1_000)
    await harness.pass(1_500)
    await closing
    await harness.queue.close()
    expect(sent.outcomes?.[0]).to.include({ type: 'failed', persisted: 'pending' })
    const late = harness.send(record('orders', 'B'))
    expect(late.refused?.[0]).to.include({ code: 'shuttingDown', persisted: 'no' })
    harness.router.isAway = false
    await harness.restart()
    await harness.pass(1_000)
    expect(harness.router.partition('orders', 0).values).to.deep.equal(['A'])
  })
})
