import { expect } from 'chai'
import sinon from 'sinon'
import type { ReadStart } from '../../../src/consumer/stream/partition-reader.js'
import { choosePartitions, readTopic, requireTopic } from '../../../src/consumer/stream/topic-readers.js'
import { type FollowSink, followTopic, type ReadSubscription } from '../../../src/consumer/stream/topic-subscription.js'
import type { CastellanError } from '../../../src/core/errors.js'
import type { KafkaRecord } from '../../../src/core/model.js'
import type { TopicMetadata } from '../../../src/kafka/broker-client.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { FetchData, FetchOffset, FollowTopics, RouterMessage } from '../../../src/router/messages/operations.js'
import { fakeBatchOf } from '../../support/fake-batch.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'

/** Longer than a reader that follows asks again for a partition that brokers deny. */
const DENIED_MS = 12_000

const metadataOf = (count: number): TopicMetadata =>
  ({
    topic: 't',
    topicId: 'first',
    errorCode: errorCodes.NONE,
    partitions: Array.from({ length: count }, (_, partition) => ({ partition }))
  }) as never

/** Readers of topic `t`, with a Router whose part the test plays. */
class Stage implements FollowSink {
  /** What the Router was asked and has not answered. */
  readonly asked: (FetchData | FetchOffset)[] = []
  readonly told: string[] = []
  following: FollowTopics[] = []
  topicId: string | undefined = 'first'
  /** Records that may still be taken. */
  free = Number.POSITIVE_INFINITY
  readonly #stop = new AbortController()
  #subscription: ReadSubscription | undefined
  #positions: ReadonlyMap<number, number> = new Map()
  readonly #router = {
    path: 'router',
    tell: (message: RouterMessage): void => {
      if (message.type === 'followTopics') this.following.push(message)
      else if (message.type === 'unfollowTopics') this.following = []
      else if (message.type === 'fetchTopicMetadata')
        message.requester.reply({
          type: 'success',
          topics: new Map([['t', { ...metadataOf(9), topicId: this.topicId }]])
        } as never)
      else this.asked.push(message as FetchData)
    },
    stop: () => undefined
  }

  /** Reads partitions of `count` ones; batches are told as `0: 4-9 before 10`. */
  async read(start: ReadStart, { follow = false, count = 1, partitions = undefined as number[] | undefined } = {}) {
    void readTopic(
      { metadata: metadataOf(count), partitions, start, follow },
      {
        router: this.#router,
        requestTimeoutMs: 1_000,
        stopped: this.#stop.signal,
        write: async ({ partition }, { offset, maxOffset, nextOffset }, end) => {
          this.told.push(`${partition}: ${offset}-${maxOffset}${follow ? '' : ` before ${end}`}`)
          return this.free > 0 ? nextOffset : undefined
        },
        warn: message => this.warn(message),
        onRetry: message => this.warn(message),
        onProblem: problem => this.ended(problem)
      }
    ).then(() => this.told.push('over'))
    await turns(20)
  }

  async follow(positions: readonly (readonly [number, number])[], maxPartitions?: number): Promise<void> {
    const metadata = metadataOf(Math.max(...positions.map(([partition]) => partition)) + 1)
    const found = new Map(positions.map(([partition, offset]) => [partition, { offset }]))
    this.#subscription = followTopic({
      router: this.#router,
      metadata,
      positions: found,
      maxPartitions,
      sink: this
    })
    await turns(6)
  }

  begins(positions: ReadonlyMap<number, number>): void {
    this.#positions = positions
  }
  get isFull(): boolean {
    return this.free <= 0
  }
  take(partition: number, { offset }: KafkaRecord): void {
    this.free--
    this.told.push(`${partition}/${offset} then ${this.#positions.get(partition)}`)
  }
  flush(): void {}
  warn(text: string): void {
    this.told.push(text)
  }
  ended({ code, message }: CastellanError): void {
    this.told.push(`${code}: ${message}`)
  }

  newly(): string[] {
    return this.told.splice(0)
  }

  /** Open questions: `0@5`, `0@earliest`; of another topic than the first one `0@5 second`. */
  get questions(): string[] {
    return this.asked.map(question => {
      const { partition } = question.topicPartition
      if (question.type !== 'fetchData') return `${partition}@${JSON.stringify(question.offsetType).replace(/"/g, '')}`
      return `${partition}@${question.offset}${question.topicId === 'first' ? '' : ` ${question.topicId}`}`
    })
  }

  async answer(...results: object[]): Promise<void> {
    for (const result of results) {
      const question = this.asked.shift()!
      const echo = question.type === 'fetchOffset' ? { offsetType: question.offsetType } : { offset: question.offset }
      question.requester.reply({ ...echo, ...result } as never)
      await turns(6)
    }
  }

  async counts(partitionCount: number, topicId = 'first'): Promise<void> {
    const news = { type: 'known', topic: 't', partitionCount, topicId, isDoubted: false } as const
    for (const { follower } of this.following) follower.topicNews([news])
    await turns(20)
  }

  async resume(): Promise<void> {
    this.#subscription!.resume()
    await turns(6)
  }

  stop(): void {
    this.#subscription?.stop()
    this.#stop.abort()
  }
}

