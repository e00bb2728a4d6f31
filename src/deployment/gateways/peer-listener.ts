import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { NOTHING } from '../../core/bytes.js'
import { addCount } from '../../core/counts.js'
import { HeldAmount } from '../../core/held-amount.js'
import { inTime } from '../../core/in-time.js'
import { toListenError } from '../../core/listen-error.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger } from '../../core/model.js'
import { MAX_BODY_BYTES } from '../calls/call.js'
import { type PeerCall, type PeerHandler, toPeerFailure } from '../calls/peers.js'
import { decodeBody, encodeBody } from './body.js'
import {
  ANSWERED_BY,
  FROM_HEADER,
  MARGIN_MS,
  type PeerToken,
  SERVES_HEADER,
  TIMEOUT_HEADER,
  TO_HEADER
} from './peer-token.js'

/** Status of an answer: the call failed, and the body says why. */
export const FAILED = 500
/** The call names another process: the called one has ended, and this one has its address. */
export const OTHER_PROCESS = 421
export const NO_ANSWER_IN_TIME = 504
export const TOO_MANY_CALLS = 503
export const OK = 200
export const REFUSED = 403

/** Path of calls; the name of the message follows. */
export const CALL_PATH = '/call/'
/** The path that asks a process for its id. */
export const HELLO_PATH = '/hello'

const MAX_CONNECTIONS = 4_096
const MAX_CONNECTIONS_OF_ADDRESS = 1_024
/** Calls and bytes of one caller that may be in progress. */
const MAX_CALLS_OF_CALLER = 1_024
const MAX_BYTES_OF_CALLER = 4 * MAX_BODY_BYTES
const MAX_TIMEOUT_MS = 600_000
const HEADERS_TIMEOUT_MS = 5_000
const REQUEST_TIMEOUT_MS = 60_000
const KEEP_ALIVE_MS = 30_000
/** Longer answers may wait in this process for a caller that does not read. */
const LONG_BYTES = 65_536
const LATE: CallAnswer = { status: NO_ANSWER_IN_TIME, answer: NOTHING }

export interface PeerListenerDeps {
  readonly id: string
  readonly token: PeerToken
  /** The certificate of this gateway, and the authorities of the others. Absent: no TLS. */
  readonly tls: PeerTls | undefined
  /** `HOST:PORT` */
  readonly listen: string
  readonly isAllowed: (address: string) => boolean
  readonly servedAs: (name: string) => ServedCall | undefined
  /** Optional features that this process serves. */
  readonly features: () => Iterable<string>
  /** Called when a gateway asks for the id of this one. */
  readonly onHello: (from: string) => void
  readonly log: Logger
  readonly metrics: MetricsLogger
}

export interface ServedCall {
  readonly handle: PeerHandler<string>
  /** Longer bodies are refused before they are decoded. */
  readonly maxBytes: number
}

/** Certificates and key in PEM. */
export interface PeerTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
}

type RefusedFor = 'address' | 'token'

interface CallAnswer {
  readonly status: number
  readonly answer: Buffer
}

interface CallerUse {
  readonly calls: HeldAmount
  readonly bytes: HeldAmount
}

const noUse = (): CallerUse => ({
  calls: new HeldAmount('calls of a gateway'),
  bytes: new HeldAmount('bytes of calls of a gateway')
})

/** Splits `HOST:PORT`; an IPv6 address is written in brackets. */
export function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const at = text.lastIndexOf(':')
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
}

/**
 * The listener for calls of other gateways. A call has the token of all gateways, which is compared before the body is read, so
 * that others cannot fill the memory; the connection of a call without it is closed. With TLS a caller needs a certificate, too.
 */
export class PeerListener {
  readonly #deps: PeerListenerDeps
  readonly #server: Server
  readonly #connections = new Map<string, number>()
  readonly #uses = new Map<string, CallerUse>()

