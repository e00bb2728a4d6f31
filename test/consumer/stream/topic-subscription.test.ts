import { expect } from 'chai'
import {
  type FollowSink,
  followTopic,
  type TopicSubscription
} from '../../../src/consumer/stream/topic-subscription.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import type { KafkaRecord } from '../../../src/core/model.js'
import type {
  FetchData,
  FetchDataResult,
  FetchOffset,
  FetchOffsetResult,
  RouterMessage,
  TopicFollower
} from '../../../src/router/messages/operations.js'
import { fakeBatchOf } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'

const SAME_TOPIC = { type: 'success', topics: new Map([['t', { topicId: 'id' }]]) }

/** A topic that is followed, with a Router whose part the test plays. */
class FollowHarness implements FollowSink {
  readonly system = new ActorSystem()
  /** What the Router was asked and has not answered. */
  readonly asked: (FetchData | FetchOffset)[] = []
  readonly told: string[] = []
  /** Records that may still be taken. */
  room = Number.POSITIVE_INFINITY
  readonly #following: TopicSubscription
  #positions: ReadonlyMap<number, number> = new Map()
  /** Who wants to know how many partitions there are. */
  listeners: TopicFollower[] = []

  constructor(positions: readonly (readonly [number, number])[], maxPartitions?: number) {
    const router = {
      path: 'router',
      tell: (message: RouterMessage) => {
        if (message.type === 'fetchTopicMetadata') message.requester.reply(SAME_TOPIC as never)
        else if (message.type === 'followTopics') this.listeners.push(message.follower)
        else if (message.type === 'unfollowTopics')
          this.listeners = this.listeners.filter(follower => follower !== message.follower)
        else this.asked.push(message as FetchData)
      },
      stop: () => undefined
    }
    this.#following = followTopic(this.system, {
      router,
      topic: 't',
      topicId: 'id',
      positions: new Map(positions.map(([partition, offset]) => [partition, { offset }])),
      maxPartitions,
      sink: this
    })
  }

  begins(positions: ReadonlyMap<number, number>): void {
    this.#positions = positions
  }
  get isFull(): boolean {
    return this.room <= 0
  }
  take(partition: number, { offset }: KafkaRecord): void {
    this.room--
    this.told.push(`${partition}/${offset} then ${this.#positions.get(partition)}`)
  }
  flush(): void {}
  warn(text: string): void {
    this.told.push(text)
  }
  ended({ code, message }: { readonly code: string; readonly message: string }): void {
    this.told.push(`ended: ${code} ${message}`)
  }

  newly(): string[] {
    return this.told.splice(0)
  }

  /** Open questions: `0@5`, `0@earliest`. */
  get questions(): string[] {
    return this.asked.map(question =>
      question.type === 'fetchData'
        ? `${question.topicPartition.partition}@${question.offset}`
        : `${question.topicPartition.partition}@${question.offsetType}`
    )
  }

  async answer(result: Partial<FetchDataResult> | Partial<FetchOffsetResult>): Promise<void> {
    const question = this.asked.shift()!
    const echo = question.type === 'fetchOffset' ? { offsetType: question.offsetType } : { offset: question.offset }
    question.requester.reply({ ...echo, ...result } as never)
    await turns(6)
  }

  async counts(partitionCount: number): Promise<void> {
    const news = { type: 'known', topic: 't', partitionCount, topicId: 'id', isDoubted: false } as const
    for (const listener of this.listeners) listener.topicNews([news])
    await turns(6)
  }

  resume(): void {
    this.#following.resume()
  }

  stop(): void {
    this.#following.stop()
    this.system.stop()
  }
}

