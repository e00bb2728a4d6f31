import { expect } from 'chai'
import sinon from 'sinon'
import type {
  FetchDataResult,
  RouterMessage,
  RouterRequest,
  RouterResult
} from '../../../src/router/messages/operations.js'
import { type FromRouter, RequestManager, type ResultHandlers } from '../../../src/router/routing/request-manager.js'
import { fakeBatch } from '../../support/fake-batch.js'

const orders0 = { topic: 'orders', partition: 0 }
const askAt = (offset: number) => ({ type: 'fetchData', topicPartition: orders0, offset }) as const
const success = (offset: number): FetchDataResult => ({
  operation: 'fetchData',
  topicPartition: orders0,
  offset,
  type: 'success',
  batch: fakeBatch(offset, [10])
})
const plain = (type: 'noMessages' | 'timedOut' | 'offsetOutOfRange', offset: number): FetchDataResult => ({
  operation: 'fetchData',
  topicPartition: orders0,
  offset,
  type
})

/** An actor's view: what it asked the Router, what its handlers saw. Messages to itself are checked at once. */
function anActor(timeoutsMs: { fetchData?: number; fetchTopicMetadata?: number } = {}, random = () => 0) {
  const asked: RouterRequest[] = []
  const seen: string[] = []
  const retries: number[] = []
  const see = (result: { type: string }): void => void seen.push(result.type)
  const handlers: ResultHandlers<'fetchData' | 'fetchTopicMetadata'> = {
    fetchData: {
      success: result => seen.push(`success ${result.batch.offset}`),
      noMessages: see,
      offsetOutOfRange: see,
      unknownTopicOrPartition: see,
      corruptMessage: see,
      failed: see
    },
    fetchTopicMetadata: { success: see, failed: see }
  }
  const manager = new RequestManager<'fetchData' | 'fetchTopicMetadata'>({
    router: { path: 'router', tell: (message: RouterMessage) => void asked.push(message as RouterRequest), stop() {} },
    tellSelf: (message: FromRouter) => manager.checkResult(message, handlers),
    timeoutsMs,
    onRetry: (_, tryNumber) => retries.push(tryNumber),
    random
  })
  const answer = (index: number, result: RouterResult): void =>
    (asked[index] as { requester: { reply(result: RouterResult): void } }).requester.reply(result)
  return { manager, asked, seen, retries, answer }
}

