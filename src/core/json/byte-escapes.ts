import { isUtf8 } from 'node:buffer'

/** Entry of `#growth` for a first byte of several replacements, or of one that replaces several bytes. */
const SEVERAL = 255

interface Replacement {
  readonly of: Buffer
  readonly by: Buffer
}

/** How far the text was written, and where the target was left. */
export interface Progress {
  /** The first byte of the text that has not been written. */
  readonly from: number
  /** The position behind what was written. */
  readonly at: number
}

/**
 * Replaces some characters of texts while they are written. It reads and writes bytes, not strings: the text of a
 * record may be all control characters, and its JSON, six times as long, would be a string in the heap.
 */
export class ByteEscapes {
  /** The replacements by the first byte that they replace, longer ones first. */
  readonly #byFirst: (Replacement[] | undefined)[] = Array(256)
  /** By byte: how many bytes longer its replacement is; 0: it has no replacement. */
  readonly #growth = new Uint8Array(256)
  /** Whether every replacement replaces a single byte. */
  readonly #isOfBytes: boolean
  /** The table of {@link sizeOfText}, made when it is first called. */
  #steps: Uint16Array | undefined

  /** @param replacements characters, or several of them, and what is written for them: one byte more at least */
  constructor(replacements: Iterable<readonly [of: string, by: string]>) {
    for (const [of, by] of replacements) this.#add({ of: Buffer.from(of), by: Buffer.from(by) })
    this.#isOfBytes = !this.#growth.includes(SEVERAL)
  }

