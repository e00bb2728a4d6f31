import { performance } from 'node:perf_hooks'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import { sumOfSeries, sumOfTimes } from '../../core/metrics/sums.js'
import type { MonotonicClock } from '../../core/model.js'
import { inPortions } from '../../core/portions.js'
import { shortened } from '../../core/printable.js'
import type { RecentLine, RecentLines } from '../../core/recent-lines.js'
import type { FailedAnswers, RefusalCount, Refusals } from '../../core/refusals.js'
import type { LagSource } from '../../gateway/lag.js'
import { type CertificateView, viewOf } from '../../http/server/certificates.js'
import type { LoadShedder } from '../../http/server/load-shedder.js'
import { weightOfGroup } from '../../http/status/merge.js'
import {
  type CertificateRow,
  type FailureRow,
  type GroupRow,
  type LagRow,
  type LineRow,
  type LossRow,
  MAX_ROWS,
  type RefusalRow,
  type Status,
  type StatusPart
} from '../../http/status/status.js'
import { TopRows } from '../../http/status/top-rows.js'
import type { ConnectionSettings } from '../../kafka/broker-client.js'
import type { LogView } from '../../producer/disk/durable-queue.js'
import type { LossView } from '../../producer/memory/loss-book.js'
import type { KafkaCluster } from './kafka.js'
import { briefOf } from './kafka-watch.js'
import type { ListenerSecurity } from './listener-security.js'
import { waitingTopics } from './waiting-topics.js'

/** Topics of a group that are named. */
const MAX_TOPICS_OF_GROUP = 20

export interface ProcessStatusDeps {
  /** The number of this process among the workers, from 1. */
  readonly number: number
  readonly clusters: readonly KafkaCluster[]
  readonly viewLog: () => Promise<LogView>
  readonly memoryLimitBytes: number
  /** `delivery.timeoutMs` */
  readonly memoryTimeoutMs: number
  readonly metrics: PrometheusMetrics
  /** `undefined`: there is none yet. */
  readonly shedder: () => Pick<LoadShedder, 'view'> | undefined
  readonly refusals: Pick<Refusals, 'all' | 'answers'>
  readonly lines: Pick<RecentLines, 'all'>
  /** `undefined`: Kafka is not asked yet. */
  readonly lag: () => LagSource | undefined
  readonly certificates: () => readonly CertificateView[]
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** Collects the status of this process when it is asked for. It has no timer, and keeps nothing but its last look. */
export class ProcessStatusReader {
  readonly #deps: ProcessStatusDeps
  #lastUse = performance.eventLoopUtilization()

  constructor(deps: ProcessStatusDeps) {
    this.#deps = deps
  }

