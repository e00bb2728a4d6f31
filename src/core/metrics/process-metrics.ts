import { createRequire } from 'node:module'
import { performance } from 'node:perf_hooks'
import { Gauge, type Registry } from 'prom-client'
import type { AcrossWorkers } from './family.js'

type Collector = (registry: Registry, config: object) => void

// prom-client's collectDefaultMetrics also starts an event-loop histogram, which wakes the process a hundred times a
// second, and an observer of every garbage collection. These metrics cost nothing until they are scraped.
const COLLECTORS: readonly (readonly [name: string, acrossWorkers: AcrossWorkers])[] = [
  ['processCpuTotal', 'sum'],
  ['processStartTime', 'min'],
  ['osMemoryHeap', 'sum'],
  ['processOpenFileDescriptors', 'sum'],
  ['processMaxFileDescriptors', 'min'],
  ['heapSizeAndUsed', 'sum'],
  ['version', 'first']
]

/** Exports CPU, memory, descriptors and event-loop use of this process, and which version of Castellan it runs. */
export function registerProcessMetrics(registry: Registry, version: string): void {
  for (const [name, acrossWorkers] of COLLECTORS) collect(registry, name, acrossWorkers)
  let last = performance.eventLoopUtilization()
  new Gauge({
    name: 'castellan_event_loop_utilization_ratio',
    help: 'Share of the time since the last scrape the event loop was busy, 0 to 1',
    registers: [registry],
    aggregator: 'max',
    collect() {
      const current = performance.eventLoopUtilization()
      this.set(performance.eventLoopUtilization(current, last).utilization)
      last = current
    }
  })
  new Gauge({
    name: 'castellan_info',
    help: 'Always 1; the version is a label',
    labelNames: ['version'],
    registers: [registry],
    aggregator: 'first'
  }).set({ version }, 1)
}

/** The collectors of prom-client say of their metrics how they are aggregated, but it is we who know it. */
function collect(registry: Registry, name: string, acrossWorkers: AcrossWorkers): void {
  const before = new Set(registry.getMetricsAsArray().map(metric => metric.name))
  const module = createRequire(import.meta.url)(`prom-client/lib/metrics/${name}`) as Collector
  module(registry, {})
  const added = registry.getMetricsAsArray().filter(metric => !before.has(metric.name))
  for (const metric of added) Object.assign(metric, { aggregator: acrossWorkers })
}
