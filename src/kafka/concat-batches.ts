import type { BatchOrigin, EpochStart, KafkaRecord, Offset, RecordBatch } from '../core/model.js'

/**
 * Joins batches of one partition, each of which begins at or after the end of the one before, without copying bytes. A single
 * batch is returned as it is. A gap between two comes from compaction and may be read over; an overlap is a mistake.
 *
 * @throws RangeError when there is none, or when two overlap
 */
export function concatBatches(batches: readonly RecordBatch[]): RecordBatch {
  const parts = batches.flatMap(batch => (batch instanceof JoinedRecordBatch ? batch.parts : [batch]))
  if (parts.length === 0) throw new RangeError('there is no batch to join')
  return parts.length === 1 ? parts[0]! : new JoinedRecordBatch(parts)
}

class JoinedRecordBatch implements RecordBatch {
  readonly parts: readonly RecordBatch[]
  /** Index of each part's first record. */
  readonly #starts: readonly number[]
  readonly offset: Offset
  readonly maxOffset: Offset
  readonly nextOffset: Offset
  readonly recordCount: number
  readonly sizeBytes: number
  readonly heapBytes: number

  constructor(parts: readonly RecordBatch[]) {
    const last = parts[parts.length - 1]!
    const starts: number[] = []
    let recordCount = 0
    let sizeBytes = 0
    let heapBytes = 0
    for (const [at, part] of parts.entries()) {
      const before = parts[at - 1]
      if (before && part.offset < before.nextOffset) {
        throw new RangeError(`a batch at ${part.offset} does not follow one that goes to ${before.nextOffset}`)
      }
      starts.push(recordCount)
      recordCount += part.recordCount
      sizeBytes += part.sizeBytes
      heapBytes += part.heapBytes ?? part.sizeBytes
    }
    this.parts = parts
    this.#starts = starts
    this.offset = parts[0]!.offset
    this.maxOffset = last.maxOffset
    this.nextOffset = last.nextOffset
    this.recordCount = recordCount
    this.sizeBytes = sizeBytes
    this.heapBytes = heapBytes
  }

  /** One entry for each part that begins another epoch. */
  get leaderEpochs(): readonly EpochStart[] {
    const starts: EpochStart[] = []
    for (const { leaderEpochs = [] } of this.parts) {
      for (const start of leaderEpochs) if (start.leaderEpoch !== starts.at(-1)?.leaderEpoch) starts.push(start)
    }
    return starts
  }

  get origins(): readonly BatchOrigin[] {
    return this.parts.flatMap(({ origins = [] }) => origins)
  }

  at(index: number): KafkaRecord {
    if (!(index >= 0 && index < this.recordCount)) {
      throw new RangeError(`record ${index} of a batch of ${this.recordCount}`)
    }
    const part = lastWhere(this.#starts, start => start <= index)
    return this.parts[part]!.at(index - this.#starts[part]!)
  }

  *[Symbol.iterator](): Iterator<KafkaRecord> {
    for (const part of this.parts) yield* part
  }

  sliceFrom(offset: Offset): RecordBatch | undefined {
    if (offset === this.offset) return this
    if (offset < this.offset || offset > this.maxOffset) return undefined
    const first = lastWhere(this.parts, part => part.offset <= offset)
    const head = this.parts[first]!.sliceFrom(offset)
    return concatBatches([...(head ? [head] : []), ...this.parts.slice(first + 1)])
  }
}

/** Index of the last item for which the condition holds. It holds for the first one, and for none after the first that fails. */
function lastWhere<T>(items: readonly T[], holds: (item: T) => boolean): number {
  let low = 0
  let high = items.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if (holds(items[middle]!)) low = middle
    else high = middle - 1
  }
  return low
}
