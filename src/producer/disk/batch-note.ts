import type { Numbering } from '../memory/numbering.js'

/**
 * What is remembered of the batch that a partition was sent last, so that another process can send the same one again
 * under the same number: Kafka then answers with the offset it had.
 */
export interface BatchNote {
  /** Where the number means something; empty: no broker has told. */
  readonly clusterId: string
  /** The life of the topic that it was sent to; empty: no broker has told. */
  readonly topicId: string
  readonly numbering: Numbering
  /** Of the topic when the partition was chosen. */
  readonly partitionCount: number
  /** The records, as sequences of the log, rising. */
  readonly sequences: readonly number[]
}

const VERSION = 1
/** One byte, lengths of both ids, producer id, epoch, sequence, number of partitions, number of records. */
const FIXED_BYTES = 1 + 1 + 1 + 8 + 2 + 4 + 4 + 4
/** A distance between two sequences takes at most so many bytes. */
const MOST_BYTES_OF_A_DISTANCE = 8

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
  const bytes = Buffer.allocUnsafe(
    FIXED_BYTES + ids[0].length + ids[1].length + MOST_BYTES_OF_A_DISTANCE * sequences.length
  )
  bytes[0] = VERSION
  bytes[1] = ids[0].length
  bytes[2] = ids[1].length
  bytes.writeBigInt64BE(numbering.producerId, 3)
  bytes.writeInt16BE(numbering.epoch, 11)
  bytes.writeInt32BE(numbering.nextSequence, 13)
  bytes.writeInt32BE(partitionCount, 17)
  bytes.writeUInt32BE(sequences.length, 21)
  bytes.set(ids[0], FIXED_BYTES)
  bytes.set(ids[1], FIXED_BYTES + ids[0].length)
  let at = FIXED_BYTES + ids[0].length + ids[1].length
  let before = 0
  for (const sequence of sequences) {
    at = writeDistance(bytes, at, sequence - before)
    before = sequence
  }
  return bytes.subarray(0, at)
}

function writeDistance(bytes: Buffer, offset: number, distance: number): number {
  let at = offset
  let rest = distance
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes[at++] = (rest % 128) + 128
  bytes[at++] = rest
  return at
}

/** `undefined` for bytes that are no note of this version: then the batch is sent under another number. */
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
  const sequences: number[] = []
  let at = offset
  let sequence = 0
  while (sequences.length < count) {
    let factor = 1
    let byte: number
    do {
      if (at >= bytes.length) return undefined
      byte = bytes[at++]!
      sequence += (byte & 0x7f) * factor
      factor *= 128
    } while (byte > 127)
    sequences.push(sequence)
  }
  return sequences
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
