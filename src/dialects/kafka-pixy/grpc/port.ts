import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { toListenError } from '../../../listen-error.js'
import type { SharedTls } from '../../dialect.js'

/** Time limit of the TLS handshake. */
const HANDSHAKE_TIMEOUT_MS = 10_000
const HTTP2 = 'h2'
const SETTINGS = { hostSetting: 'dialects.kafka-pixy.grpcHost', portSetting: 'dialects.kafka-pixy.grpcPort' }

export interface GrpcPortOptions {
  readonly maxConnections: number
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
  readonly #options: GrpcPortOptions
  /** Connections that speak HTTP/2, by address and port of the peer as grpc-js writes them. */
  readonly #byPeer = new Map<string, Socket>()
  readonly #open = new Set<Socket>()

  constructor(options: GrpcPortOptions) {
    this.#options = options
    const { tls } = options
    this.#server = tls ? secureServer(tls, socket => this.#accept(socket)) : createServer({ noDelay: true })
    this.#server.on('connection', (socket: Socket) => {
      this.#count(socket)
      if (!tls && !socket.destroyed) this.#accept(socket)
    })
  }

  /** Connections, those during the handshake included. */
  get connections(): number {
    return this.#open.size
  }

  /** The connection of a call. */
  socketOf(peer: string): Socket | undefined {
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
    const speaking = new Set(this.#byPeer.keys())
    for (const socket of this.#open) if (!speaking.has(peerOf(socket))) socket.destroy()
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of [...this.#byPeer.values(), ...this.#open]) socket.destroy()
  }

  #count(socket: Socket): void {
    // Without a listener an error of a connection would end the process.
    socket.on('error', () => undefined)
    if (this.#open.size >= this.#options.maxConnections) {
      socket.destroy()
      return
    }
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
  }

  #accept(socket: Socket): void {
    const peer = peerOf(socket)
    this.#byPeer.set(peer, socket)
    socket.once('close', () => {
      if (this.#byPeer.get(peer) === socket) this.#byPeer.delete(peer)
    })
    this.#options.accept(socket)
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
