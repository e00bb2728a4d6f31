import { afterNextReads } from './loop-watch.js'

/** Time for the reset of a client that has hung up, after what it was sent. */
const RESET_MS = 100
/** An end that comes so soon after its request tells nothing: the client has hung up, or sends nothing more. */
const RIGHT_BEHIND_MS = 10
/** The same after a stand-still, when many sockets are read in turns. */
const BEHIND_STILL_MS = 100

/** A part of an answer, as it goes to the socket. */
interface LastPiece {
  readonly data: string | Uint8Array
  readonly encoding: BufferEncoding
}

interface Loop {
  now(): number
  stoodStill(): boolean
}

/**
 * An answer that gives something away: what it brings is lost, or lent in vain, where it does not reach its client. After a
 * stand-still, a request and the end of its client may be in the socket together, and the end is read one turn of the loop later.
 * Besides, an end does not tell whether the client has hung up, or only sends nothing more and is to be served. So such an answer
 * leaves at once but for its last byte:
 *
 *   last byte kept ── the sockets were read, no end ───────────▶ written
 *          └───────── the end has come ── 100 ms, no reset ────▶ written
 *                                            └── reset ────────▶ not written: the connection has ended
 */
export class GivingAnswer {
  readonly #loop: Loop
  readonly #write: (lastByte: Uint8Array) => void
  readonly #endsRightBehindUntil: number
  /** Whether an end may be in the socket that was there when the request was read. */
  #isUnsure: boolean
  #hasEnded = false
  #lastByte: Uint8Array | undefined
  #timer: NodeJS.Timeout | undefined

  /**
   * To be made in the turn of the loop in which the request is read; in a later one an end has been read, too.
   *
   * @param write writes the byte that was kept
   * @param isRead whether the socket is being read: an end behind the request is known soon
   */
  constructor(loop: Loop, write: (lastByte: Uint8Array) => void, isRead: boolean) {
    this.#loop = loop
    this.#write = write
    this.#isUnsure = loop.stoodStill() || !isRead
    this.#endsRightBehindUntil = loop.now() + (this.#isUnsure ? BEHIND_STILL_MS : RIGHT_BEHIND_MS)
    if (this.#isUnsure) afterNextReads(() => this.#madeSure())
  }

  /** Keeps the last byte of the last piece, if need be. @returns the rest of the piece; `undefined`: nothing is kept */
  rest({ data, encoding }: LastPiece): Uint8Array | undefined {
    // A client that has waited may have hung up just before its message came.
    if (!this.#isUnsure && !this.#hasEnded && this.#loop.stoodStill()) {
      this.#isUnsure = true
      afterNextReads(() => this.#madeSure())
    }
    if (!this.#isUnsure && !this.#hasEnded) return undefined
    const bytes = typeof data === 'string' ? Buffer.from(data, encoding) : data
    this.#lastByte = bytes.subarray(-1)
    if (!this.#isUnsure) this.#writeLater()
    return bytes.subarray(0, -1)
  }

  /** The client sends nothing more. @returns whether it may be there all the same, so that the answer is to be written */
  ended(): boolean {
    const isRightBehind = this.#loop.now() <= this.#endsRightBehindUntil
    this.#hasEnded = this.#lastByte !== undefined || isRightBehind
    return this.#hasEnded
  }

  /** The answer was sent, or its connection has ended. */
  over(): void {
    clearTimeout(this.#timer)
    this.#lastByte = undefined
  }

  #madeSure(): void {
    this.#isUnsure = false
    if (this.#lastByte === undefined) return
    if (this.#hasEnded) this.#writeLater()
    else this.#write(this.#lastByte)
  }

  #writeLater(): void {
    this.#timer = setTimeout(() => this.#write(this.#lastByte!), RESET_MS)
  }
}
