/** What is used of prom-client, which need not be installed. */
export type MetricValue<Label extends string> = {
  readonly labels: Partial<Record<Label, string | number>>
  readonly value: number
  readonly metricName?: string
}
export interface MetricObjectWithValues<Value> {
  readonly name: string
  readonly help: string
  readonly type: unknown
  readonly values: Value[]
}
/** A registry of prom-client. */
export interface Registry {
  /** The value of the header `Content-Type` for {@link metrics}. */
  readonly contentType: string
  /** All metrics, as Prometheus reads them. */
  metrics(): Promise<string>
  getMetricsAsJSON(): Promise<MetricObjectWithValues<MetricValue<string>>[]>
  getSingleMetricAsString(name: string): Promise<string>
  registerMetric(metric: never): void
  clear(): void
}
