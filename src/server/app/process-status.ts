import { performance } from 'node:perf_hooks'
import { briefOf } from '../../client/kafka-watch.js'
import type { QueueView } from '../../consumer/queue/queue.js'
import { performanceClock } from '../../core/clocks.js'
import { isoNow, isoOf } from '../../core/instants.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import { sumOfSeries, sumOfTimes } from '../../core/metrics/sums.js'
import type { MonotonicClock } from '../../core/model.js'
import { textsOf } from '../../core/notice.js'
import { inPortions } from '../../core/portions.js'
import { shortened } from '../../core/printable.js'
import type { RecentLines } from '../../core/recent-lines.js'
import type { RefusalCounts } from '../../core/refusals.js'
import { type CertificateView, certificateViewOf } from '../../http/server/certificates.js'
import type { LoadShedder } from '../../http/server/load-shedder.js'
import type { ProcessStatus } from '../../http/server/management-port.js'
import type { PageSource } from '../../http/server/page-routes.js'
import { type RecordAsker, type RecordQuestion, withCaveat } from '../../http/status/record-question.js'
import {
  type CertificateRow,
  type ClockRow,
  type GroupRow,
  NOTHING,
  type OpenTransactionRow,
  type PartitionRow,
  type QueueRow,
  STATUS_VERSION,
  type Status,
  type StatusPart,
  sharedStatus,
  type TopicRow,
  type WebhookRow
} from '../../http/status/status.js'
import { PEERS_TLS, troubleOf } from '../../http/status/trouble.js'
import {
  latestOf,
  troubledOfBoth,
  weightOfGroup,
  weightOfOpenTransaction,
  weightOfQueue,
  weightOfTopic,
  weightOfWebhook,
  worst
} from '../../http/status/worst.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { clusterOf, type LogView } from '../../producer/disk/durable-backlog.js'
import type { LogStats } from '../../producer/log/availability.js'
import type { TopicView, TroubledPartition } from '../../producer/memory/topic-view.js'
import type { LagSource } from '../../verbs/lag.js'
import { readPage } from '../config/page-file.js'
import type { ConfiguredCluster } from './kafka.js'
import type { ListenerSecurity } from './listener-security.js'

const MAX_TOPICS_OF_GROUP = 20
/** Lines of the log that are answered. */
const MAX_LINES = 20

