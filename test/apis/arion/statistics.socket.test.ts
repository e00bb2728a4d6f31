import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { expect } from 'chai'
import { ArionMetrics, diskStats, KafkaStats, memoryStats } from '../../../src/apis/arion/arion-metrics.js'
import { produceOptions } from '../../../src/apis/arion/producer.js'
import { arionSettings } from '../../../src/apis/arion/settings.js'
import type { ErrorCode } from '../../../src/core/errors.js'
import { counterFamily, gaugeFamily } from '../../../src/core/metrics/family.js'
import { createPrometheusMetrics, registerFamily } from '../../../src/core/metrics/prometheus.js'
import type { DurableLogStats } from '../../../src/verbs/verbs.js'
import { FakeVerbs, failure } from '../../support/fake-verbs.js'
import { ask, jsonOf, serveArion } from './stage.js'

describe("arion: what is sent to StatsD under Arion's names", () => {
  const measured = (): { metrics: ArionMetrics; values: () => Record<string, number>; pass: (ms: number) => void } => {
    let clock = 1_000
    const metrics = new ArionMetrics(createPrometheusMetrics(), () => clock)
    return {
      metrics,
      values: () => Object.fromEntries(metrics.toValues().map(({ name, value }) => [name, value])),
      pass: ms => (clock += ms)
    }
  }

  it('has a value for everything from the start, and counts the start', () => {
    const { values } = measured()
    const all = values()
    const meters = ['start', 'stop', 'api.success', 'api.client_error', 'api.server_error', 'api.idle_close']
    for (const name of [...meters, 'broadcast.attempt', 'broadcast.error']) {
      expect(all[`arion.${name}.count`], name).to.equal(name === 'start' ? 1 : 0)
      expect(all, name).to.include.keys(`arion.${name}.m1_rate`, `arion.${name}.m15_rate`, `arion.${name}.mean_rate`)
    }
    const timers = ['broadcast.time', 'api.connection_duration', 'api.sync_put_time', 'api.async_put_time']
    for (const name of [...timers, 'api.websocket_put_time']) {
      expect(all[`arion.${name}.count`], name).to.equal(0)
      expect(all, name).to.include.keys(`arion.${name}.p99`, `arion.${name}.max`, `arion.${name}.m5_rate`)
    }
    expect(all).to.include({ 'arion.queue.message_size.count': 0, 'arion.api.connections': 0 })
  })

  it('counts answers by what they mean', () => {
    const { metrics, values } = measured()
    for (const status of [101, 200, 201, 399, 400, 404, 499, 500, 504]) metrics.answered(status)
    expect(values()).to.include({
      'arion.api.success.count': 4,
      'arion.api.client_error.count': 3,
      'arion.api.server_error.count': 2
    })
  })

  it('measures messages: their size, how long they took, which failed', () => {
    const { metrics, values, pass } = measured()
    metrics.attempted(100)
    metrics.attempted(300)
    metrics.settled(true, 20)
    metrics.settled(false, 999)
    metrics.put('sync', 5)
    metrics.put('async', 6)
    metrics.put('websocket', 7)
    pass(2_000)
    expect(values()).to.include({
      'arion.broadcast.attempt.count': 2,
      'arion.broadcast.attempt.mean_rate': 1,
      'arion.broadcast.error.count': 1,
      'arion.broadcast.time.count': 1,
      'arion.broadcast.time.max': 20,
      'arion.queue.message_size.count': 2,
      'arion.queue.message_size.mean': 200,
      'arion.queue.message_size.max': 300,
      'arion.api.sync_put_time.max': 5,
      'arion.api.async_put_time.max': 6,
      'arion.api.websocket_put_time.max': 7
    })
  })

  it('measures each connection once, from its first request on', () => {
    let clock = 0
    const metrics = new ArionMetrics(createPrometheusMetrics(), () => clock)
    const socket = Object.assign(new EventEmitter(), { destroyed: false }) as unknown as Socket
    metrics.watch(socket)
    metrics.watch(socket)
    metrics.watch(Object.assign(new EventEmitter(), { destroyed: true }) as unknown as Socket)
    const values = (): Record<string, number> =>
      Object.fromEntries(metrics.toValues().map(({ name, value }) => [name, value]))
    expect(values()).to.include({ 'arion.api.connections': 1, 'arion.api.connection_duration.count': 0 })
    clock = 40
    socket.emit('close')
    expect(values()).to.include({
      'arion.api.connections': 0,
      'arion.api.connection_duration.count': 1,
      'arion.api.connection_duration.max': 40
    })
  })

  it('tells Prometheus of messages by websocket', async () => {
    const prometheus = createPrometheusMetrics()
    const metrics = new ArionMetrics(prometheus, () => 0)
    for (const isSent of [true, true, false]) metrics.websocketAnswered(isSent)
    metrics.inFlight.value = 5
    const text = await prometheus.registry.metrics()
    expect(text).to.include('castellan_arion_websocket_messages_total{outcome="sent"} 2')
    expect(text).to.include('castellan_arion_websocket_messages_total{outcome="failed"} 1')
    expect(text).to.include('castellan_arion_websocket_messages_in_flight 5')
  })
})

