import { setImmediate as nextTick } from 'node:timers/promises'
import { expect } from 'chai'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { type ConsumerSettings, defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { ConsumerInstance } from '../../../src/consumer/instance/consumer-instance.js'
import { ReadBudget } from '../../../src/consumer/instance/instance-reads.js'
import type {
  InstanceOffset,
  InstancePosition,
  InstanceRead,
  InstanceReadLimits,
  InstanceResult,
  InstanceSettings
} from '../../../src/consumer/instance/instances.js'
import type { ChosenTopics } from '../../../src/consumer/instance/topic-patterns.js'
import type { TopicPartition } from '../../../src/core/model.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { instanceSettings } from '../../support/instances.js'
import { GroupWorld, run } from '../group/fake-runtime.js'

const MAX_WAIT_MS = 1_000
/** More than the pause in which a read collects the records of several batches. */
const LINGER_MS = 25
const topic = 'orders'
const partitions = [{ topic, partition: 0 }]

const usualSettings: InstanceSettings = { ...instanceSettings, maxWaitMs: MAX_WAIT_MS, maxBytes: 1_000_000 }

/** What a client asks for. */
type Asked =
  | { readonly type: 'subscribe'; readonly topics: ChosenTopics }
  | { readonly type: 'assign'; readonly partitions: readonly TopicPartition[] }
  | { readonly type: 'seek'; readonly positions: readonly InstancePosition[] }
  | { readonly type: 'read'; readonly limits: InstanceReadLimits }
  | { readonly type: 'commit'; readonly offsets: readonly InstanceOffset[] | 'accepted' }
  | { readonly type: 'assignment' | 'unsubscribe' | 'remove' }

function carryOut(consumer: ConsumerInstance, asked: Asked, reply: (value: unknown) => void): void {
  if (asked.type === 'subscribe') reply(consumer.subscribe(asked.topics))
  else if (asked.type === 'assign') reply(consumer.assign(asked.partitions))
  else if (asked.type === 'assignment') reply({ type: 'done', value: consumer.assignment })
  else if (asked.type === 'seek') consumer.seek(asked.positions, reply)
  else if (asked.type === 'read') consumer.read(asked.limits, reply)
  else if (asked.type === 'commit') consumer.commit(asked.offsets, reply)
  else if (asked.type === 'unsubscribe') consumer.unsubscribe(reply)
  else consumer.end(false, () => reply({ type: 'done', value: undefined }))
}

const opened: Harness[] = []

class Harness {
  readonly world: GroupWorld
  readonly instance: ConsumerInstance
  readonly #budget: ReadBudget

  constructor(
    settings: Partial<InstanceSettings> = {},
    world = new GroupWorld(run(0, 10)),
    budget = new ReadBudget(1_000_000),
    consumer: Partial<ConsumerSettings> = {}
  ) {
    this.world = world
    this.#budget = budget
    this.instance = new ConsumerInstance({
      runtime: world,
      tick: run => run(),
      instance: { groupId: 'foo', name: 'one' },
      settings: { ...usualSettings, ...settings },
      consumer: { ...defaultConsumerSettings, ...consumer },
      batches: new HeldBatches(1_000_000),
      budget: this.#budget,
      patterns: { find: async () => [] },
      onUsed: () => undefined,
      onIdle: () => undefined
    })
    opened.push(this)
  }

  /** Answers follow later. */
  ask<Value>(request: Asked): { result: InstanceResult<Value> | undefined } {
    const asked: { result: InstanceResult<Value> | undefined } = { result: undefined }
    carryOut(this.instance, request, result => (asked.result = result as InstanceResult<Value>))
    return asked
  }

  /** The value of the answer, which comes at once. */
  done<Value>(request: Asked): Value {
    const asked = this.ask<Value>(request)
    this.world.settle()
    if (asked.result?.type !== 'done') return expect.fail(JSON.stringify(asked.result))
    return asked.result.value
  }

  assign(): void {
    this.done({ type: 'assign', partitions })
  }

  startReading(limits: Partial<InstanceReadLimits> = {}): { result: InstanceResult<InstanceRead> | undefined } {
    return this.ask<InstanceRead>({ type: 'read', limits: { timeoutMs: undefined, maxBytes: undefined, ...limits } })
  }

  /** A read, answered within its time limit. */
  read(limits: Partial<InstanceReadLimits> = {}): { offsets: number[]; settle: (accepted: number) => void } {
    const reading = this.startReading(limits)
    this.world.pass(LINGER_MS)
    if (!reading.result) this.world.pass(MAX_WAIT_MS)
    return offsetsOf(reading)
  }

  /** Reads, and accepts everything. */
  take(): number[] {
    const { offsets, settle } = this.read()
    settle(offsets.length)
    this.world.settle()
    return offsets
  }
}

const offsetsOf = ({ result }: { readonly result: InstanceResult<InstanceRead> | undefined }) => {
  if (result?.type !== 'done') return expect.fail(JSON.stringify(result))
  const { records, settle } = result.value
  return { offsets: records.map(({ offset }) => offset), settle: (accepted: number) => settle(accepted) }
}

describe('a consumer instance', () => {
  afterEach(() => {
    for (const { instance } of opened.splice(0)) instance.end(false, () => undefined)
  })

  describe('whose log loses its end', () => {
    const cutWorld = (): GroupWorld => {
      const world = new GroupWorld()
      world.electLeader(0)
      world.write(...run(0, 10))
      world.batchSize = 5
      return world
    }

    it('returns records below the cut again that the client did not get', () => {
      const harness = new Harness({}, cutWorld())
      harness.assign()
      const { offsets, settle } = harness.read()
      expect(offsets).to.deep.equal(run(0, 10))
      harness.world.cut(8)
      harness.world.pass(LINGER_MS)
      settle(0)
      harness.world.write(...run(8, 4))
      harness.world.settle()
      expect(harness.take()).to.deep.equal(run(0, 12))
    })

    it('does not commit records that no client has accepted', () => {
      const harness = new Harness({}, cutWorld())
      harness.assign()
      const { settle } = harness.read()
      harness.world.cut(8)
      harness.world.pass(LINGER_MS)
      settle(0)
      harness.done({ type: 'commit', offsets: 'accepted' })
      expect(harness.world.committed?.offset ?? 0).to.equal(0)
    })

    for (const offsets of ['accepted', [{ topic, partition: 0, offset: 10, metadata: '' }]] as const)
      it(`reads what replaces records that the group has committed, ${offsets === 'accepted' ? 'all' : 'by offset'}`, () => {
        const world = cutWorld()
        const harness = new Harness({}, world)
        harness.assign()
        expect(harness.take()).to.deep.equal(run(0, 10))
        harness.done({ type: 'commit', offsets })
        harness.done({ type: 'remove' })
        expect(world.committed).to.deep.include({ offset: 10, leaderEpoch: 0 })
        world.cut(8)
        world.write(...run(8, 6))
        const next = new Harness({}, world)
        next.assign()
        expect(next.take()).to.deep.equal(run(8, 6))
      })

    describe('commits an offset behind it with the epoch in which the client has read', () => {
      const read = (harness: Harness): void => {
        harness.assign()
        expect(harness.take()).to.deep.equal(run(0, 10))
      }
      const commitTen = (harness: Harness): void => {
        harness.done({ type: 'commit', offsets: [{ topic, partition: 0, offset: 10, metadata: '' }] })
        harness.done({ type: 'remove' })
        expect(harness.world.committed).to.deep.include({ offset: 10, leaderEpoch: 0 })
      }
      const expectReplaced = (world: GroupWorld): void => {
        world.write(...run(8, 6))
        const next = new Harness({}, world)
        next.assign()
        expect(next.take()).to.deep.equal(run(8, 6))
      }

      it('after it has seen that the log is shorter', () => {
        const harness = new Harness({}, cutWorld())
        read(harness)
        harness.world.cut(8)
        expect(harness.take()).to.deep.equal([])
        commitTen(harness)
        expectReplaced(harness.world)
      })

      it('while the read is not settled', () => {
        const harness = new Harness({}, cutWorld())
        harness.assign()
        const { offsets, settle } = harness.read()
        expect(offsets).to.deep.equal(run(0, 10))
        harness.world.cut(8)
        harness.world.pass(LINGER_MS)
        settle(10)
        expect(harness.take(), 'the answer came too late to be accepted').to.deep.equal(run(0, 8))
        commitTen(harness)
        expectReplaced(harness.world)
      })

      it('in a partition that it has no more', () => {
        const harness = new Harness({}, cutWorld())
        read(harness)
        harness.done({ type: 'assign', partitions: [{ topic, partition: 1 }] })
        harness.world.cut(8)
        commitTen(harness)
        expectReplaced(harness.world)
      })

      it('but not beyond what the client has read', () => {
        const harness = new Harness({}, cutWorld())
        read(harness)
        harness.world.cut(8)
        expect(harness.take()).to.deep.equal([])
        harness.done({ type: 'commit', offsets: [{ topic, partition: 0, offset: 11, metadata: '' }] })
        expect(harness.world.committed).to.deep.include({ offset: 11, leaderEpoch: undefined })
      })
    })

    it('reads what replaces records that it had accepted before it was out of its group', () => {
      const world = cutWorld()
      const harness = new Harness({}, world)
      harness.ask({ type: 'subscribe', topics: { topics: [topic] } })
      expect(harness.take()).to.deep.equal(run(0, 10))
      world.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID) })
      world.answers.push({ kind: 'joinGroup', result: kafkaFailure(errorCodes.COORDINATOR_NOT_AVAILABLE) })
      world.pass(defaultConsumerSettings.heartbeatIntervalMs)
      world.cut(8)
      world.write(...run(8, 6))
      world.pass(defaultConsumerSettings.retryBackoffMs)
      expect(harness.take()).to.deep.equal(run(8, 6))
    })

    it('mixes no records from before and after the cut in one read', () => {
      const harness = new Harness({ minBytes: 1_000 }, cutWorld())
      harness.assign()
      const reading = harness.startReading()
      harness.world.pass(LINGER_MS)
      harness.world.cut(8)
      harness.world.write(...run(8, 4))
      harness.world.pass(MAX_WAIT_MS)
      const { offsets, settle } = offsetsOf(reading)
      expect(offsets).to.deep.equal(run(0, 12))
      settle(9)
      expect(harness.take()).to.deep.equal(run(9, 3))
    })
  })

  describe('moved by its client beyond the end', () => {
    const cases = [
      { start: 'earliest', reads: run(0, 5) },
      { start: 'latest', reads: [] }
    ] as const
    for (const { start, reads } of cases) {
      it(`reads from the ${start} record, as auto.offset.reset: ${start} says, and what is written later`, () => {
        const world = new GroupWorld()
        world.write(...run(0, 5))
        const harness = new Harness({ start }, world)
        harness.assign()
        harness.done({ type: 'seek', positions: [{ topic, partition: 0, position: 99 }] })
        expect(harness.take()).to.deep.equal(reads)
        world.write(...run(5, 2))
        expect(harness.take()).to.deep.equal(run(5, 2))
      })
    }
  })

  it('continues where a seek says, although the leader has changed since the last read', () => {
    const world = new GroupWorld()
    world.electLeader(0)
    world.write(...run(0, 10))
    // The bytes of ten records: no further fetch begins.
    const harness = new Harness({ maxBytes: 20 }, world)
    harness.assign()
    expect(harness.take()).to.deep.equal(run(0, 10))
    world.electLeader(1)
    world.write(...run(10, 10))
    harness.done({ type: 'seek', positions: [{ topic, partition: 0, position: 15 }] })
    expect(harness.take()).to.deep.equal(run(15, 5))
  })

  it('is where the later of two seeks says, although the earlier one is answered later', () => {
    const harness = new Harness({}, new GroupWorld(run(0, 10)))
    harness.assign()
    harness.world.held.add('fetchOffset')
    const earlier = harness.ask({ type: 'seek', positions: [{ topic, partition: 0, position: 'beginning' }] })
    harness.done({ type: 'seek', positions: [{ topic, partition: 0, position: 5 }] })
    harness.world.held.clear()
    harness.world.settle()
    expect(earlier.result).to.include({ type: 'failed', code: 'clusterChanged' })
    expect(harness.take()).to.deep.equal(run(5, 5))
  })

  it('begins a topic anew that was created again while the instance was out of its group', () => {
    const world = new GroupWorld(run(0, 10))
    world.topicId = 'first'
    const harness = new Harness({}, world)
    harness.ask({ type: 'subscribe', topics: { topics: [topic] } })
    expect(harness.take()).to.deep.equal(run(0, 10))
    world.topicId = 'second'
    world.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID) })
    world.pass(defaultConsumerSettings.heartbeatIntervalMs)
    expect(world.generation).to.equal(2)
    expect(harness.take()).to.deep.equal(run(0, 10))
  })

  it('is one member at most, however quickly it unsubscribes and subscribes', () => {
    const harness = new Harness({ autoCommitMs: 60_000 })
    const { world } = harness
    harness.ask({ type: 'subscribe', topics: { topics: [topic] } })
    harness.take()
    const left = [harness.ask({ type: 'unsubscribe' }), harness.ask({ type: 'unsubscribe' })]
    harness.ask({ type: 'subscribe', topics: { topics: [topic] } })
    world.settle()
    for (const { result } of left) expect(result?.type).to.equal('done')
    world.write(10)
    expect(harness.take()).to.deep.equal([10])
    harness.done({ type: 'remove' })
    world.newly('heartbeat')
    world.pass(60_000)
    expect(world.newly('heartbeat')).to.equal(0)
  })

  it('keeps partitions that are assigned while it leaves its group', () => {
    const harness = new Harness({ autoCommitMs: 60_000 })
    harness.ask({ type: 'subscribe', topics: { topics: [topic] } })
    harness.take()
    const left = harness.ask({ type: 'unsubscribe' })
    harness.assign()
    expect(left.result?.type).to.equal('done')
    expect(harness.done({ type: 'assignment' })).to.deep.equal(partitions)
    harness.world.write(10)
    expect(harness.take()).to.deep.equal([10])
  })

  it('reads assigned partitions after the group has refused it', () => {
    const harness = new Harness()
    harness.world.answers.push({ kind: 'joinGroup', result: kafkaFailure(errorCodes.GROUP_AUTHORIZATION_FAILED) })
    harness.ask({ type: 'subscribe', topics: { topics: [topic] } })
    const refused = harness.startReading()
    harness.world.settle()
    expect(refused.result).to.deep.include({ type: 'failed', code: 'notAuthorized' })
    harness.done({ type: 'unsubscribe' })
    harness.assign()
    expect(harness.take()).to.deep.equal(run(0, 10))
  })

  it('leaves the topics of an earlier subscription for a pattern that matches none', async () => {
    const harness = new Harness()
    harness.ask({ type: 'subscribe', topics: { topics: [topic] } })
    harness.take()
    const topics = { text: '.*', client: undefined, isLimited: false, includes: () => true }
    harness.done({ type: 'subscribe', topics })
    await nextTick()
    harness.world.pass(0)
    expect(harness.done({ type: 'assignment' })).to.deep.equal([])
    expect(harness.world.newly('leaveGroup')).to.equal(1)
  })

  it('reads a topic again once the permission for it is granted', () => {
    const harness = new Harness()
    harness.assign()
    harness.world.answers.push({ kind: 'fetchData', result: kafkaFailure(errorCodes.TOPIC_AUTHORIZATION_FAILED) })
    const refused = harness.startReading()
    harness.world.settle()
    expect(refused.result).to.deep.include({ type: 'failed', code: 'notAuthorized' })
    expect(harness.take()).to.deep.equal(run(0, 10))
  })

  it('returns the records of all partitions when the position of one moves while a read collects', () => {
    // Each partition has the same log.
    const harness = new Harness({ minBytes: 100_000 })
    const both = [0, 1].map(partition => ({ topic, partition }))
    harness.done({ type: 'assign', partitions: both })
    const reading = harness.startReading()
    harness.world.settle()
    harness.done({ type: 'seek', positions: [{ topic, partition: 1, position: 5 }] })
    harness.world.pass(MAX_WAIT_MS)
    const { result } = reading
    if (result?.type !== 'done') return expect.fail(JSON.stringify(result))
    const offsetsIn = (partition: number): number[] =>
      result.value.records.filter(record => record.partition === partition).map(({ offset }) => offset)
    expect([offsetsIn(0), offsetsIn(1)]).to.deep.equal([run(0, 10), run(5, 5)])
  })

  it('answers a read within its own time limit that waits for another one', () => {
    const harness = new Harness()
    harness.assign()
    const first = harness.read()
    const second = harness.startReading()
    harness.world.pass(MAX_WAIT_MS)
    expect(offsetsOf(second).offsets).to.deep.equal([])
    first.settle(0)
    expect(harness.take()).to.deep.equal(run(0, 10))
  })

  it('shares the memory for records with reads that began at the same time', () => {
    const world = new GroupWorld()
    const budget = new ReadBudget(20)
    const harnesses = run(0, 5).map(() => new Harness({ minBytes: 1_000 }, world, budget))
    for (const harness of harnesses) harness.assign()
    const reading = harnesses.map(harness => harness.startReading())
    world.settle()
    world.write(...run(0, 10))
    world.pass(MAX_WAIT_MS)
    // Each record has two bytes. Every read has at least one.
    const counts = reading.map(read => offsetsOf(read).offsets.length)
    expect(Math.min(...counts)).to.be.at.least(1)
    expect(counts.reduce((sum, count) => sum + count)).to.be.at.most(14)
  })

  it('holds memory for the records of a read until it is settled or given up, and no longer', () => {
    const budget = new ReadBudget(1_000_000)
    const harness = new Harness({ minBytes: 1_000 }, new GroupWorld(run(0, 10)), budget)
    harness.assign()
    const share = budget.share
    const collecting = (more: Partial<InstanceReadLimits> = {}): void => {
      harness.startReading(more)
      harness.world.settle()
      expect(budget.share, 'while records are collected').to.be.below(share)
    }
    const gone = new AbortController()
    collecting({ gone: gone.signal })
    gone.abort()
    expect(budget.share, 'when its client has left').to.equal(share)
    collecting()
    harness.world.pass(MAX_WAIT_MS)
    expect(budget.share, 'when it is answered').to.be.below(share)
    harness.done({ type: 'seek', positions: [{ topic, partition: 0, position: 5 }] })
    harness.instance.end(false, () => undefined)
    harness.world.settle()
    expect(budget.share, 'when the instance ends').to.equal(share)

    const other = new Harness({ minBytes: 1_000 }, new GroupWorld(run(0, 10)), budget)
    other.assign()
    const read = other.read()
    read.settle(read.offsets.length)
    expect(budget.share, 'when it is settled').to.equal(share)
    other.startReading()
    other.done({ type: 'seek', positions: [{ topic, partition: 0, position: 0 }] })
    other.world.settle()
    other.done({ type: 'seek', positions: [{ topic, partition: 0, position: 10 }] })
    other.world.settle()
    expect(budget.share, 'when positions are changed').to.equal(share)
  })

  describe('whose commit is replaced before it is sent', () => {
    const commitOf = (harness: Harness, offset: number) =>
      harness.ask({ type: 'commit', offsets: [{ topic, partition: 0, offset, metadata: '' }] })
    const replaced = { kind: 'commitConsumerOffset', result: { type: 'superseded' } } as const

    it('answers it as the later commit', () => {
      for (const failure of [undefined, kafkaFailure(errorCodes.COORDINATOR_NOT_AVAILABLE)]) {
        const harness = new Harness()
        harness.assign()
        harness.world.answers.push(replaced)
        if (failure) harness.world.answers.push({ kind: 'commitConsumerOffset', result: failure })
        const commits = [commitOf(harness, 5), commitOf(harness, 6)]
        harness.world.settle()
        for (const { result } of commits) expect(result?.type).to.equal(failure ? 'failed' : 'done')
        expect(harness.world.committed?.offset).to.equal(failure ? undefined : 6)
      }
    })

    it('commits again when another reader of the group has replaced it', () => {
      const harness = new Harness()
      harness.assign()
      harness.world.answers.push(replaced)
      const commit = commitOf(harness, 5)
      harness.world.settle()
      expect(commit.result).to.equal(undefined)
      harness.world.pass(1_000)
      expect(commit.result?.type).to.equal('done')
      expect(harness.world.committed?.offset).to.equal(5)
    })
  })

  it('begins at the committed offset when its first read ends before that offset is known', () => {
    const harness = new Harness()
    harness.world.committed = { offset: 5, metadata: '' }
    harness.world.answers.push({ kind: 'fetchConsumerOffset', result: { type: 'timedOut' } })
    harness.assign()
    const first = harness.startReading({ timeoutMs: 1 })
    harness.world.pass(1)
    const { offsets, settle } = offsetsOf(first)
    expect(offsets).to.deep.equal([])
    settle(0)
    harness.done({ type: 'commit', offsets: 'accepted' })
    expect(harness.world.committed.offset).to.equal(5)
    expect(harness.take()).to.deep.equal(run(5, 5))
  })

  it('leaves no timer behind when it is removed', () => {
    const harness = new Harness({ idleMs: 300_000 })
    harness.world.answers.push({ kind: 'fetchOffset', result: { type: 'unknownTopicOrPartition' } })
    harness.assign()
    expect(harness.world.timersLeft).to.be.above(0)
    harness.done({ type: 'remove' })
    expect(harness.world.timersLeft).to.equal(0)
  })
})
