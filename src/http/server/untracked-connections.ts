import { type RequestListener, type Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'
import { offerUpgrade, type Upgrade, type UpgradedSocket, type UpgradeOwner } from '../exchange/other-protocols.js'
import type { Connections } from './connections.js'
import type { ReceivedRequest } from './received-request.js'

/** The connections of one listener that Node has detached, as their requests ask for an upgrade: it does not track them any more. */
export class Upgrades {
  /** `undefined`: the request is not answered yet, or is answered instead of upgraded. */
  readonly #owners = new Map<Socket, UpgradeOwner | undefined>()
  #isLeaving = false

  /** Passes on a request whose connection Node has detached, with a response like any other. */
  receive(request: ReceivedRequest, socket: Socket, head: Buffer, receive: RequestListener): void {
    this.#owners.set(socket, undefined)
    socket.once('close', () => this.#owners.delete(socket))
    const response = new ServerResponse(request)
    response.shouldKeepAlive = false
    response.assignSocket(socket)
    response.on('finish', () => {
      // Bytes that the client has sent after its request are not wanted; left unread they would reset the connection.
      socket.resume()
      socket.destroySoon()
    })
    offerUpgrade(request, new SocketUpgrade(this, request, response, socket, head))
    receive(request, response)
  }

  add(socket: Socket, owner: UpgradeOwner): void {
    this.#owners.set(socket, owner)
    if (this.#isLeaving) owner.leave()
  }

  /** Asks the handlers of all upgraded connections to end them. */
  leave(): void {
    if (this.#isLeaving) return
    this.#isLeaving = true
    for (const owner of [...this.#owners.values()]) owner?.leave()
  }

  cut(): void {
    for (const socket of [...this.#owners.keys()]) socket.destroy()
  }
}

class SocketUpgrade implements Upgrade, UpgradedSocket {
  readonly socket: Socket
  readonly head: Buffer
  readonly #upgrades: Upgrades
  readonly #request: ReceivedRequest
  readonly #response: ServerResponse

  constructor(upgrades: Upgrades, request: ReceivedRequest, response: ServerResponse, socket: Socket, head: Buffer) {
    this.#upgrades = upgrades
    this.#request = request
    this.#response = response
    this.socket = socket
    this.head = head
  }

  take(owner: UpgradeOwner): UpgradedSocket | undefined {
    const { socket } = this
    if (socket.destroyed || this.#response.headersSent) return undefined
    this.#response.detachSocket(socket)
    socket.setTimeout(0)
    this.#request.upgraded(owner)
    this.#upgrades.add(socket, owner)
    return this
  }

  hold(sizeBytes: number): OverloadedError | undefined {
    return this.#request.isOver ? undefined : this.#request.holder.take(this.#request, sizeBytes)
  }

  release(): void {
    this.#request.holder.give(this.#request)
  }
}

/** A connection before its handshake is over. */
interface Handshake {
  readonly socket: Socket
  /** Stops counting it towards its address. */
  readonly leave: () => void
}

/**
 * Connections during their TLS handshake. Node's server neither counts nor closes them with its HTTP connections, yet
 * waits for them when it is closed.
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
