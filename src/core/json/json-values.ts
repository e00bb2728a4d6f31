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
  const exponent = isFull ? skipDigits(reader) : 0
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

function skipDigits(reader: JsonReader): number {
  const start = reader.index
  while (isDigit(reader.peek())) reader.index++
  return reader.index - start
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
  if (isFull) skipDigits(reader)
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
  skipDigits(reader)
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

const QUOTE = 0x22
const ZERO = 0x30
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const COMMA = 0x2c

/**
 * Consumes a value of any kind and drops it. It may have 1,000 levels of nesting; more fails in the words of serde_json.
 */
export function skipValue(reader: JsonReader): void {
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

/** Consumes a number after its minus sign. */
function skipNumber(reader: JsonReader): 0 {
  const first = reader.next()
  if (!isDigit(first)) reader.failHere('invalid number')
  if (first === ZERO && isDigit(reader.peek())) reader.failAtPeek('invalid number')
  skipDigits(reader)
  if (reader.peek() === 0x2e) {
    reader.index++
    if (!skipDigits(reader)) reader.failAtPeek('invalid number')
  }
  if ((reader.peek() | 0x20) !== 0x65) return 0
  reader.index++
  if (reader.peek() === 0x2b || reader.peek() === 0x2d) reader.index++
  if (!isDigit(reader.next())) reader.failHere('invalid number')
  skipDigits(reader)
  return 0
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
