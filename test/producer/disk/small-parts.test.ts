import { expect } from 'chai'
import fc from 'fast-check'
import type { MetricsLogger } from '../../../src/core/metrics/metrics-logger.js'
import type { RecordOutcome } from '../../../src/core/model.js'
import {
  type BatchNote,
  decodeBatchNote,
  encodeBatchNote,
  noteKeyOf,
  partitionOfNoteKey
} from '../../../src/producer/disk/batch-notes.js'
import { DurableMetrics, type DurableStats, LogMetrics } from '../../../src/producer/disk/durable-metrics.js'
import { clusterOf } from '../../../src/producer/disk/durable-queue.js'
import { refusalFor } from '../../../src/producer/disk/log-capacity.js'
import { numberOfPartitioner, partitionerOfNumber, toLoggedRecord } from '../../../src/producer/disk/logged.js'
import { FormerBatches } from '../../../src/producer/disk/recalled-batches.js'
import { DurablePendingProduce, Waiters } from '../../../src/producer/disk/record-outcomes.js'
import type { LogStats } from '../../../src/producer/log/availability.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import { failures } from '../../../src/producer/memory/failures.js'
import { partitioners } from '../../../src/producer/memory/partitioners.js'

const note: BatchNote = {
  clusterId: 'cluster-1',
  topicId: 'AAAA',
  numbering: { producerId: 2n ** 62n + 1n, epoch: 32_767, nextSequence: 2 ** 31 - 1 },
  partitionCount: 2 ** 31 - 1,
  sequences: [1, 2, 130, 16_000_000, 2 ** 45]
}

describe('durable: the note of a batch that was sent', () => {
  it('is read as it was written, whatever its sequences are', () => {
    const gaps = fc.array(fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 46 })), {
      maxLength: 40
    })
    fc.assert(
      fc.property(
        gaps,
        fc.constantFrom('', 'c', 'cluster-ё'),
        fc.constantFrom('', 'AAAA'),
        (all, clusterId, topicId) => {
          let last = 0
          const sequences = all.map(gap => (last += gap)).filter(Number.isSafeInteger)
          const each = { ...note, clusterId, topicId, sequences }
          expect(decodeBatchNote(encodeBatchNote(each))).to.deep.equal(each)
        }
      )
    )
    for (const distance of [127, 128, 16_383, 16_384]) {
      expect(decodeBatchNote(encodeBatchNote({ ...note, sequences: [distance] }))?.sequences).to.deep.equal([distance])
    }
  })

  it('takes a byte for a short distance, two for one above 127', () => {
    const lengthOf = (sequences: readonly number[]): number => encodeBatchNote({ ...note, sequences }).length
    expect([lengthOf([127]), lengthOf([127, 254]), lengthOf([128])].map(each => each - lengthOf([]))).to.deep.equal([
      1, 2, 2
    ])
  })

  it('is none when bytes are missing, or another release wrote it', () => {
    const bytes = encodeBatchNote(note)
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeBatchNote(bytes.subarray(0, length)), `${length} bytes`).to.equal(undefined)
    }
    const other = Buffer.from(bytes)
    other[0] = 2
    expect(decodeBatchNote(other)).to.equal(undefined)
    expect(decodeBatchNote(encodeBatchNote({ ...note, clusterId: '', topicId: '', sequences: [] }))).to.not.equal(
      undefined
    )
  })

  it('has a key that tells its partition, also where names have slashes', () => {
    expect(noteKeyOf('default/orders', 3)).to.equal('batch/default/orders/3')
    for (const [destination, partition] of [
      ['default/orders', 0],
      ['eu/west/orders', 12],
      ['x', 1]
    ] as const) {
      expect(partitionOfNoteKey(noteKeyOf(destination, partition))).to.deep.equal({ destination, partition })
    }
    for (const key of ['', 'batch', 'batch/', 'batch/3', 'notes/default/orders/3', 'batches/3/4']) {
      expect(partitionOfNoteKey(key), key).to.equal(undefined)
    }
  })
})

describe('durable: batches of a former number of partitions', () => {
  const byLength = (key: unknown, count: number): number => String(key).length % count

  it('hold up later records of their keys, which go elsewhere now, until all their records are in Kafka', () => {
    const former = new FormerBatches()
    expect(former.isEmpty).to.equal(true)
    former.add(1, 2, [10, 12])
    former.add(3, 4, [11])
    expect([former.isEmpty, former.countOf(1), former.countOf(3), former.countOf(0)]).to.deep.equal([
      false,
      2,
      4,
      undefined
    ])
    const holdsUp = (key: string, partition: number): boolean => former.holdsUp(key, partition, byLength, 'orders')
    expect([holdsUp('a', 2), holdsUp('a', 1), holdsUp('ab', 2), holdsUp('abc', 0)]).to.deep.equal([
      true,
      false,
      false,
      true
    ])
    expect([former.settled(99), former.settled(10), former.settled(10), former.settled(12)]).to.deep.equal([
      false,
      false,
      false,
      true
    ])
    expect([holdsUp('a', 2), holdsUp('abc', 0)]).to.deep.equal([false, true])
    former.forget(3)
    expect([former.isEmpty, former.settled(11), holdsUp('abc', 0)]).to.deep.equal([true, false, false])
  })

  it('keep the first number that is known of a partition, and none without records', () => {
    const former = new FormerBatches()
    former.add(1, 2, [])
    expect(former.isEmpty).to.equal(true)
    former.add(1, 2, [10])
    former.add(1, 8, [11])
    expect([former.countOf(1), former.settled(11), former.settled(10)]).to.deep.equal([2, false, true])
    former.add(1, 8, [11])
    former.clear()
    expect([former.isEmpty, former.countOf(1)]).to.deep.equal([true, undefined])
  })
})