  async read(): Promise<StatusPart> {
    const { clusters, viewLog, clock, now, refusals, lines, certificates } = this.#deps
    const log = await viewLog()
    const nowMs = clock()
    const { topics, oldestAgeMs } = await waitingTopics(clusters, log.backlog, clock)
    return {
      workers: [this.#worker()],
      clusters: clusters.map(toClusterRow),
      memory: { ...this.#memory(), oldestAgeMs: Math.round(oldestAgeMs) },
      log: toLogRow(log),
      topics,
      groups: await this.#groups(),
      ...this.#lag(),
      certificates: certificates().map(one => toCertificateRow(one, now())),
      ...this.#fromMetrics(),
      refusals: refusals.all().map(one => toRefusalRow(one, nowMs)),
      failures: refusals.answers().map(one => toFailureRow(one, nowMs)),
      losses: clusters.flatMap(({ name, losses }) => losses.views().map(one => toLossRow(name, one, nowMs))),
      lines: lines.all().map(one => toLineRow(one, nowMs))
    }
  }

  #worker(): Status['workers'][number] {
    const { number, shedder } = this.#deps
    const use = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(use, this.#lastUse)
    this.#lastUse = use
    const load = shedder()?.view()
    if (load === undefined) return { number, isUp: true, restarts: 0, eventLoopUse: utilization }
    const { eventLoopDelayMs, ...rest } = load
    return {
      number,
      isUp: true,
      restarts: 0,
      eventLoopUse: utilization,
      ...(eventLoopDelayMs !== undefined && { eventLoopDelayMs }),
      ...rest
    }
  }

  #memory(): Omit<Status['memory'], 'oldestAgeMs'> {
    const { clusters, memoryLimitBytes, memoryTimeoutMs: timeoutMs } = this.#deps
    const sum = { records: 0, bytes: 0, limitBytes: 0, stuckBytes: 0, timeoutMs, delivered: 0, failed: 0, lost: 0 }
    for (const { delivery, losses } of clusters) {
      const stats = delivery.counts()
      sum.records += stats.bufferedRecords
      sum.bytes += stats.bufferedBytes
      sum.stuckBytes += stats.stuckBytes
      sum.delivered += stats.delivered
      sum.failed += stats.failed
      sum.lost += losses.records
      sum.limitBytes += memoryLimitBytes
    }
    return sum
  }

  async #groups(): Promise<Status['groups']> {
    const top = new TopRows<GroupRow>(weightOfGroup, MAX_ROWS)
    for (const { name: cluster, groups } of this.#deps.clusters) {
      await inPortions(groups.views(), this.#deps.clock, ({ topics, refusal, ...rest }) => {
        const { topic, message } = refusal ?? {}
        const why = message === undefined ? {} : { refusal: { ...(topic !== undefined && { topic }), message } }
        top.add({ cluster, ...rest, topics: topics.slice(0, MAX_TOPICS_OF_GROUP), ...why })
      })
    }
    return { total: top.total, rows: top.rows }
  }

  #lag(): Pick<StatusPart, 'lag'> {
    const source = this.#deps.lag()
    if (source?.everyMs === undefined) return {}
    const top = new TopRows<LagRow>(({ lag, problem }) => lag ?? (problem === undefined ? 0 : 1), MAX_ROWS)
    for (const { cluster, group, topic, lag, uncommitted, asOf, trouble, failure } of source.lagOf()) {
      top.add({
        cluster,
        group,
        uncommitted,
        ...(topic !== undefined && { topic }),
        ...(lag !== undefined && { lag }),
        ...(asOf !== undefined && { asOf: new Date(asOf).toISOString() }),
        ...(trouble !== undefined && { problem: trouble }),
        ...(failure !== undefined && { failure })
      })
    }
    return { lag: { total: top.total, rows: top.rows } }
  }

  #fromMetrics(): Pick<StatusPart, 'requests' | 'way'> {
    const { registry } = this.#deps.metrics
    const requests = (matches?: (status: string) => boolean): number =>
      sumOfSeries(registry, 'castellan_http_requests_total', ({ api, status }) =>
        api === 'none' ? false : (matches?.(String(status)) ?? true)
      )
    return {
      requests: {
        total: requests(),
        failed: requests(status => status.startsWith('5')),
        refused: requests(status => REFUSED.has(status)),
        inFlight: sumOfSeries(registry, 'castellan_http_requests_in_flight'),
        connections: sumOfSeries(registry, 'castellan_http_connections')
      },
      way: {
        request: sumOfTimes(registry, 'castellan_http_request_seconds', ({ api, method }) => {
          return api !== 'none' && method === 'POST'
        }),
        body: sumOfTimes(registry, 'castellan_http_body_seconds', ({ api }) => api !== 'none'),
        admission: sumOfTimes(registry, 'castellan_http_admission_wait_seconds'),
        capacity: sumOfTimes(registry, 'castellan_delivery_capacity_wait_seconds'),
        partition: sumOfTimes(registry, 'castellan_delivery_partition_wait_seconds'),
        router: sumOfTimes(registry, 'castellan_router_request_latency_seconds', ({ operation }) => {
          return operation === 'produceBatch'
        }),
        broker: sumOfTimes(registry, 'castellan_kafka_dispatcher_call_seconds', ({ dispatcher }) => {
          return dispatcher === 'produce'
        })
      }
    }
  }
}

