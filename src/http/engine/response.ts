import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { QuietEmitter, type ResponseState } from '../exchange/kept-response.js'
import type { EngineRequest } from './request.js'
import { CHUNKED, type GivenHeaders, type HeadContext, isWithoutBody, toAnswerHead } from './response-head.js'

/** A part of an answer, as it goes to the socket. */
export interface Piece {
  readonly data: string | Uint8Array
  readonly encoding: BufferEncoding
}

/** The part of its connection that an answer uses. */
export interface ResponseConnection extends HeadContext {
  readonly socket: Socket
  /** Whether all earlier answers were sent. */
  isTurnOf(response: EngineResponse): boolean
  /**
   * Writes pieces of an answer, now or when it is its turn.
   *
   * @param isEnd whether the answer ends with them
   * @returns whether the client keeps up
   */
  write(response: EngineResponse, pieces: readonly Piece[], isEnd: boolean): boolean
}

type Callback = (error?: Error | null) => void

/** An answer with the properties of Node's own answers, as far as Fastify and handlers use them. */
export class EngineResponse extends QuietEmitter implements ResponseState {
  readonly req: EngineRequest
  statusCode = 200
  statusMessage: string | undefined
  shouldKeepAlive: boolean
  /** True after the end of the answer or of its connection. */
  destroyed = false
  closed = false
  /** Nothing further is written. */
  finished = false
  /** All of it has been passed to the operating system. */
  writableFinished = false
  headersSent = false
  /** Whether the connection ends with this answer. */
  isLast = false
  /** Whether it has begun and not ended, as the connection sees it. */
  isStreamed = false
  /** Whether `drain` is due. */
  needsDrain = false
  /** The answer to the next request of the connection, until this one has left. */
  next: EngineResponse | undefined
  /** What it has written before its turn. */
  kept: Piece[] | undefined
  readonly #connection: ResponseConnection
  /** Headers with their names as given, by name in lower case. */
  #headers: Map<string, readonly [name: string, value: OutgoingHttpHeader]> | undefined
  /** The head, until it is written together with the first piece of the body. */
  #head: string | undefined
  #isChunked = false

  constructor(connection: ResponseConnection, request: EngineRequest, mayStayOpen = true) {
    super()
    this.shouldKeepAlive = mayStayOpen
    this.#connection = connection
    this.req = request
  }

  /** Fastify and our handlers use no other members of Node's answers than this one has. */
  get asServerResponse(): ServerResponse {
    return this as ResponseState as ServerResponse
  }

  /** `null`: earlier answers come first, or the answer is over. */
  get socket(): Socket | null {
    return this.#connection.isTurnOf(this) ? this.#connection.socket : null
  }

  /** Idle connections are closed after this. */
  get keepAliveTimeoutMs(): number {
    return this.#connection.keepAliveTimeoutMs
  }

  get writable(): boolean {
    return !this.destroyed
  }

  get writableEnded(): boolean {
    return this.finished
  }

  get writableNeedDrain(): boolean {
    return this.needsDrain && !this.destroyed && !this.finished
  }

  setHeader(name: string, value: OutgoingHttpHeader): this {
    if (this.headersSent) throw sent('set')
    this.#headers ??= new Map()
    this.#headers.set(name.toLowerCase(), [name, value])
    return this
  }

  getHeader(name: string): OutgoingHttpHeader | undefined {
    return this.#headers?.get(name.toLowerCase())?.[1]
  }

  hasHeader(name: string): boolean {
    return this.#headers?.has(name.toLowerCase()) === true
  }

  getHeaders(): OutgoingHttpHeaders {
    const entries = [...(this.#headers ?? [])].map(([key, [, value]]) => [key, value] as const)
    return Object.assign(Object.create(null), Object.fromEntries(entries))
  }

  removeHeader(name: string): void {
    if (this.headersSent) throw sent('remove')
    this.#headers?.delete(name.toLowerCase())
  }

  /** Asks the client for the body. */
  writeContinue(): void {
    this.#connection.write(this, [{ data: 'HTTP/1.1 100 Continue\r\n\r\n', encoding: 'latin1' }], false)
  }

  flushHeaders(): void {
    if (!this.headersSent) this.writeHead(this.statusCode)
    this.#write([], false)
  }

  writeHead(status: number, reasonOrHeaders?: string | GivenHeaders, headers?: GivenHeaders): this {
    if (this.headersSent) throw sent('write')
    const reason = typeof reasonOrHeaders === 'string' ? reasonOrHeaders : undefined
    this.statusCode = status
    if (reason !== undefined) this.statusMessage = reason
    this.#makeHead(headers ?? (reason === undefined ? (reasonOrHeaders as GivenHeaders | undefined) : undefined))
    return this
  }

  /** @param bodyBytes the length of the whole body, where it is known */
  #makeHead(given: GivenHeaders = {}, bodyBytes?: number): void {
    const head = toAnswerHead(
      this.#allHeaders(given),
      {
        status: this.statusCode,
        reason: this.statusMessage,
        hasBody: this.#hasBody,
        mayChunk: this.#mayChunk,
        mayStayOpen: this.shouldKeepAlive,
        bodyBytes
      },
      this.#connection
    )
    this.#head = head.text
    this.#isChunked = head.isChunked
    this.isLast = head.isLast
    this.headersSent = true
  }

  #allHeaders(given: GivenHeaders): GivenHeaders {
    if (this.#headers === undefined) return given
    if (Array.isArray(given)) for (let i = 0; i < given.length; i += 2) this.setHeader(String(given[i]), given[i + 1])
    else for (const [name, value] of Object.entries(given)) this.setHeader(name, value as OutgoingHttpHeader)
    return [...this.#headers.values()].flat() as OutgoingHttpHeader[]
  }

  get #mayChunk(): boolean {
    return this.req.httpVersionMinor === 1 || CHUNKED.test(String(this.req.headers['te']))
  }

  get #hasBody(): boolean {
    return this.req.method !== 'HEAD' && !isWithoutBody(this.statusCode)
  }

