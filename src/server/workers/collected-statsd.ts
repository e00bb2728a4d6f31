import type { StatsdValue } from '../../core/metrics/statsd/statsd-line.js'
import type { StatsdSource, StatsdSources } from '../../core/metrics/statsd/statsd-reporter.js'

/** What the APIs of a worker report by StatsD under names of their own. The parent asks for it. */
export class CollectedStatsd implements StatsdSources {
  readonly #sources: StatsdSource[] = []

  add(source: StatsdSource): void {
    this.#sources.push(source)
  }

  async values(): Promise<StatsdValue[]> {
    return (await Promise.all(this.#sources.map(source => source()))).flatMap(values => [...values])
  }
}

/** What several workers report: gauges are summed, unless each is about all of them; the server adds up the rest. */
export function mergeStatsd(answers: ReadonlyMap<number, readonly StatsdValue[]>): StatsdValue[] {
  const gauges = new Map<string, StatsdValue>()
  const others: StatsdValue[] = []
  for (const value of [...answers.values()].flat()) {
    const known = gauges.get(value.name)
    if (value.type !== 'g') others.push(value)
    else if (known === undefined) gauges.set(value.name, value)
    else if (!value.isOfAll) gauges.set(value.name, { ...value, value: known.value + value.value })
  }
  return [...gauges.values(), ...others]
}
