import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { Cluster } from './cluster.js'
import { Connection } from './connection.js'

/** One broker: a port, and the connections to it. */
export class Node {
  readonly nodeId: number
  readonly #host: string
  readonly #connections = new Set<Connection>()
  #server: Server | undefined
  #port: number

  constructor(nodeId: number, host: string, port: number) {
    this.nodeId = nodeId
    this.#host = host
    this.#port = port
  }

  /** The real one once it listens, kept over restarts. */
  get port(): number {
    return this.#port
  }

  async listen(cluster: Cluster): Promise<void> {
    const server = createServer(socket => this.#accept(socket, cluster))
    server.listen(this.#port, this.#host)
    await once(server, 'listening')
    this.#server = server
    this.#port = (server.address() as { port: number }).port
  }

  /** Cuts every connection and frees the port. */
  async stop(): Promise<void> {
    const server = this.#server
    if (!server) return
    this.#server = undefined
    const closed = new Promise<void>(resolve => server.close(() => resolve()))
    for (const connection of [...this.#connections]) connection.kill()
    await closed
  }

  #accept(socket: Socket, cluster: Cluster): void {
    if (!this.#server) return void socket.destroy()
    const connection: Connection = new Connection(socket, cluster, this.nodeId, () =>
      this.#connections.delete(connection)
    )
    this.#connections.add(connection)
  }
}
