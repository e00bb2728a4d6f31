import { OPEN_LIST, OPEN_OBJECT, QUOTE } from '../../core/json/characters.js'
import type { JsonReader } from '../../core/json/json-reader.js'
import { type JsonNumber, readNumber } from '../../core/json/json-values.js'

const I32_MIN = -(2n ** 31n)
const I32_MAX = 2n ** 31n - 1n

export function readString(reader: JsonReader): Buffer {
  requireByte(reader, [QUOTE], 'a string')
  return reader.finishString()
}

export function readBoolean(reader: JsonReader): boolean {
  const byte = peekValue(reader)
  if (byte !== 0x74 && byte !== 0x66) failType(reader, 'a boolean')
  return reader.finishKeyword() === 't'
}

export function readInt32(reader: JsonReader): number {
  const byte = peekValue(reader)
  if (byte !== 0x2d && !(byte >= 0x30 && byte <= 0x39)) failType(reader, 'i32')
  if (byte === 0x2d) reader.index++
  const number = readNumber(reader, byte !== 0x2d)
  if (number.type === 'float') reader.failHere(`invalid type: ${describeNumber(number)}, expected i32`)
  if (number.value < I32_MIN || number.value > I32_MAX) {
    reader.failHere(`invalid value: ${describeNumber(number)}, expected i32`)
  }
  return Number(number.value)
}

export function readOption<Value>(reader: JsonReader, read: (reader: JsonReader) => Value): Value | null {
  if (reader.peekToken() !== 0x6e) return read(reader)
  reader.finishKeyword()
  return null
}

function peekValue(reader: JsonReader): number {
  const byte = reader.peekToken()
  if (byte < 0) reader.failAtPeek('EOF while parsing a value')
  return byte
}

/** Consumes and returns the next byte if it is one of the given ones; otherwise fails and names the value found. */
export function requireByte(reader: JsonReader, wanted: readonly number[], expected: string): number {
  const byte = peekValue(reader)
  if (!wanted.includes(byte)) failType(reader, expected)
  reader.index++
  return byte
}

function failType(reader: JsonReader, expected: string): never {
  const found = describeValue(reader)
  if (found === undefined) reader.failAtPeek('expected value')
  reader.failHere(`invalid type: ${found}, expected ${expected}`)
}

const keywords = { n: 'null', t: 'boolean `true`', f: 'boolean `false`' }

function describeValue(reader: JsonReader): string | undefined {
  const byte = reader.peek()
  if (byte === OPEN_LIST) return 'sequence'
  if (byte === OPEN_OBJECT) return 'map'
  if (byte >= 0x30 && byte <= 0x39) return describeNumber(readNumber(reader, true))
  if (byte === 0x2d) {
    reader.index++
    return describeNumber(readNumber(reader, false))
  }
  if (byte === QUOTE) {
    reader.index++
    return `string ${quote(reader.finishString().toString())}`
  }
  const keyword = reader.finishKeyword()
  return keyword && keywords[keyword]
}

/** Longer strings are cut where they are quoted: the answer to a wrong body should not be as large as the body. */
const MAX_QUOTED_LENGTH = 4_096

const quote = (text: string): string =>
  rustDebugOf(text.length <= MAX_QUOTED_LENGTH ? text : `${text.slice(0, MAX_QUOTED_LENGTH)}…`)

/** `` integer `5` `` or `` floating point `1.5` ``, as serde names what it did not expect. */
const describeNumber = (number: JsonNumber): string =>
  number.type === 'integer' ? `integer \`${number.value}\`` : `floating point \`${rustDisplayOf(number.value)}\``

/**
 * A string as Rust's `{:?}` prints it; serde quotes wrong values so.
 *
 *   say "hi"⏎   =>   "say \"hi\"\n"
 *
 * Source: Rust standard library, `impl Debug for str`, `char::escape_debug_ext`.
 */
function rustDebugOf(text: string): string {
  let quoted = '"'
  for (const character of text) quoted += escapes.get(character) ?? escapeUnprintable(character)
  return `${quoted}"`
}

const escapes = new Map([
  ['\0', '\\0'],
  ['\t', '\\t'],
  ['\r', '\\r'],
  ['\n', '\\n'],
  ['"', '\\"'],
  ['\\', '\\\\']
])

/**
 * Rust hides combining characters and everything without a glyph: controls, formats, private use, unassigned, spaces.
 */
const unprintable = /^[\p{Grapheme_Extend}\p{C}\p{Zl}\p{Zp}\p{Zs}]$/u

const escapeUnprintable = (character: string): string =>
  character !== ' ' && unprintable.test(character) ? `\\u{${character.codePointAt(0)!.toString(16)}}` : character

/**
 * A number as Rust's `{}` prints an f64: the shortest digits that read back the same, never an exponent.
 *
 *   1.0 => 1     1e21 => 1000000000000000000000     -0.0 => -0     1.5e-7 => 0.00000015
 */
function rustDisplayOf(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = /^(-?)(\d)\.?(\d*)e(.+)$/.exec(shortestOf(value))!
  const point = 1 + Number(exponent)
  const digits = whole + fraction
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`
  if (point >= digits.length) return sign + digits.padEnd(point, '0')
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}

/**
 * When two shortest forms are equally near, JavaScript takes the even one and Rust the larger, as toExponential does.
 */
function shortestOf(value: number): string {
  const shortest = value.toExponential()
  const fractionDigits = Math.max(0, shortest.replace(/^-/, '').indexOf('e') - 2)
  const larger = value.toExponential(fractionDigits)
  return Number(larger) === value ? larger : shortest
}
