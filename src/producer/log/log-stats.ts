import type { LogState } from './availability.js'

/** What the log's own files tell. */
export interface StoreStats {
  readonly state: LogState
  readonly segmentCount: number
  /** What the log takes on disk, dead letters apart. */
  readonly sizeBytes: number
  /** Entries that are not completed. */
  readonly openEntries: number
  /** Entries that were open when the log was opened, and those appended since. */
  readonly enqueued: number
  /** Entries that were completed since. */
  readonly completed: number
  /** Entries that damage took, among those that were looked at. */
  readonly damagedEntries: number
  /** Syncs of files since the log was opened. */
  readonly syncs: number
  readonly quarantinedSegments: number
}

/** The state of the durable log, as `look` tells. */
export interface LogStats extends StoreStats {
  readonly deadLetters: number
}
