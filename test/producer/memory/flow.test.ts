import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { ProduceResult } from '../../../src/router/messages/operations.js'
import { DeliveryStage, offsetsOf, record, resultsOf } from '../../support/delivery-stage.js'
import { SeededRandom } from '../../support/random.js'

describe('delivery: the way of records into their partitions', () => {
  let stage: DeliveryStage
  beforeEach(async () => {
    stage = new DeliveryStage({ orders: 4, others: 1 })
    await stage.warmUp('orders', 0)
    await stage.warmUp('others', 0)
  })
  afterEach(() => stage.restore())
  const everywhere = (value: string) => [0, 1, 2, 3].map(partition => record('orders', value, partition))

  it('sends all partitions of a turn in one message, one batch each', async () => {
    const before = stage.router.produceMessages.length
    for (let at = 0; at < 5; at++) stage.send([...everywhere(`${at}`), record('others', `${at}`)])
    await stage.pass(20)
    const messages = stage.router.produceMessages.slice(before)
    expect(messages.map(batches => batches.length)).to.deep.equal([5])
    expect(stage.router.partition('orders', 3).values).to.deep.equal(['0', '1', '2', '3', '4'])
  })

  it('has one batch of a partition on its way, and all that came meanwhile in the next', async () => {
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    for (let at = 0; at < 10; at++) {
      stage.send(record('orders', `${at}`, 0))
      await stage.pass(5)
    }
    expect(stage.router.partition('orders', 0).attempts).to.have.length(2)
    stage.router.release()
    await stage.pass(20)
    expect(stage.router.partition('orders', 0).attempts.map(({ count }) => count)).to.deep.equal([1, 1, 9])
  })

  it('spreads records without a key as Sarama does: one by one, also the first ones of a topic', async () => {
    const random = new SeededRandom(7)
    stage.restore()
    stage = new DeliveryStage({ orders: 4 }, {}, () => random.next())
    const records = Array.from({ length: 40 }, (_, at) => record('orders', String(at)))
    stage.delivery.accept(records, { partitioner: 'fnv1a', deadlineMs: 30_000 })
    await stage.pass(200)
    const counts = [0, 1, 2, 3].map(partition => stage.router.partition('orders', partition).values.length)
    expect(counts.reduce((sum, count) => sum + count)).to.equal(40)
    for (const count of counts) expect(count).to.be.within(4, 20)
  })

  it('keeps records without a key together, and moves on with the next batch', async () => {
    const used: number[][] = []
    for (let batch = 0; batch < 40; batch++) {
      const sent = stage.send(Array.from({ length: 5 }, () => record('orders', 'x')))
      await stage.pass(20)
      used.push([...new Set(sent.outcomes!.map(outcome => (outcome.type === 'delivered' ? outcome.partition : -1)))])
    }
    expect(used.every(partitions => partitions.length === 1)).to.equal(true)
  })

  it('spreads records without a key over all partitions, but for those in trouble', async () => {
    stage.restore()
    let turn = 0
    stage = new DeliveryStage({ orders: 4 }, {}, () => (turn++ % 8) / 8)
    await stage.warmUp('orders', 0)
    for (let at = 0; at < 500; at++) {
      stage.router.partition('orders', 1).script.push({ type: 'notSent', reason: 'noLeader' })
    }
    stage.send(record('orders', 'stuck', 1))
    await stage.pass(100)
    const seen = new Set<number>()
    for (let batch = 0; batch < 40; batch++) {
      const sent = stage.send(record('orders', 'x'))
      await stage.pass(20)
      for (const outcome of sent.outcomes ?? []) if (outcome.type === 'delivered') seen.add(outcome.partition)
    }
    expect([...seen].sort()).to.deep.equal([0, 2, 3])
  })

  it('goes round the partitions where a request wants that', async () => {
    const records = Array.from({ length: 8 }, (_, at) => ({ topic: 'orders', key: 'k', value: `${at}` }))
    const rotated = stage.delivery.accept(records, { partitioner: 'roundRobin', deadlineMs: 1_000 }).outcomes()
    await stage.pass(20)
    const partitions = (await rotated).map(outcome => (outcome.type === 'delivered' ? outcome.partition : -1))
    expect(partitions.slice(0, 4).sort()).to.deep.equal([0, 1, 2, 3])
    expect(partitions.slice(4)).to.deep.equal(partitions.slice(0, 4))
  })

  it('copies the bytes of a record before it returns', async () => {
    const [key, value] = [Buffer.from('key'), Buffer.from('value')]
    stage.delivery.accept([{ topic: 'orders', partition: 2, key, value }], {
      partitioner: 'murmur2',
      deadlineMs: 1_000
    })
    key.fill('x')
    value.fill('x')
    await stage.pass(20)
    expect(stage.router.partition('orders', 2).log).to.deep.equal([{ key: 'key', value: 'value' }])
  })

  it('gives empty and null different fates', async () => {
    stage.send([
      { topic: 'others', key: null, value: null },
      { topic: 'others', key: '', value: '' },
      { topic: 'others', key: Buffer.alloc(0), value: Buffer.alloc(0) }
    ])
    await stage.pass(20)
    expect(stage.router.partition('others', 0).log.slice(1)).to.deep.equal([
      { key: null, value: null },
      { key: '', value: '' },
      { key: '', value: '' }
    ])
  })

  it('says where and when a record was written', async () => {
    const own = stage.send({ ...record('orders', 'own', 2), timestampMs: 42 })
    const ours = stage.send(record('orders', 'ours', 2))
    await stage.pass(20)
    expect(own.outcomes).to.deep.equal([{ type: 'delivered', partition: 2, offset: 0, timestampMs: 42 }])
    expect(ours.outcomes![0]).to.deep.include({ offset: 1, timestampMs: 1_000_200 })
  })

  it('refuses times that are none', () => {
    for (const timestampMs of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(stage.send({ ...record('orders', 'x'), timestampMs }).refused?.[0]?.code).to.equal('invalidRequest')
    }
  })

  it('answers the Produce operation, once, in order', async () => {
    const results: ProduceResult[] = []
    stage.delivery.produce({
      type: 'produce',
      records: [record('orders', 'A', 1), record('bad topic!', 'B'), record('orders', 'C', 1)],
      requester: { reply: result => results.push(result) }
    })
    await stage.pass(20)
    expect(results).to.have.length(1)
    expect(results[0]!.outcomes.map(outcome => outcome.type)).to.deep.equal(['delivered', 'failed', 'delivered'])
  })

  it('refuses what is no record, whoever forgot the types', async () => {
    const wrong: unknown[] = [
      null,
      'text',
      { topic: 'orders', key: null },
      { topic: 'orders', value: 'x' },
      { topic: 'orders', key: 5, value: 'x' },
      { topic: 'orders', key: null, value: { a: 1 } },
      { topic: undefined, key: null, value: 'x' },
      { topic: 'orders', key: null, value: 'x', headers: {} },
      { topic: 'orders', key: null, value: 'x', headers: [{ key: 'h', value: 'text' }] },
      { topic: 'orders', key: null, value: 'x', headers: [null] }
    ]
    const sent = stage.send([...wrong, record('orders', 'right', 0)] as ProduceRecord[])
    await stage.pass(20)
    expect(resultsOf(sent)).to.deep.equal([...wrong.map(() => 'invalidRequest, no'), 'delivered'])
  })

  it('answers a request without records at once', async () => {
    const sent = stage.send([])
    await stage.pass(0)
    expect(sent.outcomes).to.deep.equal([])
  })

  it('fails what may not be written, and goes on', async () => {
    for (const errorCode of [29, 42, 17, 35]) {
      stage.router.partition('orders', 0).script.push({ type: 'reject', errorCode })
      const failed = stage.send([record('orders', 'x', 0), record('orders', 'y', 0)])
      await stage.pass(20)
      expect(failed.outcomes!.map(outcome => outcome.type === 'failed' && outcome.errorCode)).to.deep.equal([
        errorCode,
        errorCode
      ])
    }
    const sent = stage.send(record('orders', 'z', 0))
    await stage.pass(20)
    expect(offsetsOf(sent)).to.deep.equal([1])
    expect(stage.router.partition('orders', 0).attempts.at(-1)).to.include({ epoch: 4, baseSequence: 0 })
  })

  it('lets a stuck partition wait alone', async () => {
    for (let at = 0; at < 500; at++) stage.router.partition('orders', 2).script.push({ type: 'reject', errorCode: 19 })
    for (let second = 0; second < 10; second++) {
      const sent = stage.send(everywhere(`${second}`))
      await stage.pass(200)
      const quick = stage.send([record('orders', 'x', 0), record('others', 'x')])
      await stage.pass(50)
      expect(sent.outcomes, 'the stuck one was answered').to.equal(undefined)
      expect(resultsOf(quick)).to.deep.equal(['delivered', 'delivered'])
    }
  })

  it('counts what was delivered, refused and tried again', async () => {
    stage.router.partition('orders', 0).script.push({ type: 'reject', errorCode: 19 })
    stage.send(everywhere('x'))
    stage.send(record('bad topic!', 'x'))
    await stage.pass(1_000)
    expect(stage.delivery.stats()).to.deep.include({ delivered: 6, refused: 1, retries: 1, failed: 0, producers: 5 })
  })
})

