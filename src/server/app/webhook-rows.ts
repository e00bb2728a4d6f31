import { ageMsOf } from '../../core/instants.js'
import {
  type PrometheusMetrics,
  type PrometheusReading,
  registerScrapedCounter,
  registerScrapedGauge
} from '../../core/metrics/prometheus.js'

import type { WebhookRow } from '../../http/status/status.js'
import type { WebhookStatus } from '../../webhooks/webhook-status.js'

type Statuses = () => readonly WebhookStatus[]

/**
 * Age of the oldest open record, by its timestamp; 0: there is none.
 *
 * @param now epoch milliseconds
 * @returns `null`: no timestamp of the oldest records has an age
 */
function oldestOpenMs({ partitions }: WebhookStatus, now: number): number | null {
  const open = partitions.flatMap(({ oldest }) => oldest ?? [])
  const ages = open.flatMap(({ timestampMs }) => ageMsOf(timestampMs, now) ?? [])
  return open.length > 0 && ages.length === 0 ? null : Math.max(0, ...ages)
}

const openOf = ({ partitions }: WebhookStatus): number => partitions.reduce((sum, { open }) => sum + open, 0)

/** @param now epoch milliseconds */
export function toWebhookRow(status: WebhookStatus, now: number): WebhookRow {
  const { name: webhook, cluster, topic, state, because, retentionMs, inFlight, failingSince } = status
  const { deadLettersStopped, foreignMember, sendsAborted } = status
  const { deadLetters, skipped, lost } = status.totals
  return {
    cluster,
    webhook,
    topic,
    state,
    because,
    open: openOf(status),
    oldestOpenMs: oldestOpenMs(status, now),
    stalledPartitions: status.partitions.filter(({ isStalled }) => isStalled).length,
    inFlight,
    deadLettersStopped,
    foreignMember,
    sendsAborted,
    deadLetters,
    skipped,
    lost,
    ...(retentionMs !== undefined && { retentionMs }),
    ...(failingSince !== undefined && { failingMs: Math.max(0, now - failingSince) })
  }
}

export function registerWebhooks({ registry }: PrometheusMetrics, statuses: Statuses): void {
  const gauge = (name: string, help: string, of: (status: WebhookStatus) => number | null): void =>
    registerScrapedGauge(registry, `castellan_webhook_${name}`, help, () => readings(statuses, of))
  const counter = (name: string, help: string, of: (status: WebhookStatus) => number): void =>
    registerScrapedCounter(registry, `castellan_webhook_${name}_total`, help, () => readings(statuses, of))
  registerScrapedCounter(
    registry,
    'castellan_webhook_requests_total',
    'Requests to endpoints, by the class of the status or the cause',
    () =>
      statuses().flatMap(({ name: webhook, totals }) =>
        Array.from(totals.requests, ([result, value]) => ({ labels: { webhook, result }, value }))
      )
  )
  gauge('in_flight', 'Requests to the endpoint that are under way', ({ inFlight }) => inFlight)
  gauge('window', 'Requests that may be under way at once', ({ window }) => window)
  gauge('open', 'Records that were read and are neither delivered nor given up', openOf)
  const oldest =
    'Age of the oldest of these records, by its timestamp; no reading: their timestamps are below 0, or ahead'
  gauge('oldest_open_seconds', oldest, status => {
    const ageMs = oldestOpenMs(status, Date.now())
    return ageMs === null ? null : ageMs / 1_000
  })
  const retention = '`retention.ms` of the topic, in seconds; 0: not known, or no limit'
  gauge('retention_seconds', retention, ({ retentionMs = 0 }) => retentionMs / 1_000)
  const failing = 'How long no request got a 2xx; 0: the last one did, or no record is open'
  gauge('failing_seconds', failing, ({ failingSince }) =>
    failingSince === undefined ? 0 : (Date.now() - failingSince) / 1_000
  )
  const stalled = 'Partitions of which no further record is read, since too many are open'
  gauge('stalled_partitions', stalled, ({ partitions }) => partitions.filter(one => one.isStalled).length)
  const stopped = '1 while no dead letter is written, since ten in a row were, else 0'
  gauge('dead_letters_stopped', stopped, ({ deadLettersStopped }) => (deadLettersStopped ? 1 : 0))
  counter(
    'dead_letters',
    'Records that were given up, and are in the topic for dead letters',
    one => one.totals.deadLetters
  )
  counter('lost', 'Records that retention deleted before they were delivered', one => one.totals.lost)
  counter('headers_left_out', 'Headers of records that HTTP forbids', one => one.totals.headersLeftOut)
}

/** @param of `null`: there is no reading of this webhook */
const readings = (statuses: Statuses, of: (status: WebhookStatus) => number | null): PrometheusReading[] =>
  statuses().flatMap(status => {
    const value = of(status)
    return value === null ? [] : [{ labels: { webhook: status.name }, value }]
  })
