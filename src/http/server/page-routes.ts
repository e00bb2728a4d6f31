import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { CastellanError, ForbiddenError, InvalidRequestError, OverloadedError } from '../../core/errors.js'
import { MAX_PARSED_BYTES } from '../../core/json/parsed-json.js'
import { Shares } from '../../core/shares.js'
import { ANONYMOUS } from '../access/access.js'
import type { RequestAccess } from '../access/request-access.js'
import { clientOf, isOfThisMachine } from '../exchange/client.js'
import { isHeldApart } from '../exchange/leaving-records.js'
import { SharedRendering } from '../exchange/shared-rendering.js'
import { json, type Operation, reading } from '../openapi/operation.js'
import {
  type FoundRecords,
  foundRecords,
  type RecordAsker,
  type RecordQuestion,
  recordQuestion
} from '../status/record-question.js'
import { type StatusSource, statusSchema } from '../status/status.js'
import { answerRefusal, deny, JSON_UTF8_TYPE } from './access-hooks.js'
import { PAGE_HEADERS, policyOf } from './page-policy.js'

export const PAGE_PATH = '/'
export const STATUS_PATH = '/status.json'
export const FIND_PATH = '/find-record'
/** Searches that run at the same time, about half of them of one caller: each reads up to 16 MiB from Kafka. */
const MAX_SEARCHES = 4

const WRONG_QUESTION =
  'the body has to be {"by":"key","topic":"…","key":"…"}, with "cluster" if need be, or {"by":"receipt","receipt":"…"}'

export interface PageSource {
  /** The page as it was built; `undefined`: this build has no page. */
  html(): Promise<string | undefined>
  /**
   * Looks for a record, on behalf of a client who may read its topic.
   *
   * @throws CastellanError when Kafka does not answer
   */
  findRecord(question: RecordQuestion, asker: RecordAsker): Promise<FoundRecords>
}

const STATUS_SUMMARY = 'What is wrong with the gateway, and what waits'
const ofPage = { 'text/html': z.string() }

export const pageOperations: readonly Operation[] = [
  reading(STATUS_PATH, 'status', STATUS_SUMMARY, 'The status of all processes of the gateway', json(statusSchema)),
  reading(PAGE_PATH, 'page', 'The page for people', 'One file of HTML', ofPage),
  {
    method: 'post',
    path: FIND_PATH,
    id: 'findRecord',
    verb: 'none',
    summary: 'Whether a record is in Kafka',
    description: 'The question is a body, because keys in addresses end up in logs of proxies. Values are never shown.',
    body: { description: 'The record', content: json(recordQuestion) },
    answers: { 200: { description: 'What was found', content: json(foundRecords) } }
  }
]

/** `GET /status.json` of the management port. It needs the permission `management`, as `/metrics` does. */
export function addStatusRoute(app: FastifyInstance, source: StatusSource): void {
  const rendering = new SharedRendering(async () => Buffer.from(JSON.stringify(await source())))
  app.get(STATUS_PATH, async (_, reply) => {
    const text = await rendering.get()
    isHeldApart(reply.raw)
    return reply.headers(FOUND_HEADERS).type(JSON_UTF8_TYPE).send(text)
  })
}

/**
 * `GET /`, the page. It has no data, so it is served without credentials, and asks for them when its first question is
 * refused. `POST /find-record` answers its question about a record.
 */
export function addPageRoutes(app: FastifyInstance, source: PageSource, access: RequestAccess | undefined): void {
  let page: { readonly bytes: Buffer; readonly policy: string } | undefined
  app.get(PAGE_PATH, async (_, reply) => {
    if (page === undefined) {
      const html = await source.html()
      if (html === undefined) return deny(reply, 404, 'not found', 'the page is not built; npm run build makes it')
      page = { bytes: Buffer.from(html), policy: policyOf(html) }
    }
    isHeldApart(reply.raw)
    reply.headers({ ...PAGE_HEADERS, 'cache-control': 'no-cache', 'content-security-policy': page.policy })
    return reply.type('text/html; charset=utf-8').send(page.bytes)
  })
  const searches = new Shares(MAX_SEARCHES, 'searches for a record')
  app.register((scope, _options, done) => {
    const readJson = scope.getDefaultJsonParser('error', 'error')
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit: MAX_PARSED_BYTES }, readJson)
    scope.post(FIND_PATH, { errorHandler: answerUnreadable }, async (request, reply) => {
      reply.headers(FOUND_HEADERS)
      const parsed = recordQuestion.safeParse(request.body)
      if (!parsed.success) return deny(reply, 400, 'invalidRequest', WRONG_QUESTION)
      const asker = requireReader(request, parsed.data, access)
      const { principal } = asker
      if (searches.problemOf(principal) !== undefined)
        throw new OverloadedError('too many records are looked for at the same time')
      const release = searches.take(principal)
      try {
        const found = await source.findRecord(parsed.data, asker)
        return reply.type(JSON_UTF8_TYPE).send(JSON.stringify(found))
      } catch (error) {
        if (!(error instanceof CastellanError)) throw error
        const status = error.code === 'unknownTopic' ? 404 : error instanceof InvalidRequestError ? 400 : 503
        return deny(reply, status, error.code, error.message)
      } finally {
        release()
      }
    })
    done()
  })
}

/** No answer with data may stay in a cache, or be taken for something else. */
const FOUND_HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

/** Answers a question that Fastify cannot read. */
function answerUnreadable(error: FastifyError | CastellanError, request: FastifyRequest, reply: FastifyReply): void {
  const { statusCode: status = 500 } = error as FastifyError
  if (error instanceof CastellanError || status >= 500) answerRefusal(error, request, reply)
  else deny(reply.headers(FOUND_HEADERS), status, 'invalidRequest', status === 400 ? WRONG_QUESTION : error.message)
}

/**
 * The client, who must have the permission to consume the topic. A client without credentials is answered on this
 * machine only, and not behind a proxy, which has this machine's address, too.
 *
 * @throws ForbiddenError
 */
function requireReader(
  request: FastifyRequest,
  question: RecordQuestion,
  access: RequestAccess | undefined
): RecordAsker {
  const caller = access?.callerOf(request.raw)
  const principal = caller?.principal ?? ANONYMOUS
  const asker = { principal, client: clientOf(request.raw, { principal }) }
  if (question.by === 'receipt') return asker
  const refusal = caller?.refusalOf('consume', { topic: question.topic })
  if (refusal !== undefined) throw refusal
  if (principal === ANONYMOUS && !isOfThisMachine(request.raw)) {
    throw new ForbiddenError(
      'without credentials, keys are looked for on the machine of the gateway only, and not through a proxy; credentials with the permission consume (access.rules) are served everywhere'
    )
  }
  return asker
}
