import { type ServerResponse, STATUS_CODES } from 'node:http'
import { errorCodeOf } from '../../core/error-code-of.js'
import { type ErrorCode, OverloadedError } from '../../core/errors.js'
import { atOnce } from '../../core/loop-turns.js'
import type { RecordFailure } from '../../core/model.js'
import type { HeldRecords } from '../../core/record-budget.js'
import { PERSISTED_HEADER, persistedText } from '../../verbs/persisted.js'
import { RECEIPT_HEADER } from '../../verbs/receipts.js'
import type { AnswersHost, WaitingAnswer } from '../engine/open-requests.js'
import { currentDate } from '../engine/response-head.js'
import { addressOf } from './client.js'
import { answersOf, compressAnswer, isCompressible, varyOf } from './compressed-answer.js'
import { type Reply, receiptOf } from './exchange.js'
import { AnswerInLines, headerLinesOf, KeptExchange, type WrittenAnswer } from './kept-response.js'
import {
  type Cause,
  certaintyOfKnown,
  type ModernAnswer,
  type OutcomeSoFar,
  outcomesAnswer,
  PROBLEM_TYPE,
  problemAnswer,
  wantsModern
} from './modern-answers.js'
import { type AnswerBody, endInPieces } from './pieced-body.js'
import { holdMade } from './room.js'

const REQUEST_ID = 'x-request-id'
const NO_CONTENT = 204

/** The header that says what a client should know or change, where the body is that of an older system. */
export const WARNING_HEADER = 'x-castellan-warning'

const MAX_WARNING_CHARACTERS = 400
/** A longer body is not kept for the answers after it: it hardly comes again. */
const MAX_KEPT_CHARACTERS = 1024
const NOT_ASCII = /[^\x20-\x7e]/g
/** Advice that is added where the reason alone does not say what to change. */
const ADVICE: Partial<Record<ErrorCode, string>> = {
  invalidTopic: ': a name has 1 to 249 of a-z A-Z 0-9 . _ - and is neither . nor ..',
  unknownTopic: ': create it, or correct the name'
}

