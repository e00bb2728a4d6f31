import { createRequire } from 'node:module'
import { performance } from 'node:perf_hooks'
import { Gauge, type Registry } from 'prom-client'

type Collector = (registry: Registry, config: object) => void

// prom-client's collectDefaultMetrics also starts an event-loop histogram, which wakes the process a hundred times a
// second, and an observer of every garbage collection. These metrics cost nothing until they are scraped.
const COLLECTORS = [
  'processCpuTotal',
  'processStartTime',
  'osMemoryHeap',
  'processOpenFileDescriptors',
  'processMaxFileDescriptors',
  'heapSizeAndUsed',
  'version'
]

/** Exports CPU, memory, descriptors and event-loop use of this process, and which version of Castellan it runs. */
export function registerProcessMetrics(registry: Registry, version: string): void {
  const require = createRequire(import.meta.url)
  for (const name of COLLECTORS) (require(`prom-client/lib/metrics/${name}`) as Collector)(registry, {})
  let last = performance.eventLoopUtilization()
  new Gauge({
    name: 'castellan_event_loop_utilization_ratio',
    help: 'Share of the time since the last scrape the event loop was busy, 0 to 1',
    registers: [registry],
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
    registers: [registry]
  }).set({ version }, 1)
}
