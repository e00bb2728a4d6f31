import { expect } from 'chai'
import {
  askerOfOne,
  type ConsumedMessage,
  type ConsumeResult,
  ONE_MESSAGE,
  type SetOffsetsResult,
  WaitingRequest
} from '../../../src/consumer/group/consume-result.js'
import { GroupConsumer } from '../../../src/consumer/group/group-consumer.js'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { type ConsumerSettings, defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { decodeBegun } from '../../../src/consumer/group/start-messages.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { decodeSubscription, userDataOfSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import { Deadlines } from '../../../src/router/requests/deadlines.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { GroupWorld, run } from './fake-runtime.js'

const SUBSCRIPTION_MS = 1_000
const ACK_MS = 4_000

const watched: Deadlines[] = []
afterEach(() => {
  for (const deadlines of watched.splice(0)) deadlines.stop()
})

/** A group with one topic of one partition, whose member is alone unless the test says otherwise. */
class GroupHarness {
  readonly world = new GroupWorld(run(0, 100))
  readonly consumer: GroupConsumer
  readonly #deadlines = new Deadlines(this.world.clock)
  ends = 0
  stoppedAt: number | undefined

  constructor(settings: Partial<ConsumerSettings> = {}) {
    watched.push(this.#deadlines)
    this.world.committed = { offset: 0, metadata: '' }
    this.consumer = new GroupConsumer({
      runtime: this.world,
      settings: {
        ...defaultConsumerSettings,
        subscriptionTimeoutMs: SUBSCRIPTION_MS,
        ackTimeoutMs: ACK_MS,
        revocationMs: ACK_MS,
        ...settings
      },
      deadlines: this.#deadlines,
      batches: new HeldBatches(1_000_000),
      tick: run => run(),
      onEnded: () => this.ends++,
      onLate: () => {}
    })
  }

  get hasEnded(): boolean {
    return this.ends > 0
  }

  /** Asks for a message, which there always is. */
  next(topic = 'orders'): ConsumedMessage {
    let answer: ConsumeResult | undefined
    const reply = (result: ConsumeResult): void => void (answer = result)
    const request = new WaitingRequest(this.world.now + 1_000_000, askerOfOne({ reply }), ONE_MESSAGE)
    this.consumer.receive({ type: 'consume', topic, request })
    this.world.pass(1)
    this.#deadlines.stop()
    if (answer?.type !== 'message') throw new Error(`no message: ${JSON.stringify(answer)}`)
    return answer.message
  }

  /** Asks, and says later what came. */
  ask(): { answer: ConsumeResult | undefined } {
    const asked: { answer: ConsumeResult | undefined } = { answer: undefined }
    const reply = (result: ConsumeResult): void => void (asked.answer = result)
    const request = new WaitingRequest(this.world.now + 1_000_000, askerOfOne({ reply }), ONE_MESSAGE)
    this.consumer.receive({ type: 'consume', topic: 'orders', request })
    this.world.pass(1)
    this.#deadlines.stop()
    return asked
  }

  stop(graceMs: number): void {
    this.consumer.receive({ type: 'stop', graceMs, onStopped: () => (this.stoppedAt = this.world.now) })
    this.world.settle()
  }
}

describe('a group, as one process takes part in it', () => {
  it('pixy T4 S4 S5 leaves when the topic was not asked for as long as the subscription lasts; asking restarts the clock', () => {
    const harness = new GroupHarness()
    harness.next().ack()
    harness.world.pass(SUBSCRIPTION_MS - 10)
    harness.next().ack()
    harness.world.pass(SUBSCRIPTION_MS - 10)
    expect(harness.hasEnded).to.equal(false)
    harness.world.pass(20)
    expect([harness.hasEnded, harness.world.newly('leaveGroup')]).to.deep.equal([true, 1])
    expect(harness.world.committed).to.deep.equal({ offset: 2, metadata: '' })
  })

  it('leaves as long after the end of the last request as the subscription lasts, whoever waited when it looked', () => {
    const harness = new GroupHarness()
    harness.world.offsets = []
    harness.world.logEnd = 0
    const poll = (): WaitingRequest => {
      const request = new WaitingRequest(harness.world.now + 1_000_000, { reply: () => undefined }, ONE_MESSAGE)
      harness.consumer.receive({ type: 'consume', topic: 'orders', request })
      harness.world.pass(1)
      return request
    }
    poll().cancel()
    harness.world.pass(SUBSCRIPTION_MS - 100)
    const last = poll()
    harness.world.pass(2 * SUBSCRIPTION_MS)
    const endedAt = harness.world.now
    last.cancel()
    while (!harness.hasEnded) harness.world.pass(10)
    expect(harness.world.now - endedAt).to.be.within(SUBSCRIPTION_MS, SUBSCRIPTION_MS + 20)
  })

  it('reads the requests that came while the process stood still before it leaves', () => {
    const harness = new GroupHarness()
    harness.next().ack()
    harness.world.now += 2 * SUBSCRIPTION_MS
    harness.world.pass(0)
    expect(harness.hasEnded).to.equal(false)
    harness.next().ack()
    harness.world.pass(SUBSCRIPTION_MS - 10)
    expect(harness.hasEnded).to.equal(false)
  })

  describe('that stands still while it commits for the last time', () => {
    /** It wants to leave, and its commit is answered after a time without any other event. */
    const standingStill = (): GroupHarness => {
      const harness = new GroupHarness({ commitIntervalMs: 10_000 })
      harness.next().ack()
      harness.world.held.add('commitConsumerOffset')
      harness.world.pass(SUBSCRIPTION_MS)
      expect([harness.hasEnded, harness.world.newly('commitConsumerOffset')]).to.deep.equal([false, 1])
      harness.world.now += 15_000
      harness.world.held.clear()
      harness.world.settle()
      return harness
    }

    it('reads the requests that came meanwhile, and goes on', () => {
      const harness = standingStill()
      expect(harness.hasEnded).to.equal(false)
      const asked = harness.ask()
      harness.world.pass(200)
      expect(asked.answer).to.deep.include({ type: 'message' })
      expect(harness.world.newly('leaveGroup')).to.equal(0)
    })

    it('leaves soon where no request came', () => {
      const harness = standingStill()
      harness.world.pass(200)
      expect(harness.hasEnded).to.equal(true)
    })
  })

  for (const [what, end] of [
    ['acknowledges', (message: ConsumedMessage) => message.ack()],
    ['offers again', (message: ConsumedMessage) => message.release()]
  ] as const)
    it(`${what} nothing in a topic created anew when a message of the former one ends late`, () => {
      const harness = new GroupHarness({ subscriptionTimeoutMs: 1_000_000 })
      const { world } = harness
      world.topicId = 'before'
      world.offsets = [0]
      world.logEnd = 1
      const former = harness.next()
      const asked = harness.ask()
      world.recreateTopic('anew')
      world.write(0, 1)
      world.pass(1_000)
      expect(asked.answer).to.have.nested.property('message.offset', 0)
      end(former)
      expect(harness.next().offset).to.equal(1)
      world.pass(ACK_MS / 2)
      expect(world.committed?.offset).to.equal(0)
    })

  it('pixy T5 stays for as long as an ack may come', () => {
    const harness = new GroupHarness()
    harness.next()
    harness.world.pass(ACK_MS - 10)
    expect(harness.hasEnded).to.equal(false)
    harness.world.pass(200)
    expect([harness.hasEnded, harness.world.committed!.offset]).to.deep.equal([true, 0])
  })

  it('pixy T6 a request in that time resumes service, and restarts both clocks', () => {
    const harness = new GroupHarness()
    harness.next()
    harness.world.pass(SUBSCRIPTION_MS + 500)
    expect(harness.next().offset).to.equal(1)
    harness.world.pass(ACK_MS - 100)
    expect(harness.hasEnded).to.equal(false)
  })

  /** As if others took so long to join. */
  const joinsInVain = (harness: GroupHarness, times: number): void => {
    for (let time = 0; time < times; time++)
      harness.world.answers.push({ kind: 'joinGroup', result: { type: 'timedOut' } })
  }

  it('tells the leader that a topic is begun when a request may have been answered while joining took long', () => {
    const harness = new GroupHarness({ retryBackoffMs: 300, subscriptionTimeoutMs: 60_000 })
    joinsInVain(harness, 10)
    harness.ask()
    harness.world.pass(4_000)
    const begun = harness.world.asked
      .filter(({ kind }) => kind === 'joinGroup')
      .map(({ request }) => (request['protocols'] as [{ metadata: Buffer }])[0].metadata)
      .map(metadata => decodeBegun(userDataOfSubscription(metadata), ['orders']))
    expect([begun[0], begun.at(-1)]).to.deep.equal([[], ['orders']])
  })

  for (const [start, answer] of [
    ['earliest', { type: 'timedOut' }],
    ['latest', undefined]
  ] as const) {
    it(`${answer ? 'answers a request in its time' : 'holds a request'} while it joins where groups begin at ${start}`, () => {
      const harness = new GroupHarness({ start, retryBackoffMs: 300 })
      joinsInVain(harness, 3)
      let answered: ConsumeResult | undefined
      const request = new WaitingRequest(
        harness.world.now,
        askerOfOne({ reply: result => void (answered = result) }),
        ONE_MESSAGE
      )
      harness.consumer.receive({ type: 'consume', topic: 'orders', request })
      harness.world.pass(1)
      request.onDue()
      expect(answered).to.deep.equal(answer)
    })
  }

  it('pixy T7 a stop waits for acks only as long as it is given', () => {
    const harness = new GroupHarness()
    harness.next()
    const stoppedAt = harness.world.now
    harness.stop(500)
    harness.world.pass(2_000)
    expect(harness.stoppedAt! - stoppedAt).to.be.within(500, 510)
  })

  it('pixy T8 C17 the ack itself ends the wait', () => {
    const harness = new GroupHarness()
    const message = harness.next()
    harness.world.pass(SUBSCRIPTION_MS + 500)
    expect(harness.hasEnded).to.equal(false)
    message.ack()
    harness.world.pass(150)
    expect([harness.hasEnded, harness.world.committed!.offset]).to.deep.equal([true, 1])
  })

  it('pixy F11 a stop commits everything that was acknowledged before it leaves', () => {
    const harness = new GroupHarness()
    for (let count = 0; count < 5; count++) harness.next().ack()
    harness.stop(1_000)
    harness.world.pass(100)
    expect(harness.world.committed).to.deep.equal({ offset: 5, metadata: '' })
    const kinds = harness.world.asked.map(({ kind }) => kind)
    expect(kinds.lastIndexOf('commitConsumerOffset')).to.be.below(kinds.indexOf('leaveGroup'))
  })

  it('commits at once after a pause, then one interval after the other, however many acks come', () => {
    const harness = new GroupHarness({ commitIntervalMs: 500 })
    harness.next().ack()
    harness.world.pass(2)
    expect(harness.world.newly('commitConsumerOffset')).to.equal(1)
    for (let count = 0; count < 20; count++) {
      harness.next().ack()
      harness.world.pass(20)
    }
    expect(harness.world.newly('commitConsumerOffset')).to.equal(0)
    harness.world.pass(200)
    expect(harness.world.newly('commitConsumerOffset')).to.equal(1)
    expect(harness.world.committed!.offset).to.equal(21)
  })

  it('goes on where it is told to, and says why where it cannot', () => {
    const harness = new GroupHarness({ ackTimeoutMs: 60_000, subscriptionTimeoutMs: 60_000, commitIntervalMs: 0 })
    const told: SetOffsetsResult[] = []
    const setOffsets = (partition: number, offset: number): void => {
      const offsets = new Map([[partition, { offset, metadata: '' }]])
      const requester = { reply: (result: SetOffsetsResult): void => void told.push(result) }
      harness.consumer.receive({ type: 'setOffsets', topic: 'orders', offsets, timeoutMs: 1_000, requester })
    }
    setOffsets(0, 5)
    expect(told.splice(0)).to.deep.equal([{ type: 'notRead' }])
    const first = harness.next()
    setOffsets(0, 50)
    setOffsets(1, 50)
    harness.world.settle()
    expect(told.splice(0)).to.deep.equal([{ type: 'notRead' }, { type: 'set', outcomes: new Map([[0, 'committed']]) }])
    // Of before: it is not offered any more.
    first.ack()
    expect(harness.next().offset).to.equal(50)
    const refused = { type: 'failed', errorCode: errorCodes.ILLEGAL_GENERATION, retriable: false }
    harness.world.answers.push({ kind: 'commitConsumerOffset', result: refused })
    setOffsets(0, 70)
    harness.world.settle()
    expect(told.splice(0)).to.deep.equal([refused])
    expect([harness.next().offset, harness.world.committed!.offset]).to.deep.equal([50, 50])
    // A coordinator that does not know the partition at first.
    const unknown = { kind: 'commitConsumerOffset', result: { type: 'unknownTopicOrPartition' } } as const
    harness.world.answers.push(unknown, unknown)
    setOffsets(0, 60)
    harness.world.pass(300)
    expect(told.splice(0)).to.deep.equal([{ type: 'set', outcomes: new Map([[0, 'committed']]) }])
    expect(harness.world.committed!.offset).to.equal(60)
    const missing = {
      type: 'success',
      topics: new Map([['orders', { errorCode: 3, topic: 'orders', partitions: [] }]])
    }
    harness.world.answers.push(unknown, { kind: 'fetchTopicMetadata', result: missing })
    setOffsets(0, 70)
    harness.world.settle()
    expect(told).to.deep.equal([{ type: 'set', outcomes: new Map([[0, 'unknownTopicOrPartition']]) }])
  })

  it('commits the offset alone where brokers take no metadata as long as what was acknowledged above it', () => {
    const harness = new GroupHarness({ commitIntervalMs: 200 })
    const { world } = harness
    const messages = Array.from({ length: 10 }, () => harness.next())
    const tooLarge = { type: 'failed', errorCode: errorCodes.OFFSET_METADATA_TOO_LARGE, retriable: false }
    world.answers.push({ kind: 'commitConsumerOffset', result: tooLarge })
    for (const at of [0, 2, 4, 6]) messages[at]!.ack()
    // Acknowledgements go on, and so does the metadata.
    for (const at of [8, 9]) {
      world.pass(200)
      messages[at]!.ack()
    }
    world.pass(1_000)
    expect(world.committed).to.deep.equal({ offset: 1, metadata: '' })
    for (const at of [1, 3, 5]) messages[at]!.ack()
    world.pass(1_000)
    expect(world.committed!.offset).to.equal(7)
    expect(world.committed!.metadata).to.not.equal('')
  })

  it('commits again after a pause what was refused, and with the stop, for which it does not wait long', () => {
    const harness = new GroupHarness({ commitIntervalMs: 200, subscriptionTimeoutMs: 1_000_000 })
    const { world } = harness
    const forbidden = { type: 'failed', errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED, retriable: false }
    const refuse = (times: number): void => {
      for (let time = 0; time < times; time++) world.answers.push({ kind: 'commitConsumerOffset', result: forbidden })
    }
    refuse(2)
    harness.next().ack()
    world.pass(4_000)
    expect([world.newly('commitConsumerOffset'), world.committed!.offset]).to.deep.equal([1, 0])
    world.pass(10_000)
    expect(world.committed!.offset).to.equal(1)
    refuse(1)
    harness.next().ack()
    world.pass(1_000)
    harness.stop(0)
    world.pass(100)
    expect([world.committed!.offset, harness.stoppedAt]).to.deep.equal([2, world.now - 100])
  })

  it('keeps what it has offered over a rebalance in which it keeps the partition', () => {
    const harness = new GroupHarness({ revocationMs: 100, ackTimeoutMs: 60_000, subscriptionTimeoutMs: 60_000 })
    const [first, second] = [harness.next(), harness.next()]
    second.ack()
    rebalance(harness)
    harness.world.pass(1_000)
    expect(harness.world.newly('joinGroup')).to.equal(2)
    expect(harness.world.committed!.offset).to.equal(0)
    expect(harness.next().offset).to.equal(2)
    first.ack()
    harness.world.pass(1_000)
    expect(harness.world.committed!.offset).to.equal(2)
    // The leader asks before it assigns the partition, and the member before it reads it: both once.
    expect(harness.world.newly('fetchConsumerOffset')).to.equal(2)
  })

  it('starts from the committed offset when a generation was missed: others may have read in between', () => {
    const harness = new GroupHarness({ revocationMs: 100, ackTimeoutMs: 60_000, subscriptionTimeoutMs: 60_000 })
    harness.next()
    harness.world.committed = { offset: 7, metadata: '' }
    harness.world.generation++
    rebalance(harness)
    harness.world.pass(1_000)
    expect(harness.next().offset).to.equal(7)
  })

  it('offers nothing between the news of a rebalance and its end, and takes acks', () => {
    const harness = new GroupHarness({ revocationMs: 10_000, ackTimeoutMs: 60_000, subscriptionTimeoutMs: 60_000 })
    const message = harness.next()
    rebalance(harness)
    const asked = harness.ask()
    harness.world.pass(5_000)
    expect([asked.answer, harness.world.newly('joinGroup')]).to.deep.equal([undefined, 1])
    message.ack()
    harness.world.pass(100)
    expect(asked.answer?.type).to.equal('message')
    expect(harness.world.committed!.offset).to.equal(1)
  })

  it('pixy S1 S2 topics that are asked for in quick succession are joined for together', () => {
    const harness = new GroupHarness()
    harness.next('orders').ack()
    for (const topic of ['bills', 'audits', 'claims']) {
      const request = new WaitingRequest(harness.world.now + 1_000, { reply: () => {} }, ONE_MESSAGE)
      harness.consumer.receive({ type: 'consume', topic, request })
    }
    harness.world.pass(100)
    expect(harness.world.newly('joinGroup')).to.be.within(2, 3)
    const { request } = harness.world.asked.findLast(({ kind }) => kind === 'joinGroup')!
    const [{ metadata }] = request['protocols'] as unknown as [{ metadata: Buffer }]
    expect(decodeSubscription(metadata)).to.deep.equal(['audits', 'bills', 'claims', 'orders'])
  })

  it('pixy D6 a stop ends partitions, then the member, then the group', () => {
    const harness = new GroupHarness()
    harness.next().ack()
    const waiting = [harness.ask(), harness.ask()]
    for (let asked = 0; asked < 98; asked++) waiting.push(harness.ask())
    harness.stop(1_000)
    harness.world.pass(10_000)
    const ends = harness.world.asked
      .map(({ kind }) => kind)
      .filter(kind => /commitConsumerOffset|leaveGroup/.test(kind))
    expect([ends.at(-1), ends.filter(kind => kind === 'leaveGroup').length]).to.deep.equal(['leaveGroup', 1])
    expect(harness.stoppedAt).to.be.above(0)
    expect(waiting.filter(({ answer }) => answer === undefined)).to.deep.equal([])
    expect(waiting.at(-1)!.answer?.type).to.equal('failed')
  })

  it('pixy D7 D8 a group ends once with its last topic, unless it is asked again', () => {
    const harness = new GroupHarness()
    harness.next('orders').ack()
    harness.next('bills').ack()
    for (let round = 0; round < 3; round++) {
      harness.world.pass(SUBSCRIPTION_MS - 100)
      harness.next('orders').ack()
    }
    expect([harness.ends, harness.consumer.topicCount]).to.deep.equal([0, 1])
    harness.world.pass(SUBSCRIPTION_MS - 100)
    harness.next('orders').ack()
    harness.world.pass(SUBSCRIPTION_MS + 10)
    expect([harness.ends, harness.consumer.topicCount]).to.deep.equal([1, 0])
    expect(harness.world.asked.at(-1)!.kind).to.equal('leaveGroup')
    harness.world.pass(60_000)
    expect([harness.ends, harness.world.asked.at(-1)!.kind]).to.deep.equal([1, 'leaveGroup'])
  })

  it('without a heartbeat for the session time it does not offer what others may have', () => {
    const harness = new GroupHarness({
      subscriptionTimeoutMs: 60_000,
      heartbeatIntervalMs: 1_000,
      sessionTimeoutMs: 6_000
    })
    harness.next()
    for (let count = 0; count < 8; count++)
      harness.world.answers.push({ kind: 'heartbeat', result: { type: 'timedOut' } })
    harness.world.committed = { offset: 3, metadata: '' }
    harness.world.generation += 5
    harness.world.pass(8_000)
    expect(harness.world.newly('joinGroup')).to.equal(2)
    expect(harness.next().offset).to.equal(3)
  })

  it('goes on when the leader of another client assigns what cannot be read', () => {
    const harness = new GroupHarness({ subscriptionTimeoutMs: 60_000, heartbeatIntervalMs: 100 })
    harness.world.answers.push({ kind: 'syncGroup', result: { type: 'success', assignment: Buffer.from('what?') } })
    const asked = harness.ask()
    expect(asked.answer).to.equal(undefined)
    rebalance(harness)
    harness.world.pass(1_000)
    expect(asked.answer?.type).to.equal('message')
  })

  it('refuses what comes while it stops, and answers what waits then', () => {
    const harness = new GroupHarness()
    const message = harness.next()
    harness.world.offsets = [0]
    harness.world.logEnd = 1
    harness.stop(2_000)
    expect(harness.stoppedAt, 'it waits for an ack').to.equal(undefined)
    const late = harness.ask()
    expect(late.answer).to.deep.include({ type: 'failed', code: 'shuttingDown' })
    message.ack()
    harness.world.pass(1)
    expect(harness.stoppedAt).not.to.equal(undefined)
    let isTold = false
    harness.consumer.receive({ type: 'stop', graceMs: 1_000, onStopped: () => (isTold = true) })
    expect(isTold, 'a second stop has nothing to wait for').to.equal(true)
  })

  it('offers nothing more when it stops in the middle of a rebalance', () => {
    const harness = new GroupHarness()
    harness.next()
    const rebalancing = { type: 'failed', errorCode: errorCodes.REBALANCE_IN_PROGRESS, retriable: false }
    harness.world.answers.push({ kind: 'heartbeat', result: rebalancing })
    harness.world.pass(defaultConsumerSettings.heartbeatIntervalMs)
    harness.stop(1_000)
    harness.world.pass(20_000)
    expect(harness.stoppedAt).not.to.equal(undefined)
    harness.world.newly('fetchData')
    harness.world.newly('joinGroup')
    harness.world.pass(60_000)
    expect([harness.world.newly('fetchData'), harness.world.newly('joinGroup')]).to.deep.equal([0, 0])
  })

  describe('that may not read', () => {
    const refused = (kind: 'joinGroup' | 'fetchConsumerOffset' | 'fetchData' | 'fetchOffset', errorCode: number) => {
      const { world } = new GroupHarness()
      const result = { ...kafkaFailure(errorCode), operation: kind }
      return Array.from({ length: 20 }, () => ({ kind, result }) as (typeof world.answers)[number])
    }
    const reasonsOf = (harness: GroupHarness): unknown[] =>
      harness.world.errors.map(fields => (fields as { reason: unknown }).reason)

    for (const [kind, errorCode] of [
      ['joinGroup', errorCodes.GROUP_AUTHORIZATION_FAILED],
      ['fetchConsumerOffset', errorCodes.GROUP_AUTHORIZATION_FAILED],
      ['fetchOffset', errorCodes.TOPIC_AUTHORIZATION_FAILED],
      ['fetchData', errorCodes.TOPIC_AUTHORIZATION_FAILED]
    ] as const) {
      it(`says so to each request, and once in the log: ${kind}`, () => {
        const harness = new GroupHarness({ subscriptionTimeoutMs: 60_000 })
        if (kind === 'fetchOffset') harness.world.committed = undefined
        harness.world.answers.push(...refused(kind, errorCode))
        for (let request = 0; request < 4; request++) {
          const asked = harness.ask()
          harness.world.pass(defaultConsumerSettings.retryBackoffMs)
          expect(asked.answer, `request ${request}`).to.include({ type: 'failed', code: 'notAuthorized', errorCode })
        }
        expect(reasonsOf(harness)).to.deep.equal([kafkaFailure(errorCode).message])
        harness.world.answers.length = 0
        harness.world.pass(10_000)
        harness.world.write(100)
        expect(harness.next().topic, 'once it may').to.equal('orders')
      })
    }

    it('says so of a topic that brokers do not show to it, until they do', () => {
      const harness = new GroupHarness({ subscriptionTimeoutMs: 60_000 })
      harness.world.forbidden.add('orders')
      for (let request = 0; request < 3; request++) {
        expect(harness.ask().answer).to.include({ type: 'failed', code: 'notAuthorized' })
      }
      expect(reasonsOf(harness)).to.deep.equal([kafkaFailure(errorCodes.TOPIC_AUTHORIZATION_FAILED).message])
      harness.world.forbidden.clear()
      harness.world.pass(20_000)
      expect(harness.next().offset).to.equal(0)
    })

    for (const begins of ['latest', 'earliest'] as const) {
      it(`begins at ${begins} in a topic that brokers show to it later, as it is set`, () => {
        const harness = new GroupHarness({ subscriptionTimeoutMs: 60_000, start: begins })
        const { world } = harness
        world.committed = undefined
        world.forbidden.add('orders')
        for (let request = 0; request < 3; request++) {
          expect(harness.ask().answer).to.include({ type: 'failed', code: 'notAuthorized' })
          world.pass(10_000)
        }
        world.forbidden.clear()
        const waiting = harness.ask()
        world.pass(15_000)
        const end = world.logEnd
        world.write(end)
        world.pass(1_000)
        const answers = [waiting.answer, harness.ask().answer]
        const offsets = answers.flatMap(answer => (answer?.type === 'message' ? [answer.message.offset] : []))
        expect(offsets[0]).to.equal(begins === 'latest' ? end : 0)
      })
    }

    it('goes on where it has committed in a topic that brokers show to it later', () => {
      const harness = new GroupHarness({ subscriptionTimeoutMs: 60_000, start: 'latest' })
      harness.world.committed = { offset: 2, metadata: '' }
      harness.world.forbidden.add('orders')
      expect(harness.ask().answer).to.include({ type: 'failed', code: 'notAuthorized' })
      harness.world.forbidden.clear()
      harness.world.pass(20_000)
      expect(harness.next().offset).to.equal(2)
    })

    it('logs once, and not with each attempt, that its offsets cannot be committed', () => {
      const harness = new GroupHarness({ subscriptionTimeoutMs: 1_000_000 })
      harness.world.answers.push(
        ...Array.from({ length: 5 }, () => ({
          kind: 'commitConsumerOffset' as const,
          result: kafkaFailure(errorCodes.GROUP_AUTHORIZATION_FAILED)
        }))
      )
      harness.next().ack()
      harness.world.pass(20_000)
      expect(harness.world.newly('commitConsumerOffset')).to.be.within(3, 5)
      expect(harness.world.errors).to.have.lengthOf(1)
    })
  })

  it('reads no more topics than it may, and others in place of those that are given up', () => {
    const harness = new GroupHarness({ maxTopicsPerGroup: 1 })
    harness.next().ack()
    expect(harness.consumer.topicCount).to.equal(1)
    expect(() => harness.next('audit')).to.throw('the group reads too many topics (limit 1)')
    harness.world.pass(2 * SUBSCRIPTION_MS)
    expect([harness.consumer.topicCount, harness.hasEnded]).to.deep.equal([0, true])
  })

  it('gives one topic up and keeps the other, for which it joins again', () => {
    const harness = new GroupHarness()
    harness.next().ack()
    harness.next('audit').ack()
    expect(harness.consumer.topicCount).to.equal(2)
    for (let at = 0; at < 3; at++) {
      harness.world.pass(SUBSCRIPTION_MS / 2)
      harness.next('audit').ack()
    }
    expect([harness.consumer.topicCount, harness.hasEnded]).to.deep.equal([1, false])
    const joins = harness.world.asked.filter(({ kind }) => kind === 'joinGroup')
    expect(joins.length).to.be.at.least(3)
    harness.world.pass(2 * SUBSCRIPTION_MS)
    expect([harness.consumer.topicCount, harness.hasEnded]).to.deep.equal([0, true])
  })

  it('gives one topic up although commits have no answer, after half of the time that a rebalance may take', () => {
    const harness = new GroupHarness({ rebalanceTimeoutMs: 20_000 })
    const { world } = harness
    harness.next('audit').ack()
    harness.next().ack()
    world.pass(100)
    for (let times = 0; times < 1_000; times++) {
      world.answers.push({ kind: 'commitConsumerOffset', result: { type: 'timedOut' } })
    }
    harness.next('audit').ack()
    while (world.now < 11_500) {
      world.pass(SUBSCRIPTION_MS / 2)
      harness.next('audit').ack()
    }
    expect(harness.consumer.topicCount).to.equal(2)
    world.pass(SUBSCRIPTION_MS * 0.9)
    expect([harness.consumer.topicCount, harness.hasEnded]).to.deep.equal([1, false])
  })

  it('after a bug leaves without a commit, and answers what waits', () => {
    const harness = new GroupHarness()
    harness.next().ack()
    harness.next().ack()
    harness.world.offsets = [0, 1]
    harness.world.logEnd = 2
    harness.world.newly('commitConsumerOffset')
    const failure = { type: 'failed', code: 'protocol', message: 'a bug', retriable: true } as const
    harness.consumer.abandon(failure as never)
    harness.world.pass(100_000)
    expect(harness.consumer.topicCount).to.equal(0)
    expect([harness.world.newly('commitConsumerOffset'), harness.world.newly('leaveGroup')]).to.deep.equal([0, 1])
  })

  it('as a static member stops without leaving, so that it keeps its partitions when it comes back', () => {
    const harness = new GroupHarness({ instanceId: 'static-1' })
    harness.next().ack()
    harness.stop(1_000)
    harness.world.pass(1_000)
    expect(harness.stoppedAt).not.to.equal(undefined)
    expect(harness.world.newly('leaveGroup')).to.equal(0)
  })
})

/** The coordinator tells, in answer to the next heartbeat, that all members have to join again. */
function rebalance({ world }: GroupHarness): void {
  const { REBALANCE_IN_PROGRESS } = errorCodes
  world.answers.push({
    kind: 'heartbeat',
    result: { type: 'failed', errorCode: REBALANCE_IN_PROGRESS, retriable: false }
  })
  world.pass(3_000)
}
