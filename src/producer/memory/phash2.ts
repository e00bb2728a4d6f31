const GOLDEN_RATIO = 0x9e3779b9
/** What Erlang adds to the hash for a binary: 13 times the golden ratio, modulo 2^32. */
const BINARY_CONSTANT = 0x08d12e65
const PHASH2_MASK = 0x07ffffff

/**
 * `erlang:phash2/1` of a binary: Bob Jenkins' hash of 1996 in blocks of twelve bytes, cut to 27 bits.
 * Source: erlang/otp, erts/emulator/beam/utils.c, block_hash and make_hash2.
 */
export function phash2(bytes: Uint8Array): number {
  if (bytes.length === 0) return BINARY_CONSTANT & PHASH2_MASK
  const mixed = new Int32Array([GOLDEN_RATIO | 0, GOLDEN_RATIO | 0, BINARY_CONSTANT])
  let at = 0
  for (; bytes.length - at >= 12; at += 12) {
    for (let word = 0; word < 3; word++) mixed[word]! += wordAt(bytes, at + word * 4)
    mix(mixed)
  }
  mixed[0]! += wordAt(bytes, at)
  mixed[1]! += wordAt(bytes, at + 4)
  // The lowest byte of the last word is the length's.
  mixed[2]! += bytes.length + (wordAt(bytes, at + 8) << 8)
  mix(mixed)
  return mixed[2]! & PHASH2_MASK
}

/** Little-endian; bytes beyond the end are 0. */
const wordAt = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)

function mix(words: Int32Array): void {
  let a = words[0]!
  let b = words[1]!
  let c = words[2]!
  a = (a - b - c) ^ (c >>> 13)
  b = (b - c - a) ^ (a << 8)
  c = (c - a - b) ^ (b >>> 13)
  a = (a - b - c) ^ (c >>> 12)
  b = (b - c - a) ^ (a << 16)
  c = (c - a - b) ^ (b >>> 5)
  a = (a - b - c) ^ (c >>> 3)
  b = (b - c - a) ^ (a << 10)
  c = (c - a - b) ^ (b >>> 15)
  words[0] = a
  words[1] = b
  words[2] = c
}
