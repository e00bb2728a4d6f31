import { crc32 } from 'node:zlib'
import type { Bytes, ProduceRecord, RecordFailure } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { watchRejection } from '../../core/users-code.js'
import { failures } from './failures.js'

/** How a record without a partition gets one. Each partitioner chooses the same partition as the system named beside it. */
export type PartitionerName =
  | 'murmur2' // Java client
  | 'crc32' // librdkafka consistent_random, kprf
  | 'fnv1a' // Sarama hash, Kafka-Pixy
  | 'javaHashCode' // Arion
  | 'phash2' // kafboy
  | 'random'
  | 'roundRobin'

/** The decision of a partitioner: a partition, or how records that may go anywhere are spread. */
export type Choice = number | 'sticky' | 'random' | 'roundRobin'

/** `partitionCount` is at least 1. */
export interface Partitioner {
  (key: Bytes, partitionCount: number, topic: string): Choice
  /** The partitioner is the program's: it may throw, or choose a partition that does not exist. Call it by {@link placedBy}. */
  readonly isOfProgram?: true
}

/**
 * Chooses the partition of a record by a function of the program. It is called once for each record that names no
 * partition, and again only when the record has to be placed again because the topic has other partitions.
 *
 * @param partitions how many partitions the topic has; at least 1
 * @returns a partition from 0 on, below `partitions`
 */
export type PartitionerFunction = (key: Buffer | null, partitions: number, topic: string) => number

const text = (key: Buffer | string): string => (typeof key === 'string' ? key : key.toString())
const bytes = (key: Buffer | string): Buffer => (typeof key === 'string' ? Buffer.from(key) : key)
const signedModuloThenAbs = (hash: number, count: number): number => Math.abs((hash | 0) % count)
const floorMod = (hash: number, count: number): number => ((hash % count) + count) % count

/**
 * Records that librdkafka, Java's client and Arion spread are `sticky` here: they go to one partition until its batch is
 * sealed, which makes larger batches and is as even over time. Sarama chooses a random partition for every record without a
 * key, and so does `fnv1a`.
 *
 * An empty key is a key, except for librdkafka. kafboy's default picker hashes the topic where there is no key.
 */
export const partitioners: Readonly<Record<PartitionerName, Partitioner>> = {
  murmur2: (key, count) => (key === null ? 'sticky' : (murmur2(bytes(key)) & 0x7fffffff) % count),
  crc32: (key, count) => (key === null || key.length === 0 ? 'sticky' : crc32(key) % count),
  fnv1a: (key, count) => (key === null ? 'random' : signedModuloThenAbs(fnv1a(bytes(key)), count)),
  javaHashCode: (key, count) => (key === null ? 'sticky' : floorMod(javaHashCode(text(key)), count)),
  phash2: (key, count, topic) => phash2(bytes(key ?? topic)) % count,
  random: () => 'random',
  roundRobin: () => 'roundRobin'
}

export function partitionerOf(given: PartitionerName | PartitionerFunction): Partitioner {
  if (typeof given !== 'function') return partitioners[given]
  const choose = (key: Bytes, count: number, topic: string): number =>
    given(key === null ? null : bytes(key), count, topic)
  return Object.assign(choose, { isOfProgram: true as const })
}

/**
 * The record with the partition that a partitioner of the program chooses.
 *
 * @returns a failure when the partitioner throws, or chooses a partition that there is not
 */
export function placedBy(
  partitioner: Partitioner,
  record: ProduceRecord,
  count: number
): ProduceRecord | RecordFailure {
  try {
    const partition: unknown = partitioner(record.key, count, record.topic)
    if (typeof partition === 'number' && Number.isInteger(partition) && partition >= 0 && partition < count)
      return { ...record, partition }
    // The outcome of the record tells the mistake.
    watchRejection(partition, () => undefined)
    const chosen =
      typeof partition === 'number' ? partition : partition instanceof Promise ? 'a promise' : typeof partition
    return failures.invalid(`the partitioner has to choose a partition from 0 to ${count - 1}, not ${chosen}`)
  } catch (error) {
    return failures.invalid(`the partitioner threw: ${messageOf(error)}`)
  }
}

/**
 * Kafka's variant of MurmurHash2, 32 bits, as a signed integer.
 * Source: org.apache.kafka.common.utils.Utils.murmur2
 */
function murmur2(bytes: Uint8Array): number {
  const multiplier = 0x5bd1e995
  const length = bytes.length
  let hash = 0x9747b28c ^ length
  let at = 0
  for (const wholeWords = length & ~3; at < wholeWords; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    word = Math.imul(word, multiplier)
    word ^= word >>> 24
    hash = Math.imul(hash, multiplier) ^ Math.imul(word, multiplier)
  }
  const rest = length & 3
  if (rest === 3) hash ^= bytes[at + 2]! << 16
  if (rest >= 2) hash ^= bytes[at + 1]! << 8
  if (rest >= 1) hash = Math.imul(hash ^ bytes[at]!, multiplier)
  hash ^= hash >>> 13
  hash = Math.imul(hash, multiplier)
  return hash ^ (hash >>> 15)
}

/** FNV-1a, 32 bits, unsigned. */
export function fnv1a(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < bytes.length; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash >>> 0
}

/** Java's String.hashCode, over UTF-16 code units; signed. */
export function javaHashCode(text: string): number {
  let hash = 0
  for (let at = 0; at < text.length; at++) hash = (Math.imul(31, hash) + text.charCodeAt(at)) | 0
  return hash
}

const GOLDEN_RATIO = 0x9e3779b9
/** Initial value of Erlang's hash of a binary: 13 times the golden ratio, modulo 2^32. */
const BINARY_CONSTANT = 0x08d12e65
const PHASH2_MASK = 0x07ffffff

/**
 * `erlang:phash2/1` of a binary: Bob Jenkins' hash of 1996 in blocks of twelve bytes, cut to 27 bits.
 * Source: erlang/otp, erts/emulator/beam/utils.c, block_hash and make_hash2.
 */
export function phash2(bytes: Uint8Array): number {
  if (bytes.length === 0) return BINARY_CONSTANT & PHASH2_MASK
  const mixed = new Int32Array([GOLDEN_RATIO | 0, GOLDEN_RATIO | 0, BINARY_CONSTANT])
  let at = 0
  for (; bytes.length - at >= 12; at += 12) {
    for (let word = 0; word < 3; word++) mixed[word]! += wordAt(bytes, at + word * 4)
    mix(mixed)
  }
  mixed[0]! += wordAt(bytes, at)
  mixed[1]! += wordAt(bytes, at + 4)
  // The lowest byte of the last word is the length's.
  mixed[2]! += bytes.length + (wordAt(bytes, at + 8) << 8)
  mix(mixed)
  return mixed[2]! & PHASH2_MASK
}

/** Little-endian; bytes beyond the end are 0. */
const wordAt = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)

function mix(words: Int32Array): void {
  let a = words[0]!
  let b = words[1]!
  let c = words[2]!
  a = (a - b - c) ^ (c >>> 13)
  b = (b - c - a) ^ (a << 8)
  c = (c - a - b) ^ (b >>> 13)
  a = (a - b - c) ^ (c >>> 12)
  b = (b - c - a) ^ (a << 16)
  c = (c - a - b) ^ (b >>> 5)
  a = (a - b - c) ^ (c >>> 3)
  b = (b - c - a) ^ (a << 10)
  c = (c - a - b) ^ (b >>> 15)
  words[0] = a
  words[1] = b
  words[2] = c
}