describe('delivery: producer id', () => {
  let stage: DeliveryStage
  beforeEach(() => {
    stage = new DeliveryStage({ orders: 2 })
  })
  afterEach(() => stage.restore())

  it('is asked for when the first record wants to leave, once for all partitions', async () => {
    await stage.pass(1_000)
    expect(stage.router.messages).to.deep.equal([])
    stage.send([record('orders', 'A', 0), record('orders', 'B', 1)])
    await stage.pass(100)
    stage.send([record('orders', 'C', 0), record('orders', 'D', 1)])
    await stage.pass(100)
    expect(stage.router.messages.filter(message => message.type === 'initProducerId')).to.have.length(1)
    expect(stage.router.values('orders')).to.deep.equal(['A', 'C', 'B', 'D'])
  })

  it('is asked for again while the coordinator is loading', async () => {
    stage.router.producerIdFailures = 3
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(2_000)
    expect(offsetsOf(sent)).to.deep.equal([0])
    expect(stage.router.partition('orders', 0).attempts[0]!.bytes.readBigInt64BE(43)).to.equal(1n)
  })

  it('fails records at once when brokers will not give one, and asks again for later ones', async () => {
    stage.router.producerIdRefusal = 31
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(100)
    expect(resultsOf(sent)).to.deep.equal(['notAuthorized, no'])
    await stage.pass(10_000)
    const asked = stage.router.messages.length
    stage.router.producerIdRefusal = undefined
    await stage.pass(10_000)
    expect(stage.router.messages).to.have.length(asked)
    const again = stage.send(record('orders', 'B', 0))
    await stage.pass(2_000)
    expect(offsetsOf(again)).to.deep.equal([0])
  })

  it('withdraws what waits for it too long', async () => {
    stage.router.producerIdFailures = 1_000
    const sent = stage.send(record('orders', 'A', 0), 1_000)
    await stage.pass(1_200)
    expect(resultsOf(sent)).to.deep.equal(['timedOut, no'])
  })

  it('is replaced, for the partitions that need it, when all epochs are used up', async () => {
    stage.router.firstEpoch = 32766
    await stage.warmUp('orders', 0)
    const last = stage.router.partition('orders', 0)
    last.script.push({ type: 'reject', errorCode: 45 }, { type: 'reject', errorCode: 45 })
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(3_000)
    expect(offsetsOf(sent)).to.deep.equal([1])
    expect(last.attempts.map(({ epoch, bytes }) => [bytes.readBigInt64BE(43), epoch])).to.deep.equal([
      [1n, 32766],
      [1n, 32766],
      [1n, 32767],
      [2n, 32766]
    ])
  })
})

