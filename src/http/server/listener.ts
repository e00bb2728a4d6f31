import cluster from 'node:cluster'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type ListenAddress, toListenError } from '../../core/listen-error.js'
import { HttpEngine } from '../engine/engine.js'
import type { EngineLimits } from '../engine/engine-user.js'
import type { SilenceLimit } from '../exchange/silence-limit.js'
import type { BrowserGuard } from './browser-guard.js'
import type { Certificates } from './certificates.js'
import type { Connection } from './connection.js'
import type { Connections } from './connections.js'
import { CountingUser } from './counting-user.js'
import type { EngineReport } from './engine-report.js'
import { ReceivedRequest } from './received-request.js'
import type { HttpSettings } from './settings.js'
import { Handshakes, Upgrades } from './untracked-connections.js'

/** Interval in which Node checks for late headers, late bodies and idle connections. */
const CONNECTIONS_CHECKING_INTERVAL_MS = 1_000

/**
 * Connections that may wait to be accepted; operating systems allow fewer, Linux as many as `net.core.somaxconn`. Node's default
 * is 511: of some thousand clients that connect while the event loop is busy, Linux resets those beyond it.
 */
const BACKLOG = 4_096

/** While draining, idle connections are closed at this interval. */
const IDLE_SWEEP_MS = 50

type Limits = Pick<
  HttpSettings,
  | 'engine'
  | 'maxConnections'
  | 'maxHeaderBytes'
  | 'maxHeaders'
  | 'headersTimeoutMs'
  | 'requestTimeoutMs'
  | 'admissionWaitMs'
  | 'keepAliveTimeoutMs'
  | 'socketTimeoutMs'
>

/** As Node names them. */
interface TimeOptions {
  readonly headersTimeout: number
  readonly requestTimeout: number
  readonly keepAliveTimeout: number
}

interface ListenerParts {
  readonly connections: Connections
  readonly guard: BrowserGuard
  readonly engineReport: EngineReport
  /** The time limit for silent clients, on a listener that serves one API only. */
  readonly silence?: SilenceLimit | undefined
}

/** A Node HTTP server with strict parsing and all time limits set: Fastify's own server has none for bodies. */
export class Listener {
  readonly #server: Server
  readonly #scheme: 'http' | 'https'
  readonly #connections: Connections
  readonly #handshakes: Handshakes
  readonly #upgrades = new Upgrades()
  /** Absent: Node reads all requests. */
  readonly #engine: HttpEngine | undefined