describe('following a topic', () => {
  let time: FakeTime
  let harness: FollowHarness
  const follow = async (...positions: (readonly [number, number])[]): Promise<void> => {
    harness = new FollowHarness(positions)
    await turns(6)
  }
  beforeEach(() => (time = new FakeTime()))
  afterEach(() => {
    harness.stop()
    time.restore()
  })

  it('gives records with the offset behind each, and asks for the next ones', async () => {
    await follow([0, 5], [2, 0])
    expect(harness.questions).to.deep.equal(['0@5', '2@0'])
    await harness.answer({ type: 'success', batch: fakeBatchOf(4, 3, 10) })
    expect(harness.newly()).to.deep.equal(['0/5 then 6', '0/6 then 7'])
    expect(harness.questions).to.deep.equal(['2@0', '0@7'])
  })

  it('a sink without room is given nothing, holds no batch, and gets the rest once it has room', async () => {
    await follow([0, 0], [1, 0])
    harness.room = 2
    await harness.answer({ type: 'success', batch: fakeBatchOf(0, 4, 10) })
    await harness.answer({ type: 'success', batch: fakeBatchOf(0, 4, 10) })
    expect(harness.newly()).to.deep.equal(['0/0 then 1', '0/1 then 2'])
    expect(harness.questions).to.deep.equal([])
    harness.room = 3
    harness.resume()
    await turns(6)
    expect(harness.questions).to.deep.equal(['0@2', '1@0'])
    await harness.answer({ type: 'success', batch: fakeBatchOf(0, 4, 10) })
    expect(harness.newly()).to.deep.equal(['0/2 then 3', '0/3 then 4'])
  })

  it('follows what is added from its beginning, up to a number, and tells of the rest once', async () => {
    harness = new FollowHarness([[0, 5]], 3)
    await turns(6)
    await harness.counts(2)
    expect(harness.questions).to.deep.equal(['0@5', '1@0'])
    for (let times = 0; times < 2; times++) await harness.counts(5)
    expect(harness.questions).to.deep.equal(['0@5', '1@0', '2@0'])
    const text = 't has 5 partitions now, and 3 may be followed: those from 3 on are not read'
    expect(harness.newly()).to.deep.equal([text])
    harness.stop()
    expect(harness.listeners).to.deep.equal([])
  })

  it('goes on without a partition that a successor of the topic does not have, and takes it up when it is back', async () => {
    harness = new FollowHarness(
      [
        [0, 5],
        [1, 9]
      ],
      3
    )
    await turns(6)
    await harness.counts(1)
    await harness.answer({ type: 'noMessages' })
    await harness.answer({ type: 'unknownTopicOrPartition' })
    expect(harness.newly()).to.deep.equal(['t/1 is gone: its topic was created anew with fewer partitions'])
    await time.pass(25)
    expect(harness.questions).to.deep.equal(['0@5'])
    await harness.counts(2)
    expect(harness.questions).to.deep.equal(['0@5', '1@0'])
  })

  it('wants to know of nothing that is added where partitions were named', async () => {
    await follow([0, 5])
    expect(harness.listeners).to.deep.equal([])
  })

  it('asks again when nothing came, without a busy loop', async () => {
    await follow([0, 3])
    await harness.answer({ type: 'noMessages' })
    expect(harness.questions).to.deep.equal([])
    await time.pass(25)
    expect(harness.questions).to.deep.equal(['0@3'])
  })

  it('says what was deleted, damaged or lost, and goes on', async () => {
    await follow([0, 3])
    await harness.answer({ type: 'offsetOutOfRange' })
    await harness.answer({ type: 'success', offset: 8 })
    expect(harness.newly()).to.deep.equal(['records 3 to 7 of t/0 were deleted before they were read'])
    await harness.answer({ type: 'corruptMessage', nextOffset: 10 })
    expect(harness.newly()).to.deep.equal(['records 8 to 9 of t/0 are damaged and were skipped'])
    await harness.answer({ type: 'offsetOutOfRange' })
    await harness.answer({ type: 'success', offset: 0 })
    await harness.answer({ type: 'success', offset: 4 })
    expect(harness.newly()).to.deep.equal(['the log of t/0 ends at 4, before 10, and is read from its end'])
    expect(harness.questions).to.deep.equal(['0@4'])
  })

  it('tries again what may pass, and ends with what does not', async () => {
    await follow([0, 3])
    await harness.answer({ type: 'timedOut' })
    await time.pass(500)
    await harness.answer({ type: 'failed', code: 'noLeader', retriable: true, message: 'away' })
    await time.pass(500)
    expect(harness.questions).to.deep.equal(['0@3'])
    await harness.answer({ type: 'failed', code: 'notAuthorized', retriable: false, message: 'no' })
    expect(harness.newly()).to.deep.equal(['ended: notAuthorized t/0: no'])
  })

  it('ends once, whatever is answered then', async () => {
    await follow([0, 3], [1, 3])
    await harness.answer({ type: 'unknownTopicOrPartition' })
    await harness.answer({ type: 'unknownTopicOrPartition' })
    expect(harness.newly()).to.deep.equal(['ended: unknownTopic t/0 does not exist'])
  })

  it('a stopped one says and asks nothing more', async () => {
    await follow([0, 3], [1, 3])
    await harness.answer({ type: 'noMessages' })
    harness.stop()
    await harness.answer({ type: 'success', batch: fakeBatchOf(3, 1, 10) })
    await time.pass(1_000)
    expect([harness.newly(), harness.questions]).to.deep.equal([[], []])
  })
})
