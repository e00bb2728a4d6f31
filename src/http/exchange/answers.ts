import { type ServerResponse, STATUS_CODES } from 'node:http'
import { type ErrorCode, OverloadedError } from '../../core/errors.js'
import type { RecordFailure } from '../../core/model.js'
import { PERSISTED_HEADER, persistedText } from '../../gateway/persisted.js'
import { RECEIPT_HEADER } from '../../gateway/receipts.js'
import { compress, isCompressible, varyOf } from './compressed-answer.js'
import { receiptOf } from './exchange.js'
import { KeptParts } from './kept-parts.js'
import { KeptResponse, linesOf, type WrittenAnswer } from './kept-response.js'
import {
  type Cause,
  certaintyOfKnown,
  type Known,
  outcomesAnswer,
  PROBLEM_TYPE,
  problemAnswer,
  wantsModern
} from './modern-answers.js'

const REQUEST_ID = 'x-request-id'
const NO_CONTENT = 204

/** The header that says what a client should know or change, where the body is that of an older system. */
export const WARNING_HEADER = 'x-castellan-warning'

/** The first record that failed. */
export const firstFailureOf = (known: readonly Known[]): RecordFailure | undefined =>
  known.find((one): one is RecordFailure => one !== 'pending' && one.type === 'failed')

/** Facts in the headers of every answer to a produce request. */
export interface AnswerHeaders {
  readonly requestId: string
  /** Whether the records are in Kafka's log; `undefined` for answers to other requests. */
  readonly persisted: string | undefined
  /** Why the request failed as a whole, for a modern answer. */
  readonly cause?: Cause | undefined
}

/** Writes answers to requests that were taken from Fastify. */
export class Answers {
  readonly #now: () => number
  readonly #soon = new AtEndOfTick(sendSoonAnswer)

  /** @param now epoch milliseconds, for the header `date` */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Prepares an answer that is given often. */
  template(status: number, type: string): AnswerTemplate {
    return new AnswerTemplate(this, status, type, this.#soon, this.#now)
  }

  /**
   * Any answer, written as Node does. Does nothing when there is an answer already or the client has left. A failure of
   * a produce request becomes a problem document when the client asks for modern answers.
   *
   * @param type `undefined`: no content type
   */
  send(
    response: ServerResponse,
    status: number,
    type: string | undefined,
    body: string | Buffer,
    { requestId, persisted, cause }: AnswerHeaders,
    further?: Readonly<Record<string, string | readonly string[]>>
  ): void {
    if (response.headersSent || response.destroyed) return
    noteFailure(response, cause?.code)
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
    const write = (body: string | Buffer, coding?: string): void => {
      if (response.headersSent || response.destroyed) return
      if (coding !== undefined) headers['content-encoding'] = coding
      // Source: RFC 9110, section 8.6.
      if (status !== NO_CONTENT) headers['content-length'] = Buffer.byteLength(body)
      response.writeHead(status, headers)
      response.end(body)
    }
    if (persisted === undefined && isCompressible(type, body.length)) {
      headers.vary = varyOf(response)
      if (compress(response.req, body, write)) return
    }
    write(body)
  }

  /** The modern answer to a produce request, whatever its API. */
  outcomes({ response, requestId }: Answered, known: readonly Known[]): void {
    const { status, type, body } = outcomesAnswer(known)
    noteFailure(response, firstFailureOf(known)?.code)
    this.send(response, status, type, body, { requestId, persisted: persistedText(known.map(certaintyOfKnown)) })
  }
}

/** Node does not promise to leave a list as it is. */
const fieldOf = (value: string | readonly string[]): string | string[] =>
  typeof value === 'string' ? value : [...value]

/** The response to which an answer is written. */
interface Answered {
  readonly response: ServerResponse
  readonly requestId: string
}

/** A response of a connection, which takes head and body as one text. */
interface PreparedResponse extends ServerResponse {
  readonly keepAliveTimeoutMs: number
  /** @param text each character one byte */
  endPrepared(text: string): void
}

/** An answer whose status and content type are known beforehand. */
export class AnswerTemplate {
  readonly #answers: Answers
  readonly #status: number
  readonly #type: string
  readonly #soon: AtEndOfTick<SoonAnswer>
  readonly #common: CommonHeaders
  readonly #start: SharedStart
  readonly #kept: KeptParts

