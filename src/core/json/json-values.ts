import {
  CLOSE_LIST,
  CLOSE_OBJECT,
  COMMA,
  DOT,
  LETTER_E,
  MINUS,
  OPEN_LIST,
  OPEN_OBJECT,
  PLUS,
  QUOTE,
  ZERO
} from './characters.js'
import { MAX_DEPTH } from './is-json.js'
import type { JsonReader } from './json-reader.js'

/** A number as serde_json reads it. An integer that fits i64 or u64 is exact. Every other number is a float. */
export type JsonNumber =
  | { readonly type: 'integer'; readonly value: bigint }
  | { readonly type: 'float'; readonly value: number }

const U64_MAX = 2n ** 64n - 1n
const I64_MIN = -(2n ** 63n)
const I32_MAX = 2 ** 31 - 1
const LARGEST_POWER = 308

/**
 * Reads a number whose minus sign, if any, has been consumed.
 *
 * Floats are computed as serde_json does: the digits as an integer, then one multiplication or division by a power of
 * ten. The last digit may therefore differ from correct rounding. Clients see this digit in the text of the number.
 *
 * Source: serde_json 1.0.64, src/de.rs, parse_integer to parse_exponent_overflow, without feature float_roundtrip.
 */
export function readNumber(reader: JsonReader, isPositive: boolean): JsonNumber {
  const first = reader.next()
  if (first < 0) reader.failHere('EOF while parsing a value')
  if (!isDigit(first)) reader.failHere('invalid number')
  if (first === 0x30 && isDigit(reader.peek())) reader.failAtPeek('invalid number')
  const [significand, isFull] = readDigits(reader, BigInt(first - 0x30))
  // Digits that no longer fit u64 are dropped; each of them raises the exponent by one.
  const exponent = isFull ? reader.skipDigits() : 0
  if (reader.peek() === 0x2e) return float(isPositive, readFraction(reader, significand, exponent))
  if ((reader.peek() | 0x20) === 0x65) return float(isPositive, readExponent(reader, significand, exponent))
  if (isFull) return float(isPositive, toFloat(reader, significand, exponent))
  if (isPositive) return { type: 'integer', value: significand }
  if (-significand < I64_MIN) return { type: 'float', value: -Number(significand) }
  return { type: 'integer', value: -significand }
}

const float = (isPositive: boolean, magnitude: number): JsonNumber => ({
  type: 'float',
  value: isPositive ? magnitude : -magnitude
})

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39

/** Appends digits while the number fits u64. `isFull`: the next digit does not fit. */
function readDigits(reader: JsonReader, significand: bigint): [significand: bigint, isFull: boolean] {
  for (;;) {
    const byte = reader.peek()
    if (!isDigit(byte)) return [significand, false]
    const longer = significand * 10n + BigInt(byte - 0x30)
    if (longer > U64_MAX) return [significand, true]
    significand = longer
    reader.index++
  }
}

function readFraction(reader: JsonReader, significand: bigint, exponent: number): number {
  reader.index++
  const start = reader.index
  const [longer, isFull] = readDigits(reader, significand)
  exponent -= reader.index - start
  // serde_json checks for an exponent of zero instead of a missing digit, so `1.` is refused and `<25 digits>.` is not.
  if (!isFull && exponent === 0) {
    reader.failAtPeek(reader.peek() < 0 ? 'EOF while parsing a value' : 'invalid number')
  }
  if (isFull) reader.skipDigits()
  if ((reader.peek() | 0x20) === 0x65) return readExponent(reader, longer, exponent)
  return toFloat(reader, longer, exponent)
}

function readExponent(reader: JsonReader, significand: bigint, startingExponent: number): number {
  reader.index++
  const sign = reader.peek()
  if (sign === 0x2b || sign === 0x2d) reader.index++
  const first = reader.next()
  if (first < 0) reader.failHere('EOF while parsing a value')
  if (!isDigit(first)) reader.failHere('invalid number')
  let exponent = first - 0x30
  while (isDigit(reader.peek())) {
    exponent = exponent * 10 + reader.next() - 0x30
    if (exponent > I32_MAX) return overflowingExponent(reader, significand, sign !== 0x2d)
  }
  return toFloat(reader, significand, startingExponent + (sign === 0x2d ? -exponent : exponent))
}

