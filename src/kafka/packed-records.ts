import { type CompressionCodec, decompress } from './compression.js'
import {
  type DecompressedHolder,
  type DecompressedMemory,
  type HeldPlace,
  heldBytesOf,
  type OpenRecords
} from './decompressed-memory.js'
import { DecompressionLimitError } from './decompression-error.js'
import { indexRecords } from './record-index.js'

/** The compressed records of a batch, as they came, and what the header says of them. */
export interface Packed {
  readonly codec: CompressionCodec
  readonly bytes: Buffer
  readonly recordCount: number
  readonly lastOffsetDelta: number
}

/** The records of a batch: either plain, or compressed and decompressed when they are read. */
export interface RecordSource {
  /** `undefined`: {@link open} has to decompress them. */
  readonly opened: OpenRecords | undefined
  open(): OpenRecords
  /** Called when a reader begins to read them. */
  touch(): void
  /** Memory that lives as long as the source, decompressed records not counted. */
  readonly heapBytes: number
}

/**
 * Finds and checks uncompressed records.
 *
 * @throws DamagedRecordsError when they are not what the header says
 */
export function openRecords(records: Buffer, recordCount: number, lastOffsetDelta: number): OpenRecords {
  const { positions, offsetDeltas } = indexRecords(records, 0, recordCount, lastOffsetDelta)
  return { records, positions, offsetDeltas }
}

/** Records that came uncompressed. */
export class PlainRecords implements RecordSource {
  readonly opened: OpenRecords
  readonly heapBytes: number

  constructor(opened: OpenRecords) {
    this.opened = opened
    this.heapBytes = heldBytesOf(opened)
  }

  open(): OpenRecords {
    return this.opened
  }

  touch(): void {}
}

/**
 * Records that came compressed and stay compressed in the cache and in answers. All readers of the batch share the
 * decompressed records, which belong to a {@link DecompressedMemory} and may be dropped.
 */
export class PackedRecords implements RecordSource, DecompressedHolder {
  readonly #memory: DecompressedMemory
  readonly #packed: Packed
  #place: HeldPlace | undefined
  opened: OpenRecords | undefined

  constructor(memory: DecompressedMemory, packed: Packed) {
    this.#memory = memory
    this.#packed = packed
  }

  get heapBytes(): number {
    return this.#packed.bytes.length
  }

  /** What was opened once can be opened again: the bytes are the same. */
  open(): OpenRecords {
    return this.opened ?? this.openWithin(this.#memory.maxBytes)
  }

  /**
   * Decompresses and checks the records.
   *
   * @throws DecompressionLimitError when they take more than `maxBytes`, or with their index more than all memory
   * @throws when they are damaged
   */
  openWithin(maxBytes: number): OpenRecords {
    const { codec, bytes, recordCount, lastOffsetDelta } = this.#packed
    const records = decompress(codec, bytes, Math.min(maxBytes, this.#memory.maxBytes))
    const opened = openRecords(records, recordCount, lastOffsetDelta)
    const heldBytes = heldBytesOf(opened)
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
