import type { Bytes, Logger } from '../../core/model.js'
import type { Partitioner } from '../memory/partitioners.js'
import type { BatchNote, Reread, SentBatch } from './batch-notes.js'
import type { ReadAhead } from './read-ahead.js'

export interface ReturningBatchesOptions {
  readonly topic: string
  readonly log: Logger
  readonly readAhead: Pick<ReadAhead, 'return'>
  /** Reads the records of a batch. */
  readonly readAgain: (batch: SentBatch) => Promise<Reread>
  /** False: partitions take nothing now. */
  readonly mayReturn: () => boolean
  /** Called when the records of the batch were read for its partition. */
  readonly onReturned: (partition: number, batch: SentBatch, reread: Reread) => void
}

/** Pause before a batch is read again that was set aside or could not be read. */
const PAUSE_MS = 1_000

/**
 * Batches of one topic that another process has sent, or that were set aside; they stay here until read again for their
 * producers.
 */
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

  /** The batches with their partitions. */
  get all(): Iterable<readonly [number, SentBatch]> {
    return this.#batches
  }

  /** Sequences of the records of all batches. */
  get sequences(): readonly number[] {
    return [...this.#batches.values()].flatMap(({ sequences }) => sequences)
  }

  /** Forgets all batches. @returns the sequences of their records, which are then read and sent like any others */
  clear(): readonly number[] {
    const { sequences } = this
    this.#batches.clear()
    return sequences
  }

  /**
   * The partitions are known: batches whose number is valid there are read again, and others are forgotten.
   *
   * @returns the sequences of the records of forgotten batches, which are then read and sent like any others
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

  /** A partition has given its batch back; the batch is read again when it is its turn. */
  setAside(partition: number, batch: SentBatch): void {
    this.#batches.set(partition, batch)
    this.#returnLater(partition, batch)
  }

  /** Reads no batch again. Batches that were not read yet stay in the log. */
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

  /**
   * Reads a batch for its partition when there is memory for it. Meanwhile the topic may be looked up again, so that the batch is
   * read twice, or another cluster may be connected, so that it is forgotten. Therefore the first read that ends takes the batch
   * out, and a later one finds that it is not wanted any more.
   */
  #return(partition: number, batch: SentBatch): void {
    const { readAhead, mayReturn, readAgain, onReturned, log, topic } = this.#options
    const isWanted = (): boolean => this.#batches.get(partition) === batch
    readAhead.return(async () => {
      if (!isWanted() || !mayReturn()) return
      try {
        const reread = await readAgain(batch)
        if (isWanted() && this.#batches.delete(partition)) onReturned(partition, batch, reread)
      } catch (error) {
        log.error({ err: error, topic, partition }, 'a batch could not be read from the durable log')
        this.#returnLater(partition, batch)
      }
    })
  }
}

interface Former {
  readonly partitionCount: number
  readonly open: Set<number>
}

/**
 * Batches that were sealed when their topic had another number of partitions, and are not in Kafka yet. Later records with
 * their keys may now belong to other partitions. They wait for these batches, so the order within a key is kept.
 */
export class FormerBatches {
  readonly #byPartition = new Map<number, Former>()

  get isEmpty(): boolean {
    return this.#byPartition.size === 0
  }

  /** Number of partitions when the batch of this partition was sealed; `undefined`: the present one. */
  countOf(partition: number): number | undefined {
    return this.#byPartition.get(partition)?.partitionCount
  }

  add(partition: number, partitionCount: number, sequences: readonly number[]): void {
    if (sequences.length > 0 && !this.#byPartition.has(partition)) {
      this.#byPartition.set(partition, { partitionCount, open: new Set(sequences) })
    }
  }

  /** True when this was the last record of such a batch: records that wait for the batch may now be sent. */
  settled(sequence: number): boolean {
    for (const [partition, { open }] of this.#byPartition) {
      if (open.delete(sequence)) return open.size === 0 && this.#byPartition.delete(partition)
    }
    return false
  }

  forget(partition: number): void {
    this.#byPartition.delete(partition)
  }

  clear(): void {
    this.#byPartition.clear()
  }

  /** Whether a record with this key would overtake one that is on its way to the key's former partition. */
  holdsUp(key: Bytes, partition: number, partitioner: Partitioner, topic: string): boolean {
    for (const [former, { partitionCount }] of this.#byPartition) {
      if (former !== partition && partitioner(key, partitionCount, topic) === former) return true
    }
    return false
  }
}