const at = (offset: number) => ({ type: 'success', offset })
const batch = (from: number, to: number) => ({ type: 'success', batch: fakeBatchOf(from, to - from + 1, 10) })
const OUT_OF_RANGE = { type: 'offsetOutOfRange' }
const NOTHING = { type: 'noMessages' }
const UNKNOWN = { type: 'unknownTopicOrPartition' }
const AWAY = { type: 'failed', code: 'noLeader', message: 'away', retriable: true }

let time: FakeTime
let stage: Stage

/** Gives each test of a suite a time and readers of its own. */
function inFakeTime(): void {
  beforeEach(() => {
    time = new FakeTime()
    stage = new Stage()
  })
  afterEach(() => {
    stage.stop()
    time.restore()
  })
}

describe('readers of a topic', () => {
  inFakeTime()

  const starts: readonly [
    start: ReadStart,
    answers: object[],
    asked: string[],
    questions: string[],
    told?: string[]
  ][] = [
    ['earliest', [at(9)], ['0@latest'], ['0@earliest']],
    ['earliest', [at(9), at(3)], ['0@latest'], ['0@3']],
    [{ offset: 7 }, [at(100)], ['0@latest'], ['0@7']],
    [{ timestampMs: 5 }, [at(100)], ['0@latest'], ['0@{timestampMs:5}']],
    [{ timestampMs: 5 }, [at(100), at(40)], ['0@latest'], ['0@40']],
    [{ last: 10 }, [at(100), at(0)], ['0@latest'], ['0@90']],
    [{ last: 10 }, [at(100), at(95)], ['0@latest'], ['0@95']],
    [{ offset: 0 }, [at(0)], ['0@latest'], [], ['over']],
    ['latest', [at(8)], ['0@latest'], [], ['over']],
    [{ offset: 6 }, [at(6)], ['0@latest'], [], ['over']]
  ]
  for (const [start, answers, asked, questions, told = []] of starts)
    it(`that begin at ${JSON.stringify(start)} ask for ${questions.join() || 'nothing'} after ${answers.length} answers`, async () => {
      await stage.read(start)
      expect(stage.questions).to.deep.equal(asked)
      await stage.answer(...answers)
      expect([stage.questions, stage.newly()]).to.deep.equal([questions, told])
    })

  it('stop at the end as it was at the beginning', async () => {
    await stage.read({ offset: 0 })
    await stage.answer(at(5), batch(0, 6))
    expect(stage.newly()).to.deep.equal(['0: 0-6 before 5', 'over'])
  })

  it('stop when the output has enough', async () => {
    stage.free = 0
    await stage.read({ offset: 0 }, { follow: true })
    await stage.answer(at(5), batch(0, 1))
    expect(stage.newly()).to.deep.equal(['0: 0-1', 'over'])
  })

  it('tell a caller that begins outside of the log so, with the end', async () => {
    const text = (offset: number, end: number): string =>
      `invalidRequest: offset ${offset} of t/0 is out of range (the end is ${end}); read from earliest or latest instead`
    await stage.read({ offset: 99 })
    await stage.answer(at(6))
    expect(stage.newly()).to.deep.equal([text(99, 6), 'over'])
    await stage.read({ offset: 2 })
    await stage.answer(at(9), OUT_OF_RANGE, at(5), at(9))
    expect(stage.newly()).to.deep.equal([text(2, 9), 'over'])
  })

  it('say what was deleted, damaged or lost, and go on', async () => {
    await stage.follow([[0, 3]])
    await stage.answer(OUT_OF_RANGE, at(8))
    expect(stage.newly()).to.deep.equal(['records 3 to 7 of t/0 were deleted before they were read'])
    await stage.answer({ type: 'corruptMessage', nextOffset: 10 })
    expect(stage.newly()).to.deep.equal(['records 8 to 9 of t/0 are damaged and were skipped'])
    await stage.answer(OUT_OF_RANGE, at(0), at(4))
    expect(stage.newly()).to.deep.equal(['the log of t/0 ends at 4, before 10, and is read from its end'])
    expect(stage.questions).to.deep.equal(['0@4'])
  })

  it('read a topic that is created anew from its beginning, and fail when the end of the former one was to be reached', async () => {
    stage.topicId = 'second'
    await stage.follow([[0, 3]])
    await stage.answer(OUT_OF_RANGE, at(1))
    expect(stage.newly()).to.deep.equal(['t/0 was created anew, and is read from its beginning'])
    expect(stage.questions).to.deep.equal(['0@1 second'])
    stage.asked.length = 0
    await stage.read('earliest')
    await stage.answer(at(9), at(2), OUT_OF_RANGE, at(0))
    expect(stage.newly()).to.deep.equal(['kafka: t/0 was deleted and created anew while it was read', 'over'])
  })

  it('ask again while brokers do not tell which topic it is', async () => {
    stage.topicId = undefined
    await stage.read('earliest', { follow: true })
    await stage.answer(at(9), at(2), OUT_OF_RANGE)
    expect(stage.newly()).to.deep.equal(['t/0 does not exist; trying again'])
    await time.pass(500)
    expect(stage.questions).to.deep.equal(['0@2'])
  })

  it('wait for a high watermark that is behind the end of the start, and fail when it stays there', async () => {
    const text = 't/0 ends at offset 3 now, and ended at 9 when reading began'
    await stage.read({ offset: 0 })
    await stage.answer(at(9), batch(0, 2), NOTHING)
    await time.pass(500)
    expect(stage.newly()).to.deep.equal(['0: 0-2 before 9', `${text}; trying again`])
    await stage.answer(batch(3, 8))
    expect(stage.newly()).to.deep.equal(['0: 3-8 before 9', 'over'])
    await stage.read({ offset: 3 })
    await stage.answer(at(9))
    for (let i = 0; i < 20; i++) {
      await stage.answer(NOTHING)
      await time.pass(500)
    }
    expect(stage.newly()).to.deep.equal([`${text}; trying again`, `kafka: ${text}`, 'over'])
  })

  for (const [follow, told] of [
    [false, ['t/0: away; trying again', 'noLeader: t/0: away', 'over']],
    [true, ['t/0: away; trying again']]
  ] as const)
    it(`try again what may pass, say so once, and ${follow ? 'do not give up where they follow' : 'give up in the end'}`, async () => {
      await stage.read({ offset: 0 }, { follow })
      await stage.answer(at(5))
      for (let i = 0; i < 20; i++) {
        await stage.answer(AWAY)
        await time.pass(500)
      }
      expect([stage.newly(), stage.questions]).to.deep.equal([told, follow ? ['0@0'] : []])
    })

  it('give up at once what cannot pass', async () => {
    await stage.read({ offset: 0 }, { follow: true })
    await stage.answer(at(5), { type: 'failed', code: 'notAuthorized', message: 'no', retriable: false })
    await stage.read({ offset: 0 })
    await stage.answer(at(5), UNKNOWN)
    expect(stage.newly()).to.deep.equal(['notAuthorized: t/0: no', 'over', 'unknownTopic: t/0 does not exist', 'over'])
  })

  it('end when the Router has stopped, also where they follow, and leave no timer behind', async () => {
    await stage.read({ offset: 0 }, { follow: true })
    const stopped = { type: 'failed', code: 'shuttingDown', message: 'the router has stopped', retriable: true }
    await stage.answer(at(5), stopped)
    expect(stage.newly()).to.deep.equal(['shuttingDown: t/0: the router has stopped', 'over'])
    expect([stage.questions, time.timers]).to.deep.equal([[], 0])
  })

  it('give a topic that they follow ten seconds to be created anew', async () => {
    await stage.read({ offset: 0 }, { follow: true })
    await stage.answer(at(5))
    for (let i = 0; i < 20; i++) {
      expect(stage.questions).to.deep.equal(['0@0'])
      await stage.answer(UNKNOWN)
      await time.pass(500)
    }
    expect(stage.newly()).to.deep.equal([
      't/0 does not exist; trying again',
      'unknownTopic: t/0 does not exist',
      'over'
    ])
    expect(stage.following, 'nothing more is asked of the Router').to.deep.equal([])
  })

  it('read what is added from its earliest record, each partition once', async () => {
    await stage.read('latest', { follow: true })
    await stage.answer(at(7))
    await stage.counts(1)
    expect(stage.questions).to.deep.equal(['0@7'])
    for (let times = 0; times < 2; times++) await stage.counts(3, 'second')
    expect(stage.questions).to.deep.equal(['0@7', '1@latest', '2@latest'])
    stage.asked.shift()
    await stage.answer(at(7), at(7), at(2), at(0))
    expect(stage.questions).to.deep.equal(['1@2 second', '2@0 second'])
    expect(stage.following[0]!.isReader).to.equal(true)
  })

  it('read no more than they were told where partitions are named, or where they do not follow', async () => {
    await stage.read('latest', { follow: true, count: 2, partitions: [1] })
    await stage.read('earliest', { count: 2 })
    await stage.follow([[0, 5]])
    expect(stage.following).to.deep.equal([])
  })

  for (const count of [1, 2])
    it(`${count === 1 ? 'leave out with a warning what a successor of the topic does not have, and read it when it is back' : 'tell of a problem where a partition is missing that the topic should have'}`, async () => {
      await stage.follow(
        [
          [0, 5],
          [1, 9]
        ],
        3
      )
      await stage.counts(count, 'second')
      stage.asked.shift()
      for (let i = 0; i < DENIED_MS / 500; i++) {
        if (stage.asked.length > 0) await stage.answer(UNKNOWN)
        await time.pass(500)
      }
      if (count === 2) expect(stage.newly()).to.deep.equal(['unknownTopic: t/1 does not exist'])
      else {
        expect(stage.newly()).to.deep.equal(['t/1 is gone: t has 1 partition now'])
        await stage.counts(2, 'second')
        expect(stage.questions).to.deep.equal(['1@latest'])
      }
    })
})

