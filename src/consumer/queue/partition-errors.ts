import type { MonotonicClock } from '../../core/model.js'
import { kafkaErrorOf } from '../../kafka/error-codes.js'
import { keyOf, type SharePartitionId } from '../../kafka/protocol/share.js'
import { LASTING_MS, type LastingError, type QueueTrouble } from './queue-troubles.js'

interface PartitionRefusal extends SharePartitionId {
  readonly errorCode: number
}

interface KeptRefusal extends PartitionRefusal {
  readonly since: number
}

/** The errors with which Kafka refuses partitions, from the first refused fetch to the next one that is not. */
export class PartitionErrors {
  readonly #now: MonotonicClock
  readonly #kept = new Map<string, KeptRefusal>()

  constructor(now: MonotonicClock) {
    this.#now = now
  }

  /** A fetch was answered for the partitions with these keys, and refused for some of them. */
  fetched(partitions: Iterable<string>, refused: readonly PartitionRefusal[]): void {
    const errors = new Map(refused.map(refusal => [keyOf(refusal), refusal]))
    for (const key of partitions) {
      const refusal = errors.get(key)
      if (refusal === undefined) this.#kept.delete(key)
      else {
        const { topicId, partition, errorCode } = refusal
        this.#kept.set(key, { topicId, partition, errorCode, since: this.#kept.get(key)?.since ?? this.#now() })
      }
    }
  }

  /** Forgets the partitions of a topic that was there before. */
  keepOnly(topicId: string | undefined): void {
    for (const [key, kept] of this.#kept) if (kept.topicId !== topicId) this.#kept.delete(key)
  }

  /** Errors by partition that have lasted for 30 s, or that do not pass. */
  get lasting(): ReadonlyMap<number, LastingError> {
    const now = this.#now()
    const lasting = new Map<number, LastingError>()
    for (const { partition, errorCode, since } of this.#kept.values()) {
      const { name, retriable } = kafkaErrorOf(errorCode)
      if (!retriable || now - since >= LASTING_MS) lasting.set(partition, { name, forMs: now - since })
    }
    return lasting
  }
}

/** The trouble of a queue with these errors; `undefined`: there are none. */
export function troubleOfPartitions(errors: ReadonlyMap<number, LastingError>): QueueTrouble['notServed'] {
  const [first] = [...errors].sort(([, one], [, other]) => other.forMs - one.forMs)
  if (first === undefined) return undefined
  const [partition, { name, forMs }] = first
  const others = errors.size === 1 ? '' : ` and ${errors.size - 1} other${errors.size === 2 ? '' : 's'}`
  return { message: `Kafka refuses partition ${partition} (${name})${others}`, forMs }
}
