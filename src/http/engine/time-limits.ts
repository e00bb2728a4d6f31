import type { Socket } from 'node:net'
import type { SilenceLimit } from './silence-limit.js'

/** An idle connection is closed this much later than clients are told, as with Node. */
const KEEP_ALIVE_BUFFER_MS = 1_000

/** With more bytes of answers than this, a client that takes none of them has less time. */
const MAX_UNREAD_BYTES = 1024 * 1024
const UNREAD_TIMEOUT_MS = 30_000

export interface TimeLimits {
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  /** Limit between two requests. */
  readonly keepAliveTimeoutMs: number
  /** Limit for a connection on which no byte is sent or received. */
  readonly socketTimeoutMs: number
}

/** Compares one connection with its time limits. Its questions are to be asked at intervals. */
export class ConnectionTimes {
  readonly #socket: Socket
  readonly #limits: TimeLimits
  /** When the incomplete request began; before the first byte: when the connection began. */
  #since: number | undefined
  #isNew = true
  /** Time of the last progress, in whole milliseconds, for which V8 makes no object; rounded up, so that no limit ends early. */
  #movedAt: number
  /** Bytes that were received, or have been sent as whole pieces. */
  #movedBytes = 0
  /** Bytes of a piece that is being sent. */
  #sendingBytes = 0
  /** Bytes that count for the time limit for silence. */
  #heardBytes = 0
  #heardAt: number

  constructor(socket: Socket, limits: TimeLimits, now: number) {
    this.#socket = socket
    this.#limits = limits
    this.#since = this.#movedAt = this.#heardAt = Math.ceil(now)
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
    this.#since = Math.ceil(now)
  }

  /** Called when every request that has begun is complete. */
  complete(): void {
    this.#since = undefined
  }

  /** How long ago the incomplete request began; 0: none is incomplete. */
  ageMs(now: number): number {
    return this.#since === undefined ? 0 : Math.max(0, now - this.#since)
  }

  isOverdue(part: 'head' | 'body', now: number): boolean {
    const { headersTimeoutMs, requestTimeoutMs } = this.#limits
    return this.#since !== undefined && now - this.#since >= (part === 'head' ? headersTimeoutMs : requestTimeoutMs)
  }

  /** Whether so much waits for the client that it has less time to read. @param restBytes of its answer that are not made yet */
  hasMuchUnread(restBytes: number): boolean {
    return this.#socket.writableLength + restBytes > MAX_UNREAD_BYTES
  }

  /** Whether no byte was sent or received for too long. @param isUpgraded only answers that are not read count */
  isStill(isUpgraded: boolean, hasNoRequest: boolean, restBytes: number, now: number): boolean {
    const { bytesRead, bytesWritten, writableLength } = this.#socket
    const isBetween = !this.#isNew && hasNoRequest && !this.isIncomplete
    // Empty lines, which a client may send between two requests, are no reason to wait for longer.
    const bytes = (isBetween ? 0 : bytesRead) + bytesWritten - writableLength
    const sendingBytes = unsentBytesOf(this.#socket)
    if (bytes !== this.#movedBytes || sendingBytes !== this.#sendingBytes) {
      this.#movedBytes = bytes
      this.#sendingBytes = sendingBytes
      this.#movedAt = Math.ceil(now)
      return false
    }
    return now - this.#movedAt >= this.#stillLimitMs(isUpgraded, isBetween, restBytes)
  }

  #stillLimitMs(isUpgraded: boolean, isBetween: boolean, restBytes: number): number {
    const { keepAliveTimeoutMs, socketTimeoutMs } = this.#limits
    if (isBetween && !isUpgraded) return keepAliveTimeoutMs + KEEP_ALIVE_BUFFER_MS
    const limitMs = isUpgraded ? Number.POSITIVE_INFINITY : socketTimeoutMs
    return this.hasMuchUnread(restBytes) ? Math.min(limitMs, UNREAD_TIMEOUT_MS) : limitMs
  }

  /**
   * Whether the client has been silent for longer than an API allows; the time then begins again.
   *
   * @param isSilenceOurs the connection is not read at the moment
   * @param isUpgraded what the client is sent counts, too
   */
  isSilent(limit: SilenceLimit | undefined, isSilenceOurs: boolean, isUpgraded: boolean, now: number): boolean {
    const bytes = this.#socket.bytesRead + (isUpgraded ? this.#socket.bytesWritten : 0)
    if (limit?.limitMs === undefined || isSilenceOurs || bytes !== this.#heardBytes) {
      this.#heardBytes = bytes
      this.#heardAt = Math.ceil(now)
    } else if (now - this.#heardAt >= limit.limitMs) {
      this.#heardAt = Math.ceil(now)
      return true
    }
    return false
  }
}

/** A part of a socket that is private to Node. */
interface SocketHandle {
  readonly writeQueueSize?: number
  /** The connection below TLS. */
  readonly _parent?: SocketHandle | null
}

/** Bytes that the operating system has taken from a socket. */
export const sentBytesOf = (socket: Socket): number =>
  socket.bytesWritten - socket.writableLength - unsentBytesOf(socket)

/**
 * Bytes that were passed on and not taken by the operating system: only the connection below a socket knows how much of a long
 * piece has been sent. Where Node has no such field, the time limit is that for all of a piece.
 */
function unsentBytesOf(socket: Socket): number {
  const { _handle: handle } = socket as { _handle?: SocketHandle | null }
  return (handle?._parent ?? handle)?.writeQueueSize ?? 0
}
