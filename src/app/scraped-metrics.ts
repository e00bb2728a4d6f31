import type { PrometheusMetrics } from '../metrics/prometheus.js'
import { registerScrapedGauge } from '../metrics/scraped-gauge.js'
import type { KafkaCluster } from './kafka.js'

/** Exports the state of `/ready`, and the number of brokers of each cluster. */
export function registerScrapedMetrics(
  { registry }: PrometheusMetrics,
  isReady: () => boolean,
  clusters: readonly Pick<KafkaCluster, 'name' | 'router'>[]
): void {
  const perCluster = (read: (cluster: Pick<KafkaCluster, 'router'>) => number) => () =>
    clusters.map(cluster => ({ labels: { cluster: cluster.name }, value: read(cluster) }))
  const gauge = (name: string, help: string, read: () => { labels: Record<string, string>; value: number }[]): void =>
    registerScrapedGauge(registry, name, help, read)
  gauge('castellan_ready', '1 while /ready answers 200, else 0', () => [{ labels: {}, value: isReady() ? 1 : 0 }])
  gauge(
    'castellan_cluster_ready',
    '1 while a broker of the cluster answers, else 0',
    perCluster(({ router }) => (router.isReady ? 1 : 0))
  )
  gauge(
    'castellan_cluster_brokers_known',
    'Brokers that the cluster has',
    perCluster(({ router }) => router.stats().brokersKnown)
  )
  gauge(
    'castellan_cluster_brokers_up',
    'Of those, how many are not known to be down; 0 while no broker answers',
    perCluster(({ router }) => (router.isReady ? router.stats().brokersUp : 0))
  )
}