function overflowingExponent(reader: JsonReader, significand: bigint, isPositiveExponent: boolean): number {
  if (significand !== 0n && isPositiveExponent) reader.failHere('number out of range')
  reader.skipDigits()
  return 0
}

function toFloat(reader: JsonReader, significand: bigint, exponent: number): number {
  let value = Number(significand)
  while (Math.abs(exponent) > LARGEST_POWER) {
    if (value === 0) return 0
    if (exponent > 0) reader.failHere('number out of range')
    value /= 1e308
    exponent += LARGEST_POWER
  }
  const power = Number(`1e${Math.abs(exponent)}`)
  value = exponent < 0 ? value / power : value * power
  if (value === Infinity) reader.failHere('number out of range')
  return value
}

/** Consumes a value of any kind and drops it. More than 1,000 levels of nesting fail with the message of serde_json. */
export function skipValue(reader: JsonReader): void {
  if (reader.longParts !== undefined && isKnown(reader)) return
  let opened = skipScalarOrOpen(reader)
  if (!opened) return
  const enclosing = new BracketStack()
  for (;;) {
    if (opened) {
      if (enclosing.depth === MAX_DEPTH) reader.failHere('recursion limit exceeded')
      enclosing.push(opened)
    }
    if (closeFinished(reader, enclosing, !opened)) return
    if (enclosing.top === OPEN_OBJECT) skipKey(reader)
    opened = skipScalarOrOpen(reader)
  }
}

function isKnown(reader: JsonReader): boolean {
  reader.peekToken()
  return reader.skipKnown(reader.index)
}

/** Consumes a scalar and returns 0, or consumes the opening bracket of a list or object and returns it. */
function skipScalarOrOpen(reader: JsonReader): number {
  const byte = reader.peekToken()
  if (byte < 0) reader.failAtPeek('EOF while parsing a value')
  if (isDigit(byte)) return skipNumber(reader)
  switch (byte) {
    case OPEN_LIST:
    case OPEN_OBJECT:
      reader.index++
      return byte
    case QUOTE:
      reader.index++
      reader.skipString()
      return 0
    case 0x2d:
      reader.index++
      return skipNumber(reader)
  }
  if (!reader.finishKeyword()) reader.failAtPeek('expected value')
  return 0
}

/** Consumes closing brackets, then a comma. Returns true when all brackets are closed. */
function closeFinished(reader: JsonReader, enclosing: BracketStack, hasValue: boolean): boolean {
  for (;;) {
    const frame = enclosing.top
    if (frame === undefined) return true
    const byte = reader.peekToken()
    if (byte === COMMA && hasValue) {
      reader.index++
      return false
    }
    if (byte !== (frame === OPEN_LIST ? CLOSE_LIST : CLOSE_OBJECT)) {
      if (byte < 0) reader.failAtPeek(frame === OPEN_LIST ? 'EOF while parsing a list' : 'EOF while parsing an object')
      if (hasValue) reader.failAtPeek(frame === OPEN_LIST ? 'expected `,` or `]`' : 'expected `,` or `}`')
      return false
    }
    reader.index++
    enclosing.pop()
    hasValue = true
  }
}

function skipKey(reader: JsonReader): void {
  const byte = reader.peekToken()
  if (byte < 0) reader.failAtPeek('EOF while parsing an object')
  if (byte !== QUOTE) reader.failAtPeek('key must be a string')
  reader.index++
  reader.skipString()
  reader.expectColon()
}

/** Learns where the parts of a value are, when each has ended. A string begins with its quote. */
export interface PartNotes {
  /** @param depth of brackets around it: 0 is the value itself @param isCompact it has no white space and no escapes */
  part(start: number, end: number, depth: number, isCompact: boolean): void
}

