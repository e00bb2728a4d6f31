import { expect } from 'chai'
import { OffsetCommitter, type PositionSource } from '../../../src/consumer/group/offset-committer.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { GroupMembership } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { FakeRuntime } from './fake-runtime.js'

const INTERVAL_MS = 500
const RETRY_MS = 100
const member: GroupMembership = { memberId: 'm', generationId: 3, instanceId: null }
const orders = (partition: number) => ({ topic: 'orders', partition })
const at = (offset: number): PositionSource => ({ position: { offset, metadata: `m${offset}` } })

class Stage {
  readonly runtime = new FakeRuntime()
  readonly fenced: [number, GroupMembership][] = []
  membership: GroupMembership | undefined = member
  readonly committer: OffsetCommitter

  constructor(retryBackoffMs = RETRY_MS) {
    this.committer = new OffsetCommitter({
      runtime: this.runtime,
      commitIntervalMs: INTERVAL_MS,
      retryBackoffMs,
      membership: () => this.membership,
      onFenced: (errorCode, who) => this.fenced.push([errorCode, who])
    })
  }

  /** What was sent since: `partition@offset`. */
  sent(): string[] {
    return this.runtime.asked
      .splice(0)
      .map(
        ({ request }) =>
          request as never as { topicPartition: { partition: number }; offsetAndMetadata: { offset: number } }
      )
      .map(({ topicPartition, offsetAndMetadata }) => `${topicPartition.partition}@${offsetAndMetadata.offset}`)
  }

  /** The commits that were sent since, without questions about the topic. */
  commits(): string[] {
    const isCommit = ({ kind }: { kind: string }): boolean => kind === 'commitConsumerOffset'
    const others = this.runtime.asked.filter(asked => !isCommit(asked))
    for (const other of others) this.runtime.asked.splice(this.runtime.asked.indexOf(other), 1)
    return this.sent()
  }

  readonly answer = (result: unknown): void => {
    this.runtime.answers.push({ kind: 'commitConsumerOffset', result })
  }

  flush(): { isOver: boolean } {
    const flushed = { isOver: false }
    this.committer.flush(() => (flushed.isOver = true))
    return flushed
  }
}

