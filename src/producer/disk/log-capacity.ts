import type { RecordFailure } from '../../core/model.js'
import type { LogRefusal } from '../log/availability.js'
import type { BufferCapacity } from '../memory/budget.js'
import { failures } from '../memory/failures.js'

/** The memory for records that wait to be written to the log (`advanced.wal.maxWaitingBytes`). */
export class LogCapacity implements BufferCapacity {
  readonly what = 'the memory for records that wait for the disk'
  readonly setting = 'advanced.wal.maxWaitingBytes'
  readonly maxBytes: number
  /** The disk takes all records in order: no record gets stuck on its own. */
  readonly stuckBytes = 0
  readonly #waitingBytes: () => number
  #onFreed: () => void = () => undefined

  /** @param waitingBytes gets the bytes that wait now */
  constructor(maxBytes: number, waitingBytes: () => number) {
    this.maxBytes = maxBytes
    this.#waitingBytes = waitingBytes
  }

  get usedBytes(): number {
    return this.#waitingBytes()
  }

  onFreed(freed: () => void): void {
    this.#onFreed = freed
  }

  /** The disk has taken some. */
  readonly freed = (): void => this.#onFreed()
}

/** Whether Kafka has the topic of a record. */
export type TopicStanding = 'known' | 'denied' | 'unknown'

/**
 * Share of `wal.maxBytes` up to which records are taken. Records of a topic that Kafka does not have may stay for ever
 * and must not fill the log for others. While some topics are denied, topics that Kafka has not been asked about are
 * limited, too: clients may invent names.
 */
const SHARES: Readonly<Record<TopicStanding, number>> = { known: 1, denied: 1 / 2, unknown: 3 / 4 }

/** @param usedShare of `wal.maxBytes` */
export function refusalFor(standing: TopicStanding, usedShare: number): RecordFailure | undefined {
  if (usedShare < SHARES[standing]) return undefined
  const [used, limit] = [usedShare, SHARES[standing]].map(share => `${Math.floor(share * 100)} %`)
  return failures.logUnavailable(
    `${used} of the durable log are in use (wal.maxBytes), and records of topics that kafka does not have are taken up to ${limit}`,
    'no',
    'wal.maxBytes'
  )
}

/** The failure of records that the log did not take. */
export function toFailure({ kind, message, isCertain, setting }: LogRefusal): RecordFailure {
  const failure = failures.logUnavailable(message, isCertain ? 'no' : 'unknown', setting)
  return kind === 'tooLarge' ? { ...failure, code: 'recordTooLarge', retriable: false } : failure
}
