import type { Registry } from 'prom-client'
import { type Cell, counterFamily, type Durations, durationFamily, type Family, gaugeFamily } from './family.js'
import { acrossWorkersOf, helpFor } from './metric-names.js'
import type { MetricsLogger, MetricTags } from './metrics-logger.js'
import { registerFamily } from './prometheus.js'

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
      gaugeFamily(name, helpFor(component, metricName), acrossWorkersOf(component, metricName))
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
    this.#gauges.get(component, metricName).series(tags).value = value
  }
}

type Create<Series> = (name: string, component: string, metricName: string) => Family<Series>

/** The families of one kind, made and registered when first used. */
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
    let byName = this.#byComponent.get(component)
    if (!byName) this.#byComponent.set(component, (byName = new Map()))
    let family = byName.get(metricName)
    if (!family) byName.set(metricName, (family = this.#add(component, metricName)))
    return family
  }

  #add(component: string, metricName: string): Family<Series> {
    const family = this.#create(prometheusName(component, metricName) + this.#suffix, component, metricName)
    registerFamily(this.#registry, family)
    return family
  }
}

/** `('kafka-dispatcher', 'bytesFetched')` => `castellan_kafka_dispatcher_bytes_fetched`. */
const prometheusName = (component: string, metricName: string): string =>
  `castellan_${component}_${metricName}`
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .replace(/[^a-z0-9_]/g, '_')
