import { memoryOfRecord, ownRecordOf } from '../../core/bytes.js'
import { onAbort } from '../../core/ending.js'
import type { CastellanError } from '../../core/errors.js'
import { type KafkaRecord, type Offset, sizeOfRecord } from '../../core/model.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import type { FollowSink, ReadSubscription } from '../../verbs/verbs.js'
import { ToolError } from './failures.js'
import type { ToolCall } from './tool.js'

/** Time limit of reading. Records that were read by then are the answer. */
const READ_MS = 10_000
/** How often it is looked whether all was read: the end of a log may have no record of its own. */
const LOOK_MS = 20
/** Bytes of records that are held for an answer, where one record has fewer. */
const MAX_HELD_BYTES = 2 * 1024 * 1024

/** Start and end of reading in a partition: `end` is the offset after the last record that is wanted. */
export interface ReadPlace {
  readonly partition: number
  readonly start: Offset
  readonly end: Offset
}

/** A record that was read, with bytes of its own. */
export interface ReadRecord {
  readonly partition: number
  readonly record: KafkaRecord
}

interface TopicReadOptions {
  readonly topic: string
  readonly places: readonly ReadPlace[]
  readonly count: number
  /** Limit of the bytes of records in the answer. */
  readonly maxBytes: number
  /** Keep only so many of the last records of each partition; reading goes to the ends. Absent: the first records are kept. */
  readonly lastOfEach?: number | undefined
}

export interface ReadResult {
  /** Records, in the order of each partition. */
  readonly records: readonly ReadRecord[]
  /** The offset after the last record that is given, or that has none before the end, by partition. */
  readonly positions: ReadonlyMap<number, Offset>
  /** Whether records were passed over that cannot be read. */
  readonly hasSkipped: boolean
}

/** Reads some records of a topic that are there now, once. */
export class TopicRead implements FollowSink {
  readonly #call: ToolCall
  readonly #options: TopicReadOptions
  readonly #records: ReadRecord[] = []
  #positions: ReadonlyMap<number, Offset>
  readonly #ends: ReadonlyMap<number, Offset>
  #bytes = 0
  #heldBytes = 0
  #takenRecords = 0
  #takenBytes = 0
  #hasSkipped = false
  #isOver = false
  #finish: (error?: Error) => void = () => undefined

  constructor(call: ToolCall, options: TopicReadOptions) {
    this.#call = call
    this.#options = options
    this.#positions = new Map(options.places.map(({ partition, start }) => [partition, start]))
    this.#ends = new Map(options.places.map(({ partition, end }) => [partition, end]))
  }

  /** @throws CastellanError when Kafka does not answer; ToolError when the client has left or the process stops */
  async run(): Promise<ReadResult> {
    const open = this.#options.places.filter(({ start, end }) => start < end)
    try {
      if (open.length > 0) await this.#read(new Map(open.map(({ partition, start }) => [partition, start])))
    } finally {
      // Records that were read and dropped are charged, too: reading them has taken its time.
      this.#call.caller.spend(this.#takenRecords, this.#takenBytes)
    }
    const positions = new Map(this.#options.places.map(({ partition, start }) => [partition, start]))
    // Records behind the end were passed, and are not in the answer.
    for (const [partition, offset] of this.#positions)
      positions.set(partition, Math.min(offset, this.#ends.get(partition)!))
    return { records: this.#records, positions, hasSkipped: this.#hasSkipped }
  }

  async #read(positions: ReadonlyMap<number, Offset>): Promise<void> {
    const { verbs, signal } = this.#call
    const ends = this.#ends
    const partitions = [...positions.keys()]
    let subscription: ReadSubscription | undefined
    const over = new Promise<void>((resolve, reject) => {
      this.#finish = error => {
        this.#isOver = true
        if (error === undefined) resolve()
        else reject(error)
      }
    })
    const limit = setTimeout(
      () => this.#finish(this.#records.length > 0 ? undefined : new ToolError('timedOut')),
      READ_MS
    )
    const look = setInterval(() => this.flush(), LOOK_MS)
    const unlisten = onAbort(signal, () => this.#finish(signal.reason as Error))
    try {
      const options = { partitions, maxPartitions: partitions.length, from: 'earliest', positions, ends } as const
      verbs.follow(this.#options.topic, { ...options, timeoutMs: LOOK_UP_TIMEOUT_MS }, this).then(
        begun => {
          subscription = begun
          if (this.#isOver) begun.stop()
        },
        error => this.#finish(error as Error)
      )
      await over
    } finally {
      clearTimeout(limit)
      clearInterval(look)
      unlisten()
      subscription?.stop()
    }
  }

  begins(positions: ReadonlyMap<number, Offset>): void {
    this.#positions = positions
  }

  take(partition: number, record: KafkaRecord): void {
    // Records that were written since the call began are left to the next call.
    if (record.offset >= this.#ends.get(partition)!) return
    const own = ownRecordOf(record)
    this.#records.push({ partition, record: own })
    this.#bytes += sizeOfRecord(own)
    this.#takenRecords++
    this.#takenBytes += sizeOfRecord(own)
    this.#heldBytes += memoryOfRecord(own)
    this.#call.held.add(memoryOfRecord(own))
    const { lastOfEach } = this.#options
    if (lastOfEach !== undefined) this.#dropOlder(partition, lastOfEach)
  }

  #dropOlder(partition: number, most: number): void {
    const own = this.#records.filter(one => one.partition === partition)
    if (own.length > most) this.#drop(this.#records.indexOf(own[0]!))
    while (this.#heldBytes > MAX_HELD_BYTES && this.#records.length > 1) this.#drop(0)
  }

  #drop(at: number): void {
    const [{ record }] = this.#records.splice(at, 1) as [ReadRecord]
    this.#bytes -= sizeOfRecord(record)
    this.#heldBytes -= memoryOfRecord(record)
    this.#call.held.add(-memoryOfRecord(record))
  }

  get isFull(): boolean {
    const { count, maxBytes, lastOfEach } = this.#options
    if (lastOfEach !== undefined) return this.#isOver
    const isEnough = this.#records.length >= count || this.#bytes >= maxBytes
    return this.#isOver || isEnough || this.#heldBytes >= MAX_HELD_BYTES
  }

  flush(): void {
    if (this.#isOver) return
    const isRead = [...this.#positions].every(([partition, offset]) => offset >= this.#ends.get(partition)!)
    if (this.isFull || isRead) this.#finish()
  }

  warn(): void {
    this.#hasSkipped = true
  }

  ended(problem: CastellanError): void {
    this.#finish(problem)
  }
}
