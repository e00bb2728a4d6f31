import { NOTHING } from '../../core/bytes.js'
import type { Logger } from '../../core/model.js'
import { VarintReader, VarintWriter } from '../../core/varints.js'
import type { SealedBatch } from '../../router/messages/operations.js'
import type { DurableLog } from '../log/durable-log.js'
import type { StoredEntry } from '../log/entry.js'
import { readLoggedRecord } from '../log/logged-record.js'
import type { RecordPlace } from '../log/outcomes.js'
import type { Numbering } from '../memory/numbering.js'
import type { PartitionProducer } from '../memory/partition-producer.js'
import type { ClusterState } from '../memory/partition-producer-deps.js'
import type { ScheduledProducer } from '../memory/partition-schedule.js'

/**
 * The last batch that was sent to a partition. Another process can send the same batch again under the same number;
 * Kafka then answers with the offset that the batch has.
 */
export interface BatchNote {
  /** The cluster in which the numbering is valid; empty: unknown, because no broker has named it. */
  readonly clusterId: string
  /** The incarnation of the topic that the batch was sent to; empty: unknown, because no broker has named it. */
  readonly topicId: string
  readonly numbering: Numbering
  /** How many partitions the topic had when the partition was chosen. */
  readonly partitionCount: number
  /** Sequences of its records in the log, rising. */
  readonly sequences: readonly number[]
}

/** A batch that was sent and is not in memory. Without a number it is sent under a new one. */
export type SentBatch = Omit<BatchNote, 'numbering'> & { readonly numbering: Numbering | undefined }

/**
 * Whether the number of the batch is still valid: it was sent to this cluster, and to this incarnation of the topic.
 */
export const isSentTo = (batch: SentBatch, clusterId: string, topicId: string): boolean =>
  batch.clusterId === clusterId && (batch.topicId === '' || topicId === '' || batch.topicId === topicId)

/** The records of a batch that was sent, as far as they are still in the log. */
export interface Reread {
  readonly entries: readonly StoredEntry[]
  /** All records of the batch are still there, so that the same batch can be sent again. */
  readonly isWhole: boolean
}

/** A topic whose batches are noted. */
export interface NotedTopic {
  readonly destination: string
  readonly topicId: string
  readonly producers: readonly (PartitionProducer | undefined)[]
  /** How many partitions the topic had when the batch that the partition is sending was assigned to it. */
  countOfSent(partition: number): number
}

export interface BatchNotesOptions {
  readonly log: Logger
  /** The log is open before any batch is sent. `isIntact`: it had lost no entry when it was opened. */
  readonly opened: () => { readonly wal: DurableLog; readonly isIntact: boolean }
  readonly cluster: ClusterState
  readonly topicOf: (producer: ScheduledProducer) => NotedTopic | undefined
}

const REREAD_BYTES = 1024 * 1024

/**
 * Notes the last batch of each partition in the log before the batch is sent, and reads noted batches again. Notes are not
 * synced: they survive a killed process. After a power cut a batch may be in Kafka twice.
 */
export class BatchNotes {
  readonly #options: BatchNotesOptions
  /** The bytes of the batch that was noted last: the same batch is not noted again. */
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
    if (await this.#keep(notes)) return
    this.#options.log.warn(
      { batches: notes.length },
      'batches could not be noted: after a crash they may be in Kafka twice'
    )
  }

  /** @returns false: the log could not note them */
  #keep(notes: readonly { readonly key: string; readonly value: Buffer }[]): Promise<boolean> {
    return this.#wal.note(notes).catch(() => false)
  }

  get #wal(): DurableLog {
    return this.#options.opened().wal
  }

  #noteOf(topic: NotedTopic, partition: number): Buffer {
    const producer = topic.producers[partition]!
    return encodeBatchNote({
      clusterId: this.#options.cluster.clusterId ?? '',
      topicId: topic.topicId,
      numbering: producer.numbering!,
      partitionCount: topic.countOfSent(partition),
      sequences: producer.sentIndexes.toSorted((one, other) => one - other)
    })
  }

  /** Removes the notes of a topic's partitions, none of which has an open batch. */
  async forget(destination: string, partitions: readonly number[]): Promise<void> {
    await this.#keep(partitions.map(partition => ({ key: noteKeyOf(destination, partition), value: NOTHING })))
  }

  /** Reads the records of a batch that are still in the log. */
  async readAgain(destination: string, { sequences }: SentBatch): Promise<Reread> {
    const entries: StoredEntry[] = []
    const wanted = new Set(sequences)
    const last = sequences.at(-1) ?? 0
    for (let from = sequences[0] ?? 1; from <= last; ) {
      const destinations = new Map([[destination, from]])
      const found = await this.#wal.read({ fromSequence: from, maxBytes: REREAD_BYTES, destinations })
      for (const entry of found.entries) if (wanted.has(entry.sequence)) entries.push(entry)
      from = found.isAtEnd ? last + 1 : found.nextSequence
    }
    if (entries.length === sequences.length || entries.length === 0) return { entries, isWhole: true }
    return this.#rereadInPart(destination, sequences, entries)
  }

  /**
   * Records of a batch are completed together, once Kafka has all of them. If some are missing, a crash interrupted the
   * completion, or damage has destroyed them. If the log has never lost an entry, Kafka also has the records that are
   * left.
   */
  async #rereadInPart(
    destination: string,
    sequences: readonly number[],
    entries: readonly StoredEntry[]
  ): Promise<Reread> {
    const { wal, isIntact } = this.#options.opened()
    const { damagedEntries, quarantinedSegments } = await wal.look()
    if (damagedEntries + quarantinedSegments > 0 || !isIntact) return { entries, isWhole: false }
    const first = await this.#placeOfFirst(sequences, entries)
    for (const { sequence, body } of entries) {
      if (first === undefined) wal.complete(sequence)
      else {
        const offset = first.offset < 0 ? first.offset : first.offset + sequences.indexOf(sequence)
        wal.delivered(destination, sequence, { ...first, offset, timestampMs: readLoggedRecord(body).timestampMs })
      }
    }
    return { entries: [], isWhole: true }
  }

  /**
   * Computes the place of a batch's first record in Kafka from the outcome of a completed record of the batch;
   * `undefined`: no completed record has a known outcome.
   */
  async #placeOfFirst(sequences: readonly number[], entries: readonly StoredEntry[]): Promise<RecordPlace | undefined> {
    const open = new Set(entries.map(({ sequence }) => sequence))
    const nth = sequences.findIndex(sequence => !open.has(sequence))
    const completed = sequences[nth]!
    if (this.#wal.logId === undefined) return undefined
    // Only receipts need the place: a disk that cannot be read must not keep the batch from being sent.
    const states = await this.#wal.states({ first: completed, count: 1 }).catch(() => undefined)
    const outcome = states?.outcomes.get(completed)
    if (outcome?.type !== 'delivered') return undefined
    return { ...outcome, offset: outcome.offset < 0 ? outcome.offset : outcome.offset - nth }
  }
}

