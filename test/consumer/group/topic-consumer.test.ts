import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import sinon from 'sinon'
import {
  type AcquiredMessage,
  askerOfOne,
  type ConsumedMessages,
  type ConsumeManyResult,
  type ConsumeResult,
  type MessageLimits,
  ONE_MESSAGE
} from '../../../src/consumer/group/consume-result.js'
import { DeferredOffers } from '../../../src/consumer/group/deferred-offers.js'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { type LentLimits, MAX_LENT_BYTES, type TopicLending } from '../../../src/consumer/group/lending.js'
import { LoopDemand } from '../../../src/consumer/group/loop-demand.js'
import { PartitionConsumer } from '../../../src/consumer/group/partition-consumer.js'
import { TopicConsumer } from '../../../src/consumer/group/topic-consumer.js'
import { TopicStart } from '../../../src/consumer/group/topic-start.js'
import type { Demand } from '../../../src/consumer/group/turn-order.js'
import { WaitingRequest } from '../../../src/consumer/group/waiting-request.js'
import { HEADER_OBJECT_BYTES, memoryOfRecord } from '../../../src/core/bytes.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { sizeOfRecord } from '../../../src/core/model.js'
import { Deadlines } from '../../../src/router/requests/deadlines.js'
import { ownFailure } from '../../../src/router/requests/failures.js'
import { fakeRecord } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import { FakeRuntime, run } from './fake-runtime.js'
import { PartitionStage } from './partition-stage.js'

const LONG_POLL_MS = 3_000

/** A topic that the group has begun to read. */
function begun(): TopicStart {
  const start = new TopicStart('latest', new FakeRuntime(), 'test.4', 100)
  start.begin()
  return start
}

/** A topic whose partitions are in runtimes of their own; requests write down what they get. */
class TopicStage {
  readonly runtimes: FakeRuntime[]
  readonly told: string[] = []
  /** Positions to commit: `partition@offset`. */
  readonly submitted: string[] = []
  readonly consumer: TopicConsumer
  readonly #time: FakeTime
  readonly #deadlines: Deadlines
  readonly #batches = new HeldBatches(1_000_000)

  constructor(
    time: FakeTime,
    messages: readonly number[],
    maxWaitingRequests = 64,
    start = begun(),
    lending?: TopicLending
  ) {
    this.#time = time
    this.#deadlines = new Deadlines(time.now)
    this.runtimes = messages.map(count => {
      const runtime = new FakeRuntime(run(0, count))
      runtime.committed = { offset: 0, metadata: '' }
      return runtime
    })
    this.consumer = new TopicConsumer({
      topic: 'test.4',
      groupId: 'foo',
      metrics: defaultLogger,
      maxWaitingRequests,
      start,
      lending,
      createPartition: (partition, demand) => this.#createPartition(partition, demand),
      offers: new DeferredOffers(
        () => this.consumer,
        run => run()
      ),
      membership: () => undefined
    })
    this.consumer.assign(messages.map((_, partition) => partition))
    this.settle()
  }

