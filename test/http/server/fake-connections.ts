import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { OverloadedError } from '../../../src/core/errors.js'
import type { UpgradeOwner } from '../../../src/http/exchange/other-protocols.js'
import { type AddressUse, BodyBudget } from '../../../src/http/server/client-addresses.js'
import type { Connection } from '../../../src/http/server/connection.js'
import type { RequestReader } from '../../../src/http/server/connection-end.js'
import { Connections, type ConnectionsLimits } from '../../../src/http/server/connections.js'
import type { OpenRequest } from '../../../src/http/server/open-request.js'

/** A socket that writes down what is done to it. */
export class FakeSocket extends EventEmitter {
  readonly remoteAddress: string
  readonly done: string[] = []
  /** Bytes that are discarded behind its end. */
  discarded: number | undefined
  bytesRead = 0
  bytesWritten = 0
  writable = true
  writableLength = 0
  destroyed = false

  constructor(remoteAddress = '10.0.0.1') {
    super()
    this.remoteAddress = remoteAddress
  }

  pause(): void {
    this.done.push('pause')
  }
  resume(): void {
    this.done.push('resume')
    this.emit('resume')
  }
  end(text?: string): void {
    this.done.push(text === undefined ? 'end' : `end ${text.split('\r\n')[0]}`)
  }
  push(): boolean {
    return true
  }
  destroySoon(): void {
    this.done.push('destroySoon')
  }
  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.done.push('destroy')
    this.emit('close')
  }

  newly(): string[] {
    return this.done.splice(0)
  }
}

/** Reads a connection as the engine does. */
export class FakeReader implements RequestReader {
  readonly #socket: FakeSocket
  /** Bytes of answers that wait for their turn. */
  keptBytes = 0

  constructor(socket: FakeSocket) {
    this.#socket = socket
  }

  get socket(): Socket {
    return this.#socket as unknown as Socket
  }
  get unreadBytes(): number {
    return this.#socket.writableLength + this.keptBytes
  }
  pause(): void {
    this.#socket.pause()
  }
  resume(): void {
    this.#socket.resume()
  }
  discard(maxBytes: number): void {
    this.#socket.discarded = maxBytes
    this.#socket.resume()
  }
}

/** What a connection knows of a request. */
export class FakeRequest implements OpenRequest {
  isOpenEnded = false
  readonly holder: Connection
  heldBytes = 0
  complete = false
  hasConnection = true
  isRead = true
  isOver = false
  isAnswerBegun = false
  isAnswered = false
  movedBytes = 0
  hasBody = true
  isHeld = false
  owner: UpgradeOwner | undefined
  refusal: OverloadedError | undefined

  constructor(holder: Connection) {
    this.holder = holder
    holder.receiving = this
    holder.begin(this)
  }

  get address(): AddressUse {
    return this.holder.address
  }
  take(sizeBytes: number): OverloadedError | undefined {
    return this.holder.take(this, sizeBytes)
  }
  hold(): void {
    this.isHeld = true
    this.holder.heldChanged(this)
  }
  letGo(): void {
    this.isHeld = false
    this.holder.heldChanged(this)
  }
  refuse(error: OverloadedError): void {
    this.refusal = error
    this.holder.give(this)
  }
  endConnection(): void {}

  dropBody(): void {
    this.holder.give(this)
  }
  over(): void {
    if (this.isOver) return
    this.isOver = true
    this.holder.end(this)
  }
  connectionEnded(): void {
    this.hasConnection = false
    this.over()
  }
}

/** Connections over fake sockets, and the gauges of what they hold. */
export function connectionsWith(limits: Partial<ConnectionsLimits>, now: () => number, maxBytes = 1_000_000) {
  const [held, open, unread] = [{ value: 0 }, { value: 0 }, { value: 0 }]
  const connections = new Connections(
    {
      maxBodyBytes: 1_000_000,
      maxBodyBytesPerConnection: 1_000,
      maxRequestsPerConnection: 3,
      maxBodiesInFlightBytes: maxBytes,
      maxRestMs: 1_000,
      perAddress: {},
      pace: { minBytesPerSecond: 0, graceMs: 60_000 },
      ...limits
    },
    new BodyBudget(maxBytes, held as never),
    { connections: open as never, unreadBytes: unread as never },
    now
  )
  const connect = (address?: string) => {
    const socket = new FakeSocket(address)
    const connection = connections.of(new FakeReader(socket))
    return { socket, connection, request: () => new FakeRequest(connection) }
  }
  return { connections, connect, held, open, unread }
}
