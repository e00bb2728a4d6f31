import {
  type PrometheusMetrics,
  type PrometheusReading,
  registerFamily,
  registerGauge,
  registerScrapedGauge
} from '../../core/metrics/prometheus.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { CertificateView } from '../../http/server/certificates.js'
import type { Readiness } from '../../http/server/management-port.js'
import type { ClockRow } from '../../http/status/status.js'
import type { RouterHandle } from '../../router/routing/router.js'
import type { ConfiguredCluster } from './kafka.js'
import { droppedLogLines } from './log-files.js'

/** The label of all topics that have no series of their own. */
const OTHER = 'other'

export function registerReadiness({ registry }: PrometheusMetrics, readiness: Omit<Readiness, 'warnings'>): void {
  const gauge = (name: string, path: string, reasons: () => readonly object[]): void =>
    registerScrapedGauge(registry, name, `1 while ${path} answers 200, else 0`, () => [
      { labels: {}, value: reasons().length === 0 ? 1 : 0 }
    ])
  gauge('castellan_ready', '/ready', readiness.unreadyReasons)
  gauge('castellan_ready_kafka', '/ready/kafka', readiness.kafkaReasons)
}

export function registerLog({ registry }: PrometheusMetrics): void {
  droppedLogLines.series({})
  registerFamily(registry, droppedLogLines)
}

export function registerRecords({ registry }: PrometheusMetrics, records: RecordBudget): void {
  const held = 'Bytes of records and of large answers, from before an answer is made until it has left'
  const limit = 'Limit of these bytes: `advanced.http.answersMaxBytes`'
  registerGauge(registry, 'castellan_http_answers_bytes', held, () => records.heldBytes)
  registerGauge(registry, 'castellan_http_answers_limit_bytes', limit, () => records.maxBytes)
}

export function registerClusters({ registry }: PrometheusMetrics, clusters: readonly ConfiguredCluster[]): void {
  const perCluster = (name: string, help: string, read: (router: RouterHandle) => number): void =>
    registerScrapedGauge(registry, `castellan_cluster_${name}`, help, () =>
      clusters.map(({ name: cluster, router }) => ({ labels: { cluster }, value: read(router) }))
    )
  const known =
    'Brokers of the cluster, those that are gone and have replicas, or were named within the last hour, included'
  const up = 'Brokers of the cluster that are not known to be down; 0 while no broker answers'
  const unknown =
    '1 for a topic that Kafka does not have and for which records wait in the durable log; the first 20 have their names, and `other` is the number of the rest'
  perCluster('ready', '1 while a broker of the cluster answers, else 0', ({ isReady }) => (isReady ? 1 : 0))
  perCluster('brokers_known', known, router => router.brokers().length)
  perCluster('brokers_up', up, router => (router.isReady ? router.stats().brokersUp : 0))
  registerScrapedGauge(registry, 'castellan_cluster_unknown_topics', unknown, () => clusters.flatMap(unknownTopicsOf))
  const open =
    'Age of the oldest transaction that holds back a partition, as reads of this gateway see it, from 60 s on; else 0'
  perCluster('open_transaction_age_seconds', open, router => (router.openTransactions()[0]?.openMs ?? 0) / 1_000)
  const refused = '1 while brokers give no producer id, so that no record can be written, else 0'
  registerScrapedGauge(registry, 'castellan_producer_id_refused', refused, () =>
    clusters.map(({ name: cluster, idRefusal }) => ({ labels: { cluster }, value: idRefusal === undefined ? 0 : 1 }))
  )
}

function unknownTopicsOf({ name: cluster, durable }: ConfiguredCluster): PrometheusReading[] {
  const { named = [], others = 0 } = durable?.missingTopics ?? {}
  const counts = new Map(Array.from(named, topic => [topic, 1]))
  if (others > 0) counts.set(OTHER, others + (counts.get(OTHER) ?? 0))
  return [...counts].map(([topic, value]) => ({ labels: { cluster, topic }, value }))
}

export function registerCertificates(
  { registry }: PrometheusMetrics,
  certificates: () => readonly CertificateView[]
): void {
  const help = 'When the certificate ends, in seconds since 1970; of a chain, the one that ends first'
  registerScrapedGauge(registry, 'castellan_certificate_end_timestamp_seconds', help, () =>
    certificates().map(({ of, validTo }) => ({ labels: { of }, value: validTo / 1_000 }))
  )
}

export function registerClocks({ registry }: PrometheusMetrics, clocks: () => readonly ClockRow[]): void {
  const help = 'How far the clock of this machine is ahead of those of other machines, at the least; negative: behind'
  registerScrapedGauge(registry, 'castellan_clock_ahead_seconds', help, () =>
    clocks().map(({ comparedWith, cluster = '', aheadMs }) => {
      return { labels: { compared_with: comparedWith, cluster }, value: aheadMs / 1_000 }
    })
  )
}
