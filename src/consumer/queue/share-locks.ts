import { getOrAdd } from '../../core/maps.js'
import type { MonotonicClock, Offset } from '../../core/model.js'
import { keyOf, type SharePartitionId } from '../../kafka/protocol/share.js'

/** Kafka's lock on one message that was acquired. */
export interface Lock extends SharePartitionId {
  /** Key of the partition. */
  readonly key: string
  readonly offset: Offset
  readonly deliveryCount: number
  /** The session that holds it. */
  readonly session: object
  /**
   * End of the lock, by the own clock. Kafka's time is counted from the sending of the fetch, or of the renewal. Set by the
   * session.
   */
  endsAt: number
}

const newLocks = (): Map<Offset, Lock> => new Map()

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

  add(lock: Lock): void {
    getOrAdd(this.#byPartition, lock.key, newLocks).set(lock.offset, lock)
  }

  /** Whether the message is still locked, and by this acquisition of it. */
  holds(lock: Lock): boolean {
    return lock.endsAt > this.#now() && this.#byPartition.get(lock.key)?.get(lock.offset) === lock
  }

  /** Does nothing where the message was acquired again since, with another lock. */
  remove(lock: Lock): void {
    const locks = this.#byPartition.get(lock.key)
    if (locks?.get(lock.offset) === lock) locks.delete(lock.offset)
    if (locks?.size === 0) this.#byPartition.delete(lock.key)
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
