import { expect } from 'chai'
import { OffsetCommitter, type PositionSource } from '../../../src/consumer/group/offset-committer.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { GroupMembership } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { GroupWorld } from './fake-runtime.js'

const INTERVAL_MS = 500
const RETRY_MS = 100
const member: GroupMembership = { memberId: 'm', generationId: 3, instanceId: null }
const orders = (partition: number) => ({ topic: 'orders', partition })
const at = (offset: number): PositionSource => ({ position: { offset, metadata: `m${offset}` } })

class Harness {
  readonly world = new GroupWorld()
  readonly fenced: [number, GroupMembership][] = []
  membership: GroupMembership | undefined = member
  readonly committer: OffsetCommitter

  constructor(retryBackoffMs = RETRY_MS) {
    this.committer = new OffsetCommitter({
      runtime: this.world,
      commitIntervalMs: INTERVAL_MS,
      retryBackoffMs,
      membership: () => this.membership,
      onFenced: (errorCode, who) => this.fenced.push([errorCode, who])
    })
  }

  /** What was sent since: `partition@offset`. */
  sent(): string[] {
    return this.world.asked
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
    const others = this.world.asked.filter(asked => !isCommit(asked))
    for (const other of others) this.world.asked.splice(this.world.asked.indexOf(other), 1)
    return this.sent()
  }

  answer(result: unknown): void {
    this.world.answers.push({ kind: 'commitConsumerOffset', result })
  }

  flush(): { isOver: boolean } {
    const flushed = { isOver: false }
    this.committer.flush(() => (flushed.isOver = true))
    return flushed
  }
}

