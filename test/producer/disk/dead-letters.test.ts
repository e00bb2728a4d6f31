import { expect } from 'chai'
import { readDeadLetters } from '../../../src/producer/log/inspect.js'
import { record } from '../../support/delivery-stage.js'
import { DurableStage } from '../durable-stage.js'

describe('durable: records that Kafka refuses for good', () => {
  let stage: DurableStage
  const lines: string[] = []
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (_: object, message: string) => lines.push(message)
  }
  beforeEach(() => lines.splice(0))
  afterEach(() => stage.restore())
  const values = (): (string | null)[] => stage.router.partition('orders', 0).values

  it('durable-queue: arion 22: become dead letters alone, are told of everywhere, and are not sent again', async () => {
    stage = new DurableStage({ topics: { orders: 1 }, log })
    await stage.start()
    stage.router.partition('orders', 0).poison.add('poison')
    const sent = ['A', 'B', 'poison', 'C', 'D'].map(value => stage.send(record('orders', value), 30_000))
    await stage.pass(2_000)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
    expect(sent[2]!.outcomes?.[0]).to.include({
      type: 'failed',
      code: 'recordRejected',
      persisted: 'no',
      errorCode: 87
    })
    expect(lines).to.have.length(1)
    expect(lines[0]).to.match(/a record is a dead letter now: .*castellan wal dead-letters/)
    expect(stage.delivery.stats()).to.include({ deadLettered: 1, delivered: 4 })
    expect((await stage.backlog.view()).stats).to.deep.include({ deadDestinations: [['default/orders', 1]] })
    const letters = [...readDeadLetters(stage.disk.directory)]
    expect(letters.map(({ reason, destination }) => [reason.code, destination])).to.deep.equal([
      ['INVALID_RECORD', 'default/orders']
    ])
    await stage.restart()
    await stage.pass(2_000)
    expect(values()).to.deep.equal(['A', 'B', 'C', 'D'])
    expect([...readDeadLetters(stage.disk.directory)]).to.have.length(1)
  })

  it('durable-queue: stop their partition, and no other, while dead letters have no space', async () => {
    stage = new DurableStage({ topics: { orders: 1, audit: 1 }, wal: { maxDeadLetterBytes: 1 }, log })
    await stage.start()
    stage.router.partition('orders', 0).poison.add('poison')
    for (const value of ['A', 'poison', 'B']) stage.send([record('orders', value), record('audit', value)])
    await stage.pass(20_000)
    expect(values()).to.deep.equal(['A'])
    expect(stage.router.partition('audit', 0).values).to.deep.equal(['A', 'poison', 'B'])
    expect(lines.some(line => line.includes('stops its partition'))).to.equal(true)
    stage.router.partition('orders', 0).poison.clear()
    await stage.pass(5_000)
    expect(values()).to.deep.equal(['A', 'poison', 'B'])
  })

  it('durable-queue: records that are too large for their topic are found by halving their batch', async () => {
    stage = new DurableStage({ topics: { orders: 1 }, log })
    await stage.start()
    stage.router.partition('orders', 0).maxBatchBytes = 2_000
    const large = 'x'.repeat(3_000)
    for (const value of ['A', large, 'B', large, 'C']) stage.send(record('orders', value))
    await stage.pass(5_000)
    expect(values()).to.deep.equal(['A', 'B', 'C'])
    expect([...readDeadLetters(stage.disk.directory)]).to.have.length(2)
  })
})
