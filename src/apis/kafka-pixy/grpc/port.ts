import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { toListenError } from '../../../core/listen-error.js'
import type { SharedTls } from '../../../http/api/api.js'
import type { CountedCalls } from '../../../http/exchange/other-protocols.js'
import { type GrpcConnection, GrpcConnections } from './connections.js'

/** Time limit of the TLS handshake. */
const HANDSHAKE_TIMEOUT_MS = 10_000
const HTTP2 = 'h2'
const SETTINGS = { hostSetting: 'apis.kafka-pixy.grpcHost', portSetting: 'apis.kafka-pixy.grpcPort' }

export interface GrpcPortOptions {
  readonly maxConnections: number
  /** How long a new connection may take until it speaks HTTP/2. */
  readonly prefaceMs: number
  /** Counts connections and calls for the limits of `http`. */
  readonly calls: CountedCalls
  /** Absent: the port does not speak TLS. */
  readonly tls: SharedTls | undefined
  /** Serves HTTP/2 on a connection, after its handshake. */
  readonly accept: (socket: Socket) => void
}

/**
 * The port of the gRPC service. It is not opened by grpc-js, which neither limits connections nor exchanges certificates
 * while it serves.
 */
export class GrpcPort {
  readonly connections: GrpcConnections
  readonly #server: Server
  readonly #accept: (socket: Socket) => void
  /** Connections by address and port of the peer, as grpc-js writes them. */
  readonly #byPeer = new Map<string, GrpcConnection>()
  readonly #isSecure: boolean

  constructor({ maxConnections, prefaceMs, calls, tls, accept }: GrpcPortOptions) {
    this.connections = new GrpcConnections(maxConnections, prefaceMs, calls)
    this.#accept = accept
    this.#isSecure = tls !== undefined
    this.#server = tls ? secureServer(tls, socket => this.#secured(socket)) : createServer({ noDelay: true })
    this.#server.on('connection', (socket: Socket) => this.#arrived(socket))
  }

  /** The connection of a call. */
  connectionOf(peer: string): GrpcConnection | undefined {
    return this.#byPeer.get(peer)
  }

  /** @throws ListenError naming the setting to change when the address cannot be used */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', error => reject(toListenError(error, { host, port, ...SETTINGS })))
      this.#server.listen(port, host, () => resolve((this.#server.address() as { port: number }).port))
    })
  }

  /** Accepts no further connection, and ends those that do not speak HTTP/2 yet. */
  drain(): void {
    this.#server.close()
    for (const connection of this.connections) if (!connection.hasSpoken) connection.cut()
  }

  /** Cuts all connections. */
  cut(): void {
    for (const connection of this.connections) connection.cut()
  }

  #arrived(socket: Socket): void {
    // Without a listener an error of a connection would end the process.
    socket.on('error', () => undefined)
    const connection = this.connections.add(socket)
    if (connection === undefined) return
    const peer = peerOf(socket)
    this.#byPeer.set(peer, connection)
    socket.once('close', () => {
      if (this.#byPeer.get(peer) === connection) this.#byPeer.delete(peer)
    })
    if (!this.#isSecure) this.#speak(connection)
  }

  #secured(socket: Socket): void {
    const connection = this.#byPeer.get(peerOf(socket))
    if (connection === undefined) {
      socket.destroy()
      return
    }
    connection.secured(socket)
    this.#speak(connection)
  }

  #speak(connection: GrpcConnection): void {
    this.connections.awaitPreface(connection)
    this.#accept(connection.socket)
  }
}

function secureServer(tls: SharedTls, accept: (socket: Socket) => void): Server {
  const options = { ...tls.options, ALPNProtocols: [HTTP2], handshakeTimeout: HANDSHAKE_TIMEOUT_MS, noDelay: true }
  const server = createTlsServer(options, socket => {
    socket.on('error', () => undefined)
    if (socket.alpnProtocol === HTTP2) accept(socket)
    else socket.destroy()
  })
  server.on('tlsClientError', (_, socket) => socket.destroy())
  tls.serve(server)
  return server
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress}:${remotePort}`
