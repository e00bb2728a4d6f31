import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Connections whose TLS handshake is under way. Node's server neither counts them as connections of HTTP nor closes them
 * with those, but waits for them when it is closed.
 */
export class Handshakes {
  /** By the address and port of the peer: the socket after the handshake is another object than the one before. */
  readonly #open = new Map<string, Socket>()

  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      const peer = peerOf(socket)
      this.#open.set(peer, socket)
      socket.once('close', () => {
        if (this.#open.get(peer) === socket) this.#open.delete(peer)
      })
    })
    server.on('secureConnection', (socket: Socket) => this.#open.delete(peerOf(socket)))
  }

  /** Ends them all: none of them has begun a request. */
  end(): void {
    for (const socket of this.#open.values()) socket.destroy()
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`
