import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { Attempts } from '../../../src/producer/memory/attempts.js'
import { Budget, PartitionCharge, partitionFull } from '../../../src/producer/memory/budget.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { type HeadFacts, judge, persistedOf } from '../../../src/producer/memory/verdict.js'
import { appended, rejected, unanswered } from './partition-producer-stage.js'

const NOT_LEADER = 6

describe('delivery: the reason why a record is not in Kafka yet', () => {
  const setUp = () => {
    const cluster = { clusterId: undefined, awayBecause: undefined as string | undefined }
    const partition = { topic: 'orders', partition: 3, attemptAnswered: () => undefined }
    const trouble = new Attempts(partition, cluster, silentLogger)
    return { cluster, trouble, told: (persisted: 'no' | 'unknown' = 'no') => trouble.tooLate(persisted).message }
  }

  it('is that it waited, or what the last attempt was told', () => {
    const { trouble, told } = setUp()
    expect(told()).to.equal('the record was not delivered in time: it was waiting to be sent')
    trouble.refused('NOT_ENOUGH_REPLICAS (19)')
    expect(told()).to.equal('the record was not delivered in time: NOT_ENOUGH_REPLICAS (19)')
    expect(trouble.timedOut('unknown')).to.include({ code: 'timedOut', persisted: 'unknown' })
  })

  it('names what keeps the leader away until a broker answers, else why none can be reached', () => {
    const { cluster, trouble, told } = setUp()
    cluster.awayBecause = 'no broker at all'
    expect([trouble.cause, told()]).to.deep.equal([
      'no broker at all',
      'the record was not delivered in time: it was waiting to be sent; last error: no broker at all'
    ])
    trouble.delayed('ECONNREFUSED')
    expect(trouble.cause).to.equal('ECONNREFUSED')
    for (const answer of [unanswered, { type: 'notSent', reason: 'noLeader', message: 'none' } as const]) {
      trouble.answered(answer)
      expect(trouble.cause, answer.type).to.equal('ECONNREFUSED')
    }
    for (const answer of [appended(), rejected(NOT_LEADER)]) {
      trouble.delayed('ECONNREFUSED')
      trouble.answered(answer)
      expect(trouble.cause, answer.type).to.equal('no broker at all')
    }
  })

  it('is that there is no such topic where that was the last answer, and nothing can have been written', () => {
    const { trouble } = setUp()
    const codeOf = (persisted: 'no' | 'unknown'): string => trouble.tooLate(persisted).code
    trouble.answered(rejected(3))
    expect([codeOf('no'), codeOf('unknown'), trouble.timedOut('no').code]).to.deep.equal([
      'unknownTopic',
      'timedOut',
      'timedOut'
    ])
    for (const answer of [rejected(NOT_LEADER), appended(), unanswered]) {
      trouble.answered(rejected(3))
      trouble.answered(answer)
      expect(codeOf('no')).to.equal('timedOut')
    }
  })
})

