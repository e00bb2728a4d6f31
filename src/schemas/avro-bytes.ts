import { isUtf8 } from 'node:buffer'
import {
  MAX_RECORD_BYTES,
  MAX_WORDS_LENGTH,
  Misfit,
  pathText,
  shown,
  TooManyBytes,
  TooMuchJson,
  Undecodable
} from './codec.js'

const FIRST_BYTES = 4_096
const MAX_KEPT_BYTES = 1024 * 1024
/** Limit of nested values, so that reading ends before the stack does. */
export const MAX_AVRO_DEPTH = 300
const MAX_NUMBER_BYTES = 10
/** Limit of the items and records of one value that have no bytes. */
const MAX_EMPTY = 100_000
/** Up to here, twice a number is exact in a double, also less one. */
const EXACT = 2 ** 52
/** Longest text whose length takes one byte. */
const MAX_SHORT_TEXT = 63
/** Limit of the types of unions that a writer tries, for one record. */
const MAX_TRIALS = 1_000
/** Items, fields, and types that are looked at, for one record. 16 MiB of numbers with two types to choose from take 24 million. */
const MAX_STEPS = 25_000_000
/** Number of characters of a text that count as one step. */
const CHARACTERS_PER_STEP = 16
/** The same for bytes that are copied. */
const BYTES_PER_STEP = 64
/** A text that grows by small pieces takes 32 bytes for each of them, until it is copied. */
const PIECE_LENGTH = 16 * 1024

export const misfit = (expected: string, value: unknown): never => {
  throw new Misfit(`expected ${expected.slice(0, MAX_WORDS_LENGTH)}, got ${shown(value)}`)
}

export const unreadable = (cause: string): never => {
  throw new Undecodable(cause)
}

/** Writes Avro's binary form into memory that grows. */
export class AvroWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
  /** The members and the places in arrays that lead to the value that is written. */
  readonly #path: (string | number)[] = []
  length = 0
  depth = 0
  #trials = 0
  #steps = 0
  #maxBytes = MAX_RECORD_BYTES
  /** A default is written: a value of a union has the first type that fits. */
  isDefault = false

  /** The bytes of one value, valid until the next one. @throws TooManyBytes before memory for them is taken */
  write(write: () => void, maxBytes: number): Buffer {
    this.length = this.depth = this.#trials = this.#steps = 0
    this.#maxBytes = Math.min(maxBytes, MAX_RECORD_BYTES)
    try {
      write()
      return this.#bytes.subarray(0, this.length)
    } catch (error) {
      if (error instanceof Misfit) error.path = pathText(this.#path.slice(0, this.depth))
      throw error
    } finally {
      if (this.#bytes.length > MAX_KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
    }
  }

  /** A copy of what was written from `start` on. */
  taken(start = 0): Buffer {
    return Buffer.from(this.#bytes.subarray(start, this.length))
  }

  /** @param parts items or fields that are written now */
  enter(parts: number): void {
    this.#take(parts)
    if (this.depth >= MAX_AVRO_DEPTH) misfit(`at most ${MAX_AVRO_DEPTH} values in each other`, {})
    this.#path[this.depth++] = ''
  }

  /** Notes the place of the next value: the name of a member, or the index in an array. */
  place(part: string | number): void {
    this.#path[this.depth - 1] = part
  }

  /** Counts a look at a value for each of so many types. */
  look(value: unknown, types: number): void {
    this.#take(types * (1 + (typeof value === 'string' ? value.length / CHARACTERS_PER_STEP : 0)))
  }

  /** Counts steps: a small record may need any number of them, by defaults, or by types of unions that are tried. */
  #take(steps: number): void {
    this.#steps += steps
    if (this.#steps > MAX_STEPS)
      throw new RangeError('it takes too many steps, which the types of values in unions save')
  }

  /** Counts a try of a type of a union. */
  mayTry(): boolean {
    return ++this.#trials <= MAX_TRIALS
  }

  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.length++] = value
  }

  raw(bytes: Uint8Array): void {
    this.#take(bytes.length / BYTES_PER_STEP)
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  /** Writes a short ASCII text with its length. Returns false for any other text. */
  shortText(text: string): boolean {
    const { length } = text
    if (length > MAX_SHORT_TEXT) return false
    this.#reserve(length + 1)
    const bytes = this.#bytes
    let at = this.length
    bytes[at++] = 2 * length
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return false
      bytes[at++] = code
    }
    this.length = at
    return true
  }

  text(text: string, encoding: 'utf8' | 'latin1'): void {
    this.#reserve(Buffer.byteLength(text, encoding))
    this.length += this.#bytes.write(text, this.length, encoding)
  }

  float(value: number): void {
    this.#reserve(4)
    this.length = this.#bytes.writeFloatLE(value, this.length)
  }

  double(value: number): void {
    this.#reserve(8)
    this.length = this.#bytes.writeDoubleLE(value, this.length)
  }

  /** Zigzag, seven bits per byte. */
  long(value: number | bigint): void {
    this.#reserve(MAX_NUMBER_BYTES)
    let rest = typeof value === 'number' ? (value < 0 ? -2 * value - 1 : 2 * value) : 0
    if (typeof value === 'bigint' || rest > EXACT) {
      let large = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))
      for (; large >= EXACT; large >>= 7n) this.#bytes[this.length++] = Number(large & 0x7fn) | 0x80
      rest = Number(large)
    }
    while (rest >= 0x80) {
      this.#bytes[this.length++] = (rest % 0x80) | 0x80
      rest = rest < 0x8000_0000 ? rest >> 7 : Math.floor(rest / 0x80)
    }
    this.#bytes[this.length++] = rest
  }

  #reserve(bytes: number): void {
    const needed = this.length + bytes
    if (needed > this.#maxBytes) throw new TooManyBytes(this.#maxBytes)
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, needed))
    this.#bytes.copy(larger, 0, 0, this.length)
    this.#bytes = larger
  }
}

