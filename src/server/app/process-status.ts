import { performance } from 'node:perf_hooks'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import { sumOfSeries, sumOfTimes } from '../../core/metrics/sums.js'
import type { MonotonicClock } from '../../core/model.js'
import { inPortions } from '../../core/portions.js'
import { shortened } from '../../core/printable.js'
import type { RecentLines } from '../../core/recent-lines.js'
import type { Refusals } from '../../core/refusals.js'
import type { LagSource } from '../../gateway/lag.js'
import { type CertificateView, viewOf } from '../../http/server/certificates.js'
import type { LoadShedder } from '../../http/server/load-shedder.js'
import type { ProcessStatus } from '../../http/server/management-port.js'
import { TopRows, weightOfGroup } from '../../http/status/merge.js'
import {
  type CertificateRow,
  type GroupRow,
  type LagRow,
  MAX_ROWS,
  NOTHING,
  type Status,
  type StatusPart
} from '../../http/status/status.js'
import type { LogView } from '../../producer/disk/durable-queue.js'
import type { WorkerView } from '../workers/supervisor.js'
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
    const { topics, oldestAgeMs } = await waitingTopics(clusters, log.backlog, clock)
    const agoMs = agoAt(clock())
    return {
      workers: [this.#worker()],
      clusters: clusters.map(toClusterRow),
      memory: { ...this.#memory(), oldestAgeMs: Math.round(oldestAgeMs) },
      log: toLogRow(log),
      topics,
      groups: await this.#groups(),
      lag: this.#lag(),
      certificates: certificates().map(one => toCertificateRow(one, now())),
      ...this.#fromMetrics(),
      ...toldOf(refusals, lines, agoMs),
      failures: refusals.answers().map(({ lastAt, ...row }) => ({ ...row, lastAgoMs: agoMs(lastAt) })),
      losses: clusters.flatMap(({ name: cluster, losses }) =>
        losses.views().map(({ firstAt, lastAt, message, ...row }) => {
          const [firstAgoMs, lastAgoMs] = [agoMs(firstAt), agoMs(lastAt)]
          return { cluster, ...row, message: shortened(message), firstAgoMs, lastAgoMs }
        })
      )
    }
  }

  #worker(): Status['workers'][number] {
    const { number, shedder } = this.#deps
    const use = performance.eventLoopUtilization()
    const { utilization: eventLoopUse } = performance.eventLoopUtilization(use, this.#lastUse)
    this.#lastUse = use
    return { number, isUp: true, restarts: 0, eventLoopUse, ...shedder()?.view() }
  }

  #memory(): Status['memory'] {
    const { clusters, memoryLimitBytes, memoryTimeoutMs: timeoutMs } = this.#deps
    const sum = { ...NOTHING.memory, timeoutMs }
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
        const why = message === undefined ? undefined : { topic, message }
        top.add({ cluster, ...rest, topics: topics.slice(0, MAX_TOPICS_OF_GROUP), refusal: why })
      })
    }
    return { total: top.total, rows: top.rows }
  }

  #lag(): StatusPart['lag'] {
    const source = this.#deps.lag()
    if (source?.everyMs === undefined) return undefined
    const top = new TopRows<LagRow>(({ lag, problem }) => lag ?? (problem === undefined ? 0 : 1), MAX_ROWS)
    for (const { trouble: problem, asOf, partitions: _, ...rest } of source.lagOf())
      top.add({ ...rest, problem, asOf: asOf === undefined ? undefined : new Date(asOf).toISOString() })
    return { total: top.total, rows: top.rows }
  }

  #fromMetrics(): Pick<StatusPart, 'requests' | 'way'> {
    const { registry } = this.#deps.metrics
    const requests = (matches: (status: string) => boolean = () => true): number =>
      sumOfSeries(
        registry,
        'castellan_http_requests_total',
        ({ api, status }) => api !== 'none' && matches(String(status))
      )
    const times = (name: string, matches?: Parameters<typeof sumOfTimes>[2]): Status['way']['body'] =>
      sumOfTimes(registry, `castellan_${name}`, matches)
    return {
      requests: {
        total: requests(),
        failed: requests(status => status.startsWith('5')),
        refused: requests(status => REFUSED.has(status)),
        inFlight: sumOfSeries(registry, 'castellan_http_requests_in_flight'),
        connections: sumOfSeries(registry, 'castellan_http_connections')
      },
      way: {
        request: times('http_request_seconds', ({ api, method }) => api !== 'none' && method === 'POST'),
        body: times('http_body_seconds', ({ api }) => api !== 'none'),
        admission: times('http_admission_wait_seconds'),
        capacity: times('delivery_capacity_wait_seconds'),
        partition: times('delivery_partition_wait_seconds'),
        router: times('router_request_latency_seconds', ({ operation }) => operation === 'produceBatch'),
        broker: times('kafka_dispatcher_call_seconds', ({ dispatcher }) => dispatcher === 'produce')
      }
    }
  }
}

