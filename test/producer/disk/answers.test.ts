import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { DurablePendingProduce } from '../../../src/producer/disk/record-outcomes.js'
import { readDeadLetters } from '../../../src/producer/log/inspect.js'
import { record } from '../../support/delivery-stage.js'
import { DurableStage, type DurableStageOptions } from '../durable-stage.js'

const KIB = 1024

describe('durable: answers to requests', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const start = async (options: DurableStageOptions = {}): Promise<void> => {
    stage = new DurableStage({ topics: { orders: 1, audit: 1 }, ...options })
    await stage.start()
  }
  const accept = (records: readonly ProduceRecord[], maxRecordBytes?: number): DurablePendingProduce =>
    stage.delivery.accept(records, {
      partitioner: 'murmur2',
      deadlineMs: 30_000,
      durability: 'disk',
      maxRecordBytes
    }) as DurablePendingProduce

  it('name each record by its place among those that are refused', async () => {
    await start()
    const sent = stage.send(
      [
        record('orders', 'A'),
        record('no such/name', 'B'),
        record('audit', 'C'),
        record('', 'D'),
        record('orders', 'E')
      ],
      30_000
    )
    expect(sent.refused?.map(refusal => refusal?.code)).to.deep.equal([
      undefined,
      'invalidTopic',
      undefined,
      'invalidTopic',
      undefined
    ])
    await stage.pass(100)
    expect(sent.outcomes?.map(outcome => (outcome.type === 'delivered' ? outcome.offset : outcome.code))).to.deep.equal(
      [0, 'invalidTopic', 0, 'invalidTopic', 1]
    )
    expect(stage.delivery.stats()).to.include({ accepted: 3, refused: 2, delivered: 3, failed: 0 })
  })

  it('are there at once when no record is taken', async () => {
    await start()
    const pendingProduce = accept([record('', 'A')])
    expect(pendingProduce.isComplete).to.equal(true)
    expect((await pendingProduce.accepted())?.[0]?.code).to.equal('invalidTopic')
    const nothing = accept([])
    expect([nothing.refused, await nothing.accepted(), await nothing.outcomes()]).to.deep.equal([
      undefined,
      undefined,
      []
    ])
  })

  it('refuse what is larger than the request allows, to the byte, and otherwise than the settings do', async () => {
    await start({ delivery: { maxRecordBytes: 20 } })
    const of = (bytes: number): ProduceRecord => record('orders', 'x'.repeat(bytes))
    expect(
      [accept([of(10)], 10), accept([of(11)], 10), accept([of(30)], 30)].map(({ refused }) => refused?.[0]?.code)
    ).to.deep.equal([undefined, 'recordTooLarge', undefined])
    expect([accept([of(20)]), accept([of(21)])].map(({ refused }) => refused?.[0]?.code)).to.deep.equal([
      undefined,
      'recordTooLarge'
    ])
  })

  it('tell a record that fits in no file of the log from a log that is full for now', async () => {
    await start({ wal: { segmentBytes: 64 * KIB, maxWaitingBytes: 100 * KIB } })
    const [large, fits] = [record('orders', 'x'.repeat(64 * KIB)), record('orders', 'x'.repeat(60 * KIB))]
    const sent = [large, fits, fits].map(each => stage.send([each, each].slice(0, each === large ? 2 : 1)))
    expect(sent[0]!.refused?.map(refusal => refusal?.code)).to.deep.equal(['recordTooLarge', 'recordTooLarge'])
    expect(sent[0]!.refused?.[0]).to.include({ persisted: 'no', retriable: false })
    expect(sent[1]!.refused).to.equal(undefined)
    expect(sent[2]!.refused?.[0]).to.include({ code: 'logUnavailable', persisted: 'no', retriable: true })
    await stage.pass(100)
    expect(sent.map(({ isAccepted }) => isAccepted)).to.deep.equal([true, true, true])
    expect(stage.router.values('orders')).to.have.length(1)
  })

  it('say that nothing is known of records that were on their way to the disk when the log ended', async () => {
    await start()
    stage.failing.add('commit')
    const sent = stage.send([record('orders', 'A'), record('orders', 'B')], 30_000)
    expect(sent.refused).to.equal(undefined)
    await stage.pass(100)
    expect(sent.lateRefusals?.map(refusal => refusal?.persisted)).to.deep.equal(['unknown', 'unknown'])
    expect(sent.lateRefusals?.[0]?.message).to.contain('the durable log has ended: EIO')
    expect(stage.delivery.stats()).to.include({ accepted: 0, refused: 2, topics: 0 })
  })

  it('tell why a record is not in Kafka yet', async () => {
    await start()
    stage.send(record('orders', 'before'))
    await stage.pass(100)
    stage.router.isAway = true
    const hasty = stage.send(record('orders', 'A'))
    const sent = stage.send(record('orders', 'B'), 1_000)
    await stage.pass(1_100)
    stage.awayBecause = new Error('kafka-1:9092 refused the connection')
    const later = stage.send(record('orders', 'C'), 1_000)
    await stage.pass(1_100)
    const messageOf = ({ outcomes }: typeof sent): string | undefined =>
      outcomes?.[0]?.type === 'failed' ? outcomes[0].message : undefined
    expect(messageOf(hasty)).to.contain('its outcome was not asked for')
    expect(messageOf(sent)).to.contain('kafka has not acknowledged it yet')
    expect(messageOf(later)).to.contain('kafka-1:9092 refused the connection')
  })

  it('carry the time, the headers and the partition that the record came with', async () => {
    await start({ topics: { orders: 3 } })
    const headers = [{ key: 'h', value: Buffer.from('1') }]
    const sent = stage.send({ topic: 'orders', key: null, value: 'A', partition: 2, timestampMs: 777, headers }, 5_000)
    const other = stage.send({ topic: 'orders', key: null, value: 'B', partition: 1 }, 5_000)
    await stage.pass(100)
    expect(sent.outcomes?.[0]).to.deep.include({ type: 'delivered', partition: 2, offset: 0, timestampMs: 777 })
    expect(other.outcomes?.[0]).to.deep.include({ type: 'delivered', partition: 1, timestampMs: 1_000_000 })
    expect(stage.router.partition('orders', 2).attempts[0]!.bytes.includes('h')).to.equal(true)
  })
})

