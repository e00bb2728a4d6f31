import type { Socket } from 'node:net'
import type { EngineResponse, Piece } from './response.js'

/** A connection is not read while this many bytes of its answers wait for the client. */
const MAX_OUTPUT_BYTES = 64 * 1024

/** The pieces that an answer has written before its turn. */
interface Kept {
  readonly pieces: Piece[]
  isEnd: boolean
}

/** The answers of one connection, which leave in the order of their requests. */
export class AnswerQueue {
  readonly #socket: Socket
  readonly #onLeft: () => void
  /** Answers that have not ended or are not written yet. Only the first one writes to the socket. */
  readonly #open: EngineResponse[] = []
  /** Answers that were written to the socket as a whole, and are not sent yet. */
  readonly #leaving: EngineResponse[] = []
  #kept: Map<EngineResponse, Kept> | undefined
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
    return this.#open.length === 0 && this.#leaving.length === 0
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
    return this.#open[0] === response && this.#leaving.length === 0
  }

  add(response: EngineResponse): void {
    this.#open.push(response)
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
    if (this.#open[0] !== response) return this.#keep(response, pieces, isEnd)
    const keepsUp = this.#writeNow(response, pieces, isEnd)
    if (isEnd) this.#advance()
    return keepsUp
  }

  /** Another protocol takes the place of the only answer. */
  forget(): void {
    this.#open.length = 0
  }

  close(): void {
    this.#kept = undefined
    for (const response of [...this.#leaving.splice(0), ...this.#open.splice(0)]) {
      response.req.abort()
      response.over(false)
    }
  }

  #writeNow(response: EngineResponse, pieces: readonly Piece[], isEnd: boolean): boolean {
    if (pieces.length > 1 || this.#open.length > 1) this.#cork()
    const last = isEnd ? (pieces.at(-1) ?? NOTHING) : undefined
    for (const piece of pieces) if (piece !== last) this.#socket.write(piece.data, piece.encoding)
    if (last !== undefined) {
      this.#open.shift()
      this.#leaving.push(response)
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
    const response = error ? undefined : this.#leaving.shift()
    if (response === undefined) return
    // Node does this first, too: the handlers below must not write behind the last answer.
    if (response.isLast) this.#socket.destroySoon()
    response.over(true)
    this.#onLeft()
  }

  #keep(response: EngineResponse, pieces: readonly Piece[], isEnd: boolean): boolean {
    const kept = (this.#kept ??= new Map())
    const own = kept.get(response) ?? { pieces: [], isEnd }
    own.pieces.push(...pieces)
    own.isEnd = isEnd
    kept.set(response, own)
    for (const { data } of pieces) this.#keptBytes += data.length
    return this.#keptBytes < MAX_OUTPUT_BYTES
  }

  /** Writes the pieces that the next answers have kept until their turn. */
  #advance(): void {
    for (let next = this.#open[0]; next !== undefined && !this.#isEnded; next = this.#open[0]) {
      const kept = this.#kept?.get(next)
      if (kept !== undefined) {
        this.#kept!.delete(next)
        for (const { data } of kept.pieces) this.#keptBytes -= data.length
        this.#writeNow(next, kept.pieces, kept.isEnd)
      }
      if (kept?.isEnd !== true) {
        this.#wake(next)
        return
      }
    }
  }

  #drained(): void {
    const first = this.#open[0]
    if (first !== undefined) this.#wake(first)
    this.#onLeft()
  }

  #wake(response: EngineResponse): void {
    if (!response.needsDrain || this.#socket.writableNeedDrain) return
    response.needsDrain = false
    response.emit('drain')
  }
}

const NOTHING: Piece = { data: '', encoding: 'latin1' }
