import { expect } from 'chai'
import { acksIn } from '../../../src/consumer/group/ack-encoding.js'
import type { ConsumeManyResult } from '../../../src/consumer/group/consume-result.js'
import type { GivenMessage } from '../../../src/consumer/group/given-messages.js'
import { type ConsumerSettings, defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import type { TransactionEnd } from '../../../src/consumer/group/transaction-messages.js'
import { type GroupPositions, TransactionOffsets } from '../../../src/consumer/group/transaction-offsets.js'
import { WaitingRequest } from '../../../src/consumer/group/waiting-request.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { run } from './fake-runtime.js'
import { batchOf, GroupStage, TICKS_AT_ONCE } from './group-stage.js'

const ACK_MS = 4_000
const SUBSCRIPTION_MS = 60_000

/** A group whose member reads topics of one partition each, and loops of one process. */
class TransactionStage extends GroupStage {
  constructor(count = 20_000, settings: Partial<ConsumerSettings> = {}) {
    const times = { subscriptionTimeoutMs: SUBSCRIPTION_MS, ackTimeoutMs: ACK_MS, revocationMs: ACK_MS }
    super(count, { ...times, maxPendingMessages: 10_000, ...settings }, TICKS_AT_ONCE)
    this.runtime.batchSize = 20_000
  }

  offsets(count = 1, topic = 'orders'): number[] {
    return this.take(count, topic).map(({ offset }) => offset)
  }

  /** The next commits of a topic that are sent. */
  commitsOf(topic: string): number[] {
    return this.runtime.asked
      .splice(0)
      .filter(({ kind, request }) => kind === 'commitConsumerOffset' && topicOf(request) === topic)
      .map(({ request }) => (request['offsetAndMetadata'] as { offset: number }).offset)
  }
}

const topicOf = (request: Record<string, unknown>) => (request['topicPartition'] as { topic: string }).topic

/** A transaction with what has become of its `prepare`. */
class Transaction {
  readonly offsets = new TransactionOffsets()
  readonly #time = new AbortController()
  prepared: Promise<readonly GroupPositions[]> | undefined
  outcome: readonly GroupPositions[] | Error | undefined

  constructor(messages: readonly GivenMessage[] = []) {
    if (messages.length > 0) this.offsets.add(batchOf(messages))
  }

  async prepare(): Promise<readonly GroupPositions[] | Error | undefined> {
    this.outcome = undefined
    const keep = (outcome: readonly GroupPositions[] | Error): void => void (this.outcome = outcome)
    void this.offsets.prepare(this.#time.signal).then(keep, keep)
    return this.now()
  }

  /** What has become of it, when all that is under way has had its turn. */
  async now(): Promise<readonly GroupPositions[] | Error | undefined> {
    await new Promise(setImmediate)
    return this.outcome
  }

  /** The time of the transaction is over. */
  endTime(): void {
    this.#time.abort(new Error('its time is over'))
  }

  end(result: TransactionEnd): void {
    this.offsets.end(result)
  }
}

const offsetIn = (outcome: readonly GroupPositions[] | Error | undefined) => {
  const [{ offsets }] = outcome as [GroupPositions]
  return offsets[0]!
}

describe('what a transaction acknowledges of the messages of a group', () => {
  let stage: TransactionStage
  beforeEach(() => (stage = new TransactionStage()))
  afterEach(() => stage.stop(0))

  it('goes along with all that is acknowledged in its partition, under the member that gave it out', async () => {
    const [first, second, third, fourth, fifth] = stage.take(5)
    first!.ack()
    fifth!.ack()
    const transaction = new Transaction([second!, fourth!])
    stage.runtime.pass(1)
    const outcome = await transaction.prepare()
    expect(outcome).to.containSubset([
      { group: 'foo', memberId: 'm', groupInstanceId: null, generationId: stage.runtime.generation }
    ])
    const { offset, metadata, leaderEpoch } = offsetIn(outcome)
    expect([offset, acksIn({ offset, metadata }), leaderEpoch]).to.deep.equal([2, [{ from: 3, to: 5 }], -1])
    transaction.end('committed')
    third!.ack()
    stage.runtime.pass(1_000)
    expect(stage.runtime.committed).to.deep.equal({ offset: 5, metadata: '' })
    expect(stage.offsets()).to.deep.equal([5])
  })

  it('is offered next, in order, when the transaction is aborted', async () => {
    const [first, second, third] = stage.take(3)
    const transaction = new Transaction([third!, first!])
    await transaction.prepare()
    transaction.end('aborted')
    expect(stage.offsets(4)).to.deep.equal([0, 2, 3, 4])
    second!.ack()
    stage.runtime.pass(1_000)
    expect(stage.runtime.committed).to.deep.include({ offset: 0 })
  })

  it('is looked up anew before more is offered when nobody knows how the transaction ended', async () => {
    const transaction = new Transaction(stage.take(3))
    await transaction.prepare()
    stage.runtime.held.add('fetchConsumerOffset')
    stage.runtime.asked.length = 0
    transaction.end('unknown')
    expect(stage.offsets(5)).to.deep.equal([])
    expect(stage.runtime.asked.find(({ kind }) => kind === 'fetchConsumerOffset')?.request).to.include({
      requireStable: true
    })
    stage.runtime.committed = { offset: 3, metadata: '' }
    stage.runtime.held.clear()
    stage.runtime.settle()
    expect(stage.offsets(2)).to.deep.equal([3, 4])
    expect(stage.commitsOf('orders')).to.deep.equal([])
  })

  it('is not touched by its own methods, nor by the end of its loop', async () => {
    const [first, second] = stage.take(2)
    const transaction = new Transaction([first!])
    first!.ack()
    first!.release()
    stage.given.releaseAllBut(new Set())
    expect(await stage.consumer.view().pending, 'the second one is released').to.equal(1)
    expect(stage.offsets(2)).to.deep.equal([1, 2])
    second!.ack()
    expect(offsetIn(await transaction.prepare()).offset).to.equal(1)
    transaction.end('aborted')
    first!.ack()
    expect(stage.offsets()).to.deep.equal([0])
  })

  it('is not offered again while the transaction is open, however long that is', () => {
    const transaction = new Transaction(stage.take())
    stage.runtime.pass(3 * ACK_MS)
    expect(stage.offsets()).to.deep.equal([1])
    stage.runtime.pass(SUBSCRIPTION_MS + ACK_MS)
    expect(stage.runtime.newly('leaveGroup'), 'the member stays for it').to.equal(0)
    transaction.end('aborted')
    expect(stage.offsets(2)).to.include(0)
  })

  it('may be given to a further transaction after an aborted one, until it is offered again', async () => {
    const [first, second, third] = stage.take(3)
    new Transaction([first!, second!, third!]).end('aborted')
    const again = new Transaction([first!, second!])
    expect(stage.offsets()).to.deep.equal([2])
    expect(() => again.offsets.add(third!))
      .to.throw()
      .with.property('code', 'notAssigned')
    expect(offsetIn(await again.prepare()).offset).to.equal(2)
    again.end('committed')
    expect(() => new Transaction([first!]))
      .to.throw()
      .with.property('code', 'notAssigned')
    expect(stage.offsets()).to.deep.equal([3])
  })

  it('leaves room for further messages of its partition, also for a request that waits', () => {
    stage.stop(0)
    stage = new TransactionStage(20, { maxPendingMessages: 2 })
    const given = stage.take(5)
    expect(given).to.have.length(3)
    let answer: ConsumeManyResult | undefined
    const limits = { maxMessages: 5, maxBytes: Number.POSITIVE_INFINITY }
    const request = new WaitingRequest(
      stage.deadlines,
      stage.runtime.now + 1_000_000,
      { reply: result => (answer = result) },
      limits
    )
    stage.consumer.receive({ type: 'consume', topic: 'orders', request })
    stage.runtime.pass(1)
    expect(answer).to.equal(undefined)
    const transaction = new Transaction(given)
    stage.runtime.pass(1)
    expect(answer).to.have.nested.property('messages.messages[0].offset', 3)
    transaction.end('aborted')
    expect(stage.offsets(5)).to.deep.equal([0, 1, 2])
  })

  it('may be what was released and not offered again, as an ordinary acknowledgement', async () => {
    const given = stage.take(3)
    stage.given.releaseAllBut(new Set())
    const transaction = new Transaction(given.slice(0, 2))
    expect(stage.offsets(2)).to.deep.equal([2, 3])
    transaction.end('aborted')
    expect(stage.offsets(2)).to.deep.equal([0, 1])
  })

  it('is refused as a whole where a message was acknowledged, offered again or taken by another transaction', () => {
    const [acked, late, taken, good] = stage.take(4)
    acked!.ack()
    new Transaction([taken!])
    stage.runtime.pass(ACK_MS + 1)
    expect([...stage.offsets(), ...stage.offsets()]).to.deep.equal([4, 1])
    const [fresh] = stage.take()
    for (const bad of [acked!, late!, taken!, good!]) {
      const { offsets } = new Transaction()
      expect(() => offsets.add(batchOf([fresh!, bad])), `offset ${bad.offset}`)
        .to.throw('offered again')
        .with.property('code', 'notAssigned')
      expect(offsets.hasMessages).to.equal(false)
    }
    new Transaction([fresh!])
  })

  it('counts once when it is added twice, and not any more after the end', () => {
    const [message] = stage.take()
    const { offsets } = new Transaction([message!])
    offsets.add(message!)
    offsets.end('aborted')
    offsets.end('committed')
    expect(stage.offsets()).to.deep.equal([0])
    expect(() => offsets.add(message!)).to.throw('has ended')
    expect(() => new TransactionOffsets().add({} as never)).to.throw('a message or a batch')
  })

  describe('and the ordinary commits of its partition', () => {
    it('are answered before its position is computed, and wait for its end, as those of no other partition', async () => {
      const [first, second, third] = stage.take(3)
      const [other] = stage.take(1, 'returns')
      stage.commitsOf('orders')
      stage.runtime.held.add('commitConsumerOffset')
      first!.ack()
      stage.runtime.pass(1)
      const transaction = new Transaction([second!])
      expect(await transaction.prepare(), 'a commit is on its way').to.equal(undefined)
      stage.runtime.held.clear()
      stage.runtime.settle()
      expect(offsetIn(await transaction.now()).offset).to.equal(2)
      third!.ack()
      other!.ack()
      stage.commitsOf('orders')
      stage.runtime.pass(10_000)
      const sent = stage.runtime.asked.filter(({ kind }) => kind === 'commitConsumerOffset')
      expect(sent.map(({ request }) => topicOf(request))).to.deep.equal(['returns'])
      transaction.end('committed')
      stage.runtime.asked.length = 0
      stage.runtime.pass(10_000)
      expect(stage.commitsOf('orders')).to.deep.equal([3])
    })

    it('are sent again and answered first where one got no answer: it may come late', async () => {
      const [first, second] = stage.take(2)
      stage.runtime.answers.push({ kind: 'commitConsumerOffset', result: { type: 'timedOut' } })
      first!.ack()
      stage.runtime.pass(1)
      stage.commitsOf('orders')
      const transaction = new Transaction([second!])
      expect(await transaction.prepare()).to.equal(undefined)
      stage.runtime.pass(10_000)
      expect(stage.commitsOf('orders')).to.deep.equal([1])
      expect(offsetIn(await transaction.now()).offset).to.equal(2)
      transaction.end('aborted')
    })
  })

  describe('with more gaps than its metadata holds', () => {
    /** Every second message is acknowledged by the transaction. */
    const gaps = (count: number) => {
      const given = stage.take(2 * count)
      const odd = given.filter(({ offset }) => offset % 2 === 1)
      const even = given.filter(({ offset }) => offset % 2 === 0)
      return { transaction: new Transaction(odd), even }
    }

    it('waits until it fits, and no other transaction waits for it', async () => {
      const { transaction, even } = gaps(2_100)
      expect(await transaction.prepare()).to.equal(undefined)
      const other = new Transaction(even.slice(0, 200))
      expect(offsetIn(await other.prepare()).offset).to.equal(1)
      other.end('committed')
      const { offset, metadata } = offsetIn(await transaction.now())
      expect(offset).to.equal(400)
      expect(acksIn({ offset, metadata })!.at(-1)).to.deep.equal({ from: 4_199, to: 4_200 })
      transaction.end('aborted')
    })

    it('is given up when the time of the transaction is over', async () => {
      const { transaction, even } = gaps(2_100)
      await transaction.prepare()
      transaction.endTime()
      expect(await transaction.now())
        .to.be.an('error')
        .with.property('message', 'its time is over')
      transaction.end('aborted')
      expect(stage.offsets(2)).to.deep.equal([1, 3])
      batchOf(even).ack()
    })

    it('waits until brokers take it where they have refused it', async () => {
      const { transaction, even } = gaps(20)
      const first = offsetIn(await transaction.prepare())
      transaction.offsets.tooLarge('foo', first)
      expect(await transaction.prepare()).to.equal(undefined)
      batchOf(even.slice(0, 5)).ack()
      const { metadata } = offsetIn(await transaction.now())
      expect(metadata.length).to.be.below(first.metadata.length)
      transaction.end('committed')
    })

    it('fits where a message that fills a gap is given up', async () => {
      stage.stop(0)
      stage = new TransactionStage(20_000, { maxRetries: 0 })
      const { transaction } = gaps(2_100)
      expect(await transaction.prepare()).to.equal(undefined)
      stage.runtime.pass(ACK_MS + 1)
      stage.take(2)
      stage.take(2)
      expect(offsetIn(await transaction.now()).offset).to.equal(4_200)
      transaction.end('committed')
    })

    it('leaves later commits as short as they were, however much is acknowledged until its end', async () => {
      const [first, second, ...others] = stage.take(5_000)
      const transaction = new Transaction([second!])
      await transaction.prepare()
      batchOf(others.filter(({ offset }) => offset % 2 === 1)).ack()
      transaction.end('committed')
      first!.ack()
      stage.runtime.pass(10_000)
      expect(stage.runtime.committed!.offset).to.equal(2)
      expect(stage.runtime.committed!.metadata).to.have.lengthOf.at.most(4_000)
    })

    it('is kept in commits that are as short as its own, where brokers take no longer ones', async () => {
      stage.stop(0)
      stage = new TransactionStage()
      stage.runtime.topicId = 'AAAAAAAAAAAAAAAAAAAAAA'
      const { transaction } = gaps(20)
      const marked = offsetIn(await transaction.prepare())
      transaction.offsets.tooLarge('foo', marked)
      const { metadata, offset } = offsetIn(await transaction.prepare())
      expect(acksIn({ offset, metadata })).to.deep.equal(acksIn(marked))
      transaction.end('committed')
      stage.take()[0]!.ack()
      stage.runtime.pass(10_000)
      expect(stage.runtime.committed!.metadata).to.equal(metadata)
    })

    it('is kept in later commits, which leave out what was acknowledged otherwise', async () => {
      const { transaction, even } = gaps(1_500)
      await transaction.prepare()
      transaction.end('committed')
      const later = stage.take(2_000)
      batchOf(later.filter(({ offset }) => offset % 2 === 1)).ack()
      stage.runtime.pass(10_000)
      const committed = acksIn(stage.runtime.committed!)!
      expect(committed.slice(0, 1_500).at(-1)).to.deep.equal({ from: 2_999, to: 3_000 })
      batchOf(later.filter(({ offset }) => offset % 2 === 0)).ack()
      batchOf(even).ack()
      stage.runtime.pass(10_000)
      expect(stage.runtime.committed).to.deep.equal({ offset: 5_000, metadata: '' })
    })
  })

  describe('when another transaction has messages of the same partition', () => {
    it('waits for its end, however that comes', async () => {
      for (const result of ['committed', 'aborted'] as const) {
        const [one, two] = stage.take(2)
        const first = new Transaction([one!])
        const second = new Transaction([two!])
        const given = offsetIn(await first.prepare())
        expect(await second.prepare()).to.equal(undefined)
        first.end(result)
        const { offset } = offsetIn(await second.now())
        expect(offset - given.offset, result).to.equal(result === 'committed' ? 1 : -1)
        second.end('aborted')
        stage.take(result === 'committed' ? 1 : 2).forEach(message => void message.ack())
        stage.runtime.pass(10_000)
      }
    })

    it('waits within its own time, and lets those behind it go on when that is over', async () => {
      const [one, two, three] = stage.take(3)
      const [first, second, third] = [new Transaction([one!]), new Transaction([two!]), new Transaction([three!])]
      await first.prepare()
      await second.prepare()
      await third.prepare()
      second.endTime()
      expect(await second.now()).to.be.an('error')
      second.end('aborted')
      first.end('committed')
      expect(offsetIn(await third.now()).offset).to.equal(1)
      third.end('aborted')
    })

    it('waits for nobody who waits for it: of two partitions the same one comes first in both', async () => {
      const [a1, a2] = stage.take(2)
      const [b1, b2] = stage.take(2, 'returns')
      const first = new Transaction([a1!, b1!])
      const second = new Transaction([b2!, a2!])
      const outcome = await first.prepare()
      expect(await second.prepare()).to.equal(undefined)
      expect((outcome as GroupPositions[])[0]!.offsets.map(({ topic }) => topic)).to.deep.equal(['orders', 'returns'])
      first.end('committed')
      expect(await second.now()).to.have.length(1)
      second.end('committed')
    })
  })

  describe('when the group is rebalanced while the transaction is open', () => {
    /** Others join, so the member joins again and keeps its partition. */
    const rebalance = (): void => {
      stage.runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.REBALANCE_IN_PROGRESS) })
      stage.runtime.pass(defaultConsumerSettings.heartbeatIntervalMs + ACK_MS)
    }

    it('names the generation in which it was given out, and is offered next when that is refused', async () => {
      const transaction = new Transaction(stage.take(2))
      const { generation } = stage.runtime
      rebalance()
      expect(stage.runtime.generation).to.equal(generation + 1)
      expect(stage.offsets()).to.deep.equal([2])
      expect(await transaction.prepare()).to.containSubset([{ generationId: generation }])
      transaction.end('aborted')
      expect(stage.offsets(2)).to.deep.equal([0, 1])
    })

    it('has messages of one generation only', () => {
      const { offsets } = new Transaction(stage.take())
      rebalance()
      const [later] = stage.take()
      expect(() => offsets.add(later!))
        .to.throw()
        .with.property('code', 'notAssigned')
      offsets.end('aborted')
    })

    it('keeps the member from joining again until its end, within the limit of commits', async () => {
      const transaction = new Transaction(stage.take())
      await transaction.prepare()
      const { generation } = stage.runtime
      rebalance()
      expect(stage.runtime.generation).to.equal(generation)
      transaction.end('committed')
      stage.runtime.pass(1)
      expect(stage.runtime.generation).to.equal(generation + 1)
      expect(stage.offsets()).to.deep.equal([1])
    })

    it('is refused when the partition is lost, before and while it waits', async () => {
      const given = stage.take(3)
      const [open, waiting] = [new Transaction([given[0]!]), new Transaction([given[1]!])]
      await open.prepare()
      expect(await waiting.prepare()).to.equal(undefined)
      stage.runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID) })
      stage.runtime.pass(defaultConsumerSettings.heartbeatIntervalMs + 1_000)
      expect(await waiting.now())
        .to.be.an('error')
        .with.property('code', 'notAssigned')
      expect(() => new Transaction([given[2]!]))
        .to.throw()
        .with.property('code', 'notAssigned')
      open.end('committed')
      waiting.end('aborted')
      stage.take()
      expect(stage.offsets(2), 'from the committed offset').to.deep.equal([1, 2])
    })
  })

  it('is refused when its topic was created anew, where its position would pass other records', async () => {
    stage.stop(0)
    stage = new TransactionStage(0)
    stage.runtime.topicId = 'before'
    stage.runtime.write(...run(0, 5))
    const given = stage.take(5)
    const transaction = new Transaction(given.slice(0, 2))
    const asked = stage.ask()
    stage.runtime.recreateTopic('anew')
    stage.runtime.write(...run(0, 5))
    stage.runtime.pass(1_000)
    expect(asked.answer, 'the first one of the new topic').to.have.nested.property('message.offset', 0)
    expect(await transaction.prepare())
      .to.be.an('error')
      .with.property('code', 'notAssigned')
    expect(() => new Transaction([given[2]!]))
      .to.throw()
      .with.property('code', 'notAssigned')
    transaction.end('aborted')
  })

  it('is refused when its log was cut before it', async () => {
    stage.stop(0)
    stage = new TransactionStage(0)
    stage.runtime.electLeader(0)
    stage.runtime.write(...run(0, 5))
    const transaction = new Transaction(stage.take(5).slice(1))
    stage.take()
    stage.runtime.cut(2)
    stage.runtime.write(...run(2, 5))
    stage.take()
    stage.runtime.pass(10_000)
    expect(await transaction.prepare())
      .to.be.an('error')
      .with.property('code', 'notAssigned')
    transaction.end('aborted')
  })

  it('is not settled by the end of another one, whose messages were in its place before the log was cut', async () => {
    stage.stop(0)
    stage = new TransactionStage(0)
    stage.runtime.electLeader(0)
    stage.runtime.write(...run(0, 5))
    const former = new Transaction(stage.take(5).slice(2))
    stage.take()
    stage.runtime.cut(2)
    stage.runtime.write(...run(2, 5))
    stage.take()
    stage.runtime.pass(10_000)
    const [message] = stage.take()
    expect(message!.offset).to.equal(3)
    const transaction = new Transaction([message!])
    former.end('aborted')
    const position = offsetIn(await transaction.prepare())
    transaction.end('committed')
    stage.take()[0]!.ack()
    stage.runtime.pass(10_000)
    expect(acksIn(stage.runtime.committed!)).to.deep.include.members([...acksIn(position)!])
  })

  it('is refused, also while it waits, when the groups stop or the transaction ends', async () => {
    const [one, two, three] = stage.take(3)
    const [first, second, third] = [new Transaction([one!]), new Transaction([two!]), new Transaction([three!])]
    await first.prepare()
    await second.prepare()
    await third.prepare()
    third.end('aborted')
    expect(await third.now())
      .to.be.an('error')
      .with.property('code', 'aborted')
    stage.consumer.abandon(kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID))
    expect(await second.now())
      .to.be.an('error')
      .with.property('code', 'notAssigned')
    second.end('aborted')
    first.end('committed')
  })
})
