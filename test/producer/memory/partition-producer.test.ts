import { expect } from 'chai'
import { failures } from '../../../src/producer/memory/failures.js'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import type { BatchAnswer, SealedBatch } from '../../../src/router/messages/operations.js'
import { record } from '../../support/delivery-harness.js'
import {
  appended,
  contentsOf,
  outcomesOf,
  PartitionProducerStage,
  rejected,
  unanswered
} from '../../support/partition-producer-stage.js'

const OUT_OF_ORDER = 45
const NOT_ENOUGH_REPLICAS = 19
const NOT_LEADER = 6
const INVALID_RECORD = 87
const TOPIC_AUTHORIZATION_FAILED = 29

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

  it('sends one batch, and what came meanwhile once that is settled', async () => {
    const { producer } = start()
    expect([producer.state, producer.isIdle, producer.sentIndexes]).to.deep.equal(['idle', true, []])
    const first = stage.append('A')
    expect([producer.state, producer.isIdle, stage.isReady, producer.numbering]).to.deep.equal([
      'ready',
      false,
      true,
      undefined
    ])
    const batch = stage.requireBatch()
    expect(batch).to.include({ topic: 'orders', partition: 3, clusterId: 'here' })
    expect([producer.state, producer.sentIndexes]).to.deep.equal(['awaiting', [0]])
    stage.append(['B', 'C'])
    expect(stage.isReady).to.equal(false)
    await answer(batch, appended(9))
    expect([await outcomesOf(first), stage.isReady, stage.counters.delivered]).to.deep.equal([['at 9'], true, 1])
    const next = stage.requireBatch()
    expect(contentsOf(next)).to.deep.equal({ epoch: 0, sequence: 1, values: ['B', 'C'] })
    await answer(next, appended(10))
    expect([producer.state, producer.isIdle, stage.isEmptied, stage.counters.delivered]).to.deep.equal([
      'idle',
      true,
      true,
      3
    ])
    expect([stage.budget.usedBytes, stage.budget.records, producer.numbering?.nextSequence]).to.deep.equal([0, 0, 3])
  })

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

  it('tells how long its oldest record waited before it was sent, once', async () => {
    start()
    stage.append('A')
    await stage.pass(30)
    stage.append('B')
    expect(stage.producer.oldestAt).to.equal(0)
    await answer(stage.requireBatch(), rejected(NOT_ENOUGH_REPLICAS))
    await stage.pass(1_000)
    stage.append('C')
    expect(stage.producer.oldestAt, 'the batch that is tried').to.equal(0)
    await answer(stage.requireBatch(), appended())
    expect([stage.waitedInPartition, stage.producer.oldestAt]).to.deep.equal([[30], 1_030])
  })

  it('tries again the same bytes after a pause that doubles, at once after a change of leader, and begins anew with the next', async () => {
    start()
    const pauseAfter = async (code: number): Promise<number> => {
      const from = performance.now()
      await answer(stage.requireBatch(), rejected(code))
      while (!stage.isReady) await stage.pass(1)
      return performance.now() - from
    }
    stage.append('A')
    const pauses = [await pauseAfter(NOT_ENOUGH_REPLICAS), await pauseAfter(NOT_ENOUGH_REPLICAS)]
    expect(pauses).to.deep.equal([100, 200])
    await answer(stage.requireBatch(), appended())
    stage.append('B')
    expect([await pauseAfter(NOT_LEADER), await pauseAfter(NOT_LEADER)]).to.deep.equal([15, 200])
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 0, sequence: 1, values: ['B'] })
    expect([stage.counters.retries, stage.counters.failed]).to.deep.equal([4, 0])
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

  it('sends a batch that is as large as it may be in one piece', async () => {
    start()
    const send = (): number => {
      stage.append(['A'.repeat(500), 'B'.repeat(500)])
      const { bytes } = stage.requireBatch()
      return contentsOf({ bytes } as never).values.length === 2 ? bytes.length : 0
    }
    const size = send()
    stage.restore()
    start({ batchMaxBytes: size })
    expect(send()).to.equal(size)
    stage.restore()
    start({ batchMaxBytes: size - 1 })
    expect(send()).to.equal(0)
  })

  it('counts as stuck after half a second without an acknowledgement, and no more with one', async () => {
    const { producer } = start()
    await stage.pass(10_000)
    stage.append('A')
    const batch = stage.requireBatch()
    await stage.pass(499)
    stage.tick()
    expect(producer.charge.isStuck).to.equal(false)
    await stage.pass(1)
    const closedBefore = stage.batchesClosed
    stage.tick()
    stage.tick()
    expect([producer.charge.isStuck, stage.budget.stuckBytes]).to.deep.equal([true, stage.budget.usedBytes])
    expect(stage.batchesClosed, 'records without a key may go elsewhere').to.equal(closedBefore + 1)
    stage.append('B')
    await answer(batch, appended())
    expect([producer.charge.isStuck, stage.budget.stuckBytes]).to.deep.equal([false, 0])
  })

  it('takes a batch back that waits at the Router once the time of a record is over, and tries it as before', async () => {
    start()
    const late = stage.append('late', 500)
    stage.append('patient')
    const batch = stage.requireBatch()
    let recalls = 0
    batch.recall = () => {
      recalls++
      return true
    }
    await stage.pass(499)
    stage.tick()
    expect(recalls).to.equal(0)
    await stage.pass(1)
    stage.tick()
    expect([recalls, await outcomesOf(late), stage.counters.withdrawn]).to.deep.equal([1, ['timedOut, no'], 1])
    const again = stage.requireBatch()
    expect(contentsOf(again)).to.deep.equal({ epoch: 0, sequence: 0, values: ['patient'] })
    await answer(again, rejected(NOT_LEADER))
    await stage.pass(15)
    expect(stage.isReady, 'what was taken back was no attempt').to.equal(true)
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

  it('waits for the answer of the Router as long as the setting says, then tries again', async () => {
    start({ answerTimeoutMs: 3_000 })
    stage.append('A')
    const batch = stage.requireBatch()
    await stage.pass(2_999)
    stage.tick()
    expect(stage.producer.state).to.equal('awaiting')
    await stage.pass(1)
    stage.tick()
    expect(stage.producer.state).to.equal('backingOff')
    await answer(batch, appended())
    expect(stage.counters.delivered, 'a late answer is not heard').to.equal(0)
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

  it('gives a batch up when its time is over, and fences it, for it may turn up', async () => {
    for (const isLost of [true, false]) {
      start({ timeoutMs: 2_000 })
      const pendingProduce = stage.append('A', 1_000)
      const batch = stage.requireBatch()
      await stage.pass(1_000)
      stage.tick()
      expect(await outcomesOf(pendingProduce), 'on its way').to.deep.equal(['timedOut, unknown'])
      await stage.pass(990)
      await answer(batch, isLost ? unanswered : rejected(NOT_ENOUGH_REPLICAS))
      await stage.pass(9)
      stage.tick()
      expect(stage.producer.state).to.equal('backingOff')
      await stage.pass(1)
      stage.tick()
      expect([stage.producer.isIdle, stage.counters.failed, stage.clock.countTimers()]).to.deep.equal([true, 1, 0])
      stage.append('B')
      expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 1, sequence: 0, values: ['B'] })
      if (isLost) stage.restore()
    }
  })

  it('fails all that waits when its topic is gone, but for what is on its way', async () => {
    start()
    const sent = stage.append('A')
    const batch = stage.requireBatch()
    const behind = stage.append(['B', 'C'])
    stage.producer.failWaiting(maybeWritten => failures.unknownTopic('orders', maybeWritten ? 'unknown' : 'no'))
    expect([await outcomesOf(sent), await outcomesOf(behind)]).to.deep.equal([
      undefined,
      ['unknownTopic, no', 'unknownTopic, no']
    ])
    expect([stage.counters.failed, stage.budget.records, stage.producer.state]).to.deep.equal([2, 1, 'awaiting'])
    await answer(batch, unanswered)
    stage.producer.failWaiting(maybeWritten => failures.unknownTopic('orders', maybeWritten ? 'unknown' : 'no'))
    expect([await outcomesOf(sent), stage.budget.records]).to.deep.equal([['unknownTopic, unknown'], 0])
    expect([stage.take(), stage.producer.state, stage.clock.countTimers()]).to.deep.equal([undefined, 'idle', 0])
    stage.append('D')
    expect(contentsOf(stage.requireBatch()), 'the lost one may turn up').to.include({ epoch: 1, sequence: 0 })
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

  it('keeps its epoch where no broker has got what failed with its topic', async () => {
    start()
    stage.append('A')
    await answer(stage.requireBatch(), { type: 'notSent', reason: 'noLeader', message: 'no leader' })
    stage.producer.failWaiting(maybeWritten => failures.unknownTopic('orders', maybeWritten ? 'unknown' : 'no'))
    stage.take()
    stage.append('B')
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 0, sequence: 0, values: ['B'] })
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

  it('sends the same batch again under the same number, whatever was said of it', async () => {
    start()
    const first = stage.append('A')
    for (const said of [rejected(NOT_ENOUGH_REPLICAS), unanswered]) {
      await answer(stage.requireBatch(), said)
      await stage.pass(2_000)
    }
    const again = stage.requireBatch()
    expect(contentsOf(again)).to.deep.equal({ epoch: 0, sequence: 0, values: ['A'] })
    await answer(again, appended(3))
    expect(await outcomesOf(first)).to.deep.equal(['at 3'])
    stage.append('B')
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 0, sequence: 1, values: ['B'] })
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

  it('lets go of everything when it is closed; what the Router has may be written', async () => {
    start()
    const sent = stage.append('A')
    const batch = stage.requireBatch()
    const behind = stage.append('B')
    stage.producer.close(maybeWritten => failures.shuttingDown(maybeWritten ? 'unknown' : 'no'))
    expect([await outcomesOf(sent), await outcomesOf(behind)]).to.deep.equal([
      ['shuttingDown, unknown'],
      ['shuttingDown, no']
    ])
    expect([stage.producer.isIdle, stage.isEmptied, stage.budget.usedBytes]).to.deep.equal([true, true, 0])
    await answer(batch, appended())
    expect([stage.counters.delivered, stage.counters.failed]).to.deep.equal([0, 2])
  })

  it('fails what it may not write, as certain as its history is', async () => {
    start()
    const first = stage.append('A')
    await answer(stage.requireBatch(), rejected(TOPIC_AUTHORIZATION_FAILED))
    const second = stage.append(['B', 'C'])
    await answer(stage.requireBatch(), unanswered)
    await stage.pass(100)
    await answer(stage.requireBatch(), rejected(TOPIC_AUTHORIZATION_FAILED))
    expect([await outcomesOf(first), await outcomesOf(second)]).to.deep.equal([
      ['notAuthorized, no'],
      ['notAuthorized, unknown', 'notAuthorized, unknown']
    ])
    expect([stage.counters.failed, stage.producer.numbering?.epoch]).to.deep.equal([3, 2])
  })

  it('forgets its number with the cluster that gave it, and asks for a new one when it has no epoch left', async () => {
    start()
    stage.numbering = { producerId: 7n, epoch: 0x7fff, nextSequence: 0 }
    stage.append('A')
    await answer(stage.requireBatch(), rejected(OUT_OF_ORDER))
    expect([stage.usedUp, stage.producer.numbering]).to.deep.equal([[7n], undefined])
    stage.numbering = { producerId: 8n, epoch: 2, nextSequence: 0 }
    await stage.pass(200)
    expect(contentsOf(stage.requireBatch())).to.include({ epoch: 2, sequence: 0 })
    stage.producer.clusterChanged()
    expect(stage.producer.numbering).to.equal(undefined)
  })
})
