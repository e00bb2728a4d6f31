import { crc32 } from 'node:zlib'
import type { Bytes } from '../../core/model.js'
import { fnv1a, javaHashCode, murmur2 } from './hashes.js'
import { phash2 } from './phash2.js'

/** How a record without a partition finds one. Each gives the same partition as the system it is named after. */
export type PartitionerName =
  | 'murmur2' // Java client
  | 'crc32' // librdkafka consistent_random, kprf
  | 'fnv1a' // Sarama hash, Kafka-Pixy
  | 'javaHashCode' // Arion
  | 'phash2' // kafboy
  | 'random'
  | 'roundRobin'

/** What a partitioner may decide for a record: a partition, or a way to spread records that may go anywhere. */
export type Choice = number | 'sticky' | 'random' | 'roundRobin'

/** Decides for one record. `partitionCount` is at least 1. */
export type Partitioner = (key: Bytes, partitionCount: number, topic: string) => Choice

const text = (key: Buffer | string): string => (typeof key === 'string' ? key : key.toString())
const bytes = (key: Buffer | string): Buffer => (typeof key === 'string' ? Buffer.from(key) : key)
const signedModuloThenAbs = (hash: number, count: number): number => Math.abs((hash | 0) % count)
const floorMod = (hash: number, count: number): number => ((hash % count) + count) % count

/**
 * Records that librdkafka, Java's client and Arion spread are `sticky` here: they stay on one partition until its batch is
 * sealed, which is as even over time and makes batches. Sarama draws a partition for every record without a key, so that
 * already the first few are spread, and `random` does for all.
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
