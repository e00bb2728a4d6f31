import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { whenAccepted } from './accepted.js'

/** What has become of a connection: `ended` by the server, or `reset` by it before it has ended it. */
export type Fate = 'open' | 'ended' | 'reset'

/** Where a server listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** A client that sends bytes, and keeps what it receives, one character per byte. */
export class Client {
  received = ''
  fate: Fate = 'open'
  /** In what tick something last happened. */
  lastActivity = 0
  /** By which the server knows this connection. */
  readonly port: number
  readonly #socket: Socket
  readonly #tick: () => number

  private constructor(socket: Socket, tick: () => number) {
    this.#socket = socket
    this.#tick = tick
    this.lastActivity = tick()
    this.port = socket.localPort!
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.received += text
      this.lastActivity = tick()
    })
    socket.on('end', () => this.#ended('ended'))
    socket.on('error', () => this.#ended('reset'))
    socket.on('close', () => this.#ended('reset'))
  }

  /** Resolves when the server has the connection. */
  static async open(address: Address, tick: () => number): Promise<Client> {
    const { host, port } = address
    // The connection stays open for our bytes when the server has ended its half.
    const socket = connect({ host, port, allowHalfOpen: true })
    await once(socket, 'connect')
    const client = new Client(socket, tick)
    await whenAccepted(address, socket)
    return client
  }

  send(bytes: Buffer): void {
    this.lastActivity = this.#tick()
    if (this.#socket.writable) this.#socket.write(bytes)
  }

  end(): void {
    this.lastActivity = this.#tick()
    this.#socket.end()
  }

  leave(): void {
    this.lastActivity = this.#tick()
    this.#socket.destroy()
  }

  /** Leaves no port behind that waits for late bytes, as the one who closes first otherwise does. */
  reset(): void {
    this.lastActivity = this.#tick()
    this.#socket.resetAndDestroy()
  }

  #ended(fate: Fate): void {
    if (this.fate !== 'open') return
    this.fate = fate
    this.lastActivity = this.#tick()
  }
}