describe('arion: the measurements of Kafka that clients read', () => {
  function stage() {
    const metrics = createPrometheusMetrics()
    let clock = 100_000
    const stats = new KafkaStats(metrics, () => clock)
    const family = (kind: typeof counterFamily, name: string) => {
      const made = kind(name, name)
      registerFamily(metrics.registry, made)
      return (labels = {}) => made.series(labels)
    }
    return {
      counter: (name: string) => family(counterFamily, name),
      gauge: (name: string) => family(gaugeFamily as typeof counterFamily, name),
      pass: (ms: number) => (clock += ms),
      read: () => stats.read()
    }
  }

  it('have rates over the last ten seconds or more, not over the life of the process', async () => {
    const { counter, pass, read } = stage()
    const delivered = counter('castellan_delivery_delivered_records_total')
    delivered({ topic: 'a' }).value = 30
    delivered({ topic: 'b' }).value = 10
    pass(4_000)
    expect((await read())['record-send-rate']).to.equal(10)
    pass(6_000)
    expect((await read())['record-send-rate'], 'since the start').to.equal(4)
    delivered({ topic: 'a' }).value = 130
    pass(10_000)
    expect((await read())['record-send-rate'], 'since ten seconds ago').to.equal(10)
    pass(5_000)
    expect((await read())['record-send-rate'], 'since the last but one window').to.equal(6.667)
    pass(5_000)
    expect((await read())['record-send-rate']).to.equal(0)
  })

  it('are zero where nothing was measured', async () => {
    const all = await stage().read()
    expect(new Set(Object.values(all))).to.deep.equal(new Set([0]))
    expect(Object.keys(all)).to.have.length(12)
  })

  it('have for each measurement of Castellan the name that the Java client has for it', async () => {
    const { counter, gauge, pass, read } = stage()
    counter('castellan_delivery_failed_records_total')().value = 20
    counter('castellan_delivery_retried_batches_total')().value = 40
    counter('castellan_router_metadata_refreshes_total')().value = 5
    counter('castellan_router_request_latency_seconds_count')().value = 8
    counter('castellan_router_request_latency_seconds_sum')().value = 2
    gauge('castellan_cluster_brokers_up')().value = 3
    gauge('castellan_delivery_oldest_record_age_seconds')().value = 1.2345678
    gauge('castellan_delivery_buffered_records')().value = 7
    gauge('castellan_delivery_buffered_bytes')().value = 400
    gauge('castellan_delivery_buffer_limit_bytes')().value = 1_000
    pass(10_000)
    expect(await read()).to.deep.equal({
      'connection-count': 3,
      'record-send-rate': 0,
      'record-error-rate': 2,
      'record-retry-rate': 4,
      'record-queue-time-max': 1_234.568,
      'request-rate': 0.8,
      'request-latency-avg': 250,
      'metadata-refresh-rate': 0.5,
      'buffer-total-bytes': 1_000,
      'buffer-available-bytes': 600,
      'records-buffered': 7,
      'waiting-threads': 0
    })
  })

  it('have no negative capacity and no infinite rate', async () => {
    const { counter, gauge, read } = stage()
    gauge('castellan_delivery_buffered_bytes')().value = 1_500
    gauge('castellan_delivery_buffer_limit_bytes')().value = 1_000
    counter('castellan_delivery_delivered_records_total')().value = 1
    expect(await read()).to.include({ 'buffer-available-bytes': 0, 'record-send-rate': 1_000 })
  })
})

