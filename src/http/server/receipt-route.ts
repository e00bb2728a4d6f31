import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { MAX_RECORDS_OF_ANSWER, type ReceiptDesk, type ReceiptReply, receiptJson } from '../../verbs/receipts.js'
import { ANONYMOUS, principalOf } from '../access/access.js'
import { neverCalled } from '../api/by-hand.js'
import { engineRequest } from '../engine/request.js'
import { clientOf } from '../exchange/client.js'
import { noteWait } from '../exchange/exchange.js'
import { json, type Operation } from '../openapi/operation.js'
import { deny, sendJson } from './access-hooks.js'

/** The beginning of the path of receipts, on every port whose API produces. */
export const RECEIPT_PATH = '/receipts/'

const MAX_WAIT_MS = 300_000
const WAIT = /^(\d{1,6})(ms|s|m)?$/
const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 }
const RETRY_AFTER_SECONDS = '1'
const OTHER_METHODS = ['POST', 'PUT', 'PATCH', 'DELETE']
const SWITCHED_OFF = 'receipts are switched off (receipts.maxBytes: 0)'

const place = { topic: z.string(), partition: z.int(), offset: z.int().nullable(), timestamp: z.int().nullable() }
const index = z.int()
const recordState = z.discriminatedUnion('state', [
  z.object({
    index,
    state: z.literal('waiting'),
    topic: z.string().optional(),
    since: z.string().optional(),
    why: z.string()
  }),
  z.object({ index, state: z.literal('inKafka'), ...place }),
  z.object({ index, state: z.literal('deadLetter'), topic: z.string(), code: z.string(), why: z.string() }),
  z.object({ index, state: z.literal('lost'), topic: z.string().optional(), why: z.string() }),
  z.object({ index, state: z.literal('refused') }),
  z.object({ index, state: z.literal('unknown'), why: z.string() })
])
const problem = json(z.object({ error: z.string(), message: z.string() }))

/** `GET /receipts/ID`, for descriptions of ports whose API produces. */
export const receiptOperation: Operation = {
  method: 'get',
  path: '/receipts/{id}',
  id: 'receipt',
  verb: 'receipts.read',
  summary: 'Says what became of the records of a produce request',
  params: { id: z.string() },
  query: { wait: z.string().regex(WAIT).optional(), from: z.int().min(0).optional() },
  answers: {
    200: {
      description: `The states of up to ${MAX_RECORDS_OF_ANSWER} records`,
      content: json(
        z.object({
          receipt: z.string(),
          settled: z.boolean(),
          count: z.int(),
          records: z.array(recordState),
          next: z.int().optional()
        })
      )
    },
    404: { description: 'No such receipt was given to this client', content: problem },
    410: { description: 'What became of the records is not kept any more', content: problem },
    503: { description: 'The gateway that has given it cannot be asked now', content: problem }
  }
}

/**
 * Answers for receipts, to the client that sent the records. A receipt of another client is answered as one that was
 * never given, so that no client learns which receipts exist.
 *
 * @param desk `undefined`: receipts are switched off
 */
export function addReceiptRoute(app: FastifyInstance, desk: ReceiptDesk | undefined): void {
  app.route({
    method: OTHER_METHODS,
    url: `${RECEIPT_PATH}:id`,
    preParsing: async (_, reply) => {
      reply.header('allow', 'GET, HEAD')
      return deny(reply, 405, 'method not allowed', 'a receipt can only be read: GET')
    },
    handler: neverCalled
  })
  app.get<{ Params: { id: string }; Querystring: { wait?: unknown; from?: unknown } }>(
    `${RECEIPT_PATH}:id`,
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      if (desk === undefined) return deny(reply, 404, 'unknown receipt', SWITCHED_OFF)
      const [waitMs, from] = [waitMsOf(request.query.wait), fromOf(request.query.from)]
      if (waitMs === undefined) return deny(reply, 400, 'invalid wait', `write wait as 500ms, 30s or 5m; at most 5m`)
      if (from === undefined) return deny(reply, 400, 'invalid from', 'from is the index of a record: a whole number')
      noteWait(request.raw, waitMs)
      const { id } = request.params
      const principals = [...new Set([principalOf(request.raw), ANONYMOUS])]
      const signal = waitMs === 0 ? undefined : leavingOf(request)
      const client = clientOf(request.raw, { principal: principals[0]! })
      return answer(reply, id, await desk.read({ id, principals, client, waitMs, from, signal }))
    }
  )
}

function leavingOf({ raw }: FastifyRequest): AbortSignal {
  const left = new AbortController()
  engineRequest(raw).whenOver(() => left.abort())
  return left.signal
}

function answer(reply: FastifyReply, id: string, found: ReceiptReply): FastifyReply {
  switch (found.type) {
    case 'found':
      return sendJson(reply, 200, receiptJson(id, found))
    case 'notFound':
      return deny(reply, 404, 'unknown receipt', 'no receipt with this id was given to this client')
    case 'expired':
      return deny(
        reply,
        410,
        'expired receipt',
        'what became of these records is not kept any more (receipts.retentionMs, receipts.maxBytes)'
      )
    case 'unreachable':
      reply.header('retry-after', RETRY_AFTER_SECONDS)
      return deny(reply, 503, 'unreachable gateway', 'the gateway that has given this receipt does not answer now')
  }
}

/** `undefined`: malformed, or too long. */
function waitMsOf(text: unknown): number | undefined {
  if (text === undefined) return 0
  const [, digits, unit = 's'] = (typeof text === 'string' ? WAIT.exec(text) : null) ?? []
  const waitMs = Number(digits) * UNITS_MS[unit]!
  return waitMs <= MAX_WAIT_MS ? waitMs : undefined
}

function fromOf(text: unknown): number | undefined {
  if (text === undefined) return 0
  return typeof text === 'string' && /^\d{1,9}$/.test(text) ? Number(text) : undefined
}
