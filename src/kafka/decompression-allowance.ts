import { DecompressedMemory } from './decompressed-memory.js'
import { DecompressionLimitError } from './decompression-error.js'
import { type Packed, PackedRecords } from './packed-records.js'

/** Limits for the decompressed size of a response. */
export interface DecompressionLimits {
  readonly memory: DecompressedMemory
  /** Of one response, and so of one batch. */
  readonly responseMaxBytes: number
}

/** Of one response, beyond its first batch: all of it is decompressed in one turn of the event loop. */
const TURN_MAX_BYTES = 16 * 1024 * 1024
const DEFAULT_MAX_BYTES = 64 * 1024 * 1024

/** For a call that brings no limits of its own. */
export const defaultDecompressionLimits = (): DecompressionLimits => ({
  memory: new DecompressedMemory(DEFAULT_MAX_BYTES),
  responseMaxBytes: DEFAULT_MAX_BYTES
})

/** What happened to compressed records: opened, left for another call, or larger than any call may open. */
export type Unpacked =
  | { readonly type: 'opened'; readonly source: PackedRecords }
  | { readonly type: 'leftOut' }
  | { readonly type: 'tooLarge'; readonly maxBytes: number }

/**
 * The decompressed bytes that the batches of one response may still take. The first batch may take all that a response may.
 * Those behind it share what is left of a smaller limit, so that the event loop is not held up for long. A batch that does
 * not fit behind others is left out, and is fetched again; one that does not fit alone never will.
 */
export class DecompressionAllowance {
  readonly #limits: DecompressionLimits
  #leftBytes: number

  constructor(limits: DecompressionLimits) {
    this.#limits = limits
    this.#leftBytes = limits.responseMaxBytes
  }

  /** @throws when the records are damaged */
  unpack(packed: Packed): Unpacked {
    const { memory, responseMaxBytes } = this.#limits
    const isAlone = this.#leftBytes === responseMaxBytes
    if (this.#leftBytes <= 0) return { type: 'leftOut' }
    const source = new PackedRecords(memory, packed)
    const allowedBytes = this.#leftBytes
    // Trying to open a batch that is too large may have cost as much work as one that just fits.
    this.#leftBytes = 0
    try {
      const { records } = source.openWithin(allowedBytes)
      this.#leftBytes = Math.min(allowedBytes, TURN_MAX_BYTES) - records.length
      return { type: 'opened', source }
    } catch (error) {
      if (!(error instanceof DecompressionLimitError)) throw error
      return isAlone ? { type: 'tooLarge', maxBytes: error.maxBytes } : { type: 'leftOut' }
    }
  }
}