  constructor(answers: Answers, status: number, type: string, soon: AtEndOfTick<SoonAnswer>, now: () => number) {
    this.#answers = answers
    this.#status = status
    this.#type = type
    this.#soon = soon
    this.#common = new CommonHeaders(now)
    this.#kept = new KeptParts(status, type)
    this.#start = new SharedStart(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: ${type}\r\n`)
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
    // The answer for a key gets a connection, and headers of that, when it leaves.
    if (response instanceof KeptResponse && this.#status < 400) {
      response.keep(this.#kept.answer(headers.persisted, receiptOf(response.req), body))
      return
    }
    const mayCompress = headers.persisted === undefined && isCompressible(this.#type, body.length)
    if (!isUsual(response) || mayCompress) {
      this.#answers.send(response, this.#status, this.#type, body, headers)
      return
    }
    const bytes = toLatin1(body)
    const start = this.#start.of(this.#common.of(response), headers.persisted, bytes.length)
    const receipt = receiptOf(response.req)
    const lines = receipt === undefined ? ID_LINE : `${RECEIPT_LINE}${receipt}${ID_LINE}`
    endWith(response, this.#status, `${start}${lines}${headers.requestId}\r\n\r\n${bytes}`)
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
    else this.#soon.add({ template: this, response, headers, body })
  }
}

/**
 * The connection stays open behind the answer, and no header is added to it: the answer to a web page may have further
 * ones. An answer that waits for earlier ones has no socket.
 */
function isUsual(response: ServerResponse | PreparedResponse): response is PreparedResponse {
  if (!('endPrepared' in response) || response.socket === null) return false
  const { shouldKeepAlive, req } = response
  return shouldKeepAlive && req.httpVersionMinor === 1 && req.method !== 'HEAD' && req.headers.origin === undefined
}

/** @param text head and body, each character one byte */
function endWith(response: PreparedResponse, status: number, text: string): void {
  response.statusCode = status
  response.endPrepared(text)
}

/** The headers `date`, `keep-alive` and `connection`, which many answers of a second share, without the end of the last line. */
class CommonHeaders {
  readonly #now: () => number
  #text = ''
  #second = -1
  #keepAliveMs = -1

  constructor(now: () => number) {
    this.#now = now
  }

  of({ keepAliveTimeoutMs: keepAliveMs }: PreparedResponse): string {
    const second = Math.floor(this.#now() / 1_000)
    if (second !== this.#second || keepAliveMs !== this.#keepAliveMs) {
      this.#second = second
      this.#keepAliveMs = keepAliveMs
      const keepAlive = keepAliveMs < 1_000 ? '' : `keep-alive: timeout=${Math.floor(keepAliveMs / 1_000)}\r\n`
      const date = new Date(second * 1_000).toUTCString()
      this.#text = `date: ${date}\r\n${keepAlive}connection: keep-alive`
    }
    return this.#text
  }
}

const RECEIPT_LINE = `\r\n${RECEIPT_HEADER}: `
const ID_LINE = `\r\n${REQUEST_ID}: `

/**
 * The answers of a second mostly have the same text up to the receipt. A text of pieces is put together anew with each answer
 * that begins with it, so one that is used again is made a whole.
 */
class SharedStart {
  readonly #line: string
  #common = ''
  #persisted: string | undefined
  #bodyBytes = -1
  #text = ''
  #isWhole = false

  /** @param line the status line, and headers that all answers share */
  constructor(line: string) {
    this.#line = line
  }

  /** @returns all but the end of its last line */
  of(common: string, persisted: string | undefined, bodyBytes: number): string {
    if (common !== this.#common || persisted !== this.#persisted || bodyBytes !== this.#bodyBytes) {
      this.#common = common
      this.#persisted = persisted
      this.#bodyBytes = bodyBytes
      const certainty = persisted === undefined ? '' : `\r\n${PERSISTED_HEADER}: ${persisted}`
      this.#text = `${this.#line}content-length: ${bodyBytes}\r\n${common}${certainty}`
      this.#isWhole = false
    } else if (!this.#isWhole) {
      this.#text = Buffer.from(this.#text, 'latin1').toString('latin1')
      this.#isWhole = true
    }
    return this.#text
  }
}

const common = new CommonHeaders(Date.now)
/** Larger bodies are not made texts. */
const MAX_TEXT_BYTES = 16 * 1024

/** A text of pieces is made a whole: it begins or ends many answers. */
const whole = (text: string): string => Buffer.from(text, 'latin1').toString('latin1')

/** The beginning of answers of a second with the same status. */
const start = { status: 0, shared: '', text: '' }

function startOf(status: number, shared: string): string {
  if (start.status !== status || start.shared !== shared) {
    start.status = status
    start.shared = shared
    start.text = whole(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${shared}\r\n`)
  }
  return start.text
}

/** The end of answers with the same body. The answers of a template share their body, which is never written to. */
const end: { body: Buffer | undefined; text: string } = { body: undefined, text: '' }

function endOf(body: Buffer): string {
  if (end.body !== body) {
    end.body = body
    end.text = `content-length: ${body.length}\r\n\r\n${body.toString('latin1')}`
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
  const lines = answer.lines ?? linesOf(answer.headers)
  if (lines === undefined) return false
  endWith(response, status, `${startOf(status, common.of(response))}${lines}${further}${endOf(body)}`)
  return true
}

interface SoonAnswer {
  readonly template: AnswerTemplate
  readonly response: ServerResponse
  readonly headers: AnswerHeaders
  readonly body: string
}

const sendSoonAnswer = ({ template, response, headers, body }: SoonAnswer): void => {
  if (!response.destroyed) template.send(response, headers, body)
}

/** Answers that leave together at the end of a tick. */
export class AtEndOfTick<Answer extends { readonly response: ServerResponse }> {
  readonly #send: (answer: Answer) => void
  #answers: Answer[] = []

  constructor(send: (answer: Answer) => void) {
    this.#send = send
  }

  add(answer: Answer): void {
    if (this.#answers.push(answer) === 1) setImmediate(() => this.#sendAll())
  }

  #sendAll(): void {
    const answers = this.#answers
    this.#answers = []
    for (const answer of answers) {
      try {
        this.#send(answer)
      } catch (error) {
        // The other answers must still leave; this client sees its connection end.
        answer.response.destroy(error as Error)
      }
    }
  }
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

/** `undefined`: no reason was noted. */
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
