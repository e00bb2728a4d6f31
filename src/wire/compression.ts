import { gunzipSync, gzipSync } from 'node:zlib'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import snappy from 'snappyjs'
import { prepareZstd, zstdCompress, zstdDecompress } from './zstd.js'

/** How the records of a batch may be compressed. */
export type CompressionCodec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** The number in the attributes of a batch. */
export const codecNumbers: Readonly<Record<CompressionCodec, number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }
const codecs: readonly CompressionCodec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** The codec with this number; `undefined` for those Kafka has not invented yet. */
export const codecOf = (number: number): CompressionCodec | undefined => codecs[number]

/** Must have resolved once before `compress` and `decompress` know zstd. Every broker client awaits it on connecting. */
export const prepareCompression = prepareZstd

/** lz4 as frames with independent blocks, snappy raw: what Java, librdkafka and the brokers all read. */
export function compress(codec: CompressionCodec, bytes: Buffer): Buffer {
  switch (codec) {
    case 'none':
      return bytes
    case 'gzip':
      return gzipSync(bytes)
    case 'snappy':
      return snappy.compress(bytes)
    case 'lz4':
      return compressFrameSync(bytes)
    case 'zstd':
      return zstdCompress(bytes)
  }
}

/** @throws when the bytes are damaged or would take more than `maxBytes` */
export function decompress(codec: CompressionCodec, bytes: Buffer, maxBytes: number): Buffer {
  switch (codec) {
    case 'none':
      return bytes
    case 'gzip':
      return gunzipSync(bytes, { maxOutputLength: maxBytes })
    case 'snappy':
      return isXerial(bytes) ? decompressXerial(bytes, maxBytes) : decompressSnappy(bytes, maxBytes)
    case 'lz4':
      refuseLargeLz4(bytes, maxBytes)
      return decompressFrameSync(bytes)
    case 'zstd':
      return zstdDecompress(bytes, maxBytes)
  }
}

/** A block of n bytes holds at most 64/3 n: three bytes copy 64. A larger claim is a lie not worth allocating for. */
function decompressSnappy(bytes: Buffer, maxBytes: number): Buffer {
  return snappy.uncompress(bytes, Math.min(maxBytes, bytes.length * 22 + 64))
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
    const block = decompressSnappy(bytes.subarray(at + 4, at + 4 + length), left)
    left -= block.length
    blocks.push(block)
    at += 4 + length
  }
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks)
}

/**
 * The library has no limit, so the blocks are counted before: none holds more than the frame says, nor more than 255
 * times its own size.
 * Source: lz4_Frame_format.md 1.6
 */
function refuseLargeLz4(bytes: Buffer, maxBytes: number): void {
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== 0x184d2204) throw new Error('not an lz4 frame')
  const flags = bytes[4]!
  const blockMaxBytes = 1 << (8 + 2 * ((bytes[5]! >> 4) & 7))
  const checksumBytes = flags & 0x10 ? 4 : 0
  let at = 7 + (flags & 0x08 ? 8 : 0) + (flags & 0x01 ? 4 : 0)
  let bound = 0
  while (at + 4 <= bytes.length) {
    const header = bytes.readUInt32LE(at)
    if (header === 0) break
    const size = header & 0x7fffffff
    bound += header > 0x7fffffff ? size : Math.min(blockMaxBytes, size * 255)
    at += 4 + size + checksumBytes
  }
  if (bound > maxBytes) throw new Error(`${bound} bytes are more than ${maxBytes}`)
}