const REFUSED: ReadonlySet<string> = new Set(['401', '403', '413', '429', '503'])

/** How long ago something was, in place of its moment. */
const agoAt =
  (nowMs: number) =>
  (at: number): number =>
    Math.max(0, Math.round(nowMs - at))

/** What any process knows of refusals and of the lines of its log. */
const toldOf = (
  refusals: Pick<Refusals, 'all'>,
  lines: Pick<RecentLines, 'all'>,
  agoMs: (at: number) => number
): Pick<StatusPart, 'refusals' | 'lines'> => ({
  refusals: refusals.all().map(({ lastAt, ...row }) => ({ ...row, lastAgoMs: agoMs(lastAt) })),
  lines: lines.all().map(({ lastAt, ...row }) => ({ ...row, lastAgoMs: agoMs(lastAt) }))
})

/** Certificates of the listeners, and those with which this process logs in to brokers. */
export function certificateViews(
  security: ListenerSecurity | undefined,
  clusters: readonly Pick<KafkaCluster, 'name' | 'connection'>[]
): CertificateView[] {
  const { certificates, managementCertificates } = security ?? {}
  const ofListeners = [certificates, managementCertificates].flatMap(one => one?.view ?? [])
  const ofLogins = clusters.flatMap(({ name, connection: { current } }) => {
    const { cert } = typeof current.tls === 'object' ? current.tls : {}
    return typeof cert === 'string' ? [viewOf(`clusters.${name}.tls`, cert)] : []
  })
  return [...ofListeners, ...ofLogins]
}

/** @param now epoch milliseconds */
const toCertificateRow = ({ of, subject, validTo }: CertificateView, now: number): CertificateRow => ({
  of,
  subject,
  validTo: new Date(validTo).toISOString(),
  remainingMs: validTo - now
})

function toClusterRow({ name, router }: KafkaCluster): Status['clusters'][number] {
  const { isReady, awayBecause } = router
  return {
    name,
    isReady,
    away: isReady || awayBecause === undefined ? undefined : briefOf(awayBecause),
    brokers: router.brokers().map(({ nodeId, host, port, state, forMs, lastError }) => {
      return { nodeId, address: `${host}:${port}`, state, forMs: Math.round(forMs), lastError }
    })
  }
}

const toLogRow = ({ state, why, limitBytes, oldestAgeMs, stats }: LogView): Status['log'] => ({
  state,
  why,
  limitBytes,
  sizeBytes: stats?.sizeBytes ?? 0,
  records: stats?.openEntries ?? 0,
  oldestAgeMs: Math.round(oldestAgeMs),
  deadLetters: stats?.deadLetters ?? 0,
  damagedRecords: stats?.damagedEntries ?? 0,
  quarantinedSegments: stats?.quarantinedSegments ?? 0,
  damagedFiles: stats?.damagedFiles ?? 0
})

/** What is known about the gateway as a whole. */
export function headOf(status: ProcessStatus): Status['gateway'] {
  const reasons = [...status.unreadyReasons()]
  return {
    version: status.version,
    broker: status.brokerMode,
    uptimeSeconds: status.uptimeSeconds(),
    isReady: reasons.length === 0,
    reasons,
    warnings: [...status.warnings()],
    silentWorkers: []
  }
}

/** The part of a parent, which serves the management port and nothing else, and knows how its workers are. */
export function parentPart(
  refusals: Pick<Refusals, 'all'>,
  lines: Pick<RecentLines, 'all'>,
  certificate: CertificateView | undefined
): StatusPart {
  const certificates = certificate === undefined ? [] : [toCertificateRow(certificate, Date.now())]
  return { ...NOTHING, ...toldOf(refusals, lines, agoAt(performance.now())), certificates }
}

/** Adds what the parent knows of its workers, also of those that gave no part. */
export function withWorkers(status: StatusPart, workers: readonly WorkerView[], nowMs: number): StatusPart {
  const told = new Map(status.workers.map(row => [row.number, row]))
  const rows = workers.map(({ number, isUp, restarts, lastEnd }) => {
    const end = lastEnd && { how: lastEnd.how, agoMs: Math.round(nowMs - lastEnd.at) }
    return { ...told.get(number), number, isUp, restarts, lastEnd: end }
  })
  return { ...status, workers: rows }
}
