import { ProtocolError } from '../../errors.js'
import type { TopicPartition } from '../../model.js'
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

export const CONSUMER_PROTOCOL_TYPE = 'consumer'

export function encodeSubscription(topics: readonly string[]): Buffer {
  return Buffer.concat([int16(VERSION), int32(topics.length), ...topics.flatMap(text), int32(NULL_LENGTH)])
}

/** @throws ProtocolError when the bytes are no subscription, ResponseTooLargeError when they name too many topics */
export function decodeSubscription(bytes: Buffer): readonly string[] {
  const reader = startOf(bytes, 'subscription')
  return reader.array(2, () => reader.string(), atMost(MAX_TOPICS, 'topics'))
}

export function encodeAssignment(partitions: readonly TopicPartition[]): Buffer {
  const topics = byTopic(partitions).flatMap(([topic, ofTopic]) => [
    ...text(topic),
    int32(ofTopic.length),
    ...ofTopic.map(({ partition }) => int32(partition))
  ])
  return Buffer.concat([int16(VERSION), int32(byTopic(partitions).length), ...topics, int32(NULL_LENGTH)])
}

/**
 * No bytes at all are an assignment of nothing.
 *
 * @throws ProtocolError when the bytes are no assignment, ResponseTooLargeError when they name too many partitions
 */
export function decodeAssignment(bytes: Buffer): readonly TopicPartition[] {
  if (bytes.length === 0) return []
  const reader = startOf(bytes, 'assignment')
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
const text = (value: string): Buffer[] => [int16(Buffer.byteLength(value)), Buffer.from(value)]
