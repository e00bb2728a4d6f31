/** Kafka's zigzag varints: small numbers of either sign in few bytes. 0 => 00, -1 => 01, 1 => 02, 64 => 80 01 */

const INT32_MAX = 0x7fffffff
const INT32_MIN = -0x80000000

const sizeOfUnsigned = (value: number): number => {
  if (value < 0) return 5
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x200000) return 3
  return value < 0x10000000 ? 4 : 5
}

/** Bytes a 32-bit integer takes. */
export const sizeOfVarint = (value: number): number => sizeOfUnsigned((value << 1) ^ (value >> 31))

/** Writes a 32-bit integer at `at`; returns the position after it. */
export function writeVarint(target: Buffer, value: number, at: number): number {
  let rest = (value << 1) ^ (value >> 31)
  while (rest & ~0x7f) {
    target[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  target[at++] = rest
  return at
}

const fitsInt32 = (value: number): boolean => value <= INT32_MAX && value >= INT32_MIN
const zigzag64 = (value: number): bigint => BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n))

/** Bytes a safe integer takes. */
export function sizeOfVarlong(value: number): number {
  if (fitsInt32(value)) return sizeOfVarint(value)
  let size = 1
  for (let rest = zigzag64(value) >> 7n; rest > 0n; rest >>= 7n) size++
  return size
}

/** Writes a safe integer at `at`; returns the position after it. */
export function writeVarlong(target: Buffer, value: number, at: number): number {
  if (fitsInt32(value)) return writeVarint(target, value, at)
  let rest = zigzag64(value)
  while (rest > 0x7fn) {
    target[at++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  target[at++] = Number(rest)
  return at
}
