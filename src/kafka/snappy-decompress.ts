import { DecompressionLimitError } from './decompression-error.js'

/**
 * Decompresses one raw snappy block. Stricter than snappyjs, which takes a cut stream for a whole one.
 *
 *   uncompressed length, varint; then elements by the low bits of a tag byte:
 *   00  literal: length - 1 in the upper six bits, 60..63: in the 1..4 bytes that follow
 *   01  copy of 4..11 bytes, offset of 11 bits      10  copy of 1..64, offset u16      11  the same, offset u32
 *
 * Source: google/snappy, format_description.txt
 *
 * @throws DecompressionLimitError when larger than `maxBytes`
 * @throws when damaged
 */
export function snappyDecompress(bytes: Buffer, maxBytes: number): Buffer {
  let at = 0
  let length = 0
  for (let shift = 0; ; shift += 7) {
    if (at >= bytes.length || shift > 28) throw damaged()
    const byte = bytes[at++]!
    length += (byte & 0x7f) * 2 ** shift
    if (byte < 0x80) break
  }
  // Three bytes copy 64 at most. A larger claim is a lie not worth allocating for.
  if (length > bytes.length * 22) throw new Error(`${length} bytes are more than there can be`)
  if (length > maxBytes) throw new DecompressionLimitError(maxBytes, length)
  const target = Buffer.allocUnsafe(length)
  let end = 0
  while (at < bytes.length) {
    const tag = bytes[at++]!
    let size = (tag >> 2) + 1
    let distance = 0
    switch (tag & 3) {
      case 0:
        if (size > 60) {
          const sizeBytes = size - 60
          if (at + sizeBytes > bytes.length) throw damaged()
          size = bytes.readUIntLE(at, sizeBytes) + 1
          at += sizeBytes
        }
        if (size > bytes.length - at || size > length - end) throw damaged()
        copyForward(bytes, at, target, end, size)
        at += size
        end += size
        continue
      case 1:
        size = ((tag >> 2) & 7) + 4
        distance = ((tag >> 5) << 8) | bytes[at]!
        at += 1
        break
      case 2:
        distance = bytes[at]! | (bytes[at + 1]! << 8)
        at += 2
        break
      default:
        distance = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
        at += 4
    }
    if (at > bytes.length || distance === 0 || distance > end || size > length - end) throw damaged()
    copyForward(target, end - distance, target, end, size)
    end += size
  }
  if (end !== length) throw damaged()
  return target
}

/** Byte by byte where the ranges overlap or are short: a copy may repeat what it has just written. */
function copyForward(source: Buffer, from: number, target: Buffer, to: number, size: number): void {
  if (size > 32 && (source !== target || to - from >= size)) target.set(source.subarray(from, from + size), to)
  else for (let index = 0; index < size; index++) target[to + index] = source[from + index]!
}

const damaged = (): Error => new Error('the snappy stream is damaged')