describe('delivery: leaving', () => {
  let stage: DeliveryStage
  beforeEach(async () => {
    stage = new DeliveryStage({ orders: 2 })
    await stage.warmUp('orders', 0)
  })
  afterEach(() => stage.restore())

  it('delivers what it holds, takes nothing more, and says that nothing was lost', async () => {
    const sent = stage.send([record('orders', 'A', 0), record('orders', 'B', 1)])
    let lost: number | undefined
    stage.delivery.close(5_000).then(count => (lost = count))
    expect(stage.send(record('orders', 'C', 0)).refused?.[0]).to.include({ code: 'shuttingDown', persisted: 'no' })
    await stage.pass(100)
    expect(lost).to.equal(0)
    expect(resultsOf(sent)).to.deep.equal(['delivered', 'delivered'])
    expect(stage.clock.countTimers()).to.equal(0)
  })

  it('waits no longer than it may, fails the rest, and counts it', async () => {
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const onItsWay = stage.send(record('orders', 'A', 0))
    await stage.pass(10)
    const behind = stage.send([record('orders', 'B', 0), record('nowhere', 'C')])
    stage.router.isAway = true
    const elsewhere = stage.send(record('orders', 'D', 1))
    let lost: number | undefined
    stage.delivery.close(1_000).then(count => (lost = count))
    await stage.pass(990)
    expect(lost).to.equal(undefined)
    await stage.pass(20)
    expect(lost).to.equal(4)
    expect([onItsWay, behind, elsewhere].map(resultsOf)).to.deep.equal([
      ['shuttingDown, unknown'],
      ['shuttingDown, no', 'shuttingDown, no'],
      ['shuttingDown, no']
    ])
    stage.router.isAway = false
    const messages = stage.router.messages.length
    stage.router.release()
    await stage.pass(10_000)
    expect(stage.router.messages).to.have.length(messages)
    expect(stage.clock.countTimers()).to.equal(0)
  })

  it('waits for parked records that move into their partition', async () => {
    stage.router.create('new', 1)
    const sent = stage.send(record('new', 'A'))
    let lost: number | undefined
    stage.delivery.close(5_000).then(count => (lost = count))
    await stage.pass(1_000)
    expect([lost, resultsOf(sent)]).to.deep.equal([0, ['delivered']])
  })

  it('can be emptied without leaving', async () => {
    stage.send(record('orders', 'A', 0))
    let left: number | undefined
    stage.delivery.flush(1_000).then(count => (left = count))
    await stage.pass(50)
    expect(left).to.equal(0)
    expect(stage.send(record('orders', 'B', 0)).refused).to.equal(undefined)
  })
})
