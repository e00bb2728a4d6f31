import { gunzipSync, gzipSync } from 'node:zlib'
import snappy from 'snappyjs'
import { loadPackage } from '../core/package-file.js'
import { CodecUnavailableError, DecompressionLimitError, withinLimit } from './compression-errors.js'
import { prepareZstd, zstdCompress, zstdDecompress } from './zstd.js'

interface Lz4 {
  compressFrameSync(bytes: Buffer): Buffer
  decompressFrameSync(bytes: Buffer): Buffer
}

/**
 * Loads the native package on first use, because not every platform has a binary, and not every user needs lz4.
 *
 * @throws CodecUnavailableError when the package cannot be loaded
 */
function loadLz4(): Lz4 {
  try {
    return loadPackage('lz4-napi')
  } catch (error) {
    throw new CodecUnavailableError('lz4', 'lz4-napi', error)
  }
}

/** Returns a frame of independent blocks. */
const lz4Compress = (bytes: Buffer): Buffer => loadLz4().compressFrameSync(bytes)

/**
 * @throws DecompressionLimitError when the result is larger than `maxBytes`
 * @throws CodecUnavailableError when lz4 cannot be loaded
 * @throws Error when the bytes are damaged
 */
function lz4Decompress(bytes: Buffer, maxBytes: number): Buffer {
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

export type CompressionCodec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** The numbers of the codecs in the attributes of a batch. */
export const codecNumbers: Readonly<Record<CompressionCodec, number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }
const codecs: readonly CompressionCodec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** The codec with this number; `undefined`: the number is unknown. */
export const codecOf = (number: number): CompressionCodec | undefined => codecs[number]

/**
 * Loads zstd. Its promise must resolve before `compress` and `decompress` use zstd. Broker clients await it when they
 * connect.
 */
export const prepareCompression = prepareZstd

/**
 * Loads the package of a codec. Only zstd is loaded elsewhere, by {@link prepareCompression}.
 *
 * @throws CodecUnavailableError when the package cannot be loaded
 */
export function requireCodec(codec: CompressionCodec): void {
  if (codec === 'lz4') loadLz4()
}

/** Writes lz4 as frames with independent blocks, and raw snappy, because Java, librdkafka and brokers can read both. */
export function compress(codec: CompressionCodec, bytes: Buffer): Buffer {
  switch (codec) {
    case 'none':
      return bytes
    case 'gzip':
      return gzipSync(bytes)
    case 'snappy':
      return snappy.compress(bytes)
    case 'lz4':
      return lz4Compress(bytes)
    case 'zstd':
      return zstdCompress(bytes)
  }
}

/**
 * @throws DecompressionLimitError when the result is larger than `maxBytes`
 * @throws CodecUnavailableError when the package of the codec cannot be loaded
 * @throws Error when the bytes are damaged
 */
export function decompress(codec: CompressionCodec, bytes: Buffer, maxBytes: number): Buffer {
  switch (codec) {
    case 'none':
      return bytes
    case 'gzip':
      return withinLimit(maxBytes, () => gunzipSync(bytes, { maxOutputLength: maxBytes }))
    case 'snappy':
      return isXerial(bytes) ? decompressXerial(bytes, maxBytes) : snappyDecompress(bytes, maxBytes)
    case 'lz4':
      return lz4Decompress(bytes, maxBytes)
    case 'zstd':
      return zstdDecompress(bytes, maxBytes)
  }
}

/**
 * Java's framing: `82 "SNAPPY" 00`, version i32, compatible version i32, then blocks of length i32 and raw snappy.
 * Source: org.xerial.snappy.SnappyOutputStream
 */
const XERIAL_MAGIC = Buffer.from('82534e4150505900', 'hex')
const XERIAL_HEADER_BYTES = 16

const isXerial = (bytes: Buffer): boolean =>
  bytes.length >= XERIAL_HEADER_BYTES &&
  bytes.compare(XERIAL_MAGIC, 0, XERIAL_MAGIC.length, 0, XERIAL_MAGIC.length) === 0

function decompressXerial(bytes: Buffer, maxBytes: number): Buffer {
  const blocks: Buffer[] = []
  let left = maxBytes
  for (let at = XERIAL_HEADER_BYTES; at < bytes.length; ) {
    const length = at + 4 <= bytes.length ? bytes.readInt32BE(at) : -1
    if (length < 0 || at + 4 + length > bytes.length) throw new Error('truncated snappy block')
    const block = snappyDecompress(bytes.subarray(at + 4, at + 4 + length), left)
    left -= block.length
    blocks.push(block)
    at += 4 + length
  }
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks)
}

/**
 * Decompresses one raw snappy block. Unlike snappyjs, this function refuses a truncated block.
 *
 *   uncompressed length, varint; then elements by the low bits of a tag byte:
 *   00  literal: length - 1 in the upper six bits, 60..63: in the 1..4 bytes that follow
 *   01  copy of 4..11 bytes, offset of 11 bits      10  copy of 1..64, offset u16      11  the same, offset u32
 *
 * Source: google/snappy, format_description.txt
 *
 * @throws DecompressionLimitError when the result is larger than `maxBytes`
 * @throws Error when the block is damaged
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
  // An element of three bytes copies at most 64 bytes. A larger claim is refused before memory is allocated for it.
  if (length > bytes.length * 22) throw new Error(`a snappy block claims ${length} bytes, more than it can hold`)
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

/**
 * Copies short ranges and overlapping ranges byte by byte. An overlapping range may repeat bytes that were just
 * written.
 */
function copyForward(source: Buffer, from: number, target: Buffer, to: number, size: number): void {
  if (size > 32 && (source !== target || to - from >= size)) target.set(source.subarray(from, from + size), to)
  else for (let index = 0; index < size; index++) target[to + index] = source[from + index]!
}

const damaged = (): Error => new Error('the snappy stream is damaged')
