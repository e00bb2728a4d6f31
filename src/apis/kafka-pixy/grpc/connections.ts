import type { Http2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { CountedCalls, CountedConnection } from '../../../http/exchange/other-protocols.js'

/** The preface of HTTP/2, and the frame of settings that has to follow it (RFC 9113 3.4). */
const PREFACE_BYTES = 24 + 9
/** Time limit for ending a connection that gives way to another one. */
const CLOSING_MS = 1_000

/**
 * Waiting calls end in favour of an address that has at least this many fewer connections. With a difference of one the
 * two addresses only swap places, and swap again when the client reconnects.
 */
const FAIR_DIFFERENCE = 2

/** The part of a call that its connection uses. */
export interface ConnectedCall {
  /**
   * Ends the call, because its connection has to give way, unless it is being served. The answer tells the client to
   * retry.
   */
  giveWay(): void
}

/** States of connections; those with higher numbers are closed first in favour of new ones. */
const DOING = { waiting: 0, halfOpen: 1, idle: 2, silent: 3 }
const KINDS = Object.keys(DOING).length

/** A connection of the gRPC port, those during the TLS handshake included. */
export class GrpcConnection {
  readonly counted: CountedConnection
  readonly #raw: Socket
  #secure: Socket | undefined
  #session: Http2Session | undefined
  readonly #calls = new Set<ConnectedCall>()
  #served = 0
  #waiting = 0
  #givesWay = false

  constructor(raw: Socket, counted: CountedConnection) {
    this.#raw = raw
    this.counted = counted
  }

  /** The key under which its address is counted. */
  get address(): string {
    return this.counted.addressKey
  }

  /** The socket that carries HTTP/2: that of TLS, or the raw one without TLS. */
  get socket(): Socket {
    return this.#secure ?? this.#raw
  }

  /** The handshake is over. */
  secured(socket: Socket): void {
    this.#secure = socket
  }

  /** Called when a call begins. {@link ended} is called later. */
  began(session: Http2Session | undefined, call: ConnectedCall): void {
    this.#session = session
    this.#calls.add(call)
  }

  ended(call: ConnectedCall): void {
    this.#calls.delete(call)
  }

  /** Changes the number of calls that are being served: their requests have arrived. */
  serves(more: 1 | -1): void {
    this.#served += more
  }

  /** Changes the number of served calls that only wait for a message. */
  waits(more: 1 | -1): void {
    this.#waiting += more
  }

  /** The connection has given way to another one. Further calls on it are refused. */
  get givesWay(): boolean {
    return this.#givesWay
  }

  /** @returns `undefined` while a call is being served, for example while a message is produced */
  get doing(): number | undefined {
    if (this.#served > this.#waiting) return undefined
    if (this.#waiting > 0) return DOING.waiting
    if (this.#calls.size > 0) return DOING.halfOpen
    return this.hasSpoken ? DOING.idle : DOING.silent
  }

  get hasSpoken(): boolean {
    // Over TLS the bytes are those after decryption: the preface may have come together with the end of the handshake.
    return this.#session !== undefined || this.socket.bytesRead >= PREFACE_BYTES
  }

  cut(): void {
    this.#secure?.destroy()
    this.#raw.destroy()
  }

  /** Ends its calls and then itself, so that its client knows that nothing was lost. */
  giveWay(): void {
    this.#givesWay = true
    if (this.#session === undefined || this.#session.destroyed) {
      this.cut()
      return
    }
    for (const call of [...this.#calls]) call.giveWay()
    this.#session.close()
    const timer = setTimeout(() => this.cut(), CLOSING_MS)
    this.#raw.once('close', () => clearTimeout(timer))
  }
}

/**
 * The connections of the gRPC port. One client may have all of them while no other client comes. If there are too many,
 * a new one replaces one of the address that has most, chosen by its state:
 *
 *   has not spoken HTTP/2 ─▶ no calls ─▶ calls that have not arrived ─▶ calls that only wait for a message ─▶ stays
 *
 * of equals the oldest first. It never replaces a connection of an address that has no more than its own, so clients
 * with few keep them. Connections that only wait never keep others out.
 */
export class GrpcConnections {
  readonly #max: number
  readonly #prefaceMs: number
  readonly #calls: CountedCalls
  /** Oldest first. */
  readonly #open = new Set<GrpcConnection>()
  /** Called for each connection that was closed in favour of another one. */
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
    const counted = this.#calls.connection(socket)
    // If the limit per address has refused the connection, no other connection has to give way.
    if (socket.destroyed) return undefined
    if (this.#open.size >= this.#max && !this.#makePlace(counted.addressKey)) {
      socket.destroy()
      return undefined
    }
    const connection = new GrpcConnection(socket, counted)
    this.#open.add(connection)
    socket.once('close', () => this.#open.delete(connection))
    return connection
  }

  /** Cuts the connection unless its client speaks HTTP/2 in time. */
  awaitPreface(connection: GrpcConnection): void {
    const timer = setTimeout(() => {
      if (!connection.hasSpoken) connection.cut()
    }, this.#prefaceMs)
    connection.socket.once('close', () => clearTimeout(timer))
  }

  /** @param address of the new connection, which is not among the others yet */
  #makePlace(address: string): boolean {
    const byAddress = new Map<string, number>()
    for (const { address } of this.#open) byAddress.set(address, (byAddress.get(address) ?? 0) + 1)
    const own = byAddress.get(address) ?? 0
    let [victim, highest] = [undefined as GrpcConnection | undefined, -1]
    for (const connection of this.#open) {
      const { address: owner, doing } = connection
      const held = byAddress.get(owner)!
      if (doing === undefined || !mayTake(doing, held - own, owner === address)) continue
      const rank = KINDS * held + doing
      if (rank > highest) [victim, highest] = [connection, rank]
    }
    if (victim === undefined) return false
    this.onDisplaced()
    this.#open.delete(victim)
    victim.giveWay()
    return true
  }
}

/** @param surplus how many more connections its address has than the address of the new one */
const mayTake = (doing: number, surplus: number, isOwn: boolean): boolean =>
  doing === DOING.waiting ? surplus >= FAIR_DIFFERENCE : isOwn || surplus > 0
