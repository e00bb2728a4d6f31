import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { Attempts, retryPauseMs } from '../../../src/producer/memory/attempts.js'
import { Budget, boundless, PartitionCharge } from '../../../src/producer/memory/budget.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { type Arrival, MemoryPendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { CapacityLine, roughSizeOf, WaitingRecords } from '../../../src/producer/memory/waiting-records.js'
import { checkRows } from '../../support/rows.js'

const pendingOf = (recordCount = 10, deadlineAt = 1_000, capacityUntil?: number): MemoryPendingProduce =>
  new MemoryPendingProduce(recordCount, deadlineAt, 5, capacityUntil)

function arrival(value: string, pendingProduce = pendingOf(), index = 0): Arrival {
  const record = { topic: 't', key: null, value: Buffer.from(value), headers: [{ key: 'h', value: Buffer.from('v') }] }
  return { record, partitioner: 'random' as never, timestampMs: 1, pendingProduce, index }
}

const made: Budget[] = []
const budgetOf = (onChange = (): unknown => undefined): Budget => {
  const budget = new Budget(1_000, () => void onChange())
  made.push(budget)
  return budget
}
const emptyAll = (): void => {
  for (const budget of made.splice(0)) {
    budget.onFreed(() => undefined)
    budget.hold(-budget.usedBytes, -budget.records)
    budget.stick(-budget.stuckBytes)
  }
}

describe('delivery: the buffer', () => {
  afterEach(emptyAll)

  it('counts what is held, and tells of what changes and what is given back', () => {
    let changes = 0
    let freed = 0
    const budget = budgetOf(() => changes++)
    budget.onFreed(() => expect.fail('replaced by the next one'))
    budget.onFreed(() => freed++)
    budget.hold(400, 2)
    expect([budget.usedBytes, budget.records, changes, freed]).to.deep.equal([400, 2, 1, 0])
    budget.hold(0, -1)
    expect([budget.usedBytes, budget.records, changes, freed]).to.deep.equal([400, 1, 2, 0])
    budget.hold(-400, -1)
    expect([budget.usedBytes, budget.records, changes, freed]).to.deep.equal([0, 0, 3, 1])
  })

  it('has capacity to the last byte, and three quarters for a single request that fills its partition', () => {
    const budget = budgetOf()
    budget.hold(600, 1)
    expect([budget.hasCapacity(400), budget.hasCapacity(401)]).to.deep.equal([true, false])
    expect([budget.hasSpare(150), budget.hasSpare(151)]).to.deep.equal([true, false])
  })

  it('gives a partition its whole share while a quarter is free, and less and less then', () => {
    const budget = budgetOf()
    budget.hold(750, 1)
    expect(budget.shareOf(200)).to.equal(200)
    budget.hold(125, 1)
    expect(budget.shareOf(200)).to.equal(100)
    budget.hold(125, 1)
    expect(budget.shareOf(200)).to.equal(0)
  })

  it('lets partitions that do not move have half, and topics that are looked up three quarters', () => {
    let freed = 0
    const budget = budgetOf()
    budget.onFreed(() => freed++)
    budget.stick(400)
    expect(freed, 'others may have more of it now').to.equal(1)
    expect([budget.stuckBytes, budget.stuckPartitionsMaxBytes]).to.deep.equal([400, 500])
    expect([budget.mayStick(100), budget.mayStick(101)]).to.deep.equal([true, false])
    expect([budget.mayHold(350), budget.mayHold(351)]).to.deep.equal([true, false])
    budget.stick(-400)
    expect([budget.stuckBytes, freed]).to.deep.equal([0, 1])
    budget.enqueue(50, 2)
    expect([budget.stuckBytes, budget.usedBytes, budget.records]).to.deep.equal([50, 50, 2])
    budget.enqueue(-50, -2)
    expect([budget.stuckBytes, budget.usedBytes, budget.records]).to.deep.equal([0, 0, 0])
  })

  it('need not bound records that are bounded elsewhere', () => {
    boundless.hold(1e12, 1)
    boundless.stick(1e12)
    expect([boundless.hasCapacity(1e12), boundless.hasSpare(1e12), boundless.mayStick(1e12)]).to.deep.equal([
      true,
      true,
      true
    ])
    expect(boundless.shareOf(7)).to.equal(7)
  })
})

