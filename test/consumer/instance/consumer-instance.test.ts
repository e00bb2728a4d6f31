import { setImmediate as nextTick } from 'node:timers/promises'
import { expect } from 'chai'
import { HeldBatches } from '../../../src/consumer/group/held-batches.js'
import { type ConsumerSettings, defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import type { ChosenTopics } from '../../../src/consumer/group/topic-patterns.js'
import { ConsumerInstance } from '../../../src/consumer/instance/consumer-instance.js'
import type {
  InstanceOffset,
  InstancePosition,
  InstanceRead,
  InstanceReadLimits,
  InstanceRecord,
  InstanceResult,
  InstanceSettings
} from '../../../src/consumer/instance/instances.js'
import type { KafkaRecord, TopicPartition } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { fakeRecord } from '../../support/fake-batch.js'
import { instanceSettings } from '../../support/instances.js'
import { FakeRuntime, run } from '../group/fake-runtime.js'

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

const opened: Stage[] = []

class Stage {
  readonly runtime: FakeRuntime
  readonly instance: ConsumerInstance
  readonly #budget: RecordBudget

  constructor(
    settings: Partial<InstanceSettings> = {},
    runtime = new FakeRuntime(run(0, 10)),
    budget = new RecordBudget(1_000_000, () => 0),
    consumer: Partial<ConsumerSettings> = {},
    readonly batches = new HeldBatches(1_000_000),
    tick: (run: () => void) => void = run => run()
  ) {
    this.runtime = runtime
    this.#budget = budget
    this.instance = new ConsumerInstance({
      runtime,
      tick,
      instance: { groupId: 'foo', name: 'one' },
      settings: { ...usualSettings, ...settings },
      consumer: { ...defaultConsumerSettings, ...consumer },
      batches,
      records: this.#budget,
      client: undefined,
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
    this.runtime.settle()
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
    this.runtime.pass(LINGER_MS)
    if (!reading.result) this.runtime.pass(MAX_WAIT_MS)
    return offsetsOf(reading)
  }

  /** Reads, and accepts everything. */
  take(): number[] {
    const { offsets, settle } = this.read()
    settle(offsets.length)
    this.runtime.settle()
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
    const cutWorld = (): FakeRuntime => {
      const runtime = new FakeRuntime()
      runtime.electLeader(0)
      runtime.write(...run(0, 10))
      runtime.batchSize = 5
      return runtime
    }

    it('returns records below the cut again that the client did not get', () => {
      const stage = new Stage({}, cutWorld())
      stage.assign()
      const { offsets, settle } = stage.read()
      expect(offsets).to.deep.equal(run(0, 10))
      stage.runtime.cut(8)
      stage.runtime.pass(LINGER_MS)
      settle(0)
      stage.runtime.write(...run(8, 4))
      stage.runtime.settle()
      expect(stage.take()).to.deep.equal(run(0, 12))
    })

    it('does not commit records that no client has accepted', () => {
      const stage = new Stage({}, cutWorld())
      stage.assign()
      const { settle } = stage.read()
      stage.runtime.cut(8)
      stage.runtime.pass(LINGER_MS)
      settle(0)
      stage.done({ type: 'commit', offsets: 'accepted' })
      expect(stage.runtime.committed?.offset ?? 0).to.equal(0)
    })

    for (const offsets of ['accepted', [{ topic, partition: 0, offset: 10, metadata: '' }]] as const)
      it(`reads what replaces records that the group has committed, ${offsets === 'accepted' ? 'all' : 'by offset'}`, () => {
        const runtime = cutWorld()
        const stage = new Stage({}, runtime)
        stage.assign()
        expect(stage.take()).to.deep.equal(run(0, 10))
        stage.done({ type: 'commit', offsets })
        stage.done({ type: 'remove' })
        expect(runtime.committed).to.deep.include({ offset: 10, leaderEpoch: 0 })
        runtime.cut(8)
        runtime.write(...run(8, 6))
        const next = new Stage({}, runtime)
        next.assign()
        expect(next.take()).to.deep.equal(run(8, 6))
      })

    describe('commits an offset behind it with the epoch in which the client has read', () => {
      const read = (stage: Stage): void => {
        stage.assign()
        expect(stage.take()).to.deep.equal(run(0, 10))
      }
      const commitTen = (stage: Stage): void => {
        stage.done({ type: 'commit', offsets: [{ topic, partition: 0, offset: 10, metadata: '' }] })
        stage.done({ type: 'remove' })
        expect(stage.runtime.committed).to.deep.include({ offset: 10, leaderEpoch: 0 })
      }
      const expectReplaced = (runtime: FakeRuntime): void => {
        runtime.write(...run(8, 6))
        const next = new Stage({}, runtime)
        next.assign()
        expect(next.take()).to.deep.equal(run(8, 6))
      }

      it('after it has seen that the log is shorter', () => {
        const stage = new Stage({}, cutWorld())
        read(stage)
        stage.runtime.cut(8)
        expect(stage.take()).to.deep.equal([])
        commitTen(stage)
        expectReplaced(stage.runtime)
      })

      it('while the read is not settled', () => {
        const stage = new Stage({}, cutWorld())
        stage.assign()
        const { offsets, settle } = stage.read()
        expect(offsets).to.deep.equal(run(0, 10))
        stage.runtime.cut(8)
        stage.runtime.pass(LINGER_MS)
        settle(10)
        expect(stage.take(), 'the answer came too late to be accepted').to.deep.equal(run(0, 8))
        commitTen(stage)
        expectReplaced(stage.runtime)
      })

      it('in a partition that it has no more', () => {
        const stage = new Stage({}, cutWorld())
        read(stage)
        stage.done({ type: 'assign', partitions: [{ topic, partition: 1 }] })
        stage.runtime.cut(8)
        commitTen(stage)
        expectReplaced(stage.runtime)
      })

      it('but not beyond what the client has read', () => {
        const stage = new Stage({}, cutWorld())
        read(stage)
        stage.runtime.cut(8)
        expect(stage.take()).to.deep.equal([])
        stage.done({ type: 'commit', offsets: [{ topic, partition: 0, offset: 11, metadata: '' }] })
        expect(stage.runtime.committed).to.deep.include({ offset: 11, leaderEpoch: undefined })
      })
    })

    it('reads what replaces records that it had accepted before it was out of its group', () => {
      const runtime = cutWorld()
      const stage = new Stage({}, runtime)
      stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
      expect(stage.take()).to.deep.equal(run(0, 10))
      runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID) })
      runtime.answers.push({ kind: 'joinGroup', result: kafkaFailure(errorCodes.COORDINATOR_NOT_AVAILABLE) })
      runtime.pass(defaultConsumerSettings.heartbeatIntervalMs)
      runtime.cut(8)
      runtime.write(...run(8, 6))
      runtime.pass(defaultConsumerSettings.retryBackoffMs)
      expect(stage.take()).to.deep.equal(run(8, 6))
    })

    it('mixes no records from before and after the cut in one read', () => {
      const stage = new Stage({ minBytes: 1_000 }, cutWorld())
      stage.assign()
      const reading = stage.startReading()
      stage.runtime.pass(LINGER_MS)
      stage.runtime.cut(8)
      stage.runtime.write(...run(8, 4))
      stage.runtime.pass(MAX_WAIT_MS)
      const { offsets, settle } = offsetsOf(reading)
      expect(offsets).to.deep.equal(run(0, 12))
      settle(9)
      expect(stage.take()).to.deep.equal(run(9, 3))
    })
  })

  describe('moved by its client beyond the end', () => {
    const cases = [
      { start: 'earliest', reads: run(0, 5) },
      { start: 'latest', reads: [] }
    ] as const
    for (const { start, reads } of cases) {
      it(`reads from the ${start} record, as auto.offset.reset: ${start} says, and what is written later`, () => {
        const runtime = new FakeRuntime()
        runtime.write(...run(0, 5))
        const stage = new Stage({ start }, runtime)
        stage.assign()
        stage.done({ type: 'seek', positions: [{ topic, partition: 0, position: 99 }] })
        expect(stage.take()).to.deep.equal(reads)
        runtime.write(...run(5, 2))
        expect(stage.take()).to.deep.equal(run(5, 2))
      })
    }
  })

  it('continues where a seek says, although the leader has changed since the last read', () => {
    const runtime = new FakeRuntime()
    runtime.electLeader(0)
    runtime.write(...run(0, 10))
    // The bytes of ten records: no further fetch begins.
    const stage = new Stage({ maxBytes: 20 }, runtime)
    stage.assign()
    expect(stage.take()).to.deep.equal(run(0, 10))
    runtime.electLeader(1)
    runtime.write(...run(10, 10))
    stage.done({ type: 'seek', positions: [{ topic, partition: 0, position: 15 }] })
    expect(stage.take()).to.deep.equal(run(15, 5))
  })

  it('is where the later of two seeks says, although the earlier one is answered later', () => {
    const stage = new Stage({}, new FakeRuntime(run(0, 10)))
    stage.assign()
    stage.runtime.held.add('fetchOffset')
    const earlier = stage.ask({ type: 'seek', positions: [{ topic, partition: 0, position: 'beginning' }] })
    stage.done({ type: 'seek', positions: [{ topic, partition: 0, position: 5 }] })
    stage.runtime.held.clear()
    stage.runtime.settle()
    expect(earlier.result).to.include({ type: 'failed', code: 'clusterChanged' })
    expect(stage.take()).to.deep.equal(run(5, 5))
  })

  it('begins a topic anew that was created again while the instance was out of its group', () => {
    const runtime = new FakeRuntime(run(0, 10))
    runtime.topicId = 'first'
    const stage = new Stage({}, runtime)
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    expect(stage.take()).to.deep.equal(run(0, 10))
    runtime.topicId = 'second'
    runtime.answers.push({ kind: 'heartbeat', result: kafkaFailure(errorCodes.UNKNOWN_MEMBER_ID) })
    runtime.pass(defaultConsumerSettings.heartbeatIntervalMs)
    expect(runtime.generation).to.equal(2)
    expect(stage.take()).to.deep.equal(run(0, 10))
  })

  it('is one member at most, however quickly it unsubscribes and subscribes', () => {
    const stage = new Stage({ autoCommitMs: 60_000 })
    const { runtime } = stage
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    stage.take()
    const left = [stage.ask({ type: 'unsubscribe' }), stage.ask({ type: 'unsubscribe' })]
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    runtime.settle()
    for (const { result } of left) expect(result?.type).to.equal('done')
    runtime.write(10)
    expect(stage.take()).to.deep.equal([10])
    stage.done({ type: 'remove' })
    runtime.newly('heartbeat')
    runtime.pass(60_000)
    expect(runtime.newly('heartbeat')).to.equal(0)
  })

  it('keeps partitions that are assigned while it leaves its group', () => {
    const stage = new Stage({ autoCommitMs: 60_000 })
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    stage.take()
    const left = stage.ask({ type: 'unsubscribe' })
    stage.assign()
    expect(left.result?.type).to.equal('done')
    expect(stage.done({ type: 'assignment' })).to.deep.equal(partitions)
    stage.runtime.write(10)
    expect(stage.take()).to.deep.equal([10])
  })

  it('reads assigned partitions after the group has refused it', () => {
    const stage = new Stage()
    stage.runtime.answers.push({ kind: 'joinGroup', result: kafkaFailure(errorCodes.GROUP_AUTHORIZATION_FAILED) })
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    const refused = stage.startReading()
    stage.runtime.settle()
    expect(refused.result).to.deep.include({ type: 'failed', code: 'notAuthorized' })
    stage.done({ type: 'unsubscribe' })
    stage.assign()
    expect(stage.take()).to.deep.equal(run(0, 10))
  })

  it('answers a commit once that waits for a group which then refuses the instance', () => {
    const stage = new Stage()
    stage.runtime.answers.push({ kind: 'joinGroup', result: kafkaFailure(errorCodes.GROUP_AUTHORIZATION_FAILED) })
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    const answers: (string | undefined)[] = []
    const offsets = [{ topic, partition: 0, offset: 5, metadata: '' }]
    stage.instance.commit(offsets, result => answers.push(result.type === 'failed' ? result.code : result.type))
    expect(answers).to.deep.equal([])
    stage.runtime.settle()
    stage.runtime.pass(60_000)
    expect(answers).to.deep.equal(['notAuthorized'])
  })

  it('refuses a commit that waits for the group as soon as the instance leaves it', () => {
    const stage = new Stage()
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    const offsets = [{ topic, partition: 0, offset: 5, metadata: '' }]
    const commit = stage.ask({ type: 'commit', offsets })
    stage.ask({ type: 'unsubscribe' })
    expect(commit.result).to.deep.include({ type: 'failed', errorCode: errorCodes.UNKNOWN_MEMBER_ID })
    stage.runtime.settle()
    stage.runtime.pass(60_000)
    expect(stage.runtime.committed).to.equal(undefined)
  })

  it('carries out a commit of a client that has unsubscribed while the instance leaves its group', () => {
    const stage = new Stage()
    stage.runtime.held.add('joinGroup')
    stage.runtime.held.add('commitConsumerOffset')
    stage.assign()
    stage.ask({ type: 'commit', offsets: [{ topic, partition: 0, offset: 3, metadata: '' }] })
    stage.done({ type: 'assign', partitions: [] })
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    stage.ask({ type: 'unsubscribe' })
    const commit = stage.ask({ type: 'commit', offsets: [{ topic, partition: 0, offset: 5, metadata: '' }] })
    stage.runtime.held.delete('commitConsumerOffset')
    stage.runtime.settle()
    expect(commit.result?.type).to.equal('done')
    expect(stage.runtime.committed).to.deep.include({ offset: 5 })
  })

  it('leaves the topics of an earlier subscription for a pattern that matches none', async () => {
    const stage = new Stage()
    stage.ask({ type: 'subscribe', topics: { topics: [topic] } })
    stage.take()
    const topics = { text: '.*', client: undefined, isLimited: false, includes: () => true }
    stage.done({ type: 'subscribe', topics })
    await nextTick()
    stage.runtime.pass(0)
    expect(stage.done({ type: 'assignment' })).to.deep.equal([])
    expect(stage.runtime.newly('leaveGroup')).to.equal(1)
  })

  it('reads a topic again once the permission for it is granted', () => {
    const stage = new Stage()
    stage.assign()
    stage.runtime.answers.push({ kind: 'fetchData', result: kafkaFailure(errorCodes.TOPIC_AUTHORIZATION_FAILED) })
    const refused = stage.startReading()
    stage.runtime.settle()
    expect(refused.result).to.deep.include({ type: 'failed', code: 'notAuthorized' })
    expect(stage.take()).to.deep.equal(run(0, 10))
  })

  it('returns the records of all partitions when the position of one moves while a read collects', () => {
    // Each partition has the same log.
    const stage = new Stage({ minBytes: 100_000 })
    const both = [0, 1].map(partition => ({ topic, partition }))
    stage.done({ type: 'assign', partitions: both })
    const reading = stage.startReading()
    stage.runtime.settle()
    stage.done({ type: 'seek', positions: [{ topic, partition: 1, position: 5 }] })
    stage.runtime.pass(MAX_WAIT_MS)
    const { result } = reading
    if (result?.type !== 'done') return expect.fail(JSON.stringify(result))
    const offsetsIn = (partition: number): number[] =>
      result.value.records.filter(record => record.partition === partition).map(({ offset }) => offset)
    expect([offsetsIn(0), offsetsIn(1)]).to.deep.equal([run(0, 10), run(5, 5)])
  })

  it('answers a read within its own time limit that waits for another one', () => {
    const stage = new Stage()
    stage.assign()
    const first = stage.read()
    const second = stage.startReading()
    stage.runtime.pass(MAX_WAIT_MS)
    expect(offsetsOf(second).offsets).to.deep.equal([])
    first.settle(0)
    expect(stage.take()).to.deep.equal(run(0, 10))
  })

  it('shares the memory for records with reads that began at the same time', async () => {
    const runtime = new FakeRuntime()
    // Each record counts as about 300 bytes.
    const budget = new RecordBudget(3_100, () => 0)
    const stages = run(0, 20).map(() => new Stage({ minBytes: 1_000 }, runtime, budget))
    for (const stage of stages) stage.assign()
    const reading = stages.map(stage => stage.startReading())
    runtime.settle()
    runtime.write(...run(0, 10))
    runtime.settle()
    expect(budget.heldBytes).to.be.within(1_500, 3_100)
    runtime.pass(MAX_WAIT_MS)
    const answered = reading.filter(({ result }) => result?.type === 'done')
    const refused = reading.filter(({ result }) => result?.type === 'failed')
    expect(answered.length).to.be.at.least(2)
    for (const { result } of refused)
      expect(result).to.include({ code: 'overloaded', retriable: true, setting: 'advanced.http.answersMaxBytes' })
    expect(answered.length + refused.length).to.equal(20)

    // Those that come again wait, and are served as soon as others are settled.
    const again = stages[reading.indexOf(refused[0]!)]!.startReading()
    runtime.settle()
    expect(again.result).to.equal(undefined)
    for (const { result } of answered) if (result?.type === 'done') result.value.settle(result.value.records.length)
    await new Promise(resolve => setImmediate(resolve))
    runtime.pass(MAX_WAIT_MS - 1)
    expect(budget.heldBytes).to.be.greaterThan(0)
    runtime.pass(1)
    expect(offsetsOf(again).offsets[0]).to.equal(0)
  })

  it('holds memory for the records of a read until it is settled or given up, and no longer', () => {
    const budget = new RecordBudget(1_000_000, () => 0)
    const stage = new Stage({ minBytes: 1_000 }, new FakeRuntime(run(0, 10)), budget)
    stage.assign()
    const free = budget.freeBytes
    const collecting = (more: Partial<InstanceReadLimits> = {}): void => {
      stage.startReading(more)
      stage.runtime.settle()
      expect(budget.freeBytes, 'while records are collected').to.be.below(free)
    }
    const gone = new AbortController()
    collecting({ gone: gone.signal })
    gone.abort()
    expect(budget.freeBytes, 'when its client has left').to.equal(free)
    collecting()
    stage.runtime.pass(MAX_WAIT_MS)
    expect(budget.freeBytes, 'when it is answered').to.be.below(free)
    stage.done({ type: 'seek', positions: [{ topic, partition: 0, position: 5 }] })
    stage.instance.end(false, () => undefined)
    stage.runtime.settle()
    expect(budget.freeBytes, 'when the instance ends').to.equal(free)

    const other = new Stage({ minBytes: 1_000 }, new FakeRuntime(run(0, 10)), budget)
    other.assign()
    const read = other.read()
    read.settle(read.offsets.length)
    expect(budget.freeBytes, 'when it is settled').to.equal(free)
    other.startReading()
    other.done({ type: 'seek', positions: [{ topic, partition: 0, position: 0 }] })
    other.runtime.settle()
    other.done({ type: 'seek', positions: [{ topic, partition: 0, position: 10 }] })
    other.runtime.settle()
    expect(budget.freeBytes, 'when positions are changed').to.equal(free)
  })

  describe('that reads few records of large batches', () => {
    const BATCH_BYTES = 10_000_000
    /** Ten records of each batch in its memory, which has capacity for thousands. */
    const runtimeOf = (record: (part: Buffer, offset: number) => Partial<KafkaRecord>): FakeRuntime => {
      const runtime = new FakeRuntime(run(0, 20))
      runtime.batchSize = 10
      const batches = [Buffer.alloc(BATCH_BYTES, 1), Buffer.alloc(BATCH_BYTES, 2)]
      runtime.recordAt = offset => ({
        ...fakeRecord(offset),
        value: null,
        ...record(batches[Math.floor(offset / 10)]!.subarray(1_000 * offset, 1_000 * offset + 1_000), offset)
      })
      return runtime
    }
    /** Of the memory that the records keep. */
    const keptBytes = (records: readonly InstanceRecord[]): number => {
      const views = records.flatMap(({ key, value, headers }) => [key, value, ...headers.map(header => header.value)])
      const memories = new Set(views.flatMap(view => (view === null ? [] : [view.buffer])))
      return Array.from(memories, memory => memory.byteLength).reduce((sum, bytes) => sum + bytes, 0)
    }
    const recordsOf = ({ result }: ReturnType<Stage['startReading']>): readonly InstanceRecord[] =>
      result?.type === 'done' ? result.value.records : expect.fail(JSON.stringify(result))
    const places = {
      values: part => ({ value: part }),
      keys: part => ({ key: part }),
      headers: part => ({ headers: [{ key: 'h', value: part }] })
    } satisfies Record<string, (part: Buffer) => Partial<KafkaRecord>>

    for (const [name, place] of Object.entries(places))
      it(`keeps the bytes that it answers, and not the batches: ${name}`, () => {
        const budget = new RecordBudget(1_000_000, () => 0)
        const stages = run(0, 10).map(() => new Stage({}, runtimeOf(place), budget))
        for (const stage of stages) stage.assign()
        const reads = stages.map(stage => {
          const read = stage.startReading()
          stage.runtime.pass(MAX_WAIT_MS)
          return read
        })
        const records = reads.flatMap(recordsOf)
        expect(records.map(({ offset }) => offset)).to.deep.equal(stages.flatMap(() => run(0, 20)))
        for (const { key, value, headers, offset } of records)
          expect([key, value, headers[0]?.value].find(one => one)).to.deep.equal(
            Buffer.alloc(1_000, offset < 10 ? 1 : 2)
          )
        expect(keptBytes(records)).to.be.at.most(500_000)
      })

    it('takes no more than the memory for reads allows, whether in values or in headers', () => {
      for (const place of [places.values, places.headers]) {
        const stage = new Stage({ minBytes: 1_000_000 }, runtimeOf(place), new RecordBudget(15_560, () => 0))
        stage.assign()
        const read = stage.startReading()
        stage.runtime.pass(MAX_WAIT_MS)
        expect(recordsOf(read).map(({ offset }) => offset)).to.deep.equal(run(0, 5))
        if (read.result?.type === 'done') read.result.value.settle(5)
        expect(stage.take()[0]).to.equal(5)
      }
    })

    it('takes no more than the memory for reads allows, also of headers without a byte', () => {
      const headers = run(0, 1_000).map(() => ({ key: '', value: Buffer.alloc(0) }))
      const runtime = runtimeOf(() => ({ headers }))
      const stage = new Stage({}, runtime, new RecordBudget(1_000_000, () => 0))
      stage.assign()
      expect([stage.take(), stage.take()]).to.deep.equal([[0], [1]])
    })

    it('takes so many records that their objects do not fill the memory, however small they are', () => {
      const runtime = new FakeRuntime(run(0, 50_001))
      runtime.batchSize = 50_001
      runtime.recordAt = offset => ({ ...fakeRecord(offset), value: null })
      const stage = new Stage({}, runtime, new RecordBudget(100_000_000, () => 0))
      stage.assign()
      expect([stage.take().length, stage.take()]).to.deep.equal([50_000, [50_000]])
    })

    it('keeps the batch where it answers most of it', () => {
      const runtime = new FakeRuntime(run(0, 10))
      const batch = Buffer.alloc(19_000)
      runtime.recordAt = offset => ({
        ...fakeRecord(offset),
        value: batch.subarray(1_900 * offset, 1_900 * (offset + 1))
      })
      const stage = new Stage({}, runtime)
      stage.assign()
      const read = stage.startReading()
      stage.runtime.pass(LINGER_MS)
      expect(recordsOf(read).map(({ value }) => value!.buffer === batch.buffer)).to.deep.equal(
        run(0, 10).map(() => true)
      )
    })
  })

  describe('whose commit is replaced before it is sent', () => {
    const commitOf = (stage: Stage, offset: number) =>
      stage.ask({ type: 'commit', offsets: [{ topic, partition: 0, offset, metadata: '' }] })
    const replaced = { kind: 'commitConsumerOffset', result: { type: 'superseded' } } as const

    it('answers it as the later commit', () => {
      for (const failure of [undefined, kafkaFailure(errorCodes.COORDINATOR_NOT_AVAILABLE)]) {
        const stage = new Stage()
        stage.assign()
        stage.runtime.answers.push(replaced)
        if (failure) stage.runtime.answers.push({ kind: 'commitConsumerOffset', result: failure })
        const commits = [commitOf(stage, 5), commitOf(stage, 6)]
        stage.runtime.settle()
        for (const { result } of commits) expect(result?.type).to.equal(failure ? 'failed' : 'done')
        expect(stage.runtime.committed?.offset).to.equal(failure ? undefined : 6)
      }
    })

    it('commits again when another reader of the group has replaced it', () => {
      const stage = new Stage()
      stage.assign()
      stage.runtime.answers.push(replaced)
      const commit = commitOf(stage, 5)
      stage.runtime.settle()
      expect(commit.result).to.equal(undefined)
      stage.runtime.pass(1_000)
      expect(commit.result?.type).to.equal('done')
      expect(stage.runtime.committed?.offset).to.equal(5)
    })
  })

  it('begins at the committed offset when its first read ends before that offset is known', () => {
    const stage = new Stage()
    stage.runtime.committed = { offset: 5, metadata: '' }
    stage.runtime.answers.push({ kind: 'fetchConsumerOffset', result: { type: 'timedOut' } })
    stage.assign()
    const first = stage.startReading({ timeoutMs: 1 })
    stage.runtime.pass(1)
    const { offsets, settle } = offsetsOf(first)
    expect(offsets).to.deep.equal([])
    settle(0)
    stage.done({ type: 'commit', offsets: 'accepted' })
    expect(stage.runtime.committed.offset).to.equal(5)
    expect(stage.take()).to.deep.equal(run(5, 5))
  })

  describe('that reads one full answer after another', () => {
    /** Each read takes ten records of two bytes: a batch, which takes ten bytes a record in memory. */
    const tenEach = { maxBytes: 20 }
    const BATCH_BYTES = 100
    const stageOf = (batches?: HeldBatches, settings: Partial<InstanceSettings> = {}, records = 60): Stage => {
      const runtime = new FakeRuntime()
      runtime.electLeader(0)
      runtime.topicId = 'first'
      runtime.write(...run(0, records))
      runtime.batchSize = 10
      runtime.recordAt = offset => ({ ...fakeRecord(offset), key: null, value: Buffer.alloc(2) })
      const stage = new Stage({ ...tenEach, ...settings }, runtime, undefined, undefined, batches)
      stage.assign()
      return stage
    }
    const fetched = ({ runtime }: Stage): unknown[] =>
      runtime.asked.flatMap(({ kind, request }) => (kind === 'fetchData' ? [request['offset']] : []))
    /** Its second read is answered, and not settled. */
    const readingOn = (stage: Stage): { offsets: number[]; settle: (accepted: number) => void } => {
      expect(stage.take()).to.deep.equal(run(0, 10))
      return stage.read()
    }

    it('fetches the next batch while an answer leaves, from the second one on, and each batch once', () => {
      const stage = stageOf()
      const first = stage.read()
      expect(fetched(stage)).to.deep.equal([0])
      first.settle(10)
      stage.runtime.settle()
      expect(fetched(stage), 'the first read was settled').to.deep.equal([0])
      const second = stage.read()
      expect(fetched(stage)).to.deep.equal([0, 10, 20])
      second.settle(10)
      stage.runtime.settle()
      expect(fetched(stage), 'no client asks for more').to.deep.equal([0, 10, 20])
      for (let from = 20; from < 60; from += 10) expect(stage.take()).to.deep.equal(run(from, 10))
      expect(fetched(stage)).to.deep.equal(run(0, 7).map(at => 10 * at))
    })

    it('waits for no further records with half a megabyte, unless its client wants more', () => {
      for (const minBytes of [undefined, 600_000]) {
        const runtime = new FakeRuntime(run(0, 30))
        runtime.batchSize = 10
        runtime.recordAt = offset => ({ ...fakeRecord(offset), key: null, value: Buffer.alloc(55_000) })
        const stage = new Stage({ ...(minBytes && { minBytes }) }, runtime, new RecordBudget(10_000_000, () => 0))
        stage.assign()
        const read = stage.startReading()
        runtime.settle()
        expect(offsetsOf(read).offsets).to.deep.equal(run(0, minBytes === undefined ? 10 : 18))
      }
    })

    it('does not answer with nothing when its client seeks as it has enough', () => {
      const ticks: (() => void)[] = []
      const runtime = new FakeRuntime(run(0, 10))
      runtime.recordAt = offset => ({ ...fakeRecord(offset), key: null, value: Buffer.alloc(55_000) })
      const budget = new RecordBudget(10_000_000, () => 0)
      const stage = new Stage({}, runtime, budget, undefined, undefined, next => void ticks.push(next))
      stage.assign()
      const read = stage.startReading()
      runtime.settle()
      expect(ticks).to.have.lengthOf(1)
      stage.ask({ type: 'seek', positions: [{ topic, partition: 0, position: 5 }] })
      ticks.pop()!()
      expect(read.result).to.equal(undefined)
      runtime.pass(LINGER_MS)
      expect(offsetsOf(read).offsets).to.deep.equal(run(5, 5))
    })

    it('fetches none while records are in memory', () => {
      const stage = stageOf(undefined, { maxBytes: 10 })
      for (let from = 0; from < 30; from += 5) {
        expect(stage.take()).to.deep.equal(run(from, 5))
        expect(fetched(stage).at(-1)).to.equal(from < 5 ? 0 : from % 10 === 0 ? from : from + 5)
      }
      expect(fetched(stage)).to.deep.equal([0, 10, 20, 30])
    })

    it('fetches none ahead when the client did not get all records, and at the end of the log', () => {
      const stage = stageOf()
      readingOn(stage).settle(3)
      stage.runtime.settle()
      const { offsets } = stage.read()
      expect([offsets, fetched(stage)]).to.deep.equal([run(13, 10), [0, 10, 20, 13]])

      const other = stageOf()
      for (let from = 0; from < 60; from += 10) other.take()
      other.runtime.endPolls()
      other.runtime.write(...run(60, 20))
      const asked = fetched(other).length
      expect(other.take()).to.deep.equal(run(60, 10))
      expect(fetched(other).slice(asked)).to.deep.equal([60])
    })

    it('fetches ahead with the patience of its client, so that long polls of the broker stay as long', () => {
      const stage = stageOf(undefined, { maxWaitMs: 30_000 })
      for (let from = 0; from < 30; from += 10) {
        const reading = stage.startReading()
        stage.runtime.pass(LINGER_MS)
        offsetsOf(reading).settle(10)
        stage.runtime.settle()
      }
      const asked = stage.runtime.asked.filter(({ kind }) => kind === 'fetchData')
      expect(asked.length).to.be.above(2)
      for (const { request } of asked) expect(request.maxWaitMs).to.be.at.least(29_000)
    })

    it('drops what was fetched ahead, or is on its way, when its client seeks', () => {
      for (const isOnItsWay of [false, true]) {
        const stage = stageOf()
        stage.take()
        const second = stage.startReading()
        stage.runtime.settle()
        if (isOnItsWay) stage.runtime.held.add('fetchData')
        stage.done({ type: 'seek', positions: [{ topic, partition: 0, position: 35 }] })
        expect(stage.batches.bytes).to.equal(0)
        offsetsOf(second).settle(10)
        stage.runtime.held.clear()
        stage.runtime.settle()
        expect(stage.batches.bytes).to.equal(0)
        const asked = fetched(stage).length
        expect(stage.take(), 'the first read of the new position').to.deep.equal(run(35, 10))
        expect(fetched(stage).slice(asked)).to.deep.equal([35])
        stage.take()
        expect(fetched(stage).slice(asked)).to.deep.equal([35, 45, 55])
      }
    })

    it('does not count as given what was fetched ahead, and keeps none of it, when it is removed', () => {
      for (const isOnItsWay of [false, true]) {
        const stage = stageOf(undefined, { autoCommitMs: 60_000 })
        readingOn(stage).settle(10)
        if (isOnItsWay) stage.runtime.held.add('fetchData')
        stage.runtime.settle()
        stage.take()
        stage.done({ type: 'remove' })
        stage.runtime.held.clear()
        stage.runtime.settle()
        expect([stage.runtime.committed?.offset, stage.batches.bytes]).to.deep.equal([30, 0])
      }
    })

    it('commits what its client has got while more was fetched', () => {
      const stage = stageOf()
      const { settle } = readingOn(stage)
      stage.done({ type: 'commit', offsets: 'accepted' })
      expect(stage.runtime.committed).to.deep.include({ offset: 10, leaderEpoch: 0 })
      settle(10)
      stage.done({ type: 'commit', offsets: 'accepted' })
      expect(stage.runtime.committed).to.deep.include({ offset: 20, leaderEpoch: 0 })
      expect(stage.take()).to.deep.equal(run(20, 10))
    })

    it('drops what was fetched ahead of a partition that is taken away', () => {
      const stage = stageOf()
      readingOn(stage).settle(10)
      expect(stage.batches.bytes).to.be.above(0)
      stage.done({ type: 'assign', partitions: [{ topic, partition: 1 }] })
      expect(stage.batches.bytes).to.equal(0)
    })

    describe('and asks for more than there is', () => {
      /** A log of two batches: the batch that is fetched ahead does not come. */
      const atEnd = (batches?: HeldBatches) => {
        const stage = stageOf(batches, {}, 20)
        const { settle } = readingOn(stage)
        expect(fetched(stage)).to.deep.equal([0, 10, 20])
        return { stage, settle }
      }

      it('begins anew when the topic is created again meanwhile', () => {
        const { stage, settle } = atEnd()
        stage.runtime.recreateTopic('second')
        stage.runtime.electLeader()
        stage.runtime.write(...run(0, 15))
        settle(10)
        const asked = fetched(stage).length
        expect(stage.take()).to.deep.equal(run(0, 10))
        expect(fetched(stage).slice(asked), 'its first read there').to.deep.equal([0])
        expect(stage.take()).to.deep.equal(run(10, 5))
      })

      it('returns records again that the log has lost before they were accepted', () => {
        const { stage, settle } = atEnd()
        stage.runtime.cut(15)
        stage.runtime.settle()
        settle(10)
        stage.runtime.write(...run(15, 5))
        expect(stage.take()).to.deep.equal(run(10, 10))
      })

      it('counts as memory what is on its way, until it has ended', () => {
        const batches = new HeldBatches(2 * BATCH_BYTES)
        const { stage } = atEnd(batches)
        expect(batches.bytes).to.equal(BATCH_BYTES)
        const other = stageOf(batches)
        readingOn(other).settle(10)
        expect(fetched(other)).to.deep.equal([0, 10])
        stage.runtime.endPolls()
        expect(batches.bytes).to.equal(0)
        expect(other.take()).to.deep.equal(run(20, 10))
        expect(fetched(other)).to.deep.equal([0, 10, 20, 30])
      })
    })

    describe('beside others that hold batches', () => {
      const other = { dropBatch: () => undefined }

      it('fetches none ahead that would take more than half of the memory', () => {
        const batches = new HeldBatches(4 * BATCH_BYTES)
        batches.hold(other, BATCH_BYTES + 1)
        const stage = stageOf(batches)
        readingOn(stage).settle(10)
        expect([fetched(stage), batches.bytes]).to.deep.equal([[0, 10], BATCH_BYTES + 1])
        batches.hold(other, BATCH_BYTES)
        stage.read()
        expect([fetched(stage).slice(2), batches.bytes]).to.deep.equal([[20, 30], 2 * BATCH_BYTES])
      })

      it('reads on without a gap when others needed the memory', () => {
        const batches = new HeldBatches(2 * BATCH_BYTES)
        const stage = stageOf(batches)
        readingOn(stage).settle(10)
        batches.hold(other, 2 * BATCH_BYTES)
        expect(batches.bytes).to.equal(2 * BATCH_BYTES)
        expect(stage.take()).to.deep.equal(run(20, 10))
        expect(fetched(stage)).to.deep.equal([0, 10, 20, 20, 30])
      })
    })
  })

  it('leaves no timer behind when it is removed', () => {
    const stage = new Stage({ idleMs: 300_000 })
    stage.runtime.answers.push({ kind: 'fetchOffset', result: { type: 'unknownTopicOrPartition' } })
    stage.assign()
    expect(stage.runtime.timersLeft).to.be.above(0)
    stage.done({ type: 'remove' })
    expect(stage.runtime.timersLeft).to.equal(0)
  })
})
