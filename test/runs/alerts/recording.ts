import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const RECORDINGS = join(import.meta.dirname, 'recordings')

/** What a gateway exported while something happened, scraped at an interval. */
export interface Recording {
  readonly about: string
  readonly recordedWith: string
  readonly intervalSeconds: number
  /**
   * By series, as in Prometheus' text format without the labels `instance` and `job`: the values in turn, in the notation of
   * promtool's tests: `_` where the series was not there, `5x3` for three times 5 after the first.
   */
  readonly series: Readonly<Record<string, string>>
}

export const namesOfRecordings = (): string[] =>
  readdirSync(RECORDINGS)
    .filter(file => file.endsWith('.json'))
    .map(file => file.slice(0, -'.json'.length))
    .toSorted()

export const recordingOf = (name: string): Recording =>
  JSON.parse(readFileSync(join(RECORDINGS, `${name}.json`), 'utf8')) as Recording

/** `[5, 5, 5, undefined, 7]` => `5x2 _ 7` */
export function toNotation(values: readonly (string | undefined)[]): string {
  const parts: string[] = []
  for (let from = 0; from < values.length; ) {
    let to = from + 1
    while (to < values.length && values[to] === values[from]) to++
    const value = values[from]
    if (value === undefined) parts.push(to - from === 1 ? '_' : `_x${to - from}`)
    else parts.push(to - from === 1 ? value : `${value}x${to - from - 1}`)
    from = to
  }
  return parts.join(' ')
}

/** How many scrapes a series has. */
export const lengthOf = (notation: string): number =>
  notation.split(' ').reduce((sum, part) => {
    const [value, times] = part.split('x') as [string, string | undefined]
    if (value === '_') return sum + Number(times ?? 1)
    return sum + 1 + Number(times ?? 0)
  }, 0)