describe('the commits of a group', () => {
  it('go out together, the newest of each partition, in the name of the member', () => {
    const { committer, world } = new Harness()
    committer.submit(orders(0), at(1))
    committer.submit(orders(0), at(2))
    committer.submit(orders(1), at(7))
    expect(committer.isIdle).to.equal(false)
    world.pass(0)
    expect(committer.isIdle).to.equal(true)
    expect(world.asked[0]!.request).to.deep.equal({
      groupId: 'foo',
      topicPartition: orders(0),
      offsetAndMetadata: { offset: 2, metadata: 'm2' },
      rawMetadata: true,
      member,
      timeoutMs: 10_000
    })
    expect(world.asked).to.have.length(2)
  })

  it('are an interval apart, and the first after a pause is sent at once', () => {
    const harness = new Harness()
    const { committer, world } = harness
    committer.submit(orders(0), at(1))
    world.pass(0)
    expect(harness.sent()).to.deep.equal(['0@1'])
    committer.submit(orders(0), at(2))
    world.pass(INTERVAL_MS - 1)
    expect(harness.sent()).to.deep.equal([])
    committer.submit(orders(0), at(3))
    world.pass(1)
    expect(harness.sent()).to.deep.equal(['0@3'])
    world.pass(10 * INTERVAL_MS)
    expect(harness.sent()).to.deep.equal([])
    committer.submit(orders(0), at(4))
    world.pass(0)
    expect(harness.sent()).to.deep.equal(['0@4'])
  })

  for (const [name, result] of [
    ['has no answer', { type: 'timedOut' }],
    ['meets a failure that may pass', { type: 'failed', errorCode: errorCodes.NOT_COORDINATOR, retriable: true }],
    ['meets a rebalance', { type: 'failed', errorCode: errorCodes.REBALANCE_IN_PROGRESS, retriable: false }]
  ] as const) {
    it(`are made again after a pause when one ${name}, with what is newest then`, () => {
      const harness = new Harness()
      const { committer, world } = harness
      harness.answer(result)
      committer.submit(orders(0), at(1))
      world.pass(0)
      expect(harness.sent()).to.deep.equal(['0@1'])
      expect(committer.isIdle).to.equal(false)
      world.pass(RETRY_MS - 1)
      expect(harness.sent()).to.deep.equal([])
      harness.answer(result)
      world.pass(1)
      expect(harness.sent()).to.deep.equal(['0@1'])
      committer.submit(orders(0), at(5))
      world.pass(RETRY_MS)
      expect(harness.sent()).to.deep.equal(['0@5'])
      expect([committer.isIdle, harness.fenced]).to.deep.equal([true, []])
      expect(world.metrics.of('failed_commits')).to.equal(0)
    })
  }

  for (const code of [errorCodes.ILLEGAL_GENERATION, errorCodes.UNKNOWN_MEMBER_ID, errorCodes.FENCED_INSTANCE_ID]) {
    it(`are kept when the coordinator does not know the member (${code}), which is told`, () => {
      const harness = new Harness()
      const { committer, world } = harness
      harness.answer({ type: 'failed', errorCode: code, retriable: false })
      committer.submit(orders(0), at(1))
      harness.world.pass(0)
      expect(harness.fenced).to.deep.equal([[code, member]])
      expect(committer.isIdle).to.equal(false)
      world.pass(INTERVAL_MS)
      expect(harness.sent()).to.deep.equal(['0@1', '0@1'])
    })
  }

  it('are counted when they are refused, hold nothing up, and are made again five seconds later', () => {
    const harness = new Harness()
    harness.answer({ type: 'failed', errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED, retriable: false })
    harness.committer.submit(orders(0), at(1))
    harness.world.pass(0)
    expect([harness.committer.isIdle, harness.fenced]).to.deep.equal([true, []])
    expect(harness.world.metrics.of('failed_commits')).to.equal(1)
    expect(harness.sent()).to.deep.equal(['0@1'])
    harness.world.pass(4_999)
    expect(harness.sent()).to.deep.equal([])
    harness.world.pass(1)
    expect(harness.sent()).to.deep.equal(['0@1'])
    expect(harness.world.metrics.of('failed_commits')).to.equal(1)
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
    const harness = new Harness()
    const { committer, world } = harness
    for (let times = 0; times < 9; times++) harness.answer(unknown)
    committer.submit(orders(0), at(1))
    world.pass(0)
    expect(harness.commits()).to.deep.equal(['0@1'])
    expect(committer.isIdle, 'a flush has to wait for it').to.equal(false)
    for (const pauseMs of [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]) {
      world.pass(pauseMs - 1)
      expect(harness.commits(), `before ${pauseMs}`).to.deep.equal([])
      world.pass(1)
      expect(harness.commits()).to.deep.equal(['0@1'])
    }
    expect(world.committed, 'nothing else has made it go on').to.equal(undefined)
    world.pass(5_000)
    expect(world.committed).to.deep.equal({ offset: 1, metadata: 'm1' })
    expect([committer.isIdle, world.metrics.of('failed_commits')]).to.deep.equal([true, 0])
  })

  it('of a partition that the coordinator does not know yield to newer ones, and delay no other partition', () => {
    const harness = new Harness()
    const { committer, world } = harness
    harness.answer(unknown)
    committer.submit(orders(0), at(1))
    world.pass(0)
    committer.submit(orders(0), at(4))
    committer.submit(orders(0), at(5))
    committer.submit(orders(1), at(7))
    world.pass(RETRY_MS - 1)
    expect(harness.commits()).to.deep.equal(['0@1'])
    world.pass(INTERVAL_MS)
    expect(harness.commits().sort()).to.deep.equal(['0@5', '1@7'])
    world.pass(60_000)
    expect([harness.commits(), committer.isIdle]).to.deep.equal([[], true])
  })

  it('of a topic that is gone hold no flush up, are counted, and are made again every five seconds until it is dropped', () => {
    const harness = new Harness()
    const { committer, world } = harness
    for (let times = 0; times < 3; times++) {
      harness.answer(unknown)
      world.answers.push({ kind: 'fetchTopicMetadata', result: missing })
    }
    committer.submit(orders(0), at(1))
    world.pass(0)
    expect([committer.isIdle, world.metrics.of('failed_commits'), world.errors.length]).to.deep.equal([true, 1, 1])
    world.pass(9_999)
    expect(harness.commits()).to.deep.equal(['0@1', '0@1'])
    world.pass(1)
    expect(harness.commits()).to.deep.equal(['0@1'])
    expect(world.errors, 'it is said once').to.have.length(1)
    committer.drop(orders(0))
    world.pass(60_000)
    expect(harness.commits()).to.deep.equal([])
  })

  it('of a partition that its topic does not have any more are such, too', () => {
    const harness = new Harness()
    harness.answer(unknown)
    harness.world.answers.push({ kind: 'fetchTopicMetadata', result: metadata('a', [1]) })
    harness.committer.submit(orders(0), at(1))
    harness.world.pass(0)
    expect([harness.committer.isIdle, harness.world.metrics.of('failed_commits')]).to.deep.equal([true, 1])
  })

  it('are not made in a topic that was created anew: the offset is of a log that is gone', () => {
    const harness = new Harness()
    const { committer, world } = harness
    harness.answer(unknown)
    world.answers.push({ kind: 'fetchTopicMetadata', result: metadata('b', [0]) })
    committer.submit(orders(0), { position: { offset: 1, metadata: '' }, topicId: 'a' })
    const flushed = harness.flush()
    world.pass(60_000)
    expect([harness.commits(), flushed.isOver]).to.deep.equal([['0@1'], true])
    committer.submit(orders(0), { position: { offset: 2, metadata: '' }, topicId: 'b' })
    world.pass(0)
    expect(harness.commits(), 'the positions in the new log are').to.deep.equal(['0@2'])
  })

  it('are made again while brokers cannot tell whether the topic is still the same', () => {
    for (const result of [{ type: 'timedOut' }, metadata(undefined as never, [0])]) {
      const harness = new Harness()
      harness.answer(unknown)
      harness.world.answers.push({ kind: 'fetchTopicMetadata', result })
      harness.committer.submit(orders(0), { position: { offset: 1, metadata: '' }, topicId: 'a' })
      harness.world.pass(0)
      expect(harness.committer.isIdle).to.equal(false)
      harness.world.pass(RETRY_MS)
      expect(harness.commits()).to.deep.equal(['0@1', '0@1'])
    }
  })

  it('are made again when a commit in no member’s name took their place', () => {
    const harness = new Harness()
    harness.answer({ type: 'superseded', supersededBy: { offset: 9 } })
    harness.committer.submit(orders(0), at(1))
    const flushed = harness.flush()
    harness.world.pass(0)
    expect(flushed.isOver).to.equal(false)
    harness.world.pass(RETRY_MS)
    expect([harness.commits(), flushed.isOver]).to.deep.equal([['0@1', '0@1'], true])
  })

  for (const code of [errorCodes.OFFSET_METADATA_TOO_LARGE, errorCodes.INVALID_COMMIT_OFFSET_SIZE]) {
    it(`are made without metadata when it is too large for Kafka (${code})`, () => {
      const harness = new Harness()
      harness.answer({ type: 'failed', errorCode: code, retriable: false })
      harness.committer.submit(orders(0), at(1))
      harness.world.pass(INTERVAL_MS)
      expect(harness.world.committed).to.deep.equal({ offset: 1, metadata: '' })
      expect(harness.world.metrics.of('failed_commits')).to.equal(0)
    })
  }

  it('are made again whatever Kafka answers, until they are accepted, with nothing else to trigger it', () => {
    for (let errorCode = -1; errorCode <= 140; errorCode++) {
      if (errorCode === errorCodes.NONE) continue
      const harness = new Harness()
      harness.answer(kafkaFailure(errorCode))
      harness.committer.submit(orders(0), at(1))
      harness.world.pass(5_000)
      expect(harness.world.committed?.offset, `after code ${errorCode}`).to.equal(1)
    }
  })

  it('wait while the process is no member, and go on when it is one again', () => {
    const harness = new Harness()
    harness.membership = undefined
    harness.committer.submit(orders(0), at(1))
    harness.world.pass(10 * INTERVAL_MS)
    expect([harness.sent(), harness.committer.isIdle]).to.deep.equal([[], false])
    harness.membership = member
    harness.committer.resume()
    harness.world.pass(0)
    expect([harness.sent(), harness.committer.isIdle]).to.deep.equal([['0@1'], true])
  })

  it('of a partition that others read now are not made, and an answer to one says nothing any more', () => {
    const harness = new Harness()
    const { committer, world } = harness
    committer.submit(orders(0), at(1))
    committer.submit(orders(1), at(1))
    committer.drop(orders(0))
    world.pass(0)
    expect(harness.sent()).to.deep.equal(['1@1'])
    const answers: ((result: never) => void)[] = []
    const held = new OffsetCommitter({
      runtime: Object.assign(Object.create(world), {
        clock: world.clock,
        after: world.after,
        ask: (_: unknown, __: unknown, onResult: (result: never) => void) => answers.push(onResult)
      }),
      commitIntervalMs: INTERVAL_MS,
      retryBackoffMs: RETRY_MS,
      membership: () => member,
      onFenced: () => expect.fail('of a partition that is dropped')
    })
    held.submit(orders(0), at(1))
    world.pass(0)
    expect(answers).to.have.length(1)
    held.drop(orders(0))
    held.drop(orders(9))
    expect(held.isIdle, 'its answer has not come').to.equal(false)
    answers[0]!({ type: 'failed', errorCode: errorCodes.ILLEGAL_GENERATION, retriable: false } as never)
    expect(held.isIdle).to.equal(true)
    world.pass(10 * INTERVAL_MS)
    expect(answers).to.have.length(1)
  })
})

