import type { AcrossWorkers } from '../../core/metrics/family.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import { type Reading, registerScrapedGauge } from '../../core/metrics/scraped-gauge.js'
import type { KafkaCluster } from './kafka.js'

/** Exports the state of `/ready`. */
export const registerReadiness = ({ registry }: PrometheusMetrics, isReady: () => boolean): void =>
  registerScrapedGauge(registry, 'castellan_ready', '1 while /ready answers 200, else 0', 'min', () => [
    { labels: {}, value: isReady() ? 1 : 0 }
  ])

/** Exports whether each cluster can be reached, and the number of its brokers. */
export function registerClusters(
  { registry }: PrometheusMetrics,
  clusters: readonly Pick<KafkaCluster, 'name' | 'router'>[]
): void {
  const perCluster = (read: (cluster: Pick<KafkaCluster, 'router'>) => number) => () =>
    clusters.map(cluster => ({ labels: { cluster: cluster.name }, value: read(cluster) }))
  const gauge = (name: string, help: string, acrossWorkers: AcrossWorkers, read: () => Reading[]): void =>
    registerScrapedGauge(registry, name, help, acrossWorkers, read)
  gauge(
    'castellan_cluster_ready',
    '1 while a broker of the cluster answers, else 0',
    'min',
    perCluster(({ router }) => (router.isReady ? 1 : 0))
  )
  gauge(
    'castellan_cluster_brokers_known',
    'Brokers that the cluster has',
    'max',
    perCluster(({ router }) => router.stats().brokersKnown)
  )
  gauge(
    'castellan_cluster_brokers_up',
    'Brokers of the cluster that are not known to be down; 0 while no broker answers',
    'min',
    perCluster(({ router }) => (router.isReady ? router.stats().brokersUp : 0))
  )
}
