import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { DurableStage } from '../durable-stage.js'

const KIB = 1024

describe('durable: records that are read again', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  let count = 0
  const next = (key: string | null, partition?: number): ProduceRecord => ({
    topic: 'orders',
    key,
    partition,
    value: `${count++} ${'x'.repeat(KIB)}`
  })
  const growTo = (partitions: number): void => {
    stage.router.create('orders', partitions)
    stage.router.tables.want('orders')
  }
  const numbersOf = (): number[] => stage.router.appended.map(({ value }) => Number.parseInt(value!, 10))

  it('durable-queue: forget no record when the number of partitions changes while the log is being read', async () => {
    for (let moment = 0; moment < 60; moment += 2) {
      stage?.restore()
      count = 0
      stage = new DurableStage({ topics: { orders: 2 }, delivery: { batchMaxBytes: 4 * KIB } })
      await stage.start()
      // One partition is in trouble, with records that were never sent; of the other one records are being read.
      for (let time = 0; time < 6; time++) {
        stage.router.partition('orders', 0).script.push({ type: 'reject', errorCode: errorCodes.NOT_ENOUGH_REPLICAS })
      }
      for (let at = 0; at < 60; at++) stage.send(next(`${at % 10}`))
      stage.hostLatencyMs = 40
      await stage.pass(100 + moment)
      growTo(3)
      await stage.pass(10_000)
      expect(numbersOf().sort((one, other) => one - other)).to.deep.equal(Array.from({ length: 60 }, (_, at) => at))
      for (let key = 0; key < 10; key++) {
        const ofKey = stage.router.appended.filter(record => record.key === `${key}`)
        const order = ofKey.map(({ value }) => Number.parseInt(value!, 10))
        expect(order, `grown after ${moment} ms`).to.deep.equal(order.toSorted((one, other) => one - other))
      }
    }
  })

  it('durable-queue: send no record twice that was delivered a moment before', async () => {
    count = 0
    stage = new DurableStage({ topics: { orders: 2 }, delivery: { batchMaxBytes: 4 * KIB } })
    await stage.start()
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    for (let at = 0; at < 6; at++) stage.send(next(null, 0))
    await stage.pass(100)
    // Behind those that wait for partition 0, which are read again, and delivered less than 20 ms ago.
    stage.send(next(null, 1))
    await stage.pass(6)
    expect(numbersOf()).to.deep.equal([6])
    growTo(3)
    await stage.pass(100)
    stage.router.release()
    await stage.pass(5_000)
    expect(numbersOf()).to.deep.equal([6, 0, 1, 2, 3, 4, 5])
  })

  it('durable-queue: send no record twice that is on its way behind more than one read of others', async () => {
    count = 0
    stage = new DurableStage({ topics: { orders: 2 }, wal: { segmentBytes: 8 * KIB * KIB } })
    await stage.start()
    for (const partition of [0, 1]) stage.router.partition('orders', partition).script.push({ type: 'hold' })
    stage.send(next(null, 0))
    await stage.pass(100)
    for (let at = 0; at < 28; at++) stage.send({ ...next(null, 0), value: `${count - 1} ${'x'.repeat(64 * KIB)}` })
    stage.send(next(null, 1))
    await stage.pass(100)
    expect(stage.router.partition('orders', 1).attempts).to.have.length(1)
    growTo(3)
    await stage.pass(500)
    stage.router.release()
    await stage.pass(5_000)
    expect(numbersOf().sort((one, other) => one - other)).to.deep.equal(Array.from({ length: 30 }, (_, at) => at))
    expect(stage.router.partition('orders', 1).attempts, 'sent once').to.have.length(1)
  })
})