describe('arion: the numbers of the queue that clients read', () => {
  it('are those of the durable log where messages are kept on disk', () => {
    const log = { segmentCount: 3, enqueued: 9, completed: 4, openEntries: 5, deadLetters: 2 } as DurableLogStats
    const expected = { retried: 0, enqueued: 9, completed: 4, 'in-progress': 5, 'dead-letters': 2 }
    expect(diskStats(log)).to.deep.equal({ 'num-slabs': 3, 'num-active-slabs': 1, ...expected })
    expect(diskStats({ ...log, segmentCount: 0 })).to.deep.equal({ 'num-slabs': 0, 'num-active-slabs': 0, ...expected })
  })

  it('are counted where messages are in memory, for all processes together', () => {
    const none = { 'num-slabs': 0, 'num-active-slabs': 0, retried: 0 }
    expect(memoryStats([])).to.deep.equal({ ...none, enqueued: 0, completed: 0, 'in-progress': 0 })
    const all = memoryStats([
      { enqueued: 5, completed: 2 },
      { enqueued: 1, completed: 0 }
    ])
    expect(all).to.deep.equal({ ...none, enqueued: 6, completed: 2, 'in-progress': 4 })
  })
})

describe('arion: what becomes of a message that Kafka did not take', () => {
  const statuses: readonly (readonly [ErrorCode, number])[] = [
    ['invalidRequest', 400],
    ['invalidTopic', 400],
    ['recordTooLarge', 500],
    ['recordRejected', 500],
    ['batchTooLarge', 500],
    ['unknownTopic', 503],
    ['unknownPartition', 503],
    ['notAuthorized', 500],
    ['authenticationFailed', 503],
    ['brokerUnreachable', 503],
    ['clusterChanged', 503],
    ['noLeader', 503],
    ['timedOut', 504],
    ['protocol', 503],
    ['kafka', 500]
  ]

  it('is told by the status: 503 with Retry-After for what a retry may mend', async () => {
    const verbs = new FakeVerbs({ outcome: ({ topic }) => failure(topic as ErrorCode) })
    const served = await serveArion({ verbs })
    try {
      for (const [code, status] of statuses) {
        const answer = await ask(served.url, 'POST', `/sync/${code}`, 'x')
        expect(answer.status, code).to.equal(status)
        expect(answer.headers.get('retry-after'), code).to.equal(status === 503 ? '1' : undefined)
        expect(jsonOf(answer).status, code).to.equal('error')
        if (code === 'invalidTopic') expect(jsonOf(answer).error).to.equal('malformed topic')
      }
    } finally {
      await served.http.close()
    }
  })

  it('leaves capacity for a key as long as a request line beside the largest message', () => {
    const settings = arionSettings.parse({ maxMessageBytes: 5_000, partitioner: 'murmur2', durability: 'disk' })
    expect(produceOptions(settings, 70)).to.deep.equal({
      partitioner: 'murmur2',
      deadlineMs: 70,
      durability: 'disk',
      maxRecordBytes: 5_000 + 65_536
    })
  })
})
