import { expect } from 'chai'
import { failures } from '../../../src/producer/memory/failures.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import type { BatchAnswer, SealedBatch } from '../../../src/router/messages/operations.js'
import { record } from '../../support/delivery-stage.js'
import {
  appended,
  contentsOf,
  outcomesOf,
  PartitionProducerStage,
  rejected,
  unanswered
} from './partition-producer-stage.js'

const OUT_OF_ORDER = 45
const NOT_ENOUGH_REPLICAS = 19
const INVALID_RECORD = 87

describe('delivery: a partition', () => {
  let stage: PartitionProducerStage
  const start = (...parts: ConstructorParameters<typeof PartitionProducerStage>): PartitionProducerStage =>
    (stage = new PartitionProducerStage(...parts))
  afterEach(() => stage.restore())
  /** The answer comes, and all that follows from it at once. */
  const answer = async (batch: SealedBatch, what: BatchAnswer): Promise<void> => {
    batch.answer(what)
    await stage.pass(0)
  }

  it('waits for a producer id when there is none, and has nothing to send when nothing is left', async () => {
    const { producer } = start()
    stage.numbering = undefined
    stage.append('A', 100)
    expect([stage.take(), producer.state]).to.deep.equal([undefined, 'ready'])
    await stage.pass(100)
    stage.tick()
    expect([stage.counters.withdrawn, stage.budget.records, stage.budget.usedBytes]).to.deep.equal([1, 0, 0])
    stage.isReady = true
    expect([stage.take(), producer.state, stage.isEmptied]).to.deep.equal([undefined, 'idle', true])
  })

  it('compares the clock with the time at which a broker has appended, but for a batch that may have been appended before', async () => {
    start()
    stage.append('A')
    const first = stage.requireBatch()
    await stage.pass(2_000)
    await answer(first, { type: 'appended', baseOffset: 0, logAppendTimeMs: Date.now() - 60_000 })
    expect(stage.ownTime.clockAheadMs).to.equal(58_000)
    stage.append('B')
    await answer(stage.requireBatch(), unanswered)
    await stage.pass(1_000)
    await answer(stage.requireBatch(), { type: 'appended', baseOffset: 1, logAppendTimeMs: Date.now() - 600_000 })
    stage.append('C')
    await answer(stage.requireBatch(), appended(2))
    expect([stage.counters.delivered, stage.ownTime.clockAheadMs]).to.deep.equal([3, 58_000])
  })

  it('goes on under the next epoch after a pause when Kafka has lost its state', async () => {
    start()
    stage.append('A')
    await answer(stage.requireBatch(), rejected(OUT_OF_ORDER))
    await stage.pass(99)
    expect([stage.producer.state, stage.isReady]).to.deep.equal(['backingOff', false])
    await stage.pass(1)
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 1, sequence: 0, values: ['A'] })
  })

  it('raises the epoch before halves go, whether the whole is known to be refused or may still turn up', async () => {
    for (const isLost of [true, false]) {
      start()
      const pendingProduce = stage.append(['good', 'bad'])
      if (isLost) {
        await answer(stage.requireBatch(), unanswered)
        await stage.pass(1_000)
      }
      await answer(stage.requireBatch(), rejected(INVALID_RECORD))
      const good = stage.requireBatch()
      expect(contentsOf(good)).to.deep.equal({ epoch: 1, sequence: 0, values: ['good'] })
      await answer(good, appended(4))
      const bad = stage.requireBatch()
      expect(contentsOf(bad)).to.deep.equal({ epoch: 1, sequence: 1, values: ['bad'] })
      await answer(bad, rejected(INVALID_RECORD))
      const persisted = isLost ? 'unknown' : 'no'
      expect(await outcomesOf(pendingProduce)).to.deep.equal(['at 4', `recordRejected, ${persisted}`])
      expect([stage.counters.failed, stage.producer.numbering?.epoch]).to.deep.equal([1, isLost ? 2 : 1])
      expect([stage.budget.usedBytes, stage.budget.records]).to.deep.equal([0, 0])
      if (isLost) stage.restore()
    }
  })

  it('makes later batches no smaller because a record was invalid, but where a batch was too large', async () => {
    start()
    const values = Array.from({ length: 4 }, (_, at) => `${at}`.repeat(2_000))
    for (const [code, records] of [
      [INVALID_RECORD, 4],
      [10, 1]
    ] as const) {
      stage.append(values)
      await answer(stage.requireBatch(), rejected(code))
      for (let batch = stage.take(); batch !== undefined; batch = stage.take()) await answer(batch, appended())
      stage.append(values)
      const next = stage.requireBatch()
      expect(contentsOf(next).values, `after ${code}`).to.have.length(records)
      await answer(next, appended())
      for (let batch = stage.take(); batch !== undefined; batch = stage.take()) await answer(batch, appended())
    }
  })

  it('uses the memory of a batch again that was sent once, and not of one that was tried again', async () => {
    start()
    const buffers: unknown[] = []
    for (const isRetried of [false, true, false]) {
      stage.append('A')
      let batch = stage.requireBatch()
      if (isRetried) {
        await answer(batch, rejected(NOT_ENOUGH_REPLICAS))
        await stage.pass(200)
        batch = stage.requireBatch()
      }
      // They are parts of one piece of memory.
      buffers.push(batch.bytes.byteOffset)
      await answer(batch, appended())
    }
    expect(buffers[1]).to.equal(buffers[0])
    expect(buffers[2]).not.to.equal(buffers[1])
  })

  it('does not take a batch back that may have been written', async () => {
    start()
    const pendingProduce = stage.append('A', 500)
    await answer(stage.requireBatch(), unanswered)
    await stage.pass(100)
    const batch = stage.requireBatch()
    batch.recall = () => expect.fail('it was taken back')
    await stage.pass(500)
    stage.tick()
    expect([await outcomesOf(pendingProduce), stage.producer.state]).to.deep.equal([['timedOut, unknown'], 'awaiting'])
    batch.recall = () => false
  })

  it('is closed while the Router has its batch: what can have left may be written, and what it can take back is not', async () => {
    for (const [isBack, persisted] of [
      [true, 'no'],
      [false, 'unknown'],
      [undefined, 'unknown']
    ] as const) {
      start()
      const pendingProduce = stage.append('A')
      const batch = stage.requireBatch()
      if (isBack !== undefined) batch.recall = () => isBack
      stage.producer.close(maybeWritten => failures.shuttingDown(maybeWritten ? 'unknown' : 'no'))
      expect(await outcomesOf(pendingProduce)).to.deep.equal([`shuttingDown, ${persisted}`])
      expect([stage.counters.failed, stage.budget.usedBytes]).to.deep.equal([1, 0])
      stage.restore()
    }
  })

  it('knows that nothing was written when it takes a batch back that the Router did not answer', async () => {
    for (const [isBack, persisted] of [
      [true, 'no'],
      [false, 'unknown']
    ] as const) {
      start({ answerTimeoutMs: 3_000, timeoutMs: 3_000 })
      const pendingProduce = stage.append('A')
      stage.requireBatch().recall = () => isBack
      await stage.pass(3_000)
      stage.tick()
      expect(await outcomesOf(pendingProduce)).to.deep.equal([`timedOut, ${persisted}`])
      stage.restore()
    }
  })

  it('raises the epoch also where a broker said that it had not written what failed with its topic', async () => {
    start()
    stage.append('A')
    await answer(stage.requireBatch(), rejected(NOT_ENOUGH_REPLICAS))
    stage.producer.failWaiting(maybeWritten => failures.unknownTopic('orders', maybeWritten ? 'unknown' : 'no'))
    stage.take()
    stage.append('B')
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 1, sequence: 0, values: ['B'] })
  })

  it('raises the epoch when a record is taken out of a batch that a broker says it has not written, once per attempt', async () => {
    start()
    stage.append('impatient', 50)
    stage.append('also', 60)
    stage.append('patient')
    await answer(stage.requireBatch(), rejected(NOT_ENOUGH_REPLICAS))
    for (const milliseconds of [55, 10]) {
      await stage.clock.tickAsync(milliseconds)
      stage.tick()
    }
    expect(stage.counters.withdrawn).to.equal(2)
    await stage.pass(1_000)
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 1, sequence: 0, values: ['patient'] })
  })

  it('gives a batch that comes back without a number one that none of its batches has had', async () => {
    start()
    stage.append('A')
    await answer(stage.requireBatch(), appended(0))
    const pendingProduce = new MemoryPendingProduce(1, 60_000, 0)
    stage.producer.resume(
      [{ record: record('orders', 'B'), timestampMs: 1, index: 0, acceptedAtMs: 1 }],
      pendingProduce,
      undefined
    )
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 1, sequence: 0, values: ['B'] })
  })
})
