import { expect } from 'chai'
import { DeliveryStage, offsetsOf, record, resultsOf } from '../../support/delivery-stage.js'

const BATCH_MAX_BYTES = 2_000

describe('delivery: batches that are written anew', () => {
  let stage: DeliveryStage
  beforeEach(async () => {
    stage = new DeliveryStage({ orders: 1 }, { batchMaxBytes: BATCH_MAX_BYTES, maxRecordBytes: 100_000 })
    await stage.warmUp('orders', 0)
  })
  afterEach(() => stage.restore())
  const partition = () => stage.router.partition('orders', 0)
  const at = (value: string, timestampMs: number) => ({ ...record('orders', value, 0), timestampMs })

  it('lose no record when their times lie far apart and the first one is withdrawn', async () => {
    partition().script.push({ type: 'hold' })
    stage.send(record('orders', 'in flight', 0))
    await stage.pass(10)
    const withdrawn = stage.send(at('first', 0), 500)
    const values = Array.from({ length: 200 }, (_, index) => `${index}`)
    const sent = stage.send([at('far away', 2 ** 50), ...values.map(value => at(value, 0))])
    await stage.pass(600)
    stage.router.release()
    await stage.pass(5_000)
    expect(resultsOf(withdrawn)).to.deep.equal(['timedOut, no'])
    expect(partition().values.slice(2)).to.deep.equal(['far away', ...values])
    expect(offsetsOf(sent)).to.deep.equal(Array.from({ length: 201 }, (_, index) => index + 2))
  })

  it('lose no record when their times lie far apart and the batch is halved', async () => {
    partition().poison.add('bad')
    const values = Array.from({ length: 100 }, (_, index) => `${index}`)
    const records = values.map((value, index) => at(value, index === 50 ? 2 ** 50 : 0))
    const sent = stage.send([...records, at('bad', 0)])
    await stage.pass(5_000)
    expect(partition().values.slice(1)).to.deep.equal(values)
    expect(resultsOf(sent)).to.deep.equal([...values.map(() => 'delivered'), 'recordRejected, no'])
  })

  it('leave the size of later batches alone, and so does a record that travels alone', async () => {
    stage.send(record('orders', 'x'.repeat(50_000), 0))
    await stage.pass(100)
    partition().script.push({ type: 'hold' })
    stage.send(record('orders', 'in flight', 0))
    await stage.pass(10)
    stage.send(Array.from({ length: 100 }, () => record('orders', 'y'.repeat(100), 0)))
    stage.router.release()
    await stage.pass(1_000)
    const sizes = partition().attempts.map(({ bytes }) => bytes.length)
    expect(sizes[1]).to.be.greaterThan(50_000)
    expect(Math.max(...sizes.slice(2))).to.be.at.most(BATCH_MAX_BYTES)
    expect(partition().values).to.have.length(103)
  })
})
