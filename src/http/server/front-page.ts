import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { RequestAccess } from '../access/request-access.js'
import {
  type DescribedApi,
  type JsonSchema,
  json,
  OPENAPI_PATH,
  type Operation,
  toDocument,
  writtenOnce
} from '../openapi/operation.js'
import { toServedDocument } from '../openapi/served-document.js'
import { requireRule } from './access-hooks.js'
import { pageOperations } from './page-routes.js'
import { receiptOperation } from './receipt-route.js'

const JSON_TYPE = 'application/json; charset=utf-8'

/** The front page of the shared port, and the description that every port has. */
const description: Operation = {
  method: 'get',
  path: OPENAPI_PATH,
  id: 'openapi',
  summary: 'This description',
  answers: { 200: { description: 'An OpenAPI 3.1 document', content: json(z.object({})) } }
}
const frontPage: Operation = {
  method: 'get',
  path: '/',
  id: 'frontPage',
  summary: 'The APIs that are served here',
  answers: { 200: { description: 'Their names and prefixes', content: json(z.object({})) } }
}

const readiness = (path: string, id: string, summary: string): Operation => ({
  method: 'get',
  path,
  id,
  summary,
  answers: Object.fromEntries(
    [200, 503].map(status => [
      status,
      {
        description: status === 200 ? 'Ready' : 'Not ready, with the reasons',
        content: json(z.object({ ready: z.boolean(), reasons: z.array(z.string()), warnings: z.array(z.string()) }))
      }
    ])
  )
})

const management: readonly Operation[] = [
  {
    method: 'get',
    path: '/health-check',
    id: 'healthCheck',
    summary: 'The liveness probe',
    answers: {
      200: {
        description: 'The process serves requests',
        content: json(
          z.object({
            status: z.enum(['ok']),
            broker: z.enum(['embedded', 'kafka']),
            version: z.string(),
            uptimeSeconds: z.int()
          })
        )
      }
    }
  },
  readiness('/ready', 'ready', 'The readiness probe'),
  readiness('/ready/kafka', 'readyKafka', 'Whether Kafka can be reached'),
  ...pageOperations,
  {
    method: 'get',
    path: '/metrics',
    id: 'metrics',
    summary: 'Metrics in the text format of Prometheus',
    answers: { 200: { description: 'The metrics', content: { 'text/plain': z.string() } } }
  }
]

const own = (...operations: Operation[]): DescribedApi => ({ name: 'castellan', prefix: '', operations })

/** Serves the description of everything on the shared port, and of each API on its own ports. */
export function addDescriptions(
  app: FastifyInstance,
  version: string,
  apis: readonly DescribedApi[],
  requestAccess?: RequestAccess
): void {
  const onRequest = requireRule(requestAccess)
  const shared = servedOnce(() =>
    toDocument('Castellan', version, [own(frontPage, description, receiptOperation), ...apis])
  )
  app.get(OPENAPI_PATH, { onRequest }, (_, reply) => void reply.type(JSON_TYPE).send(shared()))
  for (const api of apis) {
    const alone = servedOnce(() =>
      toDocument(`Castellan: ${api.name}`, version, [own(description, receiptOperation), { ...api, prefix: '' }])
    )
    app.get(`${api.prefix}${OPENAPI_PATH}`, { onRequest }, (request, reply) => {
      reply.type(JSON_TYPE).send(isOnOwnPort(request.raw) ? alone() : shared())
    })
  }
}

/** Serves the description of a port that serves one part of an API only; `prefix` is added to its paths. */
export function addPartDescription(
  app: FastifyInstance,
  version: string,
  { prefix, ...part }: DescribedApi,
  requestAccess?: RequestAccess
): void {
  const apis = [own(description), { ...part, prefix: '' }]
  const document = servedOnce(() => toDocument(`Castellan: ${part.name}`, version, apis))
  const answer = { onRequest: requireRule(requestAccess) }
  app.get(`${prefix}${OPENAPI_PATH}`, answer, (_, reply) => void reply.type(JSON_TYPE).send(document()))
}

/** An API's own port adds the prefix of the API and keeps the URL as it was sent. */
const isOnOwnPort = (request: IncomingMessage & { originalUrl?: string }): boolean => request.originalUrl !== undefined

const servedOnce = (toDocument: () => JsonSchema): (() => Buffer) => writtenOnce(() => toServedDocument(toDocument()))

/** Serves the description of the management port. */
export function addManagementDescription(app: FastifyInstance, version: string): void {
  const document = servedOnce(() => toDocument('Castellan: management', version, [own(...management, description)]))
  app.get(OPENAPI_PATH, (_, reply) => void reply.type(JSON_TYPE).send(document()))
}

/** The facts about an API on the front page and in the 404. */
export interface MountedApi {
  readonly name: string
  readonly prefix: string
  readonly source: string
}

/** Answers `/`, and with 404 every path outside of the APIs, by listing the APIs. */
export function addFrontPage(app: FastifyInstance, apis: readonly MountedApi[], requestAccess?: RequestAccess): void {
  const help = {
    name: 'castellan',
    apis: apis.map(({ name, prefix, source }) => ({ name, prefix, source })),
    documentation: 'docs/ of the package, and castellan --help'
  }
  app.get('/', { onRequest: requireRule(requestAccess) }, (_, reply) => {
    reply.type(JSON_TYPE).send(`${JSON.stringify(help, null, 2)}\n`)
  })
  const prefixes = apis.map(({ prefix }) => prefix)
  const notFound = {
    error: 'not found',
    message: `no such route; each API is served below its prefix: ${prefixes.join(', ') || '(none is mounted)'}`,
    prefixes
  }
  app.setNotFoundHandler((_, reply) => {
    reply
      .code(404)
      .type(JSON_TYPE)
      .send(`${JSON.stringify(notFound)}\n`)
  })
}
