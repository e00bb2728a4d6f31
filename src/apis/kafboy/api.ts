import { json, listOf, type Operation, object, type Parameter, text } from '../../http/openapi/operation.js'
import { type ServedPath, servedPaths } from './routes.js'
import type { KafboySettings } from './settings.js'

const error = json(object({ error: text }))
const outcomes = json({
  type: 'array',
  items: { anyOf: [object({ ok: { type: 'boolean' } }), object({ error: { type: ['integer', 'string'] } })] }
})

const form = {
  'application/x-www-form-urlencoded': { type: 'object', additionalProperties: { type: 'string' } },
  'application/json': {}
}

const refusals = {
  400: { description: 'The body is empty, too large or cannot be parsed, or a hook refuses it', content: error },
  401: { description: 'No credentials, or wrong ones', content: error },
  403: { description: 'The topic is not allowed', content: error },
  429: { description: 'A quota is used up', content: error }
}

const asyncAnswers = {
  200: { description: 'The record is accepted', content: json({}) },
  ...refusals,
  500: { description: 'A hook has failed' },
  503: { description: 'No room for the record', content: error },
  504: { description: 'A hook has not decided in time', content: error }
}

const syncAnswers = {
  200: { description: 'All records are in Kafka', content: json({}) },
  ...refusals,
  500: { description: 'A hook has failed' },
  502: { description: 'Kafka refuses a record', content: outcomes },
  503: {
    description: 'No room, or no broker can be reached',
    content: json({ anyOf: [object({ error: text }), listOf({})] })
  },
  504: { description: 'No acknowledgement in time', content: json({ anyOf: [object({ error: text }), listOf({})] }) }
}

const produce = ({ path, id, mode }: ServedPath): Operation => ({
  method: 'post',
  path: bracesOf(path),
  id,
  summary: mode === 'sync' ? 'Produces a record and waits until Kafka has it' : 'Accepts a record for Kafka',
  parameters: parametersOf(path),
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

const parametersOf = (path: string): readonly Parameter[] =>
  [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name: name!,
    in: 'path',
    description: name === 'topic' ? 'The topic' : 'Any text'
  }))

const identify = ({ path, id }: ServedPath): Operation => ({
  method: 'get',
  path,
  id: `${id}Name`,
  summary: 'Names the instance',
  answers: { 200: { description: '`HOST:PORT`', content: { 'text/plain': text } } }
})

const echo = ({ path, id }: ServedPath): Operation => ({
  method: 'post',
  path,
  id,
  summary: 'Answers the form as JSON',
  body: { description: 'A form', content: form, required: false },
  answers: { 200: { description: 'The form as JSON', content: json({}) } }
})

/** What kafboy's paths take and answer, for `/openapi.json`, which has no word for paths with an open end. */
export const kafboyOperations = (settings: KafboySettings): readonly Operation[] =>
  servedPaths(settings)
    .filter(({ mode, path }) => !path.includes('[...]') && (mode === undefined || path.includes(':topic')))
    .flatMap(served => (served.mode === undefined ? [identify(served), echo(served)] : [produce(served)]))
