import { expect } from 'chai'
import type {
  AcknowledgeResult,
  AcknowledgeType,
  Acquired,
  QueueDemand
} from '../../../src/consumer/queue/queue-reader.js'
import { QueueReader } from '../../../src/consumer/queue/queue-reader.js'
import { epochAfter } from '../../../src/consumer/queue/share-session.js'
import { silentLogger } from '../../../src/core/model.js'
import type { SharePartitionId } from '../../../src/kafka/protocol/share.js'
import type { Failure } from '../../../src/router/messages/operations.js'
import { kafkaFailure, ownFailure } from '../../../src/router/requests/failures.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'
import { FakeShareRouter } from './fake-share-router.js'

describe('the reader of a queue', () => {
  let time: FakeTime
  let router: FakeShareRouter
  let reader: QueueReader
  let demand: Omit<QueueDemand, 'until'>
  let acquired: Acquired[]
  let lost: { session: object; partition?: SharePartitionId | undefined }[]
  let failures: (Failure | 'over')[]
  let warnings: object[]

  const open = (leaders: readonly number[] = [1], start?: string): void => {
    router = new FakeShareRouter(leaders)
    reader = new QueueReader({
      topic: 'jobs',
      groupId: 'workers',
      start,
      router,
      now: time.now,
      log: { ...silentLogger, warn: fields => void warnings.push(fields) },
      events: {
        demand: () => ({ ...demand, until: time.now() + 10_000 }),
        acquired(messages) {
          demand = { ...demand, messages: Math.max(0, demand.messages - messages.length) }
          acquired.push(...messages)
        },
        lost: (session, partition) => void lost.push({ session, partition }),
        failed: failure => void failures.push(failure),
        recovered: () => void failures.push('over')
      }
    })
  }
  const want = (messages: number): void => {
    demand = { messages, maxBytes: 1_000 }
    reader.wake()
  }
  /** Acquires so many messages that were written, at the start of a test. */
  const holding = async (messages: number): Promise<void> => {
    router.write(messages)
    want(messages)
    await time.pass(200)
    expect(acquired).to.have.length(messages)
  }
  const settle = (one: Acquired, word: AcknowledgeType): Promise<AcknowledgeResult> =>
    new Promise(settled => reader.settle(one.lock, word, settled))
  const outcomes = async (word: AcknowledgeType, messages: readonly Acquired[], passMs = 20): Promise<string[]> => {
    const settled = Promise.all(messages.map(message => settle(message, word)))
    await time.pass(passMs)
    return (await settled).map(({ outcome }) => outcome)
  }
  const offsets = (): number[] => acquired.map(({ record }) => record.offset)

  beforeEach(() => {
    time = new FakeTime()
    acquired = []
    lost = []
    failures = []
    warnings = []
    demand = { messages: 0, maxBytes: 1_000 }
  })
  afterEach(async () => {
    const closed = reader.close(100)
    await time.pass(200)
    await closed
    const left = time.timers - router.pending
    time.restore()
    expect(left, 'timers that are left').to.equal(0)
  })

  it('fetches as many messages as are wanted, and none before', async () => {
    open()
    router.write(10)
    reader.wake()
    await time.pass(500)
    expect(router.of('shareFetch')).to.have.length(0)
    want(3)
    await time.pass(50)
    expect(offsets()).to.deep.equal([0, 1, 2])
    await time.pass(1_000)
    expect(router.of('shareFetch').map(({ maxRecords }) => maxRecords)).to.deep.equal([3])
    expect(acquired[0]!.lock.deliveryCount).to.equal(1)
  })

  it('counts the lock from the sending of the fetch', async () => {
    open()
    router.latencyMs = 200
    router.write(1)
    want(1)
    const sentAt: number[] = []
    const { tell } = router
    router.tell = message => {
      if (message.type === 'shareFetch') sentAt.push(time.now())
      tell.call(router, message)
    }
    await time.pass(1_500)
    expect(acquired[0]!.lock.endsAt).to.equal(sentAt[0]! + 30_000)
  })

  it('asks one leader after the other for one message, a part of the wait each', async () => {
    open([1, 2, 3])
    want(1)
    await time.pass(600)
    const fetches = router.of('shareFetch')
    expect(fetches.slice(0, 6).map(({ nodeId }) => nodeId)).to.deep.equal([1, 2, 3, 1, 2, 3])
    expect(fetches.every(({ maxWaitMs, maxRecords }) => maxWaitMs === 83 && maxRecords === 1)).to.equal(true)
    router.write(2, 1)
    await time.pass(300)
    expect(acquired.map(({ lock }) => lock.partition)).to.deep.equal([1])
  })

  it('divides a larger demand among all leaders at once', async () => {
    open([1, 2, 3])
    want(10)
    await time.pass(60)
    expect(router.of('shareFetch').map(({ nodeId, maxRecords }) => [nodeId, maxRecords])).to.deep.equal([
      [1, 4],
      [2, 4],
      [3, 2]
    ])
    for (const partition of [0, 1, 2]) router.write(20, partition)
    await time.pass(500)
    expect(acquired).to.have.length(10)
  })

  it('tells Kafka the words of one turn in one call, and renewals in one of their own', async () => {
    open()
    await holding(6)
    const settled = Promise.all([
      ...acquired.slice(0, 3).map(message => settle(message, 'accept')),
      settle(acquired[3]!, 'release'),
      settle(acquired[4]!, 'reject'),
      settle(acquired[5]!, 'renew')
    ])
    const before = time.now()
    await time.pass(50)
    const [first, second] = router.of('shareAcknowledge')
    expect(first!.acknowledgements[0]!.ranges).to.deep.equal([
      { first: 0, last: 2, types: [1] },
      { first: 3, last: 3, types: [2] },
      { first: 4, last: 4, types: [3] }
    ])
    expect([first!.isRenew, second!.isRenew]).to.deep.equal([false, true])
    expect((await settled).map(({ outcome }) => outcome)).to.deep.equal(Array(6).fill('done'))
    expect(acquired[5]!.lock.endsAt).to.be.within(before + 30_000, before + 30_020)
  })

  it('fetches what it has released at once', async () => {
    open()
    await holding(1)
    want(1)
    await time.pass(20)
    const released = settle(acquired[0]!, 'release')
    await time.pass(300)
    expect((await released).outcome).to.equal('done')
    expect(acquired.map(({ lock }) => lock.deliveryCount)).to.deep.equal([1, 2])
    const at = router.asked.findIndex(({ type }) => type === 'shareAcknowledge')
    expect(router.asked[at + 1]!.type).to.equal('shareFetch')
  })

  it('goes on to fetch while there are always words to be told', async () => {
    open()
    await holding(100)
    want(1)
    router.write(1)
    const settled: Promise<AcknowledgeResult>[] = []
    for (const message of acquired.slice(0, 50)) {
      settled.push(settle(message, 'accept'))
      await time.pass(5, 1)
    }
    expect(offsets()).to.include(100)
    expect((await Promise.all(settled)).every(({ outcome }) => outcome === 'done')).to.equal(true)
  })

  it('renews a lock while there are always other words to be told', async () => {
    open()
    await holding(100)
    router.latencyMs = 5
    let renewed: AcknowledgeResult | undefined
    void settle(acquired[99]!, 'renew').then(settled => (renewed = settled))
    for (const message of acquired.slice(0, 90)) {
      void settle(message, 'accept')
      await time.pass(1, 1)
    }
    expect(renewed?.outcome).to.equal('done')
  })

  it('finds the message in a refused list that is not held any more', async () => {
    open()
    await holding(5)
    router.partitions[0]!.records[3]!.holder = 'somebody else'
    expect(await outcomes('accept', acquired)).to.deep.equal(['done', 'done', 'done', 'lost', 'done'])
  })

  it('tells the result of an acknowledgement although the one before has thrown when it was told', async () => {
    open()
    await holding(2)
    const [errors, told]: [unknown[], string[]] = [[], []]
    process.setUncaughtExceptionCaptureCallback(error => errors.push(error))
    for (const { lock } of acquired)
      reader.settle(lock, 'accept', ({ outcome }) => {
        told.push(outcome)
        if (told.length === 1) throw outcome
      })
    await time.pass(50)
    process.setUncaughtExceptionCaptureCallback(null)
    expect([told, errors]).to.deep.equal([['done', 'done'], ['done']])
  })

  it('tells what Kafka has refused for another reason, and keeps the message', async () => {
    open()
    await holding(1)
    router.refusals.push({ errorCode: 29 }, { errorCode: 7 })
    const refused = settle(acquired[0]!, 'accept')
    await time.pass(20)
    expect(await refused).to.include({ outcome: 'failed', code: 29 })
    expect(await outcomes('accept', acquired), 'Kafka has timed out').to.deep.equal(['unknown'])
    expect(await outcomes('accept', acquired)).to.deep.equal(['done'])
  })

  it('does not count an answer that comes when the lock is over', async () => {
    open()
    router.lockMs = 100
    await holding(1)
    acquired.length = 0
    want(1)
    router.partitions[0]!.records[0]!.holder = undefined
    await time.pass(20)
    router.latencyMs = 120
    expect(await outcomes('accept', acquired, 600)).to.deep.equal(['unknown'])
    expect(router.words, 'Kafka has taken it all the same').to.have.length(1)
  })

  it('does not count an answer that comes when another leader may have given the message', async () => {
    open([1, 1])
    await holding(1)
    router.latencyMs = 15_000
    const settled = settle(acquired[0]!, 'accept')
    await time.pass(20)
    router.latencyMs = 1
    router.lead([2, 1])
    await time.pass(12_000, 20)
    expect(lost.map(({ partition }) => partition)).to.deep.equal([{ topicId: 'first', partition: 0 }])
    await time.pass(5_000, 20)
    expect(await settled).to.deep.equal({ outcome: 'unknown' })
    expect(router.words, 'Kafka has taken it all the same').to.have.length(1)
  })

  it('does not tell a word that has waited behind a fetch which acquired its message anew', async () => {
    open()
    router.lockMs = 1_000
    await holding(1)
    await time.pass(700)
    router.latencyMs = 300
    want(1)
    router.latencyMs = 1
    const settled = settle(acquired[0]!, 'release')
    await time.pass(400)
    expect(acquired.map(({ lock }) => lock.deliveryCount)).to.deep.equal([1, 2])
    expect(await settled).to.deep.equal({ outcome: 'lost' })
    expect(router.words).to.deep.equal([])
    expect(await outcomes('accept', [acquired[1]!])).to.deep.equal(['done'])
  })

  it('does not ask Kafka when the lock is over', async () => {
    open()
    router.lockMs = 150
    await holding(1)
    expect(await outcomes('accept', acquired)).to.deep.equal(['lost'])
    expect(router.words).to.deep.equal([])
  })

  for (const [what, result, inFlight] of [
    ['is not found', kafkaFailure(122), 'unknown'],
    ['has another epoch', kafkaFailure(123), 'unknown'],
    ['has lost its connection', { type: 'timedOut' }, 'unknown'],
    ['cannot write to its broker', ownFailure('brokerUnreachable', 'closed', true), 'lost']
  ] as const)
    it(`gets another session with another member id where one ${what}`, async () => {
      open()
      await holding(3)
      router.scripted.push({ kind: 'shareAcknowledge', result })
      router.latencyMs = 20
      const first = outcomes('accept', acquired.slice(0, 2), 100)
      await turns(3)
      const second = settle(acquired[2]!, 'accept')
      expect(await first).to.deep.equal([inFlight, inFlight])
      expect((await second).outcome).to.equal('lost')
      expect(lost).to.deep.equal([{ session: acquired[0]!.lock.session, partition: undefined }])
      expect(router.closed).to.have.length(1)
      router.createAnew('first')
      acquired.length = 0
      router.write(1)
      want(1)
      await time.pass(500)
      expect(acquired).to.have.length(1)
      const ids = router.of('shareFetch').map(({ memberId }) => memberId)
      expect(ids.at(-1)).to.not.equal(ids[0])
      expect(router.of('shareFetch').at(-1)!.epoch, 'and begins anew').to.equal(0)
      expect(
        (await settle({ ...acquired[0]!, lock: { ...acquired[0]!.lock, session: lost[0]!.session } }, 'accept')).outcome
      ).to.equal('lost')
    })

  it('makes calls again that the Router was too busy for', async () => {
    open([1, 1])
    const result = ownFailure('overloaded', 'full', true)
    router.scripted.push({ kind: 'shareFetch', result }, { kind: 'shareAcknowledge', result })
    await holding(2)
    expect(await outcomes('accept', acquired, 200)).to.deep.equal(['done', 'done'])
    expect(router.of('shareFetch').map(({ epoch, added }) => [epoch, added.length])).to.deep.equal([
      [0, 2],
      [0, 2]
    ])
    expect([lost, failures]).to.deep.equal([[], []])
  })

  it('tells words again that the Router was too busy for before those that came later', async () => {
    open()
    await holding(3)
    router.scripted.push({ kind: 'shareAcknowledge', result: ownFailure('overloaded', 'full', true) })
    router.latencyMs = 20
    const first = settle(acquired[0]!, 'renew')
    await time.pass(5)
    const later = acquired.slice(1).map(message => settle(message, 'accept'))
    await time.pass(300)
    await Promise.all([first, ...later])
    expect(router.words).to.deep.equal(['first/0:0 renew', 'first/0:1 accept', 'first/0:2 accept'])
  })

  it('follows a partition to its new leader, and tells that its locks are lost', async () => {
    open([1, 1])
    router.write(1, 0)
    router.write(1, 1)
    want(2)
    await time.pass(300)
    expect(acquired).to.have.length(2)
    router.lead([1, 2])
    want(1)
    await time.pass(600)
    const [session] = acquired.map(one => one.lock.session)
    expect(lost).to.deep.equal([{ session, partition: { topicId: 'first', partition: 1 } }])
    expect(acquired.slice(2).map(({ lock }) => lock.partition)).to.deep.equal([1])
    expect(acquired[2]!.lock.session).to.not.equal(session)
    expect(await outcomes('accept', acquired)).to.deep.equal(['done', 'lost', 'done'])
    want(1)
    await time.pass(300)
    const fetches = router.of('shareFetch').filter(({ nodeId }) => nodeId === 1)
    expect(fetches.flatMap(({ forgotten }) => forgotten)).to.deep.equal([{ topicId: 'first', partition: 1 }])
  })

  it('keeps its messages while brokers that lag behind tell of no leader, or of a former one', async () => {
    open([1])
    await holding(1)
    router.partitions[0]!.leaderEpoch = 5
    await time.pass(10_500, 20)
    const before = router.of('fetchTopicMetadata').length
    for (const [leaderId, leaderEpoch] of [
      [2, 4],
      [-1, 5]
    ] as const) {
      router.partitions[0] = { ...router.partitions[0]!, leaderId, leaderEpoch }
      await time.pass(10_500, 20)
    }
    router.partitions[0] = { ...router.partitions[0]!, leaderId: 1 }
    expect(router.of('fetchTopicMetadata').length).to.be.greaterThan(before + 1)
    expect(lost).to.deep.equal([])
  })

  it('tells that the locks of a partition are lost when an acknowledgement shows it', async () => {
    open([1])
    await holding(2)
    router.refusals.push({ errorCode: 3 })
    expect(await outcomes('accept', acquired)).to.deep.equal(['lost', 'lost'])
    expect(lost).to.have.length(1)
  })

  it('does not know what Kafka has stored of words that a former leader could not finish', async () => {
    open([1])
    await holding(2)
    router.refusals.push({ errorCode: 6 })
    expect(await outcomes('accept', acquired)).to.deep.equal(['unknown', 'unknown'])
    expect(lost).to.have.length(1)
  })

  it('asks other leaders when one does not answer', async () => {
    open([1, 2])
    reader.wake()
    await time.pass(50)
    router.scripted.push({ kind: 'shareFetch', result: 'silence' })
    want(1)
    await time.pass(100)
    router.write(1, 1)
    await time.pass(1_200)
    expect(acquired.map(({ lock }) => lock.partition)).to.deep.equal([1])
    expect(router.of('fetchTopicMetadata').length, 'and looks for another leader').to.be.greaterThan(1)
    await time.pass(10_000)
    expect(failures.at(-1)).to.not.equal(undefined)
  })

  it('opens fewer and fewer sessions with a broker that cannot be reached', async () => {
    open()
    const result = ownFailure('brokerUnreachable', 'broker 1 cannot be reached now', true)
    router.scripted.push(...Array.from({ length: 9 }, () => ({ kind: 'shareFetch' as const, result })))
    router.write(2)
    want(1)
    await time.pass(10_000)
    const opened = (): number => new Set(router.of('shareFetch').map(({ memberId }) => memberId)).size
    expect(opened()).to.be.within(5, 8)
    await time.pass(8_000)
    expect(offsets()).to.deep.equal([0])
    router.scripted.push({ kind: 'shareFetch', result })
    want(1)
    await time.pass(600)
    expect(offsets(), 'one loss costs no pause, and the message comes again').to.deep.equal([0, 0])
  })

  it('waits while a partition has no state yet, and tells no failure', async () => {
    open()
    router.partitions[0]!.scripted.push({ errorCode: -1 }, { errorCode: -1 })
    router.write(1)
    want(1)
    await time.pass(500)
    expect(offsets()).to.deep.equal([0])
    expect(failures).to.deep.equal([])
  })

  it('tells once that it may not read, and when that is over', async () => {
    open()
    router.partitions[0]!.scripted.push({ errorCode: 29 }, { errorCode: 29 })
    router.write(1)
    want(1)
    await time.pass(1_500)
    expect(failures.map(failure => failure !== 'over' && failure.code)).to.deep.equal(['notAuthorized'])
    await time.pass(1_500)
    expect(failures).to.have.length(2)
    expect(failures[1]).to.equal('over')
    expect(offsets()).to.deep.equal([0])
  })

  it('tells that its group is of another kind, and asks again after a while', async () => {
    open()
    router.scripted.push({ kind: 'shareHeartbeat', result: kafkaFailure(69) })
    want(1)
    await time.pass(1_000)
    expect(failures.map(failure => failure !== 'over' && failure.errorCode)).to.deep.equal([69])
    expect(router.of('shareFetch')).to.have.length(0)
    expect(router.of('shareHeartbeat')).to.have.length(1)
  })

  it('tells that the topic does not exist, and reads it when it is created', async () => {
    open()
    router.isTopicThere = false
    want(1)
    await time.pass(1_000)
    expect(failures.map(failure => failure !== 'over' && failure.code)).to.deep.equal(['unknownTopic'])
    router.isTopicThere = true
    router.write(1)
    await time.pass(1_000)
    expect(offsets()).to.deep.equal([0])
  })

  it('has begun when all partitions were fetched from for a while', async () => {
    open([1, 2])
    for (let count = 0; count < 12; count++) router.partitions[1]!.scripted.push({ errorCode: -1 })
    let isBegun = false
    const begun = reader.begun(60_000).then(() => (isBegun = true))
    want(1)
    await time.pass(900)
    expect(isBegun).to.equal(false)
    const early = await reader.begun(0).catch((error: Error) => error.message)
    expect(early).to.match(/partition 1 was not fetched from/)
    await time.pass(3_000)
    await begun
    await reader.begun(0)
  })

  it('begins anew with the partitions of a session that is lost before it has begun', async () => {
    open([1, 2])
    for (let count = 0; count < 100; count++) router.partitions[0]!.scripted.push({ errorCode: -1 })
    let isBegun = false
    const begun = reader.begun(60_000).then(() => (isBegun = true))
    want(1)
    await time.pass(900)
    router.scripted.push({ kind: 'shareFetch', nodeId: 2, result: { type: 'timedOut' } })
    router.scripted.push({ kind: 'shareFetch', nodeId: 2, result: 'silence' })
    router.partitions[0]!.scripted.length = 0
    await time.pass(3_000)
    expect(isBegun, 'the broker that may have started again has answered no fetch').to.equal(false)
    await time.pass(12_000, 20)
    await begun
  })

  it('has begun in a partition without a record that is young enough, and acquires those of the others', async () => {
    open([1, 2], 'PT1H')
    for (let count = 0; count < 300; count++) router.partitions[1]!.scripted.push({ errorCode: 78 })
    router.write(1)
    let isBegun = false
    const begun = reader.begun(60_000).then(() => (isBegun = true))
    want(2)
    await time.pass(3_000)
    expect(isBegun).to.equal(true)
    await begun
    expect([offsets(), failures]).to.deep.equal([[0], []])
  })

  it('tells the error of a partition once it has lasted for 30 seconds, until the partition is fetched again', async () => {
    open([1, 2], 'latest')
    const refusals = router.partitions[1]!.scripted
    for (let count = 0; count < 1_000; count++) refusals.push({ errorCode: 78 })
    want(1)
    await time.pass(25_000, 20)
    expect([...reader.partitionErrors]).to.deep.equal([])
    await time.pass(10_000, 20)
    const [[partition, error] = []] = reader.partitionErrors
    expect(partition).to.equal(1)
    expect(error).to.include({ name: 'OFFSET_NOT_AVAILABLE' })
    expect(error).to.have.property('forMs').within(30_000, 36_000)
    refusals.length = 0
    await time.pass(3_000, 20)
    expect([...reader.partitionErrors]).to.deep.equal([])
  })

  it('tells the error of a partition at once where it does not pass', async () => {
    open([1, 2], 'latest')
    router.partitions[0]!.scripted.push({ errorCode: -1 })
    router.partitions[1]!.scripted.push({ errorCode: 29 })
    want(1)
    await time.pass(800)
    expect([...reader.partitionErrors].map(([partition, { name }]) => [partition, name])).to.deep.equal([
      [1, 'TOPIC_AUTHORIZATION_FAILED']
    ])
  })

  it('tells no error of a partition without a record that is young enough', async () => {
    open([1, 2], 'PT1H')
    for (let count = 0; count < 1_000; count++) router.partitions[1]!.scripted.push({ errorCode: 78 })
    want(1)
    await time.pass(35_000, 20)
    expect([...reader.partitionErrors]).to.deep.equal([])
  })

  it('has not begun in a partition whose new leader cannot report offsets yet, where a group starts at the end', async () => {
    open([1, 2], 'latest')
    for (let count = 0; count < 10; count++) router.partitions[1]!.scripted.push({ errorCode: 78 })
    let isBegun = false
    const begun = reader.begun(60_000).then(() => (isBegun = true))
    want(1)
    await time.pass(1_500)
    expect([isBegun, failures.length]).to.deep.equal([false, 1])
    await time.pass(20_000, 20)
    await begun
  })

  it('has begun with one partition where a group starts at the earliest record, and not before it has a state', async () => {
    open([1, 2], 'earliest')
    for (let count = 0; count < 300; count++) router.partitions[1]!.scripted.push({ errorCode: -1 })
    for (let count = 0; count < 20; count++) router.partitions[0]!.scripted.push({ errorCode: -1 })
    let isBegun = false
    const begun = reader.begun(60_000).then(() => (isBegun = true))
    want(1)
    await time.pass(1_500)
    const early = await reader.begun(0).catch((error: Error) => error.message)
    expect([isBegun, early]).to.deep.include(false)
    expect(early).to.match(/__share_group_state/)
    await time.pass(10_000, 20)
    await begun
  })

  it('has not begun before its member is assigned partitions', async () => {
    open([1])
    router.beatsUntilAssigned = 5
    let isBegun = false
    const begun = reader.begun(60_000).then(() => (isBegun = true))
    want(1)
    await time.pass(1_000)
    expect(isBegun).to.equal(false)
    await time.pass(1_500)
    await begun
  })

  it('takes no message before Kafka has the state of the group for good: its member is assigned partitions', async () => {
    open([1, 2], 'earliest')
    router.beatsUntilAssigned = 5
    router.write(1, 0)
    want(1)
    await time.pass(900)
    expect(router.of('shareFetch'), 'the state may be made anew, and forget what was accepted').to.have.length(0)
    await time.pass(500)
    expect(offsets()).to.deep.equal([0])
  })

  it('takes no message of a topic that was created anew before partitions of the new one are assigned', async () => {
    open([1])
    await holding(1)
    router.beatsUntilAssigned = 4
    router.createAnew('second')
    router.write(1)
    want(1)
    const takes = (): boolean => router.of('shareFetch').some(({ added }) => added[0]?.topicId === 'second')
    await time.pass(12_000)
    expect(takes()).to.equal(false)
    await time.pass(10_000)
    expect(acquired.at(-1)).to.have.nested.include({ 'lock.topicId': 'second' })
  })

  it('reads partitions that are added, and a topic that is created anew', async () => {
    open([1])
    await holding(1)
    router.lead([1, 1])
    router.write(1, 1)
    want(1)
    await time.pass(6_000)
    expect(acquired.map(({ lock }) => lock.partition)).to.deep.equal([0, 1])
    router.createAnew('second')
    router.write(1)
    want(1)
    await time.pass(6_000)
    expect(lost.map(({ partition }) => partition?.topicId)).to.deep.equal(['first', 'first'])
    expect(acquired.at(-1)).to.have.nested.include({ 'lock.topicId': 'second', 'lock.partition': 0 })
  })

  it('does not follow a broker that lags behind to a former topic, and remembers the last ten of them', async () => {
    open([1])
    await holding(1)
    const isFollowed = async (topicId: string): Promise<boolean> => {
      router.createAnew(topicId)
      router.write(1)
      want(1)
      await time.pass(6_000)
      return acquired.at(-1)!.lock.topicId === topicId
    }
    for (let at = 1; at <= 11; at++) expect(await isFollowed(`id-${at}`), `id-${at}`).to.equal(true)
    expect(await isFollowed('id-1'), 'the oldest one that is remembered').to.equal(false)
    expect(await isFollowed('first'), 'forgotten').to.equal(true)
  })

  it('acknowledges offsets without records as gaps, and leaves those locked that cannot be read', async () => {
    open()
    const gaps = [{ first: 4, last: 6 }]
    router.partitions[0]!.scripted.push({ gaps, unreadable: [{ first: 7, last: 7, reason: 'damaged' }] })
    want(1)
    await time.pass(100)
    expect(router.words).to.deep.equal([4, 5, 6].map(offset => `first/0:${offset} gap`))
    const [place, why] = [{ topic: 'jobs', groupId: 'workers', partition: 0 }, { reason: 'damaged' }]
    expect(warnings).to.deep.equal([{ ...place, first: 7, last: 7, ...why }])
  })

  it('keeps the connection while it holds messages that nobody waits for', async () => {
    open()
    await holding(1)
    await time.pass(11_000)
    const calls = router.of('shareAcknowledge')
    expect(calls.map(({ acknowledgements }) => acknowledgements.length)).to.deep.equal([0, 0])
    expect(await outcomes('accept', acquired)).to.deep.equal(['done'])
    await time.pass(11_000)
    expect(router.of('shareAcknowledge'), 'nothing is held any more').to.have.length(3)
  })

  it('tells what is queued when it is closed, then ends its sessions, then leaves', async () => {
    open([1, 2])
    await holding(2)
    const settled = settle(acquired[0]!, 'accept')
    const closed = reader.close(1_000)
    expect(reader.close(1_000)).to.equal(closed)
    await time.pass(300)
    await closed
    expect((await settled).outcome).to.equal('done')
    expect((await settle(acquired[1]!, 'accept')).outcome, 'too late').to.equal('lost')
    const ended = router.asked.slice(-4)
    expect(ended.map(({ type }) => type)).to.deep.equal(
      ['shareAcknowledge', 'shareAcknowledge', 'shareAcknowledge', 'shareHeartbeat'].slice(-ended.length)
    )
    expect(
      router
        .of('shareAcknowledge')
        .map(({ epoch }) => epoch)
        .filter(epoch => epoch === -1)
    ).to.have.length(2)
    expect(router.of('shareHeartbeat').at(-1)!.memberEpoch).to.equal(-1)
    expect(router.sessions.size).to.equal(0)
  })

  it('is closed in time when nobody answers, and everything is settled', async () => {
    open()
    await holding(2)
    router.scripted.push({ kind: 'shareAcknowledge', result: 'silence' }, { kind: 'shareHeartbeat', result: 'silence' })
    const first = settle(acquired[0]!, 'accept')
    await time.pass(5)
    const second = settle(acquired[1]!, 'accept')
    const closed = reader.close(1_000)
    await time.pass(1_050)
    await closed
    expect([(await first).outcome, (await second).outcome]).to.deep.equal(['unknown', 'lost'])
  })

  it('settles everything when the Router has stopped, which may have written the words in flight', async () => {
    open()
    await holding(2)
    router.scripted.push(
      ...Array.from({ length: 20 }, () => ({
        kind: 'shareAcknowledge' as const,
        result: ownFailure('shuttingDown', 'the router has stopped', true)
      }))
    )
    const first = settle(acquired[0]!, 'accept')
    await time.pass(0)
    expect(router.of('shareAcknowledge')).to.have.length(1)
    const second = settle(acquired[1]!, 'accept')
    await time.pass(20)
    expect([(await first).outcome, (await second).outcome]).to.deep.equal(['unknown', 'lost'])
    await expect(
      reader.begun(0).then(
        () => 'begun',
        () => 'not begun'
      )
    ).to.be.a('promise')
  })
})

describe('the calls of a share session', () => {
  it('counts the calls of a session on from 1 after the largest number', () => {
    expect([0, 1, 0x7fff_fffe, 0x7fff_ffff].map(epochAfter)).to.deep.equal([1, 2, 0x7fff_ffff, 1])
  })
})
