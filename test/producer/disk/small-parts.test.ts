import { expect } from 'chai'
import fc from 'fast-check'
import type { MetricsLogger } from '../../../src/core/metrics/metrics-logger.js'
import {
  type BatchNote,
  decodeBatchNote,
  encodeBatchNote,
  noteKeyOf,
  partitionOfNoteKey
} from '../../../src/producer/disk/batch-notes.js'
import { LogMetrics } from '../../../src/producer/disk/durable-metrics.js'
import { refusalFor } from '../../../src/producer/disk/log-capacity.js'
import { numberOfPartitioner, partitionerOfNumber, toLoggedRecord } from '../../../src/producer/disk/logged.js'
import { DurablePendingProduce } from '../../../src/producer/disk/record-outcomes.js'
import { FormerBatches } from '../../../src/producer/disk/returning-batches.js'
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
  it('learns of refusals in two parts: those at once, and those of the disk', async () => {
    const pendingProduce = new DurablePendingProduce(3, 100)
    pendingProduce.refuse(0, failures.shuttingDown())
    pendingProduce.passedToLog()
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

  it('is the limits of the log at once, and its state later', () => {
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
      deadDestinations: [],
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
