import { expect } from 'chai'
import { Registry } from 'prom-client'
import { counterFamily, durationFamily, gaugeFamily, MAX_SERIES } from '../../../src/core/metrics/family.js'
import { TaggedMetricsLogger } from '../../../src/core/metrics/metrics-logger.js'
import {
  createPrometheusMetrics,
  type MetricsSnapshot,
  PrometheusMetricsLogger,
  registerFamily,
  registerProcessMetrics,
  takeSnapshot
} from '../../../src/core/metrics/prometheus.js'
import { GatheredMetrics } from '../../../src/deployment/workers/gathered-metrics.js'

describe('PrometheusMetricsLogger', () => {
  const { registry } = createPrometheusMetrics()
  const logger = new PrometheusMetricsLogger(registry)

  it('exports counts as counters, with Castle’s names', async () => {
    logger.count('kafka_dispatcher', 'fetches', { broker_host: 'kafka-1' })
    logger.count('kafka_dispatcher', 'fetches', { broker_host: 'kafka-1' }, 4)
    logger.count('kafka_dispatcher', 'fetches', { broker_host: 'kafka-2' })
    const text = await registry.metrics()
    expect(text).to.contain('# HELP castellan_kafka_dispatcher_fetches_total Fetch calls that were sent\n')
    expect(text).to.contain('# TYPE castellan_kafka_dispatcher_fetches_total counter\n')
    expect(text).to.contain('castellan_kafka_dispatcher_fetches_total{broker_host="kafka-1"} 5\n')
    expect(text).to.contain('castellan_kafka_dispatcher_fetches_total{broker_host="kafka-2"} 1\n')
  })

  it('tells equal tags from equal objects: order and identity do not matter', async () => {
    logger.count('router', 'turns', { a: '1', b: '2' })
    logger.count('router', 'turns', { b: '2', a: '1' })
    expect(await registry.metrics()).to.contain('castellan_router_turns_total{a="1",b="2"} 2\n')
  })

  it('exports times as cumulative histograms in seconds', async () => {
    logger.time('router', 'request', {}, 400_000)
    logger.time('router', 'request', {}, 2_000_000)
    logger.time('router', 'request', {}, 60e9)
    const lines = (await registry.metrics()).split('\n')
    expect(lines).to.include('castellan_router_request_seconds_bucket{le="0.0005"} 1')
    expect(lines).to.include('castellan_router_request_seconds_bucket{le="0.0025"} 2')
    expect(lines).to.include('castellan_router_request_seconds_bucket{le="10"} 2')
    expect(lines).to.include('castellan_router_request_seconds_bucket{le="+Inf"} 3')
    expect(lines).to.include('castellan_router_request_seconds_count 3')
    expect(lines).to.include('castellan_router_request_seconds_sum 60.0024')
  })

  it('exports gauges with their last value', async () => {
    logger.gauge('delivery', 'waitingBytes', {}, 10)
    logger.gauge('delivery', 'waitingBytes', {}, 3)
    expect(await registry.metrics()).to.contain('castellan_delivery_waiting_bytes 3\n')
  })

  it('keeps label values with quotes and line breaks on one line', async () => {
    logger.count('router', 'odd', { topic: 'a"b\nc\\d' })
    expect(await registry.metrics()).to.contain('castellan_router_odd_total{topic="a\\"b\\nc\\\\d"} 1\n')
  })

  it('has the text that prom-client makes of the values themselves', async () => {
    const { registry: plain } = createPrometheusMetrics()
    const { registry: read } = createPrometheusMetrics()
    const [counts, times] = [counterFamily('counts_total', 'Counts'), durationFamily('times_seconds', 'Times')]
    for (const family of [counts, times]) {
      registerFamily(read, family)
      registerFamily(plain, { name: family.name, get: () => family.get() })
    }
    const all = [
      {},
      { topic: 'a"b\nc\\d', api: 'kprf' },
      { topic: '__proto__' },
      { topic: '' },
      { le: 'x', topic: 'y' }
    ]
    for (let round = 0; round < 3; round++) {
      for (const [at, tags] of all.entries()) {
        counts.series(tags).value += at + 0.5
        times.series(tags).observe(at, round)
      }
      if (round === 1) counts.remove(all[1]!)
      expect(await read.metrics()).to.equal(await plain.metrics())
    }
  })

  it('has capacity for topics named after properties of objects', async () => {
    for (const topic of ['__proto__', 'constructor', 'hasOwnProperty']) logger.count('router', 'proto', { topic })
    const text = await registry.metrics()
    for (const topic of ['__proto__', 'constructor', 'hasOwnProperty']) {
      expect(text).to.contain(`castellan_router_proto_total{topic="${topic}"} 1\n`)
    }
  })

  it('stays bounded when label values are invented by clients', async () => {
    for (let i = 0; i < 3 * MAX_SERIES; i++) logger.count('gateway', 'flooded', { topic: `t${i}` })
    const lines = (await registry.metrics())
      .split('\n')
      .filter(line => line.startsWith('castellan_gateway_flooded_total'))
    expect(lines).to.have.length(MAX_SERIES)
    expect(lines.at(-1)).to.equal(`castellan_gateway_flooded_total{topic="other"} ${2 * MAX_SERIES + 1}`)
  })

  it('stays bounded for histograms too, whose label values have many lines each', async () => {
    for (let i = 0; i < 1_500; i++) logger.time('gateway', 'slow', { topic: `t${i}` }, 1)
    const lines = (await registry.metrics())
      .split('\n')
      .filter(line => line.startsWith('castellan_gateway_slow_seconds'))
    expect(lines).to.have.length.at.most(MAX_SERIES)
    const counts = lines.filter(line => line.includes('_count{')).map(line => Number(line.split(' ').at(-1)))
    expect(counts.reduce((sum, count) => sum + count)).to.equal(1_500)
  })
})

