import { expect } from 'chai'
import type { ProduceOptions } from '../../../src/producer/memory/delivery.js'
import { partitioners } from '../../../src/producer/memory/partitioners.js'
import type { ProduceResult } from '../../../src/router/messages/operations.js'
import { DeliveryStage, offsetsOf, record, resultsOf, type Sent } from '../../support/delivery-stage.js'

const KIB = 1024
/** What the first record of a request is charged beside its bytes. */
const FIRST_BYTES = 1_024

describe('delivery: the numbers about itself', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())
  const stats = () => stage.delivery.stats()

  it('tell how old the oldest record is, of those that wait for their topic as of those in partitions', async () => {
    stage = new DeliveryStage({ orders: 3 })
    await stage.warmUp('orders', 1)
    expect(stats().oldestRecordAgeMs, 'nothing waits').to.equal(0)
    stage.router.partition('orders', 1).script.push({ type: 'hold' })
    stage.send(record('orders', 'A', 1))
    await stage.pass(300)
    stage.send(record('nowhere', 'B'))
    await stage.pass(100)
    expect(stats().oldestRecordAgeMs).to.equal(400)
    stage.router.release()
    await stage.pass(10)
    expect(stats().oldestRecordAgeMs, 'the one that waits for its topic').to.equal(110)
    stage.send(record('orders', 'C', 1))
    expect(stats().oldestRecordAgeMs).to.equal(110)
    await stage.pass(50)
    expect(stage.metrics.gaugeOf('oldest_record_age_seconds')).to.be.closeTo(0.16, 0.051)
  })

  it('tell how many partitions there are, and how many of them wait before they try again', async () => {
    stage = new DeliveryStage({ orders: 4, others: 1 })
    for (const partition of [1, 3]) await stage.warmUp('orders', partition)
    expect(stats()).to.include({ producers: 2, producersBackingOff: 0 })
    stage.router.partition('orders', 3).script.push({ type: 'reject', errorCode: 19 })
    stage.send(record('orders', 'A', 3))
    await stage.pass(60)
    expect(stats()).to.include({ producers: 2, producersBackingOff: 1, retries: 1 })
    expect(stage.metrics.gaugeOf('partitions_backing_off')).to.equal(1)
    await stage.pass(1_000)
    expect(stats()).to.include({ producersBackingOff: 0 })
  })

  it('tell what became of all records that were ever given to it', async () => {
    stage = new DeliveryStage({ orders: 2 }, { maxBytes: 100 * KIB, maxPartitionBytes: 20 * KIB })
    await stage.warmUp('orders', 0)
    const { script } = stage.router.partition('orders', 0)
    script.push({ type: 'reject', errorCode: 29 })
    stage.send([record('orders', 'A', 0), record('orders', 'B', 0)])
    await stage.pass(20)
    expect(stats()).to.include({ delivered: 1, failed: 2, withdrawn: 0, refused: 0 })
    script.push({ type: 'hold' })
    stage.send(record('orders', 'x'.repeat(15 * KIB), 0))
    await stage.pass(20)
    stage.send(record('orders', 'late', 0), 500)
    stage.send(record('orders', 'x'.repeat(15 * KIB), 0), 30_000, 700)
    stage.send(record('nowhere', 'C'), 300)
    await stage.pass(1_000)
    expect(stats()).to.include({ delivered: 1, failed: 2, withdrawn: 2, refused: 1 })
    stage.router.release()
    await stage.pass(100)
    expect(stats()).to.include({ delivered: 2, failed: 2, withdrawn: 2, refused: 1, bufferedRecords: 0 })
    const counters = ['delivered_records', 'failed_records', 'withdrawn_records', 'refused_records']
    expect(counters.map(name => stage.metrics.of(name))).to.deep.equal([2, 2, 2, 1])
  })

  it('count records for partitions that turned out not to be there as failed', async () => {
    stage = new DeliveryStage({ orders: 2 })
    const sent = stage.send([record('orders', 'A', 0), record('orders', 'B', 2)])
    await stage.pass(100)
    expect(resultsOf(sent)).to.deep.equal(['delivered', 'unknownPartition, no'])
    expect(stats()).to.include({ delivered: 1, failed: 1, withdrawn: 0, refused: 0 })
  })
})

