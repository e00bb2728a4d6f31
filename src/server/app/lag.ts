import { CastellanError, KafkaError } from '../../core/errors.js'
import { MAX_SERIES } from '../../core/metrics/family.js'
import { type PrometheusMetrics, type PrometheusReading, registerScrapedGauge } from '../../core/metrics/prometheus.js'
import type { Logger } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { askOthers, serve } from '../../deployment/calls/call.js'
import { MAX_LAG_GROUPS } from '../../deployment/calls/group-calls.js'
import type { Peers } from '../../deployment/calls/peers.js'
import { CALLS } from '../../deployment/calls/table.js'
import { fnv1a } from '../../producer/memory/partitioners.js'
import {
  type LagFailure,
  type LagRow,
  type LagSource,
  lagFailureOf,
  readLag,
  sumOf,
  type TopicLag
} from '../../verbs/lag.js'
import type { LagSettings } from '../config/process-settings.js'
import type { ConfiguredCluster } from './kafka.js'
import type { ShutdownSteps } from './shutdown.js'

/** Topics of a group with a row of their own: those with most lag. The others share one row. */
const MAX_TOPICS = 100
/** Time limit for one group. */
const TIMEOUT_MS = 10_000
/** Each pause is longer or shorter by up to this share, so that gateways that start together do not ask together. */
const JITTER = 0.2
const DEFAULT_CLUSTER = 'default'

export interface LagDeps {
  readonly settings: LagSettings
  readonly clusters: readonly ConfiguredCluster[]
  readonly metrics: PrometheusMetrics
  /** The gateways with which this one shares the groups. Absent: it is the only one. */
  readonly peers?: Peers | undefined
  readonly log: Logger
  readonly shutdown: ShutdownSteps
}

/** Asks for the lag of consumer groups from now on, and exports it, if the settings say so. */
export function watchLag({ settings, clusters, metrics, peers, log, shutdown }: LagDeps): LagWatch {
  const asked = clusters.map(({ name, router, groups, instances }) => ({
    name,
    readLag: (group: string, timeoutMs: number) => readLag(router.ref, group, timeoutMs),
    servedGroups: () => [...groups.groupIds, ...instances.groupIds]
  }))
  const isOn = settings.everyMs !== undefined
  const watch = new LagWatch({ settings, clusters: asked, log, peers: isOn ? peers : undefined })
  if (!isOn) return watch
  registerLag(metrics, watch)
  watch.start()
  shutdown.add('watching the lag', async () => watch.stop())
  return watch
}

type NumberOf<Row> = (row: Row) => number | undefined

const RECORDS =
  'Records of a topic after the committed offsets of a group, in the partitions in which it has committed one'
const UNCOMMITTED = 'Partitions of a topic in which a group has committed no offset although it has in others'
const READABLE = '1 when Kafka has answered the last question about the lag of a group, else 0'

/**
 * Exports the lag of consumer groups as it was last read. Each group is read by one gateway of those that know each other.
 */
function registerLag({ registry }: PrometheusMetrics, watch: LagWatch): void {
  const perTopic = (name: string, help: string, read: NumberOf<LagRow>): void =>
    registerScrapedGauge(registry, `castellan_lag_${name}`, help, () =>
      bounded(
        watch.lagOf().flatMap(row => {
          const { cluster, group, topic } = row
          const value = read(row)
          return topic === undefined || value === undefined ? [] : { labels: { cluster, group, topic }, value }
        })
      )
    )
  const perGroup = (name: string, help: string, read: NumberOf<GroupReading>) =>
    registerScrapedGauge(registry, `castellan_lag_${name}`, help, () =>
      watch.groups().flatMap(reading => {
        const { cluster, group } = reading
        const value = read(reading)
        return value === undefined ? [] : { labels: { cluster, group }, value }
      })
    )
  perTopic('records', RECORDS, ({ lag }) => lag)
  perTopic('uncommitted_partitions', UNCOMMITTED, row => row.uncommitted)
  perGroup('group_readable', READABLE, ({ isReadable }) => (isReadable ? 1 : 0))
  perGroup('age_seconds', 'Age of what is known about the lag of a group', ({ asOf }) =>
    asOf === undefined ? undefined : Math.max(0, (Date.now() - asOf) / 1_000)
  )
}

/** The highest values, and the sum of the others under the labels `other`. */
function bounded(readings: PrometheusReading[]): PrometheusReading[] {
  if (readings.length <= MAX_SERIES) return readings
  readings.sort((one, other) => other.value - one.value)
  const rest = readings.splice(MAX_SERIES - 1)
  const labels = { cluster: 'other', group: 'other', topic: 'other' }
  return [...readings, { labels, value: rest.reduce((sum, { value }) => sum + value, 0) }]
}

