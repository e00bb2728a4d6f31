import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { DurableStage } from '../durable-stage.js'

describe('durable: partitions that are not there', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const to = (partition: number | undefined, value: string, key: string | null = null): ProduceRecord => ({
    topic: 'orders',
    partition,
    key,
    value
  })
  const valuesIn = (partition: number): (string | null)[] => stage.router.partition('orders', partition).values
  const start = async (partitions: number): Promise<void> => {
    stage = new DurableStage({ topics: { orders: partitions } })
    await stage.start()
  }

  it('have their records wait in the log, and delay no others, until the topic has them', async () => {
    await start(2)
    stage.send([to(0, 'A'), to(2, 'B'), to(1, 'C'), to(2, 'D')])
    await stage.pass(5_000)
    expect([valuesIn(0), valuesIn(1)]).to.deep.equal([['A'], ['C']])
    const { reads } = stage
    await stage.pass(20_000)
    expect(stage.reads - reads, 'little is read for them meanwhile').to.be.at.most(15)
    expect((await stage.backlog.log!.look()).openEntries).to.equal(2)
    stage.send(to(0, 'E'))
    await stage.pass(1_000)
    expect(valuesIn(0)).to.deep.equal(['A', 'E'])
    stage.router.create('orders', 3)
    stage.router.tables.want('orders')
    await stage.pass(5_000)
    expect(valuesIn(2)).to.deep.equal(['B', 'D'])
    expect((await stage.backlog.log!.look()).openEntries).to.equal(0)
  })

  it('get records of a key back that their topic lost them for, when it was made anew with fewer', async () => {
    await start(2)
    for (const partition of [0, 1]) stage.router.partition('orders', partition).script.push({ type: 'hold' })
    const values = Array.from({ length: 12 }, (_, at) => `${at}`)
    for (const value of values) stage.send(to(undefined, value, `key-${value}`))
    await stage.pass(100)
    stage.router.wipe({ orders: 1 })
    stage.router.tables.want('orders')
    await stage.pass(30_000)
    expect(valuesIn(0).toSorted()).to.deep.equal(values.toSorted())
    expect((await stage.backlog.log!.look()).openEntries).to.equal(0)
  })

  for (const reason of ['unknownTopic', 'unknownPartition'] as const) {
    it(`send a batch once that may be written, when the Router knows no place for it for a while (${reason})`, async () => {
      await start(1)
      stage.send(to(0, 'A'))
      await stage.pass(100)
      const partition = stage.router.partition('orders', 0)
      partition.script.push({ type: 'loseResponse' }, { type: 'notSent', reason }, { type: 'notSent', reason })
      stage.send(to(0, 'B'))
      await stage.pass(600)
      stage.send(to(0, 'C'))
      await stage.pass(20_000)
      expect(partition.values).to.deep.equal(['A', 'B', 'C'])
      const numbers = partition.attempts.map(({ baseSequence, count }) => [baseSequence, count])
      expect(numbers, 'the same batch under the same number').to.deep.equal([
        [0, 1],
        [1, 1],
        [1, 1],
        [1, 1],
        [1, 1],
        [2, 1]
      ])
    })
  }

  it('leave no timer when delivery is closed while they are missing', async () => {
    await start(2)
    stage.router.partition('orders', 1).script.push(...Array(20).fill({ type: 'notSent', reason: 'noLeader' }))
    stage.send([to(0, 'A'), to(1, 'B'), to(3, 'C')])
    await stage.pass(1_000)
    stage.router.wipe({ orders: 1 })
    stage.router.tables.want('orders')
    await stage.pass(1_500)
    const closing = stage.delivery.close(0)
    await stage.pass(10)
    await closing
    await stage.backlog.close()
    stage.router.tables.clear()
    await stage.pass(10)
    const { messages } = stage.router
    const before = messages.length
    await stage.pass(60_000)
    expect(messages.length).to.equal(before)
  })
})