  write(chunk: string | Uint8Array, encodingOrDone?: BufferEncoding | Callback | null, done?: Callback): boolean {
    const encoding = typeof encodingOrDone === 'string' ? encodingOrDone : 'utf8'
    const callback = typeof encodingOrDone === 'function' ? encodingOrDone : done
    if (this.finished || this.destroyed) {
      process.nextTick(callback ?? ignore, new Error(this.finished ? 'write after end' : 'the answer was destroyed'))
      return false
    }
    if (!this.headersSent) this.#makeHead()
    if (callback) process.nextTick(callback)
    return this.#hasBody ? this.#write(this.#toPieces(chunk, encoding), false) : true
  }

  end(
    chunk?: string | Uint8Array | Callback | null,
    encodingOrDone?: BufferEncoding | Callback | null,
    done?: Callback | null
  ): this {
    const body =
      typeof chunk === 'function' || chunk === null || chunk === undefined || chunk.length === 0 ? undefined : chunk
    const encoding = typeof encodingOrDone === 'string' ? encodingOrDone : 'utf8'
    const callback = [chunk, encodingOrDone, done].find(one => typeof one === 'function') as Callback | undefined
    if (this.finished || this.destroyed) return this
    if (callback !== undefined) this.once('finish', callback)
    if (!this.headersSent) this.#makeHead({}, lengthOf(body, encoding))
    const pieces = body === undefined || !this.#hasBody ? [] : this.#toPieces(body, encoding)
    if (this.#isChunked && this.#hasBody) pieces.push({ data: '0\r\n\r\n', encoding: 'latin1' })
    this.finished = true
    this.#write(pieces, true)
    this.req.answered()
    return this
  }

  /**
   * Writes a whole answer whose head is known: the connection stays open behind it.
   *
   * @param text head and body, each character one byte
   */
  endPrepared(text: string): void {
    this.headersSent = true
    this.finished = true
    this.#connection.write(this, [{ data: text, encoding: 'latin1' }], true)
    this.req.answered()
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    this.#connection.socket.destroy(error)
    return this
  }

  /** Called by the connection when the answer was sent, or can no longer be sent. */
  over(isWritten: boolean): void {
    if (this.closed) return
    this.writableFinished = isWritten
    if (isWritten) this.emit('finish')
    this.closed = true
    this.destroyed = true
    this.req.over()
    this.emit('close')
  }

  #toPieces(chunk: string | Uint8Array, encoding: BufferEncoding): Piece[] {
    const piece = { data: chunk, encoding }
    if (!this.#isChunked) return [piece]
    const bytes = lengthOf(chunk, encoding)
    if (bytes === 0) return []
    return [{ data: `${bytes.toString(16)}\r\n`, encoding: 'latin1' }, piece, { data: '\r\n', encoding: 'latin1' }]
  }

  #write(pieces: Piece[], isEnd: boolean): boolean {
    const head = this.#head
    if (head !== undefined) {
      this.#head = undefined
      pieces.unshift({ data: head, encoding: 'latin1' })
    }
    const keepsUp = this.#connection.write(this, pieces, isEnd)
    this.needsDrain = !keepsUp
    return keepsUp
  }
}

const ignore = (): void => {}

const sent = (what: string): Error =>
  Object.assign(new Error(`Cannot ${what} headers after they are sent to the client`), {
    code: 'ERR_HTTP_HEADERS_SENT'
  })

const lengthOf = (body: string | Uint8Array | undefined, encoding: BufferEncoding): number =>
  body === undefined ? 0 : typeof body === 'string' ? Buffer.byteLength(body, encoding) : body.byteLength