describe('durable: closing delivery', () => {
  let stage: DurableStage
  beforeEach(async () => {
    stage = new DurableStage({ topics: { orders: 2 } })
    await stage.start()
    stage.send([record('orders', 'before', 0), record('orders', 'before', 1)])
    await stage.pass(100)
  })
  afterEach(() => stage.restore())
  /** Closes, and tells whether it is over. */
  const close = (timeoutMs: number): { isOver: boolean } => {
    const closing = { isOver: false }
    void stage.delivery.close(timeoutMs).then(() => (closing.isOver = true))
    return closing
  }

  it('is over at once when nothing is on its way', async () => {
    const closing = close(10_000)
    await stage.pass(0)
    expect(closing.isOver).to.equal(true)
    const late = stage.send(record('orders', 'A'))
    expect(late.refused?.[0]).to.include({ code: 'shuttingDown', persisted: 'no' })
  })

  it('waits for the answer to what was sent, and for nothing else', async () => {
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const sent = stage.send(record('orders', 'A', 0), 60_000)
    await stage.pass(100)
    const waiting = stage.send(record('orders', 'B', 0), 60_000)
    await stage.pass(10)
    const closing = close(10_000)
    await stage.pass(5_000)
    expect(closing.isOver).to.equal(false)
    stage.router.release()
    await stage.pass(100)
    expect(closing.isOver).to.equal(true)
    expect(sent.outcomes?.[0]?.type).to.equal('delivered')
    expect(waiting.outcomes?.[0]).to.include({ code: 'timedOut', persisted: 'pending' })
    expect((waiting.outcomes![0] as { message: string }).message).to.contain('shutting down')
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['before', 'A'])
    await stage.backlog.close()
    expect(stage.clock.countTimers()).to.equal(0)
  })

  it('waits no longer than it is told to, and keeps what was not answered', async () => {
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const sent = stage.send(record('orders', 'A', 0), 60_000)
    await stage.pass(100)
    const [closing, again] = [close(3_000), close(3_000)]
    await stage.pass(2_999)
    expect([closing.isOver, again.isOver]).to.deep.equal([false, true])
    await stage.pass(1)
    expect(closing.isOver).to.equal(true)
    expect(sent.outcomes?.[0]).to.include({ code: 'timedOut', persisted: 'pending' })
    await stage.backlog.close()
    await stage.restart()
    await stage.pass(1_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['before', 'A'])
  })

  it('leaves no timer while partitions are in trouble, topics are missing and batches are read again', async () => {
    stage.send(record('gone', 'A'))
    for (const partition of [0, 1]) {
      stage.router
        .partition('orders', partition)
        .script.push(...Array(50).fill({ type: 'notSent', reason: 'noLeader' }))
      stage.send(record('orders', 'B', partition))
    }
    await stage.pass(5_000)
    close(0)
    await stage.pass(10)
    await stage.backlog.close()
    stage.router.tables.clear()
    await stage.pass(200)
    const before = stage.router.messages.length
    await stage.pass(60_000)
    expect(stage.router.messages.length, 'asks for nothing any more').to.equal(before)
  })
})

