import { expect } from 'chai'
import {
  askerOfOne,
  type ConsumedMessage,
  type ConsumeResult,
  ONE_MESSAGE,
  type SetOffsetsResult
} from '../../../src/consumer/group/consume-result.js'
import { type ConsumerSettings, defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { decodeBegun } from '../../../src/consumer/group/start-messages.js'
import { WaitingRequest } from '../../../src/consumer/group/waiting-request.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { decodeSubscription, userDataOfSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import type { Failure } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { GroupStage, TICKS_AT_ONCE } from './group-stage.js'

const SUBSCRIPTION_MS = 1_000
const ACK_MS = 4_000

const opened: GroupStage[] = []
afterEach(() => {
  for (const stage of opened.splice(0)) stage.kill()
})

/** A group whose member is alone unless the test says otherwise. */
function groupStage(settings: Partial<ConsumerSettings> = {}): GroupStage {
  const times = { subscriptionTimeoutMs: SUBSCRIPTION_MS, ackTimeoutMs: ACK_MS, revocationMs: ACK_MS }
  const stage = new GroupStage(100, { ...times, ...settings }, TICKS_AT_ONCE)
  opened.push(stage)
  return stage
}

describe('a group, as one process takes part in it', () => {
  it('refuses a loop that begins elsewhere than another one, reads none of its topics, and says until when', () => {
    const stage = groupStage()
    expect(stage.ask({ topics: ['orders'], start: 'earliest' }).answer).to.include({ type: 'message' })
    const refused = stage.ask({ topics: ['audit', 'orders'], start: 'latest' }).answer
    expect(refused).to.include({ type: 'failed', code: 'invalidRequest', retriable: false })
    expect((refused as Failure).message).to.match(/orders from earliest .* 1 s .*subscriptionTimeoutMs/)
    expect(stage.consumer.view().topics).to.deep.equal(['orders'])
    expect(stage.ask({ topics: ['orders', 'audit'], start: 'earliest' }).answer).to.include({ type: 'message' })
  })

  it('acknowledges in one tick what is acknowledged before it', () => {
    const ticks: (() => void)[] = []
    const stage = new GroupStage(100, { commitIntervalMs: 0 }, { tick: work => void ticks.push(work) })
    opened.push(stage)
    const messages = stage.take(5)
    for (const [acked, count] of [
      [messages.slice(0, 3), 3],
      [messages.slice(3), 5]
    ] as const) {
      for (const message of acked) message.ack()
      expect(ticks).to.have.length(1)
      ticks.pop()!()
      stage.runtime.pass(1)
      expect(stage.runtime.committed?.offset).to.equal(count)
    }
  })

  it('compares the start of a loop with those of its topics once for each request, however many topics it has', () => {
    const stage = groupStage()
    let looks = 0
    const names = Array.from({ length: 50 }, (_, at) => `topic ${at}`)
    const topics: readonly string[] = Object.assign([...names], {
      *[Symbol.iterator]() {
        for (const name of names) {
          looks++
          yield name
        }
      }
    })
    for (let at = 0; at < 3; at++) {
      looks = 0
      let answers = 0
      const reply = (): void => void answers++
      const request = new WaitingRequest(stage.deadlines, stage.runtime.now + 1_000_000, { reply }, ONE_MESSAGE)
      for (const topic of names)
        stage.consumer.receive({ type: 'consume', topic, request, together: topics, start: 'earliest' })
      stage.runtime.pass(1)
      expect([answers, looks <= 2 * names.length]).to.deep.equal([1, true])
    }
  })

  it('pixy T4 S4 S5 leaves when the topic was not asked for as long as the subscription lasts; asking restarts the clock', () => {
    const stage = groupStage()
    stage.next().ack()
    stage.runtime.pass(SUBSCRIPTION_MS - 10)
    stage.next().ack()
    stage.runtime.pass(SUBSCRIPTION_MS - 10)
    expect(stage.hasEnded).to.equal(false)
    stage.runtime.pass(20)
    expect([stage.hasEnded, stage.runtime.newly('leaveGroup')]).to.deep.equal([true, 1])
    expect(stage.runtime.committed).to.deep.equal({ offset: 2, metadata: '' })
  })

  it('leaves as long after the end of the last request as the subscription lasts, whoever waited when it looked', () => {
    const stage = groupStage()
    stage.runtime.offsets = []
    stage.runtime.logEnd = 0
    const poll = (): WaitingRequest => stage.request({ reply: () => undefined })
    poll().cancel()
    stage.runtime.pass(SUBSCRIPTION_MS - 100)
    const last = poll()
    stage.runtime.pass(2 * SUBSCRIPTION_MS)
    const endedAt = stage.runtime.now
    last.cancel()
    while (!stage.hasEnded) stage.runtime.pass(10)
    expect(stage.runtime.now - endedAt).to.be.within(SUBSCRIPTION_MS, SUBSCRIPTION_MS + 20)
  })

  it('reads the requests that came while the process stood still before it leaves', () => {
    const stage = groupStage()
    stage.next().ack()
    stage.runtime.now += 2 * SUBSCRIPTION_MS
    stage.runtime.pass(0)
    expect(stage.hasEnded).to.equal(false)
    stage.next().ack()
    stage.runtime.pass(SUBSCRIPTION_MS - 10)
    expect(stage.hasEnded).to.equal(false)
  })

  describe('that stands still while it commits for the last time', () => {
    /** It wants to leave, and its commit is answered after a time without any other event. */
    const standingStill = (): GroupStage => {
      const stage = groupStage({ commitIntervalMs: 10_000 })
      stage.next().ack()
      stage.runtime.held.add('commitConsumerOffset')
      stage.runtime.pass(SUBSCRIPTION_MS)
      expect([stage.hasEnded, stage.runtime.newly('commitConsumerOffset')]).to.deep.equal([false, 1])
      stage.runtime.now += 15_000
      stage.runtime.held.clear()
      stage.runtime.settle()
      return stage
    }

    it('reads the requests that came meanwhile, and goes on', () => {
      const stage = standingStill()
      expect(stage.hasEnded).to.equal(false)
      const asked = stage.ask()
      stage.runtime.pass(200)
      expect(asked.answer).to.deep.include({ type: 'message' })
      expect(stage.runtime.newly('leaveGroup')).to.equal(0)
    })

    it('leaves soon where no request came', () => {
      const stage = standingStill()
      stage.runtime.pass(200)
      expect(stage.hasEnded).to.equal(true)
    })
  })

  for (const [what, end] of [
    ['acknowledges', (message: ConsumedMessage) => message.ack()],
    ['offers again', (message: ConsumedMessage) => message.release()]
  ] as const)
    it(`${what} nothing in a topic created anew when a message of the former one ends late`, () => {
      const stage = groupStage({ subscriptionTimeoutMs: 1_000_000 })
      const { runtime } = stage
      runtime.topicId = 'before'
      runtime.offsets = [0]
      runtime.logEnd = 1
      const former = stage.next()
      const asked = stage.ask()
      runtime.recreateTopic('anew')
      runtime.write(0, 1)
      runtime.pass(1_000)
      expect(asked.answer).to.have.nested.property('message.offset', 0)
      end(former)
      expect(stage.next().offset).to.equal(1)
      runtime.pass(ACK_MS / 2)
      expect(runtime.committed?.offset).to.equal(0)
    })

  it('pixy T5 stays for as long as an ack may come', () => {
    const stage = groupStage()
    stage.next()
    stage.runtime.pass(ACK_MS - 10)
    expect(stage.hasEnded).to.equal(false)
    stage.runtime.pass(200)
    expect([stage.hasEnded, stage.runtime.committed!.offset]).to.deep.equal([true, 0])
  })

  it('pixy T6 a request in that time resumes service, and restarts both clocks', () => {
    const stage = groupStage()
    stage.next()
    stage.runtime.pass(SUBSCRIPTION_MS + 500)
    expect(stage.next().offset).to.equal(1)
    stage.runtime.pass(ACK_MS - 100)
    expect(stage.hasEnded).to.equal(false)
  })

  /** As if others took so long to join. */
  const joinsInVain = (stage: GroupStage, times: number): void => {
    for (let time = 0; time < times; time++)
      stage.runtime.answers.push({ kind: 'joinGroup', result: { type: 'timedOut' } })
  }

  it('tells the leader that a topic is begun when a request may have been answered while joining took long', () => {
    const stage = groupStage({ retryBackoffMs: 300, subscriptionTimeoutMs: 60_000 })
    joinsInVain(stage, 10)
    stage.ask()
    stage.runtime.pass(4_000)
    const begun = stage.runtime.asked
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
      const stage = groupStage({ start, retryBackoffMs: 300 })
      joinsInVain(stage, 3)
      let answered: ConsumeResult | undefined
      const request = new WaitingRequest(
        stage.deadlines,
        stage.runtime.now,
        askerOfOne({ reply: result => void (answered = result) }),
        ONE_MESSAGE
      )
      stage.consumer.receive({ type: 'consume', topic: 'orders', request })
      stage.runtime.pass(1)
      request.onDue()
      expect(answered).to.deep.equal(answer)
    })
  }

  it('pixy T7 a stop waits for acks only as long as it is given', () => {
    const stage = groupStage()
    stage.next()
    const stoppedAt = stage.runtime.now
    stage.stop(500)
    stage.runtime.pass(2_000)
    expect(stage.stoppedAt! - stoppedAt).to.be.within(500, 510)
  })

  it('pixy T8 C17 the ack itself ends the wait', () => {
    const stage = groupStage()
    const message = stage.next()
    stage.runtime.pass(SUBSCRIPTION_MS + 500)
    expect(stage.hasEnded).to.equal(false)
    message.ack()
    stage.runtime.pass(150)
    expect([stage.hasEnded, stage.runtime.committed!.offset]).to.deep.equal([true, 1])
  })

  it('pixy F11 a stop commits everything that was acknowledged before it leaves', () => {
    const stage = groupStage()
    for (let count = 0; count < 5; count++) stage.next().ack()
    stage.stop(1_000)
    stage.runtime.pass(100)
    expect(stage.runtime.committed).to.deep.equal({ offset: 5, metadata: '' })
    const kinds = stage.runtime.asked.map(({ kind }) => kind)
    expect(kinds.lastIndexOf('commitConsumerOffset')).to.be.below(kinds.indexOf('leaveGroup'))
  })

  it('commits at once after a pause, then one interval after the other, however many acks come', () => {
    const stage = groupStage({ commitIntervalMs: 500 })
    stage.next().ack()
    stage.runtime.pass(2)
    expect(stage.runtime.newly('commitConsumerOffset')).to.equal(1)
    for (let count = 0; count < 20; count++) {
      stage.next().ack()
      stage.runtime.pass(20)
    }
    expect(stage.runtime.newly('commitConsumerOffset')).to.equal(0)
    stage.runtime.pass(200)
    expect(stage.runtime.newly('commitConsumerOffset')).to.equal(1)
    expect(stage.runtime.committed!.offset).to.equal(21)
  })

  it('goes on where it is told to, and says why where it cannot', () => {
    const stage = groupStage({ ackTimeoutMs: 60_000, subscriptionTimeoutMs: 60_000, commitIntervalMs: 0 })
    const told: SetOffsetsResult[] = []
    const setOffsets = (partition: number, offset: number): void => {
      const offsets = new Map([[partition, { offset, metadata: '' }]])
      const requester = { reply: (result: SetOffsetsResult): void => void told.push(result) }
      stage.consumer.receive({ type: 'setOffsets', topic: 'orders', offsets, timeoutMs: 1_000, requester })
    }
    setOffsets(0, 5)
    expect(told.splice(0)).to.deep.equal([{ type: 'notRead' }])
    const first = stage.next()
    setOffsets(0, 50)
    setOffsets(1, 50)
    stage.runtime.settle()
    expect(told.splice(0)).to.deep.equal([{ type: 'notRead' }, { type: 'set', outcomes: new Map([[0, 'committed']]) }])
    // Of before: it is not offered any more.
    first.ack()
    expect(stage.next().offset).to.equal(50)
    const refused = { type: 'failed', errorCode: errorCodes.ILLEGAL_GENERATION, retriable: false }
    stage.runtime.answers.push({ kind: 'commitConsumerOffset', result: refused })
    setOffsets(0, 70)
    stage.runtime.settle()
    expect(told.splice(0)).to.deep.equal([refused])
    expect([stage.next().offset, stage.runtime.committed!.offset]).to.deep.equal([50, 50])
    // A coordinator that does not know the partition at first.
    const unknown = { kind: 'commitConsumerOffset', result: { type: 'unknownTopicOrPartition' } } as const
    stage.runtime.answers.push(unknown, unknown)
    setOffsets(0, 60)
    stage.runtime.pass(300)
    expect(told.splice(0)).to.deep.equal([{ type: 'set', outcomes: new Map([[0, 'committed']]) }])
    expect(stage.runtime.committed!.offset).to.equal(60)
    const missing = {
      type: 'success',
      topics: new Map([['orders', { errorCode: 3, topic: 'orders', partitions: [] }]])
    }
    stage.runtime.answers.push(unknown, { kind: 'fetchTopicMetadata', result: missing })
    setOffsets(0, 70)
    stage.runtime.settle()
    expect(told).to.deep.equal([{ type: 'set', outcomes: new Map([[0, 'unknownTopicOrPartition']]) }])
  })

  it('commits the offset alone where brokers take no metadata as long as what was acknowledged above it', () => {
    const stage = groupStage({ commitIntervalMs: 200 })
    const { runtime } = stage
    const messages = Array.from({ length: 10 }, () => stage.next())
    const tooLarge = { type: 'failed', errorCode: errorCodes.OFFSET_METADATA_TOO_LARGE, retriable: false }
    runtime.answers.push({ kind: 'commitConsumerOffset', result: tooLarge })
    for (const at of [0, 2, 4, 6]) messages[at]!.ack()
    // Acknowledgements go on, and so does the metadata.
    for (const at of [8, 9]) {
      runtime.pass(200)
      messages[at]!.ack()
    }
    runtime.pass(1_000)
    expect(runtime.committed).to.deep.equal({ offset: 1, metadata: '' })
    for (const at of [1, 3, 5]) messages[at]!.ack()
    runtime.pass(1_000)
    expect(runtime.committed!.offset).to.equal(7)
    expect(runtime.committed!.metadata).to.not.equal('')
  })

  it('commits again after a pause what was refused, and with the stop, for which it does not wait long', () => {
    const stage = groupStage({ commitIntervalMs: 200, subscriptionTimeoutMs: 1_000_000 })
    const { runtime } = stage
    const forbidden = { type: 'failed', errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED, retriable: false }
    const refuse = (times: number): void => {
      for (let time = 0; time < times; time++) runtime.answers.push({ kind: 'commitConsumerOffset', result: forbidden })
    }
    refuse(2)
    stage.next().ack()
    runtime.pass(4_000)
    expect([runtime.newly('commitConsumerOffset'), runtime.committed!.offset]).to.deep.equal([1, 0])
    runtime.pass(10_000)
    expect(runtime.committed!.offset).to.equal(1)
    refuse(1)
    stage.next().ack()
    runtime.pass(1_000)
    stage.stop(0)
    runtime.pass(100)
    expect([runtime.committed!.offset, stage.stoppedAt]).to.deep.equal([2, runtime.now - 100])
  })

  it('keeps what it has offered over a rebalance in which it keeps the partition', () => {
    const stage = groupStage({ revocationMs: 100, ackTimeoutMs: 60_000, subscriptionTimeoutMs: 60_000 })
    const [first, second] = [stage.next(), stage.next()]
    second.ack()
    stage.rebalance()
    stage.runtime.pass(1_000)
    expect(stage.runtime.newly('joinGroup')).to.equal(2)
    expect(stage.runtime.committed!.offset).to.equal(0)
    expect(stage.next().offset).to.equal(2)
    first.ack()
    stage.runtime.pass(1_000)
    expect(stage.runtime.committed!.offset).to.equal(2)
    // The leader asks before it assigns the partition, and the member before it reads it: both once.
    expect(stage.runtime.newly('fetchConsumerOffset')).to.equal(2)
  })

  it('starts from the committed offset when a generation was missed: others may have read in between', () => {
    const stage = groupStage({ revocationMs: 100, ackTimeoutMs: 60_000, subscriptionTimeoutMs: 60_000 })
    stage.next()
    stage.runtime.committed = { offset: 7, metadata: '' }
    stage.runtime.generation++
    stage.rebalance()
    stage.runtime.pass(1_000)
    expect(stage.next().offset).to.equal(7)
  })

  it('offers nothing between the news of a rebalance and its end, and takes acks', () => {
    const stage = groupStage({ revocationMs: 10_000, ackTimeoutMs: 60_000, subscriptionTimeoutMs: 60_000 })
    const message = stage.next()
    stage.rebalance()
    const asked = stage.ask()
    stage.runtime.pass(5_000)
    expect([asked.answer, stage.runtime.newly('joinGroup')]).to.deep.equal([undefined, 1])
    message.ack()
    stage.runtime.pass(100)
    expect(asked.answer?.type).to.equal('message')
    expect(stage.runtime.committed!.offset).to.equal(1)
  })

  it('pixy S1 S2 topics that are asked for in quick succession are joined for together', () => {
    const stage = groupStage()
    stage.next('orders').ack()
    for (const topic of ['bills', 'audits', 'claims']) {
      const request = new WaitingRequest(stage.deadlines, stage.runtime.now + 1_000, { reply: () => {} }, ONE_MESSAGE)
      stage.consumer.receive({ type: 'consume', topic, request })
    }
    stage.runtime.pass(100)
    expect(stage.runtime.newly('joinGroup')).to.be.within(2, 3)
    const { request } = stage.runtime.asked.findLast(({ kind }) => kind === 'joinGroup')!
    const [{ metadata }] = request['protocols'] as unknown as [{ metadata: Buffer }]
    expect(decodeSubscription(metadata)).to.deep.equal(['audits', 'bills', 'claims', 'orders'])
  })

  it('pixy D6 a stop ends partitions, then the member, then the group', () => {
    const stage = groupStage()
    stage.next().ack()
    const waiting = [stage.ask(), stage.ask()]
    for (let asked = 0; asked < 98; asked++) waiting.push(stage.ask())
    stage.stop(1_000)
    stage.runtime.pass(10_000)
    const ends = stage.runtime.asked
      .map(({ kind }) => kind)
      .filter(kind => /commitConsumerOffset|leaveGroup/.test(kind))
    expect([ends.at(-1), ends.filter(kind => kind === 'leaveGroup').length]).to.deep.equal(['leaveGroup', 1])
    expect(stage.stoppedAt).to.be.above(0)
    expect(waiting.filter(({ answer }) => answer === undefined)).to.deep.equal([])
    expect(waiting.at(-1)!.answer?.type).to.equal('failed')
  })

  it('pixy D7 D8 a group ends once with its last topic, unless it is asked again', () => {
    const stage = groupStage()
    stage.next('orders').ack()
    stage.next('bills').ack()
    for (let round = 0; round < 3; round++) {
      stage.runtime.pass(SUBSCRIPTION_MS - 100)
      stage.next('orders').ack()
    }
    expect([stage.ends, stage.consumer.topicCount]).to.deep.equal([0, 1])
    stage.runtime.pass(SUBSCRIPTION_MS - 100)
    stage.next('orders').ack()
    stage.runtime.pass(SUBSCRIPTION_MS + 10)
    expect([stage.ends, stage.consumer.topicCount]).to.deep.equal([1, 0])
    expect(stage.runtime.asked.at(-1)!.kind).to.equal('leaveGroup')
    stage.runtime.pass(60_000)
    expect([stage.ends, stage.runtime.asked.at(-1)!.kind]).to.deep.equal([1, 'leaveGroup'])
  })

  it('without a heartbeat for the session time it does not offer what others may have', () => {
    const stage = groupStage({
      subscriptionTimeoutMs: 60_000,
      heartbeatIntervalMs: 1_000,
      sessionTimeoutMs: 6_000
    })
    stage.next()
    for (let count = 0; count < 8; count++)
      stage.runtime.answers.push({ kind: 'heartbeat', result: { type: 'timedOut' } })
    stage.runtime.committed = { offset: 3, metadata: '' }
    stage.runtime.generation += 5
    stage.runtime.pass(8_000)
    expect(stage.runtime.newly('joinGroup')).to.equal(2)
    expect(stage.next().offset).to.equal(3)
  })

  it('goes on when the leader of another client assigns what cannot be read', () => {
    const stage = groupStage({ subscriptionTimeoutMs: 60_000, heartbeatIntervalMs: 100 })
    stage.runtime.answers.push({ kind: 'syncGroup', result: { type: 'success', assignment: Buffer.from('what?') } })
    const asked = stage.ask()
    expect(asked.answer).to.equal(undefined)
    stage.rebalance()
    stage.runtime.pass(1_000)
    expect(asked.answer?.type).to.equal('message')
  })

  it('refuses what comes while it stops, and answers what waits then', () => {
    const stage = groupStage()
    const message = stage.next()
    stage.runtime.offsets = [0]
    stage.runtime.logEnd = 1
    stage.stop(2_000)
    expect(stage.stoppedAt, 'it waits for an ack').to.equal(undefined)
    const late = stage.ask()
    expect(late.answer).to.deep.include({ type: 'failed', code: 'shuttingDown' })
    message.ack()
    stage.runtime.pass(1)
    expect(stage.stoppedAt).not.to.equal(undefined)
    let isTold = false
    stage.consumer.receive({ type: 'stop', graceMs: 1_000, onStopped: () => (isTold = true) })
    expect(isTold, 'a second stop has nothing to wait for').to.equal(true)
  })

  it('offers nothing more when it stops in the middle of a rebalance', () => {
    const stage = groupStage()
    stage.next()
    const rebalancing = { type: 'failed', errorCode: errorCodes.REBALANCE_IN_PROGRESS, retriable: false }
    stage.runtime.answers.push({ kind: 'heartbeat', result: rebalancing })
    stage.runtime.pass(defaultConsumerSettings.heartbeatIntervalMs)
    stage.stop(1_000)
    stage.runtime.pass(20_000)
    expect(stage.stoppedAt).not.to.equal(undefined)
    stage.runtime.newly('fetchData')
    stage.runtime.newly('joinGroup')
    stage.runtime.pass(60_000)
    expect([stage.runtime.newly('fetchData'), stage.runtime.newly('joinGroup')]).to.deep.equal([0, 0])
  })

  describe('that may not read', () => {
    const refused = (kind: 'joinGroup' | 'fetchConsumerOffset' | 'fetchData' | 'fetchOffset', errorCode: number) => {
      const { runtime } = groupStage()
      const result = { ...kafkaFailure(errorCode), operation: kind }
      return Array.from({ length: 20 }, () => ({ kind, result }) as (typeof runtime.answers)[number])
    }
    const reasonsOf = (stage: GroupStage): unknown[] =>
      stage.runtime.errors.map(fields => (fields as { reason: unknown }).reason)

    for (const [kind, errorCode] of [
      ['joinGroup', errorCodes.GROUP_AUTHORIZATION_FAILED],
      ['fetchConsumerOffset', errorCodes.GROUP_AUTHORIZATION_FAILED],
      ['fetchOffset', errorCodes.TOPIC_AUTHORIZATION_FAILED],
      ['fetchData', errorCodes.TOPIC_AUTHORIZATION_FAILED]
    ] as const) {
      it(`says so to each request, and once in the log: ${kind}`, () => {
        const stage = groupStage({ subscriptionTimeoutMs: 60_000 })
        if (kind === 'fetchOffset') stage.runtime.committed = undefined
        stage.runtime.answers.push(...refused(kind, errorCode))
        for (let request = 0; request < 4; request++) {
          const asked = stage.ask()
          stage.runtime.pass(defaultConsumerSettings.retryBackoffMs)
          expect(asked.answer, `request ${request}`).to.include({ type: 'failed', code: 'notAuthorized', errorCode })
        }
        expect(reasonsOf(stage)).to.deep.equal([kafkaFailure(errorCode).message])
        stage.runtime.answers.length = 0
        stage.runtime.pass(10_000)
        stage.runtime.write(100)
        expect(stage.next().topic, 'once it may').to.equal('orders')
      })
    }

    it('says so of a topic that brokers do not show to it, until they do', () => {
      const stage = groupStage({ subscriptionTimeoutMs: 60_000 })
      stage.runtime.forbidden.add('orders')
      for (let request = 0; request < 3; request++) {
        expect(stage.ask().answer).to.include({ type: 'failed', code: 'notAuthorized' })
      }
      expect(reasonsOf(stage)).to.deep.equal([kafkaFailure(errorCodes.TOPIC_AUTHORIZATION_FAILED).message])
      stage.runtime.forbidden.clear()
      stage.runtime.pass(20_000)
      expect(stage.next().offset).to.equal(0)
    })

    for (const begins of ['latest', 'earliest'] as const) {
      it(`begins at ${begins} in a topic that brokers show to it later, as it is set`, () => {
        const stage = groupStage({ subscriptionTimeoutMs: 60_000, start: begins })
        const { runtime } = stage
        runtime.committed = undefined
        runtime.forbidden.add('orders')
        for (let request = 0; request < 3; request++) {
          expect(stage.ask().answer).to.include({ type: 'failed', code: 'notAuthorized' })
          runtime.pass(10_000)
        }
        runtime.forbidden.clear()
        const waiting = stage.ask()
        runtime.pass(15_000)
        const end = runtime.logEnd
        runtime.write(end)
        runtime.pass(1_000)
        const answers = [waiting.answer, stage.ask().answer]
        const offsets = answers.flatMap(answer => (answer?.type === 'message' ? [answer.message.offset] : []))
        expect(offsets[0]).to.equal(begins === 'latest' ? end : 0)
      })
    }

    it('goes on where it has committed in a topic that brokers show to it later', () => {
      const stage = groupStage({ subscriptionTimeoutMs: 60_000, start: 'latest' })
      stage.runtime.committed = { offset: 2, metadata: '' }
      stage.runtime.forbidden.add('orders')
      expect(stage.ask().answer).to.include({ type: 'failed', code: 'notAuthorized' })
      stage.runtime.forbidden.clear()
      stage.runtime.pass(20_000)
      expect(stage.next().offset).to.equal(2)
    })

    for (const isShown of [false, true])
      it(`passes over a topic of a pattern that ${isShown ? 'it may not read' : 'brokers do not show to it'}`, () => {
        const stage = groupStage({ subscriptionTimeoutMs: 60_000 })
        const { runtime } = stage
        if (isShown) runtime.answers.push(...refused('fetchData', errorCodes.TOPIC_AUTHORIZATION_FAILED))
        else runtime.forbidden.add('audits')
        const asked = stage.ask({ topics: ['audits'], isOfPattern: true })
        runtime.pass(10 * defaultConsumerSettings.retryBackoffMs)
        expect(asked.answer).to.equal(undefined)
        expect(reasonsOf(stage)).to.deep.equal([kafkaFailure(errorCodes.TOPIC_AUTHORIZATION_FAILED).message])
        const more = stage.ask({ topics: ['audits', 'orders'], isOfPattern: true })
        runtime.pass(20_000)
        expect(more.answer).to.include({ type: 'message' })
      })

    it('tells a loop over a pattern that the group itself may not be read', () => {
      const stage = groupStage({ subscriptionTimeoutMs: 60_000 })
      stage.runtime.answers.push(...refused('fetchConsumerOffset', errorCodes.GROUP_AUTHORIZATION_FAILED))
      const asked = stage.ask({ topics: ['orders'], isOfPattern: true })
      stage.runtime.pass(1_000)
      expect(asked.answer).to.include({ type: 'failed', code: 'notAuthorized' })
    })

    it('logs once, and not with each attempt, that its offsets cannot be committed', () => {
      const stage = groupStage({ subscriptionTimeoutMs: 1_000_000 })
      stage.runtime.answers.push(
        ...Array.from({ length: 5 }, () => ({
          kind: 'commitConsumerOffset' as const,
          result: kafkaFailure(errorCodes.GROUP_AUTHORIZATION_FAILED)
        }))
      )
      stage.next().ack()
      stage.runtime.pass(20_000)
      expect(stage.runtime.newly('commitConsumerOffset')).to.be.within(3, 5)
      expect(stage.runtime.errors).to.have.lengthOf(1)
    })
  })

  it('reads no more topics than it may, and others in place of those that are given up', () => {
    const stage = groupStage({ maxTopicsPerGroup: 1 })
    stage.next().ack()
    expect(stage.consumer.topicCount).to.equal(1)
    expect(() => stage.next('audit')).to.throw('the group reads too many topics (limit 1)')
    stage.runtime.pass(2 * SUBSCRIPTION_MS)
    expect([stage.consumer.topicCount, stage.hasEnded]).to.deep.equal([0, true])
  })

  it('gives one topic up and keeps the other, for which it joins again', () => {
    const stage = groupStage()
    stage.next().ack()
    stage.next('audit').ack()
    expect(stage.consumer.topicCount).to.equal(2)
    for (let at = 0; at < 3; at++) {
      stage.runtime.pass(SUBSCRIPTION_MS / 2)
      stage.next('audit').ack()
    }
    expect([stage.consumer.topicCount, stage.hasEnded]).to.deep.equal([1, false])
    const joins = stage.runtime.asked.filter(({ kind }) => kind === 'joinGroup')
    expect(joins.length).to.be.at.least(3)
    stage.runtime.pass(2 * SUBSCRIPTION_MS)
    expect([stage.consumer.topicCount, stage.hasEnded]).to.deep.equal([0, true])
  })

  it('gives one topic up although commits have no answer, after half of the time that a rebalance may take', () => {
    const stage = groupStage({ rebalanceTimeoutMs: 20_000 })
    const { runtime } = stage
    stage.next('audit').ack()
    stage.next().ack()
    runtime.pass(100)
    for (let times = 0; times < 1_000; times++) {
      runtime.answers.push({ kind: 'commitConsumerOffset', result: { type: 'timedOut' } })
    }
    stage.next('audit').ack()
    while (runtime.now < 11_500) {
      runtime.pass(SUBSCRIPTION_MS / 2)
      stage.next('audit').ack()
    }
    expect(stage.consumer.topicCount).to.equal(2)
    runtime.pass(SUBSCRIPTION_MS * 0.9)
    expect([stage.consumer.topicCount, stage.hasEnded]).to.deep.equal([1, false])
  })

  it('after a bug leaves without a commit, and answers what waits', () => {
    const stage = groupStage()
    stage.next().ack()
    stage.next().ack()
    stage.runtime.offsets = [0, 1]
    stage.runtime.logEnd = 2
    stage.runtime.newly('commitConsumerOffset')
    const failure = { type: 'failed', code: 'protocol', message: 'a bug', retriable: true } as const
    stage.consumer.abandon(failure as never)
    stage.runtime.pass(100_000)
    expect(stage.consumer.topicCount).to.equal(0)
    expect([stage.runtime.newly('commitConsumerOffset'), stage.runtime.newly('leaveGroup')]).to.deep.equal([0, 1])
  })

  it('as a static member stops without leaving, so that it keeps its partitions when it comes back', () => {
    const stage = groupStage({ instanceId: 'static-1' })
    stage.next().ack()
    stage.stop(1_000)
    stage.runtime.pass(1_000)
    expect(stage.stoppedAt).not.to.equal(undefined)
    expect(stage.runtime.newly('leaveGroup')).to.equal(0)
  })
})