describe('request manager', () => {
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(() => {
    expect(clock.countTimers(), 'timers left behind').to.equal(0)
    clock.restore()
  })

  it('castle 9.16-D1 hands an answer to its handler once', () => {
    const { manager, seen, answer } = anActor()
    manager.sendRequestToRouter(askAt(7))
    expect(manager.isWaiting('fetchData')).to.equal(true)
    answer(0, success(7))
    answer(0, success(7))
    expect(seen).to.deep.equal(['success 7'])
    expect(manager.isWaiting('fetchData')).to.equal(false)
  })

  it('castle 9.16-D1 asks again when nobody answers, without end', () => {
    const { manager, asked, retries, seen, answer } = anActor({ fetchData: 500 })
    manager.sendRequestToRouter(askAt(7))
    for (let expected = 2; expected <= 6; expected++) {
      clock.tick(1500)
      expect(asked).to.have.length(expected)
    }
    expect(retries).to.deep.equal([2, 3, 4, 5, 6])
    answer(5, plain('noMessages', 7))
    expect(seen).to.deep.equal(['noMessages'])
  })

  it('castle 9.16-D1 a late answer to the first try counts, the answer to the second is dropped', () => {
    const { manager, asked, seen, answer } = anActor({ fetchData: 500 })
    manager.sendRequestToRouter(askAt(7))
    clock.tick(1500)
    expect(asked).to.have.length(2)
    answer(0, success(7))
    answer(1, success(7))
    expect(seen).to.deep.equal(['success 7'])
  })

  it('castle 9.16-D1 an old timer does not touch the same offset asked again', () => {
    const { manager, asked, seen, answer } = anActor({ fetchData: 500 })
    manager.sendRequestToRouter(askAt(7))
    clock.tick(1400)
    answer(0, plain('noMessages', 7))
    manager.sendRequestToRouter(askAt(7))
    clock.tick(1400)
    expect(asked).to.have.length(2)
    answer(1, success(7))
    expect(seen).to.deep.equal(['noMessages', 'success 7'])
  })

  it('castle 9.16-D1 a second question replaces the first, whose answer is dropped', () => {
    const { manager, seen, answer } = anActor()
    manager.sendRequestToRouter(askAt(7))
    manager.sendRequestToRouter(askAt(90))
    answer(0, success(7))
    expect(seen).to.deep.equal([])
    answer(1, success(90))
    expect(seen).to.deep.equal(['success 90'])
  })

  /** An actor that writes records: their outcomes, and what the Router was asked. */
  const aWriter = () => {
    const asked: RouterRequest[] = []
    const seen: unknown[] = []
    const manager = new RequestManager<'produce'>({
      router: { path: 'router', tell: message => void asked.push(message as RouterRequest), stop() {} },
      tellSelf: message =>
        manager.checkResult(message, { produce: { completed: ({ outcomes }) => seen.push(outcomes) } }),
      timeoutsMs: { produce: 500 }
    })
    const answer = (index: number): void => {
      const { requester } = asked[index] as unknown as { requester: { reply(result: RouterResult): void } }
      requester.reply({ operation: 'produce', type: 'completed', outcomes: delivered })
    }
    return { manager, asked, seen, answer }
  }
  const delivered = [{ type: 'delivered', partition: 0, offset: 7, timestampMs: 1 }] as const
  const toWrite = (value: string) => ({ type: 'produce', records: [{ topic: 'orders', key: null, value }] }) as const

  it('asks to write records once, also where the answer is late', () => {
    const { manager, asked, seen, answer } = aWriter()
    manager.sendRequestToRouter(toWrite('one'))
    clock.tick(1_600)
    answer(0)
    clock.tick(10_000)
    expect(asked).to.have.length(1)
    expect(seen).to.deep.equal([delivered])
  })

  it('says that the outcomes of records are unknown when the Router never answers', () => {
    const { manager, asked, seen, answer } = aWriter()
    manager.sendRequestToRouter(toWrite('one'))
    clock.tick(10_000)
    answer(0)
    expect(asked).to.have.length(1)
    expect(seen).to.have.length(1)
    const [[outcome]] = seen as [[object]]
    expect(outcome).to.include({ type: 'failed', code: 'timedOut', persisted: 'unknown' })
    expect(manager.isWaiting('produce')).to.equal(false)
  })

  it('tells of each question to write records whether it waits', () => {
    const { manager, answer } = aWriter()
    const [one, other] = [toWrite('one'), toWrite('other')]
    manager.sendRequestToRouter(one)
    expect([one, other].map(question => manager.isWaiting(question))).to.deep.equal([true, false])
    manager.sendRequestToRouter(other)
    answer(0)
    expect([one, other].map(question => manager.isWaiting(question))).to.deep.equal([false, true])
    manager.close()
  })

  it('has a question open for each partition, and for each group and partition', () => {
    const asked: RouterRequest[] = []
    const seen: unknown[] = []
    const see = (result: { type: string }): void => void seen.push(result)
    const manager = new RequestManager<'fetchOffset' | 'fetchConsumerOffset' | 'fetchTopicMetadata'>({
      router: {
        path: 'router',
        tell: (message: RouterMessage) => void asked.push(message as RouterRequest),
        stop() {}
      },
      tellSelf: (message: FromRouter) =>
        manager.checkResult(message, {
          fetchOffset: { success: see, unknownTopicOrPartition: see, failed: see },
          fetchConsumerOffset: { success: see, notFound: see, failed: see },
          fetchTopicMetadata: { success: see, failed: see }
        })
    })
    const others = [
      { ...orders0, partition: 1 },
      { topic: 'clicks', partition: 0 }
    ]
    const questions = [
      ...[orders0, ...others].map(at => ({ type: 'fetchOffset', topicPartition: at, offsetType: 'latest' }) as const),
      ...['billing', 'audit'].map(
        groupId => ({ type: 'fetchConsumerOffset', groupId, topicPartition: orders0 }) as const
      ),
      { type: 'fetchConsumerOffset', groupId: 'billing', topicPartition: others[0]! },
      ...[1, 2, undefined].map(requestId => ({ type: 'fetchTopicMetadata', requestId }) as const)
    ] as const
    for (const question of questions) manager.sendRequestToRouter(question)
    for (const question of questions) expect(manager.isWaiting(question)).to.equal(true)
    for (const question of questions) manager.sendRequestToRouter({ ...question })
    expect(asked).to.have.length(2 * questions.length)
    for (const [at, { requester }] of asked.entries()) requester.reply({ type: 'failed', at } as never)
    expect(seen).to.deep.equal(questions.map((_, at) => ({ type: 'failed', at: questions.length + at })))
    for (const question of questions) expect(manager.isWaiting(question)).to.equal(false)
  })

  it('replaces no question to write records, of which several may be open', () => {
    const asked: RouterRequest[] = []
    const seen: unknown[] = []
    const manager = new RequestManager<'produce'>({
      router: {
        path: 'router',
        tell: (message: RouterMessage) => void asked.push(message as RouterRequest),
        stop() {}
      },
      tellSelf: (message: FromRouter) =>
        manager.checkResult(message, { produce: { completed: ({ outcomes }) => void seen.push(outcomes) } })
    })
    for (const value of ['one', 'two']) {
      manager.sendRequestToRouter({ type: 'produce', records: [{ topic: 'orders', key: null, value }] })
    }
    expect(manager.isWaiting('produce')).to.equal(true)
    for (const at of [1, 0]) asked[at]!.requester.reply({ type: 'completed', outcomes: at } as never)
    expect(seen).to.deep.equal([1, 0])
    expect(manager.isWaiting('produce')).to.equal(false)
  })

  it('asks again also where the one who hears of its tries throws', () => {
    const asked: RouterRequest[] = []
    const warn = sinon.stub(process, 'emitWarning')
    const manager = new RequestManager<'fetchData'>({
      router: {
        path: 'router',
        tell: (message: RouterMessage) => void asked.push(message as RouterRequest),
        stop() {}
      },
      tellSelf: (message: FromRouter) => manager.checkResult(message, {} as never),
      timeoutsMs: { fetchData: 500 },
      onRetry: () => {
        throw new Error('boom')
      }
    })
    try {
      manager.sendRequestToRouter(askAt(7))
      clock.tick(1_500)
    } finally {
      warn.restore()
      manager.close()
    }
    expect(asked).to.have.length(2)
    expect(warn.args.map(([message]) => message)).to.deep.equal(['onRetry threw: boom'])
  })

  it('castle 9.16-D1 the Router saying timedOut is a reason to ask again, spread in time', () => {
    const { manager, asked, seen, answer } = anActor()
    manager.sendRequestToRouter(askAt(7))
    answer(0, plain('timedOut', 7))
    expect(asked).to.have.length(1)
    clock.tick(100)
    expect(asked).to.have.length(2)
    answer(1, success(7))
    expect(seen).to.deep.equal(['success 7'])
  })

  for (const [lot, expected] of [
    [0, [100, 200, 400, 800, 1_600, 2_500, 2_500]],
    [0.5, [150, 300, 600, 1_200, 2_400, 3_750, 3_750]]
  ] as const) {
    it(`castle 9.16-D1 waits longer after each timedOut, up to a bound, where chance says ${lot}`, () => {
      const { manager, asked, answer } = anActor({}, () => lot)
      manager.sendRequestToRouter(askAt(7))
      const pauses: number[] = []
      for (const _ of expected) {
        answer(asked.length - 1, plain('timedOut', 7))
        const [before, since] = [asked.length, clock.now]
        clock.next()
        expect(asked).to.have.length(before + 1)
        pauses.push(clock.now - since)
      }
      expect(pauses).to.deep.equal(expected)
      manager.close()
    })
  }

  it('castle 9.16-D1 needs nobody who hears of its tries, and spreads them by itself', () => {
    const asked: RouterRequest[] = []
    const told: FromRouter[] = []
    const manager = new RequestManager<'fetchData'>({
      router: { path: 'router', tell: message => void asked.push(message as RouterRequest), stop() {} },
      tellSelf: message => told.push(message)
    })
    manager.sendRequestToRouter(askAt(7))
    ;(asked[0] as { requester: { reply(result: RouterResult): void } }).requester.reply(plain('timedOut', 7))
    manager.checkResult(told[0]!, {} as ResultHandlers<'fetchData'>)
    clock.tick(99)
    expect(asked).to.have.length(1)
    clock.tick(101)
    expect(asked).to.have.length(2)
    manager.close()
  })

  it('tells why it asks again: by the reason of the Router, or as a warning of the process', () => {
    const reasons: (string | undefined)[] = []
    const warn = sinon.stub(process, 'emitWarning')
    try {
      for (const onRetry of [
        (_: string, __: number, reason: string | undefined) => void reasons.push(reason),
        undefined
      ]) {
        const asked: RouterRequest[] = []
        const tellSelf = (message: FromRouter): void => manager.checkResult(message, {} as never)
        const router = {
          path: 'router',
          tell: (message: RouterMessage) => void asked.push(message as never),
          stop() {}
        }
        const manager = new RequestManager({ router, tellSelf, random: () => 0, ...(onRetry && { onRetry }) })
        manager.sendRequestToRouter(askAt(7))
        for (let tries = 0; tries < 10; tries++) {
          asked.at(-1)!.requester.reply({ ...plain('timedOut', 7), reason: 'ECONNREFUSED' } as never)
          clock.tick(10_000)
        }
        manager.close()
      }
    } finally {
      warn.restore()
    }
    expect(reasons).to.deep.equal(Array.from({ length: 10 }, () => 'ECONNREFUSED'))
    expect(warn.args.map(([message]) => message)).to.deep.equal([
      'fetchData is asked again (try 2): ECONNREFUSED',
      'fetchData is asked again (try 10): ECONNREFUSED'
    ])
  })

  it('castle 9.16-D1 each operation has its own book and its own time-out', () => {
    const { manager, asked, seen, answer } = anActor({ fetchData: 500, fetchTopicMetadata: 9_000 })
    manager.sendRequestToRouter(askAt(7))
    manager.sendRequestToRouter({ type: 'fetchTopicMetadata', requestId: 3 })
    expect(asked.map(request => request.timeoutMs)).to.deep.equal([500, 9_000])
    clock.tick(1_500)
    expect(asked.map(request => request.type)).to.deep.equal(['fetchData', 'fetchTopicMetadata', 'fetchData'])
    answer(2, plain('offsetOutOfRange', 7))
    answer(1, { operation: 'fetchTopicMetadata', requestId: 3, type: 'success', topics: new Map(), brokers: [] })
    expect(seen).to.deep.equal(['offsetOutOfRange', 'success'])
  })

  it('waits 60 seconds by default, and a question may bring its own', () => {
    const { manager, asked } = anActor()
    manager.sendRequestToRouter(askAt(7))
    manager.sendRequestToRouter({ ...askAt(8), timeoutMs: 50 })
    expect(asked.map(request => request.timeoutMs)).to.deep.equal([60_000, 50])
    manager.close()
  })

  it('asks once where it may wait for ever', () => {
    const { manager, asked } = anActor({ fetchData: Number.POSITIVE_INFINITY })
    manager.sendRequestToRouter(askAt(7))
    clock.tick(1_000_000)
    expect(asked).to.have.length(1)
    manager.close()
  })

  it('asks nothing more once closed', () => {
    const { manager, asked, seen, answer } = anActor({ fetchData: 500 })
    manager.sendRequestToRouter(askAt(7))
    manager.close()
    clock.tick(10_000)
    answer(0, success(7))
    expect([asked.length, seen]).to.deep.equal([1, []])
  })

  it('does not compile with an answer forgotten or an operation never announced', () => {
    const see = (): void => {}
    const most = { success: see, noMessages: see, offsetOutOfRange: see, unknownTopicOrPartition: see, failed: see }
    const { manager } = anActor()
    const commit = { type: 'commitConsumerOffset', groupId: 'g', topicPartition: orders0 } as const
    type Mine = Parameters<typeof manager.sendRequestToRouter>[0]
    // @ts-expect-error corruptMessage is missing
    const forgotten: ResultHandlers<'fetchData'> = { fetchData: most }
    // @ts-expect-error this manager was not made for commits
    const notMine: Mine = { ...commit, offsetAndMetadata: { offset: 1 } }
    expect([forgotten, notMine]).to.have.length(2)
  })
})
