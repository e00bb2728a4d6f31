import { BACKSLASH, LETTER_U, QUOTE, SPACE } from './characters.js'
import {
  hex4,
  isHighSurrogate,
  joinSurrogates,
  simpleEscapes,
  specialInStrings as special,
  writeUtf8
} from './json-strings.js'

/** The escapes of characters that need one, by their codes; digits are capitals, as Jackson writes them. */
const NEEDED: ReadonlyMap<number, Buffer> = new Map(
  Array.from({ length: SPACE }, (_, code) => code)
    .concat(QUOTE, BACKSLASH)
    .map(code => [code, Buffer.from(escapeOf(code))])
)

function escapeOf(code: number): string {
  const text = JSON.stringify(String.fromCharCode(code)).slice(1, -1)
  return text.length === 6 ? `\\u${text.slice(2).toUpperCase()}` : text
}

/** Writes valid JSON again, in steps: each call goes on where the one before has stopped. The result is never longer. */
export class JsonRewriter {
  readonly #bytes: Buffer
  readonly #end: number
  readonly #isCompact: boolean
  readonly #target: Buffer
  #at: number
  #length = 0
  #isInString: boolean

  /**
   * @param end where the JSON ends, or the content of a string
   * @param form `content`: the bytes that the content of a string stands for. `compact`: the JSON without white space, whose
   * characters are escaped only if they have to be
   */
  constructor(bytes: Buffer, start: number, end: number, form: 'content' | 'compact') {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    this.#isCompact = form === 'compact'
    this.#isInString = !this.#isCompact
    this.#target = Buffer.allocUnsafe(end - start)
  }

  /** @returns what was written; `undefined`: `until` was reached before the end */
  write(until = Number.POSITIVE_INFINITY): Buffer | undefined {
    const bytes = this.#bytes
    const target = this.#target
    const stop = Math.min(until, this.#end)
    let at = this.#at
    let length = this.#length
    while (at < stop) {
      const byte = bytes[at]!
      if (!this.#isInString) {
        if (byte === QUOTE) this.#isInString = true
        if (byte > SPACE) target[length++] = byte
        at++
      } else if (special[byte] === 0) {
        target[length++] = byte
        at++
      } else if (byte === BACKSLASH) {
        const code = codePointAt(bytes, at)
        const escaped = this.#isCompact ? NEEDED.get(code) : undefined
        if (escaped === undefined) length = writeUtf8(target, length, code)
        else length += escaped.copy(target, length)
        at += escapeBytes(bytes, at, code)
      } else {
        this.#isInString = false
        target[length++] = byte
        at++
      }
    }
    this.#at = at
    this.#length = length
    return at < this.#end ? undefined : target.subarray(0, length)
  }
}

/** The code point that a valid escape stands for. */
function codePointAt(bytes: Buffer, at: number): number {
  if (bytes[at + 1] !== LETTER_U) return simpleEscapes[bytes[at + 1]!]!
  const unit = hex4(bytes, at + 2)
  return isHighSurrogate(unit) ? joinSurrogates(unit, hex4(bytes, at + 8)) : unit
}

const escapeBytes = (bytes: Buffer, at: number, code: number): number =>
  bytes[at + 1] !== LETTER_U ? 2 : code > 0xffff ? 12 : 6
