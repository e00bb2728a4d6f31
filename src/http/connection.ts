import type { Socket } from 'node:net'
import type { OverloadedError } from '../errors.js'
import type { AddressUse } from './client-addresses.js'
import { Pace } from './pace.js'
import type { ReceivedRequest, RequestHolder } from './received-request.js'

/** A client that stays after the last answer may read it for so long. */
const LINGER_MS = 2_000

/** The last answer on a connection, without a body. */
const toLastAnswer = (status: string): string => `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`

/** What all connections share. */
export interface ConnectionHost {
  /** Takes room for bytes of a body, or says why there is none. */
  take(request: ReceivedRequest, sizeBytes: number): OverloadedError | undefined
  give(sizeBytes: number): void
  /** Whether a connection holds so much that its next requests have to wait. */
  isFull(openRequests: number, heldBytes: number): boolean
  closed(connection: Connection): void
}

/** What one connection holds: its requests without an answer, and the bytes of their bodies. */
export class Connection implements RequestHolder {
  readonly socket: Socket
  readonly address: AddressUse
  receiving: ReceivedRequest | undefined
  heldBytes = 0
  readonly #host: ConnectionHost
  /** Nearly always one: a set would make garbage with every request that comes and goes. */
  readonly #requests: ReceivedRequest[] = []
  #isPaused = false
  #lastStatus: string | undefined
  #discardFromBytes = 0
  #lingering: NodeJS.Timeout | undefined
  readonly pace = new Pace()

  constructor(socket: Socket, address: AddressUse, host: ConnectionHost) {
    this.socket = socket
    this.address = address
    this.#host = host
    // Without a listener an error of the socket would end the process; Node takes its own away for CONNECT.
    socket.on('error', () => undefined)
    // Node resumes the socket for reasons of its own: a request that is read, an answer that has left.
    socket.on('resume', () => {
      if (this.#isPaused) socket.pause()
    })
    // Node ends a connection this way behind its last answer. A socket that is closed while a body still comes is reset,
    // and the reset takes an answer along that the client has not read yet.
    const destroySoon = socket.destroySoon.bind(socket)
    socket.destroySoon = () => {
      if (this.isReceiving) this.#linger()
      else destroySoon()
    }
    socket.once('close', () => this.#close())
  }

  get openRequests(): number {
    return this.#requests.length
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Whether the body of a request is still coming. */
  get isReceiving(): boolean {
    return this.receiving !== undefined && !this.receiving.complete
  }

  /** Bytes that came after the answer to the request they belong to. */
  get discardedBytes(): number {
    return this.receiving?.isOver ? this.socket.bytesRead - this.#discardFromBytes : 0
  }

  begin(request: ReceivedRequest): void {
    this.#requests.push(request)
    this.address.requests++
    this.#pauseOrResume()
  }

  end(request: ReceivedRequest): void {
    const index = this.#requests.indexOf(request)
    if (index === this.#requests.length - 1) this.#requests.pop()
    else this.#requests.splice(index, 1)
    this.address.requests--
    this.give(request)
    if (!request.complete) this.#discardFromBytes = this.socket.bytesRead
    this.#pauseOrResume()
    if (this.#lastStatus !== undefined) this.#sayLastAnswer()
  }

  take(request: ReceivedRequest, sizeBytes: number): OverloadedError | undefined {
    const refusal = this.#host.take(request, sizeBytes)
    if (refusal !== undefined) return refusal
    request.heldBytes += sizeBytes
    this.heldBytes += sizeBytes
    this.address.bodyBytes += sizeBytes
    if (this.#requests.length > 1) this.#pauseOrResume()
    return undefined
  }

  give(request: ReceivedRequest): void {
    const { heldBytes } = request
    if (heldBytes === 0) return
    request.heldBytes = 0
    this.heldBytes -= heldBytes
    this.address.bodyBytes -= heldBytes
    this.#host.give(heldBytes)
  }

  /**
   * Ends the connection with an answer to what is no request, or comes too slowly to be one: once, and after the answers
   * to the requests before it.
   */
  endWith(status: string): void {
    if (this.#lastStatus !== undefined) return
    this.#lastStatus = status
    this.#sayLastAnswer()
  }

  #sayLastAnswer(): void {
    const { socket } = this
    const broken = this.isReceiving ? this.receiving! : undefined
    const isBrokenOpen = broken !== undefined && this.#requests.includes(broken)
    if (this.#requests.length > (isBrokenOpen ? 1 : 0)) return
    const answer = toLastAnswer(this.#lastStatus!)
    this.#lastStatus = undefined
    // An answer to the broken request that has begun cannot be taken back.
    const mayAnswer = socket.writable && (broken === undefined || (isBrokenOpen && !broken.isAnswerBegun))
    if (!mayAnswer) {
      socket.destroy()
      return
    }
    broken?.over()
    socket.end(answer)
    this.#linger()
  }

  /** Says that nothing more will be sent, and throws away for a while what the client goes on sending. */
  #linger(): void {
    this.socket.end()
    this.#lingering ??= setTimeout(() => this.socket.destroy(), LINGER_MS)
  }

  /**
   * Reads no further while the requests before the one that is coming hold this connection's share; their answers let
   * it go on. This is the place for other reasons to wait, too: a paused socket costs nothing but itself.
   */
  #pauseOrResume(): void {
    const isFull = this.#host.isFull(this.#requests.length, this.heldBytes)
    if (isFull === this.#isPaused) return
    this.#isPaused = isFull
    if (isFull) this.socket.pause()
    else this.socket.resume()
  }

  #close(): void {
    clearTimeout(this.#lingering)
    this.#lastStatus = undefined
    this.#isPaused = false
    for (const request of [...this.#requests]) {
      request.over()
      // Node forgets those before a CONNECT; whoever reads them must learn that no more will come.
      if (!request.complete && !request.destroyed) request.destroy()
    }
    this.#host.closed(this)
  }
}
