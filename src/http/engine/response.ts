import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { noop } from '../../core/ending.js'
import type { RecordBudget } from '../../core/record-budget.js'
import { GivingAnswer } from './giving-answer.js'
import { asServerResponse, QuietEmitter, type ResponseState } from './lazy-streams.js'
import type { AnswersHost, WaitingAnswer } from './open-requests.js'
import type { EngineRequest } from './request.js'
import { CHUNKED, type GivenHeaders, isWithoutBody, toAnswerHead } from './response-head.js'

/** A part of an answer, as it goes to the socket. */
export interface Piece {
  readonly data: string | Uint8Array
  readonly encoding: BufferEncoding
  /** Called when the operating system has all of the data; not where the connection ends before. */
  readonly done?: Callback | undefined
}

/** A connection is not read while this many bytes of its answers wait for the client. */
const MAX_OUTPUT_BYTES = 64 * 1024
/** More of an answer that no budget holds is not kept. */
const MAX_UNHELD_BYTES = 64 * 1024
/** Smaller answers need no budget. */
export const SMALL_BYTES = 8 * 1024

/** Told of each answer above {@link SMALL_BYTES} that no budget holds: set by tests, where none may be. */
export const unheldAnswers: { told: ((request: EngineRequest, sizeBytes: number) => void) | undefined } = {
  told: undefined
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
  /** True once nothing more can be written. */
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
  /** Bytes of its body that are made when those before them have left. */
  restBytes = 0
  /** Whether a budget holds its bytes until they have left. */
  isHeld = false
  /** Bytes of it that no budget holds, since all that was written had left. */
  unheldBytes = 0
  /** Absent: what the answer brings is not lost where it does not reach the client. */
  giving: GivingAnswer | undefined
  /** The answer to the next request of the connection, until this one has left. */
  next: EngineResponse | undefined
  /** Pieces that were written before the answer's turn. */
  kept: Piece[] | undefined
  readonly #line: AnswerLine
  #onTurn: (() => void) | undefined
  /** Headers with their names as given, by name in lower case. */
  #headers: Map<string, readonly [name: string, value: OutgoingHttpHeader]> | undefined
  /** The head, until it is written together with the first piece of the body. */
  #head: string | undefined
  #isChunked = false

  constructor(line: AnswerLine, request: EngineRequest, mayStayOpen = true) {
    super()
    this.shouldKeepAlive = mayStayOpen
    this.#line = line
    this.req = request
  }

  /** Fastify and our handlers use no other members of Node's answers than this one has. */
  get asServerResponse(): ServerResponse {
    return asServerResponse(this)
  }

  /** `null`: earlier answers come first, or the answer is over. */
  get socket(): Socket | null {
    return this.#line.isTurnOf(this) ? this.#line.socket : null
  }

  /** The budget of all large answers. `undefined`: the server counts none. */
  get budget(): RecordBudget | undefined {
    return this.#line.context.records
  }

  /** Idle connections are closed after this. */
  get keepAliveTimeoutMs(): number {
    return this.#line.context.keepAliveTimeoutMs
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
    this.#line.write(this, [{ data: 'HTTP/1.1 100 Continue\r\n\r\n', encoding: 'latin1' }], false)
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
      this.#line.context
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
      process.nextTick(callback ?? noop, new Error(this.finished ? 'write after end' : 'the answer was destroyed'))
      return false
    }
    if (!this.headersSent) this.#makeHead()
    const pieces = this.#hasBody ? this.#toPieces(chunk, encoding, callback) : undefined
    if (callback && !pieces?.length) process.nextTick(callback)
    return pieces === undefined || this.#write(pieces, false)
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
    this.#line.write(this, [{ data: text, encoding: 'latin1' }], true)
    this.req.answered()
  }

  atEndOfTick(answer: WaitingAnswer): void {
    this.#line.context.atEndOfTick(answer)
  }

  /** The request begins to wait for what its answer gives away. See {@link GivingAnswer}. */
  givesAway(): void {
    if (!this.closed)
      this.giving = new GivingAnswer(
        this.#line.context,
        lastByte => this.#line.writeKept(this, lastByte),
        this.#line.isRead
      )
  }

  /** Calls back when all earlier answers have left; at once where they have. Not where the connection ends before. */
  atTurn(run: () => void): void {
    if (this.#line.isTurnOf(this)) run()
    else this.#onTurn = run
  }

  /** Called by the connection when all earlier answers have left. */
  turn(): void {
    const run = this.#onTurn
    this.#onTurn = undefined
    run?.()
  }

  /** Ends the connection, because its client takes the answer too slowly. */
  endUnread(): void {
    if (this.destroyed) return
    this.#line.context.endedUnread({ socket: this.#line.socket, unreadBytes: this.#line.waitingBytes })
    this.destroy()
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    this.#line.socket.destroy(error)
    return this
  }

  /** Called by the connection when the answer was sent, or can no longer be sent. */
  over(isWritten: boolean): void {
    if (this.closed) return
    this.writableFinished = isWritten
    if (isWritten) this.emit('finish')
    this.closed = true
    this.destroyed = true
    this.giving?.over()
    this.req.over()
    this.emit('close')
  }

  #toPieces(chunk: string | Uint8Array, encoding: BufferEncoding, done?: Callback): Piece[] {
    const piece = { data: chunk, encoding, done }
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
    const keepsUp = this.#line.write(this, pieces, isEnd)
    this.needsDrain = !keepsUp
    return keepsUp
  }
}

