import { HEADER_OBJECT_BYTES } from '../core/bytes.js'
import { type CompressionCodec, decompress } from './compression.js'
import { DecompressionLimitError } from './compression-errors.js'
import { type DecompressedHolder, DecompressedMemory, type HeldPlace } from './decompressed-memory.js'
import { indexRecords, type OpenRecords } from './record-reader.js'

/** Records have positions of 32 bits, and gzip of Node 20 refuses to begin with a higher limit. */
const LARGEST_BYTES = 2 ** 32 - 1

/** The compressed records of a batch, and the fields of its header that describe them. */
export interface PackedBatch {
  readonly codec: CompressionCodec
  readonly bytes: Buffer
  readonly recordCount: number
  readonly lastOffsetDelta: number
}

export const heldBytesOfOpenRecords = ({
  records,
  positions,
  offsetDeltas
}: Pick<OpenRecords, 'records' | 'positions' | 'offsetDeltas'>): number =>
  records.length + positions.byteLength + (offsetDeltas?.byteLength ?? 0)

/** The records of a batch: either plain, or compressed until they are read. */
export interface RecordSource {
  /** `undefined`: the records are compressed, and `open` decompresses them. */
  readonly opened: OpenRecords | undefined
  open(): OpenRecords
  /** Called when a reader begins to read the records. */
  touch(): void
  /** Bytes of memory of this object, without decompressed records. */
  readonly heapBytes: number
}

/**
 * Finds and checks uncompressed records.
 *
 * @throws DamagedRecordsError when the records do not match the header, DecompressionLimitError when a record that is read
 *   would take more than `maxBytes` for its headers, which may have two bytes each
 */
export function openRecords(
  records: Buffer,
  recordCount: number,
  lastOffsetDelta: number,
  maxBytes: number
): OpenRecords {
  const { positions, offsetDeltas, mostHeaders } = indexRecords(records, 0, recordCount, lastOffsetDelta)
  const headersBytes = mostHeaders * HEADER_OBJECT_BYTES
  if (headersBytes > maxBytes) throw new DecompressionLimitError(maxBytes, headersBytes)
  return { records, positions, offsetDeltas, memory: records.buffer, memoryOffset: records.byteOffset }
}

export class PlainRecords implements RecordSource {
  readonly opened: OpenRecords
  readonly heapBytes: number

  constructor(opened: OpenRecords) {
    this.opened = opened
    this.heapBytes = heldBytesOfOpenRecords(opened)
  }

  open(): OpenRecords {
    return this.opened
  }

  touch(): void {}
}

/**
 * The records of a compressed batch, which stays compressed in the cache and in answers. All readers of the batch share its
 * decompressed records, which a {@link DecompressedMemory} may drop.
 */
export class PackedRecords implements RecordSource, DecompressedHolder {
  readonly #memory: DecompressedMemory
  readonly #packed: PackedBatch
  #place: HeldPlace | undefined
  opened: OpenRecords | undefined

  constructor(memory: DecompressedMemory, packed: PackedBatch) {
    this.#memory = memory
    this.#packed = packed
  }

  get heapBytes(): number {
    return this.#packed.bytes.length
  }

  /** Decompresses the records again when they were dropped. This cannot fail, because the bytes are the same. */
  open(): OpenRecords {
    return this.opened ?? this.openWithin(this.#memory.maxBytes)
  }

  /**
   * Decompresses and checks the records.
   *
   * @throws DecompressionLimitError when the records take more than `maxBytes`, or records and index together take more
   *   than the limit of the memory
   * @throws Error when the records are damaged
   */
  openWithin(maxBytes: number): OpenRecords {
    const { codec, bytes, recordCount, lastOffsetDelta } = this.#packed
    const limitBytes = Math.min(maxBytes, this.#memory.maxBytes)
    const unpacked = decompress(codec, bytes, Math.ceil(Math.min(limitBytes, LARGEST_BYTES)))
    // zlib gives 16 KiB for any result that is smaller. The pool of Buffers would keep as much: 64 KiB in Node 24.
    const isOwn = unpacked.buffer.byteLength <= 2 * unpacked.length
    const records = isOwn ? unpacked : Buffer.from(new Uint8Array(unpacked).buffer)
    const opened = openRecords(records, recordCount, lastOffsetDelta, limitBytes)
    const heldBytes = heldBytesOfOpenRecords(opened)
    if (heldBytes > this.#memory.maxBytes) throw new DecompressionLimitError(this.#memory.maxBytes, heldBytes)
    this.#place = this.#memory.hold(this, heldBytes)
    this.opened = opened
    return opened
  }

  touch(): void {
    if (this.#place) this.#memory.touch(this.#place)
  }

  release(): void {
    this.opened = undefined
    this.#place = undefined
  }
}

export interface DecompressionLimits {
  readonly memory: DecompressedMemory
  /** Limit of one response, and therefore of one batch. */
  readonly responseMaxBytes: number
}

/**
 * Limit of the decompressed bytes of all batches of a response but the first: a response is decompressed in one tick.
 */
const TURN_MAX_BYTES = 16 * 1024 * 1024
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024

export const defaultDecompressionLimits = (): DecompressionLimits => ({
  memory: new DecompressedMemory(DEFAULT_MAX_BYTES),
  responseMaxBytes: DEFAULT_MAX_BYTES
})

/**
 * The result of opening compressed records. `leftOut`: a later call delivers the batch. `tooLarge`: no call can deliver
 * it.
 */
type Unpacked =
  | { readonly type: 'opened'; readonly source: PackedRecords }
  | { readonly type: 'leftOut' }
  | { readonly type: 'tooLarge'; readonly maxBytes: number }

/**
 * Limits the decompressed bytes of one response. The first batch may use the whole limit of a response. Later batches
 * are opened only within a smaller limit for the whole response, so that they do not block the event loop for long. A
 * later batch that does not fit is left out and fetched again. A first batch that does not fit is too large.
 */
export class DecompressionAllowance {
  readonly #limits: DecompressionLimits
  readonly #laterMaxBytes: number
  #leftBytes: number

  /** @param laterMaxBytes limit of all batches together, once the first one is opened */
  constructor(limits: DecompressionLimits, laterMaxBytes = TURN_MAX_BYTES) {
    this.#limits = limits
    this.#laterMaxBytes = laterMaxBytes
    this.#leftBytes = limits.responseMaxBytes
  }

  /** Limit of one batch. */
  get maxBytes(): number {
    return this.#limits.responseMaxBytes
  }

  /** @throws Error when the records are damaged */
  unpack(packed: PackedBatch): Unpacked {
    const { memory, responseMaxBytes } = this.#limits
    const isAlone = this.#leftBytes === responseMaxBytes
    if (this.#leftBytes <= 0) return { type: 'leftOut' }
    const source = new PackedRecords(memory, packed)
    const allowedBytes = this.#leftBytes
    // A failed attempt uses up the allowance, because it may cost as much work as a success.
    this.#leftBytes = 0
    try {
      const { records } = source.openWithin(allowedBytes)
      this.#leftBytes = Math.min(allowedBytes, this.#laterMaxBytes) - records.length
      return { type: 'opened', source }
    } catch (error) {
      if (!(error instanceof DecompressionLimitError)) throw error
      return isAlone ? { type: 'tooLarge', maxBytes: error.maxBytes } : { type: 'leftOut' }
    }
  }
}