type Expected = 'value' | 'valueOrEnd' | 'key' | 'keyOrEnd' | 'colon' | 'next'
/** Parts inside of more brackets are not noted. */
const NOTED_DEPTH = 8

/**
 * Consumes a value in steps. Each goes on where the one before has stopped, also in a string or in white space. Once it is
 * consumed, the next value can be.
 */
export class ValueSkipper {
  readonly #reader: JsonReader
  readonly #notes: PartNotes | undefined
  maxDepth = MAX_DEPTH
  readonly #enclosing = new BracketStack()
  /** Positions of the open brackets, from the outermost. */
  readonly #starts: number[] = []
  #expected: Expected = 'value'
  /** Position of the opening quote of the string that is being read; -1: none is. */
  #quoteAt = -1
  /** Position behind the last part that is not compact; -1: every part is. */
  #looseAt = -1
  /** Position of the number that is being read; -1: none is. `#part`: the part of the number that was reached. */
  #numberAt = -1
  #part: NumberPart = 'whole'

  constructor(reader: JsonReader, notes?: PartNotes) {
    this.#reader = reader
    this.#notes = notes
  }

  /** Positions of the lists, objects and the number that have begun and not ended. */
  get openParts(): readonly number[] {
    const open = this.#starts.slice(0, this.#enclosing.depth)
    return this.#numberAt < 0 ? open : [...open, this.#numberAt]
  }
  /** Position of the opening quote of the string that has not ended; -1: there is none. */
  get quoteAt(): number {
    return this.#quoteAt
  }

  /** @param until a place behind that of the reader, where it may stop @returns whether the value is consumed */
  skip(until: number): boolean {
    const reader = this.#reader
    if (this.#quoteAt >= 0 && !this.#endString(until)) return false
    if (this.#numberAt >= 0 && !this.#endNumber(until)) return false
    while (this.#expected !== 'next' || this.#enclosing.depth > 0) {
      const from = reader.index
      const isAtToken = reader.skipBlanks(until)
      if (reader.index > from) this.#noted(from, this.#enclosing.depth)
      if (!isAtToken || !this.#take(reader.peek(), until)) return false
    }
    this.#expected = 'value'
    this.#looseAt = -1
    return true
  }

  /** Consumes the token that begins with this byte. @returns false: `until` was reached in it */
  #take(byte: number, until: number): boolean {
    switch (this.#expected) {
      case 'colon':
        this.#reader.expectColon()
        this.#expected = 'value'
        return true
      case 'next':
        this.#close(byte)
        return true
      case 'valueOrEnd':
        if (byte < 0 || byte === CLOSE_LIST) this.#close(byte)
        else return this.#open(byte, until)
        return true
      case 'keyOrEnd':
        if (byte < 0 || byte === CLOSE_OBJECT) this.#close(byte)
        else return this.#openKey(byte, until)
        return true
      case 'key':
        return this.#openKey(byte, until)
      case 'value':
        return this.#open(byte, until)
    }
  }

  #openKey(byte: number, until: number): boolean {
    if (byte < 0) this.#reader.failAtPeek('EOF while parsing an object')
    if (byte !== QUOTE) this.#reader.failAtPeek('key must be a string')
    this.#expected = 'colon'
    return this.#beginString(until)
  }

  #open(byte: number, until: number): boolean {
    const reader = this.#reader
    const { index } = reader
    const { depth } = this.#enclosing
    if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
      reader.index++
      if (depth === this.maxDepth) reader.failHere('recursion limit exceeded')
      if (depth < NOTED_DEPTH) this.#starts[depth] = index
      this.#enclosing.push(byte)
      this.#expected = byte === OPEN_LIST ? 'valueOrEnd' : 'keyOrEnd'
      return true
    }
    this.#expected = 'next'
    if (byte === QUOTE) return this.#beginString(until)
    if (byte === MINUS || isDigit(byte)) return this.#beginNumber(byte, until)
    skipScalarOrOpen(reader)
    this.#noted(index, depth)
    return true
  }

  #beginNumber(byte: number, until: number): boolean {
    const reader = this.#reader
    this.#numberAt = reader.index
    this.#part = 'whole'
    if (byte === MINUS) reader.index++
    beginNumber(reader)
    return this.#endNumber(until)
  }

  #endNumber(until: number): boolean {
    const reader = this.#reader
    for (;;) {
      reader.skipDigits(until)
      if (reader.index >= until) return false
      const next = partAfter(reader, this.#part)
      if (next === undefined) break
      this.#part = next
    }
    this.#noted(this.#numberAt, this.#enclosing.depth)
    this.#numberAt = -1
    return true
  }

  #beginString(until: number): boolean {
    this.#quoteAt = this.#reader.index++
    return this.#endString(until)
  }

  #endString(until: number): boolean {
    const reader = this.#reader
    const start = this.#quoteAt
    if (!(reader.index === start + 1 ? reader.skipString(until) : reader.skipEscaped(until))) return false
    this.#quoteAt = -1
    this.#noted(start, this.#enclosing.depth)
    return true
  }

  /** Consumes a comma or closing bracket after a value, or the end of an empty list or object. */
  #close(byte: number): void {
    const reader = this.#reader
    const isList = this.#enclosing.top === OPEN_LIST
    if (byte === COMMA && this.#expected === 'next') {
      reader.index++
      this.#expected = isList ? 'value' : 'key'
      return
    }
    if (byte < 0) reader.failAtPeek(isList ? 'EOF while parsing a list' : 'EOF while parsing an object')
    if (byte !== (isList ? CLOSE_LIST : CLOSE_OBJECT))
      reader.failAtPeek(isList ? 'expected `,` or `]`' : 'expected `,` or `}`')
    reader.index++
    this.#enclosing.pop()
    this.#expected = 'next'
    const { depth } = this.#enclosing
    if (depth < NOTED_DEPTH) this.#noted(this.#starts[depth]!, depth)
  }

  /** A part has ended where the reader is. */
  #noted(start: number, depth: number): void {
    const reader = this.#reader
    if (this.#notes === undefined) return
    if (!reader.isCompact) {
      reader.isCompact = true
      this.#looseAt = reader.index
    }
    if (depth < NOTED_DEPTH) this.#notes.part(start, reader.index, depth, this.#looseAt <= start)
  }
}

