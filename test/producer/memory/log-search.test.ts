import { expect } from 'chai'
import sinon from 'sinon'
import { type BatchOrigin, type Offset, silentLogger } from '../../../src/core/model.js'
import { type Finding, LogSearch, type SoughtBatch } from '../../../src/producer/memory/log-search.js'
import type { FetchOffset, RouterMessage } from '../../../src/router/messages/operations.js'
import { CountingMetrics } from '../../support/counting-metrics.js'

const MIB = 1024 * 1024
const HOUR_MS = 3_600_000
const NOW = 1_000 * HOUR_MS

/** One partition: batches of ten records, of another producer each. */
class Partition {
  readonly path = 'router'
  readonly asked: RouterMessage[] = []
  /** Answers that are still to be given. */
  readonly open: (() => void)[] = []
  reading = 0
  mostReading = 0
  batches = 10
  batchBytes = 1_000
  holds = false
  /** Instead of the records at an offset. */
  readonly instead = new Map<Offset, object>()
  /** Records at the end that replicas do not have yet. */
  unreplicated = 0
  leaderEpoch: number | undefined = 4
  endTold: object = {}
  readonly stop = (): void => undefined
  readonly tell = (message: RouterMessage): void => {
    this.asked.push(message)
    const { requester, ...request } = message as { requester: { reply(answer: object): void }; type: string }
    const answer = (): void => requester.reply(this.#answer(request as never))
    if (!this.holds) answer()
    else {
      this.open.push(answer)
      this.reading += request.type === 'fetchOrigins' ? 1 : 0
      this.mostReading = Math.max(this.mostReading, this.reading)
    }
  }

  get end(): Offset {
    return this.batches * 10
  }

  offsetsRead(): Offset[] {
    return this.asked.flatMap(message => (message.type === 'fetchOrigins' ? [message.offset] : []))
  }

  #answer({ type, offset, offsetType }: { type: string; offset: Offset; offsetType: unknown }): object {
    if (type === 'fetchOrigins') this.reading--
    const readable = this.end - this.unreplicated
    const { leaderEpoch } = this
    if (type === 'fetchOffset') return { type: 'success', offset: offsetType === 'latest' ? readable : 0, leaderEpoch }
    if (type === 'fetchEpochEnd') {
      return { type: 'success', leaderEpoch, endOffset: this.end, currentLeaderEpoch: leaderEpoch, ...this.endTold }
    }
    const instead = this.instead.get(offset)
    if (instead !== undefined) return instead
    if (offset >= readable) return { type: 'noMessages' }
    const at = Math.floor(offset / 10)
    const origin: BatchOrigin = {
      baseOffset: at * 10,
      lastOffset: at * 10 + 9,
      producerId: at,
      producerEpoch: 2,
      baseSequence: 70
    }
    return { type: 'success', origins: [origin], nextOffset: at * 10 + 10, sizeBytes: this.batchBytes }
  }
}

