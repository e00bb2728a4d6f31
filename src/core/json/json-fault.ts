import { isUtf8 } from 'node:buffer'
import { DeserializeError, JsonReader } from './json-reader.js'
import { skipValue } from './json-values.js'

const BYTE_ORDER_MARK = Buffer.from('\ufeff')
const MARKS_OF_UTF16 = [Buffer.from([0xff, 0xfe]), Buffer.from([0xfe, 0xff])]
/** Bytes of a text that are looked at together for the first one that is not UTF-8. */
const PIECE_BYTES = 64 * 1024

const beginsWith = (bytes: Buffer, beginning: Buffer): boolean => bytes.subarray(0, beginning.length).equals(beginning)

/**
 * Why bytes are no JSON in UTF-8, whatever they say; `undefined`: that is not the reason. A clause of an error.
 *
 * @param isWhole whether they are known to be valid UTF-8
 */
export function encodingFault(bytes: Buffer, isWhole = isUtf8(bytes)): string | undefined {
  if (beginsWith(bytes, BYTE_ORDER_MARK)) return 'it begins with a byte order mark (BOM): send UTF-8 without one'
  // The first character of JSON is ASCII: one of its two bytes is 0.
  const isMarked = MARKS_OF_UTF16.some(mark => beginsWith(bytes, mark))
  if (isMarked || (bytes.length > 1 && (bytes[0] === 0) !== (bytes[1] === 0))) return 'it is UTF-16: send UTF-8'
  return isWhole ? undefined : `it is not valid UTF-8, from byte ${invalidAt(bytes)} on`
}

/** Why bytes are not JSON, with the place where it was found. A clause of an error. */
export function jsonFault(bytes: Buffer): string {
  const reader = new JsonReader(bytes)
  const fault = encodingFault(bytes, reader.isWholeUtf8)
  if (fault !== undefined) return fault
  try {
    skipValue(reader)
    if (reader.peekToken() >= 0) reader.failAtPeek('trailing characters')
  } catch (error) {
    if (error instanceof DeserializeError) return error.message
    throw error
  }
  return 'it cannot be read'
}

/** The position of the first byte that is not UTF-8, from 0. */
function invalidAt(bytes: Buffer): number {
  let at = 0
  for (let end = 0; isUtf8(bytes.subarray(at, end)); end = behindCharacter(bytes, at + PIECE_BYTES)) at = end
  for (let end = at; isUtf8(bytes.subarray(at, end)); end = at + lengthOfCharacter(bytes[at]!)) at = end
  return at
}

/** The first position from `at` on that is not inside a character. */
function behindCharacter(bytes: Buffer, at: number): number {
  while (at < bytes.length && (bytes[at]! & 0xc0) === 0x80) at++
  return at
}

const lengthOfCharacter = (first: number): number => (first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4)
