import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Connections } from './connections.js'

/** A connection before its handshake is over. */
interface Handshake {
  readonly socket: Socket
  /** Counts it out of its address. */
  readonly leave: () => void
}

/**
 * Connections whose TLS handshake is under way. Node's server neither counts them as connections of HTTP nor closes them
 * with those, but waits for them when it is closed.
 */
export class Handshakes {
  /** By the address and port of the peer: the socket after the handshake is another object than the one before. */
  readonly #open = new Map<string, Handshake>()
  readonly #connections: Connections

  constructor(connections: Connections) {
    this.#connections = connections
  }

  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      const handshake = { socket, leave: this.#connections.arrive(socket) }
      this.#open.set(peer, handshake)
      socket.once('close', () => {
        handshake.leave()
        if (this.#open.get(peer) === handshake) this.#open.delete(peer)
      })
    })
    server.on('secureConnection', (socket: Socket) => {
      const peer = peerOf(socket)
      this.#open.get(peer)?.leave()
      this.#open.delete(peer)
    })
  }

  /** Ends them all: none of them has begun a request. */
  end(): void {
    for (const { socket } of this.#open.values()) socket.destroy()
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`