  /** @param certificates for TLS; absent: plain HTTP */
  constructor(
    limits: Limits,
    handler: RequestListener,
    { connections, guard, engineReport, silence }: ListenerParts,
    certificates?: Certificates
  ) {
    const receive = receiver(connections, limits.maxHeaders, handler)
    const options = {
      IncomingMessage: requestClass(connections, guard, silence),
      maxHeaderSize: limits.maxHeaderBytes,
      headersTimeout: Math.min(limits.headersTimeoutMs, limits.requestTimeoutMs),
      // A request that waits to be admitted is not read meanwhile.
      requestTimeout: limits.requestTimeoutMs + limits.admissionWaitMs,
      keepAliveTimeout: limits.keepAliveTimeoutMs,
      connectionsCheckingInterval: CONNECTIONS_CHECKING_INTERVAL_MS,
      insecureHTTPParser: false,
      // The check of the head does this, so that every request is checked in one place.
      requireHostHeader: false
    }
    this.#scheme = certificates ? 'https' : 'http'
    this.#server = certificates ? createSecureServer(options, certificates) : createServer(options)
    this.#connections = connections
    this.#handshakes = new Handshakes(connections)
    if (certificates) this.#handshakes.watch(this.#server)
    // Our engine serves plain connections only: with TLS, Node reads and decrypts the socket anyway.
    if (limits.engine === 'castellan' && certificates === undefined) {
      const user = new CountingUser(connections, guard, handler, silence, engineReport)
      this.#engine = new HttpEngine(this.#server, toEngineLimits(limits, options), user)
    }
    const refused = (): void => connections.onConnectionRefused('all')
    if (cluster.isWorker) closeBeyond(limits.maxConnections, this.#server, refused)
    else {
      this.#server.maxConnections = limits.maxConnections
      this.#server.on('drop', refused)
    }
    // Node would hide headers beyond its limit and still obey them. They are counted with the head.
    this.#server.maxHeadersCount = 0
    this.#server.timeout = limits.socketTimeoutMs
    // On a TLS server this counts connections after their handshake; `maxConnections` bounds those before it.
    const connected = certificates ? 'secureConnection' : 'connection'
    if (this.#engine === undefined) {
      this.#server.on(connected, (socket: Socket) => {
        connections.of(socket).silence = silence
        if (certificates !== undefined) parseFromStream(socket)
      })
    }
    this.#server.on('clientError', (error, socket) => answerClientError(error, connections, socket))
    this.#server.on('request', receive)
    this.#server.on('checkExpectation', (request: ReceivedRequest, response: ServerResponse) => {
      begin(request, response)
      const connection = connections.of(request.socket)
      connection.inTurn(request, () => {
        if (!connection.isEnding) refuse(response, 417, connection)
      })
    })
    this.#server.on('checkContinue', (request: ReceivedRequest, response: ServerResponse) => {
      request.waitForContinue(response)
      receive(request, response)
    })
    this.#server.on('upgrade', (request: ReceivedRequest, socket: Socket, head: Buffer) =>
      this.#upgrades.receive(request, socket, head, receive)
    )
    this.#server.on('connect', (_request: IncomingMessage, socket: Duplex) => endConnect(connections, socket as Socket))
  }

  /**
   * Starts listening.
   *
   * @returns the URL, with the port that was chosen when 0 was given
   * @throws ListenError naming the setting to change when the address cannot be used
   */
  async listen(address: ListenAddress): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', error => reject(toListenError(error, address)))
      this.#server.once('listening', resolve)
      if ('unixSocket' in address) listenPrivately(this.#server, address.unixSocket, address.mode)
      else this.#server.listen({ port: address.port, host: address.host, backlog: BACKLOG })
    })
    if ('unixSocket' in address) return `unix:${address.unixSocket}`
    const { port } = this.#server.address() as AddressInfo
    return `${this.#scheme}://${address.host.includes(':') ? `[${address.host}]` : address.host}:${port}`
  }

  /** Stops accepting; resolves when the last connection has ended. Requests in progress are finished. */
  drain(): Promise<void> {
    if (!this.#server.listening) return Promise.resolve()
    return new Promise(resolve => {
      const sweep = setInterval(() => this.#closeIdle(), IDLE_SWEEP_MS)
      // Node closes idle connections along with the server.
      this.#connections.sweep(() =>
        this.#server.close(() => {
          clearInterval(sweep)
          resolve()
        })
      )
      this.#closeIdle()
      this.#handshakes.end()
      this.#upgrades.leave()
    })
  }

  #closeIdle(): void {
    this.#connections.sweep(() => this.#server.closeIdleConnections())
    this.#engine?.closeIdle()
  }

  /** Cuts every connection, whatever its state. */
  cut(): void {
    this.#server.closeAllConnections()
    this.#engine?.cut()
    this.#upgrades.cut()
  }
}

const toEngineLimits = (
  { maxHeaders, maxHeaderBytes, socketTimeoutMs }: Limits,
  { headersTimeout, requestTimeout, keepAliveTimeout }: TimeOptions
): EngineLimits => ({
  maxHeaders,
  maxHeaderBytes,
  socketTimeoutMs,
  headersTimeoutMs: headersTimeout,
  requestTimeoutMs: requestTimeout,
  keepAliveTimeoutMs: keepAliveTimeout
})

/** The time limit of the handshake is part of the time limit for the headers. */
function createSecureServer(
  options: ServerOptions & Pick<TimeOptions, 'headersTimeout'>,
  certificates: Certificates
): Server {
  const handshakeTimeout = options.headersTimeout
  const server = createTlsServer({ ...options, ...certificates.options, handshakeTimeout })
  certificates.serve(server)
  return server
}

/**
 * Lets Node's parser take the bytes of a connection from its stream. With TLS it must not take them from the handle: when an
 * answer of 16 KiB or more has not left, Node pauses the parser, and bytes that were decrypted by then would be lost.
 */
function parseFromStream(socket: Socket): void {
  // Node leaves the handle when there is another listener.
  socket.on('data', ignore)
}

const ignore = (): void => {}

/**
 * Closes connections beyond a limit. `maxConnections` of a server that shares its port with other processes hands them back,
 * and they go round without end when all have as many.
 */
