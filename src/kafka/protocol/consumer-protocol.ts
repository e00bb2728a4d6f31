import { ProtocolError } from '../../core/errors.js'
import type { TopicPartition } from '../../core/model.js'
import { atMost, ProtocolReader, ProtocolWriter } from './encoding.js'

/**
 * The data that members of a consumer group exchange within JoinGroup and SyncGroup. Newer versions only append fields, so it is
 * enough to write version 0 and to read the beginning of any version.
 *
 *   subscription   version i16, [topic], user_data bytes?
 *   assignment     version i16, [topic, [partition i32]], user_data bytes?
 *
 * Source: org.apache.kafka.clients.consumer.internals.ConsumerProtocol
 */
const VERSION = 0
// Limits far above what a member can subscribe to or read.
const topicsInAll = atMost(100_000, 'topics')
const partitionsInAll = atMost(100_000, 'partitions')
const NONE: readonly number[] = []

export const CONSUMER_PROTOCOL_TYPE = 'consumer'

/** @param userData data for members with the same implementation; other members ignore it */
export const encodeSubscription = (topics: readonly string[], userData: Buffer | null = null): Buffer =>
  inVersion0(writer => writer.array(topics, topic => writer.string(topic)).nullableBytes(userData))

/** @throws ProtocolError when the bytes are not a subscription, ResponseTooLargeError when it has too many topics */
export function decodeSubscription(bytes: Buffer): readonly string[] {
  return readTopics(startOf(bytes, 'subscription'))
}

/**
 * The user data of a subscription; empty when there is none.
 *
 * @throws ProtocolError when the bytes are malformed
 */
export function userDataOfSubscription(bytes: Buffer): Buffer {
  const reader = startOf(bytes, 'subscription')
  readTopics(reader)
  return reader.bytes()
}

/** @param userData as in `encodeSubscription` */
export const encodeAssignment = (partitions: readonly TopicPartition[], userData: Buffer | null = null): Buffer =>
  inVersion0(writer => writer.byTopic(partitions, ({ partition }) => writer.int32(partition)).nullableBytes(userData))

function inVersion0(write: (writer: ProtocolWriter) => void): Buffer {
  const writer = new ProtocolWriter().int16(VERSION)
  write(writer)
  return Buffer.concat(writer.finish())
}

/**
 * The partitions of an assignment. Empty bytes assign no partition.
 *
 * @throws ProtocolError when the bytes are not an assignment, ResponseTooLargeError when it has too many partitions
 */
export function decodeAssignment(bytes: Buffer): readonly TopicPartition[] {
  return bytes.length === 0 ? [] : readPartitions(startOf(bytes, 'assignment'))
}

/**
 * The partitions of one topic in an assignment. Other topics are skipped without reading their partitions.
 *
 * @throws ProtocolError when the bytes are not an assignment, ResponseTooLargeError when it has too many partitions of the topic
 */
export function decodeAssignmentOf(bytes: Buffer, topic: string): readonly number[] {
  if (bytes.length === 0) return []
  const reader = startOf(bytes, 'assignment')
  const name = Buffer.from(topic)
  const readTopic = (): readonly number[] => {
    if (reader.bytesOfString().equals(name)) return reader.array(() => reader.int32(), partitionsInAll)
    reader.skip(4 * Math.max(0, reader.int32()))
    return NONE
  }
  return reader.array(readTopic, topicsInAll).flat()
}

/**
 * The user data of an assignment; empty when there is none.
 *
 * @throws ProtocolError when the bytes are malformed
 */
export function userDataOfAssignment(bytes: Buffer): Buffer {
  if (bytes.length === 0) return bytes
  const reader = startOf(bytes, 'assignment')
  readPartitions(reader)
  return reader.bytes()
}

const readTopics = (reader: ProtocolReader): readonly string[] => reader.array(() => reader.string(), topicsInAll)

function readPartitions(reader: ProtocolReader): readonly TopicPartition[] {
  const readTopic = (): readonly TopicPartition[] => {
    const topic = reader.string()
    return reader.array(() => ({ topic, partition: reader.int32() }), partitionsInAll)
  }
  return reader.array(readTopic, topicsInAll).flat()
}

function startOf(bytes: Buffer, what: string): ProtocolReader {
  const reader = new ProtocolReader(bytes)
  if (reader.int16() < VERSION) throw new ProtocolError(`a consumer ${what} has a negative version`)
  return reader
}
