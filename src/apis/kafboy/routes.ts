import { percentDecoded } from './content.js'

/** How a request is produced, as the path says. */
export type ProduceMode = 'async' | 'sync' | 'batchAsync' | 'batchSync'

/** The route of a path. `path` is its template, such as `/sync/:topic`. */
export type Route =
  | { readonly type: 'produce'; readonly mode: ProduceMode; readonly topic: string; readonly path: string }
  | { readonly type: 'disco'; readonly path: string }
  /** A percent sign without two hexadecimal digits. */
  | { readonly type: 'undecodable'; readonly path?: undefined }

/** Which paths there are. Templates have cowboy's syntax: `/1/foo/:topic`, `[/optional]`, `[...]` for the rest. */
export interface RouteSettings {
  readonly syncUrl: string
  readonly asyncUrl: string
  readonly routesSync: readonly string[]
  readonly routesAsync: readonly string[]
  readonly routesAsyncBatch: readonly string[]
  readonly safeRoutes: boolean
}

/** A path that is served. */
export interface ServedPath {
  /** `undefined`: the path writes nothing. It answers with the name of the instance, or with the posted form as JSON. */
  readonly mode: ProduceMode | undefined
  /** A template without optional parts: `/sync/:topic`. `[...]` at its end stands for the rest. */
  readonly path: string
  /** Unique name of the path. */
  readonly id: string
}

interface Pattern {
  readonly mode: ProduceMode | undefined
  readonly path: string
  readonly segments: readonly string[]
}

/** Finds the route of a path, in the configured lists first, then among kafboy's own paths. */
export class RouteTable {
  readonly #patterns: readonly Pattern[]
  /** A request asks several times for its own route. */
  #last: { readonly path: string; readonly route: Route | undefined } | undefined

  constructor(settings: RouteSettings) {
    this.#patterns = servedPaths(settings).map(({ mode, path }) => ({
      mode,
      path: path.replace(/\/$/, ''),
      segments: path.split('/').filter(segment => segment !== '')
    }))
  }

  /** @param path as it was sent, without prefix and query */
  find(path: string): Route | undefined {
    if (this.#last?.path !== path) this.#last = { path, route: this.#match(path) }
    return this.#last.route
  }

  #match(sent: string): Route | undefined {
    const segments = segmentsOf(sent)
    if (segments === undefined) return { type: 'undecodable' }
    for (const { mode, path, segments: template } of this.#patterns) {
      const topic = topicOf(template, segments)
      if (topic === undefined) continue
      if (mode === undefined) return { type: 'disco', path }
      if (topic !== '') return { type: 'produce', mode, topic, path }
    }
    return undefined
  }
}

/** Every path that is served, in the order in which they are tried: the configured lists first. */
export function servedPaths(settings: RouteSettings): readonly ServedPath[] {
  const { syncUrl, asyncUrl, routesSync, routesAsync, routesAsyncBatch, safeRoutes } = settings
  const paths = (mode: ServedPath['mode'], template: string, id: string): ServedPath[] =>
    alternativesOf(template).map((path, at) => ({ mode, path, id: at === 0 ? id : `${id}Short${at}` }))
  const list = (mode: ProduceMode, templates: readonly string[], id: string): ServedPath[] =>
    templates.flatMap((template, at) => paths(mode, template, `${id}${at + 1}`))
  const own = (prefix: string, named: (mode: ProduceMode) => string): ServedPath[] => [
    ...paths('sync', prefix + syncUrl, named('sync')),
    ...paths('async', prefix + asyncUrl, named('async')),
    ...paths('batchSync', `${prefix}/batch${syncUrl}`, named('batchSync')),
    ...paths('batchAsync', `${prefix}/batch${asyncUrl}`, named('batchAsync'))
  ]
  return [
    ...list('async', routesAsync, 'routeAsync'),
    ...list('sync', routesSync, 'routeSync'),
    ...list('batchAsync', routesAsyncBatch, 'routeBatch'),
    ...paths(undefined, '/echo_post', 'echoPost'),
    ...paths(undefined, '/disco', 'disco'),
    ...own('', mode => mode),
    ...(safeRoutes ? own('/safe', mode => `safe${mode[0]!.toUpperCase()}${mode.slice(1)}`) : [])
  ]
}

/** The forms of a template with and without its parts in brackets. `[...]` stays, as a segment of its own. */
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

/** The topic in a path, empty where the template has none; `undefined`: the path does not match. */
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

/** Describes the problem with a template; `undefined` where there is none. */
export function templateProblem(template: string): string | undefined {
  if (!template.startsWith('/')) return 'begin it with /'
  if (!template.split(/[/[\]]/).includes(':topic')) return 'name the topic in it, as in /events/:topic'
  const depth = [...template].reduce((open, letter) => open + (letter === '[' ? 1 : letter === ']' ? -1 : 0), 0)
  return depth === 0 ? undefined : 'close every bracket'
}
