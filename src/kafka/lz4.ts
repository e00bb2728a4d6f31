import { createRequire } from 'node:module'
import { CodecUnavailableError, DecompressionLimitError } from './compression-errors.js'

interface Lz4 {
  compressFrameSync(bytes: Buffer): Buffer
  decompressFrameSync(bytes: Buffer): Buffer
}

let lz4: Lz4 | undefined

/**
 * Loads the native package on first use, because not every platform has a binary, and not every user needs lz4.
 *
 * @throws CodecUnavailableError when the package cannot be loaded
 */
export function loadLz4(): Lz4 {
  if (lz4 !== undefined) return lz4
  try {
    lz4 = createRequire(import.meta.url)('lz4-napi') as Lz4
    return lz4
  } catch (error) {
    throw new CodecUnavailableError('lz4', 'lz4-napi', error)
  }
}

/** Returns a frame of independent blocks. */
export const lz4Compress = (bytes: Buffer): Buffer => loadLz4().compressFrameSync(bytes)

/**
 * @throws DecompressionLimitError when the result is larger than `maxBytes`
 * @throws CodecUnavailableError when lz4 cannot be loaded
 * @throws Error when the bytes are damaged
 */
export function lz4Decompress(bytes: Buffer, maxBytes: number): Buffer {
  const { decompressFrameSync } = loadLz4()
  refuseLargeLz4(bytes, maxBytes)
  return decompressFrameSync(bytes)
}

const FRAME_MAGIC = 0x184d2204
const STORED_FLAG = 0x80000000

/**
 * Checks the size of the result before the library decompresses, because the library has no limit. A rough bound comes
 * first: a block yields at most the block size of the frame, and at most 255 times its own size. If the bound is too
 * large, the size is computed exactly.
 *
 * Source: lz4_Frame_format.md 1.6, lz4_Block_format.md
 *
 * @throws DecompressionLimitError when the result is larger than `maxBytes`
 * @throws Error when the bytes are not a frame
 */
export function refuseLargeLz4(bytes: Buffer, maxBytes: number): void {
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== FRAME_MAGIC) throw new Error('not an lz4 frame')
  const rough = sumOfBlocks(bytes, (_start, size, largest) => Math.min(largest, size * 255))
  if (rough <= maxBytes) return
  const exact = sumOfBlocks(bytes, (start, size) => blockBytes(bytes, start, start + size))
  if (exact > maxBytes) throw new DecompressionLimitError(maxBytes, exact)
}

/** Adds up the decompressed sizes of the blocks; `measure` gives the size of a compressed block. */
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

/** The decompressed size of a block: its literals and matches, sequence by sequence. Bytes beyond its end count as 0. */
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