describe('TaggedMetricsLogger', () => {
  it('adds its tags to everything', async () => {
    const { registry } = createPrometheusMetrics()
    const inner = new PrometheusMetricsLogger(registry)
    for (const cluster of ['default', 'other']) {
      const logger = new TaggedMetricsLogger(inner, { cluster })
      logger.count('delivery', 'records', undefined, 2)
      logger.gauge('delivery', 'partitions', {}, 3)
      logger.time('router', 'request', { operation: 'produce' }, 1)
    }
    const text = await registry.metrics()
    for (const cluster of ['default', 'other']) {
      expect(text).to.contain(`castellan_delivery_records_total{cluster="${cluster}"} 2\n`)
      expect(text).to.contain(`castellan_delivery_partitions{cluster="${cluster}"} 3\n`)
      expect(text).to.contain(`castellan_router_request_seconds_count{operation="produce",cluster="${cluster}"} 1\n`)
    }
  })
})

describe('process metrics', () => {
  it('tell CPU, memory, event loop and version', async () => {
    const { registry } = createPrometheusMetrics()
    registerProcessMetrics(registry, '1.2.3')
    const text = await registry.metrics()
    for (const name of [
      'process_cpu_user_seconds_total',
      'process_cpu_system_seconds_total',
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'nodejs_heap_size_used_bytes',
      'castellan_event_loop_utilization_ratio'
    ]) {
      expect(text).to.match(new RegExp(`^${name} [0-9.e+-]+$`, 'm'))
    }
    expect(text).to.contain('castellan_info{version="1.2.3"} 1\n')
  })
})

/** A process that has counted so much. */
function processWith({ requests = 0, buffered = 0, seconds = [] as number[], ready = 1, oldest = 0, status = '200' }) {
  const registry = new Registry()
  const counter = counterFamily('castellan_http_requests_total', 'HTTP requests answered')
  const gauge = gaugeFamily('castellan_delivery_buffered_bytes', 'Their bytes', 'sum')
  const durations = durationFamily('castellan_http_request_seconds', 'From the headers of a request to its end')
  const isReady = gaugeFamily('castellan_ready', '1 while /ready answers 200, else 0', 'min')
  const age = gaugeFamily('castellan_delivery_oldest_record_age_seconds', 'How long', 'max')
  for (const family of [counter, gauge, durations, isReady, age]) registerFamily(registry, family)
  counter.series({ status }).value = requests
  gauge.series({}).value = buffered
  isReady.series({}).value = ready
  age.series({}).value = oldest
  for (const one of seconds) durations.series({}).observe(one)
  return registry
}

const sampleOf = (text: string, series: string): number =>
  Number(
    text
      .split('\n')
      .find(line => line.startsWith(`${series} `))
      ?.slice(series.length + 1)
  )

