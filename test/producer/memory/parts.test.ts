import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { CodecUnavailableError } from '../../../src/kafka/compression-errors.js'
import { DeliveryMetrics, type DeliveryStats } from '../../../src/producer/memory/delivery.js'
import type { ScheduledProducer } from '../../../src/producer/memory/partition-schedule.js'
import { PartitionSchedule } from '../../../src/producer/memory/partition-schedule.js'
import { checkRecord } from '../../../src/producer/memory/record-checks.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { turns } from '../../support/ticks.js'

describe('delivery: a record', () => {
  const problem = (record: object, maxBytes = 10): string | undefined =>
    checkRecord({ topic: 'orders', key: null, value: null, ...record } as never, maxBytes)?.code

  it('may be as large as the limit, in bytes, with its headers', () => {
    for (const record of [
      { key: '12345', value: '12345' },
      { key: Buffer.alloc(5), value: Buffer.alloc(5) },
      { value: 'äääää' },
      { key: '1', value: '1234', headers: [{ key: 'ä', value: Buffer.alloc(3) }] },
      { value: '123456789', headers: [{ key: '1', value: null }] },
      { value: '', headers: [] }
    ]) {
      expect(problem(record), JSON.stringify(record)).to.equal(undefined)
      expect(problem(record, 9), JSON.stringify(record)).to.equal(record.value === '' ? undefined : 'recordTooLarge')
    }
  })

  it('has bytes, text or nothing for key and value, and headers of text with bytes or nothing', () => {
    for (const record of [
      { key: 7 },
      { value: {} },
      { topic: 7 },
      { headers: {} },
      { headers: [null] },
      { headers: [{ key: 7, value: null }] },
      { headers: [{ key: 'a', value: 'text' }] },
      { headers: [{ key: 'a' }] },
      { headers: [{ key: 'a', value: null }, 'b'] }
    ]) {
      expect(problem(record), JSON.stringify(record)).to.equal('invalidRequest')
    }
    const number = { topic: 't', key: null, value: null, headers: [{ key: 'a', value: 1 }] } as never
    expect(checkRecord(number, 10)?.message).to.equal(
      'the key of a header has to be a string, and its value bytes or null'
    )
    expect(checkRecord(null as never, 10)?.code).to.equal('invalidRequest')
    expect(checkRecord('record' as never, 10)?.code).to.equal('invalidRequest')
  })

  it('names a partition and a time that there can be', () => {
    for (const partition of [0, 0x7fff_ffff]) expect(problem({ partition })).to.equal(undefined)
    for (const partition of [-1, 0x8000_0000, 1.5]) expect(problem({ partition })).to.equal('unknownPartition')
    for (const timestampMs of [0, Number.MAX_SAFE_INTEGER]) expect(problem({ timestampMs })).to.equal(undefined)
    for (const timestampMs of [-1, 2 ** 53, 0.5]) expect(problem({ timestampMs })).to.equal('invalidRequest')
  })
})

