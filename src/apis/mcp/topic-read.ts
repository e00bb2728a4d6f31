import { MIB, memoryOfRecords } from '../../core/bytes.js'
import type { KafkaRecord } from '../../core/model.js'
import { type Block, type BlockLimits, BlockRead, type BlockResult } from './block-read.js'
import { ToolError } from './failures.js'
import type { ReadMemory } from './read-memory.js'
import { shownBytesOf } from './record-entry.js'
import type { ToolCall } from './tool.js'

/** Time limit of reading. Records that were read by then are the answer. */
const READ_MS = 10_000
/** Limit of the bytes of batches that one call reads. The last batch may go beyond it. */
const MAX_READ_BYTES = 16 * MIB
/** Limit of the memory of records that one call keeps. The last record may go beyond it. */
export const MAX_KEPT_BYTES = 2 * MIB
/** How much longer the next block may be, and how far back the last records of a partition are looked for. */
const GROWTH = 16
const MAX_BACK = 1_000

export interface TopicReadOptions {
  readonly topic: string
  /** The offsets that are wanted of each partition. */
  readonly places: readonly Block[]
  /** `first`: the first records of each partition. `last`: the last ones. */
  readonly keep: 'first' | 'last'
  /** Records in all. With `last`, each partition gives one in any case. */
  readonly count: number
  /** Bytes of keys and values that the answer shows. */
  readonly maxBytes: number
}

/** What was read of one partition. */
export interface ReadPart {
  readonly place: Block
  /** In their order, without a gap. */
  readonly records: readonly KafkaRecord[]
  /** What is not read yet, which is before the records (`last`) or behind them. */
  readonly rest: Block
  /** There is nothing more to read. */
  readonly isDone: boolean
}

export interface TopicReadResult {
  readonly parts: readonly ReadPart[]
  /** Records were passed over that cannot be read. */
  readonly hasSkipped: boolean
  /** More was wanted, and not read: the bytes, the memory or the time of the call were used up. */
  readonly isCut: boolean
}

interface OpenPart {
  readonly place: Block
  records: KafkaRecord[]
  rest: Block
  /** Bytes of the batches that were read for its records. */
  readBytes: number
  isDone: boolean
}

/**
 * Reads some records of a topic that are there now, once. The partitions are read one after another, and each one gets an equal
 * share of what is left of records and bytes. What it leaves goes to the next ones, and then round once more.
 */
export class TopicRead {
  readonly #call: ToolCall
  readonly #options: TopicReadOptions
  readonly #memory: ReadMemory
  readonly #parts: OpenPart[]
  readonly #endsAt: number
  #count: number
  #bytes: number
  #readBytes = MAX_READ_BYTES
  #hasSkipped = false
  #isCut = false