describe('metrics of several processes', () => {
  const gathered = (own: Registry, workers: Map<number, Registry>): GatheredMetrics =>
    new GatheredMetrics(own, async () => {
      const snapshots = await Promise.all(
        [...workers].map(async ([number, registry]) => [number, await takeSnapshot(registry)] as const)
      )
      return new Map(snapshots)
    })

  it('are summed: counters, buckets, and gauges of what is held', async () => {
    const workers = new Map([
      [1, processWith({ requests: 3, buffered: 10, seconds: [0.004, 0.2] })],
      [2, processWith({ requests: 4, buffered: 5, seconds: [0.004] })]
    ])
    const text = await gathered(processWith({ requests: 1, status: '503' }), workers).metrics()
    expect(sampleOf(text, 'castellan_http_requests_total{status="200"}')).to.equal(7)
    expect(sampleOf(text, 'castellan_http_requests_total{status="503"}')).to.equal(1)
    expect(sampleOf(text, 'castellan_delivery_buffered_bytes')).to.equal(15)
    expect(sampleOf(text, 'castellan_http_request_seconds_count')).to.equal(3)
    expect(sampleOf(text, 'castellan_http_request_seconds_bucket{le="0.005"}')).to.equal(2)
    expect(sampleOf(text, 'castellan_http_request_seconds_bucket{le="+Inf"}')).to.equal(3)
    expect(text.match(/# TYPE castellan_http_requests_total counter/g)).to.have.length(1)
  })

  it('show the worst value where a sum says nothing', async () => {
    const workers = new Map([
      [1, processWith({ ready: 1, oldest: 3 })],
      [2, processWith({ ready: 0, oldest: 8 })]
    ])
    const text = await gathered(processWith({}), workers).metrics()
    expect(sampleOf(text, 'castellan_ready')).to.equal(0)
    expect(sampleOf(text, 'castellan_delivery_oldest_record_age_seconds')).to.equal(8)
  })

  it('of the processes themselves say each thing once', async () => {
    const processes = [1, 2, 3].map(() => {
      const registry = new Registry()
      registerProcessMetrics(registry, '1.2.3')
      return registry
    })
    const text = await gathered(processes[0]!, new Map(processes.slice(1).map((one, at) => [at, one]))).metrics()
    expect(sampleOf(text, 'castellan_info{version="1.2.3"}')).to.equal(1)
    expect(sampleOf(text, 'process_start_time_seconds')).to.be.above(1)
    const [, resident] = text.match(/^process_resident_memory_bytes (\d+)$/m)!
    expect(Number(resident)).to.be.above(2.5 * process.memoryUsage.rss() * 0.8)
  })

  it('never go back when a worker ends, and count on with its successor', async () => {
    const workers = new Map([
      [1, processWith({ requests: 3, buffered: 10 })],
      [2, processWith({ requests: 4, buffered: 5 })]
    ])
    const all = gathered(new Registry(), workers)
    await all.metrics()
    workers.delete(2)
    await all.ended(2)
    const without = await all.metrics()
    expect(sampleOf(without, 'castellan_http_requests_total{status="200"}')).to.equal(7)
    expect(sampleOf(without, 'castellan_delivery_buffered_bytes')).to.equal(10)
    workers.set(2, processWith({ requests: 2 }))
    expect(sampleOf(await all.metrics(), 'castellan_http_requests_total{status="200"}')).to.equal(9)
  })

  it('never go back when several workers end at the same time', async () => {
    const workers = new Map([
      [1, processWith({ requests: 3 })],
      [2, processWith({ requests: 4 })],
      [3, processWith({ requests: 5 })]
    ])
    const all = gathered(new Registry(), workers)
    await all.metrics()
    workers.clear()
    const ends = [1, 2, 3].map(number => all.ended(number))
    expect(sampleOf(await all.metrics(), 'castellan_http_requests_total{status="200"}')).to.equal(12)
    await Promise.all(ends)
    expect(sampleOf(await all.metrics(), 'castellan_http_requests_total{status="200"}')).to.equal(12)
  })

  it('count a worker once that ends while the answers of others are awaited', async () => {
    const snapshot = await takeSnapshot(processWith({ requests: 3 }))
    let answer = (_: ReadonlyMap<number, MetricsSnapshot>): void => undefined
    const all = new GatheredMetrics(new Registry(), () => new Promise(resolve => (answer = resolve)))
    all.reported(1, snapshot)
    const scrape = all.metrics()
    await all.ended(1)
    answer(new Map([[1, snapshot]]))
    expect(sampleOf(await scrape, 'castellan_http_requests_total{status="200"}')).to.equal(3)
  })

  it('show what a worker said last that does not answer in time', async () => {
    let isLate = false
    const snapshot = await takeSnapshot(processWith({ requests: 3 }))
    const all = new GatheredMetrics(new Registry(), async () => (isLate ? new Map() : new Map([[1, snapshot]])))
    await all.metrics()
    isLate = true
    expect(sampleOf(await all.metrics(), 'castellan_http_requests_total{status="200"}')).to.equal(3)
  })
})
