import type { MetricTags } from './metrics-logger.js'

/**
 * Most series of one metric, `other` included; further ones share a series whose labels all are `other`, so that
 * clients cannot create any number of series. A histogram has several lines per series, so its bound is lower.
 */
export const MAX_SERIES = 1_000

/** Upper bounds in seconds; from half a millisecond, since a cached answer takes less, to ten seconds, since deadlines do. */
const DURATION_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
] as const

/**
 * How the values of several processes that serve together become one: what each holds of its own is summed; of what all
 * see alike, or of which only the worst says something, one value is shown.
 */
export type AcrossWorkers = 'sum' | 'min' | 'max' | 'first'

/** The interface that a registry of prom-client expects of a metric. */
interface Exported {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly values: readonly {
    readonly labels: Readonly<Record<string, string | number>>
    readonly value: number
    readonly metricName?: string
  }[]
  readonly aggregator: AcrossWorkers
}

/**
 * All series of one metric name. prom-client's own classes hash the labels for every increment; here a series is looked
 * up by the identity of its tags, so that rooms which keep their tag objects pay two Map reads.
 */
export class Family<Series> {
  readonly name: string
  readonly help: string
  readonly type: Exported['type']
  readonly #acrossWorkers: AcrossWorkers
  readonly #create: () => Series
  readonly #export: (name: string, labels: MetricTags, series: Series) => Exported['values']
  readonly #maxNamed: number
  #untagged: Series | undefined
  readonly #byTags = new WeakMap<MetricTags, Series>()
  readonly #byText = new Map<string, { readonly labels: MetricTags; readonly series: Series }>()

  constructor(
    name: string,
    help: string,
    type: Exported['type'],
    acrossWorkers: AcrossWorkers,
    create: () => Series,
    toValues: (name: string, labels: MetricTags, series: Series) => Exported['values']
  ) {
    this.name = name
    this.help = help
    this.type = type
    this.#acrossWorkers = acrossWorkers
    this.#create = create
    this.#export = toValues
    this.#maxNamed = Math.floor(MAX_SERIES / toValues(name, {}, create()).length) - 1
  }

  /** The series of these tags, made when it is new. The tags object must not be changed afterwards. */
  series(tags: MetricTags): Series {
    if (isEmpty(tags)) return (this.#untagged ??= this.#add('[]', tags).series)
    const known = this.#byTags.get(tags)
    if (known !== undefined) return known
    const text = JSON.stringify(Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1)))
    const found = this.#byText.get(text) ?? this.#add(text, tags)
    this.#byTags.set(tags, found.series)
    return found.series
  }

  #add(text: string, tags: MetricTags): { readonly labels: MetricTags; readonly series: Series } {
    if (this.#byText.size < this.#maxNamed) {
      const added = { labels: { ...tags }, series: this.#create() }
      this.#byText.set(text, added)
      return added
    }
    const other = Object.fromEntries(Object.keys(tags).map(name => [name, 'other']))
    const otherText = JSON.stringify(other)
    const existing = this.#byText.get(otherText)
    if (existing) return existing
    const added = { labels: other, series: this.#create() }
    this.#byText.set(otherText, added)
    return added
  }

  /** Called by prom-client. */
  get(): Exported {
    const values = [...this.#byText.values()].flatMap(({ labels, series }) => this.#export(this.name, labels, series))
    return { name: this.name, help: this.help, type: this.type, values, aggregator: this.#acrossWorkers }
  }
}

function isEmpty(tags: MetricTags): boolean {
  for (const _ in tags) return false
  return true
}

/** A counter or gauge. */
export interface Cell {
  value: number
}

export const counterFamily = (name: string, help: string): Family<Cell> =>
  new Family(
    name,
    help,
    'counter',
    'sum',
    () => ({ value: 0 }),
    (_, labels, { value }) => [{ labels, value }]
  )

export const gaugeFamily = (name: string, help: string, acrossWorkers: AcrossWorkers): Family<Cell> =>
  new Family(
    name,
    help,
    'gauge',
    acrossWorkers,
    () => ({ value: 0 }),
    (_, labels, { value }) => [{ labels, value }]
  )

/** Durations in seconds, counted by {@link DURATION_BUCKETS_SECONDS}. */
export class Durations {
  readonly #counts = new Array<number>(DURATION_BUCKETS_SECONDS.length + 1).fill(0)
  #sumSeconds = 0

  observe(seconds: number): void {
    let bucket = 0
    while (bucket < DURATION_BUCKETS_SECONDS.length && seconds > DURATION_BUCKETS_SECONDS[bucket]!) bucket++
    this.#counts[bucket]!++
    this.#sumSeconds += seconds
  }

  toValues(name: string, labels: MetricTags): Exported['values'] {
    let total = 0
    const buckets = this.#counts.map((count, index) => {
      total += count
      const le = DURATION_BUCKETS_SECONDS[index] ?? '+Inf'
      return { labels: { ...labels, le }, value: total, metricName: `${name}_bucket` }
    })
    return [
      ...buckets,
      { labels, value: this.#sumSeconds, metricName: `${name}_sum` },
      { labels, value: total, metricName: `${name}_count` }
    ]
  }
}

export const durationFamily = (name: string, help: string): Family<Durations> =>
  new Family(
    name,
    help,
    'histogram',
    'sum',
    () => new Durations(),
    (familyName, labels, series) => series.toValues(familyName, labels)
  )