export interface LagCluster {
  readonly name: string
  /** Asks Kafka, in at most `timeoutMs`. */
  readLag(group: string, timeoutMs: number): Promise<readonly TopicLag[]>
  servedGroups(): Iterable<string>
}

interface LagTarget {
  readonly cluster: LagCluster
  readonly group: string
}

interface LagReading {
  readonly target: LagTarget
  /** Milliseconds since 1970. `undefined`: Kafka has not answered yet. */
  readonly asOf?: number | undefined
  readonly rows: readonly Omit<LagRow, 'cluster' | 'group' | 'asOf'>[]
  /** Why the last question had no answer; its text may differ each time, its code does not. */
  readonly trouble?: string
  readonly failure?: LagFailure
  readonly code?: string | number
}

/** The lag of a group as a whole: when it was read, and whether the last question was answered. */
export interface GroupReading {
  readonly cluster: string
  readonly group: string
  readonly asOf: number | undefined
  readonly isReadable: boolean
}

export interface LagWatchDeps {
  readonly settings: LagSettings
  readonly clusters: readonly LagCluster[]
  readonly log: Logger
  readonly peers?: Peers | undefined
}

/**
 * Asks Kafka for the lag of groups, one group after another. The groups of a round are spread over `everyMs`, so the
 * next group is asked for when the one before is answered and its time has come. A round thus never overlaps another.
 * What was read of a group stays, with its time, while Kafka does not answer.
 *
 * Gateways that know each other share the groups out: each group is asked for by the one with the highest hash of its own id
 * and the group. While processes come and go, a group may be asked for by two of them, or by none, for
 * one round.
 */
export class LagWatch implements LagSource {
  readonly everyMs: number | undefined
  readonly #deps: LagWatchDeps
  readonly #clusters: ReadonlyMap<string, LagCluster>
  readonly #readings = new Map<string, LagReading>()
  /** The groups of this round that are not asked for yet. */
  #rest: LagTarget[] = []
  #pauseMs = 0
  #isTooMany = false
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(deps: LagWatchDeps) {
    this.#deps = deps
    this.everyMs = deps.settings.everyMs
    this.#clusters = new Map(deps.clusters.map(cluster => [cluster.name, cluster]))
    if (deps.peers) serve(deps.peers, CALLS.lagGroups, () => this.#served(MAX_LAG_GROUPS))
  }

  /** Begins to ask, if the settings say how often. */
  start(): void {
    // A group that a client has just asked for is not known yet, so the first round is late by a part of the pause.
    if (this.everyMs !== undefined) this.#after(this.everyMs * JITTER * Math.random())
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  lagOf(): readonly LagRow[] {
    return Array.from(this.#readings.values()).flatMap(({ target, asOf, rows, trouble, failure }) => {
      const of = { cluster: target.cluster.name, group: target.group, asOf }
      const why = failure === undefined ? {} : { trouble, failure }
      if (rows.length > 0) return rows.map(row => ({ ...of, ...row, ...why }))
      return { ...of, topic: undefined, partitions: 0, uncommitted: 0, lag: undefined, trouble: NOTHING, ...why }
    })
  }

  /** Each group that is asked for, once. */
  groups(): readonly GroupReading[] {
    return Array.from(this.#readings.values(), ({ target, asOf, trouble }) => {
      return { cluster: target.cluster.name, group: target.group, asOf, isReadable: trouble === undefined }
    })
  }

  #after(pauseMs: number): void {
    if (this.#isStopped) return
    this.#timer = setTimeout(() => void this.#next(), pauseMs).unref()
  }

