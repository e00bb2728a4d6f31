import * as zlib from 'node:zlib'
import { toBuffer } from '../core/bytes.js'
import { foreignTexts } from '../core/foreign-texts.js'
import { messageOf } from '../core/node-errors.js'
import { CodecUnavailableError, DecompressionLimitError, withinLimit } from './compression-errors.js'

/**
 * The key of a property of the package object, which holds the promise of its initialisation. Several copies of this
 * file may share the package. After a third initialisation its functions use wrong memory, and its output cannot be
 * read.
 */
const LOADING = Symbol.for('castellan.zstd.loading')

/** The zstd of Node from 22.15 on; the types of Node 20 leave it out. */
interface NativeZstd {
  zstdCompressSync?: (bytes: Buffer) => Buffer
  zstdDecompressSync?: (bytes: Buffer, options: { maxOutputLength: number }) => Buffer
}
interface WasmZstd {
  init(): Promise<void>
  [LOADING]?: Promise<void>
  compress(bytes: Uint8Array, level?: number): Uint8Array
  decompress(bytes: Uint8Array, options: { defaultHeapSize: number }): Uint8Array
}

const native = zlib as NativeZstd
const { tooSmall } = foreignTexts['@bokuweb/zstd-wasm']
const SMALLEST_GUESS_BYTES = 1024 * 1024

let wasm: WasmZstd | undefined
let loading: Promise<void> | undefined
/** The reason why the package could not be loaded. */
let failure: CodecUnavailableError | undefined

/**
 * Loads zstd, which is a WebAssembly module on Node 20 (4 ms). The promise must resolve before zstd is used. It never
 * rejects: if the module cannot be loaded, the first use of zstd throws.
 */
export function prepareZstd(): Promise<void> {
  if (native.zstdDecompressSync !== undefined) return Promise.resolve()
  return (loading ??= loadWasm().catch(error => {
    failure = new CodecUnavailableError('zstd', '@bokuweb/zstd-wasm', error)
  }))
}

async function loadWasm(): Promise<void> {
  const module: object = await import('@bokuweb/zstd-wasm')
  const loaded = ('default' in module ? module.default : module) as WasmZstd
  await (loaded[LOADING] ??= loaded.init())
  wasm = loaded
}

function loadedWasm(): WasmZstd {
  if (failure !== undefined) throw failure
  if (wasm === undefined) throw new Error('zstd is not loaded yet: await prepareCompression() first')
  return wasm
}

export const zstdCompress = (bytes: Buffer): Buffer =>
  native.zstdCompressSync !== undefined ? native.zstdCompressSync(bytes) : toBuffer(loadedWasm().compress(bytes, 3))

/**
 * @throws DecompressionLimitError when the result is larger than `maxBytes`
 * @throws Error when the bytes are damaged
 */
export function zstdDecompress(bytes: Buffer, maxBytes: number): Buffer {
  const parts: Buffer[] = []
  let left = maxBytes
  for (const frame of zstdFrames(bytes)) {
    const part = decompressFrame(frame, left)
    left -= part.length
    parts.push(part)
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
}

function decompressFrame({ bytes, claimedBytes, possibleBytes }: ZstdFrame, allowedBytes: number): Buffer {
  if (claimedBytes !== undefined && claimedBytes > possibleBytes) {
    throw new Error(`a zstd frame claims ${claimedBytes} bytes, which are more than its blocks can hold`)
  }
  if (claimedBytes !== undefined && claimedBytes > allowedBytes) {
    throw new DecompressionLimitError(allowedBytes, claimedBytes)
  }
  const maxBytes = Math.min(allowedBytes, possibleBytes)
  const { zstdDecompressSync } = native
  return zstdDecompressSync !== undefined
    ? withinLimit(allowedBytes, () => zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, maxBytes) }))
    : decompressInWasm(bytes, claimedBytes, maxBytes)
}

/** When the frame claims no size, the size of the buffer is guessed, and doubled until the result fits. */
function decompressInWasm(bytes: Buffer, claimedBytes: number | undefined, maxBytes: number): Buffer {
  for (let guess = Math.max(SMALLEST_GUESS_BYTES, bytes.length * 4); ; guess *= 2) {
    try {
      return toBuffer(loadedWasm().decompress(bytes, { defaultHeapSize: Math.min(guess, maxBytes) }))
    } catch (error) {
      if (claimedBytes !== undefined || !tooSmall.test(messageOf(error))) throw error
      if (guess >= maxBytes) throw new DecompressionLimitError(maxBytes)
    }
  }
}

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const LARGEST_BLOCK_BYTES = 128 * 1024
const RLE = 1

/** One frame of a zstd stream. */
export interface ZstdFrame {
  readonly bytes: Buffer
  /**
   * The decompressed size in the header; `undefined`: the header has no size, because a streaming writer such as Java's
   * wrote it.
   */
  readonly claimedBytes: number | undefined
  /** The largest possible decompressed size of the blocks of the frame. */
  readonly possibleBytes: number
}

/**
 * Finds the frames of a stream, block by block and without decompressing. This detects truncated streams, which some decoders
 * accept, and gives a bound for the claimed size before memory is allocated for it.
 *
 * Source: RFC 8878, 3.1
 *
 * @throws Error when there are bytes other than frames, or a frame is truncated
 */
export function zstdFrames(bytes: Buffer): ZstdFrame[] {
  const frames: ZstdFrame[] = []
  for (let at = 0; at < bytes.length; ) {
    const magic = bytes.length - at < 8 ? undefined : bytes.readUInt32LE(at)
    if (magic !== undefined && (magic & 0xfffffff0) === SKIPPABLE_MAGIC) {
      at += 8 + bytes.readUInt32LE(at + 4)
      continue
    }
    if (magic !== MAGIC) throw new Error('not a zstd frame')
    const frame = frameAt(bytes, at)
    frames.push(frame)
    at += frame.bytes.length
  }
  return frames
}

function frameAt(bytes: Buffer, start: number): ZstdFrame {
  const descriptor = bytes[start + 4]!
  const isSingleSegment = (descriptor >> 5) & 1
  const sizeAt = start + 5 + (isSingleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!
  const sizeBytes = [isSingleSegment, 2, 4, 8][descriptor >> 6]!
  let at = sizeAt + sizeBytes
  let possibleBytes = 0
  for (let isLast = false; !isLast; ) {
    if (at + 3 > bytes.length) throw truncated()
    const header = bytes.readUIntLE(at, 3)
    const size = header >> 3
    isLast = (header & 1) === 1
    const isRun = ((header >> 1) & 3) === RLE
    possibleBytes += isRun ? size : LARGEST_BLOCK_BYTES
    at += 3 + (isRun ? 1 : size)
  }
  if (descriptor & 4) at += 4
  if (at > bytes.length) throw truncated()
  const claimedBytes = sizeBytes === 0 ? undefined : readSize(bytes, sizeAt, sizeBytes)
  return { bytes: bytes.subarray(start, at), claimedBytes, possibleBytes }
}

function readSize(bytes: Buffer, at: number, length: number): number {
  if (length === 8) return Number(bytes.readBigUInt64LE(at))
  return bytes.readUIntLE(at, length) + (length === 2 ? 256 : 0)
}

const truncated = (): Error => new Error('the zstd stream is truncated')
