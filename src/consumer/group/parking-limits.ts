import { MIB } from '../../core/bytes.js'
import type { TopicPartition } from '../../core/model.js'
import type { HeldRecords, RecordBudget } from '../../core/record-budget.js'
import { Shares } from '../../core/shares.js'

const MOST_PARKED_BYTES = 64 * MIB
/** Number of waiting partitions that are called in one tick, so that many waiting partitions cost little per message. */
const TOLD_A_TICK = 16

interface Waiting {
  readonly owner: string
  readonly bytes: number
}

/**
 * Limits the bytes of the parked messages of all lanes of a process: half of the budget of records, and 64 MiB at most.
 * An owner may have as many bytes as stay free, so about half of them.
 */
export class ParkedBytes {
  readonly #shares: Shares
  readonly #records: RecordBudget
  readonly #held: HeldRecords
  /** Callbacks of partitions that were refused bytes => what they wait for. */
  readonly #waiting = new Map<() => void, Waiting>()

  constructor(records: RecordBudget) {
    this.#shares = new Shares(Math.min(MOST_PARKED_BYTES, records.maxBytes / 2), 'parked bytes')
    this.#records = records
    this.#held = records.hold(0)
  }

  get maxBytes(): number {
    return this.#shares.max
  }

  get value(): number {
    return this.#shares.taken
  }

  fits(owner: string, bytes: number): boolean {
    const isFair = this.#shares.problemOf(owner, bytes) === undefined
    return isFair && !this.#records.isShort && bytes <= this.#records.freeBytes
  }

  add(owner: string, bytes: number): void {
    this.#shares.change(owner, bytes)
    this.#held.add(bytes)
  }

  release(owner: string, bytes: number): void {
    this.add(owner, -bytes)
  }

  /** @param tell called once, in a later tick, when bytes may be free again */
  wait(owner: string, bytes: number, tell: () => void): void {
    this.#waiting.set(tell, { owner, bytes })
    this.#records.whenSpare(this.#tellSome)
  }

  leave(tell: () => void): void {
    this.#waiting.delete(tell)
  }

  /**
   * Calls some waiting partitions; they may have nothing to park any more. The next tick calls others if bytes are still free.
   */
  readonly #tellSome = (): void => {
    const told: (() => void)[] = []
    for (const [tell, { owner, bytes }] of this.#waiting) {
      if (this.fits(owner, bytes)) told.push(tell)
      if (told.length === TOLD_A_TICK) break
    }
    for (const tell of told) {
      this.#waiting.delete(tell)
      tell()
    }
    if (this.#waiting.size === 0) return
    if (told.length > 0) setImmediate(this.#tellSome)
    else this.#records.whenSpare(this.#tellSome)
  }
}

export interface ParkingOptions<Item> {
  /** The bytes that a parked message keeps. */
  readonly bytesOf: (item: Item) => number
  /** Limit of the messages of a partition that are parked or begun. */
  readonly maxOpen: number
  readonly bytes: ParkedBytes
  /** The group that shares {@link bytes} with other groups. */
  readonly owner: string
  /** Number of the partitions that share {@link bytes}. */
  readonly partitions: () => number
  /** Called when a message may be parked again of a partition of which {@link ParkingLimits.mayPark} has refused one. */
  readonly onFree: (partition: TopicPartition) => void
}

/**
 * Limits the messages that partitions may park. A partition has at most `maxOpen` messages that are parked or begun. The
 * bytes of those that are parked are limited by an equal share for each partition of what their owner may have of
 * {@link ParkedBytes}. One message of each partition may always be parked, so that no partition waits for another one.
 */
export class ParkingLimits<Item extends TopicPartition> {
  readonly #options: ParkingOptions<Item>
  /** Partitions with parked or begun messages, by topic and partition. No text is made of both: each message is looked up. */
  readonly #limits = new Map<string, Map<number, ParkingLimit>>()

  constructor(options: ParkingOptions<Item>) {
    this.#options = options
  }

  /** Whether a message of this partition that keeps so many bytes may be parked. If not, `onFree` follows. */
  mayPark({ topic, partition }: TopicPartition, bytes: number): boolean {
    return this.#limits.get(topic)?.get(partition)?.mayPark(bytes) !== false
  }

  /** The limit of a message's partition, which exists while one of its messages is parked or begun. */
  of({ topic, partition }: Item): ParkingLimit {
    return this.#limits.get(topic)?.get(partition) ?? this.#add(topic, partition)
  }

  #add(topic: string, partition: number): ParkingLimit {
    const ofTopic = this.#limits.get(topic) ?? new Map<number, ParkingLimit>()
    const limit = new ParkingLimit({ topic, partition }, this.#options, () => {
      ofTopic.delete(partition)
      if (ofTopic.size === 0) this.#limits.delete(topic)
    })
    this.#limits.set(topic, ofTopic.set(partition, limit))
    return limit
  }

  bytesOf(item: Item): number {
    return this.#options.bytesOf(item)
  }
}

/** The places and bytes of the messages of one partition: a place until the message is over, and bytes while it is parked. */
export class ParkingLimit {
  readonly #partition: TopicPartition
  readonly #options: Omit<ParkingOptions<never>, 'bytesOf'>
  readonly #onUnused: () => void
  #parked = 0
  #begun = 0
  /** Bytes of the parked messages. */
  #bytes = 0
  /** A message was refused since one could last be parked. */
  #isFull = false

  constructor(partition: TopicPartition, options: Omit<ParkingOptions<never>, 'bytesOf'>, onUnused: () => void) {
    this.#partition = partition
    this.#options = options
    this.#onUnused = onUnused
  }

  mayPark(bytes: number): boolean {
    const { maxOpen, bytes: all, owner, partitions } = this.#options
    const isFirst = this.#parked === 0
    const isLeftToOthers = !isFirst && !all.fits(owner, bytes)
    const isAboveShare = !isFirst && this.#bytes + bytes > all.maxBytes / 2 / Math.max(1, partitions())
    this.#isFull = isLeftToOthers || isAboveShare || this.#parked + this.#begun >= maxOpen
    if (isLeftToOthers) all.wait(owner, bytes, this.#tellFree)
    return !this.#isFull
  }

  park(bytes: number): void {
    this.#parked++
    this.#bytes += bytes
    this.#options.bytes.add(this.#options.owner, bytes)
  }

  begin(bytes: number): void {
    this.#begun++
    this.drop(bytes)
  }

  /** Releases a message that is no longer parked. */
  drop(bytes: number): void {
    const { bytes: all, owner } = this.#options
    this.#parked--
    this.#bytes -= bytes
    if (this.#parked === 0) all.leave(this.#tellFree)
    all.release(owner, bytes)
    this.#left()
  }

  /** One that was begun is over. */
  leave(): void {
    this.#begun--
    this.#left()
  }

  #left(): void {
    const open = this.#parked + this.#begun
    if (open === 0) this.#onUnused()
    if (open < this.#options.maxOpen) this.#tellFree()
  }

  readonly #tellFree = (): void => {
    if (!this.#isFull) return
    this.#isFull = false
    this.#options.onFree(this.#partition)
  }
}
