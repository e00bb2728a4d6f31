/**
 * Kafka's variant of MurmurHash2, 32 bits, as a signed integer.
 * Source: org.apache.kafka.common.utils.Utils.murmur2
 */
export function murmur2(bytes: Uint8Array): number {
  const multiplier = 0x5bd1e995
  const length = bytes.length
  let hash = 0x9747b28c ^ length
  let at = 0
  for (const wholeWords = length & ~3; at < wholeWords; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    word = Math.imul(word, multiplier)
    word ^= word >>> 24
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier)
  }
  const rest = length & 3
  if (rest === 3) hash ^= bytes[at + 2]! << 16
  if (rest >= 2) hash ^= bytes[at + 1]! << 8
  if (rest >= 1) hash = Math.imul(hash ^ bytes[at]!, multiplier)
  hash ^= hash >>> 13
  hash = Math.imul(hash, multiplier)
  return hash ^ (hash >>> 15)
}

/** FNV-1a, 32 bits, unsigned. */
export function fnv1a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash >>> 0
}

/** Java's String.hashCode, over UTF-16 code units; signed. */
export function javaHashCode(text: string): number {
  let hash = 0
  for (let at = 0; at < text.length; at++) hash = (Math.imul(31, hash) + text.charCodeAt(at)) | 0
  return hash
}
