import type { MetricTags } from './metrics-logger.js'

/**
 * Maximum number of lines of one metric. Without it, clients could create any number of series. All series beyond the
 * limit share one series, whose labels are all `other`. A series of a histogram has several lines, so a histogram has
 * fewer series.
 */
export const MAX_SERIES = 1_000

/**
 * Upper bounds of the buckets. A cached answer takes less than half a millisecond; the longest deadlines are ten
 * seconds.
 */
const DURATION_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
] as const

/** A metric as prom-client prints it. */
interface Exported {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly values: readonly {
    readonly labels: Readonly<Record<string, string | number>>
    readonly value: number
    readonly metricName?: string
  }[]
}

/** The part of a metric that a registry of prom-client uses. */
export interface Exportable {
  readonly name: string
  get(): Exported
}

/**
 * All series of one metric name. prom-client's own classes hash the labels for every increment. A family finds a series
 * by the identity of its tags object. For a caller that passes the same object each time, an increment takes two Map
 * reads.
 */
export class Family<Series> implements Exportable {
  readonly name: string
  readonly help: string
  readonly type: Exported['type']
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
    create: () => Series,
    toValues: (name: string, labels: MetricTags, series: Series) => Exported['values']
  ) {
    this.name = name
    this.help = help
    this.type = type
    this.#create = create
    this.#export = toValues
    this.#maxNamed = Math.floor(MAX_SERIES / toValues(name, {}, create()).length) - 1
  }

  /** Returns the series of these tags, and creates it if it is new. The tags object must not be changed afterwards. */
  series(tags: MetricTags): Series {
    if (isEmpty(tags)) return (this.#untagged ??= this.#add('[]', tags).series)
    const known = this.#byTags.get(tags)
    if (known !== undefined) return known
    const text = textOf(tags)
    const found = this.#byText.get(text) ?? this.#add(text, tags)
    this.#byTags.set(tags, found.series)
    return found.series
  }

  /** Whether a further series would be counted as `other`. */
  get isFull(): boolean {
    return this.#byText.size >= this.#maxNamed
  }

  /** Whether there is a series of these tags. */
  has(tags: MetricTags): boolean {
    return this.#byText.has(textOf(tags))
  }

  /** The tags of each series, at most {@link MAX_SERIES}. */
  get tags(): readonly MetricTags[] {
    return Array.from(this.#byText.values(), ({ labels }) => labels)
  }

  /** Takes a series away. The caller holds it no longer, and asks for it by a new object if it comes again. */
  remove(tags: MetricTags): void {
    this.#byText.delete(textOf(tags))
  }

  #add(text: string, tags: MetricTags): { readonly labels: MetricTags; readonly series: Series } {
    if (!this.isFull) {
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
    return { name: this.name, help: this.help, type: this.type, values }
  }

  /** Called by prom-client for text. It keeps the text of shared labels, by the identity of their object. */
  getForPromString(): object {
    const { values, ...facts } = this.get()
    const toText = ({ labels: sharedLabels, value, metricName = this.name }: Exported['values'][number]): object => {
      return { metricName, labels: {}, sharedLabels, value }
    }
    return { ...facts, values: values.map(toText) }
  }
}

const textOf = (tags: MetricTags): string => JSON.stringify(Object.entries(tags).sort(([a], [b]) => (a < b ? -1 : 1)))

function isEmpty(tags: MetricTags): boolean {
  for (const _ in tags) return false
  return true
}

export interface Cell {
  value: number
}

function cellFamily(name: string, help: string, type: 'counter' | 'gauge'): Family<Cell> {
  const toValues = (_: string, labels: MetricTags, { value }: Cell): Exported['values'] => [{ labels, value }]
  return new Family(name, help, type, () => ({ value: 0 }), toValues)
}

export const counterFamily = (name: string, help: string): Family<Cell> => cellFamily(name, help, 'counter')

export const gaugeFamily = (name: string, help: string): Family<Cell> => cellFamily(name, help, 'gauge')

/** A histogram: durations, counted in buckets. */
export class Durations {
  readonly #bounds: readonly number[]
  readonly #counts: number[]
  #sum = 0
  /** The labels of each bucket: the same objects in every call. */
  #labels: readonly Exported['values'][number]['labels'][] | undefined

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Array<number>(bounds.length + 1).fill(0)
  }

  /** @param times how often this duration was observed */
  observe(duration: number, times = 1): void {
    let bucket = 0
    while (bucket < this.#bounds.length && duration > this.#bounds[bucket]!) bucket++
    this.#counts[bucket]! += times
    this.#sum += duration * times
  }

  toValues(name: string, labels: MetricTags): Exported['values'] {
    let total = 0
    const ofBuckets = (this.#labels ??= [...this.#bounds, '+Inf'].map(le => ({ ...labels, le })))
    const buckets = this.#counts.map((count, index) => {
      total += count
      return { labels: ofBuckets[index]!, value: total, metricName: `${name}_bucket` }
    })
    return [
      ...buckets,
      { labels, value: this.#sum, metricName: `${name}_sum` },
      { labels, value: total, metricName: `${name}_count` }
    ]
  }
}

/** @param bounds of the buckets, in the unit of the durations */
export const durationFamily = (
  name: string,
  help: string,
  bounds: readonly number[] = DURATION_BUCKETS_SECONDS
): Family<Durations> =>
  new Family(
    name,
    help,
    'histogram',
    () => new Durations(bounds),
    (familyName, labels, series) => series.toValues(familyName, labels)
  )