describe('delivery: a record that is offered', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())
  const options: ProduceOptions = { partitioner: 'murmur2', deadlineMs: 1_000 }

  it('may be as large as the caller says, where it says so', async () => {
    stage = new DeliveryStage({ orders: 1 }, { maxRecordBytes: 50 })
    const accept = (bytes: number, maxRecordBytes?: number) =>
      stage.delivery.accept([record('orders', 'x'.repeat(bytes))], { ...options, maxRecordBytes }).refused?.[0]?.code
    expect([accept(50), accept(51)]).to.deep.equal([undefined, 'recordTooLarge'])
    expect([accept(80, 80), accept(81, 80)]).to.deep.equal([undefined, 'recordTooLarge'])
    expect(accept(51, 10), 'smaller, too').to.equal('recordTooLarge')
  })

  it('is taken where the buffer has capacity for it and its bookkeeping, to the byte', async () => {
    stage = new DeliveryStage({ orders: 4 }, { maxBytes: 100 * KIB, maxPartitionBytes: 100 * KIB })
    await stage.warmUp('orders', 0)
    stage.router.isAway = true
    for (const partition of [0, 1, 2]) stage.send(record('orders', 'x'.repeat(30 * KIB), partition))
    const freeBytes = 100 * KIB - stage.delivery.stats().bufferedBytes
    expect(freeBytes).to.be.within(5 * KIB, 8 * KIB)
    const send = (valueBytes: number): Sent => stage.send(record('orders', 'x'.repeat(valueBytes), 3))
    expect(send(freeBytes - FIRST_BYTES + 1).refused?.[0]?.message).to.equal(
      'the buffer of records for kafka is full (limit 102400; delivery.maxBytes)'
    )
    expect(send(freeBytes - FIRST_BYTES).refused).to.equal(undefined)
    for (let at = 0; at < 200; at++) send(0)
    expect(stage.delivery.stats().bufferedBytes).to.be.within(99 * KIB, 101 * KIB)
  })

  it('waits for capacity although nothing is held, and is told when its time is over', async () => {
    stage = new DeliveryStage({ orders: 1 }, { maxBytes: 100 * KIB, maxPartitionBytes: 50 * KIB })
    await stage.warmUp('orders', 0)
    await stage.pass(1_000)
    expect(stage.clock.countTimers()).to.equal(0)
    const sent = stage.send(record('orders', 'x'.repeat(90 * KIB), 0), 30_000, 1_000)
    expect([sent.refused, sent.pendingProduce.isWaiting]).to.deep.equal([undefined, true])
    await stage.pass(990)
    expect(sent.outcomes).to.equal(undefined)
    await stage.pass(100)
    expect(resultsOf(sent)).to.deep.equal(['overloaded, no'])
    await stage.pass(100)
    expect([stage.delivery.stats().refused, stage.clock.countTimers()]).to.deep.equal([1, 0])
  })

  it('goes where its key belongs when the Router brings it, and is answered as an operation', async () => {
    stage = new DeliveryStage({ orders: 16 })
    const results: ProduceResult[] = []
    const produce = (records: unknown, timeoutMs?: number): void =>
      stage.delivery.produce({
        type: 'produce',
        records: records as never,
        timeoutMs,
        requester: { reply: result => results.push(result) }
      })
    produce([record('orders', 'A', undefined, 'some key')])
    await stage.pass(100)
    const partition = partitioners.murmur2('some key', 16, 'orders')
    expect(results[0]).to.deep.include({ operation: 'produce', type: 'completed' })
    expect(results[0]!.outcomes[0]).to.deep.include({ type: 'delivered', partition })
    produce('no list')
    await stage.pass(0)
    expect(results[1]!.outcomes).to.have.length(1)
    expect(results[1]!.outcomes[0]).to.deep.include({ type: 'failed', code: 'invalidRequest', persisted: 'no' })
    stage.router.isAway = true
    produce([record('orders', 'B')], 500)
    produce([record('orders', 'C')])
    await stage.pass(600)
    expect(results).to.have.length(3)
    await stage.pass(29_000)
    expect(results).to.have.length(3)
    await stage.pass(500)
    expect(results, 'after half a minute where nothing was said').to.have.length(4)
  })

  it('waits neither longer nor less than the delivery time-out when its deadline is no number', async () => {
    stage = new DeliveryStage({ orders: 1 }, { timeoutMs: 20_000 })
    await stage.warmUp('orders', 0)
    stage.router.isAway = true
    const sent = [Number.NaN, '5' as never, Number.POSITIVE_INFINITY, 20_000, 20_001].map(deadlineMs =>
      stage.send(record('orders', 'A', 0), deadlineMs)
    )
    await stage.pass(19_950)
    expect(sent.map(({ outcomes }) => outcomes)).to.deep.equal(sent.map(() => undefined))
    await stage.pass(100)
    expect(sent.flatMap(resultsOf)).to.deep.equal(sent.map(() => 'timedOut, no'))
  })

  it('says why no broker can be reached when its time is over', async () => {
    stage = new DeliveryStage({ orders: 1 })
    await stage.warmUp('orders', 0)
    stage.router.isAway = true
    stage.awayBecause = new Error('certificate has expired')
    const sent = stage.send([record('orders', 'A', 0), record('nowhere', 'B')], 500)
    await stage.pass(600)
    for (const outcome of sent.outcomes!) {
      expect(outcome).to.have.property('message').that.contains('last error: certificate has expired')
    }
  })
})

