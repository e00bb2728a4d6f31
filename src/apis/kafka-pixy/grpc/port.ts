import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { toListenError } from '../../../core/listen-error.js'
import type { SharedTls } from '../../../http/api/api.js'
import type { CountedCalls, CountedConnection } from '../../../http/exchange/other-protocols.js'

/** Time limit of the TLS handshake. */
const HANDSHAKE_TIMEOUT_MS = 10_000
const HTTP2 = 'h2'
const SETTINGS = { hostSetting: 'apis.kafka-pixy.grpcHost', portSetting: 'apis.kafka-pixy.grpcPort' }

/** A connection of the gRPC port, those during the TLS handshake included. */
export interface GrpcConnection {
  readonly counted: CountedConnection
  /** The socket that carries HTTP/2: that of TLS, or the raw one without TLS. */
  readonly socket: Socket
}

export interface GrpcPortOptions {
  /** Further connections are closed at once. */
  readonly maxConnections: number
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
  readonly #server: Server
  readonly #calls: CountedCalls
  readonly #accept: (socket: Socket) => void
  /** By address and port of the peer, as grpc-js writes them. */
  readonly #open = new Map<string, GrpcConnection>()

  constructor({ maxConnections, calls, tls, accept }: GrpcPortOptions) {
    this.#calls = calls
    this.#accept = accept
    this.#server = tls ? secureServer(tls, socket => this.#secured(socket)) : createServer({ noDelay: true })
    // Not by the server's own limit: a worker would hand the connection back to the process that shares the port.
    this.#server.on('connection', (socket: Socket) => {
      if (this.#open.size < maxConnections) return this.#arrived(socket, tls !== undefined)
      socket.destroy()
      calls.refusedConnection()
    })
  }

  get connections(): number {
    return this.#open.size
  }

  /** The connection of a call. */
  connectionOf(peer: string): GrpcConnection | undefined {
    return this.#open.get(peer)
  }

  /** @throws ListenError naming the setting to change when the address cannot be used */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', error => reject(toListenError(error, { host, port, ...SETTINGS })))
      this.#server.listen(port, host, () => resolve((this.#server.address() as { port: number }).port))
    })
  }

  /** Accepts no further connection. */
  drain(): void {
    this.#server.close()
  }

  /** Cuts all connections. */
  cut(): void {
    for (const { socket } of this.#open.values()) socket.destroy()
  }

  #arrived(socket: Socket, isSecure: boolean): void {
    // Without a listener an error of a connection would end the process.
    socket.on('error', () => undefined)
    const counted = this.#calls.connection(socket)
    // The limit per address may have refused the connection.
    if (socket.destroyed) return
    const peer = peerOf(socket)
    this.#open.set(peer, { counted, socket })
    socket.once('close', () => {
      if (this.#open.get(peer)?.counted === counted) this.#open.delete(peer)
    })
    if (!isSecure) this.#accept(socket)
  }

  #secured(socket: Socket): void {
    const peer = peerOf(socket)
    const connection = this.#open.get(peer)
    if (connection === undefined) socket.destroy()
    else {
      this.#open.set(peer, { ...connection, socket })
      this.#accept(socket)
    }
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
