import { expect } from 'chai'
import type { Persisted, ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import { BatchBufferPool } from '../../../src/kafka/record-batch-writer.js'
import { readBack } from '../../../src/kafka/record-reader.js'
import { Batch } from '../../../src/producer/memory/batch.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { BatchLimit, loneBatch, WaitingBatches } from '../../../src/producer/memory/waiting-batches.js'
import { record } from '../../support/delivery-stage.js'

const options = { compression: 'none', timeoutMs: 1_000 } as const
const numbering = { producerId: 7n, epoch: 3, nextSequence: 40 }
const pendingOf = (records = 1, deadlineAt = 500, acceptedAt = 5): MemoryPendingProduce =>
  new MemoryPendingProduce(records, deadlineAt, acceptedAt)
const batchOf = (maxBytes = 10_000): Batch => new Batch(options, maxBytes)
const valuesIn = (bytes: Buffer): (string | undefined)[] => readBack(bytes).map(({ value }) => value?.toString())
const late = (persisted: Persisted) => failures.timedOut('late', persisted)

describe('delivery: a batch', () => {
  it('has the same bytes for the same number, and as few as it had before it was sealed', () => {
    const batch = batchOf()
    batch.append(record('t', 'a'), 1, pendingOf(), 0)
    const size = batch.sizeBytes
    const bytes = batch.numbered(numbering).bytes
    expect(batch.numbered(numbering).bytes).to.equal(bytes)
    expect([bytes.readBigInt64BE(43), bytes.readInt16BE(51), bytes.readInt32BE(53)]).to.deep.equal([7n, 3, 40])
    const next = batch.numbered({ ...numbering, epoch: 4, nextSequence: 0 }).bytes
    expect([next.readInt16BE(51), next.readInt32BE(53), valuesIn(next)]).to.deep.equal([4, 0, ['a']])
    expect([bytes.readInt16BE(51), batch.sizeBytes, batch.bytes]).to.deep.equal([3, size, next])
  })
})

describe('delivery: the end of a wait for a batch', () => {
  const three = (...deadlines: number[]): { batch: Batch; pendingProduces: MemoryPendingProduce[] } => {
    const batch = batchOf()
    const pendingProduces = deadlines.map(deadlineAt => pendingOf(1, deadlineAt))
    for (const [at, pendingProduce] of pendingProduces.entries())
      batch.append(record('t', `${at}`), 10 + at, pendingProduce, 0)
    return { batch, pendingProduces }
  }

  it('takes out what cannot have been written: it is in no bytes, and the others have their places', async () => {
    const { batch, pendingProduces } = three(300, 100, 300)
    void batch.numbered(numbering).bytes
    expect(batch.expire(100, true, late)).to.equal(1)
    expect((await pendingProduces[1]!.outcomes())[0]).to.include({ code: 'timedOut', persisted: 'no' })
    expect(valuesIn(batch.numbered(numbering).bytes)).to.deep.equal(['0', '2'])
    batch.deliver(4, 70, -1)
    const outcomes = await Promise.all([pendingProduces[0]!.outcomes(), pendingProduces[2]!.outcomes()])
    const delivered = { type: 'delivered', partition: 4 }
    expect(outcomes.flat()).to.deep.equal([
      { ...delivered, offset: 70, timestampMs: 10 },
      { ...delivered, offset: 71, timestampMs: 12 }
    ])
  })

  it('comes exactly at its deadline, at the next whole millisecond where that has a fraction, and never where there is none', () => {
    const never = Number.POSITIVE_INFINITY
    for (const [deadlineAt, before, at] of [
      [100, 99.999, 100],
      [100.25, 100.999, 101],
      [0.001, 0.999, 1],
      [2 ** 31 + 0.5, 2 ** 31 + 0.999, 2 ** 31 + 1]
    ] as const) {
      const { batch, pendingProduces } = three(never, deadlineAt, deadlineAt + 10)
      expect([batch.earliestDeadlineAt, pendingProduces[1]!.deadlineAt]).to.deep.equal([at, at])
      expect(batch.expire(before, true, late), `${before}`).to.equal(0)
      expect(batch.expire(at, true, late), `${at}`).to.equal(1)
      expect([pendingProduces[1]!.isSettled(0), pendingProduces[2]!.isSettled(0)]).to.deep.equal([true, false])
      expect(batch.earliestDeadlineAt).to.equal(at + 10)
      expect(batch.expire(at + 10, true, late)).to.equal(1)
      expect([batch.earliestDeadlineAt, batch.expire(2 ** 40, true, late)]).to.deep.equal([never, 0])
    }
  })

  it('and of its attempts comes a whole millisecond after its time at most, never before it was sent or without a limit', () => {
    const timed = new Batch({ compression: 'none', timeoutMs: 1_000 })
    expect(timed.expiresAt).to.equal(Number.POSITIVE_INFINITY)
    timed.tryFrom(5)
    expect(timed.expiresAt).to.equal(1_005)
    timed.tryFrom(5.001)
    expect(timed.expiresAt).to.equal(1_006)
    timed.clear()
    expect([timed.expiresAt, timed.earliestDeadlineAt]).to.deep.equal([
      Number.POSITIVE_INFINITY,
      Number.POSITIVE_INFINITY
    ])
    const endless = new Batch({ compression: 'none', timeoutMs: Number.POSITIVE_INFINITY })
    endless.tryFrom(5.5)
    expect(endless.expiresAt).to.equal(Number.POSITIVE_INFINITY)
  })

  it('takes nothing out that may have been written, nor what was told so before', async () => {
    const { batch, pendingProduces } = three(100, 200, 300)
    expect(batch.expire(100, false, late)).to.equal(0)
    expect((await pendingProduces[0]!.outcomes())[0]).to.include({ persisted: 'unknown' })
    expect(batch.expire(200, true, late), 'the first one was told "unknown"').to.equal(1)
    expect(valuesIn(batch.numbered(numbering).bytes)).to.deep.equal(['0', '2'])
  })
})

describe('delivery: a batch and its outcome', () => {
  it('tells each record: where, and when by its own time or by that of the log', async () => {
    for (const [baseOffset, logTime, offsets, times] of [
      [5, -1, [5, 6], [10, 11]],
      [0, 0, [0, 1], [0, 0]],
      [-1, 900, [-1, -1], [900, 900]]
    ] as const) {
      const batch = batchOf()
      const pendingProduce = pendingOf(2)
      for (const index of [0, 1]) batch.append(record('t', 'a'), 10 + index, pendingProduce, index)
      batch.deliver(2, baseOffset, logTime)
      const outcomes = (await pendingProduce.outcomes()) as (RecordOutcome & { type: 'delivered' })[]
      expect(outcomes.map(({ offset }) => offset)).to.deep.equal(offsets)
      expect(outcomes.map(({ timestampMs }) => timestampMs)).to.deep.equal(times)
    }
  })

  it('refers to no request once it has an outcome', () => {
    const batch = batchOf()
    batch.append(record('t', 'a'), 10, pendingOf(), 0)
    expect(batch.oldestAt).to.equal(5)
    batch.deliver(4, 70, -1)
    expect(batch.oldestAt, 'the oldest of its requests').to.equal(Number.POSITIVE_INFINITY)
  })

  it('is closed when it is halved, and both halves are as uncertain as it was', () => {
    const header = { key: 'h', value: Buffer.from('v') }
    for (const maybeWritten of [true, false]) {
      const batch = batchOf()
      const pendingProduce = pendingOf(6)
      for (let index = 0; index < 6; index++) {
        const deadline = index === 1 ? pendingOf(6, 50) : pendingProduce
        batch.append({ ...record('t', `${index}`, undefined, 'key'), headers: [header] }, index, deadline, index)
      }
      batch.expire(50, true, late)
      batch.maybeWritten = maybeWritten
      const halves = batch.split()
      expect(halves.map(half => valuesIn(half.numbered(numbering).bytes))).to.deep.equal([
        ['0', '2'],
        ['3', '4', '5']
      ])
      expect(halves.map(({ indexes }) => indexes)).to.deep.equal([
        [0, 2],
        [3, 4, 5]
      ])
      expect(halves.map(half => half.maybeWritten)).to.deep.equal([maybeWritten, maybeWritten])
      const [first] = readBack(halves[1].numbered(numbering).bytes)
      expect([String(first!.key), first!.headers]).to.deep.equal(['key', [header]])
    }
    const batch = batchOf()
    for (const index of [0, 1]) batch.append(record('t', 'a'), 1, pendingOf(2), index)
    for (const half of batch.split()) {
      expect([half.isClosed, half.append(record('t', 'b'), 1, pendingOf(), 0)]).to.deep.equal([true, 0])
    }
  })

  it('may be larger than any limit where its records have been in one before, or it is a single one', () => {
    const large = record('t', 'x'.repeat(50_000))
    const boundless = new Batch(options)
    for (const index of [0, 1]) expect(boundless.append(large, 1, pendingOf(2), index)).to.be.above(50_000)
    const lone = loneBatch(large, options, new BatchBufferPool(0))
    expect([lone.append(large, 1, pendingOf(), 0), lone.append(large, 1, pendingOf(), 0)]).to.deep.equal([
      lone.chargedBytes,
      0
    ])
    expect(lone.recordCount).to.equal(1)
  })
})

describe('delivery: the limit for batches of a topic', () => {
  const TEN_MINUTES_MS = 600_000
  let nowMs = 5_000
  const limitOf = (maxBytes: number): BatchLimit => new BatchLimit(maxBytes, () => nowMs)

  it('is the setting, or half of what was refused, for ten minutes', () => {
    const limit = limitOf(100_000)
    expect(limit.bytes).to.equal(100_000)
    limit.refused(80_001)
    expect(limit.bytes).to.equal(40_000)
    nowMs += TEN_MINUTES_MS - 1
    expect(limit.bytes).to.equal(40_000)
    nowMs += 1
    expect(limit.bytes).to.equal(100_000)
    expect(limit.bytes, 'it stays forgotten').to.equal(100_000)
  })

  it('never grows by a refusal, and is 1 KiB at least', () => {
    const limit = limitOf(100_000)
    limit.refused(10_000)
    limit.refused(60_000)
    expect(limit.bytes).to.equal(5_000)
    limit.refused(500)
    expect(limit.bytes).to.equal(1_024)
    const small = limitOf(700)
    small.refused(600)
    expect(small.bytes, 'nor is it more than the setting').to.equal(700)
  })
})

describe('delivery: batches that wait', () => {
  const setUp = (maxBytes = 300, shared: Batch[] = [], batchMaxBytes = 300) => {
    const settings = { batchMaxBytes, ...options } as never
    const seen = { full: 0 }
    const partition = { batchMaxBytes: maxBytes, batchClosed: () => seen.full++ }
    const waiting = new WaitingBatches(settings, partition, new BatchBufferPool(100_000), shared)
    const append = (value: string, pendingProduce = pendingOf()): number =>
      waiting.append(record('t', value), 1, pendingProduce, 0)
    return { waiting, append, seen }
  }
  const counts = (batches: readonly Batch[]): number[] => batches.map(({ recordCount }) => recordCount)

  it('take records until they are full; what is larger than a batch has one of its own', () => {
    const { waiting, append, seen } = setUp()
    expect([waiting.isEmpty, waiting.oldestAt]).to.deep.equal([true, Number.POSITIVE_INFINITY])
    for (const value of ['a', 'b', 'x'.repeat(230), 'x'.repeat(5_000), 'y'.repeat(230)]) {
      expect(append(value)).to.be.above(1_000)
    }
    expect([waiting.isEmpty, waiting.oldestAt, seen.full]).to.deep.equal([false, 5, 3])
    expect(waiting.take().recordCount).to.equal(2)
    const rest = waiting.takeAll()
    expect([counts(rest), waiting.isEmpty]).to.deep.equal([[1, 1, 1], true])
    waiting.putBack(rest.slice(1))
    append('d'.repeat(230))
    expect(counts(waiting.takeAll())).to.deep.equal([1, 1, 1])
  })

  it('are objects of delivered ones: of any partition if they are small, of the same one if they are large', () => {
    const shared: Batch[] = []
    const [one, other, lowered] = [setUp(9_000, shared, 9_000), setUp(9_000, shared, 9_000), setUp(800, shared, 9_000)]
    const deliver = ({ waiting, append }: typeof one, value: string): Batch => {
      append(value)
      const batch = waiting.take()
      batch.numbered(numbering).release()
      waiting.giveBatch(batch)
      return batch
    }
    const small = deliver(one, 'a')
    expect([deliver(other, 'b'), shared]).to.deep.equal([small, [small]])
    other.append('c')
    other.append('d')
    const again = other.waiting.take()
    expect([again === small, valuesIn(again.numbered(numbering).bytes)]).to.deep.equal([true, ['c', 'd']])
    const large = deliver(one, 'x'.repeat(5_000))
    expect([shared, deliver(one, 'y'.repeat(5_000)) === large]).to.deep.equal([[], true])
    deliver(lowered, 'e')
    expect(shared, 'of another limit').to.deep.equal([])
  })

  it('are kept up to a limit: a peak of many partitions leaves no more behind', () => {
    const shared: Batch[] = []
    const { waiting, append } = setUp(9_000, shared, 9_000)
    append('a')
    const batch = waiting.take()
    batch.numbered(numbering).release()
    shared.push(...new Array<Batch>(19_999).fill(batch))
    waiting.giveBatch(batch)
    expect(shared.length).to.equal(20_000)
    waiting.giveBatch(batch)
    expect(shared.length).to.equal(20_000)
  })

  it('lose nothing that may have been written', async () => {
    const { waiting } = setUp()
    const pendingProduce = pendingOf(1, 100)
    const batch = new Batch(options)
    batch.append(record('t', 'a') satisfies ProduceRecord, 1, pendingProduce, 0)
    batch.maybeWritten = true
    waiting.putBack([batch])
    expect(waiting.expire(100, late, () => expect.fail('it was dropped'))).to.equal(0)
    expect((await pendingProduce.outcomes())[0]).to.include({ persisted: 'unknown' })
    expect(waiting.isEmpty).to.equal(false)
  })
})
