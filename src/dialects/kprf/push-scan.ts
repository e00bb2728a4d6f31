import { isUtf8 } from 'node:buffer'
import { hasControlByte } from './control-bytes.js'
import { hex4, isHighSurrogate, isLowSurrogate, joinSurrogates, simpleEscapes, writeUtf8 } from './json-escapes.js'
import { type PushRecord, type PushRequest, toPartition } from './push-request.js'

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const MINUS = 0x2d
const SPACE = 0x20
/** More digits might not fit an i32; the slow path knows. */
const MAX_PLAIN_DIGITS = 9

/**
 * Reads a body of the usual shape without making a string of it: objects with known keys once, whole small partitions,
 * valid UTF-8.
 *
 *   {"records":[{"topic":"t","data":"…","key":null,"partition":3}],"wait_for_send":true}
 *
 * Keys and values are views of the body where nothing is escaped; they are not to be used after its buffer is reused.
 *
 * @returns `undefined` for anything unusual, right, wrong or too long: then parsePush decides.
 */
export function scanPush(body: Buffer, maxRecords = Number.POSITIVE_INFINITY): PushRequest | undefined {
  return isUtf8(body) ? new Scan(body, maxRecords).push() : undefined
}

const word = (text: string): Buffer => Buffer.from(text)
const RECORDS = word('records"')
const WAIT_FOR_SEND = word('wait_for_send"')
const TOPIC = word('topic"')
const DATA = word('data"')
const KEY = word('key"')
const PARTITION = word('partition"')
const NULL = word('null')
const TRUE = word('true')
const FALSE = word('false')

class Scan {
  readonly #bytes: Buffer
  readonly #maxRecords: number
  /** A control byte somewhere, if only a line feed between tokens: then each string has to be looked at. */
  readonly #hasControl: boolean
  #at = 0
  /** The next backslash at or after the cursor; past the end when there is none. */
  #backslashAt = -1
  /** Where unescaped strings are written, one after another. Unescaping never lengthens. */
  #unescaped: Buffer | undefined
  #unescapedBytes = 0
  /** The topic before: neighbours mostly share it, and comparing is cheaper than decoding. */
  #topicStart = 0
  #topicLength = -1
  #topic = ''

  constructor(bytes: Buffer, maxRecords: number) {
    this.#bytes = bytes
    this.#maxRecords = maxRecords
    this.#hasControl = hasControlByte(bytes)
  }

  push(): PushRequest | undefined {
    let records: PushRecord[] | undefined
    let waitForSend: boolean | null | undefined
    if (!this.#take(OPEN_OBJECT)) return undefined
    do {
      if (!this.#take(QUOTE)) return undefined
      if (records === undefined && this.#takeWord(RECORDS)) {
        if (!this.#take(COLON)) return undefined
        records = this.#records()
        if (records === undefined) return undefined
      } else if (waitForSend === undefined && this.#takeWord(WAIT_FOR_SEND)) {
        if (!this.#take(COLON)) return undefined
        waitForSend = this.#boolean()
        if (waitForSend === undefined) return undefined
      } else return undefined
    } while (this.#take(COMMA))
    if (records === undefined || !this.#take(CLOSE_OBJECT) || this.#token() !== -1) return undefined
    return { records, waitForSend: waitForSend === true }
  }

  #records(): PushRecord[] | undefined {
    const records: PushRecord[] = []
    if (!this.#take(OPEN_LIST)) return undefined
    if (this.#take(CLOSE_LIST)) return records
    do {
      const record = this.#record()
      if (record === undefined || records.length >= this.#maxRecords) return undefined
      records.push(record)
    } while (this.#take(COMMA))
    return this.#take(CLOSE_LIST) ? records : undefined
  }

  #record(): PushRecord | undefined {
    let topic: string | undefined
    let value: Buffer | undefined
    let key: Buffer | null | undefined
    let partition: number | null | undefined
    if (!this.#take(OPEN_OBJECT)) return undefined
    do {
      if (!this.#take(QUOTE)) return undefined
      if (value === undefined && this.#takeWord(DATA)) {
        value = this.#value()
        if (value === undefined) return undefined
      } else if (topic === undefined && this.#takeWord(TOPIC)) {
        topic = this.#topicText()
        if (topic === undefined) return undefined
      } else if (key === undefined && this.#takeWord(KEY)) {
        key = this.#nullOrValue()
        if (key === undefined) return undefined
      } else if (partition === undefined && this.#takeWord(PARTITION)) {
        partition = this.#nullOrInteger()
        if (partition === undefined) return undefined
      } else return undefined
    } while (this.#take(COMMA))
    if (topic === undefined || value === undefined || !this.#take(CLOSE_OBJECT)) return undefined
    return { topic, key: key ?? null, value, partition: toPartition(partition) }
  }

  /** The next byte that is no white space; -1 at the end. */
  #token(): number {
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

  #take(byte: number): boolean {
    if (this.#token() !== byte) return false
    this.#at++
    return true
  }

  #takeWord(letters: Buffer): boolean {
    const bytes = this.#bytes
    const at = this.#at
    if (bytes[at] !== letters[0]) return false
    for (let i = 1; i < letters.length; i++) if (bytes[at + i] !== letters[i]) return false
    this.#at = at + letters.length
    return true
  }

  /** The bytes of the string after a colon. */
  #value(): Buffer | undefined {
    const end = this.#openString()
    if (end < 0) return undefined
    if (this.#backslashAt < end) return this.#unescape()
    const value = this.#bytes.subarray(this.#at, end)
    if (this.#hasControl && hasControlByte(value)) return undefined
    this.#at = end + 1
    return value
  }

  /** Goes to the first byte of the string after a colon; returns where the next quote is, -1 when there is none. */
  #openString(): number {
    if (!this.#take(COLON) || !this.#take(QUOTE)) return -1
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

  #topicText(): string | undefined {
    const end = this.#openString()
    if (end < 0) return undefined
    const start = this.#at
    if (this.#backslashAt < end) return this.#unescape()?.toString()
    if (this.#hasControl && hasControlByte(this.#bytes.subarray(start, end))) return undefined
    this.#at = end + 1
    if (!this.#isSameTopic(start, end)) {
      this.#topic = this.#bytes.toString('utf8', start, end)
      this.#topicStart = start
      this.#topicLength = end - start
    }
    return this.#topic
  }

  #isSameTopic(start: number, end: number): boolean {
    const bytes = this.#bytes
    if (end - start !== this.#topicLength) return false
    for (let i = start, j = this.#topicStart; i < end; i++, j++) if (bytes[i] !== bytes[j]) return false
    return true
  }

  #nullOrValue(): Buffer | null | undefined {
    const colon = this.#at
    if (!this.#take(COLON)) return undefined
    if (this.#token() !== QUOTE) return this.#takeWord(NULL) ? null : undefined
    this.#at = colon
    return this.#value()
  }

  #nullOrInteger(): number | null | undefined {
    if (!this.#take(COLON)) return undefined
    this.#token()
    return this.#takeWord(NULL) ? null : this.#integer()
  }

  #integer(): number | undefined {
    const bytes = this.#bytes
    const isNegative = this.#take(MINUS)
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

  #boolean(): boolean | null | undefined {
    this.#token()
    if (this.#takeWord(TRUE)) return true
    if (this.#takeWord(FALSE)) return false
    return this.#takeWord(NULL) ? null : undefined
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