type NumberPart = 'whole' | 'fraction' | 'exponent'

/** Consumes a number after its minus sign. */
function skipNumber(reader: JsonReader): 0 {
  beginNumber(reader)
  for (let part: NumberPart | undefined = 'whole'; part !== undefined; part = partAfter(reader, part))
    reader.skipDigits()
  return 0
}

function beginNumber(reader: JsonReader): void {
  const first = reader.next()
  if (!isDigit(first)) reader.failHere('invalid number')
  if (first === ZERO && isDigit(reader.peek())) reader.failAtPeek('invalid number')
}

/** Consumes what is between the digits of two parts. @returns `undefined`: the number has ended */
function partAfter(reader: JsonReader, part: NumberPart): NumberPart | undefined {
  const byte = reader.peek()
  if (part === 'whole' && byte === DOT) {
    reader.index++
    if (!isDigit(reader.peek())) reader.failAtPeek('invalid number')
    return 'fraction'
  }
  if (part === 'exponent' || (byte | 0x20) !== LETTER_E) return undefined
  reader.index++
  if (reader.peek() === PLUS || reader.peek() === MINUS) reader.index++
  if (!isDigit(reader.next())) reader.failHere('invalid number')
  return 'exponent'
}

/** The open brackets. */
class BracketStack {
  #bytes = new Uint8Array(64)
  #depth = 0

  get depth(): number {
    return this.#depth
  }

  get top(): number | undefined {
    return this.#depth === 0 ? undefined : this.#bytes[this.#depth - 1]
  }

  push(bracket: number): void {
    if (this.#depth === this.#bytes.length) {
      const deeper = new Uint8Array(this.#depth * 2)
      deeper.set(this.#bytes)
      this.#bytes = deeper
    }
    this.#bytes[this.#depth++] = bracket
  }

  pop(): void {
    this.#depth--
  }
}
