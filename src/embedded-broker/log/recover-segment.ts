import { BatchView, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, MAGIC } from '../protocol/record-batch.js'

/** Limit of the positions that are tried as the end of a batch with a wrong length. Each attempt costs a checksum. */
const MOST_ENDS = 16

/** Unreadable bytes, which are followed by readable bytes or are long enough for a whole batch. */
export interface DamagedRange {
  readonly position: number
  readonly sizeBytes: number
  /** The first offset that cannot be read. */
  readonly fromOffset: number
  /** The first offset after the damage. */
  readonly toOffset: number
}

export interface PlacedBatch {
  readonly position: number
  readonly batch: BatchView
}

export interface RecoveredSegment {
  readonly batches: readonly PlacedBatch[]
  readonly damaged: readonly DamagedRange[]
  /** Corrected headers of batches with intact records. The caller writes them back. */
  readonly repaired: readonly { readonly position: number; readonly header: Buffer }[]
  /** The position of a partly written last batch; the end of the bytes when there is no such batch. */
  readonly goodBytes: number
}

/**
 * Reads a segment. Within a file, offsets increase without gaps from the offset in its name. So all fields that the
 * checksum does not cover (base offset, length, epoch, magic) can be derived from the position:
 *
 *   [ batch 0-4 ][ batch 5-9, a bit flipped ][ batch 10-12 ][ batch 13-, cut ]
 *
 *   flipped in the records:   5-9 cannot be read, 10-12 can
 *   flipped in those fields:  the fields are corrected, nothing is lost
 *   at the end, cut:          it was never acknowledged and is removed
 */
export function recoverSegment(bytes: Buffer, baseOffset: number, newestEpoch: number): RecoveredSegment {
  const batches: PlacedBatch[] = []
  const damaged: DamagedRange[] = []
  const repaired = new Map<number, BatchView>()
  let position = 0
  let expected = baseOffset
  let goodBytes = bytes.length
  while (position < bytes.length) {
    const whole = wholeBatchAt(bytes, position)
    const isGood = whole && (whole.baseOffset === expected || isBehindGap(bytes, position, whole, expected))
    const batch = isGood ? whole : mend(bytes, position, expected)
    if (batch) {
      if (!isGood) repaired.set(position, batch)
      batches.push({ position, batch })
      expected = batch.lastOffset + 1
      position += batch.bytes.length
      continue
    }
    const next = resume(bytes, position, expected)
    if (next === undefined && isTorn(bytes, position)) {
      goodBytes = position
      break
    }
    const end = next ?? bytes.length
    const toOffset =
      next === undefined ? offsetBehind(bytes, position, expected) : wholeBatchAt(bytes, next)!.baseOffset
    damaged.push({ position, sizeBytes: end - position, fromOffset: expected, toOffset })
    position = end
    expected = toOffset
  }
  for (const wrong of wrongEpochs(batches, newestEpoch)) repaired.set(wrong.position, wrong.batch)
  return { batches, damaged, repaired: [...repaired].map(headerOf), goodBytes }
}

const headerOf = ([position, { bytes }]: readonly [number, BatchView]) => ({
  position,
  header: Buffer.from(bytes.subarray(0, HEADER_BYTES))
})

/**
 * True for a batch after a gap. Files of earlier versions may have gaps in the offsets. A batch counts as a batch after
 * a gap if the next batch continues its offsets.
 */
function isBehindGap(bytes: Buffer, position: number, batch: BatchView, expected: number): boolean {
  const end = position + batch.bytes.length
  return batch.baseOffset > expected && wholeBatchAt(bytes, end)?.baseOffset === batch.lastOffset + 1
}

/**
 * Corrects wrong epochs, and returns their batches. An epoch is wrong when it is lower than the epoch before it, or
 * higher than the next epoch or the newest epoch.
 */
function wrongEpochs(batches: readonly PlacedBatch[], newestEpoch: number): PlacedBatch[] {
  let before = 0
  return batches.filter(({ batch }, index) => {
    const behind = batches[index + 1]?.batch.leaderEpoch ?? newestEpoch
    const highest = Math.min(newestEpoch, behind >= before ? behind : newestEpoch)
    const isWrong = batch.leaderEpoch < before || batch.leaderEpoch > highest
    if (isWrong) batch.place(batch.baseOffset, before)
    before = batch.leaderEpoch
    return isWrong
  })
}

