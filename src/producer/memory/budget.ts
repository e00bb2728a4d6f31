import { HeldAmount } from '../../core/held-amount.js'
import type { RecordFailure } from '../../core/model.js'
import { failures } from './failures.js'
import type { OutcomeReceiver } from './pending-produce.js'

/** Memory for accepted records that wait for Kafka or for the disk. */
export interface BufferCapacity {
  /** Name of the buffer in error messages; `setting` is the setting that limits it. */
  readonly what: string
  readonly setting: string
  readonly maxBytes: number
  /** Bytes in use, bookkeeping included. */
  readonly usedBytes: number
  /** The part of these bytes that belongs to stuck partitions and to topics that are being looked up. */
  readonly stuckBytes: number
  /**
   * Calls back, often, whenever memory was freed or became stuck: stuck bytes do not count for admission. A later
   * callback replaces the one before.
   */
  onFreed(freed: () => void): void
}

export interface PartitionBudget {
  /** Adds bytes and records or, when negative, removes them. */
  hold(bytes: number, records: number): void
  hasCapacity(bytes: number): boolean
  /** A single request may take this many bytes beyond the share of its partition. */
  hasSpare(bytes: number): boolean
  /** Bytes that a partition may hold now; at most `partitionMaxBytes`. */
  shareOf(partitionMaxBytes: number): number
  /** Counts held bytes as stuck or, when negative, as moving again. */
  stick(bytes: number): void
  /** Stuck partitions may hold this many bytes more. */
  mayStick(bytes: number): boolean
}

/** The budget of partitions whose records are bounded elsewhere. */
export const boundless: PartitionBudget = {
  hold: () => undefined,
  hasCapacity: () => true,
  hasSpare: () => true,
  shareOf: partitionMaxBytes => partitionMaxBytes,
  stick: () => undefined,
  mayStick: () => true
}

/** Share of the buffer up to which a single request may fill its partition. */
const SHARE_OF_A_REQUEST = 3 / 4
/** While less than this share of the buffer is free, the share of a partition shrinks. */
const SHARE_LEFT_FREE = 1 / 4
/** Share of the buffer that stuck records may hold before stuck partitions get no more. */
const SHARE_OF_STUCK_PARTITIONS = 1 / 2
/** Share of the buffer that stuck records may hold before topics that brokers do not know get no more. */
const SHARE_OF_STUCK = 3 / 4

/** Counts the bytes and records that are held for Kafka, bookkeeping included, against their limit. */
export class Budget implements BufferCapacity, PartitionBudget {
  readonly what = 'the buffer of records for kafka'
  readonly setting = 'delivery.maxBytes'
  readonly maxBytes: number
  readonly #onChange: () => void
  readonly #bytes = new HeldAmount('bytes of records for Kafka')
  readonly #records = new HeldAmount('records for Kafka')
  readonly #stuck = new HeldAmount('bytes of stuck records')
  #onFreed: () => void = () => undefined

  /** @param onChange called when the first record is held, and whenever something is not held any more */
  constructor(maxBytes: number, onChange: () => void) {
    this.maxBytes = maxBytes
    this.#onChange = onChange
  }

  get usedBytes(): number {
    return this.#bytes.value
  }

  get stuckBytes(): number {
    return this.#stuck.value
  }

  onFreed(freed: () => void): void {
    this.#onFreed = freed
  }

  get records(): number {
    return this.#records.value
  }

  hold(bytes: number, records: number): void {
    this.#bytes.change(bytes)
    this.#records.change(records)
    if (bytes <= 0 || this.#records.value === records) this.#onChange()
    if (bytes < 0) this.#onFreed()
  }

  stick(bytes: number): void {
    this.#stuck.change(bytes)
    if (bytes > 0) this.#onFreed()
  }

  hasCapacity(bytes: number): boolean {
    return this.#bytes.value + bytes <= this.maxBytes
  }

  hasSpare(bytes: number): boolean {
    return this.#bytes.value + bytes <= this.maxBytes * SHARE_OF_A_REQUEST
  }

  /**
   * The whole share while a quarter of the buffer is free, less when less is free: even if many partitions get stuck at
   * once, others still get memory.
   */
  shareOf(partitionMaxBytes: number): number {
    const freeBytes = this.maxBytes - this.#bytes.value
    return partitionMaxBytes * Math.min(1, freeBytes / (this.maxBytes * SHARE_LEFT_FREE))
  }

  get stuckPartitionsMaxBytes(): number {
    return this.maxBytes * SHARE_OF_STUCK_PARTITIONS
  }

  mayStick(bytes: number): boolean {
    return this.#stuck.value + bytes <= this.stuckPartitionsMaxBytes
  }

  /** Adds or, when negative, removes records of topics that are being looked up. */
  enqueue(bytes: number, records: number): void {
    this.hold(bytes, records)
    this.stick(bytes)
  }

  /** Topics that the brokers do not know may hold this many bytes more. */
  mayHold(bytes: number): boolean {
    return this.#stuck.value + bytes <= this.maxBytes * SHARE_OF_STUCK
  }
}

interface ChargedBatch {
  readonly chargedBytes: number
  readonly recordCount: number
}

/** The memory of one partition, bookkeeping included, and whether it may take more. */
export class PartitionCharge {
  readonly #budget: PartitionBudget
  readonly #maxBytes: number
  #bytes = 0
  #records = 0
  #isStuck = false
  /** Records wait for capacity in the partition, so later ones may not enter before them. */
  isWaitedFor = false
  /** The only request with records here; `undefined`: there are several or none. */
  #solePending: OutcomeReceiver | undefined

