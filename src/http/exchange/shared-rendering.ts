import { performanceClock } from '../../core/clocks.js'
import { noop } from '../../core/ending.js'
import type { PrometheusMetrics } from '../../core/metrics/prometheus.js'
import { nextTick, PORTION_MS } from '../../core/portions.js'

/**
 * A text of which clients ask for the present state. All that ask in one turn of the loop share it; who asks while it is made
 * gets the next one, which has what he had changed before.
 */
export class SharedRendering {
  readonly #make: () => Promise<Buffer>
  /** The one that is made; the next one begins behind it. */
  #making: Promise<unknown> = Promise.resolve()
  #next: Promise<Buffer> | undefined

  constructor(make: () => Promise<Buffer>) {
    this.#make = make
  }

  /** @throws what making it throws */
  get(): Promise<Buffer> {
    if (this.#next !== undefined) return this.#next
    const next = this.#making.then(nextTick).then(() => {
      this.#next = undefined
      return this.#make()
    })
    this.#next = next
    this.#making = next.catch(noop)
    return next
  }
}

type Registry = PrometheusMetrics['registry']

const ofRegistries = new WeakMap<Registry, SharedRendering>()

/** All metrics of a registry, which all ports that show them share. */
export function renderingOf(registry: Registry): SharedRendering {
  const namesOf = (): readonly string[] => registry.getMetricsAsArray().map(({ name }) => name)
  const rendering = ofRegistries.get(registry) ?? metricsRendering(registry, namesOf, '\n\n')
  ofRegistries.set(registry, rendering)
  return rendering
}

/**
 * Metrics in the text format of Prometheus, made one after another with other work between them.
 *
 * @param names of those that are shown, as far as they are there
 * @param between stands between two of them
 */
export const metricsRendering = (
  registry: Registry,
  names: () => readonly string[],
  between: string
): SharedRendering =>
  new SharedRendering(async () => {
    const texts: string[] = []
    let since = performanceClock()
    for (const name of names()) {
      if (registry.getSingleMetric(name) === undefined) continue
      texts.push(await registry.getSingleMetricAsString(name))
      if (performanceClock() - since < PORTION_MS) continue
      await nextTick()
      since = performanceClock()
    }
    return Buffer.from(`${texts.join(between)}\n`)
  })
