import type { StoredEntry } from './entry.js'

/** Asks for entries that are not completed, in the order of their sequences. */
export interface ReadRequest {
  /** Entries with a lower sequence are not returned. */
  readonly fromSequence: number
  /** Reading stops once this many bytes of entries are gathered; one entry is always returned whole. */
  readonly maxBytes: number
  /** Entries for these only; absent: for all. A map says for each from which sequence on. */
  readonly destinations?: ReadonlySet<string> | ReadonlyMap<string, number> | undefined
  /** Entries for these are passed over, without a look at the file. */
  readonly except?: ReadonlySet<string> | undefined
}

export interface ReadResult {
  readonly entries: readonly StoredEntry[]
  /** Where to go on: everything asked for before this sequence has been returned. */
  readonly nextSequence: number
  /** Nothing that was asked for lies behind `nextSequence` now. */
  readonly isAtEnd: boolean
}

/** The lowest sequence that a request wants of a destination. */
export function wantedFrom({ fromSequence, destinations, except }: ReadRequest, destination: string): number {
  if (except?.has(destination)) return Number.POSITIVE_INFINITY
  if (!destinations) return fromSequence
  if (!destinations.has(destination)) return Number.POSITIVE_INFINITY
  return Math.max(fromSequence, destinations instanceof Map ? destinations.get(destination)! : fromSequence)
}
