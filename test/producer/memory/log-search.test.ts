import { expect } from 'chai'
import sinon from 'sinon'
import { type BatchOrigin, type Offset, silentLogger } from '../../../src/core/model.js'
import { LogSearch } from '../../../src/producer/memory/log-search.js'
import type { SoughtBatch } from '../../../src/producer/memory/partition-search.js'
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
  let nowMs: number
  beforeEach(() => {
    partition = new Partition()
    nowMs = 0
    search = new LogSearch({
      router: partition as never,
      clock: () => nowMs,
      now: () => NOW,
      log: silentLogger,
      metrics: new CountingMetrics()
    })
  })

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

  it('stops after many bytes, and goes on there', async () => {
    partition.batchBytes = 16 * MIB
    expect(await search.find(sought(6))).to.deep.equal({
      type: 'later',
      from: 40,
      queuedMs: 0,
      reason: 'the search has not reached the end of the log'
    })
    expect(await search.find(sought(6, { from: 40 }))).to.deep.equal({ type: 'found', baseOffset: 60 })
  })

  it('stops when it takes long', async () => {
    partition.instead.set(20, {
      type: 'success',
      origins: [],
      nextOffset: 30,
      get sizeBytes() {
        nowMs += 30_000
        return 1
      }
    })
    expect(await search.find(sought(6))).to.include({ type: 'later', from: 30 })
  })

  for (const [what, answer, finding] of [
    ['a broker does not answer', { type: 'timedOut' }, 'later'],
    ['the broker does not know the partition', { type: 'unknownTopicOrPartition' }, 'later'],
    ['records are deleted', { type: 'offsetOutOfRange' }, 'later'],
    ['an error passes', { type: 'failed', message: 'busy', retriable: true }, 'later'],
    ['records may not be read', { type: 'failed', message: 'denied', retriable: false }, 'unknown'],
    ['the log is damaged', { type: 'corruptMessage' }, 'unknown']
  ] as const) {
    it(`tells ${finding} when ${what}`, async () => {
      partition.instead.set(30, answer)
      expect(await search.find(sought(6))).to.include({ type: finding })
    })
  }

  it('tells later, not absent, before it has read up to the end of the log of the leader', async () => {
    partition.unreplicated = 40
    expect(await search.find(sought(6))).to.include({ type: 'later', from: 60 })
    partition.unreplicated = 0
    expect(await search.find(sought(6, { from: 60 }))).to.deep.equal({ type: 'found', baseOffset: 60 })
  })

  it('tells later when a new leader cannot give records that it has, though it tells their end soon after', async () => {
    partition.instead.set(30, {
      get type() {
        partition.instead.delete(30)
        return 'noMessages'
      }
    })
    expect(await search.find(sought(6))).to.include({ type: 'later', from: 30 })
    expect(await search.find(sought(6, { from: 30 }))).to.deep.equal({ type: 'found', baseOffset: 60 })
  })

  it('tells later when the leader changes, or does not tell the end of its log', async () => {
    for (const endTold of [{ currentLeaderEpoch: 5 }, { leaderEpoch: 3 }, { type: 'notFound' }, { type: 'timedOut' }]) {
      partition.endTold = endTold
      expect(await search.find(sought(77))).to.include({ type: 'later' })
    }
    partition.endTold = {}
    partition.leaderEpoch = undefined
    expect(await search.find(sought(77))).to.include({ type: 'unknown' })
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
    for (const { requester } of stuck) requester.reply({ type: 'timedOut' } as never)
    for (const finding of await Promise.all(others)) expect(finding.type).to.equal('later')
  })

  it('tells for how long the reads of others have held it up, which is no reason to lose patience', async () => {
    partition.holds = true
    const all = Array.from({ length: 9 }, () => search.find(sought(77)))
    const last = all.at(-1)!
    const turn = () => new Promise(setImmediate)
    for (let call = 0; call < 3; call++) {
      for (const answer of partition.open.splice(0)) answer()
      await turn()
    }
    nowMs += 55_000
    partition.instead.set(0, { type: 'timedOut' })
    partition.holds = false
    for (const answer of partition.open.splice(0)) answer()
    expect(await last).to.include({ type: 'later', queuedMs: 55_000 })
  })

  it('reads eight partitions at a time', async () => {
    const clock = sinon.useFakeTimers()
    try {
      partition.holds = true
      const all = Array.from({ length: 30 }, (_, at) => search.find(sought(at % 10)))
      let isOver = false
      const found = Promise.all(all).finally(() => (isOver = true))
      for (; !isOver; await clock.tickAsync(1)) partition.open.shift()?.()
      expect((await found).map(({ type }) => type)).to.deep.equal(all.map(() => 'found'))
      expect(partition.mostReading).to.equal(8)
    } finally {
      clock.restore()
    }
  })

  it('asks nothing once it is closed', async () => {
    search.close()
    expect(await search.find(sought(4))).to.include({ type: 'later' })
    expect(partition.asked).to.deep.equal([])
  })
})
