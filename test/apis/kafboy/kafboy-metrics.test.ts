import { expect } from 'chai'
import { KafboyMetrics } from '../../../src/apis/kafboy/kafboy-metrics.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { delivered, failure } from '../../support/fake-gateway.js'

function setUp() {
  const { registry, ...others } = createPrometheusMetrics()
  const gauges = { bytes: 0, calls: 0 }
  const metrics = new KafboyMetrics(
    { registry, ...others },
    () => gauges.bytes,
    () => gauges.calls
  )
  const values = async (): Promise<string[]> =>
    (await registry.metrics()).split('\n').filter(line => /^kafboy_/.test(line) && !/_bucket|_sum/.test(line))
  return { registry, gauges, metrics, values }
}
const GAUGES = ['kafboy_buffered_bytes 0', 'kafboy_hook_calls_pending 0']

describe('kafboy: its own metrics', () => {
  it('count records by mode: those in Kafka, those the log has, and the others by what went wrong', async () => {
    const { metrics, values } = setUp()
    const logged = { ...failure('timedOut'), persisted: 'pending' as const }
    metrics.settled('batch', [delivered(), logged, delivered(), failure('overloaded'), logged, logged])
    metrics.settled('sync', [failure('timedOut')])
    metrics.failed('async', 'overloaded', 5)
    expect(await values()).to.have.members([
      ...GAUGES,
      'kafboy_delivered_records_total{mode="batch"} 2',
      'kafboy_logged_records_total{mode="batch"} 3',
      'kafboy_failed_records_total{mode="batch",error="overloaded"} 1',
      'kafboy_failed_records_total{mode="sync",error="timedOut"} 1',
      'kafboy_failed_records_total{mode="async",error="overloaded"} 5'
    ])
  })

  it('measure requests in seconds by mode, and count them by status', async () => {
    const { registry, metrics, values } = setUp()
    metrics.answered('sync', 200, 1_500)
    metrics.answered('sync', 200, 500)
    metrics.answered('sync', 502, 0)
    expect(await values()).to.have.members([
      ...GAUGES,
      'kafboy_requests_total{mode="sync",code="200"} 2',
      'kafboy_requests_total{mode="sync",code="502"} 1',
      'kafboy_request_seconds_count{mode="sync"} 3'
    ])
    expect(await registry.metrics()).to.match(/^kafboy_request_seconds_sum\{mode="sync"\} 2$/m)
  })

  it('tell what waits now, and what went wrong with hooks', async () => {
    const { gauges, metrics, values } = setUp()
    gauges.bytes = 12
    gauges.calls = 3
    metrics.hookProblem('late')
    metrics.hookProblem('late')
    expect(await values()).to.have.members([
      'kafboy_buffered_bytes 12',
      'kafboy_hook_calls_pending 3',
      'kafboy_hook_problems_total{problem="late"} 2'
    ])
  })
})
