import { toNotation } from './recording.js'

/** Keeps the values of some metrics of a gateway, scrape by scrape. */
export class Scraper {
  readonly #url: string
  readonly #names: ReadonlySet<string>
  readonly #series = new Map<string, (string | undefined)[]>()
  #scrapes = 0

  /** @param names of the metrics that are kept */
  constructor(managementUrl: string, names: ReadonlySet<string>) {
    this.#url = `${managementUrl}/metrics`
    this.#names = names
  }

  get scrapes(): number {
    return this.#scrapes
  }

  async scrape(): Promise<void> {
    const text = await fetch(this.#url, { signal: AbortSignal.timeout(4_000) })
      .then(answer => answer.text())
      .catch(() => undefined)
    const seen = new Map<string, string>([['up', text === undefined ? '0' : '1']])
    for (const line of (text ?? '').split('\n')) {
      const [, series, name, value] = /^((\w+)(?:\{.*\})?) (\S+)$/.exec(line) ?? []
      if (name !== undefined && this.#names.has(name)) seen.set(series!, value!)
    }
    for (const series of seen.keys()) {
      if (!this.#series.has(series)) this.#series.set(series, new Array(this.#scrapes).fill(undefined))
    }
    for (const [series, values] of this.#series) values.push(seen.get(series))
    this.#scrapes++
  }

  /** What was kept from one scrape on up to another. Labelled counters that stay 0 are left out. */
  series(from = 0, to = this.#scrapes): Record<string, string> {
    const kept = [...this.#series].map(([series, values]) => [series, values.slice(from, to)] as const)
    const there = kept.filter(([name, values]) =>
      values.some(value => value !== undefined && !(value === '0' && name.includes('_total{')))
    )
    return Object.fromEntries(
      there.map(([series, values]) => [series, toNotation(values)] as const).toSorted(([a], [b]) => (a < b ? -1 : 1))
    )
  }
}
