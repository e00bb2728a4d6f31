import type { InPieces } from '../core/loop-turns.js'
import type { ProduceRecord, RecordHeader } from '../core/model.js'
import type { TraceOfRequest } from '../core/tracing/tracing.js'
import type { ClaimedKey } from '../producer/keys/claimed-key.js'
import type { RecordPlaces } from '../producer/receipts/receipts.js'

export { placesOf, type RecordPlaces } from '../producer/receipts/receipts.js'

/**
 * The client's request that records came with. An API passes the same object with all records of the request. Records that
 * no request brought, such as those of a library's caller, have no origin.
 */
export interface ProduceOrigin {
  /** The name of the client, as rules and quotas know it. */
  readonly principal: string
  /** The client for which new topics are created: the principal, else the address. Absent: not known. */
  readonly client?: string | undefined
  /** Headers that the request adds to each of its records, behind the record's own; one of the same name wins over them. */
  readonly recordHeaders: readonly RecordHeader[]
  /** The trace of the request. Absent: it is not traced. */
  readonly trace?: TraceOfRequest | undefined
  /** Set before the receipt if all records of the request are in the durable log: how many these are. */
  acceptedRecords?: number | undefined
  /** Set when the records are accepted: the id to ask for them with. */
  receipt: string | undefined
  /** True: the API reads the receipt from `receipt` here. Absent: it may take it from the result of `produce`. */
  readonly isAsked?: boolean | undefined
  /**
   * Lets the work on many records go in turns. The records and their bytes last. Absent: the bytes are valid during the
   * call only.
   */
  inTurns?: ((work: InPieces<void>) => void) | undefined
  /** Set by an API that refuses some records of the request by itself: where the others stand in the request. */
  places?: RecordPlaces | undefined
  /** The key that the request has claimed, so that it is carried out once. Absent: it has none. */
  readonly key?: ClaimedKey | undefined
}

/** The principal of clients without credentials, where those are admitted, and of records that no request brought. */
export const ANONYMOUS = 'anonymous'

/** No headers; never written to. */
export const NO_RECORD_HEADERS: readonly RecordHeader[] = []

/** The records with the headers that their request adds. A header that the record has by itself is not added. */
export function withOriginHeaders(
  records: readonly ProduceRecord[],
  { recordHeaders }: Pick<ProduceOrigin, 'recordHeaders'>
): readonly ProduceRecord[] {
  if (recordHeaders.length === 0) return records
  return records.map(record => ({ ...record, headers: withHeaders(record.headers, recordHeaders) }))
}

function withHeaders(own: readonly RecordHeader[] = [], added: readonly RecordHeader[]): readonly RecordHeader[] {
  if (own.length === 0) return added
  const names = new Set(own.map(({ key }) => key.toLowerCase()))
  return [...own, ...added.filter(({ key }) => !names.has(key.toLowerCase()))]
}
