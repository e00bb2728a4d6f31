import { loadPackage } from '../core/package-file.js'

/** CRC-32C (Castagnoli) of the bytes, continuing from `initial`; an unsigned 32-bit number. */
export type Crc32c = (bytes: Uint8Array, initial?: number) => number

/** Slice-by-8 tables for the reflected polynomial 0x82f63b78, one after another. */
function createTables(): Uint32Array {
  const tables = new Uint32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    tables[byte] = crc
  }
  for (let index = 256; index < tables.length; index++) {
    const previous = tables[index - 256]!
    tables[index] = (previous >>> 8) ^ tables[previous & 0xff]!
  }
  return tables
}

let tables: Uint32Array | undefined

/**
 * CRC-32C in JavaScript for platforms without a native binary. It takes eight bytes per step, and is four times slower.
 */
export const crc32cOfJavaScript: Crc32c = (bytes, initial = 0) => {
  const t = (tables ??= createTables())
  let crc = ~initial
  let at = 0
  for (const end = bytes.length - 7; at < end; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc =
      t[1792 + (crc & 0xff)]! ^
      t[1536 + ((crc >>> 8) & 0xff)]! ^
      t[1280 + ((crc >>> 16) & 0xff)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!
  }
  for (; at < bytes.length; at++) crc = (crc >>> 8) ^ t[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}

/** The native implementation, or `undefined` if its binary is missing. */
export function loadNativeCrc32c(): Crc32c | undefined {
  try {
    return loadPackage<{ readonly crc32c: Crc32c }>('@node-rs/crc32').crc32c
  } catch {
    return undefined
  }
}

/** Loads the native implementation with its first call, in place of itself. */
export let crc32c: Crc32c = (bytes, initial) => {
  crc32c = loadNativeCrc32c() ?? crc32cOfJavaScript
  return crc32c(bytes, initial)
}