describe('the commits of a group', () => {
  it('go out together, the newest of each partition, in the name of the member', () => {
    const { committer, runtime } = new Stage()
    committer.submit(orders(0), at(1))
    committer.submit(orders(0), at(2))
    committer.submit(orders(1), at(7))
    expect(committer.isIdle).to.equal(false)
    runtime.pass(0)
    expect(committer.isIdle).to.equal(true)
    const { onUnanswered: _, ...request } = runtime.asked[0]!.request
    expect(request).to.deep.equal({
      groupId: 'foo',
      topicPartition: orders(0),
      offsetAndMetadata: { offset: 2, metadata: 'm2' },
      rawMetadata: true,
      member,
      timeoutMs: 10_000
    })
    expect(runtime.asked).to.have.length(2)
  })

  it('are an interval apart, and the first after a pause is sent at once', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    committer.submit(orders(0), at(1))
    runtime.pass(0)
    expect(stage.sent()).to.deep.equal(['0@1'])
    committer.submit(orders(0), at(2))
    runtime.pass(INTERVAL_MS - 1)
    expect(stage.sent()).to.deep.equal([])
    committer.submit(orders(0), at(3))
    runtime.pass(1)
    expect(stage.sent()).to.deep.equal(['0@3'])
    runtime.pass(10 * INTERVAL_MS)
    expect(stage.sent()).to.deep.equal([])
    committer.submit(orders(0), at(4))
    runtime.pass(0)
    expect(stage.sent()).to.deep.equal(['0@4'])
  })

  for (const [name, result] of [
    ['has no answer', { type: 'timedOut' }],
    ['meets a failure that may pass', { type: 'failed', errorCode: errorCodes.NOT_COORDINATOR, retriable: true }],
    ['meets a rebalance', { type: 'failed', errorCode: errorCodes.REBALANCE_IN_PROGRESS, retriable: false }]
  ] as const) {
    it(`are made again after a pause when one ${name}, with what is newest then`, () => {
      const stage = new Stage()
      const { committer, runtime } = stage
      stage.answer(result)
      committer.submit(orders(0), at(1))
      runtime.pass(0)
      expect(stage.sent()).to.deep.equal(['0@1'])
      expect(committer.isIdle).to.equal(false)
      runtime.pass(RETRY_MS - 1)
      expect(stage.sent()).to.deep.equal([])
      stage.answer(result)
      runtime.pass(1)
      expect(stage.sent()).to.deep.equal(['0@1'])
      committer.submit(orders(0), at(5))
      runtime.pass(RETRY_MS)
      expect(stage.sent()).to.deep.equal(['0@5'])
      expect([committer.isIdle, stage.fenced]).to.deep.equal([true, []])
      expect(runtime.metrics.of('failed_commits')).to.equal(0)
    })
  }

  for (const code of [errorCodes.ILLEGAL_GENERATION, errorCodes.UNKNOWN_MEMBER_ID, errorCodes.FENCED_INSTANCE_ID]) {
    it(`are kept when the coordinator does not know the member (${code}), which is told`, () => {
      const stage = new Stage()
      const { committer, runtime } = stage
      stage.answer({ type: 'failed', errorCode: code, retriable: false })
      committer.submit(orders(0), at(1))
      stage.runtime.pass(0)
      expect(stage.fenced).to.deep.equal([[code, member]])
      expect(committer.isIdle).to.equal(false)
      runtime.pass(INTERVAL_MS)
      expect(stage.sent()).to.deep.equal(['0@1', '0@1'])
    })
  }

  it('are counted when they are refused, hold nothing up, and are made again five seconds later', () => {
    const stage = new Stage()
    stage.answer({ type: 'failed', errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED, retriable: false })
    stage.committer.submit(orders(0), at(1))
    stage.runtime.pass(0)
    expect([stage.committer.isIdle, stage.fenced]).to.deep.equal([true, []])
    expect(stage.runtime.metrics.of('failed_commits')).to.equal(1)
    expect(stage.sent()).to.deep.equal(['0@1'])
    stage.runtime.pass(4_999)
    expect(stage.sent()).to.deep.equal([])
    stage.runtime.pass(1)
    expect(stage.sent()).to.deep.equal(['0@1'])
    expect(stage.runtime.metrics.of('failed_commits')).to.equal(1)
  })

  const unknown = { type: 'unknownTopicOrPartition' }
  const metadata = (topicId: string, partitions: number[]) => ({
    type: 'success',
    topics: new Map([
      ['orders', { errorCode: 0, topic: 'orders', topicId, partitions: partitions.map(partition => ({ partition })) }]
    ])
  })
  const missing = { type: 'success', topics: new Map([['orders', { errorCode: 3, topic: 'orders', partitions: [] }]]) }

  it('are made again after pauses that grow while a coordinator does not know a partition that exists', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    for (let times = 0; times < 9; times++) stage.answer(unknown)
    committer.submit(orders(0), at(1))
    runtime.pass(0)
    expect(stage.commits()).to.deep.equal(['0@1'])
    expect(committer.isIdle, 'a flush has to wait for it').to.equal(false)
    for (const pauseMs of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
      runtime.pass(pauseMs - 1)
      expect(stage.commits(), `before ${pauseMs}`).to.deep.equal([])
      runtime.pass(1)
      expect(stage.commits()).to.deep.equal(['0@1'])
    }
    expect(runtime.committed, 'nothing else has made it go on').to.equal(undefined)
    runtime.pass(5_000)
    expect(runtime.committed).to.deep.equal({ offset: 1, metadata: 'm1' })
    expect([committer.isIdle, runtime.metrics.of('failed_commits')]).to.deep.equal([true, 0])
  })

  it('of a partition that the coordinator does not know yield to newer ones, and delay no other partition', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    stage.answer(unknown)
    committer.submit(orders(0), at(1))
    runtime.pass(0)
    committer.submit(orders(0), at(4))
    committer.submit(orders(0), at(5))
    committer.submit(orders(1), at(7))
    runtime.pass(RETRY_MS - 1)
    expect(stage.commits()).to.deep.equal(['0@1'])
    runtime.pass(INTERVAL_MS)
    expect(stage.commits().sort()).to.deep.equal(['0@5', '1@7'])
    runtime.pass(60_000)
    expect([stage.commits(), committer.isIdle]).to.deep.equal([[], true])
  })

  it('of a topic that is gone hold no flush up, are counted, and are made again every five seconds until it is dropped', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    for (let times = 0; times < 3; times++) {
      stage.answer(unknown)
      runtime.answers.push({ kind: 'fetchTopicMetadata', result: missing })
    }
    committer.submit(orders(0), at(1))
    runtime.pass(0)
    expect([committer.isIdle, runtime.metrics.of('failed_commits'), runtime.errors.length]).to.deep.equal([true, 1, 1])
    runtime.pass(9_999)
    expect(stage.commits()).to.deep.equal(['0@1', '0@1'])
    runtime.pass(1)
    expect(stage.commits()).to.deep.equal(['0@1'])
    expect(runtime.errors, 'it is said once').to.have.length(1)
    committer.drop(orders(0))
    runtime.pass(60_000)
    expect(stage.commits()).to.deep.equal([])
  })

  it('of a partition that its topic does not have any more hold no flush up either', () => {
    const stage = new Stage()
    stage.answer(unknown)
    stage.runtime.answers.push({ kind: 'fetchTopicMetadata', result: metadata('a', [1]) })
    stage.committer.submit(orders(0), at(1))
    stage.runtime.pass(0)
    expect([stage.committer.isIdle, stage.runtime.metrics.of('failed_commits')]).to.deep.equal([true, 1])
  })

  it('are not made in a topic that was created anew: the offset is of a log that is gone', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    stage.answer(unknown)
    runtime.answers.push({ kind: 'fetchTopicMetadata', result: metadata('b', [0]) })
    committer.submit(orders(0), { position: { offset: 1, metadata: '' }, topicId: 'a' })
    const flushed = stage.flush()
    runtime.pass(60_000)
    expect([stage.commits(), flushed.isOver]).to.deep.equal([['0@1'], true])
    committer.submit(orders(0), { position: { offset: 2, metadata: '' }, topicId: 'b' })
    runtime.pass(0)
    expect(stage.commits(), 'the positions in the new log are').to.deep.equal(['0@2'])
  })

  it('are made again while brokers cannot tell whether the topic is still the same', () => {
    for (const result of [{ type: 'timedOut' }, metadata(undefined as never, [0])]) {
      const stage = new Stage()
      stage.answer(unknown)
      stage.runtime.answers.push({ kind: 'fetchTopicMetadata', result })
      stage.committer.submit(orders(0), { position: { offset: 1, metadata: '' }, topicId: 'a' })
      stage.runtime.pass(0)
      expect(stage.committer.isIdle).to.equal(false)
      stage.runtime.pass(RETRY_MS)
      expect(stage.commits()).to.deep.equal(['0@1', '0@1'])
    }
  })

  it('are made again when a commit in no member’s name took their place', () => {
    const stage = new Stage()
    stage.answer({ type: 'superseded', supersededBy: { offset: 9 } })
    stage.committer.submit(orders(0), at(1))
    const flushed = stage.flush()
    stage.runtime.pass(0)
    expect(flushed.isOver).to.equal(false)
    stage.runtime.pass(RETRY_MS)
    expect([stage.commits(), flushed.isOver]).to.deep.equal([['0@1', '0@1'], true])
  })

  it('take short metadata along after long metadata was refused that has become short meanwhile', () => {
    const { committer, runtime, answer } = new Stage()
    let position = { offset: 1, metadata: 'long and long' }
    committer.submit(orders(0), {
      get position() {
        return position
      }
    })
    answer(kafkaFailure(errorCodes.OFFSET_METADATA_TOO_LARGE))
    runtime.held.add('commitConsumerOffset')
    runtime.pass(0)
    position = { offset: 9, metadata: 'short' }
    runtime.held.clear()
    runtime.pass(2 * INTERVAL_MS)
    expect(runtime.committed).to.deep.equal(position)
  })

  it('give a lock its turn when a commit that got no answer is answered that there is no such partition', () => {
    const { committer, runtime, answer } = new Stage()
    committer.submit(orders(0), { ...at(1), topicId: 'former' })
    runtime.topicId = 'present'
    answer({ type: 'timedOut' })
    runtime.pass(0)
    const lock = committer.lock(orders(0), () => undefined)
    expect(lock.isHeld).to.equal(false)
    answer({ type: 'unknownTopicOrPartition' })
    runtime.pass(RETRY_MS)
    expect(lock.isHeld).to.equal(true)
  })

  for (const code of [errorCodes.OFFSET_METADATA_TOO_LARGE, errorCodes.INVALID_COMMIT_OFFSET_SIZE]) {
    it(`are made without metadata when it is too large for Kafka (${code})`, () => {
      const stage = new Stage()
      stage.answer({ type: 'failed', errorCode: code, retriable: false })
      stage.committer.submit(orders(0), at(1))
      stage.runtime.pass(INTERVAL_MS)
      expect(stage.runtime.committed).to.deep.equal({ offset: 1, metadata: '' })
      expect(stage.runtime.metrics.of('failed_commits')).to.equal(0)
    })
  }

  it('are made again whatever Kafka answers, until they are accepted, with nothing else to trigger it', () => {
    for (let errorCode = -1; errorCode <= 140; errorCode++) {
      if (errorCode === errorCodes.NONE) continue
      const stage = new Stage()
      stage.answer(kafkaFailure(errorCode))
      stage.committer.submit(orders(0), at(1))
      stage.runtime.pass(5_000)
      expect(stage.runtime.committed?.offset, `after code ${errorCode}`).to.equal(1)
    }
  })

  it('wait while the process is no member, and go on when it is one again', () => {
    const stage = new Stage()
    stage.membership = undefined
    stage.committer.submit(orders(0), at(1))
    stage.runtime.pass(10 * INTERVAL_MS)
    expect([stage.sent(), stage.committer.isIdle]).to.deep.equal([[], false])
    stage.membership = member
    stage.committer.resume()
    stage.runtime.pass(0)
    expect([stage.sent(), stage.committer.isIdle]).to.deep.equal([['0@1'], true])
  })

  it('of a partition that others read now are not made, and an answer to one says nothing any more', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    committer.submit(orders(0), at(1))
    committer.submit(orders(1), at(1))
    committer.drop(orders(0))
    runtime.pass(0)
    expect(stage.sent()).to.deep.equal(['1@1'])
    const answers: ((result: never) => void)[] = []
    const held = new OffsetCommitter({
      runtime: Object.assign(Object.create(runtime), {
        clock: runtime.clock,
        after: runtime.after,
        ask: (_: unknown, __: unknown, onResult: (result: never) => void) => answers.push(onResult)
      }),
      commitIntervalMs: INTERVAL_MS,
      retryBackoffMs: RETRY_MS,
      membership: () => member,
      onFenced: () => expect.fail('of a partition that is dropped')
    })
    held.submit(orders(0), at(1))
    runtime.pass(0)
    expect(answers).to.have.length(1)
    held.drop(orders(0))
    held.drop(orders(9))
    expect(held.isIdle, 'its answer has not come').to.equal(false)
    answers[0]!({ type: 'failed', errorCode: errorCodes.ILLEGAL_GENERATION, retriable: false } as never)
    expect(held.isIdle).to.equal(true)
    runtime.pass(10 * INTERVAL_MS)
    expect(answers).to.have.length(1)
  })
})

