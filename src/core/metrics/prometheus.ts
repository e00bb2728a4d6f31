import { performance } from 'node:perf_hooks'
import type { Metric, Registry } from 'prom-client'
import { getOrAdd } from '../maps.js'
import { loadOptional } from '../optional-package.js'
import { loadPackage } from '../package-file.js'
import {
  type Cell,
  counterFamily,
  type Durations,
  durationFamily,
  type Exportable,
  type Family,
  gaugeFamily
} from './family.js'
import { helpFor } from './metric-names.js'
import type { MetricsLogger, MetricTags } from './metrics-logger.js'

/** The process's Prometheus registry; rooms and APIs register what they export. */
export interface PrometheusMetrics {
  readonly registry: Registry
}

/** @throws ConfigError when prom-client is not installed */
export function createPrometheusMetrics(): PrometheusMetrics {
  // The package as a whole loads 90 files, most of them for its collector of CPU, which uses the API of OpenTelemetry.
  const Loaded: typeof Registry = loadOptional('createPrometheusMetrics', 'prom-client', () =>
    loadPackage('prom-client/lib/registry.js')
  )
  return { registry: new Loaded() }
}

/** Adds a metric of our own to a registry of prom-client. The registry uses only its name and `get()`. @returns the metric */
export function registerFamily<Own extends Exportable>(registry: Registry, family: Own): Own {
  const metric: Exportable = family
  registry.registerMetric(metric as Exportable & Metric)
  return family
}

const NO_TAGS: MetricTags = {}
const NANOSECONDS_PER_SECOND = 1e9

/**
 * Turns what the rooms report into Prometheus metrics:
 *
 *   count('kafka_dispatcher', 'fetches', …)   =>  castellan_kafka_dispatcher_fetches_total
 *   time('router', 'request', …)              =>  castellan_router_request_seconds (a histogram)
 *   gauge('delivery', 'waiting_bytes', …)     =>  castellan_delivery_waiting_bytes
 */
export class PrometheusMetricsLogger implements MetricsLogger {
  readonly #counters: Families<Cell>
  readonly #durations: Families<Durations>
  readonly #gauges: Families<Cell>

  constructor(registry: Registry) {
    this.#counters = new Families(registry, '_total', (name, component, metricName) =>
      counterFamily(name, helpFor(component, metricName))
    )
    this.#durations = new Families(registry, '_seconds', (name, component, metricName) =>
      durationFamily(name, helpFor(component, metricName))
    )
    this.#gauges = new Families(registry, '', (name, component, metricName) =>
      gaugeFamily(name, helpFor(component, metricName))
    )
  }

  count(component: string, metricName: string, tags: MetricTags = NO_TAGS, value = 1): void {
    this.#counters.get(component, metricName).series(tags).value += value
  }

  time(component: string, metricName: string, tags: MetricTags, nanoSeconds: number): void {
    this.#durations
      .get(component, metricName)
      .series(tags)
      .observe(nanoSeconds / NANOSECONDS_PER_SECOND)
  }

  gauge(component: string, metricName: string, tags: MetricTags, value: number): void {
    if (Number.isFinite(value)) this.#gauges.get(component, metricName).series(tags).value = value
  }
}

type Create<Series> = (name: string, component: string, metricName: string) => Family<Series>

/** The families of one kind. A family is created and registered when it is first used. */
class Families<Series> {
  readonly #byComponent = new Map<string, Map<string, Family<Series>>>()
  readonly #registry: Registry
  readonly #suffix: string
  readonly #create: Create<Series>

  constructor(registry: Registry, suffix: string, create: Create<Series>) {
    this.#registry = registry
    this.#suffix = suffix
    this.#create = create
  }

  get(component: string, metricName: string): Family<Series> {
    // No function is made for a family that is there: each request asks for some.
    return this.#byComponent.get(component)?.get(metricName) ?? this.#add(component, metricName)
  }

  #add(component: string, metricName: string): Family<Series> {
    const name = prometheusName(component, metricName) + this.#suffix
    const family = registerFamily(this.#registry, this.#create(name, component, metricName))
    getOrAdd(this.#byComponent, component, () => new Map()).set(metricName, family)
    return family
  }
}

/** `('kafka-dispatcher', 'bytesFetched')` => `castellan_kafka_dispatcher_bytes_fetched`. */
const prometheusName = (component: string, metricName: string): string =>
  `castellan_${component}_${metricName}`
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9_]/g, '_')

export interface PrometheusReading {
  readonly labels: MetricTags
  readonly value: number
}

/** A reading that is not finite is left out, because it would be the value of no alert. */
export const registerScrapedGauge = (
  registry: Registry,
  name: string,
  help: string,
  read: () => PrometheusReading[]
): void => registerScraped(registry, 'gauge', name, help, read)

/** A gauge without labels. */
export const registerGauge = (registry: Registry, name: string, help: string, read: () => number): void =>
  registerScrapedGauge(registry, name, help, () => [{ labels: {}, value: read() }])

export const registerScrapedCounter = (
  registry: Registry,
  name: string,
  help: string,
  read: () => PrometheusReading[]
): void => registerScraped(registry, 'counter', name, help, read)

function registerScraped(
  registry: Registry,
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: () => PrometheusReading[]
): void {
  const values = (): PrometheusReading[] => read().filter(({ value }) => Number.isFinite(value))
  registerFamily(registry, { name, get: () => ({ name, help, type, values: values() }) })
}

type Collector = (registry: Registry, config: object) => void

// The collectors of prom-client that do nothing between scrapes. Its collectDefaultMetrics is not used, because it also
// starts an event-loop histogram, which wakes the process 100 times a second, and an observer of garbage collections.
const COLLECTORS = [
  'processStartTime',
  'osMemoryHeap',
  'processOpenFileDescriptors',
  'processMaxFileDescriptors',
  'heapSizeAndUsed',
  'version'
]

/** Exports CPU, memory, descriptors and event-loop use of this process, and its version of Castellan. */
export function registerProcessMetrics(registry: Registry, version: string): void {
  for (const name of COLLECTORS) loadPackage<Collector>(`prom-client/lib/metrics/${name}`)(registry, {})
  registerCpu(registry, 'process_cpu_user_seconds_total', 'user', ({ user }) => user)
  registerCpu(registry, 'process_cpu_system_seconds_total', 'system', ({ system }) => system)
  registerCpu(registry, 'process_cpu_seconds_total', 'user and system', ({ user, system }) => user + system)
  let last = performance.eventLoopUtilization()
  const utilization = 'Share of the time since the last scrape in which the event loop was busy, 0 to 1'
  registerScrapedGauge(registry, 'castellan_event_loop_utilization_ratio', utilization, () => {
    const current = performance.eventLoopUtilization()
    const value = performance.eventLoopUtilization(current, last).utilization
    last = current
    return [{ labels: {}, value }]
  })
  registerScrapedGauge(registry, 'castellan_info', 'Always 1; the version is a label', () => [
    { labels: { version }, value: 1 }
  ])
}

const registerCpu = (registry: Registry, name: string, of: string, micros: (usage: NodeJS.CpuUsage) => number): void =>
  registerScrapedCounter(registry, name, `Total ${of} CPU time spent in seconds.`, () => [
    { labels: {}, value: micros(process.cpuUsage()) / 1e6 }
  ])
