import { type HeadLimits, IS_TOKEN, isText, type Malformed, type RequestHead, readTrailers } from './head.js'

/** Extensions of one chunk may have so many bytes, as with Node. */
const MAX_EXTENSION_BYTES = 16 * 1024
/** A size has at most this many digits, without zeros before it. */
const MAX_DIGITS = 16

const BAD = '400 Bad Request'
const [CR, LF, QUOTE, SEMICOLON, EQUALS, BACKSLASH] = [13, 10, 34, 59, 61, 92]

export interface PieceTaker {
  /** @param lasts whether the bytes stay valid after the call */
  receive(piece: Buffer, lasts: boolean): void
}

/** Part of a chunked body that the next byte belongs to. */
type ChunkPart =
  | 'firstDigit'
  | 'size'
  | 'firstOfName'
  | 'name'
  | 'value'
  | 'quoted'
  | 'escaped'
  | 'unquoted'
  | 'endOfLine'
  | 'data'
  | 'endOfData'
  | 'endOfChunk'
  | 'trailers'

/** Reads the bodies of a connection, one after another. */
export class IncomingBody {
  readonly #limits: HeadLimits
  #missingBytes = 0
  #chunks: Chunks | undefined

  constructor(limits: HeadLimits) {
    this.#limits = limits
  }

  begin({ bodyBytes, isChunked }: RequestHead): void {
    this.#missingBytes = bodyBytes
    this.#chunks = isChunked ? new Chunks(this.#limits) : undefined
  }

  get isOver(): boolean {
    return this.#missingBytes === 0 && this.#chunks?.isOver !== false
  }

  get problem(): Malformed | undefined {
    return this.#chunks?.problem
  }

  /** @returns the position behind what belongs to the body */
  read(bytes: Buffer, start: number, taker: PieceTaker, lasts: boolean): number {
    if (this.#chunks !== undefined) return this.#chunks.read(bytes, start, taker, lasts)
    const end = Math.min(bytes.length, start + this.#missingBytes)
    this.#missingBytes -= end - start
    taker.receive(bytes.subarray(start, end), lasts)
    return end
  }
}

/** Reads a body in chunks, as strictly as Node's parser. Extensions and trailers are checked and forgotten. */
export class Chunks {
  isOver = false
  problem: Malformed | undefined
  readonly #limits: HeadLimits
  #part: ChunkPart = 'firstDigit'
  /** The size of a chunk, then what is missing of it. */
  #left = 0
  #digits = 0
  #extensionBytes = 0
  #trailers: Buffer | undefined

  constructor(limits: HeadLimits) {
    this.#limits = limits
  }

  /** @returns the position behind what belongs to the body */
  read(bytes: Buffer, start: number, taker: PieceTaker, lasts: boolean): number {
    let at = start
    while (at < bytes.length && !this.isOver && this.problem === undefined) {
      if (this.#part === 'data') {
        const end = Math.min(bytes.length, at + this.#left)
        this.#left -= end - at
        if (this.#left === 0) this.#part = 'endOfData'
        taker.receive(bytes.subarray(at, end), lasts)
        at = end
      } else if (this.#part === 'trailers') return this.#readTrailers(bytes, at)
      else {
        const next = this.#next(bytes[at++]!)
        if (next === undefined) this.problem ??= BAD
        else this.#part = next
      }
    }
    return at
  }

  /** The part after a byte; `undefined`: the byte is malformed. */
  #next(byte: number): ChunkPart | undefined {
    switch (this.#part) {
      case 'firstDigit':
        this.#left = this.#digits = this.#extensionBytes = 0
        return this.#addDigit(byte) ? 'size' : undefined
      case 'size':
        return this.#addDigit(byte) ? 'size' : afterExtension(byte)
      case 'endOfLine':
        if (byte !== LF) return undefined
        return this.#left === 0 ? 'trailers' : 'data'
      case 'endOfData':
        return byte === CR ? 'endOfChunk' : undefined
      case 'endOfChunk':
        return byte === LF ? 'firstDigit' : undefined
      default:
        if (++this.#extensionBytes > MAX_EXTENSION_BYTES) this.problem = '413 Payload Too Large'
        return inExtension(this.#part, byte)
    }
  }

  #addDigit(byte: number): boolean {
    const digit = IS_TOKEN[byte] === 1 ? Number.parseInt(String.fromCharCode(byte), 16) : Number.NaN
    if (Number.isNaN(digit)) return false
    if (this.#left > 0) this.#digits++
    this.#left = this.#left * 16 + digit
    return this.#digits < MAX_DIGITS
  }

  #readTrailers(bytes: Buffer, at: number): number {
    const earlier = this.#trailers
    const trailers = earlier === undefined ? bytes.subarray(at) : Buffer.concat([earlier, bytes.subarray(at)])
    const end = readTrailers(trailers, this.#limits)
    if (typeof end === 'number') {
      this.isOver = true
      return at + end - (earlier?.length ?? 0)
    }
    if (end !== 'incomplete') this.problem = end
    this.#trailers = earlier === undefined ? Buffer.from(trailers) : trailers
    return bytes.length
  }
}

/** The part after the end of a size, or of a part of an extension. */
function afterExtension(byte: number): ChunkPart | undefined {
  if (byte === CR) return 'endOfLine'
  return byte === SEMICOLON ? 'firstOfName' : undefined
}

function inExtension(part: ChunkPart, byte: number): ChunkPart | undefined {
  switch (part) {
    case 'quoted':
      if (byte === QUOTE) return 'unquoted'
      if (byte === BACKSLASH) return 'escaped'
      return isText(byte) ? 'quoted' : undefined
    case 'escaped':
      return isText(byte) ? 'quoted' : undefined
    case 'value':
      if (byte === QUOTE) return 'quoted'
      return IS_TOKEN[byte] === 1 ? 'value' : afterExtension(byte)
    case 'unquoted':
      return afterExtension(byte)
    default:
      if (byte === EQUALS) return 'value'
      if (IS_TOKEN[byte] === 1) return 'name'
      return part === 'firstOfName' && byte === CR ? undefined : afterExtension(byte)
  }
}
