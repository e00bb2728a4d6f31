import { IncomingMessage, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { setImmediate as nextTick } from 'node:timers/promises'
import { crc32 } from '@node-rs/crc32'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { AnswerTemplate, sendAnswer } from '../../../src/http/exchange/answers.js'
import { BufferPool, collectBody } from '../../../src/http/exchange/body-collector.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'
import type { Handled } from './comparison.js'

const POOL_BYTES = 4 * 1024 * 1024
const MAX_BODY_BYTES = 16 * 1024 * 1024
const LATE_TICKS = 3
const LONG_ANSWER_BYTES = 100_000

/** Keeps what handlers were given, by the port of the client. */
export class Journal {
  /** Requests that Node's own parser has read, and all others. */
  readonly counts = { byNode: 0, byHand: 0 }
  readonly #byPort = new Map<number, { head: string; body: string | undefined }[]>()
  readonly #byRequest = new WeakMap<object, { head: string; body: string | undefined }>()

  begin(request: IncomingMessage): void {
    const { remotePort = 0 } = request.socket
    const handled = { head: headOf(request), body: undefined }
    const before = this.#byPort.get(remotePort)
    this.#byRequest.set(request, handled)
    if (before === undefined) this.#byPort.set(remotePort, [handled])
    else before.push(handled)
  }

  read(request: IncomingMessage, body: string): void {
    const handled = this.#byRequest.get(request)
    if (handled !== undefined) handled.body = body
  }

  of(port: number): readonly Handled[] {
    return this.#byPort.get(port) ?? []
  }

  forget(port: number): void {
    this.#byPort.delete(port)
  }
}

/** What a handler was given, as text. */
function headOf({ method, url, httpVersion, rawHeaders, headers }: IncomingMessage): string {
  return JSON.stringify([method, url, httpVersion, rawHeaders, headers])
}

const bodyOf = (body: Buffer): string => `${body.length} bytes ${crc32(body).toString(16)}`

/**
 * Routes that answer with what they were given, each in another of the ways in which APIs read and answer:
 *
 *   parsed      Fastify's parser reads the body
 *   collected   the body is collected as produce routes collect it; the answer leaves through Node's response
 *   template    the same; the answer leaves prebuilt, with the other answers of its tick
 *   stream      the answer begins before the body is read, and ends behind it
 *   unread      answered without reading the body
 *   late        answered some ticks later, and the body is read then
 *   pieces      a stream as answer, in several pieces
 *   empty       204
 *   closing     the answer ends the connection
 */
export const echoRoutes =
  (journal: Journal): FastifyPluginAsync =>
  async (app: FastifyInstance) => {
    const echo = new Echo(journal)
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
    app.addHook('onRequest', (request, _, done) => {
      const isOfNode = request.raw instanceof IncomingMessage
      journal.counts[isOfNode ? 'byNode' : 'byHand']++
      journal.begin(request.raw)
      done()
    })
    app.all('/parsed/*', request => echo.parsed(request))
    app.all('/pieces/*', request => Readable.from(piecesOf(echo.parsed(request))))
    app.all('/empty/*', (request, reply) => {
      echo.parsed(request)
      return reply.code(204).send()
    })
    app.all('/closing/*', (request, reply) => reply.header('connection', 'close').send(echo.parsed(request)))
    for (const name of ['collected', 'template', 'stream', 'unread', 'late'] as const) {
      app.all(`/${name}/*`, { preParsing: byHand(exchange => void echo[name](exchange)) }, neverCalled)
    }
  }

/** A long answer has more than a socket takes at once. */
function* piecesOf(text: string): Generator<string> {
  yield text.slice(0, 10)
  yield text.slice(10)
  if (text.includes('long')) yield 'L'.repeat(LONG_ANSWER_BYTES)
}

class Echo {
  readonly #journal: Journal
  readonly #template = new AnswerTemplate(200, 'application/json')
  readonly #pool = new BufferPool(POOL_BYTES)

  constructor(journal: Journal) {
    this.#journal = journal
  }

  parsed({ raw, body }: FastifyRequest): string {
    return this.#read(raw, (body as Buffer | undefined) ?? Buffer.alloc(0))
  }

  collected(exchange: Exchange): void {
    this.#collect(exchange, text => this.#send(exchange, text))
  }

  template(exchange: Exchange): void {
    const { response, requestId } = exchange
    // Prebuilt answers have a body: no API gives one to a HEAD.
    if (exchange.request.method === 'HEAD') this.collected(exchange)
    else this.#collect(exchange, text => this.#template.sendSoon(response, { requestId, persisted: 'yes' }, text))
  }

  stream({ request, response, payload, requestId }: Exchange): void {
    let body = Buffer.alloc(0)
    response.writeHead(200, { 'content-type': 'application/json', 'x-request-id': requestId })
    response.write('begun ')
    payload.on('data', (chunk: Buffer) => (body = Buffer.concat([body, chunk])))
    payload.on('end', () => response.end(this.#read(request, body)))
    payload.on('error', () => response.destroy())
  }

  unread(exchange: Exchange): void {
    this.#send(exchange, headOf(exchange.request))
  }

  async late(exchange: Exchange): Promise<void> {
    for (let left = LATE_TICKS; left > 0; left--) await nextTick()
    this.collected(exchange)
  }

  #collect({ request, response, payload }: Exchange, end: (text: string) => void): void {
    const declaredBytes = Number(request.headers['content-length'] ?? 0)
    collectBody(payload, declaredBytes, MAX_BODY_BYTES, this.#pool, body => {
      if (Buffer.isBuffer(body)) end(this.#read(request, body))
      else refuse(response, body === 'tooLarge' ? 413 : 503)
    })
  }

  /** Notes what was read as a body. */
  #read(request: IncomingMessage, body: Buffer): string {
    const read = bodyOf(body)
    this.#journal.read(request, read)
    return `${headOf(request)} ${read}`
  }

  #send({ response, requestId }: Exchange, text: string): void {
    sendAnswer(response, 200, 'application/json', text, { requestId, persisted: undefined })
  }
}

const refuse = (response: ServerResponse, status: number): void => {
  if (!response.headersSent) response.writeHead(status, { connection: 'close', 'content-length': 0 }).end()
}
