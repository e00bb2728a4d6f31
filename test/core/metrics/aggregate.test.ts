import { expect } from 'chai'
import { Registry } from 'prom-client'
import { type MetricsSnapshot, takeSnapshot } from '../../../src/core/metrics/aggregate.js'
import { counterFamily, durationFamily, gaugeFamily } from '../../../src/core/metrics/family.js'
import { registerProcessMetrics } from '../../../src/core/metrics/process-metrics.js'
import { registerFamily } from '../../../src/core/metrics/prometheus.js'
import { GatheredMetrics } from '../../../src/server/workers/gathered-metrics.js'

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
    expect(sampleOf(text, 'process_start_time_seconds')).to.be.within(1, Date.now() / 1_000)
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
    all.told(1, snapshot)
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
