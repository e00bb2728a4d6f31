import type { Socket } from 'node:net'

/** Node waits this much longer than it tells clients. */
const KEEP_ALIVE_BUFFER_MS = 1_000

/** The time limits of a connection. */
export interface TimeLimits {
  /** For the head of a request. */
  readonly headersTimeoutMs: number
  /** For a whole request. */
  readonly requestTimeoutMs: number
  /** For a connection between two requests. */
  readonly keepAliveTimeoutMs: number
  /** For a connection on which nothing moves. */
  readonly socketTimeoutMs: number
}

/** Compares one connection with its time limits. */
export class ConnectionTimes {
  readonly #socket: Socket
  readonly #limits: TimeLimits
  /** When the request began that has not come as a whole, or the connection, before its first byte. */
  #since: number | undefined
  #isNew = true
  #movedAt: number
  #movedBytes = 0
  /** Whether a piece of an answer is on its way, so that the socket itself limits how long nothing moves. */
  #isSending = false

  constructor(socket: Socket, limits: TimeLimits, now: number) {
    this.#socket = socket
    this.#limits = limits
    this.#since = this.#movedAt = now
  }

  /** Whether nothing has come at all. */
  get isNew(): boolean {
    return this.#isNew
  }

  /** Whether a part of a request is missing; also when nothing has come at all. */
  get isIncomplete(): boolean {
    return this.#since !== undefined
  }

  /** Bytes have come. */
  arrived(): void {
    if (!this.#isNew) return
    this.#isNew = false
    this.#since = undefined
  }

  /** A request has come in part. */
  begin(now: number): void {
    this.#since = now
  }

  /** All that has begun has come. */
  complete(): void {
    this.#since = undefined
  }

  /** Whether a part of a request is late. */
  isLate(part: 'head' | 'body', now: number): boolean {
    const { headersTimeoutMs, requestTimeoutMs } = this.#limits
    return this.#since !== undefined && now - this.#since >= (part === 'head' ? headersTimeoutMs : requestTimeoutMs)
  }

  /** `undefined`: none of it has been spent. */
  headTimeLeftMs(now: number): number | undefined {
    return this.#since === undefined ? undefined : this.#since + this.#limits.headersTimeoutMs - now
  }

  /** Whether nothing has moved for too long; to be asked at intervals. */
  isStill(hasNoRequest: boolean, now: number): boolean {
    const { keepAliveTimeoutMs, socketTimeoutMs } = this.#limits
    const bytes = this.#socket.bytesRead + this.#socket.bytesWritten
    const isSending = this.#socket.writableLength > 0
    if (isSending !== this.#isSending) {
      // The socket knows how much of a long piece has left.
      this.#isSending = isSending
      this.#socket.setTimeout(isSending ? socketTimeoutMs : 0)
    }
    if (isSending || bytes !== this.#movedBytes) {
      this.#movedBytes = bytes
      this.#movedAt = now
      return false
    }
    const isBetween = !this.#isNew && hasNoRequest
    return now - this.#movedAt >= (isBetween ? keepAliveTimeoutMs + KEEP_ALIVE_BUFFER_MS : socketTimeoutMs)
  }
}
