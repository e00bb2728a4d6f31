/** Memory for records that were accepted and wait, for Kafka or for the disk. */
export interface BufferCapacity {
  /** What it is, and the setting that bounds it: for messages. */
  readonly what: string
  readonly setting: string
  readonly maxBytes: number
  /** What is held now, bookkeeping included. */
  readonly usedBytes: number
  /** Of that: records of partitions that do not move, and of topics that are being looked up. */
  readonly stuckBytes: number
  /** Calls back whenever some of it was given back, often. A later callback takes the place of the one before. */
  onFreed(freed: () => void): void
}

/** What a partition asks of the budget. */
export interface PartitionBudget {
  /** Bytes and records came or, negative, went. */
  hold(bytes: number, records: number): void
  hasCapacity(bytes: number): boolean
  /** A single request may take so many bytes more than its partition's share. */
  hasSpare(bytes: number): boolean
  /** What a partition may hold now, of the share that it has at most. */
  shareOf(partitionMaxBytes: number): number
  /** Of what is held, so many bytes more, or fewer, wait for something that may not come soon. */
  stick(bytes: number): void
  /** Stuck partitions may hold so many bytes more. */
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

/** Of the buffer: what may be taken when a single request fills the partition it goes to. */
const SHARE_OF_A_REQUEST = 3 / 4
/** While less of the buffer than this is free, the share of a partition shrinks. */
const SHARE_LEFT_FREE = 1 / 4
/** Of the buffer: stuck partitions are given no more once everything that is stuck holds as much. */
const SHARE_OF_STUCK_PARTITIONS = 1 / 2
/** The same for topics that the brokers do not know. */
const SHARE_OF_STUCK = 3 / 4

/** Counts the bytes and records that are held for Kafka, bookkeeping included, against their limit. */
export class Budget implements BufferCapacity, PartitionBudget {
  readonly what = 'the buffer of records for kafka'
  readonly setting = 'delivery.maxBytes'
  readonly maxBytes: number
  readonly #onChange: () => void
  #bytes = 0
  #records = 0
  #stuckBytes = 0
  #onFreed: () => void = () => undefined

  /** @param onChange called whenever something came or went */
  constructor(maxBytes: number, onChange: () => void) {
    this.maxBytes = maxBytes
    this.#onChange = onChange
  }

  get usedBytes(): number {
    return this.#bytes
  }

  get stuckBytes(): number {
    return this.#stuckBytes
  }

  onFreed(freed: () => void): void {
    this.#onFreed = freed
  }

  get records(): number {
    return this.#records
  }

  hold(bytes: number, records: number): void {
    this.#bytes += bytes
    this.#records += records
    this.#onChange()
    if (bytes < 0) this.#onFreed()
  }

  stick(bytes: number): void {
    this.#stuckBytes += bytes
    if (bytes > 0) this.#onFreed()
  }

  hasCapacity(bytes: number): boolean {
    return this.#bytes + bytes <= this.maxBytes
  }

  hasSpare(bytes: number): boolean {
    return this.#bytes + bytes <= this.maxBytes * SHARE_OF_A_REQUEST
  }

  /**
   * The whole share while a quarter of the buffer is free, and less and less then: however many partitions get stuck at once,
   * they leave something to the others.
   */
  shareOf(partitionMaxBytes: number): number {
    const freeBytes = this.maxBytes - this.#bytes
    return partitionMaxBytes * Math.min(1, freeBytes / (this.maxBytes * SHARE_LEFT_FREE))
  }

  get stuckPartitionsMaxBytes(): number {
    return this.maxBytes * SHARE_OF_STUCK_PARTITIONS
  }

  mayStick(bytes: number): boolean {
    return this.#stuckBytes + bytes <= this.stuckPartitionsMaxBytes
  }

  /** Records of topics that are being looked up came or, negative, went. */
  enqueue(bytes: number, records: number): void {
    this.hold(bytes, records)
    this.stick(bytes)
  }

  /** Topics that the brokers do not know may hold so many bytes more. */
  mayHold(bytes: number): boolean {
    return this.#stuckBytes + bytes <= this.maxBytes * SHARE_OF_STUCK
  }
}