  private constructor(deps: PeerListenerDeps) {
    this.#deps = deps
    const { tls } = deps
    const limits = {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: HEADERS_TIMEOUT_MS,
      noDelay: true
    }
    this.#server = tls
      ? createTlsServer({ ...limits, ...tls, requestCert: true, handshakeTimeout: HEADERS_TIMEOUT_MS })
      : createServer(limits)
    this.#server.maxConnections = MAX_CONNECTIONS
    this.#server.on('connection', socket => this.#connected(socket))
    this.#server.on('clientError', (_error, socket) => socket.destroy())
    this.#server.on('request', (request, response) => {
      // A broken connection ends the request; its caller notices.
      request.on('error', () => undefined)
      response.on('error', () => undefined)
      void this.#serve(request, response).catch(() => request.socket.destroy())
    })
  }

  /** @throws ListenError */
  static async start(deps: PeerListenerDeps): Promise<PeerListener> {
    const listener = new PeerListener(deps)
    const { host, port } = hostAndPort(deps.listen)
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', (error: NodeJS.ErrnoException) => {
        reject(toListenError(error, { host, port, hostSetting: 'peers.listen', portSetting: 'peers.listen' }))
      })
      listener.#server.listen({ host, port }, resolve)
    })
    listener.#server.on('error', error => deps.log.error({ err: error }, 'the listener for other gateways failed'))
    return listener
  }

  /** `HOST:PORT`, with the port that is in use. */
  get address(): string {
    const { port } = this.#server.address() as AddressInfo
    return `${this.#deps.listen.slice(0, this.#deps.listen.lastIndexOf(':'))}:${port}`
  }

  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  #connected(socket: Socket): void {
    const { remoteAddress: address } = socket
    const count = address === undefined ? 0 : (this.#connections.get(address) ?? 0)
    if (address === undefined || count >= MAX_CONNECTIONS_OF_ADDRESS || !this.#deps.isAllowed(address)) {
      this.#warn(address, 'address', 'its address is outside of peers.networks, or has too many connections')
      socket.destroy()
      return
    }
    addCount(this.#connections, address, 1)
    socket.once('close', () => addCount(this.#connections, address, -1))
  }

  #warn(address: string | undefined, what: RefusedFor, reason: string): void {
    this.#deps.metrics.count('peers', 'refused_requests', { reason: what })
    this.#deps.log.warn({ address, reason }, 'a request to the listener for other gateways was refused')
  }

  #refuse(request: IncomingMessage, response: ServerResponse): void {
    const reason = 'its token is wrong or absent: compare peers.token; earlier builds have none'
    this.#warn(request.socket.remoteAddress, 'token', reason)
    response.writeHead(REFUSED, { connection: 'close', 'content-length': 0 }).end()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url = '', headers } = request
    const { id, token } = this.#deps
    if (!token.isIn(headers)) return this.#refuse(request, response)
    const from = String(headers[FROM_HEADER] ?? '')
    if (url === HELLO_PATH) {
      this.#deps.onHello(from)
      return this.#answer(request, response, OK, NOTHING, { [SERVES_HEADER]: [...this.#deps.features()].join(',') })
    }
    if (headers[TO_HEADER] !== id) return this.#answer(request, response, OTHER_PROCESS, NOTHING)
    const length = Number(headers['content-length'])
    const use = this.#uses.get(from) ?? noUse()
    const isFull = use.calls.value >= MAX_CALLS_OF_CALLER || use.bytes.value + length > MAX_BYTES_OF_CALLER
    if (!(length <= MAX_BODY_BYTES) || isFull) {
      return this.#answer(request, response, TOO_MANY_CALLS, NOTHING)
    }
    this.#uses.set(from, use)
    use.calls.add(1)
    use.bytes.add(length)
    let handled: Promise<unknown> = Promise.resolve()
    try {
      const body = await bodyOf(request, length)
      const timeoutMs = Math.min(MAX_TIMEOUT_MS, Math.max(1, Number(headers[TIMEOUT_HEADER]) || 1))
      const answering = this.#handle(url, body, { from, timeoutMs })
      handled = answering
      const { status, answer } = await inTime(answering, timeoutMs, () => LATE)
      this.#answer(request, response, status, answer)
      if (answer.length > LONG_BYTES) endUnread(response, timeoutMs + MARGIN_MS)
    } finally {
      // A call whose caller no longer waits still uses this process.
      void handled.finally(() => {
        use.calls.release(1)
        use.bytes.release(length)
        if (use.calls.value === 0) this.#uses.delete(from)
      })
    }
  }

  /** Never rejects. */
  async #handle(url: string, body: Buffer, call: PeerCall<string>): Promise<CallAnswer> {
    try {
      const name = url.startsWith(CALL_PATH) ? decodeURIComponent(url.slice(CALL_PATH.length)) : ''
      this.#deps.log.debug({ from: call.from, name }, 'another gateway calls')
      const served = this.#deps.servedAs(name)
      if (served === undefined) throw new Error(`${name} is not served`)
      if (body.length > served.maxBytes) throw new Error(`the body of ${name} is too large`)
      const answer = encodeBody(await served.handle(decodeBody(body), call))
      if (answer.length > MAX_BODY_BYTES) throw new Error(`the answer to ${name} is too large`)
      return { status: OK, answer }
    } catch (error) {
      return { status: FAILED, answer: encodeBody(toPeerFailure(error)) }
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse, status: number, body: Buffer, more = {}): void {
    // A body that is not read would be taken for the next request.
    const isShort = Number(request.headers['content-length']) <= MAX_BODY_BYTES
    if (isShort) request.resume()
    response.writeHead(status, {
      ...(!isShort && { connection: 'close' }),
      ...more,
      'content-length': body.length,
      [ANSWERED_BY]: this.#deps.id
    })
    response.end(body)
  }
}

/** An answer that has not left in time is of no use any more: its caller stands still, or has given up. */
function endUnread(response: ServerResponse, afterMs: number): void {
  const timer = setTimeout(() => response.destroy(), afterMs).unref()
  response.once('close', () => clearTimeout(timer))
}

/** @throws Error when the connection ends before the body, or the body is longer than announced */
export async function bodyOf(message: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of message as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) throw new Error('the body is too large')
    chunks.push(chunk)
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
}
