import { CastellanError, KafkaError } from '../../core/errors.js'
import type { Logger } from '../../core/model.js'
import { type LagFailure, type LagRow, type LagSource, lagFailureOf, sumOf, type TopicLag } from '../../gateway/lag.js'
import type { LagSettings } from '../config/process-settings.js'
import { alone, type LagTurns, type ServedGroups } from './lag-turns.js'

/** Groups that this process asks for. Further ones are named in the log, and not asked for. */
const MAX_GROUPS = 1_000
/** Topics of a group with a row of their own: those with most lag. The others share one row. */
const MAX_TOPICS = 100
/** Time limit for one group. */
const TIMEOUT_MS = 10_000
/** Each pause is longer or shorter by up to this share, so that gateways that start together do not ask together. */
const JITTER = 0.2
const DEFAULT_CLUSTER = 'default'

/** A cluster whose groups are asked for. */
export interface LagCluster {
  readonly name: string
  /** Asks Kafka, in at most `timeoutMs`. */
  readLag(group: string, timeoutMs: number): Promise<readonly TopicLag[]>
  /** The groups that this process serves. */
  servedGroups(): Iterable<string>
}

interface Target {
  readonly cluster: LagCluster
  readonly group: string
}

/** The last answer about a group. */
interface Reading {
  readonly target: Target
  /** Milliseconds since 1970. `undefined`: Kafka has not answered yet. */
  asOf: number | undefined
  rows: readonly Omit<LagRow, 'cluster' | 'group' | 'asOf'>[]
  /** Why the last question had no answer. */
  trouble: string | undefined
  failure: LagFailure | undefined
  /** The code of the trouble. Its text may differ each time. */
  code: string | number | undefined
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
}

/**
 * Asks Kafka for the lag of groups, one group after another. The groups of a round are spread over `everyMs`, so the
 * next group is asked for when the one before is answered and its time has come. A round thus never overlaps another.
 * What was read of a group stays, with its time, while Kafka does not answer.
 */
export class LagWatch implements LagSource {
  readonly everyMs: number | undefined
  readonly #deps: LagWatchDeps
  readonly #clusters: ReadonlyMap<string, LagCluster>
  readonly #readings = new Map<string, Reading>()
  #turns: LagTurns = alone
  /** The groups of this round that are not asked for yet. */
  #rest: Target[] = []
  #pauseMs = 0
  #isTooMany = false
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(deps: LagWatchDeps) {
    this.#deps = deps
    this.everyMs = deps.settings.everyMs
    this.#clusters = new Map(deps.clusters.map(cluster => [cluster.name, cluster]))
  }

  /** Begins to ask, if the settings say how often. */
  start(turns: LagTurns = alone): void {
    this.#turns = turns
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

  /** The groups that this process serves, by cluster. */
  served(): ServedGroups {
    return new Map(this.#deps.clusters.map(({ name, servedGroups }) => [name, [...new Set(servedGroups())]]))
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
  async #targets(): Promise<Target[]> {
    const found = new Map<string, Target>()
    const add = (name: string, group: string): void => {
      const cluster = this.#clusters.get(name)
      if (cluster !== undefined && this.#turns.isOurs(name, group)) found.set(keyOf(name, group), { cluster, group })
    }
    for (const listed of this.#deps.settings.groups) add(...this.#placeOf(listed))
    for (const served of [this.served(), ...(await this.#turns.servedElsewhere())]) {
      for (const [name, groups] of served) for (const group of groups) add(name, group)
    }
    this.#warnOf(found.size)
    return [...found.values()].slice(0, MAX_GROUPS)
  }

  /** `eu/billing` => the group `billing` of the cluster `eu`, if there is such a cluster. */
  #placeOf(listed: string): [cluster: string, group: string] {
    const at = listed.indexOf('/')
    const name = listed.slice(0, Math.max(0, at))
    return this.#clusters.has(name) ? [name, listed.slice(at + 1)] : [DEFAULT_CLUSTER, listed]
  }

  #warnOf(groups: number): void {
    const isTooMany = groups > MAX_GROUPS
    if (isTooMany && !this.#isTooMany) {
      this.#deps.log.warn({ groups }, `the lag of ${MAX_GROUPS} groups is asked for; the others are left out`)
    }
    this.#isTooMany = isTooMany
  }

  #forgetOthers(targets: readonly Target[]): void {
    const kept = new Set(targets.map(({ cluster, group }) => keyOf(cluster.name, group)))
    for (const key of this.#readings.keys()) if (!kept.has(key)) this.#readings.delete(key)
  }

  async #read(target: Target): Promise<void> {
    const { cluster, group } = target
    const key = keyOf(cluster.name, group)
    const reading = this.#readings.get(key) ?? newReading(target)
    const former = reading.code
    try {
      reading.rows = rowsOf(await cluster.readLag(group, Math.min(TIMEOUT_MS, this.everyMs!)))
      reading.asOf = Date.now()
      reading.trouble = reading.failure = reading.code = undefined
    } catch (error) {
      reading.trouble = error instanceof Error ? error.message : String(error)
      reading.failure = lagFailureOf(error)
      reading.code = codeOf(error)
    }
    this.#readings.set(key, reading)
    this.#report(reading, former)
  }

  /** Logs a trouble once, and its end. */
  #report({ target: { cluster, group }, trouble, code }: Reading, former: Reading['code']): void {
    if (former === code) return
    const of = { cluster: cluster.name, group }
    if (code === undefined) this.#deps.log.info(of, 'the lag of the group can be read again')
    else this.#deps.log.warn({ ...of, reason: trouble }, 'the lag of a group cannot be read')
  }
}

const newReading = (target: Target): Reading => ({
  target,
  asOf: undefined,
  rows: [],
  trouble: undefined,
  failure: undefined,
  code: undefined
})

function codeOf(error: unknown): string | number {
  if (error instanceof KafkaError) return error.errorCode
  return error instanceof CastellanError ? error.code : 'bug'
}

const NOTHING = 'the group has committed no offset'

/** A group may have any characters in its id; a cluster has no slash in its name. */
const keyOf = (cluster: string, group: string): string => `${cluster}/${group}`

/** The rows of a group: the topics with most lag, and one row for all others. */
function rowsOf(lags: readonly TopicLag[]): Reading['rows'] {
  const rows: Reading['rows'][number][] = lags.map(lag => {
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