describe('the lock of the commits of a partition', () => {
  it('waits for a commit that is on its way since before the partition was lost, in the same generation', () => {
    const stage = new Stage()
    stage.runtime.held.add('commitConsumerOffset')
    stage.committer.submit(orders(0), { position: { offset: 1, metadata: '' } })
    stage.runtime.pass(1)
    stage.committer.drop(orders(0))
    const lock = stage.committer.lock(orders(0), () => undefined)
    expect(lock.isHeld).to.equal(false)
    stage.runtime.held.clear()
    stage.runtime.settle()
    expect(lock.isHeld).to.equal(true)
    lock.release()
  })
})

describe('a flush of the commits of a group', () => {
  it('is over at once when there is nothing to commit', () => {
    expect(new Stage().flush().isOver).to.equal(true)
  })

  it('does not wait for the interval, and is over when all is committed', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    committer.submit(orders(0), at(1))
    runtime.pass(0)
    committer.submit(orders(0), at(2))
    const [one, two] = [stage.flush(), stage.flush()]
    expect([one.isOver, two.isOver]).to.deep.equal([false, false])
    runtime.pass(0)
    expect([one.isOver, two.isOver]).to.deep.equal([true, true])
    expect(stage.sent()).to.deep.equal(['0@1', '0@2'])
  })

  it('goes on over failures, until everything is committed or dropped', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    stage.answer({ type: 'timedOut' })
    committer.submit(orders(0), at(1))
    committer.submit(orders(1), at(1))
    const flushed = stage.flush()
    runtime.pass(0)
    expect(flushed.isOver).to.equal(false)
    runtime.pass(RETRY_MS)
    expect(flushed.isOver).to.equal(true)
    expect(stage.sent()).to.deep.equal(['0@1', '1@1', '0@1'])
    stage.membership = undefined
    committer.submit(orders(0), at(2))
    const dropped = stage.flush()
    runtime.pass(0)
    expect(dropped.isOver).to.equal(false)
    committer.drop(orders(0))
    expect(dropped.isOver).to.equal(true)
  })

  it('waits for a commit that is denied while that is new, and not for one that is denied again and again', () => {
    const stage = new Stage()
    const { committer, runtime } = stage
    for (let times = 0; times < 100; times++) stage.answer({ type: 'unknownTopicOrPartition' })
    committer.submit(orders(0), at(1))
    const first = stage.flush()
    runtime.pass(1_000)
    expect(first.isOver, 'the coordinator may know the partition soon').to.equal(false)
    runtime.pass(1_000)
    expect(first.isOver, 'two seconds are enough').to.equal(true)
    runtime.pass(60_000)
    const [before, later] = [stage.commits().length, stage.flush()]
    runtime.pass(0)
    expect([before > 10, stage.commits(), later.isOver]).to.deep.equal([true, ['0@1'], true])
    committer.submit(orders(0), at(2))
    const newer = stage.flush()
    runtime.pass(0)
    expect([stage.commits(), newer.isOver], 'what is newer waits no longer').to.deep.equal([['0@2'], true])
    runtime.answers.length = 0
    runtime.pass(5_000)
    expect(runtime.committed, 'it has gone on being made').to.deep.equal({ offset: 2, metadata: 'm2' })
    stage.answer({ type: 'unknownTopicOrPartition' })
    committer.submit(orders(0), at(3))
    const anew = stage.flush()
    runtime.pass(0)
    expect(anew.isOver, 'what was denied before it was stored does not count').to.equal(false)
    runtime.pass(RETRY_MS)
    expect([anew.isOver, runtime.committed!.offset]).to.deep.equal([true, 3])
  })

  it('waits for a commit that is denied for the first time, however long the pause is', () => {
    const stage = new Stage(3_000)
    stage.answer({ type: 'unknownTopicOrPartition' })
    stage.committer.submit(orders(0), at(1))
    const flushed = stage.flush()
    stage.runtime.pass(2_999)
    expect(flushed.isOver).to.equal(false)
    stage.runtime.pass(1)
    expect([flushed.isOver, stage.runtime.committed!.offset]).to.deep.equal([true, 1])
  })

  it('is never over once the commits are stopped, and nothing is sent any more', () => {
    const stage = new Stage()
    stage.committer.submit(orders(0), at(1))
    const flushed = stage.flush()
    stage.committer.stop()
    stage.runtime.pass(10 * INTERVAL_MS)
    expect([flushed.isOver, stage.sent()]).to.deep.equal([false, []])
  })
})