describe('delivery: a verdict about records on disk', () => {
  const head: HeadFacts = {
    topic: 'orders',
    partition: 3,
    recordCount: 1,
    maybeWritten: false,
    isExpired: false,
    isDurable: true,
    isPromised: false
  }
  const notSent = (reason: 'unknownTopic' | 'unknownPartition' | 'shuttingDown' | 'clusterChanged' | 'noLeader') =>
    ({ type: 'notSent', reason, message: 'because' }) as const

  it('lets them wait where there is nowhere to send them, and where rights are missing', () => {
    for (const reason of ['unknownTopic', 'unknownPartition', 'shuttingDown'] as const) {
      expect(judge(head, notSent(reason))).to.deep.include({ type: 'suspend' })
      expect(judge(head, notSent(reason))).to.have.nested.property('failure.code', reason)
      expect(judge({ ...head, isDurable: false }, notSent(reason)).type).to.equal('fail')
    }
    for (const maybeWritten of [true, false]) {
      expect(judge({ ...head, maybeWritten, recordCount: 4 }, rejected(29))).to.include({
        type: 'retry',
        soon: false,
        maybeWritten
      })
    }
  })

  it('finds the one that is refused for good by halves, and fails it alone', () => {
    for (const maybeWritten of [true, false]) {
      const several = judge({ ...head, maybeWritten, recordCount: 2 }, rejected(42))
      expect(several).to.deep.equal({ type: 'split', renumber: maybeWritten, lowersLimit: false })
      expect(judge({ ...head, maybeWritten }, rejected(42))).to.include({ type: 'fail', renumber: maybeWritten })
    }
    expect(judge({ ...head, isDurable: false, recordCount: 2 }, rejected(42)).type).to.equal('fail')
  })

  it('is as certain as all that went before', () => {
    for (const reason of ['unknownTopic', 'unknownPartition', 'shuttingDown'] as const) {
      for (const maybeWritten of [true, false]) {
        expect(judge({ ...head, maybeWritten }, notSent(reason))).to.have.nested.property(
          'failure.persisted',
          persistedOf(maybeWritten)
        )
      }
    }
  })

  it('lets records in memory, too, be tried again soon in another cluster, and gives up with the last error named', () => {
    const memory = { ...head, isDurable: false }
    expect(judge(memory, notSent('clusterChanged'))).to.include({ type: 'retry', soon: true, maybeWritten: false })
    expect(judge(memory, notSent('noLeader'))).to.include({ type: 'retry', soon: false })
    const expired = judge({ ...memory, isExpired: true, lastError: 'ECONNREFUSED' }, notSent('noLeader'))
    expect(expired).to.have.nested.property('failure.message').that.contains('because; last error: ECONNREFUSED')
    for (const maybeWritten of [true, false]) {
      const forgotten = judge({ ...memory, isExpired: true, maybeWritten }, rejected(45))
      expect(forgotten).to.include({ type: 'fail', renumber: maybeWritten })
      expect(forgotten).to.have.nested.property('failure.persisted', persistedOf(maybeWritten))
    }
  })
})

describe('delivery: failures', () => {
  it('say whose turn it is: trying again helps, or it does not', () => {
    const helps = [
      failures.unknownTopic('t'),
      failures.overloaded('it is', 1, 's'),
      failures.logUnavailable('full'),
      failures.stillPending('late'),
      failures.shuttingDown(),
      failures.timedOut('late', 'no')
    ]
    const helpsNot = [
      failures.invalidTopic('?'),
      failures.unknownPartition('t', 1),
      failures.invalid('it'),
      failures.exceedsRecordLimit(2, 1),
      failures.bug('no'),
      failures.codecUnavailable('no zstd', 'no')
    ]
    expect(helps.filter(({ retriable }) => !retriable)).to.deep.equal([])
    expect(helpsNot.filter(({ retriable }) => retriable)).to.deep.equal([])
    for (const failure of [...helps, ...helpsNot]) {
      expect(failure.type).to.equal('failed')
      expect(failure.persisted).to.equal(failure.message.includes('durable log') ? 'pending' : 'no')
      expect(failure.errorCode).to.equal(failure.code === 'unknownTopic' ? 3 : undefined)
    }
  })

  it('are as uncertain as they are told to be', () => {
    for (const failure of [
      failures.unknownTopic('t', 'unknown'),
      failures.unknownPartition('t', 1, 'unknown'),
      failures.logUnavailable('full', 'unknown'),
      failures.shuttingDown('unknown'),
      failures.bug('unknown'),
      failures.codecUnavailable('no zstd', 'unknown')
    ]) {
      expect(failure.persisted, failure.code).to.equal('unknown')
    }
  })
})

describe('delivery: the limit that a full partition names', () => {
  it('is the one that holds: its share, or what all that are stuck may have', () => {
    const budget = new Budget(1_000, () => undefined)
    const charge = new PartitionCharge(budget, 300)
    const told = (bytes: number): string =>
      partitionFull({ topic: 'orders', partition: 3, charge } as never, bytes, budget, 300).message
    expect(told(1)).to.equal(
      'the buffer of orders/3 is full (limit 300; advanced.delivery.maxPartitionBytes, delivery.maxBytes)'
    )
    budget.hold(901, 1)
    expect(told(1), 'whole bytes').to.contain('limit 118;')
    charge.setStuck(true)
    budget.stick(400)
    expect(told(100)).to.contain('the buffer of orders/3')
    expect(told(101)).to.contain('stuck').and.to.contain('limit 500; half of delivery.maxBytes')
    charge.setStuck(false)
    expect(told(101)).to.contain('the buffer of orders/3')
    budget.hold(-901, -1)
    budget.stick(-400)
  })
})