function closeBeyond(maxConnections: number, server: Server, refused: () => void): void {
  let open = 0
  server.on('connection', (socket: Socket) => {
    open++
    socket.once('close', () => open--)
    // One that is closed already is counted by the limit of its address.
    if (open <= maxConnections || socket.destroyed) return
    socket.destroy()
    refused()
  })
}

// The umask belongs to the whole process, but no other code can run before listen() has created the file.
function listenPrivately(server: Server, path: string, mode: string): void {
  const previous = process.umask(0o777 & ~Number.parseInt(mode, 8))
  try {
    server.listen({ path, backlog: BACKLOG })
  } finally {
    process.umask(previous)
  }
}

/** Makes the requests of a server count the bytes of their bodies. */
const requestClass = (
  connections: Connections,
  guard: BrowserGuard,
  silence: SilenceLimit | undefined
): typeof IncomingMessage =>
  class extends ReceivedRequest {
    constructor(socket: Socket) {
      const connection = connections.of(socket)
      // The previous request may have belonged to an API with a limit of its own.
      connection.silence = silence
      super(socket, connection, guard)
    }
  }

/** Counts a request, and passes it on when its head is valid. */
const receiver =
  (connections: Connections, maxHeaders: number, handler: RequestListener) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    const received = request as ReceivedRequest
    begin(received, response)
    // Node's parser hides errors after an upgrade that was not granted, so the connection must end.
    if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false
    const connection = connections.of(request.socket)
    connection.inTurn(received, () => {
      if (connection.isEnding) return
      const status = headProblem(request, maxHeaders)
      if (status === undefined) handler(request, response)
      else refuse(response, status, connection)
    })
  }

function begin(request: ReceivedRequest, response: ServerResponse): void {
  request.begin(response)
  // The event is emitted once only; `once` would wrap the listener for every request.
  response.on('close', endRequest)
}

/** Answers a request, and ends its connection. Requests behind it, which may have come already, get no answer. */
function refuse(response: ServerResponse, status: number, connection: Connection): void {
  connection.isEnding = true
  response.writeHead(status, { connection: 'close', 'content-length': 0 }).end()
}

function endRequest(this: ServerResponse): void {
  ;(this.req as ReceivedRequest).over()
}

const CLIENT_ERRORS = new Map([
  ['HPE_HEADER_OVERFLOW', '431 Request Header Fields Too Large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', '408 Request Timeout'],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', '413 Payload Too Large']
])

/** Answers bytes that are not HTTP or that come too late, once; then the connection ends. */
function answerClientError(error: NodeJS.ErrnoException, connections: Connections, socket: Duplex): void {
  // A failed handshake arrives here as well: there is no connection yet, and no HTTP to answer with.
  const connection = connections.find(socket as Socket)
  // Node says this once for each request. The reader of an open-ended body limits its duration.
  const isOpenEnded = connection?.isReceiving === true && connection.receiving!.isOpenEnded
  if (isOpenEnded && error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return
  // A paused parser has lost bytes, so what it reads later must not be taken for the rest of a body.
  if (connection === undefined || error.code === 'HPE_PAUSED') socket.destroy()
  else connection.endWith(CLIENT_ERRORS.get(error.code ?? '') ?? '400 Bad Request')
}

/** CONNECT is not supported. Node has detached the socket, so earlier requests on it are cut as well. */
function endConnect(connections: Connections, socket: Socket): void {
  if (socket.writable)
    socket.end('HTTP/1.1 405 Method Not Allowed\r\nallow: GET, POST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
  connections.of(socket).linger()
}

const HOST = 'host'
const AUTHORIZATION = 'authorization'

/**
 * Checks the head of a request beyond what the parser checks; returns the status of the answer, or `undefined` when it
 * is valid. It examines the raw headers: Node keeps only one of several `Host` or `Authorization` headers, and a proxy
 * in front may have used another one.
 */
function headProblem(request: IncomingMessage, maxHeaders: number): 400 | 431 | 505 | undefined {
  const { rawHeaders, httpVersion } = request
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return 505
  if (rawHeaders.length > maxHeaders * 2) return 431
  let hosts = 0
  let credentials = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === HOST.length && name.toLowerCase() === HOST) hosts++
    else if (name.length === AUTHORIZATION.length && name.toLowerCase() === AUTHORIZATION) credentials++
  }
  return hosts > 1 || credentials > 1 || (hosts === 0 && httpVersion === '1.1') ? 400 : undefined
}
