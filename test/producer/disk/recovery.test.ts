import { expect } from 'chai'
import { record } from '../../support/delivery-stage.js'
import { DurableStage } from '../durable-stage.js'

describe('durable: after a crash', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const attempts = () =>
    stage.router.partition('orders', 0).attempts.map(({ epoch, baseSequence, count, bytes }) => ({
      producerId: bytes.readBigInt64BE(43),
      epoch,
      baseSequence,
      count
    }))
  /** A batch whose answer never comes, and a process that dies. */
  const crashAfterSending = async (written: boolean, topicId: string | undefined): Promise<void> => {
    stage = new DurableStage({ topics: { orders: 1 } })
    if (topicId !== undefined) stage.router.topicIds.set('orders', topicId)
    await stage.start()
    stage.send(record('orders', 'A'))
    await stage.pass(100)
    stage.router.partition('orders', 0).script.push(written ? { type: 'loseResponse' } : { type: 'loseRequest' })
    stage.send([record('orders', 'B'), record('orders', 'C')])
    await stage.pass(4)
    expect(attempts()).to.have.length(2)
    stage.kill()
    await stage.pass(100)
  }

  for (const written of [true, false]) {
    it(`durable-queue: sends the identical batch again, which Kafka ${written ? 'had written' : 'had not'}`, async () => {
      await crashAfterSending(written, 'life-1')
      await stage.start()
      stage.send(record('orders', 'D'))
      await stage.pass(1_000)
      expect(attempts().slice(0, 3)).to.deep.equal([
        { producerId: 1n, epoch: 0, baseSequence: 0, count: 1 },
        { producerId: 1n, epoch: 0, baseSequence: 1, count: 2 },
        { producerId: 1n, epoch: 0, baseSequence: 1, count: 2 }
      ])
      expect(stage.router.partition('orders', 0).values).to.deep.equal(['A', 'B', 'C', 'D'])
      expect((await stage.backlog.log!.look()).openEntries).to.equal(0)
    })
  }

  it('durable-queue: takes a new identity when another cluster answers', async () => {
    await crashAfterSending(true, 'life-1')
    stage.clusterId = 'cluster-2'
    stage.router.wipe({ orders: 1 })
    await stage.start()
    await stage.pass(1_000)
    const [attempt] = attempts()
    expect(attempt?.producerId).to.equal(2n)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['B', 'C'])
  })

  it('durable-queue: takes a new identity when the topic was made anew', async () => {
    await crashAfterSending(true, 'life-1')
    stage.router.topics.delete('orders')
    stage.router.create('orders', 1)
    stage.router.topicIds.set('orders', 'life-2')
    await stage.start()
    await stage.pass(1_000)
    expect(attempts()[0]?.producerId).to.equal(2n)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['B', 'C'])
  })

  for (const [before, after] of [
    [undefined, 'life-1'],
    ['life-1', undefined]
  ] as const) {
    it(`durable-queue: sends the identical batch again when brokers tell ${after === undefined ? 'no id of the topic any more' : 'an id of the topic since'}`, async () => {
      await crashAfterSending(true, before)
      if (after === undefined) stage.router.topicIds.clear()
      else stage.router.topicIds.set('orders', after)
      await stage.start()
      await stage.pass(1_000)
      expect(attempts().slice(1)).to.deep.equal([
        { producerId: 1n, epoch: 0, baseSequence: 1, count: 2 },
        { producerId: 1n, epoch: 0, baseSequence: 1, count: 2 }
      ])
      expect(stage.router.partition('orders', 0).values).to.deep.equal(['A', 'B', 'C'])
    })
  }

  it('durable-queue: sends a batch again, at the cost of a copy, when Kafka has forgotten its producer', async () => {
    await crashAfterSending(true, 'life-1')
    stage.router.partition('orders', 0).forgetProducers()
    await stage.start()
    await stage.pass(5_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A', 'B', 'C', 'B', 'C'])
  })

  it('durable-queue: forgets what it noted of topics that have nothing left', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    stage.send(record('orders', 'A'))
    await stage.pass(1_000)
    await stage.restart()
    await stage.pass(100)
    stage.send(record('orders', 'B'))
    await stage.pass(1_000)
    expect(attempts().map(({ producerId, baseSequence }) => [producerId, baseSequence])).to.deep.equal([
      [1n, 0],
      [2n, 0]
    ])
  })

  it('durable-queue: keeps what it cannot send when it stops, and says so to whoever waits', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
    stage.router.isAway = true
    const sent = stage.send(record('orders', 'A'), 60_000)
    await stage.pass(100)
    const closing = stage.delivery.close(1_000)
    await stage.pass(1_500)
    await closing
    await stage.backlog.close()
    expect(sent.outcomes?.[0]).to.include({ type: 'failed', persisted: 'pending' })
    const late = stage.send(record('orders', 'B'))
    expect(late.refused?.[0]).to.include({ code: 'shuttingDown', persisted: 'no' })
    stage.router.isAway = false
    await stage.restart()
    await stage.pass(1_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A'])
  })
})