describe('a subscription to a topic', () => {
  inFakeTime()

  it('gives records with the offset behind each, and asks for the next ones', async () => {
    await stage.follow([
      [0, 5],
      [2, 0]
    ])
    expect(stage.questions).to.deep.equal(['0@5', '2@0'])
    await stage.answer(batch(4, 6))
    expect(stage.newly()).to.deep.equal(['0/5 then 6', '0/6 then 7'])
    expect(stage.questions).to.deep.equal(['2@0', '0@7'])
  })

  it('gives nothing to a sink without capacity, holds no batch, and gives the rest once it has capacity', async () => {
    await stage.follow([
      [0, 0],
      [1, 0]
    ])
    stage.free = 2
    await stage.answer(batch(0, 3), batch(0, 3))
    expect(stage.newly()).to.deep.equal(['0/0 then 1', '0/1 then 2'])
    expect(stage.questions).to.deep.equal([])
    stage.free = 3
    await stage.resume()
    expect(stage.questions).to.deep.equal(['0@2', '1@0'])
    await stage.answer(batch(0, 3))
    expect(stage.newly()).to.deep.equal(['0/2 then 3', '0/3 then 4'])
  })

  it('gives a record that keeps no large batch, where its sink keeps it', async () => {
    const memory = Buffer.alloc(2_000_000)
    const large = fakeBatchOf(0, 1, 10)
    Object.assign(large.at(0), { value: memory.subarray(0, 1_000) })
    const taken = sinon.spy(stage, 'take')
    await stage.follow([[0, 0]])
    await stage.answer({ type: 'success', batch: large })
    const { value } = taken.firstCall.args[1]
    expect([value, value!.buffer === memory.buffer]).to.deep.equal([Buffer.alloc(1_000), false])
  })

  it('follows what is added, up to a number, and tells of the rest once', async () => {
    await stage.follow([[0, 5]], 3)
    await stage.counts(2)
    for (let times = 0; times < 2; times++) await stage.counts(5)
    expect(stage.questions).to.deep.equal(['0@5', '1@latest', '2@latest'])
    const text = 't has 5 partitions now, and 3 may be followed: those from 3 on are not read'
    expect(stage.newly()).to.deep.equal([text])
    stage.stop()
    expect(stage.following).to.deep.equal([])
  })

  it('asks again when nothing came, without a busy loop and without a word', async () => {
    await stage.follow([[0, 3]])
    await stage.answer(NOTHING)
    expect(stage.questions).to.deep.equal([])
    await time.pass(25)
    await stage.answer({ type: 'timedOut' })
    await time.pass(500)
    expect([stage.questions, stage.newly()]).to.deep.equal([['0@3'], []])
  })

  it('ends once, whatever is answered then', async () => {
    await stage.follow([
      [0, 3],
      [1, 3]
    ])
    const refused = { type: 'failed', code: 'notAuthorized', retriable: false, message: 'no' }
    await stage.answer(refused, refused)
    expect(stage.newly()).to.deep.equal(['notAuthorized: t/0: no'])
  })

  it('says and asks nothing more once it is stopped', async () => {
    await stage.follow(
      [
        [0, 3],
        [1, 3]
      ],
      2
    )
    await stage.answer(NOTHING)
    stage.stop()
    await stage.answer(batch(3, 3))
    await stage.counts(3)
    await time.pass(1_000)
    expect([stage.newly(), stage.questions]).to.deep.equal([[], []])
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
      .with.property('code', 'notAuthorized')
    expect(asked(topicOf(errorCodes.LEADER_NOT_AVAILABLE)))
      .to.throw('topic orders cannot be read: LEADER_NOT_AVAILABLE (5)')
      .that.includes({ code: 'kafka', errorCode: errorCodes.LEADER_NOT_AVAILABLE, retriable: true })
  })

  it('is all partitions, or those chosen, each once', () => {
    expect(choosePartitions(orders)).to.deep.equal([0, 1, 2])
    expect(choosePartitions(orders, [2, 0, 2])).to.deep.equal([2, 0])
    expect(() => choosePartitions(orders, [1, 3])).to.throw('topic orders has no partition 3; they are 0 to 2')
    expect(() => choosePartitions(topicOf(errorCodes.NONE, [0]), [1])).to.throw('its only one is 0')
  })
})
