import { expect } from 'chai'
import type { ConsumeManyResult } from '../../../src/consumer/group/consume-result.js'
import { GroupConsumer } from '../../../src/consumer/group/group-consumer.js'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { LoopDemand } from '../../../src/consumer/group/loop-demand.js'
import { defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { TopicConsumer } from '../../../src/consumer/group/topic-consumer.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { Deadlines } from '../../../src/router/requests/deadlines.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { FakeRuntime, run } from './fake-runtime.js'

const TOPICS = 1_000

/** A loop over many topics of a group; each topic has the same messages. */
class TopicsStage {
  readonly runtime = new FakeRuntime(run(0, 20))
  readonly loop = new LoopDemand({ groupId: 'foo' })
  consumer: GroupConsumer
  readonly #deadlines: Deadlines

  constructor(topics: number) {
    this.runtime.committed = { offset: 0, metadata: '' }
    this.#deadlines = new Deadlines(this.runtime.clock)
    this.consumer = this.#live()
    this.loop.setTopics(Array.from({ length: topics }, (_, at) => `orders-${at}`))
  }

  #live(): GroupConsumer {
    return new GroupConsumer({
      runtime: this.runtime,
      settings: { ...defaultConsumerSettings, subscriptionTimeoutMs: 1_000, ackTimeoutMs: 500 },
      deadlines: this.#deadlines,
      batches: new HeldBatches(100_000_000),
      tick: work => void this.runtime.after(0, work),
      onMissing: () => undefined,
      onEnded: () => undefined,
      onLate: message => {
        this.consumer = this.#live()
        this.consumer.receive(message)
      }
    })
  }

  /** The next message, as `topic offset`; `undefined`: there is none now. */
  next(): string | undefined {
    let told: ConsumeManyResult | undefined
    this.loop.begin({ maxMessages: 1, maxBytes: 1 }, result => (told = result))
    this.consumer.receive({ type: 'ask', request: this.loop })
    if (told === undefined) this.runtime.pass(1)
    if (told?.type !== 'messages') return undefined
    const { topic, offset } = told.messages.messages[0]!
    told.messages.ack()
    return `${topic} ${offset}`
  }

  stop(): void {
    this.loop.close()
    this.consumer.abandon(kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID))
    this.#deadlines.stop()
  }
}

/** How often loops have asked a topic of theirs for a message, or told it that one is wanted. */
function countTouches(): { count: number; registered: number; stop(): void } {
  const { answer, wakeIdle, addLoop } = TopicConsumer.prototype
  const touches = {
    count: 0,
    registered: 0,
    stop: () => void Object.assign(TopicConsumer.prototype, { answer, wakeIdle, addLoop })
  }
  const counting = <Args extends unknown[], Result>(
    method: (...args: Args) => Result,
    what = 'count' as 'count' | 'registered'
  ) =>
    function (this: unknown, ...args: Args): Result {
      touches[what]++
      return method.apply(this, args)
    }
  Object.assign(TopicConsumer.prototype, {
    answer: counting(answer),
    wakeIdle: counting(wakeIdle),
    addLoop: counting(addLoop, 'registered')
  })
  return touches
}

describe('a loop over many topics', () => {
  let stage: TopicsStage
  afterEach(() => stage.stop())

  it('is registered with each of them once, and joins once', () => {
    stage = new TopicsStage(TOPICS)
    const touches = countTouches()
    for (let count = 0; count < 100; count++) stage.next()
    touches.stop()
    expect(touches.registered).to.equal(TOPICS)
    expect(stage.runtime.newly('joinGroup')).to.equal(1)
  })

  it('asks those that have something, and none of the others, however many there are', () => {
    stage = new TopicsStage(TOPICS)
    while (stage.next() === undefined);
    const touches = countTouches()
    const seen = Array.from({ length: 5_000 }, () => stage.next())
    touches.stop()
    expect(new Set(seen).size, 'each message once').to.equal(5_000)
    expect(touches.count / seen.length, 'topics for each message').to.be.at.most(4)
  })

  it('takes from topics in turn', () => {
    stage = new TopicsStage(5)
    while (stage.next() === undefined);
    const seen = Array.from({ length: 40 }, () => stage.next()!.split(' ')[0]!)
    for (let at = 0; at + 5 <= seen.length; at += 5) expect(new Set(seen.slice(at, at + 5)).size).to.equal(5)
  })

  it('is registered again after a while in which it has asked for nothing, and the group has given its topics up', () => {
    stage = new TopicsStage(3)
    while (stage.next() === undefined);
    stage.loop.cancel()
    stage.runtime.pass(10_000)
    expect(stage.consumer.topicCount).to.equal(0)
    const before = stage.consumer
    while (stage.next() === undefined);
    expect(stage.consumer).not.to.equal(before)
    expect(stage.consumer.topicCount).to.equal(3)
  })

  it('leaves each topic when it ends, and those that it asks for no longer', () => {
    stage = new TopicsStage(3)
    while (stage.next() === undefined);
    const loops = () => stage.consumer.view().waiting
    stage.loop.begin({ maxMessages: 1, maxBytes: 1 }, () => undefined)
    expect(loops()).to.equal(3)
    stage.loop.setTopics(['orders-1'])
    expect(loops()).to.equal(1)
    stage.loop.close()
    expect(loops()).to.equal(0)
  })
})
