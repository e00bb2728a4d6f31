import { expect } from 'chai'
import { DeliveryStage, offsetsOf, record, resultsOf } from '../../support/delivery-stage.js'

const KIB = 1024

describe('delivery: its bounds', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  async function start(settings: ConstructorParameters<typeof DeliveryStage>[1] = {}) {
    stage = new DeliveryStage({ orders: 4, others: 1 }, settings)
    await stage.warmUp('orders', 0)
    await stage.warmUp('others', 0)
  }
  /** Fills a partition until it refuses; how many it took, and what it said then. */
  function flood(topic: string, partition: number, valueBytes: number) {
    const sent = []
    for (let count = 0; count < 10_000; count++) {
      const one = stage.send(record(topic, 'x'.repeat(valueBytes), partition))
      if (one.refused !== undefined) return { sent, refusal: one.refused[0] }
      sent.push(one)
    }
    throw new Error('it never refused')
  }

  it('refuses at once what does not fit, and takes again when there is capacity', async () => {
    await start({ maxBytes: 100 * KIB, maxPartitionBytes: 100 * KIB })
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const { sent, refusal } = flood('orders', 0, KIB)
    expect(refusal).to.include({ code: 'overloaded', persisted: 'no', retriable: true })
    expect(refusal!.message).to.contain('delivery.maxBytes')
    expect(sent, '1 KiB each, and as much for a request of its own; a fifth is left to others').to.have.length.within(
      36,
      44
    )
    expect(stage.delivery.stats().bufferedBytes).to.be.within(75 * KIB, 82 * KIB)
    await stage.pass(10)
    stage.router.release()
    await stage.pass(100)
    expect(sent.every(one => typeof offsetsOf(one)?.[0] === 'number')).to.equal(true)
    expect(stage.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0 })
    expect(stage.send(record('orders', 'x', 0)).refused).to.equal(undefined)
  })

  it('bounds records without bytes too', async () => {
    await start({ maxBytes: 100 * KIB, maxPartitionBytes: 100 * KIB })
    expect(flood('orders', 0, 0).sent).to.have.length.below(512)
  })

  it('leaves capacity for the others when one partition is stuck', async () => {
    await start({ maxBytes: 400 * KIB, maxPartitionBytes: 100 * KIB })
    for (let at = 0; at < 1_000; at++) {
      stage.router.partition('orders', 1).script.push({ type: 'notSent', reason: 'noLeader' })
    }
    const { refusal } = flood('orders', 1, KIB)
    expect(refusal!.message).to.contain('advanced.delivery.maxPartitionBytes')
    const others = [0, 2, 3].map(partition => stage.send(record('orders', 'x', partition)))
    await stage.pass(50)
    expect(others.flatMap(resultsOf)).to.deep.equal(['delivered', 'delivered', 'delivered'])
  })

  it('gives capacity back when waiting records are withdrawn', async () => {
    await start({ maxBytes: 100 * KIB, maxPartitionBytes: 100 * KIB })
    stage.router.isAway = true
    for (let at = 0; at < 60; at++) stage.send(record('orders', 'x'.repeat(KIB), at % 2), 1_000)
    await stage.pass(3_000)
    expect(stage.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0 })
  })

  it('answers some of a request and refuses the rest', async () => {
    await start({ maxBytes: 10 * KIB, maxPartitionBytes: 10 * KIB })
    const sent = stage.send(Array.from({ length: 20 }, () => record('orders', 'x'.repeat(KIB), 0)))
    await stage.pass(100)
    const results = resultsOf(sent)!
    expect(new Set(results)).to.deep.equal(new Set(['delivered', 'overloaded, no']))
    expect(results).to.deep.equal([...results].sort())
    expect(sent.refused!.filter(Boolean).length).to.equal(results.filter(result => result !== 'delivered').length)
  })

  it('bounds what waits for an unknown topic, and how many such topics there are', async () => {
    await start({ unknownTopicMaxBytes: 10 * KIB, maxPendingTopics: 4 })
    stage.send(record('nowhere', 'x'))
    await stage.pass(100)
    const { sent, refusal } = flood('nowhere', 0, KIB)
    expect(sent).to.have.length.below(10)
    expect(refusal!.message).to.contain('the buffer of the unknown topic nowhere is full (limit 10240; less while')
    const refusals = Array.from({ length: 10 }, (_, at) => stage.send(record(`nowhere-${at}`, 'x')).refused?.[0]?.code)
    expect(refusals.filter(code => code === undefined)).to.have.length(4)
    await stage.pass(100)
    expect(stage.send(record('nowhere-9', 'x')).refused).to.equal(undefined)
  })

  it('says whether the list of topics to look up is full, or only the part that one request may take', async () => {
    await start({ maxPendingTopics: 8 })
    const many = stage.send(['a', 'b', 'c'].map(topic => record(topic, 'x')))
    expect(many.refused!.map(failure => failure?.message)).to.deep.equal([
      undefined,
      undefined,
      'the part of one request in the list of topics to look up is full (limit 2)'
    ])
    const others = Array.from({ length: 7 }, (_, at) => stage.send(record(`other-${at}`, 'x')).refused?.[0]?.message)
    expect(others.filter(Boolean)).to.deep.equal(['the list of topics to look up is full (limit 8)'])
  })

  it('refuses a record that is too large, by its bytes', async () => {
    await start({ maxRecordBytes: 100 })
    expect(stage.send(record('orders', 'x'.repeat(100), 0)).refused).to.equal(undefined)
    expect(stage.send(record('orders', 'x'.repeat(101), 0)).refused?.[0]).to.include({ code: 'recordTooLarge' })
    expect(stage.send(record('orders', '€'.repeat(34), 0)).refused?.[0]).to.include({ code: 'recordTooLarge' })
    expect(stage.send(record('orders', '€'.repeat(33), 0)).refused).to.equal(undefined)
    expect(stage.send(record('orders', 'x'.repeat(60), 0, 'k'.repeat(41))).refused?.[0]?.code).to.equal(
      'recordTooLarge'
    )
    const headers = [{ key: 'h'.repeat(50), value: Buffer.alloc(50) }]
    expect(stage.send({ topic: 'orders', key: null, value: 'x', headers }).refused?.[0]?.code).to.equal(
      'recordTooLarge'
    )
    const empty = Array.from({ length: 51 }, () => ({ key: '', value: null }))
    expect(stage.send({ topic: 'orders', key: null, value: null, headers: empty }).refused?.[0]?.code).to.equal(
      'recordTooLarge'
    )
  })

  it('keeps batches below their bound, a single large record excepted', async () => {
    await start({ batchMaxBytes: 10 * KIB })
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    for (let at = 0; at < 50; at++) stage.send(record('orders', 'x'.repeat(at === 20 ? 50 * KIB : KIB), 0))
    await stage.pass(10)
    stage.router.release()
    await stage.pass(1_000)
    const { values, attempts } = stage.router.partition('orders', 0)
    expect(values).to.have.length(51)
    const large = attempts.filter(({ bytes }) => bytes.length > 10 * KIB)
    expect(large.map(({ count }) => count)).to.deep.equal([1])
    expect(values.findIndex(value => value!.length > 10 * KIB)).to.equal(21)
  })

  it('halves a batch that is too large for the topic, and refuses only the record that is', async () => {
    await start()
    const partition = stage.router.partition('orders', 0)
    partition.maxBatchBytes = 10 * KIB
    partition.script.push({ type: 'hold' })
    stage.send(record('orders', 'first', 0))
    await stage.pass(10)
    const sent = stage.send(
      Array.from({ length: 40 }, (_, at) => record('orders', `${at} ${'x'.repeat(at === 17 ? 20 * KIB : KIB)}`, 0))
    )
    stage.router.release()
    await stage.pass(1_000)
    const results = resultsOf(sent)!
    expect(results[17]).to.equal('recordTooLarge, no')
    expect(results.filter(result => result === 'delivered')).to.have.length(39)
    const order = partition.values.slice(2).map(value => Number.parseInt(value!, 10))
    expect(order).to.deep.equal(Array.from({ length: 40 }, (_, at) => at).filter(at => at !== 17))
    expect(
      sent.outcomes!.map(outcome => (outcome.type === 'delivered' ? outcome.offset : -1)).filter(offset => offset >= 0)
    ).to.deep.equal(Array.from({ length: 39 }, (_, at) => at + 2))
  })

  it('isolates a record the broker takes for invalid', async () => {
    await start()
    const partition = stage.router.partition('orders', 0)
    partition.poison.add('poison')
    const values = ['a', 'b', 'poison', 'c', 'poison', 'd', 'e']
    const sent = stage.send(values.map(value => record('orders', value, 0)))
    await stage.pass(1_000)
    expect(resultsOf(sent)).to.deep.equal(
      values.map(value => (value === 'poison' ? 'recordRejected, no' : 'delivered'))
    )
    expect(partition.values.slice(1)).to.deep.equal(['a', 'b', 'c', 'd', 'e'])
    expect(stage.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0 })
  })
})
