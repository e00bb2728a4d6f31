import { expect } from 'chai'
import { counterFamily, durationFamily, MAX_SERIES } from '../../../src/core/metrics/family.js'
import { TaggedMetricsLogger } from '../../../src/core/metrics/metrics-logger.js'
import {
  createPrometheusMetrics,
  PrometheusMetricsLogger,
  registerFamily,
  registerProcessMetrics,
  registerScrapedGauge
} from '../../../src/core/metrics/prometheus.js'

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

  it('leaves out gauges that are not finite', async () => {
    const values = [Number.POSITIVE_INFINITY, Number.NaN, 4]
    registerScrapedGauge(registry, 'castellan_odd', 'Odd', () =>
      values.map((value, at) => ({ labels: { at: `${at}` }, value }))
    )
    for (const value of values) logger.gauge('odd', 'pushed', { value: `${value}` }, value)
    const lines = (await registry.metrics()).split('\n').filter(line => line.startsWith('castellan_odd'))
    expect(lines).to.have.members(['castellan_odd{at="2"} 4', 'castellan_odd_pushed{value="4"} 4'])
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
