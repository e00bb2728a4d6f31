import { percentDecoded } from './form.js'

/** How a request is produced, as the path says. */
export type ProduceMode = 'async' | 'sync' | 'batchAsync' | 'batchSync'

/** What a path means. */
export type Route =
  | { readonly type: 'produce'; readonly mode: ProduceMode; readonly topic: string }
  | { readonly type: 'disco' }
  /** A percent sign without two hexadecimal digits. */
  | { readonly type: 'undecodable' }

/** Which paths there are. Templates are those of cowboy: `/1/foo/:topic`, `[/optional]`, `[...]` for the rest. */
export interface RouteSettings {
  readonly syncUrl: string
  readonly asyncUrl: string
  readonly routesSync: readonly string[]
  readonly routesAsync: readonly string[]
  readonly routesAsyncBatch: readonly string[]
  readonly safeRoutes: boolean
}

/** Paths whose meaning is remembered. Clients choose them, so there must be an end. */
const MAX_REMEMBERED = 1_000

interface Pattern {
  readonly mode: ProduceMode | undefined
  readonly alternatives: readonly (readonly string[])[]
}

/** Finds what a path means: the configured lists first, then kafboy's own paths. */
export class RouteTable {
  readonly #patterns: readonly Pattern[]
  #remembered = new Map<string, Route | undefined>()

  constructor(settings: RouteSettings) {
    this.#patterns = patternsOf(settings)
  }

  /** @param path as it was sent, without prefix and query */
  find(path: string): Route | undefined {
    const known = this.#remembered.get(path)
    if (known !== undefined || this.#remembered.has(path)) return known
    const route = this.#match(path)
    if (this.#remembered.size >= MAX_REMEMBERED) this.#remembered = new Map()
    this.#remembered.set(path, route)
    return route
  }

  #match(path: string): Route | undefined {
    const segments = segmentsOf(path)
    if (segments === undefined) return { type: 'undecodable' }
    for (const { mode, alternatives } of this.#patterns) {
      for (const alternative of alternatives) {
        const topic = topicOf(alternative, segments)
        if (topic === undefined) continue
        if (mode === undefined) return { type: 'disco' }
        if (topic !== '') return { type: 'produce', mode, topic }
      }
    }
    return undefined
  }
}

function patternsOf(settings: RouteSettings): readonly Pattern[] {
  const { syncUrl, asyncUrl } = settings
  const pattern = (mode: ProduceMode | undefined, template: string): Pattern => ({
    mode,
    alternatives: alternativesOf(template).map(one => one.split('/').filter(segment => segment !== ''))
  })
  const own = (prefix: string): Pattern[] => [
    pattern('sync', prefix + syncUrl),
    pattern('async', prefix + asyncUrl),
    pattern('batchSync', `${prefix}/batch${syncUrl}`),
    pattern('batchAsync', `${prefix}/batch${asyncUrl}`)
  ]
  return [
    ...settings.routesAsync.map(template => pattern('async', template)),
    ...settings.routesSync.map(template => pattern('sync', template)),
    ...settings.routesAsyncBatch.map(template => pattern('batchAsync', template)),
    pattern(undefined, '/echo_post'),
    pattern(undefined, '/disco'),
    ...own(''),
    ...(settings.safeRoutes ? own('/safe') : [])
  ]
}

/** A template's forms with and without what stands in brackets. `[...]` stays, as a segment of its own. */
function alternativesOf(template: string): readonly string[] {
  const start = template.search(/\[(?!\.\.\.\])/)
  if (start < 0) return [template]
  const end = closingOf(template, start)
  const before = template.slice(0, start)
  const after = template.slice(end + 1)
  return [before + template.slice(start + 1, end) + after, before + after].flatMap(alternativesOf)
}

function closingOf(template: string, start: number): number {
  let depth = 0
  for (let at = start; at < template.length; at++) {
    if (template[at] === '[') depth++
    else if (template[at] === ']' && --depth === 0) return at
  }
  return template.length
}

/** Decoded segments; one slash at the end does not count. `undefined`: a segment cannot be decoded. */
function segmentsOf(path: string): readonly string[] | undefined {
  const raw = path.split('/').slice(1)
  if (raw.at(-1) === '') raw.pop()
  const segments: string[] = []
  for (const one of raw) {
    const decoded = /[%+]/.test(one) ? percentDecoded(Buffer.from(one))?.toString() : one
    if (decoded === undefined) return undefined
    segments.push(decoded)
  }
  return segments
}

/** What `:topic` stands for, the empty string where there is none; `undefined`: the path is another one. */
function topicOf(template: readonly string[], segments: readonly string[]): string | undefined {
  let topic = ''
  for (let at = 0; at < template.length; at++) {
    const expected = template[at]!
    if (expected === '[...]') return topic
    const segment = segments[at]
    if (segment === undefined) return undefined
    if (expected === ':topic') topic = segment
    else if (!expected.startsWith(':') && expected !== segment) return undefined
  }
  return segments.length === template.length ? topic : undefined
}

/** What is wrong with a template; `undefined`: nothing. */
export function templateProblem(template: string): string | undefined {
  if (!template.startsWith('/')) return 'begin it with /'
  if (!template.split(/[/[\]]/).includes(':topic')) return 'name the topic in it, as in /events/:topic'
  const depth = [...template].reduce((open, letter) => open + (letter === '[' ? 1 : letter === ']' ? -1 : 0), 0)
  return depth === 0 ? undefined : 'close every bracket'
}
