import type { BatchView } from '../protocol/record-batch.js'
import { decodeRecords } from '../protocol/records.js'

/** A range that read_committed readers must leave out, as Fetch lists it. */
export interface AbortedTransaction {
  readonly producerId: number
  readonly firstOffset: number
  readonly lastOffset: number
}

const ABORT = 0

/** The open and aborted transactions of one partition. */
export class TransactionIndex {
  readonly #openSince = new Map<number, number>()
  readonly #aborted: AbortedTransaction[] = []

  get openProducerIds(): number[] {
    return [...this.#openSince.keys()]
  }

  /** Where read_committed readers stop: the first record of the oldest open transaction, else the high watermark. */
  lastStableOffset(highWatermark: number): number {
    let stable = highWatermark
    for (const offset of this.#openSince.values()) stable = Math.min(stable, offset)
    return stable
  }

  appended(batch: BatchView): void {
    if (!batch.isTransactional) return
    if (batch.isControl) this.#ended(batch)
    else if (!this.#openSince.has(batch.producerId)) this.#openSince.set(batch.producerId, batch.baseOffset)
  }

  /** May name ranges that reach beyond `toOffset`, as real brokers do. */
  abortedIn(fromOffset: number, toOffset: number): AbortedTransaction[] {
    return this.#aborted.filter(range => range.lastOffset >= fromOffset && range.firstOffset < toOffset)
  }

  /** A control record's key: version i16, type i16 (0 abort, 1 commit). */
  #ended(marker: BatchView): void {
    const firstOffset = this.#openSince.get(marker.producerId)
    this.#openSince.delete(marker.producerId)
    if (firstOffset === undefined || markerType(marker) !== ABORT) return
    this.#aborted.push({ producerId: marker.producerId, firstOffset, lastOffset: marker.lastOffset })
  }
}

function markerType(marker: BatchView): number | undefined {
  try {
    const key = decodeRecords(marker)[0]?.key
    return key && key.length >= 4 ? key.readInt16BE(2) : undefined
  } catch {
    return undefined
  }
}
