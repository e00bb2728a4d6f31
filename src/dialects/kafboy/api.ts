import { json, listOf, type Operation, object, type Parameter, text } from '../../openapi/operation.js'
import type { ProduceMode } from './routes.js'
import type { KafboySettings } from './settings.js'

const topic: Parameter = { name: 'topic', in: 'path', description: 'The topic' }
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

const produce = (path: string, id: string, mode: ProduceMode): Operation => ({
  method: 'post',
  path,
  id,
  summary: mode === 'sync' ? 'Produces a record and waits until Kafka has it' : 'Accepts a record for Kafka',
  parameters: [topic],
  body: {
    description: 'A form, which becomes a JSON object, or JSON, which stays as it is',
    content: form,
    required: false
  },
  produces: true,
  answers: mode === 'sync' ? syncAnswers : asyncAnswers
})

const echo = (path: string, id: string): Operation => ({
  method: 'post',
  path,
  id,
  summary: 'Answers the form as JSON',
  body: { description: 'A form', content: form, required: false },
  answers: { 200: { description: 'The form as JSON', content: json({}) } }
})

/** `/sync/:topic` => `/sync/{topic}`; `undefined`: OpenAPI has no word for optional or open ends. */
const pathOf = (template: string): string | undefined =>
  /[[\]]/.test(template) || template.match(/:\w+/g)?.join() !== ':topic'
    ? undefined
    : template.replace(':topic', '{topic}').replace(/\/$/, '')

/** What kafboy's paths take and answer, for `/openapi.json`; templates with brackets are left out. */
export function kafboyOperations({
  syncUrl,
  asyncUrl,
  routesSync,
  routesAsync,
  routesAsyncBatch
}: KafboySettings): readonly Operation[] {
  const routes: readonly [string, string, ProduceMode][] = [
    [syncUrl, 'sync', 'sync'],
    [asyncUrl, 'async', 'async'],
    [`/batch${syncUrl}`, 'batchSync', 'batchSync'],
    [`/batch${asyncUrl}`, 'batchAsync', 'batchAsync'],
    ...routesSync.map((template, index): [string, string, ProduceMode] => [template, `routeSync${index + 1}`, 'sync']),
    ...routesAsync.map((template, index): [string, string, ProduceMode] => [
      template,
      `routeAsync${index + 1}`,
      'async'
    ]),
    ...routesAsyncBatch.map((template, index): [string, string, ProduceMode] => [
      template,
      `routeBatch${index + 1}`,
      'batchAsync'
    ])
  ]
  const produced = routes.flatMap(([template, id, mode]) => {
    const path = pathOf(template)
    return path === undefined ? [] : [produce(path, id, mode)]
  })
  return [...produced, echo('/disco', 'disco'), echo('/echo_post', 'echoPost')]
}