  /** Asks for one group, and begins a round when the one before is over. */
  async #next(): Promise<void> {
    const everyMs = this.everyMs!
    const startedAt = performance.now()
    if (this.#rest.length === 0) {
      this.#rest = await this.#targets()
      this.#pauseMs = everyMs / Math.max(1, this.#rest.length)
      this.#forgetOthers(this.#rest)
    }
    const target = this.#rest.shift()
    if (target !== undefined) await this.#read(target)
    const jitter = 1 + JITTER * (2 * Math.random() - 1)
    this.#after(Math.max(0, this.#pauseMs * jitter - (performance.now() - startedAt)))
  }

  /** The groups of a round: those of the settings first, then those that are served. */
  async #targets(): Promise<LagTarget[]> {
    const found = new Map<string, LagTarget>()
    const add = (name: string, group: string): void => {
      const cluster = this.#clusters.get(name)
      if (cluster !== undefined && this.#isOurs(keyOf(name, group))) found.set(keyOf(name, group), { cluster, group })
    }
    for (const listed of this.#deps.settings.groups) add(...this.#placeOf(listed))
    const { peers } = this.#deps
    const told = peers ? await askOthers(peers, CALLS.lagGroups, undefined) : []
    for (const served of [this.#served(), ...told.flatMap(({ answer }) => answer ?? [])]) {
      for (const [name, groups] of served) for (const group of groups) add(name, group)
    }
    const isTooMany = found.size > MAX_LAG_GROUPS
    if (isTooMany && !this.#isTooMany)
      this.#deps.log.warn(
        { groups: found.size },
        `the lag of ${MAX_LAG_GROUPS} groups is asked for; the others are left out`
      )
    this.#isTooMany = isTooMany
    return [...found.values()].slice(0, MAX_LAG_GROUPS)
  }

  #served(most?: number): ReadonlyMap<string, readonly string[]> {
    const { clusters } = this.#deps
    return new Map(clusters.map(({ name, servedGroups }) => [name, [...new Set(servedGroups())].slice(0, most)]))
  }

  #isOurs(key: string): boolean {
    const { id, others = [] } = this.#deps.peers ?? {}
    const rankOf = (process: unknown): number => fnv1a(Buffer.from(`${key}/${process}`))
    const own = rankOf(id)
    return (others as readonly (string | number)[]).every(other => {
      const rank = rankOf(other)
      return rank < own || (rank === own && other < id!)
    })
  }

  /** `eu/billing` => the group `billing` of the cluster `eu`, if there is such a cluster. */
  #placeOf(listed: string): [cluster: string, group: string] {
    const at = listed.indexOf('/')
    const name = listed.slice(0, Math.max(0, at))
    return this.#clusters.has(name) ? [name, listed.slice(at + 1)] : [DEFAULT_CLUSTER, listed]
  }

  #forgetOthers(targets: readonly LagTarget[]): void {
    const kept = new Set(targets.map(({ cluster, group }) => keyOf(cluster.name, group)))
    for (const key of this.#readings.keys()) if (!kept.has(key)) this.#readings.delete(key)
  }

  async #read(target: LagTarget): Promise<void> {
    const { cluster, group } = target
    const key = keyOf(cluster.name, group)
    const known = this.#readings.get(key)
    const reading = await cluster.readLag(group, Math.min(TIMEOUT_MS, this.everyMs!)).then(
      (lags): LagReading => ({ target, asOf: Date.now(), rows: rowsOf(lags) }),
      (error: unknown): LagReading => ({
        target,
        asOf: known?.asOf,
        rows: known?.rows ?? [],
        trouble: messageOf(error),
        failure: lagFailureOf(error),
        code: error instanceof KafkaError ? error.errorCode : error instanceof CastellanError ? error.code : 'bug'
      })
    )
    this.#readings.set(key, reading)
    // A trouble is logged once, and its end.
    if (known?.code === reading.code) return
    const of = { cluster: cluster.name, group }
    if (reading.code === undefined) this.#deps.log.info(of, 'the lag of the group can be read again')
    else this.#deps.log.warn({ ...of, reason: reading.trouble }, 'the lag of a group cannot be read')
  }
}

const NOTHING = 'the group has committed no offset'

/** A group may have any characters in its id; a cluster has no slash in its name. */
const keyOf = (cluster: string, group: string): string => `${cluster}/${group}`

/** The rows of a group: the topics with most lag, and one row for all others. */
function rowsOf(lags: readonly TopicLag[]): LagReading['rows'] {
  const rows: LagReading['rows'][number][] = lags.map(lag => {
    const { topic, trouble, failure } = lag
    return { topic, ...sumOf(lag), trouble, ...(failure !== undefined && { failure }) }
  })
  if (rows.length <= MAX_TOPICS) return rows
  // A topic whose lag is not known is in trouble, and goes first.
  const weight = ({ lag = Number.POSITIVE_INFINITY }: { readonly lag: number | undefined }): number => lag
  rows.sort((one, other) => (weight(one) === weight(other) ? 0 : weight(other) - weight(one)))
  const others = rows.splice(MAX_TOPICS)
  const sum = (of: (row: (typeof rows)[number]) => number): number => others.reduce((total, row) => total + of(row), 0)
  return [
    ...rows,
    {
      topic: undefined,
      partitions: sum(({ partitions }) => partitions),
      uncommitted: sum(({ uncommitted }) => uncommitted),
      lag: others.every(({ lag }) => lag === undefined) ? undefined : sum(({ lag = 0 }) => lag),
      trouble: others.find(({ trouble }) => trouble !== undefined)?.trouble
    }
  ]
}
