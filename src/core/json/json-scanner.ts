import { viewOf } from '../bytes.js'
import { BACKSLASH, COLON, MINUS, QUOTE, SPACE } from './characters.js'
import {
  hex4,
  isHighSurrogate,
  isLowSurrogate,
  joinSurrogates,
  listSpecialBytes,
  PIECE_BYTES,
  simpleEscapes,
  specialPlaces,
  writeUtf8
} from './json-strings.js'

/** Numbers with more digits may not fit into an i32. */
const MAX_PLAIN_DIGITS = 9

const NULL = Buffer.from('null')
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')

/**
 * A fast cursor over JSON bytes, which must be valid UTF-8. It builds no tree. A string without escapes is a view of
 * the bytes.
 *
 * A method returns `undefined` (or `false`) for everything unusual, even for valid JSON. The caller then reads the
 * bytes again with a complete reader, such as JsonReader. An object is read like this:
 *
 *   do {
 *     if (!json.take(QUOTE)) return undefined
 *     if (json.takeName(KEY)) key = json.string()      where KEY is `key"`, with its closing quote
 *   } while (json.take(COMMA))
 */
export class JsonScanner {
  readonly #bytes: Buffer
  readonly #memory: ArrayBufferLike
  readonly #offset: number
  #at = 0
  /** Start of the piece whose special bytes are listed. `#specials`: how many; `#passed`: how many are before the cursor. */
  #pieceAt = -PIECE_BYTES
  #specials = 0
  #passed = 0
  /**
   * Holds the unescaped strings, one after another. It never overflows, because unescaping does not make a string
   * longer.
   */
  #unescaped: Buffer | undefined
  #unescapedBytes = 0
  /** The last result of `text`. Most texts equal the text before them, and comparing bytes is cheaper than decoding. */
  #textStart = 0
  #textLength = -1
  #text = ''

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#memory = bytes.buffer
    this.#offset = bytes.byteOffset
  }

  /** The next byte that is no white space; -1 at the end. */
  token(): number {
    const bytes = this.#bytes
    for (let at = this.#at; at < bytes.length; at++) {
      const byte = bytes[at]!
      if (byte > SPACE || !isWhiteSpace(byte)) {
        this.#at = at
        return byte
      }
    }
    this.#at = bytes.length
    return -1
  }

  /** Skips white space, then consumes this byte. Returns false when another byte comes next. */
  take(byte: number): boolean {
    if (this.token() !== byte) return false
    this.#at++
    return true
  }

  /** Consumes these letters at the cursor. Returns false when the next bytes differ from them. */
  takeWord(letters: Buffer): boolean {
    const bytes = this.#bytes
    const at = this.#at
    if (bytes[at] !== letters[0]) return false
    for (let i = 1; i < letters.length; i++) if (bytes[at + i] !== letters[i]) return false
    this.#at = at + letters.length
    return true
  }

  /**
   * Consumes the rest of a member's name after its opening quote, and the colon.
   *
   * @param letters the name with its closing quote
   */
  takeName(letters: Buffer): boolean {
    const start = this.#at
    if (this.takeWord(letters) && this.take(COLON)) return true
    this.#at = start
    return false
  }

  /** Consumes a string and returns its bytes: a view of the scanned bytes, or a copy when the string has escapes. */
  string(): Buffer | undefined {
    const end = this.#openString()
    if (this.#bytes[end] !== QUOTE) return this.#unescape(end)
    const value = viewOf(this.#memory, this.#offset + this.#at, end - this.#at)
    this.#at = end + 1
    return value
  }

  /** Moves to the first byte of a string. Returns the place of the first one that is not plain; -1: there is none. */
  #openString(): number {
    return this.take(QUOTE) ? this.#specialFrom(this.#at) : -1
  }

  /** Position of the first quote, backslash or control byte from `start` on; -1: there is none. */
  #specialFrom(start: number): number {
    const bytes = this.#bytes
    for (;;) {
      for (; this.#passed < this.#specials; this.#passed++) {
        const at = this.#pieceAt + specialPlaces[this.#passed]!
        if (at >= start) return at
      }
      this.#pieceAt = Math.max(this.#pieceAt + PIECE_BYTES, start - (start % PIECE_BYTES))
      if (this.#pieceAt >= bytes.length) return -1
      const isWhole = bytes.length <= PIECE_BYTES
      this.#specials = listSpecialBytes(isWhole ? bytes : bytes.subarray(this.#pieceAt, this.#pieceAt + PIECE_BYTES))
      this.#passed = 0
    }
  }

  /** Consumes the string at the cursor, whose first byte that is not plain is at `at`. */
  #unescape(at: number): Buffer | undefined {
    const bytes = this.#bytes
    if (bytes[at] !== BACKSLASH) return undefined
    const target = (this.#unescaped ??= Buffer.allocUnsafe(bytes.length - this.#at))
    const start = this.#unescapedBytes
    let to = start + bytes.copy(target, start, this.#at, at)
    for (;;) {
      const byte = bytes[at]
      if (byte === QUOTE) break
      // The bytes end, or there is a control byte that is not escaped.
      if (byte === undefined || byte < SPACE) return undefined
      at++
      if (byte !== BACKSLASH) target[to++] = byte
      else {
        const simple = simpleEscapes[bytes[at] ?? 0]!
        if (simple !== 0) {
          target[to++] = simple
          at++
        } else {
          const codePoint = unicodeEscape(bytes, at)
          if (codePoint < 0) return undefined
          to = writeUtf8(target, to, codePoint)
          at += codePoint > 0xffff ? 11 : 5
        }
      }
    }
    this.#at = at + 1
    this.#unescapedBytes = to
    return target.subarray(start, to)
  }

  /** Consumes a string and decodes it. A string that equals the last decoded one is not decoded again. */
  text(): string | undefined {
    const end = this.#openString()
    const start = this.#at
    if (this.#bytes[end] !== QUOTE) return this.#unescape(end)?.toString()
    this.#at = end + 1
    if (!this.#isSameText(start, end)) {
      this.#text = this.#bytes.toString('utf8', start, end)
      this.#textStart = start
      this.#textLength = end - start
    }
    return this.#text
  }

  #isSameText(start: number, end: number): boolean {
    const bytes = this.#bytes
    if (end - start !== this.#textLength) return false
    for (let i = start, j = this.#textStart; i < end; i++, j++) if (bytes[i] !== bytes[j]) return false
    return true
  }

  nullOrString(): Buffer | null | undefined {
    if (this.token() === QUOTE) return this.string()
    return this.takeWord(NULL) ? null : undefined
  }

  /** Consumes `null` or an integer of up to nine digits. */
  nullOrInteger(): number | null | undefined {
    this.token()
    return this.takeWord(NULL) ? null : this.#integer()
  }

  #integer(): number | undefined {
    const bytes = this.#bytes
    const isNegative = this.take(MINUS)
    const start = this.#at
    let at = start
    let value = 0
    for (let byte = bytes[at]; byte !== undefined && byte >= 0x30 && byte <= 0x39; byte = bytes[++at]) {
      value = value * 10 + byte - 0x30
    }
    const length = at - start
    if (length === 0 || length > MAX_PLAIN_DIGITS || (length > 1 && bytes[start] === 0x30)) return undefined
    this.#at = at
    return isNegative ? 0 - value : value
  }

  nullOrBoolean(): boolean | null | undefined {
    this.token()
    if (this.takeWord(TRUE)) return true
    if (this.takeWord(FALSE)) return false
    return this.takeWord(NULL) ? null : undefined
  }
}

const isWhiteSpace = (byte: number): boolean => byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09

/** The code point of an escape whose `u` is at `at`. -1 for an invalid escape or half of a surrogate pair. */
function unicodeEscape(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== 0x75) return -1
  const unit = hex4(bytes, at + 1)
  if (isLowSurrogate(unit)) return -1
  if (!isHighSurrogate(unit)) return unit
  if (bytes[at + 5] !== BACKSLASH || bytes[at + 6] !== 0x75) return -1
  const low = hex4(bytes, at + 7)
  return isLowSurrogate(low) ? joinSurrogates(unit, low) : -1
}
