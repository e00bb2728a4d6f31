import type { Logger } from '../../core/model.js'
import type { SealedBatch } from '../../router/messages/operations.js'
import type { DurableLog } from '../log/durable-log.js'
import type { StoredEntry } from '../log/entry.js'
import type { ScheduledProducer } from '../memory/partition-producer-deps.js'
import { encodeBatchNote, noteKeyOf } from './batch-note.js'
import type { DurableTopic } from './durable-topic.js'
import type { Recalled, SentBatch } from './recalled-batches.js'

export interface BatchNotesOptions {
  readonly log: Logger
  readonly logOf: () => DurableLog
  /** When the log was opened, it had lost nothing. */
  readonly wasIntact: () => boolean
  readonly clusterId: () => string | undefined
  readonly topicOf: (producer: ScheduledProducer) => DurableTopic | undefined
}

const RECALL_BYTES = 1024 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * Notes in the log which batch each partition was sent last, before it is sent, and reads such batches again. The notes
 * need no sync: they are for a process that was killed. After a power cut a batch may be in Kafka twice.
 */
export class BatchNotes {
  readonly #options: BatchNotesOptions
  /** What was noted last. A batch that is sent again need not be noted again. */
  readonly #noted = new WeakMap<ScheduledProducer, Buffer>()

  constructor(options: BatchNotesOptions) {
    this.#options = options
  }

  /** Resolves when the batches may be sent. */
  async note(batches: ReadonlyMap<ScheduledProducer, SealedBatch>): Promise<void> {
    const notes: { key: string; value: Buffer }[] = []
    for (const [producer, { bytes }] of batches) {
      if (this.#noted.get(producer) === bytes) continue
      this.#noted.set(producer, bytes)
      const topic = this.#options.topicOf(producer)
      if (topic === undefined) continue
      notes.push({
        key: noteKeyOf(topic.destination, producer.partition),
        value: this.#noteOf(topic, producer.partition)
      })
    }
    if (notes.length === 0) return
    const { log, logOf } = this.#options
    const isKept = await logOf()
      .note(notes)
      .catch(() => false)
    if (isKept) return
    log.warn({ batches: notes.length }, 'batches could not be noted: after a crash they may be in Kafka twice')
  }

  #noteOf(topic: DurableTopic, partition: number): Buffer {
    const producer = topic.producers[partition]!
    return encodeBatchNote({
      clusterId: this.#options.clusterId() ?? '',
      topicId: topic.topicId,
      numbering: producer.numbering!,
      partitionCount: topic.countOfSent(partition),
      sequences: producer.sentIndexes.toSorted((one, other) => one - other)
    })
  }

  /** The partitions of a topic that is forgotten: nothing that they were sent is open. */
  async forget({ destination }: DurableTopic, partitions: readonly number[]): Promise<void> {
    const notes = partitions.map(partition => ({ key: noteKeyOf(destination, partition), value: NOTHING }))
    await this.#options
      .logOf()
      .note(notes)
      .catch(() => false)
  }

  /** Reads the records of a batch that was sent. */
  async recall({ destination }: Pick<DurableTopic, 'destination'>, { sequences }: SentBatch): Promise<Recalled> {
    const entries: StoredEntry[] = []
    const wanted = new Set(sequences)
    const last = sequences.at(-1) ?? 0
    for (let from = sequences[0] ?? 1; from <= last; ) {
      const destinations = new Map([[destination, from]])
      const found = await this.#options.logOf().read({ fromSequence: from, maxBytes: RECALL_BYTES, destinations })
      for (const entry of found.entries) if (wanted.has(entry.sequence)) entries.push(entry)
      from = found.isAtEnd ? last + 1 : found.nextSequence
    }
    if (entries.length === sequences.length || entries.length === 0) return { entries, isWhole: true }
    return this.#recalledInPart(entries)
  }

  /**
   * Records of a batch are completed together, when Kafka has all of them. When some are missing, either a crash interrupted
   * that, or damage took them. Only where nothing was ever lost the rest is known to be in Kafka.
   */
  async #recalledInPart(entries: readonly StoredEntry[]): Promise<Recalled> {
    const log = this.#options.logOf()
    const { damagedEntries } = await log.look()
    if (damagedEntries > 0 || !this.#options.wasIntact()) return { entries, isWhole: false }
    for (const { sequence } of entries) log.complete(sequence)
    return { entries: [], isWhole: true }
  }
}
