import { memoryOfRecord } from '../../core/bytes.js'
import type { KafkaRecord } from '../../core/model.js'
import type { HeldRecords, RecordBudget } from '../../core/record-budget.js'
import { takeRoom } from '../../core/room-wait.js'

/** How many of some records a client has room for, why not for all, and what counts those for which it has. */
interface TakenRecords {
  readonly count: number
  readonly problem: 'full' | 'greedy' | undefined
  readonly held: HeldRecords
}

/** The room in memory that clients of this process have for records that other processes give them. */
export class RoomForRecords {
  readonly #records: RecordBudget

  constructor(records: RecordBudget) {
    this.#records = records
  }

  hasRoom(client: string, bytes: number): boolean {
    return this.#records.problemOf(client, bytes) === undefined
  }

  /** Waits until a client has room for so many bytes. @returns false: there was none in time, or the signal was aborted */
  async whenRoom(client: string, bytes: number, maxMs: number, signal: AbortSignal | undefined): Promise<boolean> {
    if (this.hasRoom(client, bytes)) return true
    const held = await takeRoom({ records: this.#records, client, bytes, maxMs, signal }).catch(() => undefined)
    held?.release()
    return held !== undefined
  }

  /** How many bytes another process may be asked for. One record is given in any case. */
  askable(client: string, maxBytes: number): number {
    return Math.max(1, Math.min(maxBytes, this.#records.roomOf(client)))
  }

  /** Counts records that have come for a client, as far as it has room: they may have come while other answers were not read. */
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