/** The batch at this position; undefined when it is incomplete or its checksum does not match. */
function wholeBatchAt(bytes: Buffer, position: number): BatchView | undefined {
  if (position + HEADER_BYTES > bytes.length || bytes[position + 16] !== MAGIC) return undefined
  const size = bytes.readInt32BE(position + 8) + LENGTH_OVERHEAD_BYTES
  if (size < HEADER_BYTES || position + size > bytes.length) return undefined
  const batch = new BatchView(bytes.subarray(position, position + size))
  return batch.lastOffsetDelta >= 0 && batch.hasGoodCrc ? batch : undefined
}

/** The batch at this position, if only fields outside the checksum are wrong. These fields are corrected in `bytes`. */
function mend(bytes: Buffer, position: number, expected: number): BatchView | undefined {
  if (position + HEADER_BYTES > bytes.length) return undefined
  const magic = bytes[position + 16]!
  const length = bytes.readInt32BE(position + 8)
  bytes[position + 16] = MAGIC
  for (const end of possibleEnds(bytes, position, position + length + LENGTH_OVERHEAD_BYTES)) {
    const batch = new BatchView(bytes.subarray(position, end))
    if (batch.lastOffsetDelta < 0 || !batch.hasGoodCrc) continue
    bytes.writeInt32BE(end - position - LENGTH_OVERHEAD_BYTES, position + 8)
    batch.place(expected, batch.leaderEpoch)
    return batch
  }
  bytes[position + 16] = magic
  return undefined
}

/** Possible ends of the batch: the end by its length, the starts of other batches, and the end of the file. */
function* possibleEnds(bytes: Buffer, position: number, claimed: number): Generator<number> {
  if (claimed >= position + HEADER_BYTES && claimed <= bytes.length) yield claimed
  let tried = 0
  for (let at = position + HEADER_BYTES; at + HEADER_BYTES <= bytes.length && tried < MOST_ENDS; at++) {
    if (at === claimed || !wholeBatchAt(bytes, at)) continue
    tried++
    yield at
  }
  if (claimed !== bytes.length) yield bytes.length
}

/**
 * The position of the first readable batch after a damaged batch. The length of the damaged batch says where the next
 * one should begin. If a readable batch is there, a batch found before it counts only if whole batches fill the bytes
 * between the two; otherwise it may lie inside a record.
 */
function resume(bytes: Buffer, position: number, expected: number): number | undefined {
  const isNext = (at: number) => {
    const batch = wholeBatchAt(bytes, at)
    return batch !== undefined && batch.baseOffset >= expected && batch.baseOffset - expected <= bytes.length
  }
  if (position + HEADER_BYTES > bytes.length) return undefined
  const claimed = position + bytes.readInt32BE(position + 8) + LENGTH_OVERHEAD_BYTES
  const hasClaim = claimed > position && isNext(claimed)
  for (let at = position; at + HEADER_BYTES <= (hasClaim ? claimed : bytes.length); at++) {
    if (bytes[at + 16] === MAGIC && isNext(at) && (!hasClaim || leadsTo(bytes, at, claimed))) return at
  }
  return hasClaim ? claimed : undefined
}

/**
 * True when whole batches with consecutive offsets fill the bytes between two positions. A batch inside a record fails
 * this check.
 */
function leadsTo(bytes: Buffer, from: number, to: number): boolean {
  let batch = wholeBatchAt(bytes, from)
  for (let at = from; batch !== undefined; ) {
    at += batch.bytes.length
    if (at > to) return false
    const next = wholeBatchAt(bytes, at)
    if (next?.baseOffset !== batch.lastOffset + 1) return false
    if (at === to) return true
    batch = next
  }
  return false
}

/** True for a partly written batch: the bytes end before the batch ends, or are all zero. */
function isTorn(bytes: Buffer, position: number): boolean {
  const left = bytes.subarray(position)
  if (left.length < HEADER_BYTES) return true
  return position + left.readInt32BE(8) + LENGTH_OVERHEAD_BYTES > bytes.length || left.every(byte => byte === 0)
}

/** The offset after a damaged last batch, according to its own fields. None of its offsets may be used again. */
function offsetBehind(bytes: Buffer, position: number, expected: number): number {
  const batch = new BatchView(bytes.subarray(position))
  const possible = bytes.length - position
  const counts = [batch.lastOffsetDelta + 1, batch.recordCount].filter(count => count > 0 && count <= possible)
  return expected + Math.max(1, ...counts)
}
