import { expect } from 'chai'
import * as fc from 'fast-check'
import { decodeAcks } from '../../../src/consumer/group/ack-encoding.js'
import type { AcquiredMessage } from '../../../src/consumer/group/consume-result.js'
import { DeferredOffers } from '../../../src/consumer/group/deferred-offers.js'
import { type GivenMessage, GivenMessages } from '../../../src/consumer/group/given-messages.js'
import { TopicConsumer } from '../../../src/consumer/group/topic-consumer.js'
import { TopicStart } from '../../../src/consumer/group/topic-start.js'
import { GROUP_LINES } from '../../../src/consumer/partition/read-outcome.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { fakeRecord } from '../../support/fake-batch.js'
import { FakeRuntime, run } from './fake-runtime.js'
import { ACK_TIMEOUT_MS, PartitionStage } from './partition-stage.js'

const LOOPS = 2

/** A message that a loop gave out, and what its program has done with it. */
interface Given {
  readonly message: GivenMessage
  readonly record: string
  readonly loop: number
  isAcked: boolean
  isOpen: boolean
}

interface Newest {
  readonly given: Given
  readonly deadlineAt: number
  isReleased: boolean
}

/** What should be: the newest offer of each offset that is not settled, and the records that are acknowledged. */
class Model {
  readonly newest = new Map<number, Newest>()
  readonly acked = new Map<number, string>()

  newestOf(given: Given): Newest | undefined {
    const newest = this.newest.get(given.message.offset)
    return newest?.given === given ? newest : undefined
  }

  acknowledge({ message: { offset }, record }: Given): void {
    this.newest.delete(offset)
    this.acked.set(offset, record)
  }

  cutAt(end: number): void {
    for (const known of [this.newest, this.acked])
      for (const offset of known.keys()) if (offset >= end) known.delete(offset)
  }

  get open(): readonly Newest[] {
    return [...this.newest.values()].filter(({ isReleased }) => !isReleased)
  }

  get released(): readonly number[] {
    return [...this.newest.values()].filter(one => one.isReleased).map(({ given }) => given.message.offset)
  }
}