/** What reads the requests of a connection. */
interface ConnectionReader {
  /** Whether the socket is being read. */
  readonly isRead: boolean
  goOn(): void
}

/** The answers of one connection, which leave in the order of their requests. */
export class AnswerLine {
  readonly socket: Socket
  readonly context: AnswersHost
  readonly #reader: ConnectionReader
  /** The first answer that was not sent; the others follow it. A list would be made again for every request. */
  #first: EngineResponse | undefined
  /** The first answer that was not written as a whole. Only this one writes to the socket. */
  #writing: EngineResponse | undefined
  #last: EngineResponse | undefined
  #keptBytes = 0
  #isCorked = false
  #isEnded = false
  #hasLast = false
  /** The answer until which the client may be there, although it sends nothing more. */
  #outlasting: EngineResponse | undefined
  /** Number of answers that have begun and not ended. */
  #streams = 0

  /** @param reader goes on after each answer that was sent, and when the client keeps up again */
  constructor(socket: Socket, context: AnswersHost, reader: ConnectionReader) {
    this.socket = socket
    this.context = context
    this.#reader = reader
  }

  get isEmpty(): boolean {
    return this.#first === undefined
  }

  /** Whether the socket is being read. */
  get isRead(): boolean {
    return this.#reader.isRead
  }

  /** Whether an answer ends the connection, even if it still waits for its turn: later requests get no answer. */
  get hasLast(): boolean {
    return this.#hasLast
  }

  get waitingBytes(): number {
    return this.socket.writableLength + this.#keptBytes + this.restBytes
  }

