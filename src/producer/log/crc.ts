import { crc32 } from 'node:zlib'

/**
 * CRC-32 of `bytes`, started with `seed`. An empty `bytes` gives the seed back: zlib answers 0 for some empty buffers
 * and the seed for others, depending on where they point.
 */
export const saltedCrc = (bytes: Uint8Array, seed: number): number =>
  bytes.length === 0 ? seed >>> 0 : crc32(bytes, seed)