describe('delivery: metrics', () => {
  const stats = (more: Partial<DeliveryStats>): DeliveryStats =>
    ({
      ...{ delivered: 0, failed: 0, withdrawn: 0, refused: 0, retries: 0, bufferedRecords: 0, bufferedBytes: 0 },
      ...{ stuckBytes: 0, unknownTopics: 0, producers: 0, producersBackingOff: 0, oldestRecordAgeMs: 0 },
      ...more
    }) as DeliveryStats

  it('add what has come since the last report, and show what is', () => {
    const told = new CountingMetrics()
    const metrics = new DeliveryMetrics(told, 1_000)
    expect(told.gaugeOf('buffer_limit_bytes')).to.equal(1_000)
    metrics.report(stats({ delivered: 5, failed: 1, withdrawn: 2, refused: 3, retries: 4, producers: 2 }))
    metrics.report(stats({ delivered: 7, failed: 1, withdrawn: 3, refused: 3, retries: 4, bufferedBytes: 9 }))
    const counters = ['delivered_records', 'failed_records', 'withdrawn_records', 'refused_records', 'retried_batches']
    expect(counters.map(name => told.of(name))).to.deep.equal([7, 1, 3, 3, 4])
    expect([told.gaugeOf('partitions'), told.gaugeOf('buffered_bytes')]).to.deep.equal([0, 9])
  })

  it('tell ages in seconds, and waits in nanoseconds', () => {
    const told = new CountingMetrics()
    const metrics = new DeliveryMetrics(told, 1_000)
    metrics.report(stats({ oldestRecordAgeMs: 1_500 }))
    expect(told.gaugeOf('oldest_record_age_seconds')).to.equal(1.5)
    metrics.report(stats({ oldestRecordAgeMs: 0 }))
    expect(told.gaugeOf('oldest_record_age_seconds')).to.equal(0)
    metrics.waitedForCapacity(3)
    metrics.waitedInPartition(5)
    expect([told.millisecondsOf('capacity_wait'), told.millisecondsOf('partition_wait')]).to.deep.equal([3, 5])
  })

  it('send nothing that has not changed', () => {
    const sent: string[] = []
    const note = (_: string, name: string): void => void sent.push(name)
    const metrics = new DeliveryMetrics({ count: note, gauge: note, time: note }, 1_000)
    metrics.report(stats({ delivered: 5, producers: 2, oldestRecordAgeMs: 7 }))
    sent.length = 0
    metrics.report(stats({ delivered: 5, producers: 2, oldestRecordAgeMs: 7 }))
    expect(sent).to.deep.equal([])
    metrics.report(stats({ delivered: 6, producers: 3, oldestRecordAgeMs: 7 }))
    expect(sent).to.deep.equal(['delivered_records', 'partitions'])
  })

  it('are all of delivery, each under its name', () => {
    const gauges: Record<string, number> = {}
    const note = (component: string, name: string, _tags: object, value: number): void =>
      void (gauges[`${component} ${name}`] = value)
    const metrics = new DeliveryMetrics({ count: note, gauge: note, time: note } as never, 1_000)
    const buffered = { bufferedRecords: 1, bufferedBytes: 2, stuckBytes: 3 }
    metrics.report(
      stats({ ...buffered, unknownTopics: 4, producers: 5, producersBackingOff: 6, failed: 7, withdrawn: 8 })
    )
    expect(gauges).to.deep.equal({
      'delivery buffer_limit_bytes': 1_000,
      'delivery buffered_records': 1,
      'delivery buffered_bytes': 2,
      'delivery stuck_bytes': 3,
      'delivery unknown_topics': 4,
      'delivery partitions': 5,
      'delivery partitions_backing_off': 6,
      'delivery failed_records': 7,
      'delivery withdrawn_records': 8,
      'delivery oldest_record_age_seconds': 0
    })
  })
})

describe('delivery: partitions that have something to send', () => {
  const NOTHING = Symbol('nothing to send')
  const producerOf = (name: string, batch: unknown = name) => {
    const producer = {
      topic: name,
      partition: 0,
      ticks: [] as number[],
      closed: undefined as unknown,
      take: (): unknown => {
        if (batch instanceof Error) throw batch
        return batch === NOTHING ? undefined : batch
      },
      tick: (nowMs: number) => void producer.ticks.push(nowMs),
      close: (failureOf: (maybeWritten: boolean) => unknown) => (producer.closed = failureOf(true))
    }
    return producer as typeof producer & ScheduledProducer
  }
  const scheduleOf = (sent: unknown[], beforeSending?: () => Promise<unknown>): PartitionSchedule =>
    new PartitionSchedule({
      router: { path: '', tell: (message: unknown) => sent.push(message), stop: () => {} } as never,
      clock: () => 0,
      log: silentLogger,
      beforeSending
    })

  it('take turns over several ticks where there are thousands, in order, and each once', async () => {
    const sent: { batches: string[] }[] = []
    const schedule = scheduleOf(sent)
    const names = Array.from({ length: 2_500 }, (_, at) => `t${at}`)
    for (const name of names) schedule.ready(producerOf(name))
    await turns(1)
    schedule.ready(producerOf('later'))
    const most = sent[0]!.batches.length
    expect(most).to.be.within(1, 200)
    await turns(15)
    expect(sent.flatMap(({ batches }) => batches)).to.deep.equal([...names, 'later'])
    expect(sent.every(({ batches }) => batches.length <= most)).to.equal(true)
  })

  it('are emptied one by one when they meet a bug: the others send', async () => {
    const sent: { batches: unknown[] }[] = []
    const schedule = scheduleOf(sent)
    const broken = producerOf('broken', new TypeError('a bug'))
    schedule.ready(broken)
    schedule.ready(producerOf('b'))
    await turns(2)
    expect(sent.map(({ batches }) => batches)).to.deep.equal([['b']])
    expect(broken.closed).to.include({ persisted: 'unknown' })
    expect(broken.closed).to.have.property('message').that.contains('a bug')
  })

  it('are told what is missing where their compression is not available', async () => {
    const sent: unknown[] = []
    const schedule = scheduleOf(sent)
    const producer = producerOf('a', new CodecUnavailableError('zstd', 'zstd-package', new Error('no binary')))
    schedule.ready(producer)
    await turns(2)
    expect([sent, producer.closed]).to.deep.equal([
      [],
      {
        type: 'failed',
        code: 'protocol',
        errorCode: undefined,
        message: 'zstd is not available here: the package zstd-package cannot be loaded (no binary)',
        persisted: 'unknown',
        retriable: false
      }
    ])
  })
})