/** The header {@link WARNING_HEADER}: one line of ASCII, in which other characters are escaped. */
export function warningOf(text: string, code?: ErrorCode): Readonly<Record<string, string>> {
  const escaped = (one: string): string => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`
  const line = text.slice(0, MAX_WARNING_CHARACTERS).replace(NOT_ASCII, escaped)
  const cut = line.length > MAX_WARNING_CHARACTERS ? `${line.slice(0, MAX_WARNING_CHARACTERS)}...` : line
  return { [WARNING_HEADER]: `${cut}${(code && ADVICE[code]) ?? ''}` }
}

/** {@link warningOf} a reason that the body of the answer does not tell. */
export const untoldWarning = (body: string | Buffer, why: unknown): Readonly<Record<string, string>> => {
  const { message = '', code } = (why ?? {}) as Partial<RecordFailure>
  return message === '' || body.includes(message) ? {} : warningOf(message, code)
}

/** Headers of the answer to a path that the API does not have. */
export const UNKNOWN_PATH = warningOf('there is no such path; /openapi.json lists those that there are')
export const onlyMethods = (methods: string): Readonly<Record<string, string>> =>
  warningOf(`this path has only the method ${methods}; /openapi.json lists what it takes`)

export const firstFailureOf = (known: readonly OutcomeSoFar[]): RecordFailure | undefined =>
  known.find((one): one is RecordFailure => one !== 'pending' && one.type === 'failed')

/** Facts in the headers of every answer to a produce request. */
export interface AnswerHeaders {
  readonly requestId: string
  /** Whether the records are in Kafka's log; `undefined` for answers to other requests. */
  readonly persisted: string | undefined
  /** Why the request failed as a whole, for a modern answer. */
  readonly cause?: Cause | undefined
  /** Holds the records of the answer. The bytes that are made for the answer are added. */
  readonly held?: HeldRecords | undefined
}

/**
 * Any answer, written as Node does. Does nothing when there is an answer already or the client has left. A failure of
 * a produce request becomes a problem document when the client asks for modern answers.
 *
 * @param type `undefined`: no content type
 */
export function sendAnswer(
  response: ServerResponse,
  status: number,
  type: string | undefined,
  body: AnswerBody,
  { requestId, persisted, cause, held }: AnswerHeaders,
  further?: Readonly<Record<string, string | readonly string[]>>
): void {
  if (response.headersSent || response.destroyed) return
  noteFailure(response, cause && errorCodeOf(cause))
  const isProblem = persisted !== undefined && status >= 400 && type !== PROBLEM_TYPE && wantsModern(response.req)
  if (isProblem) ({ type, body } = problemAnswer(status, body.toString(), persisted, cause))
  const headers: Record<string, string | number | string[]> = {}
  for (const name in further) headers[name] = fieldOf(further[name]!)
  if (persisted !== undefined) headers[PERSISTED_HEADER] = persisted
  const receipt = receiptOf(response.req)
  if (receipt !== undefined) headers[RECEIPT_HEADER] = receipt
  // A record that is answered may have been sent with a request id of its own, which `http.recordHeaders` names.
  headers[REQUEST_ID] ??= requestId
  if (type !== undefined) headers['content-type'] = type
  const write = (body: AnswerBody, coding?: string): void => {
    if (response.headersSent || response.destroyed) return
    if (coding !== undefined) {
      headers['content-encoding'] = coding
      held?.add(body.length)
    }
    // Source: RFC 9110, section 8.6.
    if (status !== NO_CONTENT)
      headers['content-length'] = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    if (held === undefined) holdMade(response, body.length, addressOf(response.req))
    response.writeHead(status, headers)
    if (typeof body === 'string' || Buffer.isBuffer(body)) response.end(body)
    else if (response.req.method === 'HEAD') response.end()
    else endInPieces(response, body, answersOf(response.req).pieces)
  }
  if (persisted === undefined && isCompressible(type, body.length)) {
    headers.vary = varyOf(response)
    if (compressAnswer(response.req, body, write)) return
  }
  write(body)
}

/** The modern answer to a produce request, whatever its API. */
export function sendOutcomes(
  { response, requestId }: Reply,
  known: readonly OutcomeSoFar[],
  { status, type, body }: ModernAnswer<string | Buffer> = atOnce(outcomesAnswer(known))
): void {
  noteFailure(response, firstFailureOf(known)?.code)
  sendAnswer(response, status, type, body, { requestId, persisted: persistedText(known.map(certaintyOfKnown)) })
}

/** Node does not promise to leave a list as it is. */
const fieldOf = (value: string | readonly string[]): string | string[] =>
  typeof value === 'string' ? value : [...value]

/** A response of a connection, which takes head and body as one text. */
interface PreparedResponse extends ServerResponse, Pick<AnswersHost, 'atEndOfTick'> {
  readonly keepAliveTimeoutMs: number
  /** @param text each character one byte */
  endPrepared(text: string): void
}

const RECEIPT_START = `${RECEIPT_HEADER}: `
const ID_START = `${REQUEST_ID}: `

/** An answer whose status and content type are known beforehand. */
export class AnswerTemplate {
  readonly #status: number
  readonly #type: string
  readonly #typeLine: string
  /** The value of the last answer: most answers of a template say the same of their records. */
  #persisted = ''
  #lines = ''
  /** The first body, which most templates have with each answer. */
  #text: string | undefined
  #tail = ''
  /** The text of the last body that was kept. */
  #keptText = ''
  #body = Buffer.alloc(0)

  constructor(status: number, type: string) {
    this.#status = status
    this.#type = type
    this.#typeLine = `content-type: ${type}\r\n`
  }

  /**
   * To be called once, and not after the client has left. Does nothing when there is an answer already.
   *
   * On a connection that stays open, status line, headers and body leave as one string: measured, that costs half of
   * writeHead and end, which escape, check and write them in two pieces.
   */
  send(response: ServerResponse, headers: AnswerHeaders, body: string): void {
    // The client may have got an early answer.
    if (response.headersSent) return
    const { persisted, requestId } = headers
    const receipt = receiptOf(response.req)
    // The answer for a key gets a connection, and headers of that, when it leaves.
    if (response instanceof KeptExchange && this.#status < 400) {
      response.keep(this.#kept(persisted, receipt, body))
      return
    }
    const mayCompress = persisted === undefined && isCompressible(this.#type, body.length)
    const isCompressed = mayCompress && response.req.headers['accept-encoding'] !== undefined
    if (isCompressed || !isUsual(response)) sendAnswer(response, this.#status, this.#type, body, headers)
    else {
      const lines = `${this.#linesOf(persisted, receipt)}${ID_START}${requestId}\r\n`
      endWith(response, this.#status, lines, this.#tailOf(body), mayCompress ? varyOf(response) : undefined)
    }
  }

  /**
   * {@link send} at the end of this tick, after all requests that have arrived are read. Answers that leave one after
   * another find their reader awake; an answer between two reads has to wake it, which doubles the time of the system
   * call. Measured: 4 of 29 µs per request.
   *
   * An answer that is kept for a key goes on at once: its key is written with all others of the tick, and then it leaves.
   */
  sendSoon(response: ServerResponse, headers: AnswerHeaders, body: string): void {
    if (response.socket === null) this.send(response, headers, body)
    else leaveSoon(new TemplateAnswer(response, this, headers, body))
  }

  /** Millions of answers are kept for keys: they share their parts. */
  #kept(persisted: string | undefined, receipt: string | undefined, text: string): WrittenAnswer {
    if (text !== this.#keptText) {
      this.#keptText = text
      this.#body = Buffer.from(text)
    }
    return new AnswerInLines(this.#status, this.#linesOf(persisted, receipt), this.#body, persisted)
  }

  #tailOf(text: string): string {
    if (text === this.#text) return this.#tail
    const tail = lengthAndBody(toLatin1(text))
    if (this.#tail !== '' || text.length > MAX_KEPT_CHARACTERS) return tail
    this.#text = text
    return (this.#tail = whole(tail))
  }

  #linesOf(persisted: string | undefined, receipt: string | undefined): string {
    if (persisted !== undefined && persisted !== this.#persisted) {
      this.#persisted = persisted
      this.#lines = whole(`${this.#typeLine}${PERSISTED_HEADER}: ${persisted}\r\n`)
    }
    const lines = persisted === undefined ? this.#typeLine : this.#lines
    return receipt === undefined ? lines : `${lines}${RECEIPT_START}${receipt}\r\n`
  }
}

/**
 * The connection stays open behind the answer, and no header but `Vary` is added to it: the answer to a web page may have
 * further ones. An answer that waits for earlier ones has no socket.
 */
function isUsual(response: ServerResponse | PreparedResponse): response is PreparedResponse {
  if (!('endPrepared' in response) || response.socket === null) return false
  const { shouldKeepAlive, req } = response
  return shouldKeepAlive && req.httpVersionMinor === 1 && req.method !== 'HEAD' && req.headers.origin === undefined
}

/**
 * @param lines further headers
 * @param rest what follows them; each character is one byte
 * @param vary absent: the one header that may have been set before, where a page of another site may read answers
 */
function endWith(
  response: PreparedResponse,
  status: number,
  lines: string,
  rest: string,
  vary: unknown = response.getHeader('vary')
): void {
  const start = startOf(status, response.keepAliveTimeoutMs)
  response.statusCode = status
  response.endPrepared(`${start}${vary === undefined ? '' : `vary: ${vary}\r\n`}${lines}${rest}`)
}

/** A text of pieces is put together again with each answer that has it, so one that is used again is made a whole. */
const whole = (text: string): string => Buffer.from(text, 'latin1').toString('latin1')

/** The status line and the headers `date`, `keep-alive` and `connection` by status, which all answers of a second share. */
const starts: { second: number; keepAliveMs: number; byStatus: string[] } = { second: 0, keepAliveMs: 0, byStatus: [] }

function startOf(status: number, keepAliveMs: number): string {
  const second = Math.floor(Date.now() / 1_000)
  if (second !== starts.second || keepAliveMs !== starts.keepAliveMs) {
    starts.second = second
    starts.keepAliveMs = keepAliveMs
    starts.byStatus.length = 0
  }
  return (starts.byStatus[status] ??= makeStart(status, second, keepAliveMs))
}

function makeStart(status: number, second: number, keepAliveMs: number): string {
  const keepAlive = keepAliveMs < 1_000 ? '' : `keep-alive: timeout=${Math.floor(keepAliveMs / 1_000)}\r\n`
  const date = `date: ${currentDate(second)}\r\n`
  return whole(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${date}${keepAlive}connection: keep-alive\r\n`)
}

/** Larger bodies are not made texts. */
const MAX_TEXT_BYTES = 16 * 1024

/** @param body each character one byte */
const lengthAndBody = (body: string): string => `content-length: ${body.length}\r\n\r\n${body}`

/** The end of answers with the same body. The answers of a template share their body, which is never written to. */
const end: { body: Buffer | undefined; text: string } = { body: undefined, text: '' }

function endOf(body: Buffer): string {
  if (end.body !== body) {
    end.body = body
    end.text = lengthAndBody(body.toString('latin1'))
  }
  return end.text
}

/**
 * Writes an answer in one piece where the connection stays open.
 *
 * @param further lines of headers, each character one byte
 * @returns false: the response is an unusual one, and nothing was written
 */
export function endWithLines(response: ServerResponse, answer: WrittenAnswer, further: string): boolean {
  const { status, body } = answer
  const hasText = body.length <= MAX_TEXT_BYTES && status >= 200 && status !== 204 && status !== 304
  if (!hasText || !isUsual(response)) return false
  const lines = answer.lines ?? headerLinesOf(answer.headers)
  if (lines === undefined) return false
  endWith(response, status, `${lines}${further}`, endOf(body))
  return true
}

/** An answer of a template, until the end of its tick. */
class TemplateAnswer implements WaitingAnswer {
  readonly response: ServerResponse
  readonly #template: AnswerTemplate
  readonly #headers: AnswerHeaders
  readonly #body: string

  constructor(response: ServerResponse, template: AnswerTemplate, headers: AnswerHeaders, body: string) {
    this.response = response
    this.#template = template
    this.#headers = headers
    this.#body = body
  }

  leave(): void {
    if (!this.response.destroyed) this.#template.send(this.response, this.#headers, this.#body)
  }
}

/** Lets an answer leave at the end of its tick, and at once where it has no connection of ours. */
export function leaveSoon(answer: WaitingAnswer): void {
  const { response } = answer
  if ('atEndOfTick' in response) (response as PreparedResponse).atEndOfTick(answer)
  else answer.leave()
}

/** Node writes the header one byte per character: the characters of this text are the bytes of the body in UTF-8. */
const toLatin1 = (body: string): string =>
  Buffer.byteLength(body) === body.length ? body : Buffer.from(body).toString('latin1')

const codes = new WeakMap<ServerResponse, ErrorCode>()

/**
 * Remembers why a request fails, for the log; the first of several reasons counts. Its answer may have no word for it.
 */
export function noteFailure(response: ServerResponse, code: ErrorCode | undefined): void {
  if (code !== undefined && !codes.has(response)) codes.set(response, code)
}

export const failureCodeOf = (response: ServerResponse): ErrorCode | undefined => codes.get(response)

/** Up to this size, discarding a body costs less than a new connection. */
const DISCARDED_BYTES = 128 * 1024

const CLOSE = { connection: 'close' }
const STAYS_OPEN = {}

/**
 * Further headers of an answer that refuses a request before its body was read. The connection ends with the answer,
 * but stays open after an overload where the rest of the body is announced and small: it is discarded as it comes, and
 * the client need not connect again when it tries once more.
 */
export function unreadBodyHeaders({ req }: ServerResponse, error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof OverloadedError) || error.code !== 'overloaded') return CLOSE
  return Number(req.headers['content-length']) <= DISCARDED_BYTES ? STAYS_OPEN : CLOSE
}
