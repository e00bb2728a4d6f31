import type { Http2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { CountedCalls, CountedConnection } from '../../../exchange/counted-calls.js'

/** The preface of HTTP/2, and the frame of settings that has to follow it (RFC 9113 3.4). */
const PREFACE_BYTES = 24 + 9
/** How long a connection may take to end whose place another one needs. */
const CLOSING_MS = 1_000

/** A connection of the gRPC port, those during the TLS handshake included. */
export class GrpcConnection {
  readonly counted: CountedConnection
  readonly #raw: Socket
  #secure: Socket | undefined
  #session: Http2Session | undefined
  #calls = 0
  #served = 0

  constructor(raw: Socket, counted: CountedConnection) {
    this.#raw = raw
    this.counted = counted
  }

  /** The key under which its address is counted. */
  get address(): string {
    return this.counted.addressKey
  }

  /** What speaks HTTP/2. */
  get socket(): Socket {
    return this.#secure ?? this.#raw
  }

  /** The handshake is over. */
  secured(socket: Socket): void {
    this.#secure = socket
  }

  /** A call begins; {@link ended} follows. */
  began(session: Http2Session | undefined): void {
    this.#session = session
    this.#calls++
  }

  ended(): void {
    this.#calls--
  }

  /** So many more, or fewer, of its calls are being served: their requests have arrived. */
  serves(more: 1 | -1): void {
    this.#served += more
  }

  get isServed(): boolean {
    return this.#served > 0
  }

  get hasCalls(): boolean {
    return this.#calls > 0
  }

  get hasSpoken(): boolean {
    // Over TLS the bytes are those after decryption: the preface may have come together with the end of the handshake.
    return this.#session !== undefined || this.socket.bytesRead >= PREFACE_BYTES
  }

  cut(): void {
    this.#secure?.destroy()
    this.#raw.destroy()
  }

  /** Ends it; where nothing is asked of it, so that its client knows that nothing was lost. */
  close(): void {
    if (this.#session === undefined || this.#session.destroyed || this.hasCalls) {
      this.cut()
      return
    }
    this.#session.close()
    const timer = setTimeout(() => this.cut(), CLOSING_MS)
    this.#raw.once('close', () => clearTimeout(timer))
  }
}

/**
 * The connections of the gRPC port. Where there are too many, a new one takes the place of one that is not being served:
 * first of those that have not spoken HTTP/2, then of those without calls, then of those whose calls have not arrived;
 * among them the oldest one of the address that has most. Connections that do nothing keep no others out.
 */
export class GrpcConnections {
  readonly #max: number
  readonly #prefaceMs: number
  readonly #calls: CountedCalls
  /** Oldest first. */
  readonly #open = new Set<GrpcConnection>()
  /** Told of each connection that was closed to make place for another one. */
  onDisplaced: () => void = () => undefined

  /** @param prefaceMs a connection that has not spoken HTTP/2 within this is cut */
  constructor(max: number, prefaceMs: number, calls: CountedCalls) {
    this.#max = max
    this.#prefaceMs = prefaceMs
    this.#calls = calls
  }

  get size(): number {
    return this.#open.size
  }

  [Symbol.iterator](): Iterator<GrpcConnection> {
    return this.#open.values()
  }

  /** @returns `undefined`: there is no place; the socket is destroyed */
  add(socket: Socket): GrpcConnection | undefined {
    if (this.#open.size >= this.#max && !this.#makePlace()) {
      socket.destroy()
      return undefined
    }
    const connection = new GrpcConnection(socket, this.#calls.connection(socket))
    this.#open.add(connection)
    socket.once('close', () => this.#open.delete(connection))
    return socket.destroyed ? undefined : connection
  }

  /** HTTP/2 has to be spoken now. */
  awaitPreface(connection: GrpcConnection): void {
    const timer = setTimeout(() => {
      if (!connection.hasSpoken) connection.cut()
    }, this.#prefaceMs)
    connection.socket.once('close', () => clearTimeout(timer))
  }

  #makePlace(): boolean {
    const byAddress = new Map<string, number>()
    for (const { address } of this.#open) byAddress.set(address, (byAddress.get(address) ?? 0) + 1)
    const rankOf = ({ address, hasSpoken, hasCalls }: GrpcConnection): number =>
      byAddress.get(address)! + this.#open.size * (hasSpoken ? (hasCalls ? 0 : 1) : 2)
    let [victim, highest] = [undefined as GrpcConnection | undefined, 0]
    for (const connection of this.#open) {
      const rank = connection.isServed ? 0 : rankOf(connection)
      if (rank > highest) [victim, highest] = [connection, rank]
    }
    if (victim === undefined) return false
    this.onDisplaced()
    this.#open.delete(victim)
    victim.close()
    return true
  }
}
