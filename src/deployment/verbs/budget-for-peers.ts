import { takeBytes } from '../../core/budget-wait.js'
import { memoryOfRecord } from '../../core/bytes.js'
import type { KafkaRecord } from '../../core/model.js'
import type { HeldRecords, RecordBudget } from '../../core/record-budget.js'

/** The number of records that fit into the share of a client, why not all do, and the bytes that are held for them. */
interface TakenRecords {
  readonly count: number
  readonly problem: 'full' | 'greedy' | undefined
  readonly held: HeldRecords
}

/** The budget of clients of this process for records that other processes give them. */
export class BudgetForPeers {
  readonly #records: RecordBudget

  constructor(records: RecordBudget) {
    this.#records = records
  }

  isFree(client: string, bytes: number): boolean {
    return this.#records.problemOf(client, bytes) === undefined
  }

  /** Waits until a client may take so many bytes. @returns false: it could not in time, or the signal was aborted */
  async whenFree(client: string, bytes: number, maxMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.isFree(client, bytes)) return true
    const held = await takeBytes({ records: this.#records, client, bytes, maxMs, signal }).catch(() => undefined)
    held?.release()
    return held !== undefined
  }

  /** How many bytes another process may be asked for. One record is given in any case. */
  askable(client: string, maxBytes: number): number {
    return Math.max(1, Math.min(maxBytes, this.#records.bytesFor(client)))
  }

  /** Counts records that have come for a client, as far as they fit into its share: they may have come while other answers were not read. */
  take(client: string, all: readonly KafkaRecord[]): TakenRecords {
    let bytes = 0
    let count = 0
    let problem: 'full' | 'greedy' | undefined
    for (const record of all) {
      problem = this.#records.problemOf(client, bytes + memoryOfRecord(record))
      if (problem !== undefined) break
      bytes += memoryOfRecord(record)
      count++
    }
    return { count, problem, held: this.#records.hold(bytes, client) }
  }

  /** The same until the next tick: by then, who answers counts them. */
  takeForTick(client: string, all: readonly KafkaRecord[]): Omit<TakenRecords, 'held'> {
    const taken = this.take(client, all)
    setImmediate(() => taken.held.release())
    return taken
  }

  /** Why a client gets no records although there are some. */
  refusal(client: string, bytes: number) {
    return this.#records.refusal(this.#records.problemOf(client, bytes) ?? 'full')
  }
}
