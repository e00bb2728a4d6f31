import { NOTHING } from '../../../core/bytes.js'
import { BACKSLASH, CLOSE_LIST, CLOSE_OBJECT, OPEN_LIST, OPEN_OBJECT, QUOTE } from '../../../core/json/characters.js'

const LINE_END = 0x0a
const SMALLEST_KEPT_BYTES = 1_024
/** Texts up to this length are passed byte by byte: for names and short values that costs less than a native search. */
const SHORT_TEXT_BYTES = 64

const isWhiteSpace = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

/** Why nothing more can be read: the bytes are no JSON objects, or not in UTF-8, or one of them is too large. */
export type SplitEnd = 'broken' | 'encoding' | 'tooLarge'

/** Bytes with which a byte order mark, or a text in UTF-16, begins. */
const OTHER_ENCODINGS: readonly number[] = [0xef, 0xfe, 0xff, 0]

/**
 * Finds the objects in a stream of JSON objects that follow each other, with or without white space between them. It
 * counts brackets only: an object that is found may be wrong inside.
 *
 *   {"value":…}{"value":…}   {"va      =>   {"value":…}   {"value":…}      and keeps   {"va
 */
export class ObjectSplitter {
  readonly #maxBytes: number
  readonly #onObject: (bytes: Buffer) => void
  #isStopped = false
  #readBytes = 0
  /** The beginning of an object that has not arrived completely. */
  #kept = NOTHING
  #keptBytes = 0
  #depth = 0
  #isInString = false
  #isEscaped = false
  /** Bytes that were read before {@link push}, those of other chunks included. */
  #passedBytes = 0
  #line = 1
  /** Position of the first byte of that line, among all bytes. */
  #lineAt = 0
  #placeLine = 1
  #placeColumn = 1
  /** Position of the next backslash in the chunk, if it was searched for; the length of the chunk: there is none. */
  #backslashAt = -1

  /**
   * @param maxBytes limit of one object
   * @param onObject called with each whole object; its bytes are in the chunk, or in memory that is not used again
   */
  constructor(maxBytes: number, onObject: (bytes: Buffer) => void) {
    this.#maxBytes = maxBytes
    this.#onObject = onObject
  }

  /** Bytes of an object that has not come as a whole. */
  get keptBytes(): number {
    return this.#keptBytes
  }

  /** Memory for the object that has not come as a whole: at most twice its bytes, and 1 KiB. */
  get heldBytes(): number {
    return this.#kept.length
  }

  /** Bytes of the chunk up to which {@link push} has read: all of them, unless it was stopped. */
  get readBytes(): number {
    return this.#readBytes
  }

  /** Place where the present object begins, or where the error is: `line 3 column 1`. */
  get place(): string {
    return `line ${this.#placeLine} column ${this.#placeColumn}`
  }

  /** Bytes that something else has read come before those of {@link push}. */
  pass(bytes: Buffer): void {
    for (let at = 0; at < bytes.length; at++) if (bytes[at] === LINE_END) this.#newLine(this.#passedBytes + at)
    this.#passedBytes += bytes.length
  }

  /** Called by the receiver of an object: {@link push} reads nothing behind this object. */
  stop(): void {
    this.#isStopped = true
  }

  /**
   * @param chunk is not kept
   * @param from where to begin; the bytes before were read already
   */
  push(chunk: Buffer, from = 0): SplitEnd | undefined {
    this.#isStopped = false
    this.#backslashAt = -1
    this.#readBytes = chunk.length
    let start = from
    // Position of the chunk's first byte among all bytes.
    const chunkAt = this.#passedBytes - from
    this.#passedBytes += chunk.length - from
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at]!
      if (this.#isInString) at = this.#passText(chunk, at)
      else if (this.#depth === 0) {
        if (byte === LINE_END) this.#newLine(chunkAt + at)
        else if (byte === OPEN_OBJECT) {
          this.#begin(chunkAt + at)
          start = at
          this.#depth = 1
        } else if (!isWhiteSpace(byte)) {
          this.#begin(chunkAt + at)
          return OTHER_ENCODINGS.includes(byte) ? 'encoding' : 'broken'
        }
      } else if (byte === QUOTE) this.#isInString = true
      else if (byte === OPEN_OBJECT || byte === OPEN_LIST) this.#depth++
      else if ((byte === CLOSE_OBJECT || byte === CLOSE_LIST) && --this.#depth === 0) {
        if (this.#keptBytes + at + 1 - start > this.#maxBytes) return 'tooLarge'
        this.#found(chunk.subarray(start, at + 1))
        if (this.#isStopped) {
          this.#readBytes = at + 1
          this.#passedBytes = chunkAt + at + 1
          return undefined
        }
      } else if (byte === LINE_END) this.#newLine(chunkAt + at)
    }
    if (this.#depth > 0) this.#keep(chunk.subarray(start))
    return this.#keptBytes > this.#maxBytes ? 'tooLarge' : undefined
  }

  #newLine(at: number): void {
    this.#line++
    this.#lineAt = at + 1
  }

  #begin(at: number): void {
    this.#placeLine = this.#line
    this.#placeColumn = at - this.#lineAt + 1
  }

  /** @returns the position of the closing quote, or the end of the chunk */
  #passText(chunk: Buffer, from: number): number {
    let at = this.#isEscaped ? from + 1 : from
    const longAt = at + SHORT_TEXT_BYTES
    for (; at < chunk.length; at++) {
      if (at === longAt && (at = this.#passPlain(chunk, at)) === chunk.length) break
      const byte = chunk[at]
      if (byte === QUOTE) {
        this.#isInString = this.#isEscaped = false
        return at
      }
      if (byte === BACKSLASH) at++
    }
    // A backslash that is the last byte has passed the end by one more.
    this.#isEscaped = at > chunk.length
    return chunk.length
  }

  /** @returns the position of the closing quote, or the end of the chunk; `from` where an escape comes before */
  #passPlain(chunk: Buffer, from: number): number {
    const quote = chunk.indexOf(QUOTE, from)
    const end = quote < 0 ? chunk.length : quote
    if (this.#backslashAt < from) {
      const found = chunk.indexOf(BACKSLASH, from)
      this.#backslashAt = found < 0 ? chunk.length : found
    }
    return this.#backslashAt < end ? from : end
  }

  #keep(bytes: Buffer): void {
    const keptBytes = this.#keptBytes + bytes.length
    if (keptBytes > this.#kept.length) this.#grow(keptBytes)
    this.#kept.set(bytes, this.#keptBytes)
    this.#keptBytes = keptBytes
  }

  /** One buffer, because a piece of the body may be a single byte, and an object for each costs far more. */
  #grow(neededBytes: number): void {
    const size = Math.max(neededBytes, Math.min(2 * this.#kept.length, this.#maxBytes), SMALLEST_KEPT_BYTES)
    const grown = Buffer.allocUnsafeSlow(size)
    grown.set(this.#kept.subarray(0, this.#keptBytes))
    this.#kept = grown
  }

  #found(end: Buffer): void {
    if (this.#keptBytes === 0) {
      this.#onObject(end)
      return
    }
    this.#keep(end)
    const whole = this.#kept.subarray(0, this.#keptBytes)
    this.#kept = NOTHING
    this.#keptBytes = 0
    this.#onObject(whole)
  }
}