describe('delivery: what a partition may hold', () => {
  afterEach(emptyAll)

  const charge = (budget = budgetOf()): PartitionCharge => new PartitionCharge(budget, 100)

  it('is its share, to the byte', () => {
    const producer = charge()
    const [one, other] = [pendingOf(), pendingOf()]
    producer.take(60, one)
    producer.take(20, other)
    expect([producer.bytes, producer.allows(20, one), producer.allows(21, one)]).to.deep.equal([80, true, false])
  })

  it('is more for a single request that found it empty, as long as the buffer has enough', () => {
    const producer = charge()
    const [one, other] = [pendingOf(), pendingOf()]
    expect(producer.allows(700, one)).to.equal(true)
    producer.take(700, one)
    expect([producer.allows(50, one), producer.allows(51, one), producer.allows(1, other)]).to.deep.equal([
      true,
      false,
      false
    ])
    producer.hold(-690, 0)
    producer.take(10, other)
    expect(producer.allows(90, one), 'others have records there now').to.equal(false)
    producer.hold(-20, -2)
    producer.emptied()
    expect(producer.allows(700, other)).to.equal(true)
  })

  it('is nothing for others while records wait for capacity in it, in the order in which they came', () => {
    const producer = charge()
    producer.isWaitedFor = true
    expect([producer.allows(1, pendingOf()), producer.allowsNext(1, pendingOf())]).to.deep.equal([false, true])
  })

  it('counts with all others that do not move, for as long as it does not', () => {
    const budget = budgetOf()
    const [producer, other] = [charge(budget), charge(budget)]
    producer.take(80, pendingOf())
    producer.setStuck(true)
    producer.setStuck(true)
    expect([producer.isStuck, budget.stuckBytes]).to.deep.equal([true, 80])
    producer.take(10, pendingOf())
    expect(budget.stuckBytes).to.equal(90)
    budget.stick(410)
    expect(producer.allows(1, pendingOf()), 'all that are stuck have half of the buffer').to.equal(false)
    expect(other.allows(1, pendingOf())).to.equal(true)
    producer.setStuck(false)
    expect([producer.isStuck, budget.stuckBytes]).to.deep.equal([false, 410])
    producer.setStuck(true)
    producer.hold(-90, -2)
    producer.emptied()
    expect([producer.isStuck, budget.stuckBytes]).to.deep.equal([false, 410])
  })
})

