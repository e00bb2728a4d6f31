import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { RequestAccess } from '../access/request-access.js'
import { engineRequest } from '../engine/request.js'
import { varyOf } from '../exchange/compressed-answer.js'
import { isOnOwnPort } from '../exchange/exchange.js'
import { isHeldApart } from '../exchange/leaving-records.js'
import { TrustedProxies } from '../exchange/trusted-proxies.js'
import {
  type DescribedApi,
  json,
  OPENAPI_PATH,
  type OpenApiSchema,
  type Operation,
  reading,
  toDocument,
  writtenOnce
} from '../openapi/operation.js'
import { toServedDocument } from '../openapi/served-document.js'
import { answerRefusal, JSON_UTF8_TYPE, requireRule, sendJson } from './access-hooks.js'
import { PAGE_HEADERS } from './page-policy.js'
import { pageOperations } from './page-routes.js'
import { receiptOperation } from './receipt-route.js'
import { refusalPage, WELCOME_POLICY, type Welcome, welcomePage } from './welcome-page.js'

const anObject = json(z.object({}))
const description = reading(OPENAPI_PATH, 'openapi', 'This description', 'An OpenAPI 3.1 document', anObject)
const ofFrontPage = { 'text/plain': z.string(), 'text/html': z.string() }
const frontPage = reading('/', 'frontPage', 'Commands that try each API', 'For a shell, or a page', ofFrontPage)
const state = { status: z.enum(['ok']), broker: z.enum(['embedded', 'kafka']), version: z.string() }
const health = json(z.object({ ...state, uptimeSeconds: z.int() }))
const ofMetrics = { 'text/plain': z.string() }

const readiness = (path: string, id: string, summary: string): Operation => ({
  method: 'get',
  path,
  id,
  verb: 'none',
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
  reading('/health-check', 'healthCheck', 'The liveness probe', 'The process serves requests', health),
  readiness('/ready', 'ready', 'The readiness probe'),
  readiness('/ready/kafka', 'readyKafka', 'Whether Kafka can be reached'),
  ...pageOperations,
  reading('/metrics', 'metrics', 'Metrics in the text format of Prometheus', 'The metrics', ofMetrics)
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
  app.get(OPENAPI_PATH, { onRequest }, (_, reply) => sendDocument(reply, shared()))
  for (const api of apis) {
    const alone = servedOnce(() =>
      toDocument(`Castellan: ${api.name}`, version, [own(description, receiptOperation), { ...api, prefix: '' }])
    )
    app.get(`${api.prefix}${OPENAPI_PATH}`, { onRequest }, (request, reply) => {
      sendDocument(reply, isOnOwnPort({ request: request.raw }) ? alone() : shared())
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
  app.get(`${prefix}${OPENAPI_PATH}`, answer, (_, reply) => sendDocument(reply, document()))
}

/** The document is made once for all. */
function sendDocument(reply: FastifyReply, document: Buffer): void {
  isHeldApart(reply.raw)
  reply.type(JSON_UTF8_TYPE).send(document)
}

const servedOnce = (toDocument: () => OpenApiSchema): (() => Buffer) =>
  writtenOnce(() => toServedDocument(toDocument()))

export function addManagementDescription(app: FastifyInstance, version: string): void {
  const document = servedOnce(() => toDocument('Castellan: management', version, [own(...management, description)]))
  app.get(OPENAPI_PATH, (_, reply) => sendDocument(reply, document()))
}

/** Matches the host that a client names, which is repeated on the page: a name or an address with a port. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?$/i

/** One API on the page: a line about it, and commands. */
type PageSection = readonly [about: string, ...commands: string[]]

const LOGIN = "Where the gateway needs credentials, add -H 'authorization: Bearer TOKEN' or -u USER:PASSWORD"

/** The page as a text for a shell. */
function commandsOf({ apis, status }: Pick<Welcome, 'apis' | 'status'>, url: string, asksForLogin: boolean): string {
  const sections: readonly PageSection[] = [
    [`castellan ${status.version}: write to Kafka and read from it`],
    ...apis.map(({ name, prefix, page }): PageSection => {
      const at = `${url}${prefix}`
      return page === undefined ? [name] : [`${name}: ${page.about}`, ...page.tryIt(at), ...(page.readIt?.(at) ?? [])]
    }),
    ['all operations, as OpenAPI', `curl ${url}${OPENAPI_PATH}`],
    ...(asksForLogin ? [[LOGIN] as const] : [])
  ]
  const texts = sections.map(([about, ...commands]) => `# ${about}\n${commands.join('\n')}`.trimEnd())
  return `${texts.join('\n\n')}\n`
}

function sendPage(reply: FastifyReply, page: string): FastifyReply {
  reply.raw.setHeader('vary', varyOf(reply.raw, 'accept'))
  const headers = { ...PAGE_HEADERS, 'content-security-policy': WELCOME_POLICY }
  return reply.headers(headers).type('text/html; charset=utf-8').send(page)
}

/**
 * Answers `/` with commands that try each API, as a page for browsers and otherwise as a text that a shell understands; and with
 * 404 every path outside of the APIs.
 */
export function addFrontPage(
  app: FastifyInstance,
  welcome: Omit<Welcome, 'asksForLogin'>,
  requestAccess?: RequestAccess,
  proxies = new TrustedProxies()
): void {
  const urlOf = ({ protocol, headers, raw }: FastifyRequest): string => {
    const { scheme, host: called } = proxies.forwarded(raw)
    const host = called || (headers.host ?? '')
    return `${/^https?$/.test(scheme) ? scheme : protocol}://${HOST.test(host) ? host : '127.0.0.1:8080'}`
  }
  const errorHandler = (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    const send = (status: number, message: string): void =>
      void sendPage(reply.code(status), refusalPage(status, message, urlOf(request)))
    answerRefusal(error, request, reply, isForBrowser(request) ? send : undefined)
  }
  app.get('/', { onRequest: requireRule(requestAccess), errorHandler }, (request, reply) => {
    const url = urlOf(request)
    const hasLinks = engineRequest(request.raw).guard?.checksHost === true
    const asksForLogin = requestAccess !== undefined
    if (isForBrowser(request)) return sendPage(reply, welcomePage({ ...welcome, asksForLogin }, url, hasLinks))
    reply.raw.setHeader('vary', varyOf(reply.raw, 'accept'))
    reply.headers({ 'x-content-type-options': 'nosniff', 'content-security-policy': "default-src 'none'" })
    return reply.type('text/plain; charset=utf-8').send(commandsOf(welcome, url, asksForLogin))
  })
  answerOtherPaths(app, welcome.apis)
}

function answerOtherPaths(app: FastifyInstance, apis: Welcome['apis']): void {
  const prefixes = apis.map(({ prefix }) => prefix)
  const below = `each API is served below its prefix: ${prefixes.join(', ') || '(none is mounted)'}`
  app.setNotFoundHandler(({ url }, reply) => {
    const isOfManagement = management.some(({ path }) => path === url.split('?', 1)[0])
    const what = isOfManagement
      ? 'this path is on the management port (management.port, by default 8081)'
      : 'no such route'
    return sendJson(reply, 404, { error: 'not found', message: `${what}; ${below}`, prefixes })
  })
}

const isForBrowser = ({ headers: { accept = '' } }: FastifyRequest): boolean => accept.includes('text/html')