export interface ProcessStatusDeps {
  readonly clusters: readonly ConfiguredCluster[]
  readonly webhooks: () => readonly WebhookRow[]
  readonly viewLog: () => Promise<LogView>
  readonly memoryLimitBytes: number
  /** `delivery.timeoutMs` */
  readonly memoryTimeoutMs: number
  readonly metrics: PrometheusMetrics
  /** `undefined`: there is none yet. */
  readonly shedder: () => LoadShedder | undefined
  readonly refusals: RefusalCounts
  readonly lines: RecentLines
  /** `undefined`: Kafka is not asked yet. */
  readonly lag: () => LagSource | undefined
  readonly certificates: () => readonly CertificateView[]
  readonly clocks: () => ClockRow[]
  readonly clock: MonotonicClock
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** @returns a function that collects the status of this process. There is no timer, and nothing is kept but its last look */
export function processStatusReader(deps: ProcessStatusDeps): () => Promise<StatusPart> {
  const { clusters, viewLog, clock, now, refusals, lines, certificates, metrics, shedder } = deps
  let lastUse = performance.eventLoopUtilization()
  const processRow = (): Status['process'] => {
    const use = performance.eventLoopUtilization()
    const { utilization: eventLoopUse } = performance.eventLoopUtilization(use, lastUse)
    lastUse = use
    return { eventLoopUse, ...shedder()?.view() }
  }
  return async () => {
    const log = await viewLog()
    const { topics, oldestAgeMs } = await waitingTopics(clusters, log.backlog, clock)
    const at = clock()
    return {
      process: processRow(),
      clusters: clusters.map(toClusterRow),
      memory: { ...memoryOf(deps), oldestAgeMs: Math.round(oldestAgeMs) },
      log: toLogRow(log),
      topics,
      groups: await groupsOf(deps),
      queues: await queuesOf(deps),
      webhooks: worst(deps.webhooks(), weightOfWebhook),
      openTransactions: worst(openTransactionsOf(clusters), weightOfOpenTransaction),
      lag: lagOf(deps.lag()),
      certificates: certificates().map(one => toCertificateRow(one, now())),
      clocks: deps.clocks(),
      ...fromMetrics(metrics),
      refusals: latestOf(aged(refusals.all(), at)),
      lines: latestOf(aged(lines.all(), at), MAX_LINES),
      failures: latestOf(aged(refusals.answers(), at)),
      losses: latestOf(
        clusters.flatMap(({ name: cluster, losses }) =>
          losses.views().map(({ firstAt, lastAt, message, ...row }) => {
            const [firstAgoMs, lastAgoMs] = [agoMs(firstAt, at), agoMs(lastAt, at)]
            return { cluster, ...row, message: shortened(message), firstAgoMs, lastAgoMs }
          })
        )
      )
    }
  }
}

function memoryOf({ clusters, memoryLimitBytes, memoryTimeoutMs: timeoutMs }: ProcessStatusDeps): Status['memory'] {
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

/** A group of which only the refusal is known. */
const IDLE_GROUP = { topics: [], partitions: 0, waiting: 0, pending: 0 }

async function groupsOf({ clusters, clock }: ProcessStatusDeps): Promise<Status['groups']> {
  const rows: GroupRow[] = []
  for (const { name: cluster, groups, instances } of clusters) {
    await inPortions(groups.views(), clock, ({ topics, refusal, ...rest }) => {
      const why = refusal && { topic: refusal.topic, message: refusal.message }
      rows.push({ cluster, ...rest, topics: topics.slice(0, MAX_TOPICS_OF_GROUP), refusal: why })
    })
    const named = new Set(rows.flatMap(row => (row.cluster === cluster ? [row.group] : [])))
    for (const { group, message } of instances.refused) {
      if (!named.has(group)) rows.push({ ...IDLE_GROUP, cluster, group, refusal: { message } })
      named.add(group)
    }
  }
  return worst(rows, weightOfGroup)
}

async function queuesOf({ clusters, clock, metrics }: ProcessStatusDeps): Promise<Status['queues']> {
  const rows: QueueRow[] = []
  for (const { name: cluster, queues } of clusters)
    await inPortions(queues?.views() ?? [], clock, view => {
      rows.push(toQueueRow(cluster, view))
    })
  const archived = sumOfSeries(metrics.registry, 'castellan_queues_archived_messages_total')
  return { ...worst(rows, weightOfQueue), archived }
}

export function toQueueRow(
  cluster: string,
  { oldestHeldMs, notServedMs, archivedAgoMs, ...view }: QueueView
): QueueRow {
  return {
    cluster,
    ...view,
    oldestHeldMs: Math.round(oldestHeldMs),
    ...(notServedMs !== undefined && { notServedMs: Math.round(notServedMs) }),
    ...(archivedAgoMs !== undefined && { archivedAgoMs: Math.round(archivedAgoMs) })
  }
}

export const openTransactionsOf = (clusters: readonly ConfiguredCluster[]): OpenTransactionRow[] =>
  clusters.flatMap(({ name: cluster, router }) =>
    router.openTransactions().map(({ openMs, ...view }) => ({ cluster, ...view, openMs: Math.round(openMs) }))
  )

function lagOf(source: LagSource | undefined): StatusPart['lag'] {
  if (source?.everyMs === undefined) return undefined
  const { total, rows } = worst(source.lagOf(), ({ lag, trouble }) => lag ?? (trouble === undefined ? 0 : 1))
  const named = rows.map(({ trouble: problem, asOf, partitions: _, ...rest }) => {
    return { ...rest, problem, asOf: asOf === undefined ? undefined : isoOf(asOf)! }
  })
  return { total, rows: named }
}

function fromMetrics({ registry }: PrometheusMetrics): Pick<StatusPart, 'requests' | 'way'> {
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

const REFUSED: ReadonlySet<string> = new Set(['401', '403', '413', '429', '503'])

const agoMs = (at: number, nowMs: number): number => Math.max(0, Math.round(nowMs - at))

/** How long ago something was, in place of its moment. */
const aged = <Row extends { readonly lastAt: number }>(rows: readonly Row[], nowMs: number) =>
  rows.map(({ lastAt, ...row }) => ({ ...row, lastAgoMs: agoMs(lastAt, nowMs) }))

/** The certificates in a file. Empty if TLS can use the file, but its certificates cannot be read one by one. */
function viewsIn(of: string, pem: string): CertificateView[] {
  try {
    return [certificateViewOf(of, pem)]
  } catch {
    return []
  }
}

/** Certificates of the listeners, the one for other gateways (in PEM), and those with which this process logs in to brokers. */
export function certificateViews(
  security: ListenerSecurity | undefined,
  ofPeers: string | undefined,
  clusters: readonly ConfiguredCluster[]
): CertificateView[] {
  const { certificates, managementCertificates } = security ?? {}
  const ofListeners = [certificates, managementCertificates].flatMap(one => one?.view ?? [])
  const ofLogins = clusters.flatMap(({ name, connection: { current } }) => {
    const { cert } = typeof current.tls === 'object' ? current.tls : {}
    return typeof cert === 'string' ? viewsIn(`clusters.${name}.tls`, cert) : []
  })
  return [...ofListeners, ...(ofPeers === undefined ? [] : viewsIn(PEERS_TLS, ofPeers)), ...ofLogins]
}

/** @param ofGateways how far this clock is ahead of other gateways; absent: none is known */
export function clockRows(ofGateways: number | undefined, clusters: readonly ConfiguredCluster[]): ClockRow[] {
  const ofBrokers = clusters.flatMap(({ name: cluster, delivery, durable }) => {
    const aheadMs = delivery.clockAheadMs ?? durable?.clockAheadMs
    return aheadMs === undefined ? [] : [{ comparedWith: 'brokers' as const, cluster, aheadMs }]
  })
  return ofGateways === undefined ? ofBrokers : [{ comparedWith: 'gateways', aheadMs: ofGateways }, ...ofBrokers]
}

/** @param now epoch milliseconds */
export const toCertificateRow = ({ of, subject, validTo }: CertificateView, now: number): CertificateRow => ({
  of,
  subject,
  validTo: isoOf(validTo)!,
  remainingMs: validTo - now
})

function toClusterRow({ name, router, idRefusal }: ConfiguredCluster): Status['clusters'][number] {
  const { isReady, awayBecause } = router
  const { errorCode = errorCodes.UNKNOWN_SERVER_ERROR, message } = idRefusal ?? {}
  return {
    name,
    isReady,
    away: isReady || awayBecause === undefined ? undefined : briefOf(awayBecause),
    idRefused: message === undefined ? undefined : { error: kafkaErrorOf(errorCode).name, message },
    brokers: router.brokers().map(({ nodeId, host, port, state, forMs, lastError }) => {
      const address = host === '' ? 'address unknown' : `${host}:${port}`
      return { nodeId, address, state, forMs: Math.round(forMs), lastError }
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
  deadLetterTopics: stats?.deadDestinations.map(toDeadRow),
  damagedRecords: stats?.damagedEntries ?? 0,
  quarantinedSegments: stats?.quarantinedSegments ?? 0,
  setAsideRecords: stats?.setAsideEntries ?? 0,
  damagedFiles: stats?.damagedFiles ?? 0
})

const toDeadRow = ([destination, count]: LogStats['deadDestinations'][number]) => {
  const cluster = clusterOf(destination)
  return { cluster, topic: destination.slice(cluster.length + 1), count }
}

/** States from the worst to the best. */
const STATES: readonly TopicView['state'][] = ['refused', 'missing', 'stuck', 'lookingUp', 'flowing', 'idle']

/** A topic where records wait or do not flow, before its row is made: rows are made for the worst only. */
interface Candidate {
  readonly cluster: ConfiguredCluster
  readonly memory: TopicView | undefined
  readonly logged: LoggedTopic | undefined
}

/** The topics of a process where records wait or do not flow, the worst first, and the age of the oldest record. */
async function waitingTopics(
  clusters: readonly ConfiguredCluster[],
  backlog: LogView['backlog'],
  clock: MonotonicClock
): Promise<{ readonly topics: Status['topics']; readonly oldestAgeMs: number }> {
  const found: Candidate[] = []
  let oldestAgeMs = 0
  for (const cluster of clusters) {
    const durable = await durableTopics(cluster, backlog, clock)
    await inPortions(cluster.delivery.topicViews(), clock, memory => {
      if (memory === undefined) return
      const logged = durable.get(memory.topic)
      durable.delete(memory.topic)
      oldestAgeMs = Math.max(oldestAgeMs, memory.oldestAgeMs)
      if (memory.state !== 'idle' || logged !== undefined) found.push({ cluster, memory, logged })
    })
    for (const logged of durable.values()) found.push({ cluster, memory: undefined, logged })
  }
  const { total, rows } = worst(found, candidate =>
    weightOfTopic(stateOf(candidate), candidate.memory?.bytes, candidate.logged?.records)
  )
  return { topics: { total, rows: rows.map(toTopicRow) }, oldestAgeMs }
}

/** A topic of the durable log: what is in memory of it, how many records wait on disk, and the oldest one for how long. */
interface LoggedTopic {
  readonly topic: string
  readonly view: TopicView | undefined
  readonly records: number
  /** `undefined`: not known. */
  readonly oldestAgeMs: number | undefined
}

async function durableTopics(
  { name, durable }: ConfiguredCluster,
  backlog: LogView['backlog'],
  clock: MonotonicClock
): Promise<Map<string, LoggedTopic>> {
  const logged = new Map<string, LoggedTopic>()
  await inPortions(backlog, clock, ([destination, { openEntries: records, oldestAgeMs }]) => {
    const at = destination.lastIndexOf('/')
    const topic = destination.slice(at + 1)
    if (destination.slice(0, at) === name) logged.set(topic, { topic, view: undefined, records, oldestAgeMs })
  })
  await inPortions(durable?.topicViews() ?? [], clock, view => {
    const known = logged.get(view.topic)
    if (view.state === 'idle' && known === undefined) return
    const records = Math.max(known?.records ?? 0, view.records)
    logged.set(view.topic, { topic: view.topic, view, records, oldestAgeMs: known?.oldestAgeMs })
  })
  return logged
}

/** Records that have waited on disk for longer than this do not flow, even if none of them meets an obstacle. */
const FLOWS_WITHIN_MS = 5_000

function stateOf(candidate: Candidate): TopicRow['state'] {
  const state = worseStateOf(candidate)
  const isOld = (candidate.logged?.oldestAgeMs ?? 0) > FLOWS_WITHIN_MS
  return isOld && (state === 'flowing' || state === 'idle') ? 'waiting' : state
}

/** The worse of the states in memory and on disk. Where nothing can be written, what waits is refused. */
function worseStateOf({ cluster, memory, logged }: Candidate): TopicView['state'] {
  if (logged !== undefined && cluster.idRefusal !== undefined) return 'refused'
  // Mostly there is one: nothing is allocated for each of ten thousand topics.
  const ofLog = logged?.view?.state
  if (memory !== undefined && ofLog === undefined) return memory.state
  const states = [memory?.state, ofLog]
  // Records of a topic without an object wait for a place among the topics that are looked up.
  return STATES.find(state => states.includes(state)) ?? 'lookingUp'
}

function toTopicRow(candidate: Candidate): TopicRow {
  const { cluster, memory, logged } = candidate
  const { name, delivery, durable, router } = cluster
  const views = [memory, logged?.view].filter(view => view !== undefined)
  const topic = memory?.topic ?? logged!.topic
  const refusal = views.find(view => view.refusal !== undefined)?.refusal
  const toPartitionRow = ({ partition, state, attempts, obstacle }: TroubledPartition): PartitionRow => {
    const { error, message } = obstacle ?? {}
    return { partition, state, attempts, error, message, leader: router.leaderOf(topic, partition) }
  }
  const ofLog = durable?.troubledIn(topic) ?? []
  const troubled = troubledOfBoth(delivery.troubledIn(topic).map(toPartitionRow), ofLog.map(toPartitionRow))
  return {
    cluster: name,
    topic,
    state: stateOf(candidate),
    memory: {
      records: memory?.records ?? 0,
      bytes: memory?.bytes ?? 0,
      oldestAgeMs: Math.round(memory?.oldestAgeMs ?? 0)
    },
    log: logged && toLogOfTopic(logged),
    partitions: Math.max(0, ...views.map(({ partitions }) => partitions)),
    troubledPartitions: Math.max(troubled.length, ...views.map(({ troubledCount }) => troubledCount)),
    troubled,
    refusal: refusal && { code: refusal.code, message: refusal.message }
  }
}

const toLogOfTopic = ({ records, view, oldestAgeMs }: LoggedTopic): TopicRow['log'] => ({
  records,
  bytesInMemory: view?.bytes ?? 0,
  ...(oldestAgeMs !== undefined && { oldestAgeMs: Math.round(oldestAgeMs) })
})

/** The content of `/status.json` and of the page, made of the facts of the gateway. */
export function servedStatus(
  facts: Omit<ProcessStatus, 'source' | 'page'>,
  read: () => Promise<StatusPart>,
  findRecord: PageSource['findRecord']
): ProcessStatus {
  const look = async (): Promise<Status> => {
    const whole = await read()
    const [reasons, warnings] = [facts.unreadyReasons(), facts.warnings()]
    const gateway = {
      version: facts.version,
      broker: facts.brokerMode,
      uptimeSeconds: facts.uptimeSeconds(),
      isReady: reasons.length === 0,
      reasons: textsOf(reasons),
      warnings: textsOf(warnings)
    }
    const judged = { version: STATUS_VERSION, at: isoNow(), gateway, ...whole } as const
    return { ...judged, trouble: troubleOf(judged, [...reasons, ...warnings]) }
  }
  const source = sharedStatus(look, performanceClock)
  const page = {
    html: readPage,
    findRecord: async (question: RecordQuestion, asker: RecordAsker) =>
      withCaveat(await findRecord(question, asker), question, await source())
  }
  return { ...facts, source, page }
}
