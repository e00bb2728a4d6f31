import * as zlib from 'node:zlib'

/** zstd as Node has it from 22.15 on; the types of Node 20 do not know it. */
interface NativeZstd {
  zstdCompressSync?: (bytes: Buffer) => Buffer
  zstdDecompressSync?: (bytes: Buffer, options: { maxOutputLength: number }) => Buffer
}
interface WasmZstd {
  init(): Promise<void>
  compress(bytes: Uint8Array, level?: number): Uint8Array
  decompress(bytes: Uint8Array, options: { defaultHeapSize: number }): Uint8Array
}

const native = zlib as NativeZstd
const MAGIC = 0xfd2fb528
/** ZSTD_error_dstSize_tooSmall */
const TOO_SMALL = /-70$/
const SMALLEST_GUESS_BYTES = 1024 * 1024

let wasm: WasmZstd | undefined
let loading: Promise<void> | undefined

/** Must have resolved once before zstd is used: Node 20 gets it from a WebAssembly module, which loads (4 ms). */
export function prepareZstd(): Promise<void> {
  if (native.zstdDecompressSync !== undefined) return Promise.resolve()
  return (loading ??= loadWasm())
}

async function loadWasm(): Promise<void> {
  const module = (await import('@bokuweb/zstd-wasm')) as unknown as WasmZstd & { default?: WasmZstd }
  const loaded = module.default ?? module
  await loaded.init()
  wasm = loaded
}

function loadedWasm(): WasmZstd {
  if (wasm === undefined) throw new Error('zstd is not loaded yet: await prepareCompression() first')
  return wasm
}

const view = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const zstdCompress = (bytes: Buffer): Buffer =>
  native.zstdCompressSync !== undefined ? native.zstdCompressSync(bytes) : view(loadedWasm().compress(bytes, 3))

/**
 * Size the first frame claims to have, or `undefined` when it does not say.
 * Source: RFC 8878, 3.1.1.1
 */
function claimedBytes(bytes: Buffer): number | undefined {
  if (bytes.length < 6 || bytes.readUInt32LE(0) !== MAGIC) throw new Error('not a zstd frame')
  const descriptor = bytes[4]!
  const singleSegment = (descriptor >> 5) & 1
  const sizeFlag = descriptor >> 6
  const at = 5 + (singleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!
  const fieldBytes = [singleSegment, 2, 4, 8][sizeFlag]!
  if (at + fieldBytes > bytes.length) throw new Error('truncated zstd frame')
  if (fieldBytes === 0) return undefined
  if (fieldBytes === 8) return Number(bytes.readBigUInt64LE(at))
  return bytes.readUIntLE(at, fieldBytes) + (fieldBytes === 2 ? 256 : 0)
}

/** A block takes four bytes at least and holds 128 KiB at most; a frame that claims more is not worth allocating for. */
const largestPossibleBytes = (bytes: Buffer): number => (bytes.length / 4) * 128 * 1024

/** @throws when damaged or larger than `allowedBytes` */
export function zstdDecompress(bytes: Buffer, allowedBytes: number): Buffer {
  const maxBytes = Math.ceil(Math.min(allowedBytes, largestPossibleBytes(bytes)))
  const claimed = claimedBytes(bytes)
  if (claimed !== undefined && claimed > maxBytes) throw new Error(`${claimed} bytes are more than ${maxBytes}`)
  if (native.zstdDecompressSync !== undefined) return native.zstdDecompressSync(bytes, { maxOutputLength: maxBytes })
  // Streaming writers (Java's among them) do not state the size: guess, and double until it fits.
  for (let guess = Math.max(SMALLEST_GUESS_BYTES, bytes.length * 4); ; guess *= 2) {
    try {
      return view(loadedWasm().decompress(bytes, { defaultHeapSize: Math.min(guess, maxBytes) }))
    } catch (error) {
      if (claimed !== undefined || guess >= maxBytes || !TOO_SMALL.test((error as Error).message)) throw error
    }
  }
}
