import { ProtocolError } from '../../core/errors.js'
import type { TopicPartition } from '../../core/model.js'
import { byTopic } from './api.js'
import { atMost } from './most.js'
import { ResponseReader } from './response-reader.js'

/**
 * What members of a consumer group tell each other inside of JoinGroup and SyncGroup. Newer versions only append fields,
 * so version 0 is enough to write, and the beginning of any version can be read.
 *
 *   subscription   version i16, [topic], user_data bytes?
 *   assignment     version i16, [topic, [partition i32]], user_data bytes?
 *
 * Source: org.apache.kafka.clients.consumer.internals.ConsumerProtocol
 */
const VERSION = 0
// Far more than a member can subscribe to, or read.
const MAX_TOPICS = 100_000
const MAX_PARTITIONS = 100_000
const NULL_LENGTH = -1
const NONE: readonly number[] = []

export const CONSUMER_PROTOCOL_TYPE = 'consumer'

/** @param userData what members of the same kind tell each other; others ignore it */
export function encodeSubscription(topics: readonly string[], userData?: Buffer): Buffer {
  return Buffer.concat([int16(VERSION), int32(topics.length), ...topics.flatMap(text), ...nullableBytes(userData)])
}

/** @throws ProtocolError when the bytes are no subscription, ResponseTooLargeError when they name too many topics */
export function decodeSubscription(bytes: Buffer): readonly string[] {
  return readTopics(startOf(bytes, 'subscription'))
}

/**
 * The user data of a subscription; no bytes when there is none.
 *
 * @throws ProtocolError as above
 */
export function userDataOfSubscription(bytes: Buffer): Buffer {
  const reader = startOf(bytes, 'subscription')
  readTopics(reader)
  return reader.bytes()
}

/** @param userData as in a subscription */
export function encodeAssignment(partitions: readonly TopicPartition[], userData?: Buffer): Buffer {
  const topics = byTopic(partitions).flatMap(([topic, ofTopic]) => [
    ...text(topic),
    int32(ofTopic.length),
    ...ofTopic.map(({ partition }) => int32(partition))
  ])
  return Buffer.concat([int16(VERSION), int32(byTopic(partitions).length), ...topics, ...nullableBytes(userData)])
}

/**
 * No bytes at all are an assignment of nothing.
 *
 * @throws ProtocolError when the bytes are no assignment, ResponseTooLargeError when they name too many partitions
 */
export function decodeAssignment(bytes: Buffer): readonly TopicPartition[] {
  return bytes.length === 0 ? [] : readPartitions(startOf(bytes, 'assignment'))
}

/**
 * The partitions of one topic in an assignment, as they stand there; those of other topics are skipped, not read.
 *
 * @throws ProtocolError when the bytes are no assignment, ResponseTooLargeError when they name too many partitions of the topic
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
 * The user data of an assignment; no bytes when there is none.
 *
 * @throws ProtocolError as above
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