describe('delivery: records that wait for the partitions of their topic', () => {
  it('have bytes of their own, and come out in the order in which they came', () => {
    const deferred = new WaitingRecords()
    const [one, two] = [arrival('one'), arrival('two')]
    const charged = deferred.add(one) + deferred.add(two)
    ;(one.record.value as Buffer).fill('x')
    ;(one.record.headers![0]!.value as Buffer).fill('x')
    expect([deferred.recordCount, deferred.chargedBytes, deferred.oldestAt]).to.deep.equal([2, charged, 5])
    expect(charged).to.be.above(roughSizeOf(one.record) + roughSizeOf(two.record))
    const all = deferred.takeAll()
    expect(all.map(({ record }) => String(record.value))).to.deep.equal(['one', 'two'])
    expect(String(all[0]!.record.headers![0]!.value)).to.equal('v')
    expect([deferred.recordCount, deferred.chargedBytes, deferred.oldestAt]).to.deep.equal([
      0,
      0,
      Number.POSITIVE_INFINITY
    ])
  })

  it('know whether they are all of one request', () => {
    const deferred = new WaitingRecords()
    const [one, other] = [pendingOf(), pendingOf()]
    expect(deferred.isOnlyOf(one)).to.equal(true)
    deferred.add(arrival('a', one))
    deferred.add(arrival('b', one, 1))
    expect([deferred.isOnlyOf(one), deferred.isOnlyOf(other)]).to.deep.equal([true, false])
    deferred.add(arrival('c', other))
    expect([deferred.isOnlyOf(one), deferred.isOnlyOf(other)]).to.deep.equal([false, false])
    deferred.takeAll()
    deferred.add(arrival('d', other))
    expect([deferred.isOnlyOf(one), deferred.isOnlyOf(other)]).to.deep.equal([false, true])
  })

  it('leave when the time of their request is over, each at its own', async () => {
    const deferred = new WaitingRecords()
    const [early, late] = [pendingOf(1, 100), pendingOf(1, 200)]
    deferred.add(arrival('late', late))
    const earlyBytes = deferred.add(arrival('early', early))
    const before = deferred.chargedBytes
    const failure = failures.unknownTopic('t')
    expect(deferred.expire(99, failure)).to.equal(0)
    expect(deferred.expire(100, failure)).to.equal(1)
    expect(await early.outcomes()).to.deep.equal([failure])
    expect([deferred.recordCount, deferred.chargedBytes]).to.deep.equal([1, before - earlyBytes])
    expect([deferred.expire(199, failure), late.isComplete]).to.deep.equal([0, false])
    expect([deferred.expire(200, failure), late.isComplete]).to.deep.equal([1, true])
    expect([deferred.expire(1_000, failure), deferred.chargedBytes]).to.deep.equal([0, 0])
  })

  it('queue for a place, and enter in order; what may not enter is refused', async () => {
    let held = 0
    const queue = new CapacityLine(bytes => (held += bytes))
    const [one, other] = [pendingOf(2, 1_000, 500), pendingOf(1, 1_000, 500)]
    for (const each of [arrival('a', one), arrival('b', other), arrival('c', one, 1)]) queue.add(each)
    expect([queue.isEmpty, held > 0, one.isWaiting, other.isWaiting]).to.deep.equal([false, true, true, true])
    const failure = failures.overloaded('it is', 1, 's')
    const entered: string[] = []
    const refused = queue.enterAll(({ record }) => {
      entered.push(String(record.value))
      return String(record.value) === 'b' ? failure : undefined
    })
    expect([refused, entered, held, queue.isEmpty]).to.deep.equal([1, ['a', 'b', 'c'], 0, true])
    expect([one.isWaiting, other.isWaiting]).to.deep.equal([false, false])
    expect([await one.accepted(), await other.accepted()]).to.deep.equal([undefined, [failure]])
    expect(queue.enterAll(() => undefined)).to.equal(0)
  })

  it('are refused once they have waited long enough, and the others go on waiting', () => {
    const queue = new CapacityLine(() => undefined)
    const [short, long] = [pendingOf(1, 1_000, 100), pendingOf(1, 1_000, 200)]
    queue.add(arrival('long', long))
    queue.add(arrival('short', short))
    const failure = failures.overloaded('it is', 1, 's')
    expect([queue.refuseOver(99, () => failure), queue.refuseOver(100, () => failure)]).to.deep.equal([0, 1])
    expect([short.isComplete, long.isComplete, queue.isEmpty]).to.deep.equal([true, false, false])
    expect(queue.refuseOver(200, () => failure)).to.equal(1)
    expect([long.isComplete, queue.isEmpty]).to.deep.equal([true, true])
  })
})

