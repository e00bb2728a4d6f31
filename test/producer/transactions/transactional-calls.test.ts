import { expect } from 'chai'
import sinon from 'sinon'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { TransactionalCalls } from '../../../src/producer/transactions/transactional-calls.js'
import type { Failure, RouterMessage } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'

describe('the calls of a transactional id', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers()
  })
  afterEach(() => clock.restore())

  it('end with an interruption, also one in the pause before the next attempt, and leave no timer', async () => {
    let attempts = 0
    const router = {
      path: 'router',
      tell(message: RouterMessage) {
        attempts++
        const { requester } = message as { readonly requester?: { reply(failure: Failure): void } }
        requester?.reply(kafkaFailure(errorCodes.CONCURRENT_TRANSACTIONS))
      },
      stop: () => undefined
    }
    const calls = new TransactionalCalls({ router, clock: () => clock.now }, 'etl')
    const answers: string[] = []
    const producer = { producerId: 1n, producerEpoch: 0 }
    void calls
      .ask({ type: 'addOffsetsToTxn', producer, group: 'readers' }, 60_000)
      .then(({ type }) => answers.push(type))
    await clock.tickAsync(1_000)
    const before = attempts
    expect(before).to.be.greaterThan(3)
    calls.interrupt()
    await clock.tickAsync(0)
    expect(answers).to.deep.equal(['timedOut'])
    expect([attempts, clock.countTimers()]).to.deep.equal([before, 0])
  })

  it('count an end that is answered only by CONCURRENT_TRANSACTIONS as one that may be carried out', async () => {
    const router = {
      path: 'router',
      tell(message: RouterMessage) {
        const { requester } = message as { readonly requester?: { reply(failure: Failure): void } }
        requester?.reply(kafkaFailure(errorCodes.CONCURRENT_TRANSACTIONS))
      },
      stop: () => undefined
    }
    const calls = new TransactionalCalls({ router, clock: () => clock.now }, 'etl')
    const producer = { producerId: 1n, producerEpoch: 0 }
    const typeOf = async (asked: Promise<{ readonly type: string }>): Promise<string> => {
      await clock.tickAsync(1_000)
      return (await asked).type
    }
    const added = calls.ask({ type: 'addOffsetsToTxn', producer, group: 'readers' }, clock.now + 1_000)
    expect(await typeOf(added)).to.equal('timedOut')
    expect(calls.unanswered, 'what was refused').to.equal(0)
    const ended = calls.ask({ type: 'endTxn', producer, isCommit: true }, clock.now + 1_000)
    expect(await typeOf(ended)).to.equal('timedOut')
    expect(calls.unanswered).to.be.greaterThan(0)
  })
})
