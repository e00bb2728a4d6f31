import { expect } from 'chai'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { registerClusters } from '../../../src/server/app/gauges.js'

describe('gauges of clusters', () => {
  it('have the age of the oldest open transaction, in seconds, and 0 where there is none', async () => {
    const metrics = createPrometheusMetrics()
    const cluster = (name: string, ages: readonly number[]) => ({
      name,
      durable: undefined,
      idRefusal: undefined,
      router: {
        isReady: true,
        brokers: () => [],
        stats: () => ({ brokersUp: 1 }),
        openTransactions: () => ages.map(openMs => ({ openMs }))
      }
    })
    const clusters = [cluster('default', [90_500, 60_000]), cluster('west', [])]
    registerClusters(metrics, clusters as unknown as Parameters<typeof registerClusters>[1])
    const text = await metrics.registry.metrics()
    expect(text).to.include('castellan_cluster_open_transaction_age_seconds{cluster="default"} 90.5\n')
    expect(text).to.include('castellan_cluster_open_transaction_age_seconds{cluster="west"} 0\n')
  })
})
