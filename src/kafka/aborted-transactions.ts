import type { Offset } from '../core/model.js'
import * as layout from './record-batch-layout.js'

/** A transaction that was aborted; all batches of its producer from `firstOffset` to its abort marker are void. */
export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: Offset
}

/** The parts of a batch header that decide whether its records are delivered. */
interface TransactionalBatch {
  readonly start: number
  readonly lastOffset: Offset
  readonly attributes: number
}

/**
 * Decides, batch by batch in offset order, which batches are delivered: all but control batches and those of aborted
 * transactions.
 */
export class AbortedTransactions {
  /** Not reached yet, the next one last. */
  readonly #ahead: AbortedTransaction[]
  readonly #open = new Set<bigint>()

  /** @param transactions as the broker lists them; may name ranges beyond the data */
  constructor(transactions: readonly AbortedTransaction[]) {
    this.#ahead = [...transactions].sort((a, b) => b.firstOffset - a.firstOffset)
  }

  isDelivered({ start, lastOffset, attributes }: TransactionalBatch, bytes: Buffer): boolean {
    if (!(attributes & (layout.CONTROL_FLAG | layout.TRANSACTIONAL_FLAG))) return true
    while (this.#ahead.length > 0 && this.#ahead.at(-1)!.firstOffset <= lastOffset) {
      this.#open.add(this.#ahead.pop()!.producerId)
    }
    const producerId = bytes.readBigInt64BE(start + layout.AT_PRODUCER_ID)
    if (attributes & layout.CONTROL_FLAG) {
      // A commit marker cannot be met while its producer's aborted transaction is open, so any marker ends it.
      this.#open.delete(producerId)
      return false
    }
    return !this.#open.has(producerId)
  }
}
