const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const LARGEST_BLOCK_BYTES = 128 * 1024
const RLE = 1

/** One frame of a zstd stream. */
export interface ZstdFrame {
  readonly bytes: Buffer
  /** The decompressed size that it names; `undefined` when it names none, as streaming writers (Java) do not. */
  readonly claimedBytes: number | undefined
  /** Most bytes that its blocks could hold. */
  readonly possibleBytes: number
}

/**
 * Walks over the frames of a stream, block by block and without decompressing. Not every implementation notices that a
 * stream is cut, and a claimed size must be checked before memory is allocated for it.
 *
 * Source: RFC 8878, 3.1
 *
 * @throws when something else than frames is there, or a frame is cut
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
