import { ProtocolError } from '../../core/errors.js'
import type { TopicPartition } from '../../core/model.js'
import { atMost } from './api.js'
import { byTopic, ResponseReader } from './encoding.js'

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
const MAX_TOPICS = 100_000
const MAX_PARTITIONS = 100_000
const NULL_LENGTH = -1
const NONE: readonly number[] = []

export const CONSUMER_PROTOCOL_TYPE = 'consumer'

/** @param userData data for members with the same implementation; other members ignore it */
export function encodeSubscription(topics: readonly string[], userData?: Buffer): Buffer {
  return Buffer.concat([int16(VERSION), int32(topics.length), ...topics.flatMap(text), ...nullableBytes(userData)])
}

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
export function encodeAssignment(partitions: readonly TopicPartition[], userData?: Buffer): Buffer {
  const topics = byTopic(partitions).flatMap(([topic, ofTopic]) => [
    ...text(topic),
    int32(ofTopic.length),
    ...ofTopic.map(({ partition }) => int32(partition))
  ])
  return Buffer.concat([int16(VERSION), int32(byTopic(partitions).length), ...topics, ...nullableBytes(userData)])
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
  const partitions = atMost(MAX_PARTITIONS, 'partitions')
  const name = Buffer.from(topic)
  const readTopic = (): readonly number[] => {
    if (reader.bytesOfString().equals(name)) return reader.array(4, () => reader.int32(), partitions)
    reader.skip(4 * Math.max(0, reader.int32()))
    return NONE
  }
  return reader.array(6, readTopic, atMost(MAX_TOPICS, 'topics')).flat()
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

const readTopics = (reader: ResponseReader): readonly string[] =>
  reader.array(2, () => reader.string(), atMost(MAX_TOPICS, 'topics'))

function readPartitions(reader: ResponseReader): readonly TopicPartition[] {
  const partitions = atMost(MAX_PARTITIONS, 'partitions')
  const readTopic = (): readonly TopicPartition[] => {
    const topic = reader.string()
    return reader.array(4, () => ({ topic, partition: reader.int32() }), partitions)
  }
  return reader.array(6, readTopic, atMost(MAX_TOPICS, 'topics')).flat()
}

function startOf(bytes: Buffer, what: string): ResponseReader {
  const reader = new ResponseReader(bytes)
  if (reader.int16() < VERSION) throw new ProtocolError(`a consumer ${what} has a negative version`)
  return reader
}

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const nullableBytes = (bytes: Buffer | undefined): Buffer[] =>
  bytes === undefined ? [int32(NULL_LENGTH)] : [int32(bytes.length), bytes]
const text = (value: string): Buffer[] => [int16(Buffer.byteLength(value)), Buffer.from(value)]
