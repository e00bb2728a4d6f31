import type {
  CommitConsumerOffset,
  Failure,
  InitProducerId,
  OffsetType,
  Produce,
  RouterMessage,
  RouterRequest
} from '../operations.js'
import { ownFailure } from '../processors/answers.js'

// Kafka's own bound for names; longer ones would not fit the protocol's 16-bit lengths at some point.
const MAX_TOPIC_LENGTH = 249
const MAX_GROUP_LENGTH = 8_000
const MAX_METADATA_BYTES = 32_000

const messageTypes = {
  fetchData: true,
  fetchOffset: true,
  fetchConsumerOffset: true,
  commitConsumerOffset: true,
  fetchTopicMetadata: true,
  produce: true,
  initProducerId: true,
  produceBatches: true,
  requests: true
} as const satisfies Record<RouterMessage['type'], true>

/** Whether it is a message for the Router at all. Types do not keep JavaScript callers out. */
export function isRouterMessage(message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false
  const { type, requests } = message as { type?: unknown; requests?: unknown }
  if (type === 'requests') return Array.isArray(requests) && requests.every(isRouterMessage)
  return typeof type === 'string' && Object.hasOwn(messageTypes, type)
}

/** What makes a request impossible to ask any broker, if anything does. */
export function problemOf(request: Exclude<RouterRequest, Produce> | InitProducerId): Failure | undefined {
  try {
    return findProblem(request)
  } catch {
    return invalid('invalidRequest', `a ${request.type} request lacks a part`)
  }
}

function findProblem(request: Exclude<RouterRequest, Produce> | InitProducerId): Failure | undefined {
  if (!isTimeout(request.timeoutMs)) return invalid('invalidRequest', `no time-out: ${request.timeoutMs}`)
  if (request.type === 'initProducerId') return undefined
  if (request.type === 'fetchTopicMetadata') {
    return request.topics?.every(isTopic) === false
      ? invalid('invalidTopic', 'a topic name is not possible')
      : undefined
  }
  const { topic, partition } = request.topicPartition
  if (!isTopic(topic)) return invalid('invalidTopic', 'the topic name is not possible')
  if (!isCount(partition) || partition > 0x7fff_ffff)
    return invalid('invalidRequest', `no partition number: ${partition}`)
  if (request.type === 'fetchData') {
    return Number.isSafeInteger(request.offset) ? undefined : invalid('invalidRequest', `no offset: ${request.offset}`)
  }
  if (request.type === 'fetchOffset') {
    return isOffsetType(request.offsetType) ? undefined : invalid('invalidRequest', 'no such offset type')
  }
  if (typeof request.groupId !== 'string' || request.groupId.length > MAX_GROUP_LENGTH) {
    return invalid('invalidRequest', 'the group id is too long')
  }
  return request.type === 'commitConsumerOffset' ? problemOfCommit(request) : undefined
}

function problemOfCommit({ offsetAndMetadata: { offset, metadata } }: CommitConsumerOffset): Failure | undefined {
  if (!isCount(offset)) return invalid('invalidRequest', `no offset: ${offset}`)
  if (metadata === undefined) return undefined
  if (typeof metadata === 'string' && Buffer.byteLength(metadata) <= MAX_METADATA_BYTES) return undefined
  return invalid('invalidRequest', `the metadata is not text of at most ${MAX_METADATA_BYTES} bytes`)
}

// What is not UTF-8 comes back from a broker as another name.
const SURROGATES = /[\ud800-\udfff]/
const isTopic = (topic: unknown): boolean =>
  typeof topic === 'string' && topic.length > 0 && topic.length <= MAX_TOPIC_LENGTH && !SURROGATES.test(topic)

const isOffsetType = (offsetType: OffsetType): boolean =>
  offsetType === 'earliest' || offsetType === 'latest' || Number.isFinite(offsetType?.timestampMs)
const isTimeout = (timeoutMs: unknown): boolean =>
  timeoutMs === undefined || (typeof timeoutMs === 'number' && !Number.isNaN(timeoutMs))
const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

const invalid = (code: 'invalidTopic' | 'invalidRequest', message: string): Failure => ownFailure(code, message, false)