describe('a flush of the commits of a group', () => {
  it('is over at once when there is nothing to commit', () => {
    expect(new Harness().flush().isOver).to.equal(true)
  })

  it('does not wait for the interval, and is over when all is committed', () => {
    const harness = new Harness()
    const { committer, world } = harness
    committer.submit(orders(0), at(1))
    world.pass(0)
    committer.submit(orders(0), at(2))
    const [one, two] = [harness.flush(), harness.flush()]
    expect([one.isOver, two.isOver]).to.deep.equal([false, false])
    world.pass(0)
    expect([one.isOver, two.isOver]).to.deep.equal([true, true])
    expect(harness.sent()).to.deep.equal(['0@1', '0@2'])
  })

  it('goes on over failures, until everything is committed or dropped', () => {
    const harness = new Harness()
    const { committer, world } = harness
    harness.answer({ type: 'timedOut' })
    committer.submit(orders(0), at(1))
    committer.submit(orders(1), at(1))
    const flushed = harness.flush()
    world.pass(0)
    expect(flushed.isOver).to.equal(false)
    world.pass(RETRY_MS)
    expect(flushed.isOver).to.equal(true)
    expect(harness.sent()).to.deep.equal(['0@1', '1@1', '0@1'])
    harness.membership = undefined
    committer.submit(orders(0), at(2))
    const dropped = harness.flush()
    world.pass(0)
    expect(dropped.isOver).to.equal(false)
    committer.drop(orders(0))
    expect(dropped.isOver).to.equal(true)
  })

  it('waits for a commit that is denied while that is new, and not for one that is denied again and again', () => {
    const harness = new Harness()
    const { committer, world } = harness
    for (let times = 0; times < 100; times++) harness.answer({ type: 'unknownTopicOrPartition' })
    committer.submit(orders(0), at(1))
    const first = harness.flush()
    world.pass(1_000)
    expect(first.isOver, 'the coordinator may know the partition soon').to.equal(false)
    world.pass(1_000)
    expect(first.isOver, 'two seconds are enough').to.equal(true)
    world.pass(60_000)
    const [before, later] = [harness.commits().length, harness.flush()]
    world.pass(0)
    expect([before > 10, harness.commits(), later.isOver]).to.deep.equal([true, ['0@1'], true])
    committer.submit(orders(0), at(2))
    const newer = harness.flush()
    world.pass(0)
    expect([harness.commits(), newer.isOver], 'what is newer waits no longer').to.deep.equal([['0@2'], true])
    world.answers.length = 0
    world.pass(5_000)
    expect(world.committed, 'it has gone on being made').to.deep.equal({ offset: 2, metadata: 'm2' })
    harness.answer({ type: 'unknownTopicOrPartition' })
    committer.submit(orders(0), at(3))
    const anew = harness.flush()
    world.pass(0)
    expect(anew.isOver, 'what was denied before it was stored does not count').to.equal(false)
    world.pass(RETRY_MS)
    expect([anew.isOver, world.committed!.offset]).to.deep.equal([true, 3])
  })

  it('waits for a commit that is denied for the first time, however long the pause is', () => {
    const harness = new Harness(3_000)
    harness.answer({ type: 'unknownTopicOrPartition' })
    harness.committer.submit(orders(0), at(1))
    const flushed = harness.flush()
    harness.world.pass(2_999)
    expect(flushed.isOver).to.equal(false)
    harness.world.pass(1)
    expect([flushed.isOver, harness.world.committed!.offset]).to.deep.equal([true, 1])
  })

  it('is never over once the commits are stopped, and nothing is sent any more', () => {
    const harness = new Harness()
    harness.committer.submit(orders(0), at(1))
    const flushed = harness.flush()
    harness.committer.stop()
    harness.world.pass(10 * INTERVAL_MS)
    expect([flushed.isOver, harness.sent()]).to.deep.equal([false, []])
  })
})