  /** @param memory counts what is kept */
  constructor(call: ToolCall, options: TopicReadOptions, memory: ReadMemory) {
    this.#call = call
    this.#options = options
    this.#memory = memory
    this.#parts = options.places.map(place => ({
      ...{ place, records: [], rest: place, readBytes: 0 },
      isDone: place.start >= place.end
    }))
    this.#endsAt = call.parts.clock() + READ_MS
    this.#count = options.count
    this.#bytes = options.maxBytes
  }

  /** @throws CastellanError when Kafka does not answer; ToolError when it is too late, the client has left or the process stops */
  async run(): Promise<TopicReadResult> {
    for (let round = 0; this.#open.length > 0 && !this.#isCut && (round === 0 || this.#isMoreWanted); round++)
      await this.#goRound(this.#open, round === 0)
    const isLate = this.#leftMs <= 0 && this.#open.length > 0
    if (isLate && this.#parts.every(({ records }) => records.length === 0)) throw new ToolError('timedOut')
    return { parts: this.#parts, hasSkipped: this.#hasSkipped, isCut: this.#isCut }
  }

  get #open(): readonly OpenPart[] {
    return this.#parts.filter(({ isDone }) => !isDone)
  }

  get #isMoreWanted(): boolean {
    return this.#count > 0 && this.#bytes > 0
  }

  get #leftMs(): number {
    return this.#endsAt - this.#call.parts.clock()
  }

  get #isUsedUp(): boolean {
    return this.#readBytes <= 0 || this.#memory.bytes >= MAX_KEPT_BYTES || this.#leftMs <= 0
  }

  async #goRound(open: readonly OpenPart[], isFirst: boolean): Promise<void> {
    const { keep } = this.#options
    for (const [at, part] of open.entries()) {
      if (!this.#isMoreWanted && !(isFirst && keep === 'last')) return
      if (this.#isUsedUp) {
        this.#isCut = true
        return
      }
      const sharers = open.length - at
      const shareOf = (left: number): number => Math.max(1, Math.ceil(left / sharers))
      const [records, bytes, readBytes] = [this.#count, this.#bytes, this.#readBytes].map(shareOf) as [
        number,
        number,
        number
      ]
      const share = { keep, records, bytes, readBytes }
      if (keep === 'first') await this.#readOn(part, share)
      else await this.#readBack(part, share)
    }
  }

  async #readOn(part: OpenPart, share: Omit<BlockLimits, 'timeoutMs'>): Promise<void> {
    const { records, position } = await this.#read(part, part.rest, share)
    part.records.push(...records)
    part.rest = { ...part.rest, start: position }
    part.isDone = position >= part.rest.end
  }

  /** The last offsets may have no records: behind transactions, and in compacted topics. Then it looks further back. */
  async #readBack(part: OpenPart, share: Omit<BlockLimits, 'timeoutMs'>): Promise<void> {
    let { records, bytes, readBytes } = share
    for (let step = 1; !part.isDone && step > 0 && records > 0 && bytes > 0 && !this.#isUsedUp; ) {
      const { start, end } = part.rest
      const block = { ...part.rest, start: Math.max(start, end - step) }
      const found = await this.#read(part, block, { keep: 'last', records, bytes, readBytes })
      readBytes -= found.readBytes
      // Behind what was read of the block, there would be a gap.
      if (found.position < end) return
      part.records.unshift(...found.records)
      records -= found.records.length
      bytes -= shownBytesOfAll(found.records)
      // Older ones of the block were dropped where they are more than is wanted.
      const isWhole = records > 0 && bytes > 0
      part.rest = { ...part.rest, end: isWhole ? block.start : (found.records[0]?.offset ?? block.start) }
      const isNothing = part.records.length === 0 && part.place.end - part.rest.end > MAX_BACK
      part.isDone = part.rest.end <= start || isNothing
      step = part.records.length === 0 ? GROWTH * step : Math.min(GROWTH * step, records, fittingOf(part, readBytes))
    }
  }

  async #read(part: OpenPart, block: Block, share: Omit<BlockLimits, 'timeoutMs'>): Promise<BlockResult> {
    const limits = { ...share, timeoutMs: Math.max(1, this.#leftMs) }
    const found = await new BlockRead(this.#call, this.#options.topic, block, limits, this.#memory).run()
    this.#readBytes -= found.readBytes
    this.#hasSkipped ||= found.hasSkipped
    part.readBytes += found.readBytes
    const isKept = this.#options.keep === 'first' || found.position >= block.end
    if (isKept) this.#count -= found.records.length
    if (isKept) this.#bytes -= shownBytesOfAll(found.records)
    else this.#memory.add(-memoryOfRecords(found.records))
    return found
  }
}

const shownBytesOfAll = (records: readonly KafkaRecord[]): number =>
  records.reduce((sum, record) => sum + shownBytesOf(record), 0)

/** How many further records may be read with so many bytes, by the size of those that were. */
const fittingOf = ({ readBytes, records }: OpenPart, leftBytes: number): number =>
  Math.floor((leftBytes * records.length) / Math.max(1, readBytes))
