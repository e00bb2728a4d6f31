import { expect } from 'chai'
import type { ConsumeManyResult } from '../../../src/consumer/group/consume-result.js'
import type { GroupConsumerOptions } from '../../../src/consumer/group/group-consumer.js'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { LoopDemand } from '../../../src/consumer/group/loop-demand.js'
import { TopicConsumer } from '../../../src/consumer/group/topic-consumer.js'
import { GroupStage } from './group-stage.js'

const TOPICS = 1_000

/** A loop over many topics of a group; each topic has the same messages. */
class TopicsStage extends GroupStage {
  readonly loop = new LoopDemand({ groupId: 'foo' })

  constructor(topics: number) {
    const onLate: GroupConsumerOptions['onLate'] = message => {
      this.live()
      this.consumer.receive(message)
    }
    const batches = new HeldBatches(100_000_000)
    super(20, { subscriptionTimeoutMs: 1_000, ackTimeoutMs: 500 }, { batches, onLate })
    this.loop.setTopics(Array.from({ length: topics }, (_, at) => `orders-${at}`))
  }

  /** The next message, as `topic offset`; `undefined`: there is none now. */
  nextOfLoop(): string | undefined {
    let told: ConsumeManyResult | undefined
    this.loop.begin({ maxMessages: 1, maxBytes: 1 }, result => (told = result))
    this.consumer.receive({ type: 'ask', request: this.loop })
    if (told === undefined) this.runtime.pass(1)
    if (told?.type !== 'messages') return undefined
    const { topic, offset } = told.messages.messages[0]!
    told.messages.ack()
    return `${topic} ${offset}`
  }

  override kill(): void {
    this.loop.close()
    super.kill()
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
  afterEach(() => stage.kill())

  it('is registered with each of them once, and joins once', () => {
    stage = new TopicsStage(TOPICS)
    const touches = countTouches()
    for (let count = 0; count < 100; count++) stage.nextOfLoop()
    touches.stop()
    expect(touches.registered).to.equal(TOPICS)
    expect(stage.runtime.newly('joinGroup')).to.equal(1)
  })

  it('asks those that have something, and none of the others, however many there are', () => {
    stage = new TopicsStage(TOPICS)
    while (stage.nextOfLoop() === undefined);
    const touches = countTouches()
    const seen = Array.from({ length: 5_000 }, () => stage.nextOfLoop())
    touches.stop()
    expect(new Set(seen).size, 'each message once').to.equal(5_000)
    expect(touches.count / seen.length, 'topics for each message').to.be.at.most(4)
  })

  it('takes from topics in turn', () => {
    stage = new TopicsStage(5)
    while (stage.nextOfLoop() === undefined);
    const seen = Array.from({ length: 40 }, () => stage.nextOfLoop()!.split(' ')[0]!)
    for (let at = 0; at + 5 <= seen.length; at += 5) expect(new Set(seen.slice(at, at + 5)).size).to.equal(5)
  })

  it('is registered again after a while in which it has asked for nothing, and the group has given its topics up', () => {
    stage = new TopicsStage(3)
    while (stage.nextOfLoop() === undefined);
    stage.loop.cancel()
    stage.runtime.pass(10_000)
    expect(stage.consumer.topicCount).to.equal(0)
    const before = stage.consumer
    while (stage.nextOfLoop() === undefined);
    expect(stage.consumer).not.to.equal(before)
    expect(stage.consumer.topicCount).to.equal(3)
  })

  it('leaves each topic when it ends, and those that it asks for no longer', () => {
    stage = new TopicsStage(3)
    while (stage.nextOfLoop() === undefined);
    const loops = () => stage.consumer.view().waiting
    stage.loop.begin({ maxMessages: 1, maxBytes: 1 }, () => undefined)
    expect(loops()).to.equal(3)
    stage.loop.setTopics(['orders-1'])
    expect(loops()).to.equal(1)
    stage.loop.close()
    expect(loops()).to.equal(0)
  })
})