describe('delivery: the answer of the Router that a partition waits for', () => {
  const start = (heard: unknown[] = []): Attempts => {
    const partition = { topic: 'orders', partition: 3, attemptAnswered: (answer: unknown) => heard.push(answer) }
    return new Attempts(partition, { clusterId: undefined, awayBecause: undefined }, silentLogger)
  }

  it('is that to its last attempt; answers to earlier ones are not heard', () => {
    const heard: unknown[] = []
    const attempts = start(heard)
    const first = attempts.send({} as never, 100)
    expect(attempts.waitedMs(130)).to.equal(30)
    first.delayed!('no leader')
    const second = attempts.send({} as never, 200)
    first.answer('late' as never)
    first.delayed!('late')
    second.answer('now' as never)
    expect([heard, attempts.cause, attempts.waitedMs(201), attempts.count]).to.deep.equal([['now'], 'no leader', 1, 2])
    attempts.forget()
    second.answer('again' as never)
    expect(heard).to.have.length(1)
  })

  it('is waited for further when the batch cannot be taken back, and no more when it can', () => {
    for (const isBack of [true, false, undefined]) {
      const heard: unknown[] = []
      const attempts = start(heard)
      const sealed = attempts.send({} as never, 0)
      if (isBack !== undefined) sealed.recall = () => isBack
      expect(attempts.recall()).to.equal(isBack === true)
      sealed.answer('sent' as never)
      expect(heard).to.deep.equal(isBack === true ? [] : ['sent'])
    }
    expect(start().recall()).to.equal(false)
  })
})

describe('delivery: pauses before a batch is sent again', () => {
  const settings = { retryBackoffMs: 100, retryBackoffMaxMs: 1_000 } as never

  it('are short before the first retry after a change of leader, and only then', () => {
    expect([0, 1].map(random => retryPauseMs(1, true, settings, () => random))).to.deep.equal([7.5, 22.5])
    for (const random of [0, 0.5, 0.999]) {
      expect(retryPauseMs(2, true, settings, () => random)).to.equal(retryPauseMs(2, false, settings, () => random))
    }
  })

  it('double, spread by a fifth, up to their limit', () => {
    const middle = (attempts: number): number => retryPauseMs(attempts, false, settings, () => 0.5)
    expect([1, 2, 3, 4].map(middle)).to.deep.equal([100, 200, 400, 800])
    expect(middle(9)).to.equal(1_000)
    expect(retryPauseMs(1, false, settings, () => 0)).to.be.closeTo(80, 1e-9)
    expect(retryPauseMs(1, false, settings, () => 1)).to.be.closeTo(120, 1e-9)
  })
})

describe('delivery: what Kafka refuses for good', () => {
  const meanings: [name: keyof typeof errorCodes, code: string, retriable: boolean][] = [
    ['UNKNOWN_TOPIC_OR_PARTITION', 'unknownTopic', true],
    ['MESSAGE_TOO_LARGE', 'recordTooLarge', false],
    ['RECORD_LIST_TOO_LARGE', 'recordTooLarge', false],
    ['INVALID_TOPIC_EXCEPTION', 'invalidTopic', false],
    ['TOPIC_AUTHORIZATION_FAILED', 'notAuthorized', false],
    ['CLUSTER_AUTHORIZATION_FAILED', 'notAuthorized', false],
    ['TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'notAuthorized', false],
    ['INVALID_TIMESTAMP', 'recordRejected', false],
    ['POLICY_VIOLATION', 'recordRejected', false],
    ['UNSUPPORTED_COMPRESSION_TYPE', 'recordRejected', false],
    ['INVALID_RECORD', 'recordRejected', false],
    ['UNKNOWN_SERVER_ERROR', 'kafka', true]
  ]
  it('each error of Kafka has its code, and tells whether it may pass', () =>
    checkRows(meanings, ([name, code, retriable]) =>
      expect(failures.rejected(errorCodes[name], 'no')).to.deep.include({
        type: 'failed',
        code,
        errorCode: errorCodes[name],
        persisted: 'no',
        retriable
      })
    ))

  it('a time-out names the last error once', () => {
    const { message } = failures.timedOut('no leader', 'unknown', 'ECONNREFUSED')
    expect(message).to.equal('the record was not delivered in time: no leader; last error: ECONNREFUSED')
    expect(failures.timedOut('ECONNREFUSED again', 'no', 'ECONNREFUSED').message).to.equal(
      'the record was not delivered in time: ECONNREFUSED again'
    )
    expect(failures.timedOut('x', 'no')).to.deep.include({ code: 'timedOut', persisted: 'no', retriable: true })
  })
})