describe('durable: topics that are not used any more', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  it('are forgotten after sixty times the greatest age of metadata, and what comes later is sent as before', async () => {
    stage = new DurableStage({ topics: { orders: 1, audit: 1 }, delivery: { metadataMaxAgeMs: 1_000 } })
    await stage.start()
    stage.send([record('orders', 'A'), record('audit', 'A')])
    await stage.pass(40_000)
    stage.send(record('audit', 'B'))
    await stage.pass(19_000)
    expect(stage.delivery.stats()).to.include({ topics: 2, producers: 2 })
    await stage.pass(22_000)
    expect(stage.delivery.stats()).to.include({ topics: 1, producers: 1 })
    const unfollowed = stage.router.messages.filter(({ type }) => type === 'unfollowTopics')
    expect(unfollowed.map(message => (message as { topics: readonly string[] }).topics)).to.deep.equal([['orders']])
    stage.send(record('orders', 'C'))
    await stage.pass(1_000)
    expect(stage.router.values('orders')).to.deep.equal(['A', 'C'])
    const [first, second] = stage.router.partition('orders', 0).attempts
    expect(
      [first?.epoch, second?.epoch, second?.baseSequence],
      'numbers of the former partition are not repeated'
    ).to.deep.equal([0, 1, 0])
    await stage.pass(90_000)
    expect(stage.delivery.stats()).to.include({ topics: 0, producers: 0 })
  })

  it('are kept while something of them is in the log', async () => {
    stage = new DurableStage({ topics: { orders: 1 }, delivery: { metadataMaxAgeMs: 1_000 } })
    await stage.start()
    stage.send(record('orders', 'A'))
    await stage.pass(100)
    stage.router.partition('orders', 0).script.push(...Array(2_000).fill({ type: 'notSent', reason: 'noLeader' }))
    stage.send(record('orders', 'B'))
    await stage.pass(200_000)
    expect(stage.delivery.stats()).to.include({ topics: 1, producersBackingOff: 1 })
    stage.router.partition('orders', 0).script.length = 0
    await stage.pass(10_000)
    expect(stage.router.values('orders')).to.deep.equal(['A', 'B'])
  })
})

describe('durable: what brokers refuse for a time', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())

  it('is a producer id: it is asked for again, and the records are delivered when there is one', async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    stage.router.producerIdRefusal = 31
    await stage.start()
    stage.send(record('orders', 'A'))
    await stage.pass(20_000)
    expect(stage.router.values('orders')).to.deep.equal([])
    stage.router.producerIdRefusal = undefined
    await stage.pass(5_000)
    expect(stage.router.values('orders')).to.deep.equal(['A'])
    expect([...readDeadLetters(stage.disk.directory)]).to.deep.equal([])
  })
})
