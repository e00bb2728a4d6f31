import type { JsonReader } from './json-reader.js'
import { unicodeEscape } from './json-scanner.js'
import { endOfPlainString, simpleEscapes, writeUtf8 } from './json-strings.js'
import { skipValue } from './json-values.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20
const SLASH = 0x2f
const OPEN_LIST = 0x5b
const LETTER_N = 0x6e
const LETTER_U = 0x75
/** 15 digits and a minus sign. */
const MAX_INTEGER_BYTES = 16

/** Whether the value that comes next is `null`; then it is consumed. */
export function takeNull(reader: JsonReader): boolean {
  if (reader.peekToken() !== LETTER_N) return false
  reader.finishKeyword()
  return true
}

/** Consumes a string and returns its bytes: a view, or a copy when something is escaped. */
export function readStringBytes(reader: JsonReader): Buffer {
  reader.takeToken(QUOTE, 'a string')
  return reader.finishString()
}

/** Consumes a string that is one of few words. */
export function readWord(reader: JsonReader): string {
  reader.takeToken(QUOTE, 'a string')
  return reader.finishName()
}

/** Consumes a list. @param read called at each element, which it consumes */
export function readElements(reader: JsonReader, read: () => void): void {
  reader.takeToken(OPEN_LIST, 'a list')
  for (let isFirst = true; reader.nextElement(isFirst); isFirst = false) read()
  reader.index++
}

/** Consumes a whole number of up to 15 digits; fails at anything else. */
export function readInteger(reader: JsonReader, bytes: Buffer): number {
  reader.peekToken()
  const start = reader.index
  skipValue(reader)
  const text = reader.index - start > MAX_INTEGER_BYTES ? '' : bytes.toString('latin1', start, reader.index)
  if (!/^-?\d{1,15}$/.test(text)) reader.failHere('expected a whole number')
  return Number(text)
}

/**
 * Consumes a value of any kind and returns its JSON without the white space between its tokens: a view of the bytes, or
 * a copy where that differs. Characters that need no escape lose it, so that the same value has the same bytes whichever
 * program has written it. Numbers keep their digits, and objects the order of their members.
 *
 *   {"a" : 1.50, "b": "\u00fc\/"}   =>   {"a":1.50,"b":"ü/"}
 *
 * @param bytes what the reader reads; valid UTF-8
 */
export function readValueBytes(reader: JsonReader, bytes: Buffer): Buffer {
  const first = reader.peekToken()
  const start = reader.index
  const plainEnd = first === QUOTE ? endOfPlainString(bytes, start + 1) : -1
  if (plainEnd >= 0) {
    reader.index = plainEnd + 1
    return bytes.subarray(start, plainEnd + 1)
  }
  reader.isCompact = true
  skipValue(reader)
  const end = reader.index
  return reader.isCompact ? bytes.subarray(start, end) : compactOf(bytes, start, end)
}

/** A copy of valid JSON in its shortest form, which is never longer. */
function compactOf(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start)
  let length = 0
  let isInString = false
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte === QUOTE) isInString = !isInString
    if (byte !== BACKSLASH) {
      if (isInString || byte > SPACE) copy[length++] = byte
      continue
    }
    const letter = bytes[++at]!
    if (letter === LETTER_U) {
      const codePoint = unicodeEscape(bytes, at)
      length = writeCharacter(copy, length, codePoint)
      at += codePoint > 0xffff ? 10 : 4
    } else {
      if (letter !== SLASH) copy[length++] = BACKSLASH
      copy[length++] = letter
    }
  }
  return copy.subarray(0, length)
}

/** Letters of the escapes of controls, by the control. */
const controlEscapes = new Map(Array.from('bfnrt', letter => [simpleEscapes[letter.charCodeAt(0)], letter]))

/** Writes a character of a string, with the shortest escape where it needs one. @returns the position behind it */
function writeCharacter(target: Buffer, at: number, codePoint: number): number {
  if (codePoint >= SPACE && codePoint !== QUOTE && codePoint !== BACKSLASH) return writeUtf8(target, at, codePoint)
  if (codePoint >= SPACE) return at + target.write(`\\${String.fromCharCode(codePoint)}`, at)
  const letter = controlEscapes.get(codePoint)
  // Jackson writes the digits of an escape as capitals.
  const digits = codePoint.toString(16).toUpperCase().padStart(4, '0')
  return at + target.write(letter === undefined ? `\\u${digits}` : `\\${letter}`, at)
}