describe('delivery: the end', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  it('comes at once when nothing is held, and nothing runs afterwards', async () => {
    stage = new DeliveryStage({ orders: 1 })
    await stage.warmUp('orders', 0)
    await stage.pass(1_000)
    const left: number[] = []
    void stage.delivery.flush(10_000).then(count => left.push(count))
    void stage.delivery.close(10_000).then(count => left.push(count))
    await stage.pass(0)
    expect([left, stage.clock.countTimers()]).to.deep.equal([[0, 0], 0])
    expect(stage.send(record('orders', 'late', 0)).refused?.[0]?.code).to.equal('shuttingDown')
    expect(stage.clock.countTimers()).to.equal(0)
  })

  it('fails what is held, counts it, and tells the metrics, with no timer left', async () => {
    stage = new DeliveryStage({ orders: 3 }, { maxBytes: 400 * KIB, maxPartitionBytes: 20 * KIB })
    await stage.warmUp('orders', 2)
    stage.router.partition('orders', 2).script.push({ type: 'hold' })
    stage.send(record('orders', 'x'.repeat(15 * KIB), 2))
    const waiting = stage.send(record('orders', 'x'.repeat(15 * KIB), 2), 30_000, 10_000)
    stage.send(record('orders', 'B', 1))
    stage.router.partition('orders', 1).script.push({ type: 'reject', errorCode: 29 })
    void stage.delivery.close(500)
    await stage.pass(510)
    expect(stage.clock.countTimers()).to.equal(0)
    expect(resultsOf(waiting)).to.deep.equal(['shuttingDown, no'])
    expect(stage.delivery.stats()).to.include({ failed: 2, refused: 1, bufferedBytes: 0, bufferedRecords: 0 })
    expect([stage.metrics.of('failed_records'), stage.metrics.gaugeOf('buffered_records')]).to.deep.equal([2, 0])
  })

  it('asks for no producer id any more', async () => {
    stage = new DeliveryStage({ orders: 1 })
    stage.router.producerIdFailures = 1_000
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(1_000)
    void stage.delivery.close(100)
    await stage.pass(110)
    expect(resultsOf(sent)).to.deep.equal(['shuttingDown, no'])
    const asked = stage.router.messages.length
    await stage.pass(10_000)
    expect([stage.router.messages.length, stage.clock.countTimers()]).to.deep.equal([asked, 0])
  })
})

describe('delivery: the state of topics and partitions', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  it('is gone with them, also of partitions between others and of those that have no number any more', async () => {
    stage = new DeliveryStage({ orders: 3, users: 3, busy: 1 }, { metadataMaxAgeMs: 1_000 })
    stage.delivery.clusterChanged({ before: undefined, now: 'old' })
    await stage.warmUp('orders', 1)
    stage.delivery.clusterChanged({ before: 'old', now: 'new' })
    await stage.warmUp('users', 1)
    for (let second = 0; second < 12; second++) {
      stage.send(record('busy', 'x', 0))
      await stage.pass(1_000)
    }
    expect(stage.delivery.stats().producers).to.equal(1)
  })

  it('goes on in the first cluster that is told, and under a new id in the second', async () => {
    stage = new DeliveryStage({ orders: 1 })
    await stage.warmUp('orders', 0)
    const idsAfter = async (before: string | undefined): Promise<bigint[]> => {
      stage.delivery.clusterChanged({ before, now: 'now' })
      stage.send(record('orders', 'A', 0))
      await stage.pass(500)
      return stage.router.partition('orders', 0).attempts.map(({ bytes }) => bytes.readBigInt64BE(43))
    }
    expect(await idsAfter(undefined)).to.deep.equal([1n, 1n])
    expect(await idsAfter('old')).to.deep.equal([1n, 1n, 2n])
  })

  it('leaves it uncertain what became of a record whose topic was gone before it was acknowledged', async () => {
    stage = new DeliveryStage({ orders: 1 })
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'loseResponse' })
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(5)
    stage.router.topics.delete('orders')
    const behind = stage.send(record('orders', 'B', 0))
    await stage.pass(20_000)
    expect([sent, behind].map(resultsOf)).to.deep.equal([['unknownTopic, unknown'], ['unknownTopic, no']])
    stage.router.create('orders', 1)
    await stage.pass(5_000)
    const again = stage.send(record('orders', 'C', 0))
    await stage.pass(1_000)
    expect(offsetsOf(again)).to.deep.equal([0])
  })

  it('suffers for one topic alone from news about it that cannot be read, which is no bug', async () => {
    stage = new DeliveryStage({ orders: 1 })
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(0)
    const followed = stage.router.messages.find(message => message.type === 'followTopics')!
    const broken = {
      topic: 'orders',
      get type(): never {
        throw new Error('broken')
      }
    }
    stage.bugsExpected = 1
    followed.follower.topicNews([
      broken,
      { type: 'known', topic: 'orders', partitionCount: 1, topicId: undefined, isDoubted: false }
    ])
    await stage.pass(100)
    expect(resultsOf(sent)).to.deep.equal(['delivered'])
  })
})
