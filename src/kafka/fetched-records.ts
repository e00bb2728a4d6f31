import type { Offset, RecordBatch } from '../core/model.js'

/**
 * The records of one partition in a Fetch response, indexed but not decoded. Record batches the broker cut at the byte limit
 * are left out; control batches, aborted transactions (read_committed) and records before `fetchOffset` are skipped.
 */
export interface FetchedRecords {
  /** Bytes of the partition's record set as received. */
  readonly sizeBytes: number
  /** Deliverable batches in offset order, before any corruption. Each owns its bytes (no view of the response). */
  readonly batches: readonly RecordBatch[]
  /**
   * Where to go on after everything that was looked at, skipped ranges included (from lastOffsetDelta, so compacted
   * tails and empty batches are passed). Equals the fetch offset when nothing whole was received.
   */
  readonly nextOffset: Offset
  /** True when bytes were left over that do not make up a whole batch: normal at the tail. */
  readonly hasPartialBatch: boolean
  /**
   * The first damaged batch, if any: `offset` is where the damage starts (>= fetch offset), `nextOffset` the first
   * offset after it that may be read: base of the next batch when that one is whole, else lastOffsetDelta where
   * plausible, else offset + 1.
   */
  readonly corruption: { readonly offset: Offset; readonly nextOffset: Offset; readonly reason: string } | undefined
  /** True when batches were left out because others of the same response took all the memory it was allowed. */
  readonly isLeftOut: boolean
  /** The first batch behind those in `batches` when its compression is not available here. */
  readonly unavailable?: { readonly offset: Offset; readonly reason: string } | undefined
  /** The first batch behind those in `batches` when it alone would take more memory than a response is allowed. */
  readonly tooLarge: { readonly offset: Offset; readonly nextOffset: Offset; readonly maxBytes: number } | undefined
}
