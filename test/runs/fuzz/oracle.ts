import { createServer, IncomingMessage, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Connection } from '../../../src/http/engine/connection.js'
import { Connections } from '../../../src/http/engine/connections.js'
import { type RequestHead, readHead } from '../../../src/http/engine/head.js'
import type { Served } from '../../../src/http/engine/open-requests.js'
import type { EngineRequest } from '../../../src/http/engine/request.js'
import { isWebsocketRequest } from '../../../src/http/engine/upgrade.js'
import type { Address } from './client.js'

/** The field in which Node keeps whether the head of an answer ends the connection. The types do not have it. */
type DecidedResponse = ServerResponse & { readonly _last?: boolean }

/** Holds what Node's parser says of an upgrade. */
const ASKED = Symbol('asked')

/** What a request needs of its connection. */
interface Accepted {
  readonly holder: Connection
  /** Its requests that are not over. */
  readonly unanswered: OracleRequest[]
}

const accepted = new WeakMap<Duplex, Accepted>()

/** A request that Node's parser has read, with what the handlers of Castellan ask of one. Nothing of it is counted. */
class OracleRequest extends IncomingMessage {
  readonly holder: Connection
  readonly guard: Served['guard']
  readonly #unanswered: OracleRequest[]
  readonly address: Connection['address']
  readonly heldBytes = 0
  readonly isOpenEnded = false
  readonly owner = undefined
  isOver = true
  receivedAt: number | undefined
  response: DecidedResponse | undefined
  #isUpgrade: boolean | undefined
  #isWaiting = false
  #keepsAlive = false
  #onOver: (() => void)[] = []
  #onReceived: (() => void) | undefined

  constructor(socket: Socket) {
    super(socket)
    const { holder, unanswered } = accepted.get(socket)!
    this.holder = holder
    holder.silence = holder.served.silence
    this.#unanswered = unanswered
    this.guard = holder.served.guard
    this.address = holder.address
    holder.receiving = this.#counted
  }

