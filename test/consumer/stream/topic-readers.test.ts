import { expect } from 'chai'
import {
  choosePartitions,
  readTopic,
  requireTopic,
  type TopicPlan
} from '../../../src/consumer/stream/topic-readers.js'
import { type ActorRef, ActorSystem } from '../../../src/core/actor/actor.js'
import type { TopicMetadata } from '../../../src/kafka/broker-client.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { FetchData, FetchOffset, FollowTopics, RouterMessage } from '../../../src/router/messages/operations.js'
import { FakeTime } from '../../support/fake-time.js'
import { metadataOf } from '../../support/scripted-client.js'
import { turns } from '../../support/ticks.js'

/** Longer than a reader that follows asks again for a partition that brokers deny. */
const DENIED_MS = 12_000

describe('readers of a topic', () => {
  let time: FakeTime
  let system: ActorSystem
  let router: ActorRef<RouterMessage>
  let stop: AbortController
  let asked: (FetchData | FetchOffset)[]
  let following: FollowTopics[]
  let unfollowed: number
  let told: string[]
  /** Partitions that brokers deny. */
  let denied: Set<number>
  beforeEach(() => {
    time = new FakeTime()
    system = new ActorSystem()
    stop = new AbortController()
    asked = []
    following = []
    unfollowed = 0
    told = []
    denied = new Set()
    router = {
      path: 'router',
      tell: (message: RouterMessage) => {
        if (message.type === 'followTopics') following.push(message)
        else if (message.type === 'unfollowTopics') unfollowed++
        else if (message.type === 'fetchOffset' || message.type === 'fetchData') take(message)
      },
      stop: () => undefined
    }
  })
  afterEach(() => {
    system.stop()
    time.restore()
  })

  /** Every log ends at 7; who waits there is not answered. */
  function take(message: FetchData | FetchOffset): void {
    const { partition } = message.topicPartition
    const type = denied.has(partition) ? 'unknownTopicOrPartition' : 'success'
    if (message.type === 'fetchData' && type === 'success') asked.push(message)
    else if (message.type === 'fetchData') message.requester.reply({ type } as never)
    else {
      const offset = message.offsetType === 'latest' ? 7 : 2
      message.requester.reply({ type, offsetType: message.offsetType, offset } as never)
    }
  }

  async function read(count: number, rest: Partial<TopicPlan> = {}): Promise<void> {
    const partitions = Object.fromEntries(Array.from({ length: count }, (_, id) => [id, { leaderId: 1 }]))
    const metadata = { ...metadataOf([], { t: { partitions } }).topics[0]!, topicId: 'first' }
    void readTopic(
      system,
      { metadata, partitions: undefined, start: 'latest', follow: true, ...rest },
      {
        router,
        requestTimeoutMs: 1_000,
        write: async () => true,
        warn: message => void told.push(message),
        stopped: stop.signal,
        onProblem: ({ code }) => void told.push(code)
      }
    ).then(() => told.push('over'))
    await turns(20)
  }

  async function tell(partitionCount: number, topicId = 'first'): Promise<void> {
    const news = { type: 'known', topic: 't', partitionCount, topicId, isDoubted: false } as const
    for (const { follower } of following) follower.topicNews([news])
    await turns(20)
  }

  /** `0@7 first`: partition, offset, topic id. */
  const newly = (): string[] =>
    asked.splice(0).map(({ topicPartition: { partition }, ...rest }) => {
      const { offset, topicId } = rest as FetchData
      return `${partition}@${offset} ${topicId}`
    })

  it('read what is added from its earliest record, each partition once', async () => {
    await read(1)
    expect(newly()).to.deep.equal(['0@7 first'])
    await tell(1)
    expect(newly()).to.deep.equal([])
    for (let times = 0; times < 2; times++) await tell(3)
    expect(newly()).to.deep.equal(['1@2 first', '2@2 first'])
    await tell(4, 'second')
    expect(newly()).to.deep.equal(['3@2 second'])
    expect([told, following[0]!.isReader]).to.deep.equal([[], true])
  })

  it('read no more than they were told where partitions are named, or where they do not follow', async () => {
    await read(2, { partitions: [1] })
    await read(2, { follow: false, start: 'earliest' })
    expect(following).to.deep.equal([])
  })

  it('leave out with a warning what a successor of the topic does not have, and read it when it is back', async () => {
    await read(2)
    denied.add(1)
    const waiting = asked.find(({ topicPartition }) => topicPartition.partition === 1)!
    newly()
    await tell(1, 'second')
    waiting.requester.reply({ type: 'unknownTopicOrPartition' } as never)
    await time.pass(DENIED_MS)
    expect(told).to.deep.equal(['t/1 does not exist; trying again', 't/1 is gone: t has 1 partition now'])
    denied.delete(1)
    await tell(2, 'second')
    expect(newly()).to.deep.equal(['1@2 second'])
  })

  it('tell of a problem where a partition is missing that the topic should have', async () => {
    denied.add(1)
    await read(2)
    await time.pass(DENIED_MS)
    expect(told).to.deep.equal(['t/1 does not exist; trying again', 'unknownTopic'])
    denied.delete(1)
    await tell(2)
    expect(newly(), 'whoever was told decides').to.deep.equal(['0@7 first'])
  })

  it('are over, and want to know nothing more, when none is left', async () => {
    denied.add(0)
    await read(1)
    await time.pass(DENIED_MS)
    expect([told.at(-1), unfollowed]).to.deep.equal(['over', 1])
    denied.delete(0)
    await tell(2)
    expect(newly()).to.deep.equal([])
  })

  it('begin with nothing once they were stopped', async () => {
    await read(1)
    newly()
    stop.abort()
    expect(unfollowed).to.equal(1)
    await tell(2)
    expect(newly()).to.deep.equal([])
  })
})

const topicOf = (errorCode: number, partitions: readonly number[] = []): TopicMetadata =>
  ({ topic: 'orders', errorCode, partitions: partitions.map(partition => ({ partition })) }) as never

const orders = topicOf(errorCodes.NONE, [0, 1, 2])

describe('what can be read of a topic', () => {
  it('is told by the metadata of Kafka', () => {
    const asked = (metadata?: TopicMetadata) => () =>
      requireTopic('orders', new Map(metadata ? [['orders', metadata]] : []))
    expect(asked(orders)()).to.equal(orders)
    expect(asked()).to.throw('topic orders does not exist').with.property('code', 'unknownTopic')
    expect(asked(topicOf(errorCodes.UNKNOWN_TOPIC_OR_PARTITION))).to.throw('topic orders does not exist')
    expect(asked(topicOf(errorCodes.INVALID_TOPIC_EXCEPTION)))
      .to.throw()
      .with.property('code', 'invalidTopic')
    expect(asked(topicOf(errorCodes.TOPIC_AUTHORIZATION_FAILED)))
      .to.throw('topic orders cannot be read: TOPIC_AUTHORIZATION_FAILED (29): not authorized for the topic')
      .with.property('code', 'kafka')
  })

  it('is all partitions, or those chosen, each once', () => {
    expect(choosePartitions(orders)).to.deep.equal([0, 1, 2])
    expect(choosePartitions(orders, [2, 0, 2])).to.deep.equal([2, 0])
    expect(() => choosePartitions(orders, [1, 3])).to.throw('topic orders has no partition 3; they are 0 to 2')
    expect(() => choosePartitions(topicOf(errorCodes.NONE, [0]), [1])).to.throw('its only one is 0')
  })
})
