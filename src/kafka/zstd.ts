import * as zlib from 'node:zlib'
import { CodecUnavailableError } from './codec-unavailable-error.js'
import { DecompressionLimitError, withinLimit } from './decompression-error.js'
import { type ZstdFrame, zstdFrames } from './zstd-frames.js'

/**
 * Kept at the module itself, which two copies of this file may share: when it is initialised for the third time, its
 * functions and its memory do not belong together any more, and what it compresses cannot be read.
 */
const LOADING = Symbol.for('castellan.zstd.loading')

/** zstd as Node has it from 22.15 on; the types of Node 20 do not know it. */
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
/** ZSTD_error_dstSize_tooSmall */
const TOO_SMALL = /-70$/
const SMALLEST_GUESS_BYTES = 1024 * 1024

let wasm: WasmZstd | undefined
let loading: Promise<void> | undefined
/** Why it could not be loaded. */
let failure: CodecUnavailableError | undefined

/**
 * Must have resolved once before zstd is used, because on Node 20 a WebAssembly module is loaded (4 ms). Never rejects: if it
 * cannot be loaded, the first use of zstd throws.
 */
export function prepareZstd(): Promise<void> {
  if (native.zstdDecompressSync !== undefined) return Promise.resolve()
  return (loading ??= loadWasm().catch(error => {
    failure = new CodecUnavailableError('zstd', '@bokuweb/zstd-wasm', error)
  }))
}

async function loadWasm(): Promise<void> {
  const module = (await import('@bokuweb/zstd-wasm')) as unknown as WasmZstd & { default?: WasmZstd }
  const loaded = module.default ?? module
  await (loaded[LOADING] ??= loaded.init())
  wasm = loaded
}

function loadedWasm(): WasmZstd {
  if (failure !== undefined) throw failure
  if (wasm === undefined) throw new Error('zstd is not loaded yet: await prepareCompression() first')
  return wasm
}

const view = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const zstdCompress = (bytes: Buffer): Buffer =>
  native.zstdCompressSync !== undefined ? native.zstdCompressSync(bytes) : view(loadedWasm().compress(bytes, 3))

/**
 * @throws DecompressionLimitError when larger than `maxBytes`
 * @throws when damaged
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

/** A frame that does not state its size gets a guess, doubled until it fits. */
function decompressInWasm(bytes: Buffer, claimedBytes: number | undefined, maxBytes: number): Buffer {
  for (let guess = Math.max(SMALLEST_GUESS_BYTES, bytes.length * 4); ; guess *= 2) {
    try {
      return view(loadedWasm().decompress(bytes, { defaultHeapSize: Math.min(guess, maxBytes) }))
    } catch (error) {
      if (claimedBytes !== undefined || !TOO_SMALL.test((error as Error).message)) throw error
      if (guess >= maxBytes) throw new DecompressionLimitError(maxBytes)
    }
  }
}
