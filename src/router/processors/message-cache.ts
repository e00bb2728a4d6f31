import { LRUCache } from 'lru-cache'
import type { Offset, RecordBatch } from '../../core/model.js'

/**
 * A cached range of offsets of one partition: all records in `[start, next)`. Some offsets in the range may have no
 * record.
 */
interface CachedRange {
  readonly id: number
  readonly partition: PartitionIndex
  readonly start: Offset
  readonly next: Offset
  readonly batch: RecordBatch
  readonly heldBytes: number
}

/** Entries of one partition, sorted by `start`, never overlapping. */
interface PartitionIndex {
  readonly key: string
  readonly entries: CachedRange[]
}

export interface MessageCacheOptions {
  /** Maximum number of bytes of all cached batches, over all partitions and brokers. */
  readonly maxBytes: number
  /**
   * Maximum number of bytes of an answer that is joined from adjacent entries. A single larger entry is returned whole.
   */
  readonly bufferBytes: number
  /** Joins contiguous batches without copying their bytes. */
  readonly concat: (batches: readonly RecordBatch[]) => RecordBatch
  /** The bytes of memory of a batch; see {@link heldBytesOf}. */
  readonly sizeOf?: (batch: RecordBatch) => number
  readonly onEvict?: () => void
}

// Memory of a batch besides its bytes: a position for each record, the objects of the batch, and its entry in index and
// LRU.
const RECORD_INDEX_BYTES = 4
const ENTRY_OVERHEAD_BYTES = 400

/** The memory of a cached batch: the bytes that it keeps alive, the index of its records, and its objects. */
export const heldBytesOf = (batch: RecordBatch): number =>
  (batch.heapBytes ?? batch.sizeBytes + batch.recordCount * RECORD_INDEX_BYTES) + ENTRY_OVERHEAD_BYTES

/**
 * Fetched batches, shared by all readers of the Router. The least recently used entries are evicted first.
 *
 *   orders/0:  [20..24) [24..26) [26..34)          [41..50)
 *
 *   get(orders/0, 25)  =>  the tail of [24..26) joined with [26..34), as far as `bufferBytes` goes
 *   get(orders/0, 36)  =>  undefined: it is not cached
 *
 * Invariants after every call: sum of held bytes <= maxBytes; entries of a partition sorted and disjoint; every entry
 * of the index is in the LRU and vice versa.
 *
 * Intended differences from Castle: there is one limit instead of equal shares per broker and topic. The order of
 * eviction is by use instead of age. Old records may be cached while newer records are in the cache. An offset without
 * a record is a hit if an entry covers it.
 * Source: Box-Castle/router 1.0.3, kafkadispatcher/cache/.
 */
export class MessageCache {
  readonly #options: MessageCacheOptions
  readonly #partitions = new Map<string, PartitionIndex>()
  readonly #sizeOf: (batch: RecordBatch) => number
  #lru: LRUCache<number, CachedRange>
  #bufferBytes: number
  #lastId = 0
  #evictions = 0

  /** @throws RangeError when a bound is not a positive integer */
  constructor(options: MessageCacheOptions) {
    this.#options = options
    this.#sizeOf = options.sizeOf ?? heldBytesOf
    this.#bufferBytes = requirePositive(options.bufferBytes, 'bufferBytes')
    this.#lru = this.#createLru(requirePositive(options.maxBytes, 'maxBytes'))
  }

  get maxBytes(): number {
    return this.#lru.maxSize
  }
  get sizeBytes(): number {
    return this.#lru.calculatedSize
  }
  get entryCount(): number {
    return this.#lru.size
  }
  get bufferBytes(): number {
    return this.#bufferBytes
  }
  set bufferBytes(bytes: number) {
    this.#bufferBytes = requirePositive(bytes, 'bufferBytes')
  }
  /** Number of entries that were evicted since the start. */
  get evictions(): number {
    return this.#evictions
  }

  /**
   * Adds `batch`, the result of a fetch from `start`. Cached entries stay, and only the new part of the batch is added.
   * Returns false when nothing was added: the whole batch was cached, or it is larger than the cache.
   */
  add(partitionKey: string, start: Offset, batch: RecordBatch): boolean {
    const index = this.#indexOf(partitionKey)
    const from = Math.max(start, coveredUntil(index.entries, start))
    const fresh = from <= batch.offset ? batch : batch.sliceFrom(from)
    if (!fresh || from >= fresh.nextOffset) return this.#dropIfEmpty(index)
    const heldBytes = this.#sizeOf(fresh)
    if (heldBytes > this.maxBytes) return this.#dropIfEmpty(index)
    this.#makeWayFor(index, from, fresh.nextOffset)
    this.#insert(index, from, fresh.nextOffset, fresh, heldBytes)
    return true
  }