/** Reads Avro's binary form. */
export class AvroReader {
  readonly bytes: Buffer
  readonly #maxBytes: number
  #at = 0
  /** The JSON so far: finished pieces, and the part that is not in one yet. */
  readonly #pieces: Buffer[] = []
  #text = ''
  #jsonBytes = 0
  depth = 0
  #left: number

  /** @param maxBytes of JSON */
  constructor(bytes: Buffer, maxBytes: number) {
    this.bytes = bytes
    this.#maxBytes = maxBytes
    this.#left = 2 * bytes.length + MAX_EMPTY
  }

  get json(): string {
    return this.#pieces.length === 0 ? this.#text : Buffer.concat([...this.#pieces, Buffer.from(this.#text)]).toString()
  }

  /** Appends to the JSON. @param bytes of the text in UTF-8 */
  add(text: string, bytes = text.length): void {
    this.#count(bytes)
    this.#text += text
    if (this.#text.length < PIECE_LENGTH) return
    this.#pieces.push(Buffer.from(this.#text))
    this.#text = ''
  }

  #count(bytes: number): void {
    this.#jsonBytes += bytes
    if (this.#jsonBytes > this.#maxBytes) throw new TooMuchJson(this.#maxBytes)
  }

  /** Called for each item and each record. They may have no bytes, so a few bytes could be any number of them. */
  check(): void {
    if (--this.#left < 0) unreadable('it has too many values without bytes')
    if (this.depth > MAX_AVRO_DEPTH) unreadable(`more than ${MAX_AVRO_DEPTH} values are in each other`)
  }

  byte(): number {
    return this.bytes[this.#at++] ?? unreadable('the bytes end inside a value')
  }

  /** Skips bytes, and returns their position. */
  skip(length: number): number {
    const from = this.#at
    if (!(length >= 0 && length <= this.bytes.length - from)) unreadable('the bytes end inside a value')
    this.#at += length
    return from
  }

  /** Appends the JSON of a string. */
  string(length: number, encoding: 'utf8' | 'latin1'): void {
    const from = this.skip(length)
    if (length > this.#maxBytes - this.#jsonBytes) throw new TooMuchJson(this.#maxBytes)
    const text = this.bytes.toString(encoding, from, this.#at)
    const isLossy = encoding === 'utf8' && text.includes('\ufffd') && !isUtf8(this.bytes.subarray(from, this.#at))
    if (isLossy) unreadable('a string is not UTF-8')
    const json = JSON.stringify(text)
    this.add(json, Buffer.byteLength(json))
  }

  /** Lengths, counts and places, and all numbers that are not large. */
  int(): number {
    return Number(this.long())
  }

  long(): number | bigint {
    const start = this.#at
    let value = 0
    for (let scale = 1; scale < 2 ** 49; scale *= 0x80) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
    this.#at = start
    let large = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.byte()
      large |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(64, (large >> 1n) ^ -(large & 1n))
    }
    return unreadable('a number has more than 64 bits')
  }
}
