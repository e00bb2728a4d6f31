import { createRequire } from 'node:module'
import { CodecUnavailableError } from './codec-unavailable-error.js'
import { refuseLargeLz4 } from './lz4-size.js'

interface Lz4 {
  compressFrameSync(bytes: Buffer): Buffer
  decompressFrameSync(bytes: Buffer): Buffer
}

let lz4: Lz4 | undefined

/**
 * The native package, loaded when it is first needed, because not every platform has a binary, and not every user lz4.
 *
 * @throws CodecUnavailableError when it cannot be loaded
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

/** A frame of independent blocks. */
export const lz4Compress = (bytes: Buffer): Buffer => loadLz4().compressFrameSync(bytes)

/**
 * @throws DecompressionLimitError when larger than `maxBytes`
 * @throws CodecUnavailableError when lz4 cannot be loaded
 * @throws when damaged
 */
export function lz4Decompress(bytes: Buffer, maxBytes: number): Buffer {
  const { decompressFrameSync } = loadLz4()
  refuseLargeLz4(bytes, maxBytes)
  return decompressFrameSync(bytes)
}