describe('delivery: looking for a batch in the log', () => {
  let partition: Partition
  let search: LogSearch
  let clock: sinon.SinonFakeTimers
  beforeEach(() => {
    clock = sinon.useFakeTimers()
    partition = new Partition()
    search = new LogSearch({
      router: partition as never,
      clock: () => clock.now,
      now: () => NOW,
      log: silentLogger,
      metrics: new CountingMetrics()
    })
  })
  afterEach(() => clock.restore())

  const sought = (producer: number, more: Partial<SoughtBatch> = {}): SoughtBatch => ({
    topic: 'orders',
    partition: 3,
    numbering: { producerId: BigInt(producer), epoch: 2, nextSequence: 70 },
    recordCount: 10,
    sinceMs: NOW - HOUR_MS,
    from: 0,
    isForgotten: true,
    ...more
  })

  it('takes the batch with its producer, epoch, sequence and number of records, and no other', async () => {
    expect(await search.find(sought(4))).to.deep.equal({ type: 'found', baseOffset: 40 })
    const { numbering } = sought(4)
    for (const other of [
      { numbering: { ...numbering, epoch: 3 } },
      { numbering: { ...numbering, nextSequence: 71 } },
      { recordCount: 9 }
    ]) {
      expect(await search.find(sought(4, other))).to.deep.equal({ type: 'absent', end: 100 })
    }
  })

  it('begins at the offset behind what was acknowledged, or at the time of the batch, less what clocks may differ', async () => {
    await search.find(sought(77, { from: 60 }))
    expect(partition.offsetsRead()).to.deep.equal([60, 70, 80, 90])
    const types = partition.asked.flatMap(message => (message.type === 'fetchOffset' ? [message.offsetType] : []))
    expect(types).to.deep.equal(['latest', { timestampMs: NOW - HOUR_MS - 600_000 }])
  })

  it('begins at the time of the batch in a log that ends before what was acknowledged', async () => {
    expect(await search.find(sought(4, { from: 5_000 }))).to.deep.equal({ type: 'found', baseOffset: 40 })
  })

  /** The finding, and the reads that were made in how long. */
  async function findingOf(batch: SoughtBatch) {
    let finding: Finding | undefined
    const startedAt = clock.now
    void search.find(batch).then(found => (finding = found))
    while (finding === undefined) await clock.tickAsync(100)
    return { ...finding, afterMs: Math.floor((clock.now - startedAt) / 1_000) * 1_000 }
  }

  it('leaves its place to others after many bytes, and goes on there', async () => {
    partition.batchBytes = 16 * MIB
    expect(await findingOf(sought(6))).to.deep.equal({ type: 'found', baseOffset: 60, afterMs: 1_000 })
    expect(partition.offsetsRead()).to.deep.equal([0, 10, 20, 30, 40, 50, 60])
  })

  it('leaves its place to others when it takes long, and goes on there', async () => {
    partition.instead.set(20, {
      type: 'success',
      origins: [],
      nextOffset: 30,
      get sizeBytes() {
        clock.setSystemTime(clock.now + 30_000)
        return 1
      }
    })
    expect(await findingOf(sought(6))).to.include({ type: 'found', baseOffset: 60, afterMs: 31_000 })
    expect(partition.offsetsRead()).to.deep.equal([0, 10, 20, 30, 40, 50, 60])
  })

  it('is given up where the log does not end within a minute', async () => {
    partition.instead.set(20, {
      type: 'success',
      origins: [],
      sizeBytes: 1_000,
      get nextOffset() {
        clock.setSystemTime(clock.now + 60_000)
        return 30
      }
    })
    expect(await search.find(sought(6))).to.include({ type: 'unknown' })
    expect(partition.offsetsRead()).to.deep.equal([0, 10, 20])
  })

  for (const [what, answer, afterMs] of [
    ['a broker does not answer', { type: 'timedOut' }, 60_000],
    ['the broker does not know the partition', { type: 'unknownTopicOrPartition' }, 60_000],
    ['records are deleted', { type: 'offsetOutOfRange' }, 60_000],
    ['an error passes', { type: 'failed', message: 'busy', retriable: true }, 60_000],
    ['the log is damaged', { type: 'corruptMessage' }, 60_000],
    ['the replicas do not reach the end of the log', { type: 'noMessages' }, 60_000],
    ['records may not be read', { type: 'failed', message: 'denied', retriable: false }, 0]
  ] as const) {
    it(`is given up after ${afterMs} ms when ${what}`, async () => {
      partition.instead.set(30, answer)
      expect(await findingOf(sought(6))).to.include({ type: 'unknown', afterMs })
    })
  }

  it('is absent only when it was not found up to the end of the log of the leader', async () => {
    partition.unreplicated = 40
    const finding = findingOf(sought(6))
    await clock.tickAsync(5_000)
    expect(partition.offsetsRead().at(-1)).to.equal(60)
    partition.unreplicated = 0
    expect(await finding).to.include({ type: 'found', baseOffset: 60 })
  })

  it('is searched for again when a new leader cannot give records that it has, though it tells their end soon after', async () => {
    partition.instead.set(30, {
      get type() {
        partition.instead.delete(30)
        return 'noMessages'
      }
    })
    expect(await findingOf(sought(6))).to.include({ type: 'found', baseOffset: 60 })
    expect(partition.offsetsRead()).to.deep.equal([0, 10, 20, 30, 30, 40, 50, 60])
  })

  it('is given up when the leader changes, or does not tell the end of its log', async () => {
    for (const endTold of [{ currentLeaderEpoch: 5 }, { leaderEpoch: 3 }, { type: 'notFound' }, { type: 'timedOut' }]) {
      partition.endTold = endTold
      expect(await findingOf(sought(77))).to.include({ type: 'unknown', afterMs: 60_000 })
    }
    partition.endTold = {}
    partition.leaderEpoch = undefined
    expect(await findingOf(sought(77))).to.include({ type: 'unknown', afterMs: 0 })
  })

  it('begins no later than readers could read when it was asked first', async () => {
    const { tell } = partition
    let latest = 60
    Object.assign(partition, {
      tell(message: RouterMessage) {
        // No record that readers see is that late at first, so the end is told, which is another by then.
        if (message.type !== 'fetchOffset') tell(message)
        else message.requester.reply({ type: 'success', offset: latest, leaderEpoch: 4 } as never)
        latest = 100
      }
    })
    expect(await search.find(sought(6))).to.deep.equal({ type: 'found', baseOffset: 60 })
  })

  it('is not held up by hundreds of partitions without a leader', async () => {
    const { tell } = partition
    const stuck: FetchOffset[] = []
    Object.assign(partition, {
      tell(message: RouterMessage) {
        if ((message as FetchOffset).topicPartition.topic === 'stuck') stuck.push(message as FetchOffset)
        else tell(message)
      }
    })
    const others = Array.from({ length: 300 }, () => search.find(sought(4, { topic: 'stuck' })))
    expect(await search.find(sought(4))).to.deep.equal({ type: 'found', baseOffset: 40 })
    search.close()
    for (const { requester } of stuck) requester.reply({ type: 'timedOut' } as never)
    await clock.tickAsync(1_000)
    for (const finding of await Promise.all(others)) expect(finding.type).to.equal('unknown')
  })

  it('is not given up for the time in which the reads of others have held it up', async () => {
    partition.holds = true
    const searches = Array.from({ length: 8 }, () => search.find(sought(77)))
    const last = search.find(sought(77)).then(finding => ({ ...finding, afterMs: clock.now }))
    // Three questions for where to read, and ten batches.
    for (let call = 0; call < 13; call++) {
      for (const answer of partition.open.splice(0)) answer()
      await clock.tickAsync(3_000)
    }
    partition.instead.set(0, { type: 'timedOut' })
    partition.holds = false
    for (const answer of partition.open.splice(0)) answer()
    for (const finding of await Promise.all(searches)) expect(finding.type).to.equal('absent')
    await clock.tickAsync(70_000)
    expect(await last).to.deep.equal({
      type: 'unknown',
      reason: 'the question to the broker has ended with timedOut',
      afterMs: 90_000
    })
  })

  it('reads eight partitions at a time', async () => {
    partition.holds = true
    const all = Array.from({ length: 30 }, (_, at) => search.find(sought(at % 10)))
    let isOver = false
    const found = Promise.all(all).finally(() => (isOver = true))
    for (; !isOver; await clock.tickAsync(1)) partition.open.shift()?.()
    expect((await found).map(({ type }) => type)).to.deep.equal(all.map(() => 'found'))
    expect(partition.mostReading).to.equal(8)
  })

  it('leaves no timer when it is closed, in a pause or while a broker is asked', async () => {
    partition.endTold = { type: 'timedOut' }
    const pausing = search.find(sought(4))
    await clock.tickAsync(100)
    partition.holds = true
    const asking = search.find(sought(4))
    await clock.tickAsync(100)
    search.close()
    partition.holds = false
    for (const answer of partition.open.splice(0)) answer()
    await clock.tickAsync(0)
    expect(clock.countTimers()).to.equal(0)
    for (const finding of await Promise.all([pausing, asking])) expect(finding.type).to.equal('unknown')
  })

  it('asks nothing once it is closed', async () => {
    search.close()
    expect(await search.find(sought(4))).to.include({ type: 'unknown' })
    expect(partition.asked).to.deep.equal([])
  })

  it('asks again how long brokers remember producers in another cluster, whatever a broker of the former one answers then', async () => {
    const asked: { requester: { reply(answer: object): void } }[] = []
    Object.assign(partition, {
      tell(message: { type: string; requester: { reply(answer: object): void } }) {
        if (message.type === 'describeConfigs') asked.push(message)
        else message.requester.reply({ type: 'success', brokers: [{ nodeId: 1 }], topics: new Map() })
      }
    })
    const configs = (ms: number) => new Map([['1', [{ name: 'producer.id.expiration.ms', value: String(ms) }]]])
    const isRemembered = { isForgotten: false, sinceMs: NOW - 12 * HOUR_MS }
    const former = search.find(sought(4, isRemembered))
    await clock.tickAsync(0)
    search.clusterChanged()
    const present = search.find(sought(4, isRemembered))
    await clock.tickAsync(0)
    asked[1]!.requester.reply({ type: 'success', configs: configs(24 * HOUR_MS) })
    expect(await present).to.include({ type: 'absent' })
    asked[0]!.requester.reply({ type: 'success', configs: configs(HOUR_MS) })
    expect(await former).to.include({ type: 'absent' })
    expect(search.mayBeForgotten(NOW - 12 * HOUR_MS)).to.equal(false)
    expect(search.mayBeForgotten(NOW - 48 * HOUR_MS)).to.equal(true)
  })
})
