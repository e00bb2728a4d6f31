import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/**
 * After a standstill TCP sends again what was lost, and the end of a connection that its sender has closed meanwhile no earlier
 * than a round trip later.
 */
const ROUND_TRIP_MS = 50

export type Direction = 'toServer' | 'toClient'

/** One connection through the proxy. Bytes that stand still come later, in order, also when their sender has closed meanwhile. */
export class ProxiedConnection {
  readonly #held = new Set<Direction>()
  readonly #waiting: Record<Direction, (Buffer | 'end')[]> = { toServer: [], toClient: [] }
  readonly #ends: Record<Direction, Socket>

  /** @param onBytes is told of bytes before they go on, and may hold the connection */
  constructor(client: Socket, server: Socket, onBytes: (direction: Direction, bytes: Buffer) => void) {
    this.#ends = { toServer: server, toClient: client }
    for (const [from, direction] of [
      [client, 'toServer'],
      [server, 'toClient']
    ] as const) {
      let hasEnded = false
      const end = (): void => {
        if (!hasEnded) this.#pass(direction, 'end')
        hasEnded = true
      }
      from.on('data', bytes => {
        onBytes(direction, bytes)
        this.#pass(direction, bytes)
      })
      from.on('end', end).on('close', end)
      from.on('error', () => undefined)
    }
  }

  hold(...directions: readonly Direction[]): void {
    for (const direction of directions) this.#held.add(direction)
  }

  release(): void {
    this.#held.clear()
    for (const direction of ['toServer', 'toClient'] as const) {
      for (const what of this.#waiting[direction].splice(0)) {
        if (what === 'end') setTimeout(() => this.#send(direction, what), ROUND_TRIP_MS)
        else this.#send(direction, what)
      }
    }
  }

  /** Ends it on both sides, whatever stands still. */
  cut(): void {
    this.#ends.toClient.destroy()
    this.#ends.toServer.destroy()
  }

  #pass(direction: Direction, what: Buffer | 'end'): void {
    if (this.#held.has(direction)) this.#waiting[direction].push(what)
    else this.#send(direction, what)
  }

  #send(direction: Direction, what: Buffer | 'end'): void {
    const socket = this.#ends[direction]
    if (!socket.writable) return
    if (what === 'end') socket.end()
    else socket.write(what)
  }
}

/**
 * A TCP proxy on loopback whose connections can stand still: what was sent arrives later, as on a network that loses its way for
 * a while.
 */
export class HoldingProxy {
  readonly connections = new Set<ProxiedConnection>()
  /** Told of bytes before they go on. */
  onBytes: (connection: ProxiedConnection, direction: Direction, bytes: Buffer) => void = () => undefined
  readonly #server: Server
  #held: readonly Direction[] = []

  private constructor(server: Server) {
    this.#server = server
  }

  /** @param listen default: any free port of 127.0.0.1 */
  static async start(
    target: { readonly host?: string; readonly port: number },
    listen: { readonly host?: string; readonly port?: number } = {}
  ): Promise<HoldingProxy> {
    const proxy: HoldingProxy = new HoldingProxy(
      createServer({ allowHalfOpen: true }, client => {
        const server = connect({ host: target.host ?? '127.0.0.1', port: target.port, allowHalfOpen: true })
        const connection: ProxiedConnection = new ProxiedConnection(client, server, (direction, bytes) =>
          proxy.onBytes(connection, direction, bytes)
        )
        connection.hold(...proxy.#held)
        proxy.connections.add(connection)
        server.on('close', () => proxy.connections.delete(connection))
      })
    )
    proxy.#server.listen(listen.port ?? 0, listen.host ?? '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** All connections stand still, those that are opened later too. */
  hold(...directions: readonly Direction[]): void {
    this.#held = directions
    for (const connection of this.connections) connection.hold(...directions)
  }

  release(): void {
    this.#held = []
    for (const connection of this.connections) connection.release()
  }

  async close(): Promise<void> {
    for (const connection of this.connections) connection.cut()
    this.#server.close()
    if (this.#server.listening) await once(this.#server, 'close')
  }
}
