/** Tags of one measurement: few, and with a bounded number of values. */
export type MetricTags = Readonly<Record<string, string>>

/**
 * Receives what rooms count. The first two methods are Castle's interface. All are called on the event loop and must
 * neither throw nor wait.
 *
 * Source: Box-Castle/router 1.0.3, metrics/MetricsLogger.scala.
 */
export interface MetricsLogger {
  count(component: string, metricName: string, tags?: MetricTags, value?: number): void
  time(component: string, metricName: string, tags: MetricTags, nanoSeconds: number): void
  /** A value that goes up and down: queue depth, cached bytes. */
  gauge(component: string, metricName: string, tags: MetricTags, value: number): void
}

/** Counts nothing. */
export const defaultLogger: MetricsLogger = { count() {}, time() {}, gauge() {} }