describe('durable: partitioners in the log', () => {
  it('have numbers that never change, and a later one finds Java’s', () => {
    const names = ['murmur2', 'crc32', 'fnv1a', 'javaHashCode', 'phash2', 'random', 'roundRobin'] as const
    expect(names.map(numberOfPartitioner)).to.deep.equal([0, 1, 2, 3, 4, 5, 6])
    expect(names.map((_, number) => partitionerOfNumber(number))).to.deep.equal(names)
    expect([partitionerOfNumber(), partitionerOfNumber(7)]).to.deep.equal(['murmur2', 'murmur2'])
    expect(Object.keys(partitioners)).to.have.members(names)
  })
})

describe('durable: a record as the log keeps it', () => {
  it('has bytes for text, tells null from empty, and has the time of its arrival where none is given', () => {
    const record = { topic: 'orders', key: 'ключ', value: null }
    expect(toLoggedRecord(record, 'crc32', 77)).to.deep.equal({
      partition: undefined,
      partitioner: 1,
      key: Buffer.from('ключ'),
      value: null,
      headers: [],
      timestampMs: 77,
      isTimeGiven: false
    })
    const headers = [{ key: 'h', value: null }]
    const full = { ...record, key: '', value: Buffer.from('v'), partition: 0, headers, timestampMs: 0 }
    expect(toLoggedRecord(full, 'murmur2', 77)).to.deep.equal({
      partition: 0,
      partitioner: 0,
      key: Buffer.alloc(0),
      value: Buffer.from('v'),
      headers,
      timestampMs: 0,
      isTimeGiven: true
    })
  })

  it('belongs to the cluster whose name is before the last slash', () => {
    expect(['default/orders', 'eu/west/orders'].map(clusterOf)).to.deep.equal(['default', 'eu/west'])
  })
})

describe('durable: what is taken of a log that fills', () => {
  it('is half of it for topics that Kafka does not have, three quarters for those it was not asked about', () => {
    const isTaken = (standing: 'known' | 'denied' | 'unknown', share: number): boolean =>
      refusalFor(standing, share) === undefined
    expect([isTaken('denied', 0.49), isTaken('denied', 0.5)]).to.deep.equal([true, false])
    expect([isTaken('unknown', 0.74), isTaken('unknown', 0.75)]).to.deep.equal([true, false])
    expect([isTaken('known', 0.999), isTaken('known', 1)]).to.deep.equal([true, false])
    expect(refusalFor('denied', 0.558)?.message).to.match(/^55 % of the durable log .* taken up to 50 %$/)
  })
})

