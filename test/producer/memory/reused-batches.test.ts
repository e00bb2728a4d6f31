import { expect } from 'chai'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import type { SealedBatch } from '../../../src/router/messages/operations.js'
import { record } from '../../support/delivery-stage.js'
import {
  appended,
  contentsOf,
  outcomesOf,
  PartitionProducerStage,
  rejected,
  unanswered
} from './partition-producer-stage.js'

const NOT_ENOUGH_REPLICAS = 19
const INVALID_RECORD = 87

describe('delivery: the objects of a batch that was appended', () => {
  let stage: PartitionProducerStage
  beforeEach(() => (stage = new PartitionProducerStage({ answerTimeoutMs: 3_000 })))
  afterEach(() => stage.restore())

  /** The partition sends, after its pause if it backs off. */
  const nextAttempt = async (): Promise<SealedBatch> => {
    while (!stage.isReady) await stage.pass(1)
    return stage.requireBatch()
  }
  /** The next batch has its own records, number and answer, whatever comes for attempts that are over. */
  const expectOwnAnswer = async (sequence: number, ...over: readonly SealedBatch[]): Promise<void> => {
    const pending = stage.append('later')
    const batch = await nextAttempt()
    expect(over, 'an attempt that may still be answered').not.to.include(batch)
    expect(contentsOf(batch))
      .to.include({ sequence })
      .and.to.deep.include({ values: ['later'] })
    for (const one of over) for (const answer of [appended(900), unanswered, rejected(6)]) one.answer(answer)
    expect([await outcomesOf(pending), stage.producer.state]).to.deep.equal([undefined, 'awaiting'])
    batch.answer(appended(50))
    expect(await outcomesOf(pending)).to.deep.equal(['at 50'])
  }

  it('are used for the next batch, without anything of the last one', async () => {
    const pending: MemoryPendingProduce[] = []
    const batches = new Set<SealedBatch>()
    for (let at = 0; at < 4; at++) {
      pending.push(stage.append(`value ${at}`))
      const batch = stage.requireBatch()
      batches.add(batch)
      expect(contentsOf(batch)).to.deep.equal({ epoch: 0, sequence: at, values: [`value ${at}`] })
      expect(batch.recall).to.equal(undefined)
      batch.recall = () => false
      batch.answer(appended(10 + at))
      expect(batch.bytes.length, 'its memory is free').to.equal(0)
    }
    expect(batches.size).to.equal(1)
    expect(await Promise.all(pending.map(outcomesOf))).to.deep.equal([['at 10'], ['at 11'], ['at 12'], ['at 13']])
    expect([stage.counters.delivered, stage.budget.records, stage.budget.usedBytes]).to.deep.equal([4, 0, 0])
  })

  it('forget requests, times and withdrawn records', async () => {
    const { producer } = stage
    const deadlineAt = performance.now() + 60_000
    const [first, second] = [new MemoryPendingProduce(2, deadlineAt, 0), new MemoryPendingProduce(1, deadlineAt, 0)]
    producer.append({ ...record('orders', 'A'), timestampMs: 5 }, 5, first, 0)
    producer.append(record('orders', 'B'), 6, second, 0)
    const short = stage.append('C', 10)
    producer.append(record('orders', 'D'), 7, first, 1)
    await stage.pass(10)
    stage.tick()
    const batch = stage.requireBatch()
    expect(contentsOf(batch).values).to.deep.equal(['A', 'B', 'D'])
    batch.answer(appended(20))
    const next = stage.append(['E', 'F'])
    expect([producer.oldestAt, stage.budget.records]).to.deep.equal([10, 2])
    const again = stage.requireBatch()
    expect(contentsOf(again)).to.deep.equal({ epoch: 0, sequence: 3, values: ['E', 'F'] })
    again.answer(appended(23))
    expect(await Promise.all([first, second, short, next].map(outcomesOf))).to.deep.equal([
      ['at 20', 'at 22'],
      ['at 21'],
      ['timedOut, no'],
      ['at 23', 'at 24']
    ])
  })

  it('are not used where an earlier attempt may still be answered', async () => {
    const pending = stage.append('A')
    const first = stage.requireBatch()
    first.answer(unanswered)
    const second = await nextAttempt()
    second.answer(rejected(NOT_ENOUGH_REPLICAS))
    const third = await nextAttempt()
    third.answer(appended(7))
    expect(await outcomesOf(pending)).to.deep.equal(['at 7'])
    await expectOwnAnswer(1, first, second, third)
  })

  it('are not used where the Router has given the batch back', async () => {
    stage.append('A')
    stage.requireBatch().answer(appended(0))
    const pending = stage.append('B', 100)
    const first = stage.requireBatch()
    first.recall = () => {
      first.answer({ type: 'notSent', reason: 'noLeader', message: 'taken back' })
      return true
    }
    await stage.pass(100)
    stage.tick()
    stage.take()
    expect(await outcomesOf(pending)).to.deep.equal(['timedOut, no'])
    await expectOwnAnswer(1, first)
  })

  it('are not used for the parts of a batch that was split, nor after them', async () => {
    const pending = stage.append(['A', 'B'])
    const whole = stage.requireBatch()
    whole.answer(rejected(INVALID_RECORD))
    const first = stage.requireBatch()
    expect(first).not.to.equal(whole)
    expect(contentsOf(first).values).to.deep.equal(['A'])
    whole.answer(appended(900))
    expect(pending.isComplete).to.equal(false)
    first.answer(appended(3))
    const other = stage.requireBatch()
    expect(contentsOf(other).values).to.deep.equal(['B'])
    whole.answer(appended(901))
    other.answer(appended(4))
    expect(await outcomesOf(pending)).to.deep.equal(['at 3', 'at 4'])
    await expectOwnAnswer(2, whole)
  })
})
