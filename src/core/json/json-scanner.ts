import { hasControlByte } from './control-bytes.js'
import { hex4, isHighSurrogate, isLowSurrogate, joinSurrogates, simpleEscapes, writeUtf8 } from './json-escapes.js'

const QUOTE = 0x22
const COLON = 0x3a
const BACKSLASH = 0x5c
const MINUS = 0x2d
const SPACE = 0x20
/** More digits might not fit an i32. */
const MAX_PLAIN_DIGITS = 9

const NULL = Buffer.from('null')
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')

/**
 * A cursor over JSON bytes of the usual shape, which must be valid UTF-8. It makes no text and no tree of them: strings
 * are views of the bytes where nothing is escaped.
 *
 * Every method says by `undefined` (or `false`) that something unusual comes, right or wrong. The caller then reads the
 * bytes again in a way that can tell, such as with JsonReader. The members of an object are read so:
 *
 *   do {
 *     if (!json.take(QUOTE)) return undefined
 *     if (json.takeName(KEY)) key = json.string()      where KEY is `key"`, with its closing quote
 *   } while (json.take(COMMA))
 */
export class JsonScanner {
  readonly #bytes: Buffer
  /** A control byte somewhere, if only a line feed between tokens: then each string has to be looked at. */
  readonly #hasControl: boolean
  #at = 0
  /** The next backslash at or after the cursor; past the end when there is none. */
  #backslashAt = -1
  /** Where unescaped strings are written, one after another. Unescaping never lengthens. */
  #unescaped: Buffer | undefined
  #unescapedBytes = 0
  /** The text before: neighbours mostly share it, and comparing is cheaper than decoding. */
  #textStart = 0
  #textLength = -1
  #text = ''

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#hasControl = hasControlByte(bytes)
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

  /** Consumes this byte, and white space before it. */
  take(byte: number): boolean {
    if (this.token() !== byte) return false
    this.#at++
    return true
  }

  /** Consumes these letters, which must stand at the cursor. */
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

  /** The bytes of a string: a view of the bytes that are scanned, or of a copy where something is escaped. */
  string(): Buffer | undefined {
    const end = this.#openString()
    if (end < 0) return undefined
    if (this.#backslashAt < end) return this.#unescape()
    const value = this.#bytes.subarray(this.#at, end)
    if (this.#hasControl && hasControlByte(value)) return undefined
    this.#at = end + 1
    return value
  }

  /** Goes to the first byte of a string; returns where the next quote is, -1 when there is none. */
  #openString(): number {
    if (!this.take(QUOTE)) return -1
    if (this.#backslashAt < this.#at) {
      const found = this.#bytes.indexOf(BACKSLASH, this.#at)
      this.#backslashAt = found < 0 ? this.#bytes.length : found
    }
    return this.#bytes.indexOf(QUOTE, this.#at)
  }

  /** The string at the cursor, which has an escape in it. */
  #unescape(): Buffer | undefined {
    const bytes = this.#bytes
    if (this.#hasControl && hasControlByte(bytes.subarray(this.#at, this.#backslashAt))) return undefined
    const target = (this.#unescaped ??= Buffer.allocUnsafe(bytes.length - this.#at))
    const start = this.#unescapedBytes
    let at = this.#backslashAt
    let to = start + bytes.copy(target, start, this.#at, at)
    for (;;) {
      const byte = bytes[at]
      if (byte === QUOTE) break
      // The end of the body, or a control byte where none may stand.
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

  /** A string that is probably the same as the one before. */
  text(): string | undefined {
    const end = this.#openString()
    if (end < 0) return undefined
    const start = this.#at
    if (this.#backslashAt < end) return this.#unescape()?.toString()
    if (this.#hasControl && hasControlByte(this.#bytes.subarray(start, end))) return undefined
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

  /** Whole numbers of up to nine digits. */
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

/** The code point of an escape whose `u` stands at `at`; -1 when it is none, or half of a surrogate pair. */
function unicodeEscape(bytes: Uint8Array, at: number): number {
  if (bytes[at] !== 0x75) return -1
  const unit = hex4(bytes, at + 1)
  if (isLowSurrogate(unit)) return -1
  if (!isHighSurrogate(unit)) return unit
  if (bytes[at + 5] !== BACKSLASH || bytes[at + 6] !== 0x75) return -1
  const low = hex4(bytes, at + 7)
  return isLowSurrogate(low) ? joinSurrogates(unit, low) : -1
}
