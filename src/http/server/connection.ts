import type { Socket } from 'node:net'
import type { OverloadedError } from '../../core/errors.js'
import type { WaitsFor } from '../engine/engine-user.js'
import type { SilenceLimit } from '../exchange/silence-limit.js'
import type { AddressUse } from './client-addresses.js'
import { type BytesHost, ConnectionBytes } from './connection-bytes.js'
import { ConnectionEnd, type EndingConnection, type RequestReader } from './connection-end.js'
import type { OpenRequest, RequestHolder } from './open-request.js'
import { Pace } from './pace.js'
import { Reading, type UnreadConnection } from './unread-answers.js'

/** Beyond so many bytes of answers that wait, bodies behind them count as memory behind unread answers. */
const MAX_UNREAD_BYTES = 64 * 1024

export interface ConnectionLimits {
  /** After the last answer, at most this many bytes are discarded. */
  readonly maxBodyBytes: number
  /** When the bodies of a connection hold more than this, its next requests wait. */
  readonly maxBodyBytesPerConnection: number
  readonly maxRequestsPerConnection: number
}

/** The parts that all connections share. */
export interface ConnectionHost extends BytesHost {
  readonly limits: ConnectionLimits
  /** Called for a connection without open requests. @returns true: it must not be read until it is woken */
  mayRest(connection: Connection): boolean
  /** What the connection holds has changed. */
  holds(connection: Connection): void
  closed(connection: Connection): void
}

/** One connection: its unanswered requests, and the bytes of their bodies. */
export class Connection implements RequestHolder, EndingConnection, UnreadConnection {
  readonly socket: Socket
  readonly address: AddressUse
  receiving: OpenRequest | undefined
  silence: SilenceLimit | undefined
  readonly reader: RequestReader
  readonly #bytes: ConnectionBytes
  readonly reading: Reading
  readonly #host: ConnectionHost
  /** Mostly one request: a Set would create garbage with every request. */
  readonly #requests: OpenRequest[] = []
  /** Whether reading is paused. */
  isPaused = false
  /** Number of requests that wait to be admitted. Meanwhile the connection is not read. */
  #heldRequests = 0
  #isResting = false
  #discardFromBytes = 0
  /** Absent: the connection is not ending. */
  #end: ConnectionEnd | undefined
  #seenBytes = 0
  #seenAt: number
  readonly pace = new Pace()