const REFUSED: ReadonlySet<string> = new Set(['401', '403', '413', '429', '503'])

/** Certificates of the listeners, and those with which this process logs in to brokers. */
export function certificateViews(
  security: ListenerSecurity | undefined,
  clusters: readonly Pick<KafkaCluster, 'name' | 'connection'>[]
): CertificateView[] {
  const { certificates, managementCertificates } = security ?? {}
  const ofListeners = [certificates, managementCertificates].flatMap(one => one?.view ?? [])
  return [...ofListeners, ...clusters.flatMap(({ name, connection }) => viewOfLogin(name, connection.current.tls))]
}

function viewOfLogin(cluster: string, tls: ConnectionSettings['tls']): CertificateView[] {
  const { cert } = typeof tls === 'object' ? tls : {}
  return typeof cert === 'string' ? [viewOf(`clusters.${cluster}.tls`, cert)] : []
}

/** @param now epoch milliseconds */
export const toCertificateRow = ({ of, subject, validTo }: CertificateView, now: number): CertificateRow => ({
  of,
  subject,
  validTo: new Date(validTo).toISOString(),
  remainingMs: validTo - now
})

export function toRefusalRow({ setting, lastAt, ...rest }: RefusalCount, nowMs: number): RefusalRow {
  return { ...rest, ...(setting !== undefined && { setting }), lastAgoMs: agoMs(lastAt, nowMs) }
}

const toFailureRow = ({ lastAt, ...rest }: FailedAnswers, nowMs: number): FailureRow => ({
  ...rest,
  lastAgoMs: agoMs(lastAt, nowMs)
})

function toLossRow(cluster: string, { topic, firstAt, lastAt, ...rest }: LossView, nowMs: number): LossRow {
  return {
    cluster,
    ...rest,
    message: shortened(rest.message),
    ...(topic !== undefined && { topic }),
    firstAgoMs: agoMs(firstAt, nowMs),
    lastAgoMs: agoMs(lastAt, nowMs)
  }
}

export function toLineRow(line: RecentLine, nowMs: number): LineRow {
  const { level, message, count, lastAt, topic, group, worker } = line
  return {
    level,
    message,
    count,
    lastAgoMs: agoMs(lastAt, nowMs),
    ...(topic !== undefined && { topic }),
    ...(group !== undefined && { group }),
    ...(worker !== undefined && { worker })
  }
}

const agoMs = (at: number, nowMs: number): number => Math.max(0, Math.round(nowMs - at))

function toClusterRow({ name, router }: KafkaCluster): Status['clusters'][number] {
  const { isReady, awayBecause } = router
  return {
    name,
    isReady,
    ...(!isReady && awayBecause !== undefined && { away: briefOf(awayBecause) }),
    brokers: router.brokers().map(({ nodeId, host, port, state, forMs, lastError }) => ({
      nodeId,
      address: `${host}:${port}`,
      state,
      forMs: Math.round(forMs),
      ...(lastError !== undefined && { lastError })
    }))
  }
}

function toLogRow({ state, why, limitBytes, oldestAgeMs, stats }: LogView): Status['log'] {
  return {
    state,
    ...(why !== undefined && { why }),
    limitBytes,
    sizeBytes: stats?.sizeBytes ?? 0,
    records: stats?.openEntries ?? 0,
    oldestAgeMs: Math.round(oldestAgeMs),
    deadLetters: stats?.deadLetters ?? 0,
    damagedRecords: stats?.damagedEntries ?? 0,
    quarantinedSegments: stats?.quarantinedSegments ?? 0,
    damagedFiles: stats?.damagedFiles ?? 0
  }
}
