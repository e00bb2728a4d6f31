import type { AcrossWorkers } from '../../core/metrics/family.js'
import { type PrometheusMetrics, type Reading, registerScrapedGauge } from '../../core/metrics/prometheus.js'
import { type JsonRegistry, registrySource, StatsdReporter, type StatsdSources } from '../../core/metrics/statsd.js'
import type { Logger } from '../../core/model.js'
import type { CertificateView } from '../../http/server/certificates.js'
import type { Readiness } from '../../http/server/management-port.js'
import type { ClockRow } from '../../http/status/status.js'
import type { Config } from '../config/config.js'
import type { KafkaCluster } from './kafka.js'
import type { Shutdown } from './shutdown.js'

/** Between two reports to a StatsD server, which usually flushes every ten seconds. */
const STATSD_PAUSE_MS = 10_000
/** The label of all topics that have no series of their own. */
const OTHER = 'other'

export function registerReadiness({ registry }: PrometheusMetrics, readiness: Omit<Readiness, 'warnings'>): void {
  const gauge = (name: string, path: string, reasons: () => readonly string[]): void =>
    registerScrapedGauge(registry, name, `1 while ${path} answers 200, else 0`, 'min', () => [
      { labels: {}, value: reasons().length === 0 ? 1 : 0 }
    ])
  gauge('castellan_ready', '/ready', readiness.unreadyReasons)
  gauge('castellan_ready_kafka', '/ready/kafka', readiness.kafkaReasons)
}

export function registerClusters(
  { registry }: PrometheusMetrics,
  clusters: readonly Pick<KafkaCluster, 'name' | 'router' | 'durable'>[]
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
    'Brokers of the cluster, those that are gone and have replicas, or were named within the last hour, included',
    'max',
    perCluster(({ router }) => router.brokers().length)
  )
  gauge(
    'castellan_cluster_brokers_up',
    'Brokers of the cluster that are not known to be down; 0 while no broker answers',
    'min',
    perCluster(({ router }) => (router.isReady ? router.stats().brokersUp : 0))
  )
  gauge(
    'castellan_cluster_unknown_topics',
    '1 for a topic that Kafka does not have and for which records wait in the durable log; the first 20 have their names, and `other` is the number of the rest',
    'max',
    () =>
      clusters.flatMap(({ name: cluster, durable }) => {
        const { named = [], others = 0 } = durable?.missingTopics ?? {}
        const counts = new Map(Array.from(named, topic => [topic, 1]))
        if (others > 0) counts.set(OTHER, others + (counts.get(OTHER) ?? 0))
        return [...counts].map(([topic, value]) => ({ labels: { cluster, topic }, value }))
      })
  )
}

export function registerCertificates(
  { registry }: PrometheusMetrics,
  certificates: () => readonly CertificateView[]
): void {
  const help = 'When the certificate ends, in seconds since 1970; of a chain, the one that ends first'
  registerScrapedGauge(registry, 'castellan_certificate_end_timestamp_seconds', help, 'min', () =>
    certificates().map(({ of, validTo }) => ({ labels: { of }, value: validTo / 1_000 }))
  )
}

export function registerClocks({ registry }: PrometheusMetrics, clocks: () => readonly ClockRow[]): void {
  const help = 'How far the clock of this machine is ahead of those of other machines, at the least; negative: behind'
  registerScrapedGauge(registry, 'castellan_clock_ahead_seconds', help, 'max', () =>
    clocks().map(({ comparedWith, cluster = '', aheadMs }) => {
      return { labels: { compared_with: comparedWith, cluster }, value: aheadMs / 1_000 }
    })
  )
}

/**
 * Reports all metrics of the process to the StatsD server, if the configuration names one. The last report is sent
 * during the shutdown.
 *
 * @returns where further sources of values are added
 */
export function reportToStatsd(
  { host, port }: Config['statsd'],
  { registry, log, shutdown }: { registry: JsonRegistry; log: Logger; shutdown: Pick<Shutdown, 'add'> }
): StatsdSources {
  if (host === undefined) return { add: () => undefined }
  const reporter = new StatsdReporter({ host, port, intervalMs: STATSD_PAUSE_MS }, (error, message) =>
    log.warn({ err: error }, message)
  )
  reporter.add(registrySource(registry))
  shutdown.add('reporting to StatsD', () => reporter.close())
  return reporter
}
