import { isUtf8 } from 'node:buffer'
import {
  BACKSLASH,
  CLOSE_LIST,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  DOT,
  LETTER_E,
  LETTER_U,
  MINUS,
  NINE,
  OPEN_LIST,
  OPEN_OBJECT,
  PLUS,
  QUOTE,
  SPACE,
  ZERO
} from './characters.js'
import { endOfLongString, LONG_STRING_BYTES, specialInStrings as special } from './json-strings.js'

const WORDS: ReadonlyMap<number, Buffer> = new Map(
  ['true', 'false', 'null'].map(word => [word.charCodeAt(0), Buffer.from(word)])
)
/** For each byte: 1 when it may follow a backslash alone. */
const escaped = new Uint8Array(256)
for (const byte of Buffer.from('"\\/bfnrt')) escaped[byte] = 1
/** For each byte: 1 when it is a hexadecimal digit. */
const hexadecimal = new Uint8Array(256)
for (const byte of Buffer.from('0123456789abcdefABCDEF')) hexadecimal[byte] = 1

/** Levels of nesting of a value. */
export const MAX_DEPTH = 1_000
const NONE = -1

/**
 * Whether bytes are one JSON value in UTF-8 of up to 1,000 levels. The verdict is the one of JSON.parse, which builds the
 * value, and takes any depth.
 */
export function isJson(bytes: Buffer): boolean {
  return isUtf8(bytes) && isValue(bytes)
}

/** The open brackets of the value that is looked at, from the outermost: 1 is a list. */
const lists = new Uint8Array(MAX_DEPTH)

function isValue(bytes: Buffer): boolean {
  let depth = 0
  let at = tokenAt(bytes, 0)
  for (;;) {
    const byte = bytes[at]
    const isList = byte === OPEN_LIST
    if (isList || byte === OPEN_OBJECT) {
      if (depth === MAX_DEPTH) return false
      at = tokenAt(bytes, at + 1)
      if (bytes[at] !== (isList ? CLOSE_LIST : CLOSE_OBJECT)) {
        lists[depth++] = isList ? 1 : 0
        if (!isList) at = memberValueAt(bytes, at)
        if (at === NONE) return false
        continue
      }
      at++
    } else {
      at = endOfScalar(bytes, at)
      if (at === NONE) return false
    }
    // A value has ended. Closing brackets follow, then a comma.
    for (;;) {
      at = tokenAt(bytes, at)
      if (depth === 0) return at === bytes.length
      const isInList = lists[depth - 1] === 1
      const next = bytes[at++]
      if (next === COMMA) {
        at = tokenAt(bytes, at)
        if (!isInList) at = memberValueAt(bytes, at)
        if (at === NONE) return false
        break
      }
      if (next !== (isInList ? CLOSE_LIST : CLOSE_OBJECT)) return false
      depth--
    }
  }
}

/** Position of the first byte from `at` on that is no white space. */
function tokenAt(bytes: Buffer, at: number): number {
  for (; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte > SPACE || (byte !== SPACE && byte !== 0x0a && byte !== 0x0d && byte !== 0x09)) break
  }
  return at
}

/** Position of the value of the member whose name begins at `at`. */
function memberValueAt(bytes: Buffer, at: number): number {
  if (bytes[at] !== QUOTE) return NONE
  const end = endOfString(bytes, at + 1)
  if (end === NONE) return NONE
  const colon = tokenAt(bytes, end)
  return bytes[colon] === COLON ? tokenAt(bytes, colon + 1) : NONE
}

function endOfScalar(bytes: Buffer, at: number): number {
  const first = bytes[at]
  if (first === undefined) return NONE
  if (first === QUOTE) return endOfString(bytes, at + 1)
  if (first === MINUS || isDigit(first)) return endOfNumber(bytes, first === MINUS ? at + 1 : at)
  const word = WORDS.get(first)
  if (word === undefined) return NONE
  for (let index = 1; index < word.length; index++) if (bytes[at + index] !== word[index]) return NONE
  return at + word.length
}

/** Position behind the string whose content begins at `at`. */
function endOfString(bytes: Buffer, at: number): number {
  let nativeFrom = at + LONG_STRING_BYTES
  for (;;) {
    const plainEnd = Math.min(nativeFrom, bytes.length)
    while (at < plainEnd && special[bytes[at]!] === 0) at++
    if (at >= nativeFrom) {
      const quote = endOfLongString(bytes, at)
      if (quote !== NONE) return quote + 1
      // Once for each string: with an escape in each piece of it, this would take quadratic time.
      nativeFrom = bytes.length + 1
      continue
    }
    const byte = bytes[at]
    if (byte === QUOTE) return at + 1
    if (byte !== BACKSLASH) return NONE
    at = endOfEscape(bytes, at + 1)
    if (at === NONE) return NONE
  }
}

/** Position behind the escape whose letter is at `at`. */
function endOfEscape(bytes: Buffer, at: number): number {
  const letter = bytes[at]
  if (letter === undefined) return NONE
  if (escaped[letter] === 1) return at + 1
  if (letter !== LETTER_U || at + 4 >= bytes.length) return NONE
  for (let index = at + 1; index <= at + 4; index++) if (hexadecimal[bytes[index]!] === 0) return NONE
  return at + 5
}

/** Position behind the number that begins at `at`, without its minus sign. */
function endOfNumber(bytes: Buffer, at: number): number {
  at = bytes[at] === ZERO ? at + 1 : endOfDigits(bytes, at)
  if (at !== NONE && bytes[at] === DOT) at = endOfDigits(bytes, at + 1)
  if (at === NONE || (bytes[at]! | SPACE) !== LETTER_E) return at
  const sign = bytes[at + 1]
  return endOfDigits(bytes, sign === PLUS || sign === MINUS ? at + 2 : at + 1)
}

/** Position behind the digits at `at`, which are one at least. */
function endOfDigits(bytes: Buffer, at: number): number {
  const start = at
  while (at < bytes.length && isDigit(bytes[at]!)) at++
  return at === start ? NONE : at
}

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= NINE
