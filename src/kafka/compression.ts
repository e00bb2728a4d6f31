import { gunzipSync, gzipSync } from 'node:zlib'
import snappy from 'snappyjs'
import { withinLimit } from './decompression-error.js'
import { loadLz4, lz4Compress, lz4Decompress } from './lz4.js'
import { snappyDecompress } from './snappy-decompress.js'
import { prepareZstd, zstdCompress, zstdDecompress } from './zstd.js'

/** How the records of a batch may be compressed. */
export type CompressionCodec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** The number in the attributes of a batch. */
export const codecNumbers: Readonly<Record<CompressionCodec, number>> = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 }
const codecs: readonly CompressionCodec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** The codec with this number; `undefined` for an unknown one. */
export const codecOf = (number: number): CompressionCodec | undefined => codecs[number]

/** Must have resolved once before `compress` and `decompress` know zstd. Every broker client awaits it on connecting. */
export const prepareCompression = prepareZstd

/**
 * Loads what the codec needs. For zstd, which may take a moment to load, {@link prepareCompression} does it.
 *
 * @throws CodecUnavailableError when it cannot be loaded
 */
export function requireCodec(codec: CompressionCodec): void {
  if (codec === 'lz4') loadLz4()
}

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
      return lz4Compress(bytes)
    case 'zstd':
      return zstdCompress(bytes)
  }
}

/**
 * @throws DecompressionLimitError when the bytes would take more than `maxBytes`
 * @throws CodecUnavailableError when the package that the codec needs cannot be loaded
 * @throws when they are damaged
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