  #add(one: Replacement): void {
    const first = one.of[0]!
    const all = [...(this.#byFirst[first] ?? []), one].sort((a, b) => b.of.length - a.of.length)
    this.#byFirst[first] = all
    this.#growth[first] = all.length > 1 || one.of.length > 1 ? SEVERAL : one.by.length - 1
  }

  /**
   * Number of bytes that are written for these bytes as text. Bytes that are not UTF-8 count as U+FFFD.
   *
   * For escapes of single characters it takes the same time for any bytes, about 2 ns for each, and half of that where all are
   * UTF-8: a record may have 20 MB.
   */
  sizeOfText(bytes: Buffer): number {
    if (isUtf8(bytes)) return this.sizeOf(bytes)
    let size = 0
    if (!this.#isOfBytes) {
      for (const part of utf8Of(bytes)) size += this.sizeOf(part)
      return size
    }
    const steps = (this.#steps ??= stepsOf(byte => 1 + this.#growth[byte]!))
    let step = 0
    for (let at = 0; at < bytes.length; at++) {
      step = steps[(step & STATE_BITS) | bytes[at]!]!
      size += step & SIZE_BITS
    }
    return (step & STATE_BITS) === 0 ? size : size + REPLACEMENT_BYTES
  }

  /** Number of bytes that are written for a text. @param text UTF-8 */
  sizeOf(text: Uint8Array): number {
    const growths = this.#growth
    let size = text.length
    if (this.#isOfBytes) {
      for (let at = 0; at < text.length; at++) size += growths[text[at]!]!
      return size
    }
    for (let at = 0; at < text.length; at++) {
      const growth = growths[text[at]!]!
      if (growth < SEVERAL) size += growth
      else {
        const found = this.#find(text, at)
        if (found === undefined) continue
        size += found.by.length - found.of.length
        at += found.of.length - 1
      }
    }
    return size
  }

  // No closures here: it is called for every character of texts such as U+2000 to U+2FFF, which share first bytes with
  // a replacement.
  #find(text: Uint8Array, at: number): Replacement | undefined {
    const all = this.#byFirst[text[at]!]!
    for (let one = 0; one < all.length; one++) {
      const { of } = all[one]!
      let same = 1
      while (same < of.length && text[at + same] === of[same]) same++
      if (same === of.length) return all[one]
    }
    return undefined
  }

  /**
   * Writes a text up to a character for which there is no space.
   *
   * @param text UTF-8
   * @param from its first byte that is written
   * @param at the position of that
   */
  write(text: Uint8Array, from: number, target: Uint8Array, at: number): Progress {
    while (from < text.length && at < target.length) {
      const byte = text[from]!
      const growth = this.#growth[byte]!
      const found = growth === 0 ? undefined : growth < SEVERAL ? this.#byFirst[byte]![0] : this.#find(text, from)
      if (found === undefined) {
        target[at++] = byte
        from++
      } else {
        const { of, by } = found
        if (at + by.length > target.length) break
        for (let i = 0; i < by.length; i++) target[at++] = by[i]!
        from += of.length
      }
    }
    return { from, at }
  }
}

const ASCII = 0x80
/** Length of U+FFFD in UTF-8. */
const REPLACEMENT_BYTES = 3
const STATE_BITS = 0xff00
const SIZE_BITS = 0xff

/**
 * States within a character of UTF-8 (RFC 3629). Each row: the range of the byte that may follow, the state after it,
 * and, when the state after it is 0 (between characters), the length of the character that has ended.
 */
const WITHIN: readonly (readonly [first: number, last: number, state: number, bytes?: number])[] = [
  [0x80, 0xbf, 0, 2],
  [0x80, 0xbf, 8],
  [0x80, 0xbf, 9],
  [0xa0, 0xbf, 8],
  [0x80, 0x9f, 8],
  [0x90, 0xbf, 9],
  [0x80, 0x8f, 9],
  [0x80, 0xbf, 0, 3],
  [0x80, 0xbf, 10],
  [0x80, 0xbf, 0, 4]
]

/** The state behind the first byte of a character; `undefined`: no character begins so. */
function stateBehind(byte: number): number | undefined {
  if (byte < 0xc2 || byte > 0xf4) return undefined
  if (byte < 0xe0) return 1
  if (byte < 0xf0) return byte === 0xe0 ? 4 : byte === 0xed ? 5 : 2
  return byte === 0xf0 ? 6 : byte === 0xf4 ? 7 : 3
}

/**
 * The transitions of a reader of UTF-8, by its state and the next byte: the next state, and how many bytes are written
 * for characters and invalid bytes that end there.
 *
 * @param sizeOf how many bytes are written for one of ASCII
 */
function stepsOf(sizeOf: (ascii: number) => number): Uint16Array {
  const steps = new Uint16Array((WITHIN.length + 1) << 8)
  for (let byte = 0; byte < 256; byte++) {
    const state = stateBehind(byte)
    steps[byte] = byte < ASCII ? sizeOf(byte) : state === undefined ? REPLACEMENT_BYTES : state << 8
  }
  for (const [at, [first, last, state, bytes = 0]] of WITHIN.entries())
    for (let byte = 0; byte < 256; byte++)
      // An incomplete character becomes one U+FFFD, however many bytes it has.
      steps[((at + 1) << 8) | byte] =
        byte >= first && byte <= last ? (state << 8) | bytes : steps[byte]! + REPLACEMENT_BYTES
  return steps
}

/** The escapes of strings that `JSON.stringify` writes. */
export const escapesOfJson: readonly (readonly [string, string])[] = Array.from({ length: ASCII }, (_, code) => {
  const character = String.fromCharCode(code)
  return [character, JSON.stringify(character).slice(1, -1)] as const
}).filter(([character, written]) => written !== character)

export const JSON_ESCAPES = new ByteEscapes(escapesOfJson)

/** Bytes that are not UTF-8 are decoded in slices of this size. */
const SLICE_BYTES = 64 * 1024
const KIND_BITS = 0xc0
const CONTINUATION = 0x80
const MAX_CHARACTER_BYTES = 4

/**
 * Splits bytes into parts of UTF-8 whose text together equals that of `toString`: invalid bytes become U+FFFD. Bytes that are
 * UTF-8 are one part, and not copied.
 */
export function* utf8Of(bytes: Buffer): Generator<Buffer, void> {
  if (isUtf8(bytes)) {
    yield bytes
    return
  }
  for (let from = 0; from < bytes.length; ) {
    const to = from + SLICE_BYTES < bytes.length ? characterAt(bytes, from + SLICE_BYTES) : bytes.length
    const slice = bytes.subarray(from, to)
    yield isUtf8(slice) ? slice : Buffer.from(slice.toString())
    from = to
  }
}

/** The place where the character at `place` begins: `place` itself, or up to three bytes before it. */
function characterAt(bytes: Buffer, place: number): number {
  for (let at = place; at > place - MAX_CHARACTER_BYTES; at--) if ((bytes[at]! & KIND_BITS) !== CONTINUATION) return at
  // No character has so many continuation bytes: this one stands alone.
  return place
}
