import type { KafkaRecord, MonotonicClock, Offset } from '../../core/model.js'
import { keyOf, type SharePartitionId } from '../../kafka/protocol/share.js'

/** Kafka's lock on one message that was acquired. */
export interface Lock {
  /** End of the lock by the clock of this process. */
  endsAt: number
}

/** Kafka's locks that one session has, by partition and offset, as far as this process has been told. */
export class ShareLocks {
  readonly #now: MonotonicClock
  readonly #byPartition = new Map<string, Map<Offset, Lock>>()
  #sweptAt: number

  constructor(now: MonotonicClock) {
    this.#now = now
    this.#sweptAt = now()
  }

  get isEmpty(): boolean {
    return this.#byPartition.size === 0
  }

  /** Messages of one partition were acquired. */
  add(partition: SharePartitionId, acquired: readonly { readonly record: KafkaRecord }[], endsAt: number): void {
    const key = keyOf(partition)
    const locks = this.#byPartition.get(key) ?? new Map<Offset, Lock>()
    this.#byPartition.set(key, locks)
    for (const { record } of acquired) locks.set(record.offset, { endsAt })
  }

  /** @param partition its key, as in the methods below */
  find(partition: string, offset: Offset): Lock | undefined {
    return this.#byPartition.get(partition)?.get(offset)
  }

  /** Whether the message is still locked by this acquisition of it. */
  holds(partition: string, offset: Offset, lock: Lock | undefined): boolean {
    return lock !== undefined && lock.endsAt > this.#now() && this.find(partition, offset) === lock
  }

  /** Does nothing where the message was acquired again since, with another lock. */
  remove(partition: string, offset: Offset, lock: Lock | undefined): void {
    const locks = this.#byPartition.get(partition)
    if (locks?.get(offset) === lock) locks?.delete(offset)
    if (locks?.size === 0) this.#byPartition.delete(partition)
  }

  /** All locks of the partition are gone. */
  forget(partition: SharePartitionId): void {
    this.#byPartition.delete(keyOf(partition))
  }

  clear(): void {
    this.#byPartition.clear()
  }

  /** Drops locks that have ended, unless that was done within the last `minAgeMs`. */
  dropEnded(minAgeMs: number): void {
    const now = this.#now()
    if (now - this.#sweptAt < minAgeMs) return
    this.#sweptAt = now
    for (const [key, locks] of this.#byPartition) {
      for (const [offset, { endsAt }] of locks) if (endsAt <= now) locks.delete(offset)
      if (locks.size === 0) this.#byPartition.delete(key)
    }
  }
}
