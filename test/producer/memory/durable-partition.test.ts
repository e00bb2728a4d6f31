import { expect } from 'chai'
import { MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import type { BatchAnswer, SealedBatch } from '../../../src/router/messages/operations.js'
import { record } from '../../support/delivery-stage.js'
import {
  appended,
  contentsOf,
  FakeBatchOwner,
  outcomesOf,
  PartitionProducerStage,
  rejected,
  sentRecords,
  unanswered
} from './partition-producer-stage.js'

const NOT_ENOUGH_REPLICAS = 19
const INVALID_RECORD = 87
const UNKNOWN_PRODUCER_ID = 59
const unknownTopic: BatchAnswer = { type: 'notSent', reason: 'unknownTopic', message: 'there is none' }

describe('delivery: a partition of records that are kept on disk', () => {
  let stage: PartitionProducerStage
  let owner: FakeBatchOwner
  beforeEach(() => {
    owner = new FakeBatchOwner()
    stage = new PartitionProducerStage({ timeoutMs: Number.POSITIVE_INFINITY }, owner)
  })
  afterEach(() => stage.restore())
  const answer = async (batch: SealedBatch, what: BatchAnswer): Promise<void> => {
    batch.answer(what)
    await stage.pass(0)
  }
  const decide = async (isDeadLetter: boolean): Promise<void> => {
    owner.decide.shift()!(isDeadLetter)
    await stage.pass(0)
  }

  it('compares the clock with that of a broker by the time since the batch was sent: records on disk know no other', async () => {
    const receiver = new MemoryPendingProduce(1, Number.POSITIVE_INFINITY)
    stage.producer.append(record('orders', 'A'), 1, receiver, 0)
    const batch = stage.requireBatch()
    await stage.pass(2_000)
    await answer(batch, { type: 'appended', baseOffset: 0, logAppendTimeMs: Date.now() - 60_000 })
    expect(stage.ownTime.clockAheadMs).to.equal(58_000)
  })

  it('waits until it is woken when there is nowhere to send them', async () => {
    const pendingProduce = stage.append(['A', 'B'])
    stage.producer.wake()
    const batch = stage.requireBatch()
    stage.producer.wake()
    expect([stage.isReady, stage.producer.state], 'it does not sleep').to.deep.equal([false, 'awaiting'])
    await answer(batch, unknownTopic)
    await stage.pass(60_000)
    stage.append('C')
    expect([stage.producer.state, stage.isReady, owner.suspensions]).to.deep.equal([
      'suspended',
      false,
      ['unknownTopic']
    ])
    expect([stage.counters.failed, pendingProduce.isComplete]).to.deep.equal([0, false])
    stage.producer.wake()
    const again = stage.requireBatch()
    expect(contentsOf(again)).to.deep.equal({ epoch: 0, sequence: 0, values: ['A', 'B'] })
    await answer(again, appended(3))
    expect(await outcomesOf(pendingProduce)).to.deep.equal(['at 3', 'at 4'])
  })

  it('isolates the record that Kafka refuses for good; it becomes a dead letter before the next one goes', async () => {
    const pendingProduce = stage.append(['good', 'bad', 'next'])
    await answer(stage.requireBatch(), rejected(INVALID_RECORD))
    const good = stage.requireBatch()
    expect(contentsOf(good).values).to.deep.equal(['good'])
    await answer(good, appended(0))
    await answer(stage.requireBatch(), rejected(INVALID_RECORD))
    const bad = stage.requireBatch()
    expect(contentsOf(bad).values).to.deep.equal(['bad'])
    await answer(bad, rejected(INVALID_RECORD))
    expect(owner.deadLetters).to.deep.equal([{ index: 1, code: 'recordRejected' }])
    stage.producer.wake()
    expect([stage.producer.state, stage.isReady, stage.producer.takeBackSent()]).to.deep.equal(['suspended', false, []])
    await decide(true)
    const next = stage.requireBatch()
    expect(contentsOf(next)).to.deep.equal({ epoch: 3, sequence: 0, values: ['next'] })
    await answer(next, appended(1))
    expect(await outcomesOf(pendingProduce)).to.deep.equal(['at 0', 'recordRejected, no', 'at 1'])
    expect([stage.counters.failed, stage.budget.records]).to.deep.equal([1, 0])
  })

  it('goes on where another process stopped, with the same batch under the same number', async () => {
    const pendingProduce = stage.append([])
    const numbering = { producerId: 9n, epoch: 4, nextSequence: 70 }
    await stage.pass(5_000)
    stage.producer.resume(sentRecords(['A', 'B'], 0), pendingProduce, numbering)
    expect([stage.producer.sentIndexes, stage.budget.records]).to.deep.equal([[0, 1], 2])
    expect(stage.budget.usedBytes).to.be.above(1_024)
    stage.append('C')
    const batch = stage.requireBatch()
    expect(batch.bytes.readBigInt64BE(43)).to.equal(9n)
    expect(contentsOf(batch)).to.deep.equal({ epoch: 4, sequence: 70, values: ['A', 'B'] })
    await stage.pass(499)
    stage.tick()
    expect(stage.producer.charge.isStuck, 'its time begins now').to.equal(false)
    await answer(batch, appended())
    expect([contentsOf(stage.requireBatch()), stage.counters.delivered]).to.deep.equal([
      { epoch: 4, sequence: 72, values: ['C'] },
      2
    ])
  })

  it('takes what it goes on with for something that may be written: it is fenced before the epoch is left', async () => {
    const pendingProduce = stage.append([])
    stage.producer.resume(sentRecords(['A', 'B'], 0), pendingProduce, undefined)
    const batch = stage.requireBatch()
    expect(contentsOf(batch)).to.deep.equal({ epoch: 0, sequence: 0, values: ['A', 'B'] })
    await answer(batch, rejected(INVALID_RECORD))
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 1, sequence: 0, values: ['A'] })
  })

  it('gives back the batch that is tried, too, unless the Router has it', async () => {
    expect(stage.producer.takeBackSent()).to.deep.equal([])
    stage.append(['A', 'B'])
    const batch = stage.requireBatch()
    expect(stage.producer.takeBackSent()).to.deep.equal([])
    await answer(batch, unanswered)
    stage.append('C')
    expect([stage.producer.takeBackSent(), stage.producer.sentIndexes, stage.budget.records]).to.deep.equal([
      [0, 1],
      [],
      1
    ])
    expect(stage.clock.countTimers(), 'it waits no longer').to.equal(0)
    expect(contentsOf(stage.requireBatch()).values).to.deep.equal(['C'])
  })

  it('sets the batch aside that waits to be tried again, with its number, and is empty then', async () => {
    expect(stage.producer.setAside()).to.equal(undefined)
    stage.append(['A', 'B'])
    const batch = stage.requireBatch()
    expect(stage.producer.setAside(), 'the Router has it').to.equal(undefined)
    await answer(batch, rejected(NOT_ENOUGH_REPLICAS))
    expect(stage.producer.setAside()).to.deep.equal({ indexes: [0, 1], numbering: stage.numbering })
    expect([stage.budget.usedBytes, stage.producer.isIdle, stage.isEmptied]).to.deep.equal([0, true, true])
    await stage.pass(10_000)
    expect([stage.isReady, stage.producer.setAside()]).to.deep.equal([false, undefined])
  })

  it('is not idle while records wait behind a batch that was set aside', async () => {
    stage.append('A')
    const batch = stage.requireBatch()
    stage.append('B')
    await answer(batch, rejected(NOT_ENOUGH_REPLICAS))
    stage.producer.setAside()
    expect([stage.producer.isIdle, stage.budget.records]).to.deep.equal([false, 1])
    stage.producer.takeBack()
    expect([stage.producer.isIdle, stage.budget.records]).to.deep.equal([true, 0])
  })

  it('makes it no less uncertain that a batch came back, nor the next one', async () => {
    stage.append('A')
    await answer(stage.requireBatch(), unanswered)
    const aside = stage.producer.setAside()!
    stage.producer.resume(sentRecords(['A'], 0), stage.append([]), aside.numbering)
    const again = stage.requireBatch()
    expect(contentsOf(again)).to.deep.equal({ epoch: 0, sequence: 0, values: ['A'] })
    await answer(again, rejected(INVALID_RECORD))
    await decide(true)
    stage.append('B')
    expect(contentsOf(stage.requireBatch())).to.deep.equal({ epoch: 1, sequence: 0, values: ['B'] })
  })

  it('is not set aside while it has to look for a batch whose producer brokers have forgotten', async () => {
    stage.restore()
    const sought: boolean[] = []
    stage = new PartitionProducerStage({ timeoutMs: Number.POSITIVE_INFINITY }, owner, {
      now: () => Date.now(),
      mayBeForgotten: () => false,
      sentUnknown: () => undefined,
      find: async ({ isForgotten }) => {
        sought.push(isForgotten)
        return { type: 'found', baseOffset: 5 }
      }
    })
    const pendingProduce = stage.append('A')
    await answer(stage.requireBatch(), unanswered)
    await stage.pass(5_000)
    await answer(stage.requireBatch(), rejected(UNKNOWN_PRODUCER_ID))
    expect(stage.producer.setAside()).to.equal(undefined)
    await stage.pass(5_000)
    expect(stage.take()).to.equal(undefined)
    await stage.pass(0)
    expect(sought).to.deep.equal([true])
    expect(await outcomesOf(pendingProduce)).to.deep.equal(['at 5'])
  })
})
