import { memoryOfRecord, ownRecordOf } from '../../core/bytes.js'
import { onAbort } from '../../core/ending.js'
import type { CastellanError } from '../../core/errors.js'
import { type KafkaRecord, type Offset, sizeOfRecord } from '../../core/model.js'
import { LOOK_UP_TIMEOUT_MS } from '../../http/api/api.js'
import type { FollowSink, ReadSubscription } from '../../verbs/verbs.js'
import type { ReadMemory } from './read-memory.js'
import { shownBytesOf } from './record-entry.js'
import type { ToolCall } from './tool.js'

/** How often it is looked whether all was read: the end of a log may have no record of its own. */
const LOOK_MS = 20

/** Offsets of one partition that are read at once: from `start` to before `end`. */
export interface Block {
  readonly partition: number
  readonly start: Offset
  readonly end: Offset
}

export interface BlockLimits {
  /** `first`: reading ends with enough records. `last`: it goes on to the end, and the last ones are kept. */
  readonly keep: 'first' | 'last'
  readonly records: number
  /** Bytes of the kept records that an answer shows. One record is kept in any case. */
  readonly bytes: number
  /** No batch is read when those before it had so many bytes. */
  readonly readBytes: number
  readonly timeoutMs: number
}

export interface BlockResult {
  /** With bytes of their own, in their order. */
  readonly records: readonly KafkaRecord[]
  /** The offset after the last record that was taken; the end where nothing is left before it. */
  readonly position: Offset
  /** Bytes of the batches that were read. */
  readonly readBytes: number
  /** Whether records were passed over that cannot be read. */
  readonly hasSkipped: boolean
}

/** Reads some records of one partition that are there now, once. */
export class BlockRead implements FollowSink {
  readonly #call: ToolCall
  readonly #topic: string
  readonly #block: Block
  readonly #limits: BlockLimits
  readonly #memory: ReadMemory
  readonly #kept: KafkaRecord[] = []
  #positions: ReadonlyMap<number, Offset> = new Map()
  /** Bytes that an answer shows of the kept records. */
  #bytes = 0
  #readBytes = 0
  #takenRecords = 0
  #takenBytes = 0
  #hasSkipped = false
  #isOver = false
  #finish: (error?: Error) => void = () => undefined

  /** @param memory counts what is kept */
  constructor(call: ToolCall, topic: string, block: Block, limits: BlockLimits, memory: ReadMemory) {
    this.#call = call
    this.#topic = topic
    this.#block = block
    this.#limits = limits
    this.#memory = memory
  }

  /** Resolves also where the time is over. @throws CastellanError when Kafka does not answer; the error of the call when it ends */
  async run(): Promise<BlockResult> {
    const { start, end } = this.#block
    try {
      await this.#read()
    } finally {
      // Records that were read and dropped are charged, too: reading them has taken its time.
      this.#call.caller.spend(this.#takenRecords, this.#takenBytes)
    }
    const position = Math.min(end, this.#position ?? start)
    return { records: this.#kept, position, readBytes: this.#readBytes, hasSkipped: this.#hasSkipped }
  }

  get #position(): Offset | undefined {
    return this.#positions.get(this.#block.partition)
  }

  async #read(): Promise<void> {
    const { verbs, signal } = this.#call
    const { partition, start, end } = this.#block
    let subscription: ReadSubscription | undefined
    const over = new Promise<void>((resolve, reject) => {
      this.#finish = error => {
        this.#isOver = true
        if (error === undefined) resolve()
        else reject(error)
      }
    })
    const limit = setTimeout(() => this.#finish(), this.#limits.timeoutMs)
    const look = setInterval(() => this.flush(), LOOK_MS)
    const unlisten = onAbort(signal, () => this.#finish(signal.reason as Error))
    try {
      const options = {
        partitions: [partition],
        maxPartitions: 1,
        from: 'earliest',
        timeoutMs: LOOK_UP_TIMEOUT_MS
      } as const
      const [positions, ends] = [new Map([[partition, start]]), new Map([[partition, end]])]
      verbs.follow(this.#topic, { ...options, positions, ends }, this).then(
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

  batchRead(bytes: number): void {
    this.#readBytes += bytes
  }

  take(_partition: number, record: KafkaRecord): void {
    // Records that were written since the call began are left to the next call.
    if (record.offset >= this.#block.end) return
    const own = ownRecordOf(record)
    this.#kept.push(own)
    this.#bytes += shownBytesOf(own)
    this.#takenRecords++
    this.#takenBytes += sizeOfRecord(own)
    this.#memory.add(memoryOfRecord(own))
    const { keep, records, bytes } = this.#limits
    if (keep === 'last')
      while (this.#kept.length > 1 && (this.#kept.length > records || this.#bytes > bytes)) this.#dropFirst()
  }

  #dropFirst(): void {
    const record = this.#kept.shift()!
    this.#bytes -= shownBytesOf(record)
    this.#memory.add(-memoryOfRecord(record))
  }

  get isFull(): boolean {
    const { keep, records, bytes } = this.#limits
    return this.#isOver || (keep === 'first' && (this.#kept.length >= records || this.#bytes >= bytes))
  }

  flush(): void {
    if (this.#isOver) return
    const isRead = (this.#position ?? this.#block.start) >= this.#block.end
    if (isRead || this.isFull || this.#readBytes >= this.#limits.readBytes) this.#finish()
  }

  warn(): void {
    this.#hasSkipped = true
  }

  ended(problem: CastellanError): void {
    this.#finish(problem)
  }
}
