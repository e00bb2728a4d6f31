import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { OverloadedError } from '../../core/errors.js'
import type { HeldRecords } from '../../core/record-budget.js'
import {
  type FoundReceipt,
  MAX_RECORDS_OF_ANSWER,
  type ReceiptDesk,
  type ReceiptReply,
  receiptJson,
  statesJson
} from '../../verbs/receipts.js'
import { ANONYMOUS, principalOf } from '../access/access.js'
import { neverCalled } from '../api/by-hand.js'
import { LongList, type LongLists, type MadeList } from '../api/long-lists.js'
import { engineRequest } from '../engine/request.js'
import { sendAnswer } from '../exchange/answers.js'
import { clientOf } from '../exchange/client.js'
import { noteWait } from '../exchange/exchange.js'
import { json, type Operation } from '../openapi/operation.js'
import { deny, JSON_UTF8_TYPE, sendJson } from './access-hooks.js'

/** The beginning of the path of receipts, on every port whose API produces. */
export const RECEIPT_PATH = '/receipts/'

/** The states of so many records are answered at once; those of more in portions. */
const FEW_RECORDS = 64
/** Records of which the states are in memory while a list is made. */
const RECORDS_OF_LOOK = 256
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
 * @param lists make long answers. `undefined`: they are not counted
 */
export function addReceiptRoute(
  app: FastifyInstance,
  desk: ReceiptDesk | undefined,
  lists: LongLists | undefined
): void {
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
      const most = lists && FEW_RECORDS
      const found = await desk.read({ id, principals, client, waitMs, from, signal, most })
      if (lists === undefined || found.type !== 'found' || found.count - found.from <= FEW_RECORDS)
        return answer(reply, id, found)
      reply.hijack()
      const { count, isSettled } = found
      const look = (at: number, most: number) => desk.read({ id, principals, client, from: at, most })
      await answerInPortions(request, reply, client, lists, listOf({ id, count, from: found.from, isSettled, look }))
    }
  )
}

interface LongReceipt extends Pick<FoundReceipt, 'count' | 'from' | 'isSettled'> {
  readonly id: string
  /** Looks at some records from an index on. */
  readonly look: (from: number, most: number) => Promise<ReceiptReply>
}

/** What became of up to 10,000 records: 3.4 MB. They are looked at while the list is made, and not before. */
function listOf({ id, count, from, isSettled, look }: LongReceipt): LongList {
  const to = Math.min(count, from + MAX_RECORDS_OF_ANSWER)
  async function* states(): AsyncIterable<object> {
    for (let at = from; at < to; ) {
      const found = await look(at, Math.min(RECORDS_OF_LOOK, to - at))
      // The gateway that has them has gone, or they are not kept any more.
      if (found.type !== 'found' || found.records.length === 0)
        throw new OverloadedError('the records cannot be looked at')
      yield* statesJson(found)
      at += found.records.length
    }
  }
  const head = JSON.stringify({ receipt: id, settled: isSettled, count }).slice(0, -1)
  return new LongList('receipt', `${head},"records":[`, states(), to < count ? `],"next":${to}}` : ']}')
}

async function answerInPortions(
  { id: requestId }: FastifyRequest,
  { raw: response }: FastifyReply,
  client: string | undefined,
  lists: LongLists,
  list: LongList
): Promise<void> {
  const send = (status: number, body: MadeList['body'], held?: HeldRecords, further = {}): void =>
    sendAnswer(
      response,
      status,
      JSON_UTF8_TYPE,
      body,
      { requestId, persisted: undefined, held },
      { 'cache-control': 'no-store', ...further }
    )
  await lists
    .answer(list, client, response, ({ body, held }) => send(200, body, held))
    .catch(({ message }: Error) => {
      const body = JSON.stringify({ error: 'overloaded', message })
      send(503, body, undefined, { 'retry-after': RETRY_AFTER_SECONDS })
    })
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