  /** Bytes of answers that no budget holds and the client has not taken. */
  get unheldBytes(): number {
    let bytes = 0
    for (let one = this.#first; one !== undefined; one = one.next) if (!one.isHeld) bytes += one.unheldBytes
    return Math.min(bytes, this.waitingBytes)
  }

  /** Bytes of the answer that leaves, as far as they are not made. */
  get restBytes(): number {
    return this.#writing?.restBytes ?? 0
  }

  /** Whether so much waits, for the client or for earlier answers, that no further request is read. */
  get isFull(): boolean {
    return this.waitingBytes >= MAX_OUTPUT_BYTES
  }

  /** Whether an answer has begun and not ended: it may go on for as long as it likes. */
  get isStreaming(): boolean {
    return this.#streams > 0
  }

  /** Whether all earlier answers were sent, not only written to the socket. */
  isTurnOf(response: EngineResponse): boolean {
    return this.#first === response && this.#writing === response
  }

  add(response: EngineResponse): void {
    if (this.#last === undefined) this.#first = response
    else this.#last.next = response
    this.#last = response
    this.#writing ??= response
  }

  /** @returns whether the client keeps up */
  write(response: EngineResponse, pieces: Piece[], isEnd: boolean): boolean {
    if (this.#isEnded || !this.socket.writable) return false
    if (!response.isHeld && this.context.records !== undefined && this.#isTooLarge(response, pieces)) return false
    if (response.isLast) this.#hasLast = true
    // Pieces before the head are no part of the answer.
    if (response.headersSent && response.isStreamed === isEnd) {
      response.isStreamed = !isEnd
      this.#streams += isEnd ? -1 : 1
    }
    if (this.#writing !== response) return this.#keep(response, pieces)
    const keepsUp = this.#writeNow(response, pieces, isEnd)
    if (isEnd) this.#advance()
    return keepsUp
  }

  /**
   * Whether more of an answer that no budget holds would be kept than may be. Its connection ends then: a door that takes no
   * room for a large answer cannot fill the memory.
   */
  #isTooLarge(response: EngineResponse, pieces: readonly Piece[]): boolean {
    if (this.#writing === response && this.socket.writableLength === 0) response.unheldBytes = 0
    for (const { data } of pieces) response.unheldBytes += data.length
    const sizeBytes = response.unheldBytes
    if (sizeBytes > SMALL_BYTES) unheldAnswers.told?.(response.req, sizeBytes)
    if (sizeBytes <= MAX_UNHELD_BYTES) return false
    this.context.unheld(response.req)
    this.socket.destroy()
    return true
  }

  /** Another protocol takes the place of the only answer. */
  forget(): void {
    this.#first = this.#writing = this.#last = undefined
  }

  close(): void {
    let response = this.#first
    this.forget()
    while (response !== undefined) {
      const { next } = response
      response.next = response.kept = undefined
      response.req.abort()
      response.over(false)
      response = next
    }
  }

  #writeNow(response: EngineResponse, pieces: readonly Piece[], isEnd: boolean): boolean {
    if (pieces.length > 1 || response.next !== undefined) this.#cork()
    const tail = pieces.at(-1) ?? NOTHING
    // If the last piece has a callback of its own, which is rare, an empty piece follows for the end.
    const last = !isEnd ? undefined : tail.done === undefined ? tail : NOTHING
    for (const piece of pieces) if (piece !== last) this.socket.write(piece.data, piece.encoding, piece.done)
    if (last !== undefined) {
      const rest = response.giving?.rest(last)
      if (rest === undefined) this.#writeLast(response, last)
      else this.socket.write(rest)
    }
    return !this.socket.writableNeedDrain
  }

  #writeLast(response: EngineResponse, { data, encoding }: Piece): void {
    this.#writing = response.next
    this.#isEnded = response.isLast
    this.socket.write(data, encoding, this.#written)
  }

  /** Writes the last byte of an answer, which was kept. */
  writeKept(response: EngineResponse, lastByte: Uint8Array): void {
    // A connection whose both sides have ended closes by itself.
    if (!this.socket.writable) return
    this.#writeLast(response, { data: lastByte, encoding: 'latin1' })
    this.#advance()
  }

  /** The client sends nothing more. @returns whether it may be there, so that the answer that leaves is to be written */
  outlastsEnd(): boolean {
    this.#outlasting = this.#writing?.giving?.ended() === true ? this.#writing : undefined
    return this.#outlasting !== undefined
  }

  /** Makes the socket send the pieces of one tick together. */
  #cork(): void {
    if (this.#isCorked) return
    this.#isCorked = true
    this.socket.cork()
    process.nextTick(() => {
      this.#isCorked = false
      this.socket.uncork()
    })
  }

  readonly #written = (error?: Error | null): void => {
    // The connection closes after an error. Where a reset has come first, Node tells of none although the bytes did not leave.
    const response = this.#first
    if (error || this.socket.destroyed || response === undefined || response === this.#writing) return
    this.#first = response.next
    if (this.#first === undefined) this.#last = undefined
    response.next = undefined
    // Node does this first, too: the handlers below must not write behind the last answer.
    if (response.isLast) this.socket.destroySoon()
    response.over(true)
    if (this.#outlasting === response) this.socket.end()
    if (!this.#isEnded && this.#first === this.#writing) this.#first?.turn()
    this.#reader.goOn()
  }

  #keep(response: EngineResponse, pieces: readonly Piece[]): boolean {
    ;(response.kept ??= []).push(...pieces)
    for (const { data } of pieces) this.#keptBytes += data.length
    return this.#keptBytes < MAX_OUTPUT_BYTES
  }

  /** Writes the pieces that the next answers have kept until their turn. */
  #advance(): void {
    for (let next = this.#writing; next !== undefined && !this.#isEnded; next = this.#writing) {
      const { kept } = next
      if (kept !== undefined) {
        next.kept = undefined
        for (const { data } of kept) this.#keptBytes -= data.length
        this.#writeNow(next, kept, next.finished)
      }
      if (kept === undefined || !next.finished) {
        this.#wake(next)
        return
      }
    }
  }

  /** The socket has nothing more to write. */
  drained(): void {
    if (this.#writing !== undefined) this.#wake(this.#writing)
    this.#reader.goOn()
  }

  #wake(response: EngineResponse): void {
    if (!response.needsDrain || this.socket.writableNeedDrain) return
    response.needsDrain = false
    response.emit('drain')
  }
}

const NOTHING: Piece = { data: '', encoding: 'latin1' }

const sent = (what: string): Error =>
  Object.assign(new Error(`Cannot ${what} headers after they are sent to the client`), {
    code: 'ERR_HTTP_HEADERS_SENT'
  })

const lengthOf = (body: string | Uint8Array | undefined, encoding: BufferEncoding): number =>
  body === undefined ? 0 : typeof body === 'string' ? Buffer.byteLength(body, encoding) : body.byteLength
