/** A field of a form, in the order sent. A name without `=` has the value `true`, as cowboy's parser gives it. */
export interface FormField {
  readonly name: Buffer
  readonly value: Buffer | true
}

const AMPERSAND = 0x26
const EQUALS = 0x3d
const PLUS = 0x2b
const PERCENT = 0x25
const SPACE = 0x20

/**
 * The fields of an `application/x-www-form-urlencoded` body as bytes; duplicates are kept.
 *
 *   a=1&b&&c=x%3Dy   =>   a: 1, b: true, c: x=y
 *
 * Source: cowlib 1.0.0, cow_qs:parse_qs.
 *
 * @returns `undefined` when a name is empty or a percent sign is not followed by two hexadecimal digits
 */
export function parseForm(body: Buffer): readonly FormField[] | undefined {
  const fields: FormField[] = []
  let start = 0
  while (start < body.length) {
    const end = endOf(body, AMPERSAND, start, body.length)
    if (end > start) {
      const field = toField(body, start, end)
      if (field === undefined) return undefined
      fields.push(field)
    }
    start = end + 1
  }
  return fields
}

function toField(body: Buffer, start: number, end: number): FormField | undefined {
  const nameEnd = endOf(body, EQUALS, start, end)
  const name = percentDecoded(body.subarray(start, nameEnd))
  const value = nameEnd === end ? true : percentDecoded(body.subarray(nameEnd + 1, end))
  if (name === undefined || value === undefined || name.length === 0) return undefined
  return { name, value }
}

function endOf(body: Buffer, byte: number, start: number, end: number): number {
  const found = body.indexOf(byte, start)
  return found < 0 || found > end ? end : found
}

/**
 * The bytes that a form or a path segment stands for: `+` is a space, `%41` an A. A view of the given bytes when there
 * is nothing to decode.
 *
 * @returns `undefined` for a percent sign without two hexadecimal digits
 */
export function percentDecoded(encoded: Buffer): Buffer | undefined {
  if (!encoded.includes(PERCENT) && !encoded.includes(PLUS)) return encoded
  const decoded = Buffer.allocUnsafe(encoded.length)
  let length = 0
  for (let at = 0; at < encoded.length; at++) {
    const byte = encoded[at]!
    if (byte !== PERCENT) {
      decoded[length++] = byte === PLUS ? SPACE : byte
      continue
    }
    const value = hexadecimalAt(encoded, at + 1)
    if (value === undefined) return undefined
    decoded[length++] = value
    at += 2
  }
  return decoded.subarray(0, length)
}

function hexadecimalAt(bytes: Buffer, at: number): number | undefined {
  const digits = bytes.toString('latin1', at, at + 2)
  return /^[0-9a-f]{2}$/i.test(digits) ? Number.parseInt(digits, 16) : undefined
}