/** One partition of a group, whose messages two loops share, and the model that it is compared with. */
class OffersStage {
  readonly model = new Model()
  readonly given: Given[] = []
  readonly #runtime = new FakeRuntime()
  readonly #partition = new PartitionStage(
    this.#runtime,
    { start: onStart => onStart('earliest'), maxPendingMessages: 4, retryBackoffMs: 10 },
    false
  )
  readonly #loops = Array.from({ length: LOOPS }, () => new GivenMessages())
  readonly #offers = new DeferredOffers(
    () => this.#topic,
    run => run()
  )
  readonly #topic: TopicConsumer = new TopicConsumer({
    topic: 'orders',
    groupId: 'billing',
    metrics: defaultLogger,
    maxWaitingRequests: 1,
    start: new TopicStart('earliest', this.#runtime, 'orders', 100),
    createPartition: () => this.#partition.consumer,
    offers: this.#offers,
    membership: () => undefined
  })

  constructor() {
    const warn = (fields: object, line: string): void => {
      if (line === GROUP_LINES.cut) this.model.cutAt((fields as { readonly to: number }).to)
      else throw new Error(line)
    }
    Object.assign(this.#runtime.log, { warn })
    this.#runtime.recordAt = offset => ({ ...fakeRecord(offset), value: Buffer.from(this.recordAt(offset)) })
    this.#runtime.electLeader()
    this.#runtime.batchSize = 3
    this.#runtime.write(...run(0, 8))
    this.#partition.position = { offset: 0, metadata: '' }
    this.regain()
  }

  /** Of two records that take each other's place in the log, each has a name of its own. */
  recordAt(at: number): string {
    return `${at} of epoch ${this.#runtime.epochs.findLast(({ from }) => from <= at)!.leaderEpoch}`
  }

  /** The partition comes back from another member, which has offered nothing. */
  regain(): void {
    this.model.newest.clear()
    this.#topic.assign([])
    this.#partition.restart()
    this.#topic.assign([0])
  }

  take(loop: number): Given | undefined {
    const taken = this.#partition.take()
    if (taken === undefined) return undefined
    const { offset } = taken
    const offer = this.#partition.consumer.offerOf(offset)!
    const acquired: AcquiredMessage = { ...taken, ...offer, topic: 'orders', partition: 0, groupId: 'billing' }
    const messages = { messages: [acquired], offers: this.#offers, ack: () => {}, release: () => {} }
    const [message] = this.#loops[loop]!.give(messages)
    const { newest, released, acked } = this.model
    const before = newest.get(offset)
    const now = this.#runtime.clock()
    expect(acked.has(offset), 'an acknowledged message is offered').to.equal(false)
    if (before?.isReleased) expect(offset, 'the first of the released ones').to.equal(Math.min(...released))
    else if (before) expect(before.deadlineAt, 'a message is out twice').to.be.below(now)
    else expect(released, 'released messages come before new ones').to.deep.equal([])
    if (before) expect(message!.retries - before.given.message.retries).to.be.within(0, 1)
    else expect(message!.retries).to.equal(0)
    const given = { message: message!, record: String(taken.value), loop, isAcked: false, isOpen: true }
    newest.set(offset, { given, deadlineAt: now + ACK_TIMEOUT_MS, isReleased: false })
    this.given.push(given)
    return given
  }

  ack(given: Given): void {
    given.message.ack()
    if (!given.isAcked && this.model.newestOf(given)) this.model.acknowledge(given)
    given.isAcked = true
    given.isOpen = false
  }

  /** As Kafka-Pixy's clients do, who name a message by its place. */
  ackByOffset(offset: number): void {
    const newest = this.model.newest.get(offset)
    const isOffered = newest !== undefined && !newest.isReleased
    const outcome = isOffered || this.model.acked.has(offset) ? 'acked' : 'notOffered'
    expect(this.#partition.consumer.ack(offset)).to.equal(outcome)
    if (isOffered) this.model.acknowledge(newest.given)
  }

  release(given: Given): void {
    given.message.release()
    this.#noteReleased(given)
  }

  endLoop(loop: number): void {
    this.#loops[loop]!.releaseAllBut(new Set())
    for (const given of this.given) if (given.loop === loop) this.#noteReleased(given)
  }

  #noteReleased(given: Given): void {
    const newest = this.model.newestOf(given)
    if (given.isOpen && newest) newest.isReleased = true
    given.isOpen = false
  }

  write(count: number): void {
    this.#runtime.write(...run(this.#runtime.logEnd, count))
    this.#runtime.settle()
  }

  /** Another leader is elected, whose log ends so many records before the end. */
  cut(lost: number, written: number): void {
    this.#runtime.cut(Math.max(1, this.#runtime.logEnd - lost))
    this.write(written)
  }

  pass(ms: number): void {
    this.#runtime.endPolls()
    this.#runtime.pass(ms)
  }

  /** A message whose time is over is asked for, and the answer comes later. */
  holdReads(): void {
    this.#runtime.held.add('fetchData')
    this.pass(ACK_TIMEOUT_MS + 1)
    this.#partition.consumer.want()
  }

  answerReads(failing: number): void {
    const result = { type: 'failed', code: 'kafka', errorCode: 5, message: '', retriable: true }
    for (let count = 0; count < failing; count++) this.#runtime.answers.push({ kind: 'fetchData', result })
    this.#runtime.held.clear()
    this.#runtime.settle()
  }

  needMemory(): void {
    this.#partition.needMemory()
  }

  check(): void {
    const { open, acked } = this.model
    expect(this.#partition.consumer.pending, 'pending').to.equal(open.length)
    const mayStand = this.given.filter(({ isOpen }) => isOpen)
    const isNewest = ({ message }: Given): boolean =>
      this.#partition.consumer.offerOf(message.offset)?.serial === message.serial
    const standing = mayStand.filter(isNewest).map(({ record }) => record)
    const shouldStand = open.filter(({ given }) => given.isOpen)
    expect(standing.sort(), 'offers that stand').to.deep.equal(shouldStand.map(({ given }) => given.record).sort())
    const { offset, metadata } = this.#partition.position!
    const ranges = decodeAcks(offset, metadata) ?? []
    const told = [...run(0, offset), ...ranges.flatMap(({ from, to }) => run(from, to - from))]
    expect(told, 'what is committed').to.deep.equal([...acked.keys()].sort((one, other) => one - other))
  }

  /** All goes well from now on: each record of the log is acknowledged in the end, and no other in its place. */
  finish(): void {
    this.answerReads(0)
    this.#runtime.answers.length = 0
    for (
      let rounds = 0;
      rounds < 3 || (rounds < 20 && this.#partition.position!.offset < this.#runtime.logEnd);
      rounds++
    ) {
      for (let given = this.take(0); given; given = this.take(0)) this.ack(given)
      this.pass(ACK_TIMEOUT_MS + 1)
    }
    this.check()
    const end = this.#runtime.logEnd
    expect(this.#partition.position!.offset, 'the end').to.equal(end)
    expect([...this.model.acked.values()].sort()).to.deep.equal(
      run(0, end)
        .map(at => this.recordAt(at))
        .sort()
    )
  }
}

type Step = (stage: OffersStage) => void

const stepOf = (name: string, act: Step): Step => Object.assign(act, { toString: () => name })
const ofGiven = (name: string, act: (stage: OffersStage, given: Given) => void) =>
  fc.nat({ max: 40 }).map(back =>
    stepOf(`${name}(${back} back)`, stage => {
      const given = stage.given.at(-1 - (back % Math.max(1, stage.given.length)))
      if (given) act(stage, given)
    })
  )
const steps: fc.WeightedArbitrary<Step>[] = [
  {
    weight: 12,
    arbitrary: fc.nat({ max: LOOPS - 1 }).map(loop => stepOf(`take(${loop})`, stage => void stage.take(loop)))
  },
  { weight: 4, arbitrary: ofGiven('ack', (stage, given) => stage.ack(given)) },
  { weight: 4, arbitrary: ofGiven('release', (stage, given) => stage.release(given)) },
  { weight: 1, arbitrary: ofGiven('ackByOffset', (stage, given) => stage.ackByOffset(given.message.offset)) },
  {
    weight: 2,
    arbitrary: fc.nat({ max: LOOPS - 1 }).map(loop => stepOf(`end(${loop})`, stage => stage.endLoop(loop)))
  },
  { weight: 4, arbitrary: fc.constantFrom(1, 250, 501).map(ms => stepOf(`pass(${ms})`, stage => stage.pass(ms))) },
  { weight: 1, arbitrary: fc.nat({ max: 5 }).map(count => stepOf(`write(${count})`, stage => stage.write(count))) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.nat({ max: 8 }))
      .map(([lost, written]) => stepOf(`cut(${lost}, ${written})`, stage => stage.cut(lost, written)))
  },
  { weight: 1, arbitrary: fc.constant(stepOf('regain', stage => stage.regain())) },
  { weight: 1, arbitrary: fc.constant(stepOf('needMemory', stage => stage.needMemory())) },
  { weight: 2, arbitrary: fc.constant(stepOf('holdReads', stage => stage.holdReads())) },
  {
    weight: 2,
    arbitrary: fc.nat({ max: 2 }).map(failing => stepOf(`answerReads(${failing})`, stage => stage.answerReads(failing)))
  }
]

describe('the offers of a partition', () => {
  it('are settled by their newest one only, and lose no record, whatever is acknowledged, released, cut and regained', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(...steps), { maxLength: 80, size: 'max' }), all => {
        const stage = new OffersStage()
        for (const step of all) {
          step(stage)
          stage.check()
        }
        stage.finish()
      }),
      { numRuns: 200 }
    )
  })

  it('do not include one that was acknowledged while it was read again, when another one is released', () => {
    const stage = new OffersStage()
    stage.take(0)
    stage.take(0)
    stage.holdReads()
    stage.take(0)
    stage.take(0)
    const given = (back: number): Given => stage.given.at(-1 - (back % stage.given.length))!
    stage.release(given(0))
    stage.answerReads(0)
    stage.ack(given(26))
    stage.release(given(4))
    stage.check()
    stage.finish()
  })
})
