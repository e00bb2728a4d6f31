import type { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { PERSISTED_HEADER } from '../../gateway/persisted.js'

/** The body of a push of which nothing failed. */
const OK_BODY = '{"status":"ok","errors":[]}'
const REQUEST_ID = 'x-request-id'

/** What every answer to a push says in its headers. */
export interface AnswerHeaders {
  readonly requestId: string
  /** Whether the records are in Kafka's log. */
  readonly persisted: string
}

/** A response whose header is known before it is written; the field is Node's own, see {@link Responder.ok}. */
interface PresetResponse {
  _header: string | null
}

/** Writes kprf's answers: the common one as one prebuilt string, all others as Node writes them. */
export class Responder {
  readonly #now: () => number
  #second = -1
  #okStart = ''
  #soon: { readonly response: ServerResponse; readonly headers: AnswerHeaders }[] = []

  constructor(now: () => number) {
    this.#now = now
  }

  /**
   * 200 with no errors. To be called once, and not after the client has left.
   *
   * On a connection that stays open, status line, headers and body leave as one string through `_header`, the field in
   * which Node keeps the header it has built: measured, that costs half of writeHead and end, which escape, check and
   * write them in two pieces. A test for each version of Node pins the field.
   */
  ok(response: ServerResponse, headers: AnswerHeaders): void {
    const socket = response.socket
    if (!response.shouldKeepAlive || response.req.httpVersionMinor !== 1 || !(socket instanceof Socket)) {
      this.send(response, 200, 'application/json', OK_BODY, headers)
      return
    }
    const second = Math.floor(this.#now() / 1_000)
    if (second !== this.#second) this.#refresh(second, socket)
    ;(response as ServerResponse & PresetResponse)._header =
      `${this.#okStart}${headers.persisted}\r\n${REQUEST_ID}: ${headers.requestId}\r\n\r\n${OK_BODY}`
    response.end()
  }

  /**
   * The same at the end of this turn of the event loop, after all requests that have arrived are read. Answers that
   * leave one after another find their reader awake; one written between two reads has to wake it, which costs the
   * system call twice the time. Measured: 4 of 29 µs per request.
   */
  okSoon(response: ServerResponse, headers: AnswerHeaders): void {
    if (this.#soon.push({ response, headers }) === 1) setImmediate(() => this.#answerSoon())
  }

  #answerSoon(): void {
    const soon = this.#soon
    this.#soon = []
    for (const { response, headers } of soon) {
      try {
        if (!response.destroyed) this.ok(response, headers)
      } catch (error) {
        // The others must have their answers; this client learns by its connection.
        response.destroy(error as Error)
      }
    }
  }

  #refresh(second: number, socket: Socket): void {
    this.#second = second
    const keepAliveSeconds = Math.floor(keepAliveMsOf(socket) / 1_000)
    this.#okStart =
      'HTTP/1.1 200 OK\r\n' +
      'content-type: application/json\r\n' +
      `content-length: ${OK_BODY.length}\r\n` +
      `date: ${new Date(second * 1_000).toUTCString()}\r\n` +
      (keepAliveSeconds > 0 ? `keep-alive: timeout=${keepAliveSeconds}\r\n` : '') +
      `connection: keep-alive\r\n${PERSISTED_HEADER}: `
  }

  /** Any answer. `type` undefined: no content type. */
  send(
    response: ServerResponse,
    status: number,
    type: string | undefined,
    body: string,
    { requestId, persisted }: AnswerHeaders,
    further?: Readonly<Record<string, string>>
  ): void {
    if (response.headersSent || response.destroyed) return
    const headers: Record<string, string | number> = {
      ...further,
      [PERSISTED_HEADER]: persisted,
      [REQUEST_ID]: requestId
    }
    if (type !== undefined) headers['content-type'] = type
    headers['content-length'] = Buffer.byteLength(body)
    response.writeHead(status, headers)
    response.end(body)
  }
}

/** How long the server keeps an idle connection; it tells clients, so that they do not send into a closing one. */
const keepAliveMsOf = (socket: Socket): number =>
  (socket as Socket & { server?: { keepAliveTimeout?: number } }).server?.keepAliveTimeout ?? 0