  constructor(reader: RequestReader, address: AddressUse, host: ConnectionHost, now: number) {
    const { socket } = reader
    this.#seenAt = now
    this.reader = reader
    this.socket = socket
    this.address = address
    this.#host = host
    this.#bytes = new ConnectionBytes(address, host)
    this.reading = new Reading(socket)
    // The engine ends a connection this way behind its last answer. A socket that is closed while bytes still arrive is
    // reset, and a reset discards answers that the client has not read yet.
    socket.destroySoon = () => this.linger()
    socket.once('close', () => this.#close())
  }

  get openRequests(): number {
    return this.#requests.length
  }

  /** Whether the body of a request is incomplete. */
  get isReceiving(): boolean {
    return this.receiving !== undefined && !this.receiving.complete
  }

  get incomplete(): OpenRequest | undefined {
    return this.isReceiving ? this.receiving : undefined
  }

  get unanswered(): readonly OpenRequest[] {
    return this.#requests
  }

  /** Bytes that arrived after the answer to the request they belong to. */
  get discardedBytes(): number {
    return this.receiving?.isOver ? this.socket.bytesRead - this.#discardFromBytes : 0
  }

  get unreadBytes(): number {
    return this.reader.unreadBytes
  }

  get isStalled(): boolean {
    return this.behindBytes > 0 && this.#requests.some(({ isAnswerBegun, isAnswered }) => isAnswerBegun && !isAnswered)
  }

  get isPipelined(): boolean {
    return this.openRequests > 1
  }

  get behindBytes(): number {
    return this.#bytes.behind
  }

  get heldBytes(): number {
    return this.#bytes.held
  }

  /** Bytes that count as bytes of bodies. */
  get bodyBytes(): number {
    return this.#bytes.asBodies
  }

  /**
   * Gives memory for bodies back when it is short: bodies whose requests have their whole answer are dropped, and those behind many
   * unread bytes, or behind a stream, then count as memory behind unread answers.
   */
  yieldMemory(): void {
    const isBehind = this.isStalled || (this.socket.writableLength > 0 && this.unreadBytes >= MAX_UNREAD_BYTES)
    for (const request of this.#requests) {
      if (request.complete && request.isAnswered) request.dropBody()
      else if (isBehind && request.complete) this.#bytes.moveBehind(request)
    }
    this.#host.holds(this)
    this.#pauseOrResume()
  }

  endUnread(): void {
    for (const request of this.#requests) this.give(request)
    this.keep(0, 'turn')
    this.socket.destroy()
  }

  /** Ends the connection when its client has been silent for too long; to be called at intervals. */
  endIfSilent(now: number): void {
    const { silence, socket } = this
    const owner = this.receiving?.owner
    const bytes = owner === undefined ? socket.bytesRead : socket.bytesRead + socket.bytesWritten
    // While the connection is paused, the silence is not the client's.
    if (silence?.limitMs === undefined || this.isPaused || bytes !== this.#seenBytes) {
      this.#seenBytes = bytes
      this.#seenAt = now
    } else if (now - this.#seenAt >= silence.limitMs) {
      this.#seenAt = now
      silence.onEnd()
      if (owner === undefined) socket.destroy()
      else owner.silent()
    }
  }

  begin(request: OpenRequest): void {
    this.#requests.push(request)
    this.address.requests++
    this.#pauseOrResume()
  }

  end(request: OpenRequest): void {
    const index = this.#requests.indexOf(request)
    if (index >= 0) this.#remove(request, index)
    this.#restAfter(request)
    this.#pauseOrResume()
    this.#end?.requestEnded()
  }

  #remove(request: OpenRequest, index: number): void {
    if (index === this.#requests.length - 1) this.#requests.pop()
    else this.#requests.splice(index, 1)
    this.address.requests--
    this.give(request)
    if (!request.complete) this.#discardFromBytes = this.socket.bytesRead
  }

  take(request: OpenRequest, sizeBytes: number): OverloadedError | undefined {
    const refusal = this.#bytes.take(request, sizeBytes)
    this.#host.holds(this)
    if (refusal === undefined && this.#requests.length > 1) this.#pauseOrResume()
    return refusal
  }

  give(request: OpenRequest): void {
    this.#bytes.give(request)
    this.#host.holds(this)
  }

  holdOnly(request: OpenRequest, sizeBytes: number): OverloadedError | undefined {
    const refusal = this.#bytes.holdOnly(request, sizeBytes)
    this.#host.holds(this)
    return refusal
  }

  /** Sets the number of bytes of requests that have not begun, and for what they wait. @returns whether there is memory */
  keep(sizeBytes: number, waitsFor: WaitsFor): boolean {
    const isKept = this.#bytes.keep(sizeBytes, waitsFor)
    this.#host.holds(this)
    return isKept
  }

  /**
   * Ends the connection with an error answer, because its bytes are not HTTP or a request arrives too slowly. The answer
   * is sent once, after the answers to earlier requests.
   */
  endWith(status: string): void {
    this.#ending.endWith(status)
  }

  /** Half-closes the connection, and for a while discards what the client still sends. */
  linger(): void {
    this.#ending.linger()
  }

  isBroken(request: OpenRequest): boolean {
    return this.#end?.isBroken(request) === true
  }

  get #ending(): ConnectionEnd {
    this.#end ??= new ConnectionEnd(this, this.#host)
    return this.#end
  }

  heldChanged(request: OpenRequest): void {
    this.#heldRequests += request.isHeld ? 1 : -1
    this.#bytes.waitChanged(request)
    this.#pauseOrResume()
  }

  /** Lets the connection rest after a request with a body, because its client is likely to send another body. */
  #restAfter({ complete, hasBody }: OpenRequest): void {
    if (this.#isResting || !complete || !hasBody || this.#requests.length > 0 || !this.socket.writable) return
    this.#isResting = this.#host.mayRest(this)
  }

  wake(): void {
    this.#isResting = false
    this.#pauseOrResume()
  }

  /**
   * Pauses reading while a request waits to be admitted, or while the requests before the current one hold this
   * connection's share; their answers resume it. A connection at rest is paused as well. A paused
   * socket costs nothing but itself.
   */
  #pauseOrResume(): void {
    const mustPause = this.#isResting || this.#heldRequests > 0 || this.#isFull
    if (mustPause === this.isPaused || this.#end?.isLingering) return
    this.isPaused = mustPause
    if (mustPause) this.reader.pause()
    else this.reader.resume()
  }

  /** False for a single request: only answers to earlier requests free memory, so it would wait for itself. */
  get #isFull(): boolean {
    const openRequests = this.#requests.length
    if (openRequests <= 1) return false
    const { maxRequestsPerConnection, maxBodyBytesPerConnection } = this.#host.limits
    return openRequests > maxRequestsPerConnection || this.#bytes.ofOpenRequests >= maxBodyBytesPerConnection
  }

  #close(): void {
    this.#end?.closed()
    this.isPaused = false
    for (const request of [...this.#requests]) request.connectionEnded()
    this.#bytes.end()
    this.#host.closed(this)
  }
}