const VERSION = 1
/** One byte, lengths of both ids, producer id, epoch, sequence, number of partitions, number of records. */
const FIXED_BYTES = 1 + 1 + 1 + 8 + 2 + 4 + 4 + 4
const distances = new VarintWriter()

/**
 * Big-endian:
 *
 *   version u8 = 1 | clusterIdBytes u8 | topicIdBytes u8 | producerId i64 | epoch i16 | baseSequence i32 |
 *   partitionCount i32 | records u32 | clusterId | topicId | per record: distance to the sequence before it
 *
 * Distances are written with seven bits per byte, the low ones first; a byte above 127 is followed by another one. The
 * first distance is the first sequence.
 */
export function encodeBatchNote({ clusterId, topicId, numbering, partitionCount, sequences }: BatchNote): Buffer {
  const ids = [Buffer.from(clusterId), Buffer.from(topicId)] as const
  const bytes = Buffer.allocUnsafe(FIXED_BYTES)
  bytes[0] = VERSION
  bytes[1] = ids[0].length
  bytes[2] = ids[1].length
  bytes.writeBigInt64BE(numbering.producerId, 3)
  bytes.writeInt16BE(numbering.epoch, 11)
  bytes.writeInt32BE(numbering.nextSequence, 13)
  bytes.writeInt32BE(partitionCount, 17)
  bytes.writeUInt32BE(sequences.length, 21)
  let before = 0
  for (const sequence of sequences) {
    distances.number(sequence - before)
    before = sequence
  }
  return Buffer.concat([bytes, ...ids, distances.take()])
}

/** `undefined` for bytes that are no note of this version; the batch is then sent under another number. */
export function decodeBatchNote(bytes: Buffer): BatchNote | undefined {
  if (bytes.length < FIXED_BYTES || bytes[0] !== VERSION) return undefined
  const topicIdAt = FIXED_BYTES + bytes[1]!
  const sequencesAt = topicIdAt + bytes[2]!
  const sequences = readSequences(bytes, sequencesAt, bytes.readUInt32BE(21))
  if (sequences === undefined) return undefined
  return {
    clusterId: bytes.toString('utf8', FIXED_BYTES, topicIdAt),
    topicId: bytes.toString('utf8', topicIdAt, sequencesAt),
    numbering: {
      producerId: bytes.readBigInt64BE(3),
      epoch: bytes.readInt16BE(11),
      nextSequence: bytes.readInt32BE(13)
    },
    partitionCount: bytes.readInt32BE(17),
    sequences
  }
}

function readSequences(bytes: Buffer, offset: number, count: number): number[] | undefined {
  const reader = new VarintReader(bytes, offset)
  const sequences: number[] = []
  try {
    for (let sequence = 0; sequences.length < count; sequences.push(sequence)) sequence += reader.number()
    return sequences
  } catch {
    return undefined
  }
}

const PREFIX = 'batch/'

/** The key of a partition's note: `batch/default/orders/3`. */
export const noteKeyOf = (destination: string, partition: number): string => `${PREFIX}${destination}/${partition}`

/** `undefined` for keys of other notes. */
export function partitionOfNoteKey(
  key: string
): { readonly destination: string; readonly partition: number } | undefined {
  const at = key.lastIndexOf('/')
  if (!key.startsWith(PREFIX) || at <= PREFIX.length) return undefined
  return { destination: key.slice(PREFIX.length, at), partition: Number(key.slice(at + 1)) }
}
