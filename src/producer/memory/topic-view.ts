import type { ErrorCode } from '../../core/errors.js'
import type { RecordFailure } from '../../core/model.js'
import { kafkaErrorOf } from '../../kafka/error-codes.js'
import type { BatchAnswer } from '../../router/messages/operations.js'
import type { PartitionProducerState } from './partition-producer-deps.js'

/** Why Kafka does not have the oldest batch of a partition yet. */
export interface Obstacle {
  /** Kafka's name of the error, as `NOT_ENOUGH_REPLICAS`, or why the batch could not be sent: `noLeader`. */
  readonly error: string
  readonly message: string
}

export interface TroubledPartition {
  readonly partition: number
  readonly state: PartitionProducerState
  readonly attempts: number
  /** `undefined`: no answer says why. */
  readonly obstacle: Obstacle | undefined
}

/**
 * `lookingUp`: no broker has said which partitions the topic has. `missing`: brokers do not have it. `refused`: they do
 * not let this client write to it.
 */
export type TopicState = 'idle' | 'flowing' | 'stuck' | 'lookingUp' | 'missing' | 'refused'

/** Waiting records of one topic, for the status page. */
export interface TopicView {
  readonly topic: string
  readonly state: TopicState
  /** Records in memory, and their bytes, bookkeeping included. */
  readonly records: number
  readonly bytes: number
  /** Age of the oldest record in memory; 0: none waits. */
  readonly oldestAgeMs: number
  /** Partitions that records were written to. */
  readonly partitions: number
  readonly troubledCount: number
  /** The last refusal by brokers, where it still counts. */
  readonly refusal: { readonly code: ErrorCode; readonly message: string } | undefined
}

interface Viewed {
  readonly partition: number
  readonly state: PartitionProducerState
  readonly attempts: number
  readonly obstacle: Obstacle | undefined
  readonly oldestAt: number
  readonly charge: { readonly bytes: number; readonly records: number; readonly isStuck: boolean }
  refusalAt(nowMs: number): RecordFailure | undefined
}

/** Limit of the troubled partitions that are listed one by one. */
const MAX_NAMED = 5

/** Whether nothing of the topic is held, and nothing was refused: most topics, so it is found out at little cost. */
export function isQuiet(producers: readonly (Viewed | undefined)[], nowMs: number): boolean {
  for (const producer of producers) {
    if (producer === undefined) continue
    if (producer.charge.bytes > 0 || producer.refusalAt(nowMs) !== undefined) return false
  }
  return true
}

/** Some of the partitions whose records do not flow. */
export function troubledOf(producers: readonly (Viewed | undefined)[]): TroubledPartition[] {
  const troubled: TroubledPartition[] = []
  for (const producer of producers) {
    if (producer === undefined || !isTroubled(producer)) continue
    const { partition, state, attempts, obstacle } = producer
    if (troubled.push({ partition, state, attempts, obstacle }) >= MAX_NAMED) break
  }
  return troubled
}

/** Sums up the waiting records of all partitions of a topic. `oldestAt` is infinite when none wait. */
export function viewOf(producers: readonly (Viewed | undefined)[], nowMs: number) {
  let [records, bytes, partitions, troubledCount] = [0, 0, 0, 0]
  let oldestAt = Number.POSITIVE_INFINITY
  let refusal: TopicView['refusal']
  for (const producer of producers) {
    if (producer === undefined) continue
    partitions++
    records += producer.charge.records
    bytes += producer.charge.bytes
    oldestAt = Math.min(oldestAt, producer.oldestAt)
    refusal ??= producer.refusalAt(nowMs)
    if (isTroubled(producer)) troubledCount++
  }
  return { records, bytes, oldestAt, partitions, troubledCount, refusal }
}

const isTroubled = ({ state, charge, attempts }: Viewed): boolean =>
  charge.bytes > 0 && (state === 'backingOff' || state === 'suspended' || charge.isStuck || attempts > 1)

/** `undefined`: the answer is a success. */
export function obstacleOf(answer: BatchAnswer): Obstacle | undefined {
  switch (answer.type) {
    case 'appended':
      return undefined
    case 'rejected': {
      const { name, message } = kafkaErrorOf(answer.errorCode, answer.words)
      return { error: name, message }
    }
    case 'unanswered':
      return { error: 'unanswered', message: answer.error.message }
    case 'notSent':
      return { error: answer.reason, message: answer.message }
  }
}
