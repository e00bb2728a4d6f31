import { z } from 'zod'
import type { HttpApi } from '../../http/api/api.js'
import { json, type Operation, type Parameters } from '../../http/openapi/operation.js'
import { type ServedPath, servedPaths } from './routes.js'
import { type KafboySettings, kafboySettings } from './settings.js'

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
  summary: 'Names the instance',
  answers: { 200: { description: '`HOST:PORT`', content: { 'text/plain': z.string() } } }
})

const echo = ({ path, id }: ServedPath): Operation => ({
  method: 'post',
  path,
  id,
  summary: 'Answers the form as JSON',
  body: { description: 'A form', content: form, required: false },
  answers: { 200: { description: 'The form as JSON', content: json(z.unknown()) } }
})

/** The operations of kafboy for `/openapi.json`, which cannot express paths with an open end. */
export const kafboyOperations = (settings: KafboySettings): readonly Operation[] =>
  servedPaths(settings)
    .filter(({ mode, path }) => !path.includes('[...]') && (mode === undefined || path.includes(':topic')))
    .flatMap(served => (served.mode === undefined ? [identify(served), echo(served)] : [produce(served)]))

/**
 * The API of kafboy, an HTTP server in Erlang, over the producer ekaf: `POST /async/TOPIC` and its relatives.
 *
 * Its differences to the original are in docs/compatibility/kafboy.md.
 */
export const kafboy: HttpApi<KafboySettings, 'kafboy'> = {
  name: 'kafboy',
  about: 'a web server in Erlang that writes to Kafka, for forms and JSON events',
  source: 'kafboy 0.6.0 (helpshift/kafboy fae3c4e) over ekaf 1.5.4 (helpshift/ekaf 8967b8a)',
  prefix: '/kafboy',
  settings: kafboySettings,
  tryIt: url => [`curl -i ${url}/sync/orders -d 'hello=world'`],
  operations: kafboyOperations,
  plugin: async context => (await import('./plugin.js')).kafboyPlugin(context)
}
