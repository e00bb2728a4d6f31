import { build, type Histogram } from 'hdr-histogram-js'

export interface Percentiles {
  readonly meanMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly maxMs: number
}

export const LONGEST_LATENCY_MICROS = 600_000_000

/** A histogram of latencies in microseconds, with three significant digits. */
export const latencyHistogram = (): Histogram =>
  build({ highestTrackableValue: LONGEST_LATENCY_MICROS, numberOfSignificantValueDigits: 3 })

export const percentiles = (micros: Histogram): Percentiles => ({
  meanMs: micros.mean / 1000,
  p50Ms: micros.getValueAtPercentile(50) / 1000,
  p99Ms: micros.getValueAtPercentile(99) / 1000,
  p999Ms: micros.getValueAtPercentile(99.9) / 1000,
  maxMs: micros.maxValue / 1000
})
