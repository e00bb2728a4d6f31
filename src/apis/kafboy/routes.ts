import { z } from 'zod'
import { json, type Operation, type Parameters } from '../../http/openapi/operation.js'
import { percentDecoded } from './content.js'
import type { KafboySettings } from './settings.js'

/** How a request is produced, as the path says. */
export type ProduceMode = 'async' | 'sync' | 'batchAsync' | 'batchSync'

/** The route of a path. `path` is its template, such as `/sync/:topic`. */
export type FoundRoute =
  | { readonly type: 'produce'; readonly mode: ProduceMode; readonly topic: string; readonly path: string }
  | { readonly type: 'disco'; readonly path: string }
  /** A percent sign without two hexadecimal digits. */
  | { readonly type: 'undecodable'; readonly path?: undefined }

/** A path that is served. Templates have cowboy's syntax: `/1/foo/:topic`, `[/optional]`, `[...]` for the rest. */
interface ServedPath {
  /** `undefined`: the path writes nothing. It answers with the name of the instance, or with the posted form as JSON. */
  readonly mode: ProduceMode | undefined
  /** A template without optional parts: `/sync/:topic`. `[...]` at its end stands for the rest. */
  readonly path: string
  /** Unique name of the path. */
  readonly id: string
}

interface RoutePattern {
  readonly mode: ProduceMode | undefined
  readonly path: string
  readonly segments: readonly string[]
}

/** Finds the route of a path, in the configured lists first, then among kafboy's own paths. */
export class RouteTable {
  readonly #patterns: readonly RoutePattern[]
  /** A request asks several times for its own route. */
  #last: { readonly path: string; readonly route: FoundRoute | undefined } | undefined

  constructor(settings: KafboySettings) {
    this.#patterns = servedPaths(settings).map(({ mode, path }) => ({
      mode,
      path: path.replace(/\/$/, ''),
      segments: path.split('/').filter(segment => segment !== '')
    }))
  }

  /** @param path as it was sent, without prefix and query */
  find(path: string): FoundRoute | undefined {
    if (this.#last?.path !== path) this.#last = { path, route: this.#match(path) }
    return this.#last.route
  }

  #match(sent: string): FoundRoute | undefined {
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
function servedPaths(settings: KafboySettings): readonly ServedPath[] {
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
    const decoded = percentDecoded(Buffer.from(one).toString('latin1'))?.toString()
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

const failure = z.object({ error: z.string() })
const error = json(failure)
const outcomes = json(
  z.array(z.union([z.object({ ok: z.boolean() }), z.object({ error: z.union([z.int(), z.string()]) })]))
)
const errorOrList = json(z.union([failure, z.array(z.unknown())]))

const form = {
  'application/x-www-form-urlencoded': z.record(z.string(), z.string()),
  'application/json': z.unknown()
}

const refusals = {
  400: { description: 'The body is empty, too large or cannot be parsed, or a hook refuses it', content: error },
  401: { description: 'No credentials, or wrong ones', content: error },
  403: { description: 'The topic is not allowed', content: error },
  429: { description: 'A quota is used up', content: error }
}

const asyncAnswers = {
  200: { description: 'The record is accepted', content: json(z.unknown()) },
  ...refusals,
  500: { description: 'A hook has failed' },
  503: { description: 'Overloaded', content: error },
  504: { description: 'A hook has not decided in time', content: error }
}

const syncAnswers = {
  200: { description: 'All records are in Kafka', content: json(z.unknown()) },
  ...refusals,
  500: { description: 'A hook has failed' },
  502: { description: 'Kafka refuses a record', content: outcomes },
  503: { description: 'Overloaded, or no broker can be reached', content: errorOrList },
  504: { description: 'No acknowledgement in time', content: errorOrList }
}

const produce = ({ path, id, mode }: ServedPath): Operation => ({
  method: 'post',
  path: bracesOf(path),
  id,
  verb: 'produce',
  summary: mode === 'sync' ? 'Produces a record and waits until Kafka has it' : 'Accepts a record for Kafka',
  params: paramsOf(path),
  body: {
    description: 'A form, which becomes a JSON object, or JSON, which stays as it is',
    content: form,
    required: false
  },
  produces: true,
  answers: mode === 'sync' ? syncAnswers : asyncAnswers
})

/** `/sync/:topic/` => `/sync/{topic}` */
const bracesOf = (path: string): string => path.replace(/:(\w+)/g, '{$1}').replace(/\/$/, '')

const paramsOf = (path: string): Parameters =>
  Object.fromEntries(
    [...path.matchAll(/:(\w+)/g)].map(([, name]) => [
      name!,
      z.string().describe(name === 'topic' ? 'The topic' : 'Any text')
    ])
  )

const identify = ({ path, id }: ServedPath): Operation => ({
  method: 'get',
  path,
  id: `${id}Name`,
  verb: 'none',
  summary: 'Names the instance',
  answers: { 200: { description: '`HOST:PORT`', content: { 'text/plain': z.string() } } }
})

const echo = ({ path, id }: ServedPath): Operation => ({
  method: 'post',
  path,
  id,
  verb: 'none',
  summary: 'Answers the form as JSON',
  body: { description: 'A form', content: form, required: false },
  answers: { 200: { description: 'The form as JSON', content: json(z.unknown()) } }
})

/** The operations of kafboy for `/openapi.json`, which cannot express paths with an open end. */
export const kafboyOperations = (settings: KafboySettings): readonly Operation[] =>
  servedPaths(settings)
    .filter(({ mode, path }) => !path.includes('[...]') && (mode === undefined || path.includes(':topic')))
    .flatMap(served => (served.mode === undefined ? [identify(served), echo(served)] : [produce(served)]))
