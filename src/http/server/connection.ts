import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'
import type { SilenceLimit } from '../exchange/silence.js'
import type { AddressUse } from './client-addresses.js'
import { Pace } from './pace.js'
import type { ReceivedRequest, RequestHolder } from './received-request.js'
import { type LoopTicks, RequestTicks } from './request-ticks.js'

/** Time for the client to read the last answer before the connection is closed. */
const LINGER_MS = 2_000

/** The last answer on a connection, without a body. */
const toLastAnswer = (status: string): string => `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`

/** What all connections share. */
export interface ConnectionHost {
  readonly turns: LoopTicks
  /** Reserves room for bytes of a body, or returns the error when there is none. */
  take(request: ReceivedRequest, sizeBytes: number): OverloadedError | undefined
  give(sizeBytes: number): void
  /** Whether a connection holds so much that its next requests must wait. */
  isFull(openRequests: number, heldBytes: number): boolean
  /** Requests that wait to be admitted hold so many bytes more or, negative, fewer. */
  waits(sizeBytes: number): void
  /** Whether the connection is not to be read for a while, until it is woken: it has no open requests. */
  mayRest(connection: Connection): boolean
  closed(connection: Connection): void
}

/** What one connection holds: its unanswered requests, and the bytes of their bodies. */
export class Connection implements RequestHolder {
  readonly socket: Socket
  readonly address: AddressUse
  receiving: ReceivedRequest | undefined
  silence: SilenceLimit | undefined
  heldBytes = 0
  readonly #host: ConnectionHost
  /** Mostly one request: a Set would create garbage with every request. */
  readonly #requests: ReceivedRequest[] = []
  readonly #turns: RequestTicks
  #isPaused = false
  /** Requests that must not be read on yet. */
  #heldRequests = 0
  #isResting = false
  #lastStatus: string | undefined
  #discardFromBytes = 0
  #lingering: NodeJS.Timeout | undefined
  #seenBytes = 0
  #seenAt: number
  readonly pace = new Pace()

  constructor(socket: Socket, address: AddressUse, host: ConnectionHost, now: number) {
    this.#seenAt = now
    this.socket = socket
    this.address = address
    this.#host = host
    this.#turns = new RequestTicks(host.turns)
    // Without a listener, an error of the socket would end the process; Node removes its own for CONNECT.
    socket.on('error', () => undefined)
    // Node resumes the socket by itself, such as when a request was read or an answer was sent.
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

  /** Bytes that arrived after the answer to the request they belong to. */
  get discardedBytes(): number {
    return this.receiving?.isOver ? this.socket.bytesRead - this.#discardFromBytes : 0
  }

  /** Ends the connection when its client has been silent for too long; to be called at intervals. */
  endIfSilent(now: number): void {
    const { silence, socket } = this
    const owner = this.receiving?.owner
    const bytes = owner === undefined ? socket.bytesRead : socket.bytesRead + socket.bytesWritten
    // While the connection is paused, it is not the client that keeps silent.
    if (silence?.limitMs === undefined || this.#isPaused || bytes !== this.#seenBytes) {
      this.#seenBytes = bytes
      this.#seenAt = now
    } else if (now - this.#seenAt >= silence.limitMs) {
      this.#seenAt = now
      silence.onEnd()
      if (owner === undefined) socket.destroy()
      else owner.silent()
    }
  }

  begin(request: ReceivedRequest): void {
    this.#requests.push(request)
    this.address.requests++
    this.#pauseOrResume()
  }

  inTurn(request: ReceivedRequest, handle: () => void): void {
    if (this.#turns.mayHandle()) handle()
    else
      this.#turns.defer(() => {
        if (!request.isOver) handle()
      })
  }

  end(request: ReceivedRequest): void {
    const index = this.#requests.indexOf(request)
    if (index === this.#requests.length - 1) this.#requests.pop()
    else this.#requests.splice(index, 1)
    this.address.requests--
    this.give(request)
    if (!request.complete) this.#discardFromBytes = this.socket.bytesRead
    this.#restAfter(request)
    this.#pauseOrResume()
    if (this.#lastStatus !== undefined) this.#sayLastAnswer()
  }

  take(request: ReceivedRequest, sizeBytes: number): OverloadedError | undefined {
    const refusal = this.#host.take(request, sizeBytes)
    if (refusal !== undefined) return refusal
    request.heldBytes += sizeBytes
    this.heldBytes += sizeBytes
    this.address.bodyBytes += sizeBytes
    if (request.isHeld) this.#host.waits(sizeBytes)
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
    if (request.isHeld) this.#host.waits(-heldBytes)
  }

  /**
   * Ends the connection with an error answer to bytes that are not HTTP, or a request that comes too slowly: once, and
   * after the answers to earlier requests.
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
    // The broken request may have an answer already, which cannot be replaced.
    const mayAnswer = socket.writable && (broken === undefined || (isBrokenOpen && !broken.isAnswerBegun))
    if (!mayAnswer) {
      socket.destroy()
      return
    }
    broken?.over()
    socket.end(answer)
    this.#linger()
  }

  /** Half-closes the connection, and for a while discards what the client goes on sending. */
  #linger(): void {
    this.socket.end()
    this.#lingering ??= setTimeout(() => this.socket.destroy(), LINGER_MS)
  }

  hold(request: ReceivedRequest): void {
    this.#heldRequests++
    this.#host.waits(request.heldBytes)
    this.#pauseOrResume()
  }

  letGo(request: ReceivedRequest): void {
    this.#heldRequests--
    this.#host.waits(-request.heldBytes)
    this.#pauseOrResume()
  }

  discarded(request: ReceivedRequest): void {
    this.#restAfter(request)
    this.#pauseOrResume()
  }

  /** A client that has sent a body is likely to send another one. */
  #restAfter({ complete, hasBody }: ReceivedRequest): void {
    if (this.#isResting || !complete || !hasBody || this.#requests.length > 0 || !this.socket.writable) return
    this.#isResting = this.#host.mayRest(this)
  }

  wake(): void {
    this.#isResting = false
    this.#pauseOrResume()
  }

  /**
   * Pauses reading while a request waits to be admitted, or while the requests before the current one hold this
   * connection's share; their answers resume it. A connection at rest is paused as well. A paused socket costs nothing but
   * itself.
   */
  #pauseOrResume(): void {
    const isFull = this.#isResting || this.#heldRequests > 0 || this.#host.isFull(this.#requests.length, this.heldBytes)
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
      request.connectionEnded()
      // Node drops the requests before a CONNECT; readers of their bodies must be told that nothing more will come.
      if (!request.complete && !request.destroyed) request.destroy()
    }
    this.#host.closed(this)
  }
}
