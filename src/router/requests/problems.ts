import { MAX_TOPIC_LENGTH, type TopicPartition } from '../../core/model.js'
import type { Failure } from '../messages/operations.js'
import { ownFailure } from './failures.js'

// Far below the 16-bit lengths of the protocol.
const MAX_GROUP_LENGTH = 8_000
const MAX_PARTITION = 0x7fff_ffff

/** A request that no broker can be asked, whatever the state of the cluster. */
export const invalid = (code: 'invalidTopic' | 'invalidRequest', message: string): Failure =>
  ownFailure(code, message, false)

// A name that is not valid UTF-16 would come back from a broker as another name.
const SURROGATES = /[\ud800-\udfff]/
export const isTopic = (topic: unknown): boolean =>
  typeof topic === 'string' && topic.length > 0 && topic.length <= MAX_TOPIC_LENGTH && !SURROGATES.test(topic)

/** Zero or more, and exact. */
export const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0

export function problemOfPartition({ topic, partition }: TopicPartition): Failure | undefined {
  if (!isTopic(topic)) return invalid('invalidTopic', 'the topic name is not possible')
  if (isCount(partition) && partition <= MAX_PARTITION) return undefined
  return invalid('invalidRequest', `no partition number: ${partition}`)
}

export function problemOfGroup(groupId: unknown): Failure | undefined {
  if (typeof groupId === 'string' && groupId.length <= MAX_GROUP_LENGTH) return undefined
  return invalid('invalidRequest', 'the group id is too long')
}
