import type { Socket } from 'node:net'
import type { EngineResponse, Piece } from './response.js'

/** A connection is not read while this many bytes of its answers wait for the client. */
const MAX_OUTPUT_BYTES = 64 * 1024

/** The answers of one connection, which leave in the order of their requests. */
export class AnswerQueue {
  readonly #socket: Socket
  readonly #onLeft: () => void
  /** The first answer that was not sent; the others follow it. A list would be made anew for every request. */
  #first: EngineResponse | undefined
  /** The first answer that was not written as a whole. Only this one writes to the socket. */
  #writing: EngineResponse | undefined
  #last: EngineResponse | undefined
  #keptBytes = 0
  #isCorked = false
  #isEnded = false
  #hasLast = false
  /** Number of answers that have begun and not ended. */
  #streams = 0

  /** @param onLeft called after each answer that was sent, and when the client keeps up again */
  constructor(socket: Socket, onLeft: () => void) {
    this.#socket = socket
    this.#onLeft = onLeft
    socket.on('drain', () => this.#drained())
  }

  get isEmpty(): boolean {
    return this.#first === undefined
  }

  /** Whether an answer ends the connection, also while it waits for its turn: requests behind it get no answer. */
  get hasLast(): boolean {
    return this.#hasLast
  }

  get waitingBytes(): number {
    return this.#socket.writableLength + this.#keptBytes
  }

  /** Whether so much waits, for the client or for earlier answers, that no further request is read. */
  get isFull(): boolean {
    return this.waitingBytes >= MAX_OUTPUT_BYTES
  }

  /** Whether an answer has begun and not ended: it may go on for as long as it likes. */
  get isStreaming(): boolean {
    return this.#streams > 0
  }

  /** Whether all earlier answers were sent, not only written to the socket. */
  isTurnOf(response: EngineResponse): boolean {
    return this.#first === response && this.#writing === response
  }

  add(response: EngineResponse): void {
    if (this.#last === undefined) this.#first = response
    else this.#last.next = response
    this.#last = response
    this.#writing ??= response
  }

  /** @returns whether the client keeps up */
  write(response: EngineResponse, pieces: Piece[], isEnd: boolean): boolean {
    if (this.#isEnded || !this.#socket.writable) return false
    if (response.isLast) this.#hasLast = true
    // What comes before the head is no part of the answer.
    if (response.headersSent && response.isStreamed === isEnd) {
      response.isStreamed = !isEnd
      this.#streams += isEnd ? -1 : 1
    }
    if (this.#writing !== response) return this.#keep(response, pieces)
    const keepsUp = this.#writeNow(response, pieces, isEnd)
    if (isEnd) this.#advance()
    return keepsUp
  }

  /** Another protocol takes the place of the only answer. */
  forget(): void {
    this.#first = this.#writing = this.#last = undefined
  }

  close(): void {
    let response = this.#first
    this.forget()
    while (response !== undefined) {
      const { next } = response
      response.next = response.kept = undefined
      response.req.abort()
      response.over(false)
      response = next
    }
  }

  #writeNow(response: EngineResponse, pieces: readonly Piece[], isEnd: boolean): boolean {
    if (pieces.length > 1 || response.next !== undefined) this.#cork()
    const last = isEnd ? (pieces.at(-1) ?? NOTHING) : undefined
    for (const piece of pieces) if (piece !== last) this.#socket.write(piece.data, piece.encoding)
    if (last !== undefined) {
      this.#writing = response.next
      this.#isEnded = response.isLast
      this.#socket.write(last.data, last.encoding, this.#written)
    }
    return !this.#socket.writableNeedDrain
  }

  /** Makes the socket send the pieces of one tick together. */
  #cork(): void {
    if (this.#isCorked) return
    this.#isCorked = true
    this.#socket.cork()
    process.nextTick(() => {
      this.#isCorked = false
      this.#socket.uncork()
    })
  }

  readonly #written = (error?: Error | null): void => {
    // The connection closes after an error.
    const response = this.#first
    if (error || response === undefined || response === this.#writing) return
    this.#first = response.next
    if (this.#first === undefined) this.#last = undefined
    response.next = undefined
    // Node does this first, too: the handlers below must not write behind the last answer.
    if (response.isLast) this.#socket.destroySoon()
    response.over(true)
    this.#onLeft()
  }

  #keep(response: EngineResponse, pieces: readonly Piece[]): boolean {
    ;(response.kept ??= []).push(...pieces)
    for (const { data } of pieces) this.#keptBytes += data.length
    return this.#keptBytes < MAX_OUTPUT_BYTES
  }

  /** Writes the pieces that the next answers have kept until their turn. */
  #advance(): void {
    for (let next = this.#writing; next !== undefined && !this.#isEnded; next = this.#writing) {
      const { kept } = next
      if (kept !== undefined) {
        next.kept = undefined
        for (const { data } of kept) this.#keptBytes -= data.length
        this.#writeNow(next, kept, next.finished)
      }
      if (kept === undefined || !next.finished) {
        this.#wake(next)
        return
      }
    }
  }

  #drained(): void {
    if (this.#writing !== undefined) this.#wake(this.#writing)
    this.#onLeft()
  }

  #wake(response: EngineResponse): void {
    if (!response.needsDrain || this.#socket.writableNeedDrain) return
    response.needsDrain = false
    response.emit('drain')
  }
}

const NOTHING: Piece = { data: '', encoding: 'latin1' }
