import type { JsonReader } from './json-reader.js'

/** A number as serde_json hands it on: whole numbers that fit i64 or u64 stay exact, everything else is a float. */
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
 * Floats are made as serde_json makes them, digits first and then one multiplication or division by a power of ten, so
 * the last digit may differ from the correctly rounded one; the texts show it.
 *
 * Source: serde_json 1.0.64, src/de.rs, parse_integer to parse_exponent_overflow, without feature float_roundtrip.
 */
export function readNumber(reader: JsonReader, isPositive: boolean): JsonNumber {
  const first = reader.next()
  if (first < 0) reader.failHere('EOF while parsing a value')
  if (!isDigit(first)) reader.failHere('invalid number')
  if (first === 0x30 && isDigit(reader.peek())) reader.failAtPeek('invalid number')
  const [significand, isFull] = readDigits(reader, BigInt(first - 0x30))
  // Digits that no u64 can take any more only count.
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

/** Appends digits while a u64 can hold them; says whether it stopped at one that did not fit. */
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
  // serde_json asks for a zero exponent rather than for a digit: `<25 digits>.` is refused only when nothing offsets.
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
