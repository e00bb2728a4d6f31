import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { type ListenAddress, ListenError, toListenError } from '../../core/listen-error.js'
import type { Connections } from '../engine/connections.js'
import type { Served } from '../engine/open-requests.js'
import type { Certificates } from './certificates.js'

/**
 * Connections that may wait to be accepted; operating systems allow fewer, Linux as many as `net.core.somaxconn`. Node's default
 * is 511: of some thousand clients that connect while the event loop is busy, Linux resets those beyond it.
 */
const BACKLOG = 4_096

/** While draining, connections are closed that are idle at two looks one after the other. */
const IDLE_SWEEP_MS = 50

const PLAIN = { allowHalfOpen: true, noDelay: true }

/** A port or a unix socket on which requests arrive. */
export class Listener {
  readonly #server: Server
  readonly #scheme: 'http' | 'https'
  readonly #connections: Connections
  /** Connections during their TLS handshake, by address and port of the peer: after it the socket is another object. */
  readonly #handshakes = new Map<string, Socket>()
  readonly #served: Served
  #isInherited = false
  #closed: Promise<void> | undefined

  /** @param certificates for TLS; absent: plain HTTP */
  constructor(maxConnections: number, served: Served, connections: Connections, certificates?: Certificates) {
    this.#scheme = certificates ? 'https' : 'http'
    this.#server = certificates
      ? createSecureServer(connections.limits.headersTimeoutMs, certificates)
      : createServer(PLAIN)
    this.#connections = connections
    this.#server.on('connection', (socket: Socket) => connections.enter(socket))
    if (certificates) this.#watchHandshakes()
    this.#served = served
    const event = certificates ? 'secureConnection' : 'connection'
    this.#server.on(event, (socket: Socket) => connections.accept(socket, served))
    this.#server.maxConnections = maxConnections
    this.#server.on('drop', () => connections.refused('all'))
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
      else if (address.fd !== undefined) {
        this.#isInherited = true
        this.#server.listen({ fd: address.fd })
      } else this.#server.listen({ port: address.port, host: address.host, backlog: BACKLOG })
    })
    if ('unixSocket' in address) return `unix:${address.unixSocket}`
    const { port } = address.fd === undefined ? (this.#server.address() as AddressInfo) : this.#inherited(address)
    return `${this.#scheme}://${address.host.includes(':') ? `[${address.host}]` : address.host}:${port}`
  }

  /** @throws ListenError when the inherited socket listens elsewhere than the settings say */
  #inherited({ host, port, hostSetting, portSetting }: Exclude<ListenAddress, { unixSocket: string }>): AddressInfo {
    const found = this.#server.address() as AddressInfo | string
    const isThere = typeof found === 'object' && isSameHost(found.address, host) && (port === 0 || found.port === port)
    if (isThere) return found
    this.#server.close()
    const where = typeof found === 'string' ? found : `${found.address} port ${found.port}`
    throw new ListenError(
      `the socket that was handed over (LISTEN_FDS) listens on ${where}, and the settings say ${host} port ${port}; give the same address to both, by ${hostSetting} and ${portSetting}`
    )
  }

  #watchHandshakes(): void {
    this.#server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      this.#handshakes.set(peer, socket)
      socket.once('close', () => {
        if (this.#handshakes.get(peer) === socket) this.#handshakes.delete(peer)
      })
    })
    this.#server.on('secureConnection', (socket: Socket) => this.#handshakes.delete(peerOf(socket)))
  }

  /** Stops accepting where others have the same socket. Requests in progress are finished. */
  leave(): void {
    if (this.#isInherited) void this.#close()
  }

  /** Stops accepting; resolves when the last connection has ended. Requests in progress are finished. */
  async drain(): Promise<void> {
    if (!this.#server.listening && this.#closed === undefined) return
    // Node reads its sockets after its timers. What has come while the process was busy must count before the look.
    const sweep = setInterval(() => setImmediate(() => this.#connections.closeIdle(this.#served)), IDLE_SWEEP_MS)
    const closed = this.#close()
    this.#connections.closeIdle(this.#served)
    for (const socket of this.#handshakes.values()) socket.destroy()
    this.#connections.leaveUpgraded()
    await closed
    clearInterval(sweep)
    await this.#connections.closedOf(this.#served)
  }

  /** @returns when the last connection has ended */
  #close(): Promise<void> {
    this.#closed ??= new Promise(resolve => this.#server.close(() => resolve()))
    return this.#closed
  }

  cut(): void {
    this.#connections.cut(this.#served)
  }
}

const isSameHost = (bound: string, host: string): boolean =>
  bound === host || (host === 'localhost' && (bound === '127.0.0.1' || bound === '::1'))

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

/** The time limit of the handshake is part of the time limit for the headers. */
function createSecureServer(handshakeTimeout: number, certificates: Certificates): Server {
  const server = createTlsServer({ noDelay: true, ...certificates.options, handshakeTimeout })
  // A handshake that fails, or takes too long, leaves its connection open otherwise.
  server.on('tlsClientError', (_, socket) => void socket.destroy())
  certificates.serve(server)
  return server
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
