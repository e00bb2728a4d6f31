import type { JsonReader } from './json-reader.js'

const QUOTE = 0x22
const ZERO = 0x30
const NINE = 0x39
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const COMMA = 0x2c

const isDigit = (byte: number): boolean => byte >= ZERO && byte <= NINE

/** Consumes any value without keeping it. It remembers a byte per level, so any depth is fine. */
export function skipValue(reader: JsonReader): void {
  const enclosing = new BracketStack()
  for (;;) {
    const opened = skipScalarOrOpen(reader)
    if (opened) enclosing.push(opened)
    if (closeFinished(reader, enclosing, !opened)) return
    if (enclosing.top === OPEN_OBJECT) skipKey(reader)
  }
}

/** Consumes a scalar, or the opening bracket of a list or object, which it returns. */
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

/** After a value or an opening bracket: consumes closing brackets, then a comma. True when nothing is open any more. */
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

function skipDigits(reader: JsonReader): number {
  const start = reader.index
  while (isDigit(reader.peek())) reader.index++
  return reader.index - start
}

/** Opening brackets, a byte each: a body may consist of little else. */
class BracketStack {
  #bytes = new Uint8Array(64)
  #depth = 0

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
