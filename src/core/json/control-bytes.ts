import { createSimdCheck } from './control-bytes-simd.js'

/** Shorter ones might end before the first whole word. */
const SHORTEST = 8

/**
 * True when any byte is below 0x20; the way without WebAssembly.
 *
 * Looks at four bytes at once: in `x - 0x20202020` a byte below 0x20 borrows and shows its top bit, and `& ~x` forgets
 * bytes whose top bit was set before. A borrow starts only at a byte that is really below, so "any" is exact.
 */
export function hasControlByteByWords(bytes: Uint8Array): boolean {
  if (bytes.length < SHORTEST) return hasControlByteIn(bytes, 0, bytes.length)
  const head = -bytes.byteOffset & 3
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + head, (bytes.length - head) >> 2)
  const tail = head + words.length * 4
  return hasControlWord(words) || hasControlByteIn(bytes, 0, head) || hasControlByteIn(bytes, tail, bytes.length)
}

function hasControlByteIn(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i]! < 0x20) return true
  return false
}

const LIMITS = 0x20202020
const TOP_BITS = 0x80808080

/** Eight words a turn: one branch for 32 bytes. */
function hasControlWord(words: Int32Array): boolean {
  const blocksEnd = words.length & ~7
  let i = 0
  for (; i < blocksEnd; i += 8) {
    const a = words[i]!
    const b = words[i + 1]!
    const c = words[i + 2]!
    const d = words[i + 3]!
    const e = words[i + 4]!
    const f = words[i + 5]!
    const g = words[i + 6]!
    const h = words[i + 7]!
    const below =
      ((a - LIMITS) & ~a) |
      ((b - LIMITS) & ~b) |
      ((c - LIMITS) & ~c) |
      ((d - LIMITS) & ~d) |
      ((e - LIMITS) & ~e) |
      ((f - LIMITS) & ~f) |
      ((g - LIMITS) & ~g) |
      ((h - LIMITS) & ~h)
    if (below & TOP_BITS) return true
  }
  for (; i < words.length; i++) if ((words[i]! - LIMITS) & ~words[i]! & TOP_BITS) return true
  return false
}

/** True when any byte is below 0x20. */
export const hasControlByte: (bytes: Uint8Array) => boolean = createSimdCheck() ?? hasControlByteByWords