  /** @param maxBytes the largest share of a partition */
  constructor(budget: PartitionBudget, maxBytes: number) {
    this.#budget = budget
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get records(): number {
    return this.#records
  }

  get isStuck(): boolean {
    return this.#isStuck
  }

  /** Whether the partition may take a new record. */
  allows(bytes: number, pendingProduce: OutcomeReceiver): boolean {
    return !this.isWaitedFor && this.allowsNext(bytes, pendingProduce)
  }

  /**
   * Whether the partition may take the first waiting record: its share of the buffer is not used up, or it holds
   * records of the same request only, because a request within the limits is not refused while there is capacity. Stuck
   * partitions share a part of the buffer.
   */
  allowsNext(bytes: number, pendingProduce: OutcomeReceiver): boolean {
    if (!this.#budget.hasCapacity(bytes)) return false
    if (this.#isStuck && !this.#budget.mayStick(bytes)) return false
    if (this.#bytes + bytes <= this.#budget.shareOf(this.#maxBytes)) return true
    return (this.#bytes === 0 || this.#solePending === pendingProduce) && this.#budget.hasSpare(bytes)
  }

  /** Takes records of a request. */
  take(bytes: number, pendingProduce: OutcomeReceiver, records = 1): void {
    if (this.#bytes === 0) this.#solePending = pendingProduce
    else if (this.#solePending !== pendingProduce) this.#solePending = undefined
    this.hold(bytes, records)
  }

  /** Adds bytes and records or, when negative, removes them. */
  hold(bytes: number, records: number): void {
    this.#bytes += bytes
    this.#records += records
    this.#budget.hold(bytes, records)
    if (this.#isStuck) this.#budget.stick(bytes)
  }

  holdBatch({ chargedBytes, recordCount }: ChargedBatch): void {
    this.hold(chargedBytes, recordCount)
  }

  releaseBatch({ chargedBytes, recordCount }: ChargedBatch): void {
    this.hold(-chargedBytes, -recordCount)
  }

  /** The partition holds nothing any more. */
  emptied(): void {
    this.#solePending = undefined
    this.setStuck(false)
  }

  /** True: the held records may have to wait long. False: they are being sent again. */
  setStuck(isStuck: boolean): void {
    if (isStuck === this.#isStuck) return
    this.#isStuck = isStuck
    this.#budget.stick(isStuck ? this.#bytes : -this.#bytes)
  }
}

/** The setting that limits a partition, and how its limits are told. */
export const PARTITION_LIMITS = [
  'advanced.delivery.maxPartitionBytes',
  'advanced.delivery.maxPartitionBytes, delivery.maxBytes'
] as const

/** The failure of a record for which a partition has no capacity; names the limit that applies. */
export function partitionFull(
  producer: { readonly topic: string; readonly partition: number; readonly charge: PartitionCharge },
  bytes: number,
  budget: Budget,
  maxPartitionBytes: number
): RecordFailure {
  const { topic, partition, charge } = producer
  if (!charge.isStuck || budget.mayStick(bytes)) {
    const limitBytes = Math.floor(budget.shareOf(maxPartitionBytes))
    return failures.overloaded(`the buffer of ${topic}/${partition} is`, limitBytes, ...PARTITION_LIMITS)
  }
  const what = `the part of the buffer for stuck partitions such as ${topic}/${partition} is`
  return failures.overloaded(what, budget.stuckPartitionsMaxBytes, 'delivery.maxBytes', 'half of delivery.maxBytes')
}
