import { OPEN_LIST, QUOTE } from './characters.js'
import type { JsonAhead } from './json-ahead.js'
import type { JsonReader } from './json-reader.js'
import { JsonRewriter } from './json-rewriter.js'
import { endOfPlainString } from './json-strings.js'
import { skipValue } from './json-values.js'

const LETTER_N = 0x6e
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

/**
 * Consumes a list of records.
 *
 * @param ahead looks at each before it is read, and yields; absent: nothing is yielded
 * @param read called at each record, which it consumes
 */
export function* readListOfRecords(
  reader: JsonReader,
  ahead: JsonAhead | undefined,
  read: () => void
): Generator<number, void> {
  if (ahead !== undefined) yield* ahead.between(1)
  reader.takeToken(OPEN_LIST, 'a list')
  for (let isFirst = true; reader.nextElement(isFirst); isFirst = false) {
    if (ahead === undefined) reader.beginRecord()
    else yield* ahead.look()
    read()
    if (ahead?.isNear === false) yield* ahead.between()
  }
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
  if (reader.isCompact) return bytes.subarray(start, end)
  return reader.longParts?.contents.get(start) ?? new JsonRewriter(bytes, start, end, 'compact').write()!
}
