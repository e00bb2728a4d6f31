import { expect } from 'chai'
import type { BatchAnswer } from '../../../src/router/messages/operations.js'
import { notSent, produceBatch } from '../../../src/router/processors/produce-batch.js'
import type { Accepted, AnyAccepted } from '../../../src/router/requests/accepted.js'
import { answerTimedOut, answerUnknown, fail } from '../../../src/router/requests/answers.js'
import { kafkaFailure, ownFailure } from '../../../src/router/requests/failures.js'
import { ProcessorHarness } from './harness.js'

describe('answers to sealed batches', () => {
  const harness = new ProcessorHarness()
  let answers: BatchAnswer[]
  let batch: Accepted<'produceBatch'>
  beforeEach(() => {
    answers = []
    const sealed = {
      topic: 'orders',
      partition: 3,
      bytes: Buffer.alloc(1),
      answer: (told: BatchAnswer) => answers.push(told)
    }
    batch = harness.openRequests.accept(produceBatch, sealed as never, 5_000, 0)
  })
  const any = (): AnyAccepted => batch as AnyAccepted

  it('name what kept a batch from being sent until its time was up', () => {
    batch.obstacle = 'brokerUnreachable'
    answerTimedOut(any())
    const message = 'orders/3: the leader could not be reached in time'
    expect(answers).to.deep.equal([{ type: 'notSent', reason: 'brokerUnreachable', message }])
  })

  it('do not come from the deadline while a call carries the batch: only the call tells what became of it', () => {
    batch.inFlight = true
    answerTimedOut(any())
    expect([answers, batch.settled]).to.deep.equal([[], false])
  })

  for (const [what, reason, message] of [
    ['topic', 'unknownTopic', 'orders/3: the topic does not exist'],
    ['partition', 'unknownPartition', 'orders/3: the topic has no such partition']
  ] as const) {
    it(`name a ${what} that is unknown`, () => {
      answerUnknown(any(), what)
      expect(answers).to.deep.equal([{ type: 'notSent', reason, message }])
    })
  }

  it('are rejections where Kafka has refused the batch, with its code', () => {
    fail(any(), kafkaFailure(29))
    expect(answers).to.deep.equal([{ type: 'rejected', errorCode: 29 }])
  })

  for (const code of ['shuttingDown', 'brokerUnreachable', 'overloaded', 'unknownTopic'] as const) {
    it(`keep the reason ${code}`, () => {
      fail(any(), ownFailure(code, 'why', true))
      expect(answers).to.deep.equal([{ type: 'notSent', reason: code, message: 'why' }])
    })
  }

  it('know no leader for any other reason', () => {
    fail(any(), ownFailure('protocol', 'why', false))
    expect(answers).to.deep.equal([{ type: 'notSent', reason: 'noLeader', message: 'why' }])
  })

  it('are given once', () => {
    expect([notSent(batch, 'clusterChanged'), notSent(batch, 'noLeader')]).to.deep.equal([true, false])
    expect(answers.map(answer => answer.type === 'notSent' && answer.reason)).to.deep.equal(['clusterChanged'])
  })
})
