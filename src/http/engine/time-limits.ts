import type { Socket } from 'node:net'

/** An idle connection is closed this much later than clients are told, as with Node. */
const KEEP_ALIVE_BUFFER_MS = 1_000

/** With more bytes of answers than this, a client that takes none of them has less time. */
export const MAX_UNREAD_BYTES = 1024 * 1024
const UNREAD_TIMEOUT_MS = 30_000

export interface TimeLimits {
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  /** For a connection between two requests. */
  readonly keepAliveTimeoutMs: number
  /** For a connection on which no byte is sent or received. */
  readonly socketTimeoutMs: number
}

/** Compares one connection with its time limits. */
export class ConnectionTimes {
  readonly #socket: Socket
  readonly #limits: TimeLimits
  /** When the incomplete request began; before the first byte: when the connection began. */
  #since: number | undefined
  #isNew = true
  #movedAt: number
  #movedBytes = 0
  /** The time limit of the socket itself, which applies it while a piece of an answer is being sent; 0: none. */
  #sendingLimitMs = 0
  /** Bytes that the connection below TLS had to send when that time began; without TLS: none are known. */
  #bytesBelow: number | undefined

  constructor(socket: Socket, limits: TimeLimits, now: number) {
    this.#socket = socket
    this.#limits = limits
    this.#since = this.#movedAt = now
  }

  /** Whether no byte of a request has arrived yet. */
  get isNew(): boolean {
    return this.#isNew
  }

  /** Whether a part of a request is missing; also true before the first byte. */
  get isIncomplete(): boolean {
    return this.#since !== undefined
  }

  /** Called when bytes of a request have arrived: empty lines before it are none. */
  arrived(): void {
    if (!this.#isNew) return
    this.#isNew = false
    this.#since = undefined
  }

  /** Called when a request has arrived in part. */
  begin(now: number): void {
    this.#since = now
  }

  /** Called when every request that has begun is complete. */
  complete(): void {
    this.#since = undefined
  }

  isLate(part: 'head' | 'body', now: number): boolean {
    const { headersTimeoutMs, requestTimeoutMs } = this.#limits
    return this.#since !== undefined && now - this.#since >= (part === 'head' ? headersTimeoutMs : requestTimeoutMs)
  }

  /** Whether no byte was sent or received for too long. To be called at intervals. */
  isStill(hasNoRequest: boolean, now: number): boolean {
    const { keepAliveTimeoutMs, socketTimeoutMs } = this.#limits
    const isBetween = !this.#isNew && hasNoRequest && !this.isIncomplete
    // Empty lines, which a client may send between two requests, are no reason to wait for longer.
    const bytes = (isBetween ? 0 : this.#socket.bytesRead) + this.#socket.bytesWritten
    const isSending = this.#socket.writableLength > 0
    this.#limitSending(isSending ? socketTimeoutMs : 0)
    if (isSending || bytes !== this.#movedBytes) {
      this.#movedBytes = bytes
      this.#movedAt = now
      return false
    }
    return now - this.#movedAt >= (isBetween ? keepAliveTimeoutMs + KEEP_ALIVE_BUFFER_MS : socketTimeoutMs)
  }

  /** Limits how long a client takes nothing of many bytes, where no other limit holds. To be called at intervals. */
  limitUnread(): void {
    this.#limitSending(0)
  }

  /** @param limitMs how long nothing may be taken, unless so much waits that the time is shorter; 0: for ever */
  #limitSending(limitMs: number): void {
    const isMuch = this.#socket.writableLength > MAX_UNREAD_BYTES
    const chosenMs = isMuch ? Math.min(limitMs || UNREAD_TIMEOUT_MS, UNREAD_TIMEOUT_MS) : limitMs
    if (chosenMs === this.#sendingLimitMs) return
    // Only the socket knows how much of a long piece has been sent.
    this.#sendingLimitMs = chosenMs
    this.#bytesBelow = bytesBelowTls(this.#socket)
    this.#socket.setTimeout(chosenMs)
  }

  /**
   * To be called when the time of the socket is over: whether some of a long piece was sent after all, so that it begins anew.
   * With TLS the socket only knows when all of a piece is sent.
   */
  hasSentMore(): boolean {
    const before = this.#bytesBelow
    this.#bytesBelow = bytesBelowTls(this.#socket)
    if (this.#bytesBelow === before) return false
    this.#socket.setTimeout(this.#sendingLimitMs)
    return true
  }
}

/** The field is private to Node. Where there is none, the time limit is that for all of a piece. */
const bytesBelowTls = (socket: Socket): number | undefined =>
  (socket as { _handle?: { _parent?: { writeQueueSize?: number } } | null })._handle?._parent?.writeQueueSize
