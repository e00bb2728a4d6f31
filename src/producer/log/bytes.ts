import { crc32 } from 'node:zlib'

/** A Buffer of the same memory: a Buffer from another thread arrives as a plain Uint8Array. */
export const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * CRC-32 of `bytes`, started with `seed`. An empty `bytes` gives the seed back: zlib answers 0 for some empty buffers
 * and the seed for others, depending on where they point.
 */
export const saltedCrc = (bytes: Uint8Array, seed: number): number =>
  bytes.length === 0 ? seed >>> 0 : crc32(bytes, seed)