  /**
   * Records from `offset` on, joined from adjacent entries up to `bufferBytes`; `undefined` when they are not cached.
   */
  get(partitionKey: string, offset: Offset): RecordBatch | undefined {
    const index = this.#partitions.get(partitionKey)
    if (!index) return undefined
    let at = floorIndex(index.entries, offset)
    const found: RecordBatch[] = []
    let bytes = 0
    let position = offset
    for (
      let entry = index.entries[at];
      entry && entry.start <= position && position < entry.next;
      entry = index.entries[++at]
    ) {
      const part = position <= entry.batch.offset ? entry.batch : entry.batch.sliceFrom(position)
      position = entry.next
      if (!part) continue
      if (found.length > 0 && bytes + part.sizeBytes > this.#bufferBytes) break
      this.#lru.get(entry.id)
      found.push(part)
      bytes += part.sizeBytes
    }
    if (found.length === 0) return undefined
    return found.length === 1 ? found[0] : this.#options.concat(found)
  }

  /** Forgets a partition that was re-created or truncated, or whose leader changed uncleanly. */
  invalidate(partitionKey: string): void {
    for (const entry of [...(this.#partitions.get(partitionKey)?.entries ?? [])]) this.#lru.delete(entry.id)
  }

  clear(): void {
    this.#lru.clear()
  }

  /** Forgets every record below `logStartOffset`, because Kafka has deleted it. */
  invalidateBelow(partitionKey: string, logStartOffset: Offset): void {
    const index = this.#partitions.get(partitionKey)
    for (let entry = index?.entries[0]; entry && entry.start < logStartOffset; entry = index!.entries[0]) {
      this.#lru.delete(entry.id)
      if (entry.next > logStartOffset) this.#insertRest(index!, logStartOffset, entry)
    }
  }

  /** Forgets entries that reach beyond the end of the log. */
  invalidateAbove(partitionKey: string, logEndOffset: Offset): void {
    const entries = this.#partitions.get(partitionKey)?.entries ?? []
    for (let last = entries.at(-1); last && last.next > logEndOffset; last = entries.at(-1)) this.#lru.delete(last.id)
  }

  /** Changes the limit. A lower limit evicts the least recently used entries first. */
  resize(maxBytes: number): void {
    if (requirePositive(maxBytes, 'maxBytes') === this.maxBytes) return
    const oldestFirst = [...this.#lru.rvalues()].filter(entry => entry !== undefined)
    this.#partitions.clear()
    this.#lru = this.#createLru(maxBytes)
    for (const { partition, start, next, batch, heldBytes } of oldestFirst) {
      if (heldBytes <= maxBytes) this.#insert(partition, start, next, batch, heldBytes)
      else this.#countEviction()
    }
  }

  /** A text for logs and debugging: `bufferBytes: 200, maxBytes: 800, sizeBytes: 467, perf/1: [40..50)`. */
  toString(): string {
    const partitions = Array.from(this.#partitions.values(), ({ key, entries }) => {
      return `${key}: ${entries.map(({ start, next }) => `[${start}..${next})`).join(' ')}`
    })
    const { bufferBytes, maxBytes, sizeBytes } = this
    return [`bufferBytes: ${bufferBytes}`, `maxBytes: ${maxBytes}`, `sizeBytes: ${sizeBytes}`, ...partitions].join(', ')
  }

  #createLru(maxBytes: number): LRUCache<number, CachedRange> {
    return new LRUCache<number, CachedRange>({
      maxSize: maxBytes,
      sizeCalculation: entry => entry.heldBytes,
      dispose: (entry, _, reason) => {
        const { entries } = entry.partition
        const at = floorIndex(entries, entry.start)
        if (entries[at] === entry) entries.splice(at, 1)
        this.#dropIfEmpty(entry.partition)
        if (reason === 'evict') this.#countEviction()
      }
    })
  }

  #countEviction(): void {
    this.#evictions++
    this.#options.onEvict?.()
  }

  #indexOf(key: string): PartitionIndex {
    let index = this.#partitions.get(key)
    if (!index) this.#partitions.set(key, (index = { key, entries: [] }))
    return index
  }

  #dropIfEmpty(index: PartitionIndex): false {
    if (index.entries.length === 0 && this.#partitions.get(index.key) === index) this.#partitions.delete(index.key)
    return false
  }

  /** Removes the entries that the new range covers. An entry that the range covers partly loses its beginning. */
  #makeWayFor(index: PartitionIndex, from: Offset, next: Offset): void {
    for (let at = floorIndex(index.entries, from) + 1; ; ) {
      const entry = index.entries[at]
      if (!entry || entry.start >= next) return
      this.#lru.delete(entry.id)
      if (entry.next <= next) continue
      this.#insertRest(index, next, entry)
      return
    }
  }

  /** Adds the part from `start` on of an entry that has just been removed. */
  #insertRest(index: PartitionIndex, start: Offset, { batch, next, heldBytes }: CachedRange): void {
    const rest = batch.sliceFrom(Math.max(start, batch.offset))
    // A slice keeps the bytes of the whole entry alive, so it costs as much memory as the entry.
    if (rest) this.#insert(index, start, next, rest, heldBytes)
  }

  #insert(index: PartitionIndex, start: Offset, next: Offset, batch: RecordBatch, heldBytes: number): void {
    const partition = this.#indexOf(index.key)
    const entry: CachedRange = { id: ++this.#lastId, partition, start, next, batch, heldBytes }
    partition.entries.splice(floorIndex(partition.entries, start) + 1, 0, entry)
    this.#lru.set(entry.id, entry)
  }
}

/** Position of the last entry with `start <= offset`, or -1. */
function floorIndex(entries: readonly CachedRange[], offset: Offset): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (entries[middle]!.start <= offset) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** The end of the entries that follow `offset` without a gap; `offset` itself when it is not covered. */
function coveredUntil(entries: readonly CachedRange[], offset: Offset): Offset {
  let position = offset
  for (let at = floorIndex(entries, offset); ; at++) {
    const entry = entries[at]
    if (!entry || entry.start > position || entry.next <= position) return position
    position = entry.next
  }
}

function requirePositive(value: number, name: string): number {
  if (!Number.isSafeInteger(value) || value <= 0)
    throw new RangeError(`${name} must be a positive integer, not ${value}`)
  return value
}
