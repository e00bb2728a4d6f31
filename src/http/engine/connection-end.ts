import type { Socket } from 'node:net'
import type { Malformed } from './head.js'
import type { EngineRequest } from './request.js'

/** Time for the client to read the last answers before the connection is closed. */
const LINGER_MS = 2_000

/** Why a connection is broken, as the status of its last answer. */
export type Broken = Malformed | '408 Request Timeout' | '503 Service Unavailable'

/**
 * The end of a connection: its last answer, where that is not an answer to a request, and the time in which its client can read
 * the last answers. A socket that is closed while bytes still arrive is reset, and a reset discards answers that the client has
 * not read yet.
 */
export class ConnectionEnd {
  readonly #socket: Socket
  readonly #maxDiscardedBytes: number
  /** Status of the last answer, which waits for the answers to earlier requests. */
  #status: Broken | undefined
  #lingering: NodeJS.Timeout | undefined
  /** The socket is not read beyond this number of bytes, where there is a limit. */
  #maxReadBytes: number | undefined

  /** @param maxDiscardedBytes at most so many bytes are read behind the last answer */
  constructor(socket: Socket, maxDiscardedBytes: number) {
    this.#socket = socket
    this.#maxDiscardedBytes = maxDiscardedBytes
  }

  get isLingering(): boolean {
    return this.#lingering !== undefined
  }

  /** Whether the last answer waits for others. */
  get isDue(): boolean {
    return this.#status !== undefined
  }

  /** Whether bytes are still read, and discarded. */
  get isRead(): boolean {
    return this.#maxReadBytes === undefined || this.#socket.bytesRead <= this.#maxReadBytes
  }

  /** The first reason counts. @returns whether it is this one, and is answered */
  set(status: Broken): boolean {
    if (this.isDue || this.isLingering) return false
    if (this.#socket.writable) this.#status = status
    else this.#socket.destroy()
    return this.isDue
  }

  /**
   * Sends the last answer if it is due, and no other answer comes before it.
   *
   * @param incomplete the request that is broken, if one is @returns whether the connection is to linger
   */
  say(openRequests: number, incomplete: EngineRequest | undefined): boolean {
    const socket = this.#socket
    const status = this.#status
    const isBrokenOpen = incomplete?.isOver === false
    if (status === undefined || this.isLingering || openRequests > (isBrokenOpen ? 1 : 0)) return false
    this.#status = undefined
    // The broken request may have an answer already, which cannot be replaced.
    if (socket.writable && (incomplete === undefined || (isBrokenOpen && !incomplete.isAnswerBegun))) {
      // A client that has ended its side has left, and may not read the answer.
      if (incomplete !== undefined && !socket.readableEnded) incomplete.refusedWith = Number.parseInt(status, 10)
      incomplete?.over()
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
      return true
    }
    // An answer that is whole may not have left yet.
    if (incomplete?.isAnswered) return true
    socket.destroy()
    return false
  }

  /** Half-closes the connection. */
  linger(): void {
    this.#lingering = setTimeout(() => this.#socket.destroy(), LINGER_MS)
    this.#socket.end()
    this.#maxReadBytes = this.#socket.bytesRead + this.#maxDiscardedBytes
  }

  closed(): void {
    clearTimeout(this.#lingering)
    this.#status = undefined
  }
}
