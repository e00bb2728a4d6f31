import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import type { ServedCluster } from './cluster.js'
import { ClientConnection } from './connection.js'

/** One broker: a port, and the connections to it. */
export class Node {
  readonly nodeId: number
  readonly #host: string
  readonly #tls: TlsOptions | undefined
  readonly #all: ServedCluster['connections']
  readonly #connections = new Set<ClientConnection>()
  readonly #sockets = new Set<Socket>()
  /** Sockets of clients that connected before the cluster was complete. */
  #early: Socket[] = []
  #cluster: ServedCluster | undefined
  #server: Server | undefined
  #port: number

  constructor(nodeId: number, host: string, port: number, all: ServedCluster['connections'], tls?: TlsOptions) {
    this.#all = all
    this.nodeId = nodeId
    this.#tls = tls
    this.#host = host
    this.#port = port
  }

  /** The port. After `listen` it is the actual port, which stays the same over restarts. */
  get port(): number {
    return this.#port
  }

  /** @param port a new port; default: the former port */
  async listen(port = this.#port): Promise<void> {
    this.#port = port
    const accept = (socket: Socket) => this.#accept(socket)
    const server = this.#tls ? createTlsServer(this.#tls, accept) : createServer(accept)
    // A TLS server reports a socket only after its handshake, but a stop must also close sockets before this.
    server.on('connection', (socket: Socket) => {
      if (this.#all.taken >= this.#all.most) return void socket.destroy()
      this.#all.taken++
      this.#sockets.add(socket)
      socket.on('close', () => this.#forget(socket))
    })
    server.listen(this.#port, this.#host)
    await once(server, 'listening')
    this.#server = server
    this.#port = (server.address() as { port: number }).port
  }

  serve(cluster: ServedCluster): void {
    this.#cluster = cluster
    for (const socket of this.#early.splice(0)) this.#accept(socket)
  }

  /** Closes every connection and frees the port. */
  async stop(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    this.#cluster = undefined
    for (const socket of this.#early.splice(0)) socket.destroy()
    const closed = new Promise<void>(resolve => server.close(() => resolve()))
    for (const connection of [...this.#connections]) connection.kill()
    for (const socket of [...this.#sockets]) {
      socket.destroy()
      this.#forget(socket)
    }
    await closed
  }

  #forget(socket: Socket): void {
    if (this.#sockets.delete(socket)) this.#all.taken--
  }

  #accept(socket: Socket): void {
    socket.on('error', () => {})
    if (socket.destroyed) return
    const cluster = this.#cluster
    if (!this.#server) return void socket.destroy()
    if (!cluster) return void this.#early.push(socket)
    const closed = () => this.#connections.delete(connection)
    const connection: ClientConnection = new ClientConnection(socket, cluster, this.nodeId, closed)
    this.#connections.add(connection)
  }
}
