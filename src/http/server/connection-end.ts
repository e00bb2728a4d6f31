import type { Socket } from 'node:net'
import type { OpenRequest } from './open-request.js'

/** Time for the client to read the last answers before the connection is closed. */
const LINGER_MS = 2_000

/** The last answer on a connection, without a body. */
const toLastAnswer = (status: string): string => `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`

/** Reads the requests of a connection. */
export interface RequestReader {
  readonly socket: Socket
  /** Bytes of answers that the client has not taken, and of answers that wait for their turn. */
  readonly unreadBytes: number
  pause(): void
  resume(): void
  /** Discards the bytes that arrive, and stops reading after `maxBytes`. */
  discard(maxBytes: number): void
}

/** The part of a connection that its end uses. */
export interface EndingConnection {
  readonly socket: Socket
  readonly reader: RequestReader
  readonly unanswered: readonly OpenRequest[]
  /** The request whose body is still coming. */
  readonly incomplete: OpenRequest | undefined
  /** The connection keeps its socket paused. */
  isPaused: boolean
}

export interface EndLimits {
  readonly limits: {
    /** After the last answer, at most this many bytes are discarded. */
    readonly maxBodyBytes: number
  }
}

/** The end of one connection: its last answer, and the time in which the client may read it. */
export class ConnectionEnd {
  readonly #connection: EndingConnection
  readonly #host: EndLimits
  /** Status of the last answer, which waits for the answers to earlier requests. */
  #status: string | undefined
  /** The request whose body had not come when the last answer was decided on. */
  #broken: OpenRequest | undefined
  #lingering: NodeJS.Timeout | undefined

  constructor(connection: EndingConnection, host: EndLimits) {
    this.#connection = connection
    this.#host = host
  }

  get isLingering(): boolean {
    return this.#lingering !== undefined
  }

  /** Ends the connection with an answer without a body: once, and after the answers to earlier requests. */
  endWith(status: string): void {
    if (this.#status !== undefined || this.isLingering) return
    this.#status = status
    this.#broken = this.#connection.incomplete
    if (this.#connection.socket.writable) this.#sayLastAnswer()
    else this.#connection.socket.destroy()
  }

  /** The last answer waits, and is for this request. */
  isBroken(request: OpenRequest): boolean {
    return this.#status !== undefined && this.#broken === request
  }

  /** A request has its answer. */
  requestEnded(): void {
    if (this.#status !== undefined) this.#sayLastAnswer()
  }

  #sayLastAnswer(): void {
    const { socket, incomplete, unanswered } = this.#connection
    // The slow body has arrived in the meantime, so the error answer is not sent.
    if (this.#broken?.complete) this.#status = undefined
    if (this.#status === undefined) return
    const isBrokenOpen = incomplete !== undefined && unanswered.includes(incomplete)
    if (unanswered.length > (isBrokenOpen ? 1 : 0) || this.isLingering) return
    const answer = toLastAnswer(this.#status)
    this.#status = undefined
    // The broken request may have an answer already, which cannot be replaced.
    const mayAnswer = socket.writable && (incomplete === undefined || (isBrokenOpen && !incomplete.isAnswerBegun))
    if (!mayAnswer) {
      // An answer that is whole may not have left yet.
      if (incomplete?.isAnswered) this.linger()
      else socket.destroy()
      return
    }
    incomplete?.over()
    socket.end(answer)
    this.linger()
  }

  /** Half-closes the connection, and for a while discards what the client still sends. */
  linger(): void {
    const { socket, reader } = this.#connection
    if (this.isLingering || socket.destroyed) return
    this.#connection.isPaused = false
    this.#lingering = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.end()
    reader.discard(this.#host.limits.maxBodyBytes)
  }

  /** The connection has closed. */
  closed(): void {
    clearTimeout(this.#lingering)
    this.#status = undefined
  }
}
