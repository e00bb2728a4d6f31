import { fileURLToPath } from 'node:url'

/** How often the functions of one file were called within a window. */
export interface FileCalls {
  readonly url: string
  readonly functions: readonly FunctionCalls[]
}

export interface FunctionCalls {
  /** The name of the function. Empty: it has no name. */
  readonly name: string
  /** Position of the function in its file. It is needed because two functions of one file may have the same name. */
  readonly start: number
  readonly calls: number
}

/** The functions that a work calls, by file. */
export interface Executed {
  /** Files of Castellan, named by their source: `src/core/clock.ts`. */
  readonly ours: ReadonlyMap<string, readonly FunctionCalls[]>
  /** Files of packages, by the name of the package. */
  readonly packages: ReadonlyMap<string, ReadonlyMap<string, readonly FunctionCalls[]>>
}

/** What was called in a window of time, and how many requests it had. */
export interface Window {
  readonly calls: readonly FileCalls[]
  readonly requests: number
}

/** Two windows of the same length. */
export interface Round {
  readonly many: Window
  readonly few: Window
}

/**
 * Sums up which functions one request executes: those that in each round are called for at least every second request. What
 * timers call is left out, also where they run only while requests come: they call it as often among few requests, so
 * only the calls and requests that `many` has more are compared. Work that many requests share, such as a fetch of many
 * messages, is left out by this, and so are Node's own code and the code of the benchmark.
 *
 * @param folder the URL of the folder with what is built of Castellan, with a slash at the end
 * @param textOf the text of a file in it
 */
export function executedBy(rounds: readonly Round[], folder: string, textOf: (url: string) => string): Executed {
  const counts = rounds.map(({ many, few }) => {
    const [ofMany, ofFew] = [many, few].map(({ calls }) => new Map(totals(calls).map(one => [keyOf(one), one.calls])))
    return (key: string) => (ofMany!.get(key) ?? 0) - (ofFew!.get(key) ?? 0) >= (many.requests - few.requests) / 2
  })
  const ours = new Map<string, FunctionCalls[]>()
  const packages = new Map<string, Map<string, FunctionCalls[]>>()
  for (const one of totals(rounds.flatMap(({ many }) => many.calls))) {
    if (!counts.every(isOften => isOften(keyOf(one)))) continue
    const { url, name, start, calls } = one
    const files = filesOf(url, start)
    if (files === undefined) continue
    files.map.set(files.file, [...(files.map.get(files.file) ?? []), { name, start, calls }])
  }
  return { ours, packages }

  function filesOf(url: string, start: number): { map: Map<string, FunctionCalls[]>; file: string } | undefined {
    const [, name] = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? []
    if (name !== undefined) {
      const map = packages.get(name) ?? new Map<string, FunctionCalls[]>()
      packages.set(name, map)
      return { map, file: fileURLToPath(url) }
    }
    const file = url.startsWith(folder) ? sourceAt(textOf(url), start) : undefined
    return file === undefined ? undefined : { map: ours, file }
  }
}

/** The source of what is at a position of a built file: the build names each source in a line above it. */
function sourceAt(text: string, position: number): string | undefined {
  const lines = `\n${text}`
  const named = lines.lastIndexOf('\n// src/', position)
  return named === -1 ? undefined : lines.slice(named + '\n// '.length, lines.indexOf('\n', named + 1))
}

const keyOf = ({ url, start }: { readonly url: string; readonly start: number }): string => `${url}:${start}`

/** The number of calls of each called function in all windows and threads. */
function totals(windows: readonly FileCalls[]): (FunctionCalls & { readonly url: string })[] {
  const sums = new Map<string, FunctionCalls & { readonly url: string }>()
  for (const { url, functions } of windows) {
    for (const { name, start, calls } of functions) {
      const key = keyOf({ url, start })
      sums.set(key, { url, name, start, calls: calls + (sums.get(key)?.calls ?? 0) })
    }
  }
  return [...sums.values()].filter(({ calls }) => calls > 0)
}

export const functionsIn = (files: ReadonlyMap<string, readonly FunctionCalls[]>): number =>
  [...files.values()].reduce((sum, functions) => sum + functions.length, 0)