  #createPartition(partition: number, demand: Demand): PartitionConsumer {
    const { consumer } = new PartitionStage(this.runtimes[partition]!, {
      topicPartition: { topic: 'test.4', partition },
      batches: this.#batches,
      tracker: { ackTimeoutMs: 10_000, maxRetries: -1 },
      submit: ({ position }) => void this.submitted.push(`${partition}@${position.offset}`),
      demand
    })
    return consumer
  }

  /** A request; what it is answered is written down as `name: partition/offset`. */
  ask(name: string): WaitingRequest {
    const reply = (result: ConsumeResult): void => {
      const { type } = result
      const what = type === 'message' ? `${result.message.partition}/${result.message.offset}` : type
      this.told.push(`${name}: ${what}`)
    }
    const request = new WaitingRequest(
      this.#deadlines,
      this.#time.now() + LONG_POLL_MS,
      askerOfOne({ reply }),
      ONE_MESSAGE
    )
    this.consumer.addRequest(request)
    this.settle()
    return request
  }

  /** A request for several messages; what it gets is written down as `name: partition/offset partition/offset`. */
  askMany(name: string, limits: MessageLimits): ConsumedMessages[] {
    const got: ConsumedMessages[] = []
    const reply = (result: ConsumeManyResult): void => {
      if (result.type === 'messages') got.push(result.messages)
      const placeOf = ({ partition, offset }: AcquiredMessage) => `${partition}/${offset}`
      const what = result.type === 'messages' ? result.messages.messages.map(placeOf).join(' ') : result.type
      this.told.push(`${name}: ${what}`)
    }
    this.consumer.addRequest(new WaitingRequest(this.#deadlines, this.#time.now() + LONG_POLL_MS, { reply }, limits))
    this.settle()
    return got
  }

  settle(): void {
    for (const runtime of this.runtimes) runtime.settle()
  }

  newly(): string[] {
    return this.told.splice(0)
  }

  /** The partitions that so many requests are served from. */
  partitionsServed(requests: number): number[] {
    for (let at = 0; at < requests; at++) this.ask('any')
    return this.newly().map(told => Number(told.match(/: (\d+)\//)![1]))
  }
}

describe('one topic of a group', () => {
  let time: FakeTime
  beforeEach(() => (time = new FakeTime()))
  afterEach(() => time.restore())

  it('pixy T1 gives messages to requests in the order in which they came', () => {
    const stage = new TopicStage(time, [0])
    stage.consumer.resume()
    for (const name of ['ann', 'bob', 'cid']) stage.ask(name)
    expect(stage.newly()).to.deep.equal([])
    stage.runtimes[0]!.write(0, 1, 2, 3)
    stage.settle()
    expect(stage.newly()).to.deep.equal(['ann: 0/0', 'bob: 0/1', 'cid: 0/2'])
    stage.ask('dan')
    expect(stage.newly()).to.deep.equal(['dan: 0/3'])
  })

  it('pixy T3 a request whose time is up is told so, and takes no message', async () => {
    const stage = new TopicStage(time, [0])
    stage.consumer.resume()
    stage.ask('ann')
    await time.pass(LONG_POLL_MS + 20)
    expect(stage.newly()).to.deep.equal(['ann: timedOut'])
    stage.ask('bob')
    stage.runtimes[0]!.write(0)
    stage.settle()
    expect(stage.newly()).to.deep.equal(['bob: 0/0'])
  })

  it('a request for several topics is not told that there is no message before all of them have begun', async () => {
    const notBegun = () => new TopicStart('latest', new FakeRuntime(), 'test.4', 100)
    const stages = [notBegun(), notBegun()].map(start => new TopicStage(time, [0], 64, start))
    const told: string[] = []
    const requester = { reply: ({ type }: ConsumeManyResult) => void told.push(type) }
    const request = new WaitingRequest(new Deadlines(time.now), time.now() + LONG_POLL_MS, requester, ONE_MESSAGE)
    for (const { consumer } of stages) {
      consumer.addRequest(request)
      consumer.resume()
    }
    stages[0]!.consumer.begin()
    await time.pass(LONG_POLL_MS + 20)
    expect(told).to.deep.equal([])
    stages[1]!.consumer.begin()
    await time.pass(20)
    expect(told).to.deep.equal(['timedOut'])
  })

  it('pixy C11 refuses what is too much at once', () => {
    const stage = new TopicStage(time, [0], 2)
    stage.consumer.resume()
    for (const name of ['ann', 'bob', 'cid', 'dan']) stage.ask(name)
    expect(stage.newly()).to.deep.equal(['dan: failed'])
    expect(stage.consumer.waiting).to.equal(3)
  })

  it('a client that goes away makes room also where another one waits before it', () => {
    const stage = new TopicStage(time, [0], 1)
    stage.consumer.resume()
    stage.ask('ann')
    stage.ask('bob').cancel()
    stage.ask('cid')
    stage.ask('dan')
    stage.runtimes[0]!.write(0, 1)
    stage.settle()
    expect(stage.newly()).to.deep.equal(['dan: failed', 'ann: 0/0', 'cid: 0/1'])
  })

  it('pixy M1 M3 serves one message of each partition in turn, in ascending order', () => {
    const stage = new TopicStage(time, [5, 3, 2, 1])
    stage.consumer.resume()
    expect(stage.partitionsServed(11)).to.deep.equal([0, 1, 2, 3, 0, 1, 2, 0, 1, 0, 0])
  })

  it('pixy M2 a single partition gives all', () => {
    const stage = new TopicStage(time, [3])
    stage.consumer.resume()
    expect(stage.partitionsServed(3)).to.deep.equal([0, 0, 0])
  })

  it('pixy M4 a partition with much to offer does not keep the others from their turn', () => {
    const stage = new TopicStage(time, [100, 2, 2])
    stage.consumer.resume()
    expect(stage.partitionsServed(6)).to.deep.equal([0, 1, 2, 0, 1, 2])
  })

  it('pixy M5 waits while all are empty, and wakes when any is not', () => {
    const stage = new TopicStage(time, [0, 0])
    stage.consumer.resume()
    stage.ask('ann')
    stage.runtimes[1]!.write(0)
    stage.settle()
    expect(stage.newly()).to.deep.equal(['ann: 1/0'])
  })

  it('pixy M6 M9 M10 serves the partitions that it begins with, others in their place, and the first ones again', () => {
    const stage = new TopicStage(time, [4, 4, 4, 4])
    stage.consumer.assign([0, 1])
    stage.consumer.resume()
    stage.settle()
    expect(stage.partitionsServed(3)).to.deep.equal([0, 1, 0])
    stage.consumer.assign([2, 3])
    stage.settle()
    expect(stage.partitionsServed(3)).to.deep.equal([2, 3, 2])
    stage.consumer.assign([2, 3])
    stage.settle()
    for (const name of ['ann', 'bob']) stage.ask(name)
    // Each goes on where it was.
    expect(stage.newly()).to.deep.equal(['ann: 3/1', 'bob: 2/2'])
  })

  it('pixy M7 M8 M11 M12 whatever partitions come and go, nothing is lost or doubled of those that stay', () => {
    const stage = new TopicStage(time, [4, 4, 4])
    stage.consumer.resume()
    expect(stage.partitionsServed(3)).to.deep.equal([0, 1, 2])
    stage.consumer.assign([0, 2])
    stage.settle()
    expect(stage.partitionsServed(2)).to.deep.equal([0, 2])
    stage.consumer.assign([2])
    stage.settle()
    stage.ask('ann')
    expect(stage.newly()).to.deep.equal(['ann: 2/2'])
    stage.consumer.assign([])
    stage.ask('bob')
    expect(stage.newly()).to.deep.equal([])
    stage.runtimes[1]!.committed = { offset: 1, metadata: '' }
    stage.consumer.assign([1, 2])
    stage.settle()
    expect(stage.newly()).to.deep.equal(['bob: 1/1'])
  })

  it('partitions that are set aside are read anew from what is committed, unless they went to others meanwhile', () => {
    const stage = new TopicStage(time, [4, 4])
    stage.consumer.resume()
    expect(stage.partitionsServed(4)).to.deep.equal([0, 1, 0, 1])
    stage.consumer.setAside([0, 1])
    for (const name of ['ann', 'bob', 'cid']) stage.ask(name)
    // Assigned again by a rebalance, which is no reason to read them.
    stage.consumer.assign([0, 1])
    stage.consumer.assign([0])
    expect([stage.consumer.readsAll([0]), stage.newly()]).to.deep.equal([false, []])
    stage.runtimes[0]!.committed = { offset: 3, metadata: '' }
    stage.consumer.readAnew([0, 1])
    stage.settle()
    expect(stage.newly()).to.deep.equal(['ann: 0/3'])
    expect([stage.consumer.readsAll([0]), stage.consumer.readsAll([0, 1])]).to.deep.equal([true, false])
    stage.consumer.assign([0, 1])
    stage.settle()
    expect(stage.newly()).to.deep.equal(['bob: 1/0', 'cid: 1/1'])
  })

  it('pixy M13 M14 offers nothing while it is paused, and goes on afterwards', () => {
    const stage = new TopicStage(time, [3])
    stage.ask('ann')
    expect(stage.newly()).to.deep.equal([])
    stage.consumer.resume()
    stage.settle()
    expect(stage.newly()).to.deep.equal(['ann: 0/0'])
    stage.consumer.pause()
    stage.ask('bob')
    expect(stage.newly()).to.deep.equal([])
    expect(stage.consumer.partition(0)!.ack(0)).to.equal('acked')
    stage.consumer.resume()
    stage.settle()
    expect(stage.newly()).to.deep.equal(['bob: 0/1'])
  })

  it('waits in vain without partitions, but not for a loop that is patient', () => {
    const stage = new TopicStage(time, [])
    const ask = (isPatient: boolean): void => {
      const loop = new LoopDemand({ groupId: 'foo', isPatient })
      loop.setTopics(['test.4'])
      loop.register('test.4', stage.consumer)
      loop.begin(ONE_MESSAGE, () => undefined)
    }
    ask(true)
    expect(stage.consumer.waitsInVain).to.equal(false)
    ask(false)
    expect(stage.consumer.waitsInVain).to.equal(true)
    stage.consumer.stop(ownFailure('shuttingDown', 'over', true))
    stage.ask('ann')
    expect(stage.consumer.waitsInVain).to.equal(true)
  })

  it('pixy M15 answers everybody when it stops', () => {
    const stage = new TopicStage(time, [0])
    stage.consumer.resume()
    stage.ask('ann')
    stage.ask('bob')
    stage.consumer.stop(ownFailure('shuttingDown', 'over', true))
    expect(stage.newly()).to.deep.equal(['ann: failed', 'bob: failed'])
    expect(stage.consumer.partition(0)).to.equal(undefined)
  })

  it('pixy M17 knows how many messages wait for an ack', () => {
    const stage = new TopicStage(time, [2, 2])
    stage.consumer.resume()
    expect(stage.consumer.pending).to.equal(0)
    stage.partitionsServed(3)
    expect(stage.consumer.pending).to.equal(3)
    stage.consumer.partition(1)!.ack(0)
    expect(stage.consumer.pending).to.equal(2)
  })

  describe('several messages at once', () => {
    const many = { maxMessages: 5, maxBytes: 1_000 }

    it('come from all partitions in turn, as many as are there within the limits', () => {
      const stage = new TopicStage(time, [4, 2, 0, 1])
      stage.consumer.resume()
      stage.ask('first')
      stage.askMany('ann', many)
      stage.askMany('bob', many)
      expect(stage.newly()).to.deep.equal(['first: 0/0', 'ann: 1/0 3/0 0/1 1/1 0/2', 'bob: 0/3'])
      expect(stage.consumer.pending).to.equal(7)
    })

    it('end with the message that reaches the limit of bytes, and there is always one', () => {
      const stage = new TopicStage(time, [20])
      const recordBytes = sizeOfRecord(fakeRecord(0))
      stage.consumer.resume()
      stage.askMany('ann', { maxMessages: 100, maxBytes: 2 * recordBytes + 1 })
      stage.askMany('bob', { maxMessages: 100, maxBytes: 0 })
      stage.askMany('cid', { maxMessages: 100, maxBytes: 2 * recordBytes })
      expect(stage.newly()).to.deep.equal(['ann: 0/0 0/1 0/2', 'bob: 0/3', 'cid: 0/4 0/5'])
    })

    it('count what headers take in memory, which is a hundred times what a short one has', () => {
      const stage = new TopicStage(time, [20])
      const headers = Array.from({ length: 40 }, () => ({ key: 'h', value: null }))
      stage.runtimes[0]!.recordAt = offset => ({ ...fakeRecord(offset), headers })
      stage.consumer.resume()
      stage.askMany('ann', { maxMessages: 100, maxBytes: 80 * HEADER_OBJECT_BYTES })
      expect(stage.newly()).to.deep.equal(['ann: 0/0 0/1'])
    })

    it('are acknowledged together, with one commit for each partition', () => {
      const stage = new TopicStage(time, [4, 4])
      stage.consumer.resume()
      stage.ask('first')
      const [got] = stage.askMany('ann', many)
      stage.consumer.partition(0)!.ack(0)
      expect(stage.consumer.pending).to.equal(5)
      stage.submitted.length = 0
      got!.ack()
      got!.ack()
      expect(stage.consumer.pending).to.equal(0)
      expect(stage.submitted).to.deep.equal(['1@3', '0@3'])
    })

    it('are counted right where some of them were acknowledged one by one before', () => {
      const stage = new TopicStage(time, [5])
      stage.consumer.resume()
      const [got] = stage.askMany('ann', many)
      expect([stage.consumer.partition(0)!.ack(3), stage.consumer.partition(0)!.ack(1)]).to.deep.equal([
        'acked',
        'acked'
      ])
      got!.ack()
      expect([stage.submitted.at(-1), stage.consumer.pending]).to.deep.equal(['0@5', 0])
    })

    it('are the next ones when they were not delivered, in order, but for those that are acknowledged', () => {
      const stage = new TopicStage(time, [6, 3])
      stage.consumer.resume()
      stage.ask('first')
      const [got] = stage.askMany('ann', { maxMessages: 4, maxBytes: 1_000 })
      stage.consumer.partition(1)!.ack(0)
      got!.release()
      got!.release()
      stage.askMany('bob', { maxMessages: 9, maxBytes: 1_000 })
      expect(stage.newly()).to.deep.equal(['first: 0/0', 'ann: 1/0 0/1 1/1 0/2', 'bob: 1/1 0/1 1/2 0/2 0/3 0/4 0/5'])
      expect(stage.consumer.pending).to.equal(8)
    })

    it('of a partition that was given away, acknowledge and return nothing', () => {
      const stage = new TopicStage(time, [3, 3])
      stage.consumer.resume()
      const [got] = stage.askMany('ann', many)
      stage.consumer.assign([1])
      stage.submitted.length = 0
      got!.release()
      got!.ack()
      expect([...new Set(stage.submitted.map(place => place[0]))]).to.deep.equal([])
      stage.askMany('bob', many)
      expect(stage.newly().at(-1)).to.equal('bob: 1/0 1/1 1/2')
    })
  })

  it('a message costs no look at the partitions that have none', () => {
    const stage = new TopicStage(time, [50, ...Array.from({ length: 99 }, () => 0)])
    stage.consumer.resume()
    const looks = sinon.spy(PartitionConsumer.prototype, 'want')
    try {
      stage.ask('first')
      const before = looks.callCount
      for (let at = 0; at < 40; at++) stage.ask('next')
      expect(stage.newly().filter(told => told.includes('0/'))).to.have.length(41)
      expect(looks.callCount - before).to.be.below(100)
    } finally {
      looks.restore()
    }
  })

  it('answers have the same hidden class: one of its own would keep its request until the whole heap is collected', () => {
    setFlagsFromString('--allow-natives-syntax')
    const areOfOneClass = runInNewContext('(one, other) => %HasFastProperties(one) && %HaveSameMap(one, other)')
    const stage = new TopicStage(time, [3])
    stage.consumer.resume()
    const [first, second] = ['ann', 'bob'].flatMap(name => stage.askMany(name, ONE_MESSAGE))
    expect(areOfOneClass(first, second)).to.equal(true)
    expect(second!.topicIds).to.deep.equal(new Map([[0, undefined]]))
  })
})

describe('one topic of a group whose messages other gateways want', () => {
  let time: FakeTime
  let lending: { isWanted: boolean; waits(): void; atHand(): void }
  let told: string[]
  beforeEach(() => {
    time = new FakeTime()
    told = []
    lending = { isWanted: false, waits: () => told.push('waits'), atHand: () => told.push('at hand') }
  })
  afterEach(() => time.restore())
  const newly = (): string[] => told.splice(0)
  const stageOf = (messages: readonly number[]): TopicStage => {
    const stage = new TopicStage(time, messages, 64, begun(), lending)
    stage.consumer.resume()
    return stage
  }
  const wanted = (stage: TopicStage): void => {
    lending.isWanted = true
    stage.consumer.serve()
    stage.settle()
  }
  const lend = (stage: TopicStage, some: Partial<LentLimits> = ONE_MESSAGE): string[] => {
    const limits = { maxMessages: 9, maxBytes: 1_000_000, maxMessageBytes: MAX_LENT_BYTES, ...some }
    const lent = stage.consumer.lend(limits)?.messages.map(({ partition, offset }) => `${partition}/${offset}`) ?? []
    stage.settle()
    return lent
  }

  it('tells that a request waits, where nothing is at hand', () => {
    const stage = stageOf([2])
    stage.ask('ann')
    expect(newly(), 'it is to be read').to.deep.equal(['waits'])
    stage.ask('bob')
    expect(newly()).to.deep.equal([])
    stage.ask('cid')
    expect(newly()).to.deep.equal(['waits'])
  })

  it('reads nothing that nobody wants, and tells what is at hand for others', () => {
    const stage = stageOf([1])
    expect(newly()).to.deep.equal([])
    wanted(stage)
    expect(newly()).to.include('at hand')
    expect(stage.consumer.bytesToLend).to.equal(memoryOfRecord(fakeRecord(0)))
    expect(lend(stage)).to.deep.equal(['0/0'])
    newly()
    expect(lend(stage)).to.deep.equal([])
    stage.runtimes[0]!.write(1)
    stage.settle()
    expect(newly()).to.include('at hand')
    expect(lend(stage)).to.deep.equal(['0/1'])
  })

  it('lends messages of all partitions in turn, within the limits', () => {
    const stage = stageOf([3, 3])
    wanted(stage)
    expect(lend(stage, { maxMessages: 3, maxBytes: 1_000_000 })).to.deep.equal(['0/0', '1/0', '0/1'])
    expect(lend(stage, { maxMessages: 9, maxBytes: 1_000_000 })).to.deep.equal(['1/1', '0/2', '1/2'])
  })

  it('serves its own clients first', () => {
    const stage = stageOf([0])
    wanted(stage)
    stage.ask('ann')
    stage.runtimes[0]!.write(0, 1)
    stage.settle()
    expect(stage.newly()).to.deep.equal(['ann: 0/0'])
    stage.ask('bob').holdForTake()
    expect(stage.newly()).to.deep.equal(['bob: 0/1'])
    stage.ask('cid').holdForTake()
    stage.runtimes[0]!.write(2)
    stage.settle()
    expect(stage.consumer.bytesToLend, 'a client waits').to.equal(undefined)
    expect(lend(stage)).to.deep.equal([])
  })

  it('passes over a request to which a message is on its way from another gateway', () => {
    const stage = stageOf([0])
    const ann = stage.ask('ann')
    ann.holdForTake()
    stage.ask('bob')
    stage.runtimes[0]!.write(0, 1)
    stage.settle()
    expect(stage.newly()).to.deep.equal(['bob: 0/0'])
    ann.allowOwn()
    stage.consumer.serve()
    expect(stage.newly()).to.deep.equal(['ann: 0/1'])
  })

  it('lends nothing while its partitions may go to another member', () => {
    const stage = stageOf([2])
    wanted(stage)
    stage.consumer.pause()
    expect(lend(stage)).to.deep.equal([])
    stage.consumer.resume()
    expect(lend(stage)).to.deep.equal(['0/0'])
  })

  it('keeps a message whose header keys would be too long in JSON', () => {
    const stage = stageOf([0])
    const key = '\u0001'.repeat(MAX_LENT_BYTES / 6)
    stage.runtimes[0]!.recordAt = offset => ({ ...fakeRecord(offset), headers: [{ key, value: null }] })
    wanted(stage)
    stage.runtimes[0]!.write(0)
    stage.settle()
    expect(stage.consumer.bytesToLend).to.equal(undefined)
    expect(lend(stage)).to.deep.equal([])
  })

  it('tells the size of the message that is lent next, and lends none that is larger than agreed', () => {
    const stage = stageOf([0, 0])
    const sizes = [5_000, 3_000_000]
    for (const [at, size] of sizes.entries())
      stage.runtimes[at]!.recordAt = offset => ({ ...fakeRecord(offset), value: Buffer.alloc(size) })
    wanted(stage)
    for (const runtime of stage.runtimes) runtime.write(0, 1, 2)
    stage.settle()
    expect(stage.consumer.bytesToLend).to.be.within(5_000, 5_100)
    expect(lend(stage, { maxMessageBytes: 1_000_000 })).to.deep.equal(['0/0', '0/1', '0/2'])
    expect(stage.consumer.bytesToLend).to.be.within(3_000_000, 3_000_100)
    expect(lend(stage, { maxMessageBytes: 2_000_000 })).to.deep.equal([])
    expect(lend(stage, { maxMessageBytes: 3_000_100 })).to.deep.equal(['1/0'])
  })

  it('keeps a message that is too large for its own clients, and lends those of other partitions', () => {
    const stage = stageOf([0, 0])
    const large = Buffer.alloc(MAX_LENT_BYTES + 1)
    stage.runtimes[0]!.recordAt = offset => ({ ...fakeRecord(offset), value: large })
    wanted(stage)
    stage.runtimes[0]!.write(0)
    stage.runtimes[1]!.write(0)
    stage.settle()
    expect(lend(stage, { maxMessages: 2, maxBytes: 1_000_000 })).to.deep.equal(['1/0'])
    expect(stage.consumer.bytesToLend).to.equal(undefined)
    stage.ask('ann')
    expect(stage.newly()).to.deep.equal(['ann: 0/0'])
  })

  it('gets messages back without their bytes, reads them again, and offers them in order', () => {
    const stage = stageOf([4])
    wanted(stage)
    const lent = stage.consumer.lend({ maxMessages: 3, maxBytes: 1_000_000, maxMessageBytes: 1_000_000 })!
    const offers = lent.messages.map(({ offset, serial }) => ({ offset, serial }))
    lent.offers!.ackAll(new Map([[0, offers.slice(1, 2)]]))
    lent.offers!.releaseUnread(new Map([[0, [offers[2]!, offers[0]!]]]))
    stage.settle()
    expect([0, 1, 2].flatMap(() => lend(stage))).to.deep.equal(['0/0', '0/2', '0/3'])
    lent.offers!.releaseUnread(new Map([[0, offers]]))
    stage.settle()
    expect(lend(stage), 'they were offered again since').to.deep.equal([])
  })
})
