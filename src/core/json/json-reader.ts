import { isUtf8 } from 'node:buffer'
import { StacklessError } from '../errors.js'
import {
  BACKSLASH,
  CLOSE_LIST,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  LINE_FEED,
  NINE,
  OPEN_OBJECT,
  QUOTE,
  SPACE,
  ZERO
} from './characters.js'
import {
  endOfPlainString,
  hexDigit,
  isHighSurrogate,
  isLowSurrogate,
  joinSurrogates,
  simpleEscapes,
  specialInStrings as special,
  writeUtf8
} from './json-strings.js'

/** The bytes are not the expected JSON. The message is the same as that of serde_json. */
export class DeserializeError extends StacklessError {
  override readonly name = 'DeserializeError'
}

const REST_OF_WORD = { n: Buffer.from('ull'), t: Buffer.from('rue'), f: Buffer.from('alse') }

const isBlank = (byte: number): boolean =>
  byte <= SPACE && (byte === SPACE || byte === 0x0a || byte === 0x09 || byte === 0x0d)

/** The last name of a member with each first byte. Names repeat, and to compare one costs a fraction of making its text. */
const knownNames = new Array<string>(256).fill('')
const MAX_KNOWN_NAME = 64
/** Limit of names that a reader reads in one go, such as those of one record. */
const MAX_NAMES = 10_000

/** Facts about the long parts of a text that were found before it is read, so that the reader reads none of them in one step. */
export interface LongParts {
  /** Beginning of a value, string or run of white space => its end; negative: the value is not compact. */
  readonly ends: Map<number, number>
  /** Beginning of a list, object or number => the error in it. */
  readonly faults: Map<number, DeserializeError>
  /** A string with an error, which lies at `from` or behind it. */
  readonly faulty: { readonly quoteAt: number; readonly from: number } | undefined
  /** Beginning of a string's content => the bytes that the string stands for; beginning of a value => its compact form. */
  readonly contents: Map<number, Buffer>
  /** Lines were counted up to this place, where the line has the number `line`, from 1. */
  readonly countedTo: number
  readonly line: number
}

/**
 * A cursor over JSON bytes. Its errors have the message, the line and the column of serde_json.
 *
 * The reported position is a count of consumed bytes. `failAtPeek` also counts the next byte, `failHere` does not. The
 * choice between the two copies serde_json, also where it looks arbitrary. At the end of the bytes, methods return -1.
 *
 * Source: serde_json 1.0.64, src/de.rs and src/read.rs (SliceRead).
 */
