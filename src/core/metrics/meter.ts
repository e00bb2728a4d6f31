import type { StatsdValue } from './statsd.js'

const MS_PER_MINUTE = 60_000

/** The exponentially weighted moving average of a rate, over a number of minutes. */
class MovingRate {
  readonly #windowMs: number
  perSecond = 0
  #isNew = true

  constructor(minutes: number) {
    this.#windowMs = minutes * MS_PER_MINUTE
  }

  update(ratePerSecond: number, elapsedMs: number): void {
    const weight = this.#isNew ? 1 : 1 - Math.exp(-elapsedMs / this.#windowMs)
    this.#isNew = false
    this.perSecond += weight * (ratePerSecond - this.perSecond)
  }
}

/**
 * Counts events. Reports their rate per second over the last 1, 5 and 15 minutes, and their mean rate since the start.
 */
export class Meter {
  count = 0
  readonly #startedAtMs: number
  readonly #rates = [new MovingRate(1), new MovingRate(5), new MovingRate(15)] as const
  #readCount = 0
  #readAtMs: number

  /** @param nowMs monotonic milliseconds */
  constructor(nowMs: number) {
    this.#startedAtMs = this.#readAtMs = nowMs
  }

  /** Updates the rates and returns them. The rate between two calls is assumed to be constant. */
  toValues(name: string, nowMs: number): StatsdValue[] {
    const elapsedMs = nowMs - this.#readAtMs
    if (elapsedMs > 0) {
      const perSecond = ((this.count - this.#readCount) * 1_000) / elapsedMs
      for (const rate of this.#rates) rate.update(perSecond, elapsedMs)
      this.#readCount = this.count
      this.#readAtMs = nowMs
    }
    const [one, five, fifteen] = this.#rates
    const mean = (this.count * 1_000) / Math.max(1, nowMs - this.#startedAtMs)
    return [
      { name: `${name}.count`, value: this.count, type: 'g' },
      { name: `${name}.m1_rate`, value: one.perSecond, type: 'ms' },
      { name: `${name}.m5_rate`, value: five.perSecond, type: 'ms' },
      { name: `${name}.m15_rate`, value: fifteen.perSecond, type: 'ms' },
      { name: `${name}.mean_rate`, value: mean, type: 'ms' }
    ]
  }
}

/** Number of measurements that percentiles are computed from. */
const SAMPLES = 1_024

const PERCENTILES = [
  ['p50', 0.5],
  ['p75', 0.75],
  ['p95', 0.95],
  ['p98', 0.98],
  ['p99', 0.99],
  ['p999', 0.999]
] as const

/** The distribution of the last 1,024 measurements. */
export class Histogram {
  count = 0
  readonly #samples = new Float64Array(SAMPLES)

  observe(value: number): void {
    this.#samples[this.count++ % SAMPLES] = value
  }

  toValues(name: string): StatsdValue[] {
    const sorted = this.#samples.slice(0, Math.min(this.count, SAMPLES)).sort()
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
    const mean = sorted.reduce((sum, value) => sum + value, 0) / Math.max(1, sorted.length)
    const variance = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, sorted.length - 1)
    const numbers: readonly (readonly [string, number])[] = [
      ['max', at(1)],
      ['mean', mean],
      ['min', at(0)],
      ['stddev', Math.sqrt(variance)],
      ...PERCENTILES.map(([label, share]) => [label, at(share)] as const)
    ]
    return [
      { name: `${name}.count`, value: this.count, type: 'g' },
      ...numbers.map(([label, value]): StatsdValue => ({ name: `${name}.${label}`, value, type: 'ms' }))
    ]
  }
}

/** The distribution of durations in milliseconds, and their rate per second. */
export class DurationMeter {
  readonly #meter: Meter
  readonly #histogram = new Histogram()

  constructor(nowMs: number) {
    this.#meter = new Meter(nowMs)
  }

  observe(durationMs: number): void {
    this.#meter.count++
    this.#histogram.observe(durationMs)
  }

  toValues(name: string, nowMs: number): StatsdValue[] {
    return [...this.#histogram.toValues(name), ...this.#meter.toValues(name, nowMs).slice(1)]
  }
}
