import type { Server, Socket } from 'node:net'
import type { Connections } from './connections.js'

/** A connection before its handshake is over. */
interface Handshake {
  readonly socket: Socket
  /** Stops counting it towards its address. */
  readonly leave: () => void
}

/**
 * Connections during their TLS handshake. The server waits for them
 * when it is closed.
 */
export class Handshakes {
  /** By address and port of the peer: after the handshake the socket is another object. */
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

  /** Closes all of them: none has begun a request. */
  end(): void {
    for (const { socket } of this.#open.values()) socket.destroy()
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`