export class JsonReader {
  index = 0
  /** Set by its user; false as soon as white space or an escape in a string is skipped. */
  isCompact = true
  /** Absent: the text is read as it comes. */
  longParts: LongParts | undefined
  readonly #bytes: Buffer
  readonly isWholeUtf8: boolean
  #names = 0
  #scratch: Buffer | undefined

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.isWholeUtf8 = isUtf8(bytes)
  }

  /** The next byte, or -1 at the end. */
  peek(): number {
    return this.index < this.#bytes.length ? this.#bytes[this.index]! : -1
  }

  /** Consumes and returns the next byte; at the end it returns -1 and consumes nothing. */
  next(): number {
    return this.index < this.#bytes.length ? this.#bytes[this.index++]! : -1
  }

  /** Skips white space and returns the next byte without consuming it. */
  peekToken(): number {
    const byte = this.#bytes[this.index]
    if (byte !== undefined && isBlank(byte)) return this.#afterBlanks()
    return byte ?? -1
  }

  #afterBlanks(): number {
    while (isBlank(this.peek()) && this.skipKnown(this.index)) {}
    this.skipBlanks(Number.POSITIVE_INFINITY)
    return this.peek()
  }

  /** @returns whether a token or the end of the bytes comes next; false: `until` was reached before */
  skipBlanks(until: number): boolean {
    const bytes = this.#bytes
    const end = Math.min(until, bytes.length)
    let at = this.index
    while (at < end && isBlank(bytes[at]!)) at++
    if (at > this.index) this.isCompact = false
    this.index = at
    return at < end || at === bytes.length
  }

  /** Consumes a value or a string whose end is known. @param from where it begins @returns false: nothing is known of it */
  skipKnown(from: number): boolean {
    const fault = this.longParts?.faults.get(from)
    if (fault !== undefined) throw fault
    const end = this.longParts?.ends.get(from)
    if (end === undefined) return false
    if (end < 0) this.isCompact = false
    this.index = Math.abs(end)
    return true
  }

  /** Called before the names of another record are read. */
  beginRecord(): void {
    this.#names = 0
  }

  failHere(reason: string): never {
    this.#fail(reason, this.index)
  }

  failAtPeek(reason: string): never {
    this.#fail(reason, Math.min(this.#bytes.length, this.index + 1))
  }

  #fail(reason: string, consumed: number): never {
    const bytes = this.#bytes
    const { countedTo = 0, line: counted = 1 } = this.longParts ?? {}
    const isCounted = countedTo <= consumed
    const first = bytes.indexOf(LINE_FEED, isCounted ? countedTo : 0)
    let line = isCounted ? counted : 1
    for (let at = first < 0 ? consumed : first; at < consumed; at++) if (bytes[at] === LINE_FEED) line++
    const lineStart = line === 1 ? 0 : bytes.lastIndexOf(LINE_FEED, consumed - 1) + 1
    throw new DeserializeError(`${reason} at line ${line} column ${consumed - lineStart}`)
  }

  /**
   * Consumes the rest of a string after its opening quote, and returns its bytes: a view, or a copy when something is escaped.
   */
  finishString(): Buffer {
    const bytes = this.#bytes
    const start = this.index
    const known = this.longParts?.contents.get(start)
    let value = known
    if (known === undefined || !this.skipKnown(start - 1)) {
      const plainEnd = this.#skipsToFault() ? -1 : endOfPlainString(bytes, start)
      if (plainEnd >= 0) this.index = plainEnd
      value = plainEnd >= 0 ? bytes.subarray(start, plainEnd) : this.#unescape()
      this.index++
    }
    if (!this.isWholeUtf8 && !isUtf8(bytes.subarray(start, this.index - 1))) this.failHere('invalid unicode code point')
    return value!
  }

  /** Skips the valid beginning of a string that is known to have an error. @returns whether the string is one */
  #skipsToFault(): boolean {
    const faulty = this.longParts?.faulty
    if (faulty?.quoteAt !== this.index - 1) return false
    this.index = faulty.from
    return true
  }

  /** Like `finishString`, as a text, for strings that repeat: names of members, and words. */
  finishName(): string {
    const bytes = this.#bytes
    const start = this.index
    const known = knownNames[bytes[start] ?? QUOTE]!
    let length = 0
    while (length < known.length && bytes[start + length] === known.charCodeAt(length)) length++
    if (length === known.length && bytes[start + length] === QUOTE) {
      this.index = start + length + 1
      return known
    }
    const name = this.finishString().toString()
    // Only ASCII without escapes has as many characters as bytes. A key of an object is compared by its place in memory.
    const isPlain = name.length === this.index - 1 - start && name.length <= MAX_KNOWN_NAME
    if (isPlain && name !== '') knownNames[bytes[start]!] = Object.keys({ [name]: 0 })[0]!
    return name
  }

  /**
   * Unescapes a string up to its closing quote. Unescaping never makes a string longer, so a buffer as long as the body
   * is enough.
   */
  #unescape(): Buffer {
    const bytes = this.#bytes
    const scratch = (this.#scratch ??= Buffer.allocUnsafe(bytes.length))
    let length = 0
    let at = this.index
    for (;;) {
      if (at === bytes.length) {
        this.index = at
        this.failHere('EOF while parsing a string')
      }
      const byte = bytes[at++]!
      if (!special[byte]) {
        scratch[length++] = byte
        continue
      }
      this.index = at
      if (byte === BACKSLASH) {
        const simple = simpleEscapes[bytes[at] ?? 0]!
        if (simple) {
          scratch[length++] = simple
          at++
        } else {
          length = writeUtf8(scratch, length, this.#finishEscape())
          at = this.index
        }
      } else if (byte === QUOTE) {
        this.index = at - 1
        return Buffer.from(scratch.subarray(0, length))
      } else this.failHere('control character (\\u0000-\\u001F) found while parsing a string')
    }
  }

  /** Consumes an escape after its backslash and returns its code point. */
  #finishEscape(): number {
    const letter = this.#nextInString()
    const simple = simpleEscapes[letter]!
    if (simple) return simple
    if (letter !== 0x75) this.failHere('invalid escape')
    const first = this.#finishHex()
    if (isLowSurrogate(first)) this.failHere('lone leading surrogate in hex escape')
    if (!isHighSurrogate(first)) return first
    if (this.#nextInString() !== BACKSLASH) this.failHere('unexpected end of hex escape')
    if (this.#nextInString() !== 0x75) this.failHere('unexpected end of hex escape')
    const second = this.#finishHex()
    if (!isLowSurrogate(second)) this.failHere('lone leading surrogate in hex escape')
    return joinSurrogates(first, second)
  }

  #finishHex(): number {
    if (this.index + 4 > this.#bytes.length) {
      this.index = this.#bytes.length
      this.failHere('EOF while parsing a string')
    }
    let value = 0
    for (let i = 0; i < 4; i++) {
      const digit = hexDigit(this.next())
      if (digit < 0) this.failHere('invalid escape')
      value = value * 16 + digit
    }
    return value
  }

  #nextInString(): number {
    const byte = this.next()
    if (byte < 0) this.failHere('EOF while parsing a string')
    return byte
  }

  /**
   * Consumes the rest of a string after its opening quote. Its bytes need not be UTF-8.
   *
   * @returns false: `until` was reached before its end, and {@link skipEscaped} goes on
   */
  skipString(until = Number.POSITIVE_INFINITY): boolean {
    const plainEnd = this.#skipsToFault() ? -1 : endOfPlainString(this.#bytes, this.index)
    if (plainEnd < 0) return this.skipKnown(this.index - 1) || this.skipEscaped(until)
    this.index = plainEnd + 1
    return true
  }

  skipEscaped(until: number): boolean {
    const bytes = this.#bytes
    const end = Math.min(until, bytes.length)
    for (;;) {
      let at = this.index
      while (at < end && !special[bytes[at]!]) at++
      this.index = at
      if (at >= until) return false
      const byte = this.peek()
      // Unlike `finishString`, this does not consume the byte, so the column in the message is one less.
      if (byte >= 0 && byte < 0x20) this.failHere('control character (\\u0000-\\u001F) found while parsing a string')
      this.#nextInString()
      if (byte === QUOTE) return true
      this.isCompact = false
      this.#finishEscape()
    }
  }

  /** Consumes digits. @returns how many @param until where it stops at the latest */
  skipDigits(until = Number.POSITIVE_INFINITY): number {
    const bytes = this.#bytes
    const start = this.index
    const end = Math.min(until, bytes.length)
    let at = start
    while (at < end && bytes[at]! >= ZERO && bytes[at]! <= NINE) at++
    this.index = at
    return at - start
  }

  /**
   * Consumes `null`, `true` or `false` and returns its first letter. Returns `undefined` when the next byte begins none
   * of them.
   */
  finishKeyword(): 'n' | 't' | 'f' | undefined {
    const byte = this.peek()
    const letter = byte === 0x6e ? 'n' : byte === 0x74 ? 't' : byte === 0x66 ? 'f' : undefined
    if (letter === undefined) return undefined
    this.index++
    for (const expected of REST_OF_WORD[letter]) {
      const next = this.next()
      if (next < 0) this.failHere('EOF while parsing a value')
      if (next !== expected) this.failHere('expected ident')
    }
    return letter
  }

  /** Skips white space, and consumes this byte. @param what `a string` */
  takeToken(byte: number, what: string): void {
    const found = this.peekToken()
    if (found < 0) this.failAtPeek('EOF while parsing a value')
    if (found !== byte) this.failAtPeek(`expected ${what}`)
    this.index++
  }

  /**
   * Begins an object. Its members are read without a function for each object, which would cost as much as a short one:
   *
   *   for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) …consume the value
   */
  firstMember(): string | undefined {
    this.takeToken(OPEN_OBJECT, 'an object')
    return this.nextMember(true)
  }

  /** The name of the next member, whose value comes next; `undefined`: the object is consumed. */
  nextMember(isFirst = false): string | undefined {
    const hasNext = this.nextKey(isFirst)
    this.index++
    if (!hasNext) return undefined
    const name = this.finishName()
    this.expectColon()
    return name
  }

  /** True when an element of a list comes next; a comma before it has been consumed. */
  nextElement(isFirst: boolean): boolean {
    return this.#hasNext(isFirst, CLOSE_LIST, 'a list')
  }

  /** True when the opening quote of a key comes next. */
  nextKey(isFirst: boolean): boolean {
    if (!this.#hasNext(isFirst, CLOSE_OBJECT, 'an object')) return false
    if (this.peekToken() !== QUOTE) this.failAtPeek('key must be a string')
    if (++this.#names > MAX_NAMES) this.failHere(`a record has more than ${MAX_NAMES} members`)
    return true
  }

  #hasNext(isFirst: boolean, closing: number, what: string): boolean {
    let byte = this.peekToken()
    if (byte === closing) return false
    if (byte < 0) this.failAtPeek(`EOF while parsing ${what}`)
    if (isFirst) return true
    if (byte !== COMMA) this.failAtPeek(`expected \`,\` or \`${String.fromCharCode(closing)}\``)
    this.index++
    byte = this.peekToken()
    if (byte === closing) this.failAtPeek('trailing comma')
    if (byte < 0) this.failAtPeek('EOF while parsing a value')
    return true
  }

  expectColon(): void {
    const byte = this.peekToken()
    if (byte < 0) this.failAtPeek('EOF while parsing an object')
    if (byte !== COLON) this.failAtPeek('expected `:`')
    this.index++
  }
}