describe('durable: who waits for records', () => {
  const delivered = { type: 'delivered', partition: 0, offset: 5, timestampMs: 1 } as unknown as RecordOutcome
  const pendingOf = (records: number, deadlineAt: number): DurablePendingProduce => {
    const pendingProduce = new DurablePendingProduce(records, deadlineAt)
    pendingProduce.handedOn()
    pendingProduce.stored()
    return pendingProduce
  }
  const outcomesOf = async (pendingProduce: DurablePendingProduce): Promise<string[]> =>
    (await pendingProduce.outcomes()).map(outcome => (outcome.type === 'delivered' ? 'delivered' : outcome.message))

  it('is told of each record once all are in Kafka', async () => {
    const waiters = new Waiters()
    const pendingProduce = pendingOf(2, 100)
    waiters.add(7, pendingProduce, 1)
    waiters.add(6, pendingProduce, 0)
    expect(waiters.count).to.equal(1)
    waiters.settle(99, delivered)
    waiters.settle(7, delivered)
    expect([pendingProduce.isComplete, waiters.count]).to.deep.equal([false, 1])
    waiters.settle(7, failures.shuttingDown())
    waiters.settle(6, delivered)
    expect([pendingProduce.isComplete, waiters.count]).to.deep.equal([true, 0])
    expect(await outcomesOf(pendingProduce)).to.deep.equal(['delivered', 'delivered'])
  })

  it('waits until the deadline, to the millisecond, and is told why nothing more came', async () => {
    const waiters = new Waiters()
    const [soon, later] = [pendingOf(2, 100), pendingOf(1, 101)]
    waiters.add(1, soon, 0)
    waiters.add(2, soon, 1)
    waiters.add(3, later, 0)
    waiters.settle(1, delivered)
    waiters.tick(99, () => expect.fail('nobody is told yet'))
    expect(waiters.count).to.equal(2)
    waiters.tick(100, () => 'kafka is away')
    expect([soon.isComplete, later.isComplete, waiters.count]).to.deep.equal([true, false, 1])
    const [first, second] = await outcomesOf(soon)
    expect([first, second?.includes('kafka is away')]).to.deep.equal(['delivered', true])
    waiters.settle(2, delivered)
    waiters.close('shutting down')
    expect([later.isComplete, waiters.count]).to.deep.equal([true, 0])
    expect((await outcomesOf(later))[0]).to.contain('shutting down')
  })

  it('learns of refusals in two parts: those at once, and those of the disk', async () => {
    const pendingProduce = new DurablePendingProduce(3, 100)
    pendingProduce.refuse(0, failures.shuttingDown())
    pendingProduce.handedOn()
    let accepted: unknown = 'not yet'
    void pendingProduce.accepted().then(refusals => (accepted = refusals?.map(refusal => refusal?.code)))
    await Promise.resolve()
    expect(accepted).to.equal('not yet')
    pendingProduce.refuse(2, failures.logUnavailable('the disk is full'))
    pendingProduce.stored()
    await pendingProduce.accepted()
    expect(pendingProduce.refused?.map(refusal => refusal?.code)).to.deep.equal(['shuttingDown', undefined, undefined])
    const late = await pendingProduce.accepted()
    expect(late?.map(refusal => refusal !== undefined)).to.deep.equal([true, false, true])
  })
})

describe('durable: what metrics are told', () => {
  let told: string[]
  let metrics: MetricsLogger
  beforeEach(() => {
    told = []
    metrics = {
      count: (component, name, _, value) => told.push(`${component}.${name} +${value}`),
      gauge: (component, name, _, value) => told.push(`${component}.${name} ${value}`),
      time: () => undefined
    }
  })

  it('is what was counted since it was told last, and how things stand', () => {
    const stats: DurableStats = {
      accepted: 5,
      delivered: 3,
      refused: 0,
      deadLettered: 1,
      retries: 2,
      failed: 0,
      withdrawn: 0,
      topics: 4,
      producers: 8,
      retentionShare: 0,
      producersBackingOff: 1
    }
    const reporting = new DurableMetrics(metrics)
    reporting.report(stats)
    const gauges = [
      'durable.topics 4',
      'durable.partitions 8',
      'durable.partitions_backing_off 1',
      'durable.backlog_retention_ratio 0'
    ]
    expect(told).to.have.members([
      'durable.accepted_records +5',
      'durable.delivered_records +3',
      'durable.dead_lettered_records +1',
      'durable.retried_batches +2',
      ...gauges
    ])
    told.length = 0
    reporting.report({ ...stats, accepted: 7, refused: 1 })
    expect(told).to.have.members(['durable.accepted_records +2', 'durable.refused_records +1', ...gauges])
  })

  it('is of the log its limits at once, and its state later', () => {
    const reporting = new LogMetrics(metrics, walSettings.parse({ maxBytes: 1_000, readAheadBytes: 500 }))
    expect(told).to.include.members([
      'wal.limit_bytes 1000',
      'wal.read_ahead_limit_bytes 500',
      'wal.syncs +0',
      'wal.open_records 0',
      'wal.outcome_bytes 0',
      'wal.lost_outcomes 0',
      'wal.damaged_files 0',
      'wal.writable 1',
      'wal.read_ahead_bytes 0'
    ])
    const stats: LogStats = {
      state: 'full',
      segmentCount: 2,
      sizeBytes: 300,
      openEntries: 6,
      enqueued: 9,
      completed: 3,
      damagedEntries: 1,
      syncs: 4,
      setAsideEntries: 0,
      quarantinedSegments: 5,
      deadLetters: 7,
      hasOutcomes: true,
      outcomeBytes: 8,
      lostOutcomes: 9,
      damagedFiles: 3
    }
    told.length = 0
    reporting.report(stats, 2_500, 90)
    expect(told).to.have.members([
      'wal.open_records 6',
      'wal.dead_letters 7',
      'wal.outcome_bytes 8',
      'wal.lost_outcomes 9',
      'wal.damaged_files 3',
      'wal.size_bytes 300',
      'wal.segments 2',
      'wal.damaged_records 1',
      'wal.quarantined_segments 5',
      'wal.writable 0',
      'wal.oldest_record_age_seconds 2.5',
      'wal.read_ahead_bytes 90',
      'wal.syncs +4'
    ])
    told.length = 0
    reporting.report({ ...stats, state: 'ok' }, 0, 0)
    expect(told).to.include('wal.writable 1').and.not.include('wal.syncs +0')
    reporting.report({ ...stats, syncs: 6 }, 0, 0)
    expect(told).to.include('wal.syncs +2')
  })
})
