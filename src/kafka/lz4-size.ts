import { DecompressionLimitError } from './decompression-error.js'

const FRAME_MAGIC = 0x184d2204
const STORED_FLAG = 0x80000000

/**
 * The library decompresses without a limit, so the size of the result is computed before. First roughly: no block holds more
 * than the frame allows, nor more than 255 times its own size. If that is too much, exactly.
 *
 * Source: lz4_Frame_format.md 1.6, lz4_Block_format.md
 *
 * @throws DecompressionLimitError when it would take more than `maxBytes`
 * @throws when it is no frame
 */
export function refuseLargeLz4(bytes: Buffer, maxBytes: number): void {
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== FRAME_MAGIC) throw new Error('not an lz4 frame')
  const rough = sumOfBlocks(bytes, (_start, size, largest) => Math.min(largest, size * 255))
  if (rough <= maxBytes) return
  const exact = sumOfBlocks(bytes, (start, size) => blockBytes(bytes, start, start + size))
  if (exact > maxBytes) throw new DecompressionLimitError(maxBytes, exact)
}

/** Adds up what the blocks hold; `measure` is asked for the compressed ones. */
function sumOfBlocks(bytes: Buffer, measure: (start: number, size: number, largest: number) => number): number {
  const flags = bytes[4]!
  const largest = 1 << (8 + 2 * ((bytes[5]! >> 4) & 7))
  const checksumBytes = flags & 0x10 ? 4 : 0
  let at = 7 + (flags & 0x08 ? 8 : 0) + (flags & 0x01 ? 4 : 0)
  let sum = 0
  while (at + 4 <= bytes.length) {
    const header = bytes.readUInt32LE(at)
    if (header === 0) break
    const size = header % STORED_FLAG
    sum += header >= STORED_FLAG ? size : measure(at + 4, size, largest)
    at += 4 + size + checksumBytes
  }
  return sum
}

/** What one compressed block holds: literals and matches, sequence by sequence. Beyond the end reads as 0. */
function blockBytes(bytes: Buffer, at: number, end: number): number {
  let total = 0
  const readLength = (nibble: number): number => {
    let length = nibble
    for (let more = nibble === 15; more; ) {
      const byte = at < end ? bytes[at]! : 0
      at++
      length += byte
      more = byte === 255
    }
    return length
  }
  while (at < end) {
    const token = bytes[at++] ?? 0
    const literals = readLength(token >> 4)
    at += literals
    total += literals
    if (at >= end) break
    at += 2
    total += readLength(token & 15) + 4
  }
  return total
}