  get #counted(): EngineRequest {
    return this as unknown as EngineRequest
  }

  /** Node's parser writes here that the headers ask for another protocol, and then reads whether to detach the connection. */
  get upgrade(): boolean {
    if ((this as { [ASKED]?: boolean | null })[ASKED] !== true) return false
    return (this.#isUpgrade ??=
      this.method === 'CONNECT' || (isWebsocketRequest(this) && this.holder.openRequests === 0))
  }

  // The base class of the parser sets it before the fields of this class exist.
  set upgrade(asked: boolean | null) {
    ;(this as { [ASKED]?: boolean | null })[ASKED] = asked
  }

  /** Nobody gets the connection. */
  get offer(): EngineRequest['offer'] {
    return this.upgrade ? { take: () => undefined } : undefined
  }

  get hasBody(): boolean {
    return Number(this.headers['content-length'] ?? 0) > 0 || this.headers['transfer-encoding'] !== undefined
  }

  get isRead(): boolean {
    return this.isOver || this.readableFlowing === true
  }

  get isAnswerBegun(): boolean {
    return this.response?.headersSent === true
  }

  get isAnswered(): boolean {
    return this.response?.writableEnded === true
  }

  /** Whether requests behind it get no answer. */
  get isLast(): boolean {
    return this.response?._last === true
  }

  begin(response: ServerResponse): void {
    this.isOver = false
    this.response = response
    this.holder.begin()
    this.#unanswered.push(this)
    response.on('close', () => this.over())
  }

  waitForContinue(response: ServerResponse): void {
    this.#isWaiting = true
    this.#keepsAlive = response.shouldKeepAlive
    response.shouldKeepAlive = false
  }

  override read(size?: number): Buffer | null {
    if (this.#isWaiting && (size !== 0 || this.listenerCount('readable') > 0)) this.#sayContinue()
    return super.read(size) as Buffer | null
  }

  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk === null) this.#received()
    else if (this.isRead) this.#sayContinue()
    return this.isOver && chunk !== null ? true : super.push(chunk, encoding)
  }

  #received(): void {
    this.receivedAt = performance.now()
    this.#onReceived?.()
    if (this.isOver) this.holder.changed()
  }

  #sayContinue(): void {
    const { response } = this
    if (!this.#isWaiting || this.isOver || response === undefined) return
    this.#isWaiting = false
    if (response.headersSent || response.destroyed || this.holder.isBroken(this.#counted)) return
    response.shouldKeepAlive = this.#keepsAlive
    response.writeContinue()
  }

  over(): void {
    if (this.isOver) return
    this.isOver = true
    this.#unanswered.splice(this.#unanswered.indexOf(this), 1)
    this.holder.end(this.#counted)
    this.#onReceived?.()
    for (const over of this.#onOver) over()
  }

  connectionEnded(): void {
    this.over()
    if (!this.complete && !this.destroyed) this.destroy()
    const { response } = this
    process.nextTick(() => {
      if (response === undefined || response.closed) return
      response.destroyed = true
      response.emit('close')
    })
  }

  endConnection(): void {
    this.#keepsAlive = false
    if (this.response !== undefined) this.response.shouldKeepAlive = false
  }

  whenOver(over: () => void): void {
    if (this.isOver) over()
    else this.#onOver.push(over)
  }

  whenReceived(received: () => void): void {
    this.#onReceived = received
  }

  whenUpgraded(): void {}
  whenRefused(): void {}
  keepTurn(): void {}
  endTurn(): void {}
  hold(): void {}
  letGo(): void {}
  refuse(): void {}
}

const ignore = (): void => {}
const limits = { maxHeaderBytes: 1_000, maxHeaders: 10 }
const ANY_HEAD = readHead(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n\r\n'), 0, limits) as RequestHead

/** What the gateway's connection must not do to a socket that Node reads. */
const LEFT_TO_NODE: Readonly<Record<string, () => void>> = { pause: ignore, resume: ignore, setTimeout: ignore }

/** The socket as the gateway's connection gets it: that hears of its end alone, and discards bytes behind its last answer. */
function shielded(socket: Socket, maxDiscardedBytes: number): Socket {
  let isEnded = false
  const own: Readonly<Record<string, unknown>> = {
    ...LEFT_TO_NODE,
    on: (event: string, listener: () => void) => event === 'close' && socket.on('close', listener),
    end: (text?: string) => {
      if (text === undefined) socket.end()
      else socket.end(text)
      if (!isEnded) discard(socket, maxDiscardedBytes)
      isEnded = true
    }
  }
  return new Proxy(socket, {
    get: (_, name: string) => {
      const value = own[name] ?? Reflect.get(socket, name, socket)
      return typeof value === 'function' ? value.bind(socket) : value
    },
    set: (_, name, value) => Reflect.set(socket, name, value, socket)
  })
}

function discard(socket: Socket, maxBytes: number): void {
  let leftBytes = maxBytes
  // Node's parser must not see the bytes: it would hand on requests that cannot be answered.
  socket.removeAllListeners('data')
  socket.on('data', ({ length }) => {
    leftBytes -= length
    if (leftBytes < 0) socket.pause()
  })
  socket.resume()
  // Where Node's parser had stopped reading, the stream itself does not know, and would wait.
  socket.push('')
}

const CLIENT_ERRORS = new Map<string | undefined, Parameters<Connection['broken']>[0]>([
  ['HPE_HEADER_OVERFLOW', '431 Request Header Fields Too Large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', '408 Request Timeout'],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', '413 Payload Too Large']
])

/** The status of the answer to a head that Node's parser takes, and that a server must refuse. */
function problemOf({ rawHeaders, httpVersion }: IncomingMessage, maxHeaders: number): RequestHead['refusal'] {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 505
  if (rawHeaders.length > maxHeaders * 2) return 431
  const names = rawHeaders.filter((_, at) => at % 2 === 0).map(name => name.toLowerCase())
  const countOf = (name: string): number => names.filter(each => each === name).length
  const isLacking = countOf('host') === 0 && httpVersion === '1.1'
  return countOf('host') > 1 || countOf('authorization') > 1 || isLacking ? 400 : undefined
}

function createOracle({ limits: { maxHeaders, maxHeaderBytes, ...times } }: Connections): Server {
  const server = createServer({
    IncomingMessage: OracleRequest as unknown as typeof IncomingMessage,
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: times.headersTimeoutMs,
    requestTimeout: times.requestTimeoutMs,
    keepAliveTimeout: times.keepAliveTimeoutMs,
    insecureHTTPParser: false,
    requireHostHeader: false
  })
  server.maxHeadersCount = 0
  server.timeout = times.socketTimeoutMs
  const handle = (request: OracleRequest, response: ServerResponse, head: Partial<RequestHead> = {}): void => {
    const { holder, unanswered } = accepted.get(request.socket)!
    const isBehindLast = unanswered.some(({ isLast }) => isLast)
    // Node's parser hides errors after an upgrade that was not granted, so the connection must end.
    if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false
    const refusal = head.refusal ?? problemOf(request, maxHeaders)
    if (isBehindLast) request.begin(response)
    else
      holder.handle(request as never, Object.assign(response, { asServerResponse: response }) as never, {
        ...ANY_HEAD,
        ...head,
        refusal
      })
  }
  server.on('request', handle)
  server.on('checkContinue', (request: OracleRequest, response) => handle(request, response, { isWaiting: true }))
  server.on('checkExpectation', (request: OracleRequest, response) => handle(request, response, { refusal: 417 }))
  server.on('upgrade', (request: OracleRequest, socket: Socket) => {
    const response = new ServerResponse(request)
    response.assignSocket(socket)
    response.on('finish', () => {
      socket.resume()
      socket.destroySoon()
    })
    handle(request, response)
  })
  server.on('connect', (_: IncomingMessage, socket: Duplex) => {
    const date = `Date: ${new Date().toUTCString()}`
    if (socket.writable)
      socket.end(
        `HTTP/1.1 405 Method Not Allowed\r\nallow: GET, POST\r\n${date}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`
      )
    accepted.get(socket)!.holder.linger()
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const { holder } = accepted.get(socket)!
    // A paused parser has lost bytes, so what it reads later must not be taken for the rest of a body.
    if (error.code === 'HPE_PAUSED') socket.destroy()
    else holder.broken(CLIENT_ERRORS.get(error.code) ?? '400 Bad Request')
  })
  return server
}

/** By port; `undefined`: no connection has come yet. */
const oracles = new Map<number, { readonly served: Served; readonly server: Server } | undefined>()
const { accept } = Connections.prototype
Connections.prototype.accept = function acceptByOracle(this: Connections, socket: Socket, served: Served): void {
  const { localPort = 0 } = socket
  // A server of a later test may have the port.
  if (oracles.has(localPort) && (oracles.get(localPort)?.served ?? served) !== served) oracles.delete(localPort)
  if (!oracles.has(localPort)) {
    accept.call(this, socket, served)
    return
  }
  const { server } = oracles.get(localPort) ?? { server: createOracle(this) }
  oracles.set(localPort, { served, server })
  // Node removes its own listener for CONNECT.
  socket.on('error', ignore)
  const holder = this.open(shielded(socket, this.limits.maxBodyBytes), served)
  const unanswered: OracleRequest[] = []
  socket.once('close', () => {
    for (const request of [...unanswered]) request.connectionEnded()
  })
  accepted.set(socket, { holder, unanswered })
  server.emit('connection', socket)
}

/** Has `node:http` read the connections of a server, in place of the engine that is compared with it. */
export const serveByNode = ({ port }: Address): void => void oracles.set(port, undefined)