describe('a commit of a group that got no answer, and may arrive late', () => {
  const MINUTE_MS = 60_000
  let stage: Stage
  let committed: number
  /** A position as that of a partition, which goes on. */
  const moving: PositionSource = {
    get position() {
      return { offset: committed, metadata: '' }
    }
  }
  const onUnansweredOf = ({ runtime }: Stage): (() => void) => runtime.asked.at(-1)!.request['onUnanswered'] as never

  /** A commit whose first attempt is not answered by a broker, and whose next one is. */
  function commitOnce(): void {
    stage.runtime.held.add('commitConsumerOffset')
    stage.committer.submit(orders(0), moving)
    stage.runtime.pass(INTERVAL_MS)
    onUnansweredOf(stage)()
    stage.runtime.held.clear()
    stage.runtime.pass(0)
    stage.runtime.asked.splice(0)
  }

  beforeEach(() => {
    stage = new Stage()
    committed = 3
  })

  it('is followed by the position of a minute later, although a repetition was accepted', () => {
    stage.runtime.held.add('commitConsumerOffset')
    stage.committer.submit(orders(0), moving)
    stage.runtime.pass(0)
    onUnansweredOf(stage)()
    stage.runtime.held.clear()
    stage.runtime.pass(1_000)
    expect(stage.sent()).to.deep.equal(['0@3'])
    committed = 12
    stage.committer.submit(orders(0), moving)
    stage.runtime.pass(1_000)
    expect(stage.sent()).to.deep.equal(['0@12'])
    stage.runtime.committed = { offset: 3, metadata: '' }
    committed = 14
    stage.runtime.pass(MINUTE_MS - 2_001)
    expect(stage.sent()).to.deep.equal([])
    stage.runtime.pass(1)
    expect([stage.sent(), stage.runtime.committed]).to.deep.equal([['0@14'], { offset: 14, metadata: '' }])
    stage.runtime.pass(10 * MINUTE_MS)
    expect([stage.sent(), stage.runtime.timersLeft], 'once').to.deep.equal([[], 0])
  })

  it('is followed so, too, where its time limit has passed', () => {
    stage.answer({ type: 'timedOut' })
    stage.committer.submit(orders(0), moving)
    stage.runtime.pass(RETRY_MS)
    expect(stage.sent()).to.deep.equal(['0@3', '0@3'])
    stage.runtime.pass(MINUTE_MS)
    expect(stage.sent()).to.deep.equal(['0@3'])
  })

  it('holds no flush up meanwhile', () => {
    commitOnce()
    const flushed = stage.flush()
    stage.runtime.pass(0)
    expect([stage.committer.isIdle, flushed.isOver, stage.sent()]).to.deep.equal([true, true, []])
  })

  it('is followed by nothing when the partition was dropped: another member has it, or the group was moved', () => {
    commitOnce()
    stage.committer.drop(orders(0))
    stage.runtime.pass(2 * MINUTE_MS)
    expect(stage.sent()).to.deep.equal([])
    // The same partition comes back, as after a change of offsets.
    commitOnce()
    stage.committer.drop(orders(0))
    committed = 0
    stage.committer.submit(orders(0), moving)
    stage.runtime.pass(2 * MINUTE_MS)
    expect(stage.sent()).to.deep.equal(['0@0'])
  })

  for (const [name, now] of [
    ['generation', { ...member, generationId: 4 }],
    ['member', { ...member, memberId: 'other' }]
  ] as const)
    it(`is followed by nothing in another ${name}, which brokers tell from the former one`, () => {
      commitOnce()
      stage.membership = now
      stage.committer.resume()
      stage.runtime.pass(2 * MINUTE_MS)
      expect([stage.sent(), stage.runtime.timersLeft]).to.deep.equal([[], 0])
    })

  it('is followed by nothing while the process is no member, and later in the same generation', () => {
    commitOnce()
    stage.membership = undefined
    stage.runtime.pass(2 * MINUTE_MS)
    expect(stage.sent()).to.deep.equal([])
    stage.membership = member
    stage.committer.resume()
    stage.runtime.pass(0)
    expect(stage.sent()).to.deep.equal(['0@3'])
  })

  it('is followed only after a transaction that has the partition, by what that has committed', () => {
    commitOnce()
    const lock = stage.committer.lock(orders(0), () => undefined)
    expect(lock.isHeld).to.equal(true)
    stage.runtime.pass(2 * MINUTE_MS)
    expect(stage.sent()).to.deep.equal([])
    committed = 20
    lock.release()
    stage.runtime.pass(0)
    expect(stage.sent()).to.deep.equal(['0@20'])
  })

  it('is followed once in the minute, whatever the number of attempts', () => {
    for (let at = 0; at < 5; at++) {
      commitOnce()
      stage.runtime.pass(10_000)
    }
    stage.runtime.asked.splice(0)
    stage.runtime.pass(2 * MINUTE_MS)
    expect(stage.sent()).to.deep.equal(['0@3'])
  })
})
