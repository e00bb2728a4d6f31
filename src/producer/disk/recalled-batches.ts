import type { Logger } from '../../core/model.js'
import type { StoredEntry } from '../log/entry.js'
import type { BatchNote } from './batch-note.js'
import type { ReadAhead } from './read-ahead.js'

/** A batch that was sent and is not in memory. Without a number it gets another one. */
export type SentBatch = Omit<BatchNote, 'numbering'> & { readonly numbering: BatchNote['numbering'] | undefined }

/** What there still is of a batch that another process has sent. */
export interface Recalled {
  readonly entries: readonly StoredEntry[]
  /** All records of the batch are still there, so that the same batch can be sent again. */
  readonly isWhole: boolean
}

export interface ReturningBatchesOptions {
  readonly topic: string
  readonly log: Logger
  readonly readAhead: Pick<ReadAhead, 'return'>
  /** Reads the records of a batch. */
  readonly recall: (batch: SentBatch) => Promise<Recalled>
  /** False: nothing may be given to partitions now. */
  readonly mayReturn: () => boolean
  /** The batch is its partition's again. */
  readonly onReturned: (partition: number, batch: SentBatch, recalled: Recalled) => void
}

/** Pause before a batch that was set aside, or could not be read, comes back. */
const PAUSE_MS = 1_000

/** Batches of one topic that another process has sent, or that were set aside, by partition, until their producers have them. */
export class ReturningBatches {
  readonly #options: ReturningBatchesOptions
  readonly #batches: Map<number, SentBatch>
  readonly #timers = new Set<NodeJS.Timeout>()
  #isClosed = false

  constructor(batches: ReadonlyMap<number, BatchNote>, options: ReturningBatchesOptions) {
    this.#batches = new Map(batches)
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#batches.size === 0
  }

  has(partition: number): boolean {
    return this.#batches.has(partition)
  }

  /** By partition. */
  get all(): Iterable<readonly [number, SentBatch]> {
    return this.#batches
  }

  /** Of all their records. */
  get sequences(): readonly number[] {
    return [...this.#batches.values()].flatMap(({ sequences }) => sequences)
  }

  /** Forgets all. Returns the sequences of their records, which are to be read and sent as any others. */
  clear(): readonly number[] {
    const { sequences } = this
    this.#batches.clear()
    return sequences
  }

  /**
   * There are partitions to give them to: those whose number means something there come back, the others are forgotten. Returns
   * the sequences of the records of these, which are to be read and sent as any others.
   */
  resume(isValid: (partition: number, batch: SentBatch) => boolean): readonly number[] {
    const forgotten: number[] = []
    for (const [partition, batch] of this.#batches) {
      if (isValid(partition, batch)) this.#return(partition, batch)
      else {
        this.#batches.delete(partition)
        for (const sequence of batch.sequences) forgotten.push(sequence)
      }
    }
    return forgotten
  }

  /** A partition has given its batch back: it comes again when its turn comes. */
  setAside(partition: number, batch: SentBatch): void {
    this.#batches.set(partition, batch)
    this.#returnLater(partition, batch)
  }

  /** Gives nothing back any more: what partitions have not got stays in the log. */
  close(): void {
    this.#isClosed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #returnLater(partition: number, batch: SentBatch): void {
    if (this.#isClosed) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#return(partition, batch)
    }, PAUSE_MS)
    this.#timers.add(timer)
  }

  /** Reads a batch again when there is memory for it, and gives it to its partition. */
  #return(partition: number, batch: SentBatch): void {
    const { readAhead, mayReturn, recall, onReturned, log, topic } = this.#options
    const isWanted = (): boolean => this.#batches.get(partition) === batch
    readAhead.return(async () => {
      if (!isWanted() || !mayReturn()) return
      try {
        const recalled = await recall(batch)
        if (isWanted() && this.#batches.delete(partition)) onReturned(partition, batch, recalled)
      } catch (error) {
        log.error({ err: error, topic, partition }, 'a batch could not be read from the durable log')
        this.#returnLater(partition, batch)
      }
    })
  }
}
