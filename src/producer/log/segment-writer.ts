import { destinationAt, encodeEndMark, stampEntry, unverifiedSizeBytes } from './entry.js'
import type { LogFile } from './files.js'
import { encodeSeal } from './seal.js'
import { LogSegment } from './segment.js'
import { SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-header.js'
import { SegmentIndex } from './segment-index.js'
import { tryTo } from './try-to.js'

/**
 * The segment that entries are appended to. Entries are written first, any number of times, and belong to the segment once
 * they are settled:
 *
 *   settled            written        file
 *   |---------------------|--------------|- - - - - an earlier life of the file - - - - -|
 *   segment.endBytes -----^              ^-- end mark, when everything is settled
 */
export class SegmentWriter {
  readonly segment: LogSegment
  readonly index = new SegmentIndex()
  readonly #file: LogFile
  #writtenBytes = SEGMENT_HEADER_BYTES
  /** Entries that survive a power cut. */
  #syncedCount = 0
  /** Still true after a sync that failed. */
  #isSyncing = false
  #syncs = 0

  /** @param file its header is written and durable, and so is its name */
  constructor(header: SegmentHeader, file: LogFile) {
    this.segment = new LogSegment(header)
    this.#file = file
  }

  get syncs(): number {
    return this.#syncs
  }
  get #unsyncedCount(): number {
    return this.index.count - this.#syncedCount
  }

  /** Where the entries from `start` on stop to fit; an empty segment takes one of any size. */
  fitting(bytes: Buffer, start: number, segmentBytes: number): number {
    let end = start
    while (end < bytes.length) {
      const next = end + unverifiedSizeBytes(bytes, end)
      const isEmpty = this.index.count === 0 && end === start
      if (!isEmpty && this.#writtenBytes + next - start > segmentBytes) break
      end = next
    }
    return end
  }

  /** Stamps and writes the entries between `start` and `end`. @throws when the disk does */
  write(bytes: Buffer, start: number, end: number): void {
    const { salt, firstSequence } = this.segment
    for (let offset = start; offset < end; ) {
      const sizeBytes = unverifiedSizeBytes(bytes, offset)
      const sequence = firstSequence + this.index.count
      stampEntry(bytes, offset, { sequence, salt, unsyncedCount: this.#unsyncedCount })
      this.index.add(destinationAt(bytes, offset), this.#writtenBytes + offset - start)
      offset += sizeBytes
    }
    this.#file.write(bytes.subarray(start, end), this.#writtenBytes)
    this.#writtenBytes += end - start
  }

  /** What is written belongs to the segment now; durably, when `isSynced`. @throws when the disk does */
  settle(isSynced: boolean): void {
    const { segment, index } = this
    if (index.count > segment.entryCount) {
      const mark = encodeEndMark(segment.firstSequence + index.count, segment.salt, this.#unsyncedCount)
      this.#file.write(mark, this.#writtenBytes)
    }
    if (isSynced) this.sync()
    segment.reach(this.#writtenBytes, index.count)
  }

  /** @throws when the disk does; the file must not be synced again then */
  sync(): void {
    if (this.#unsyncedCount === 0) return
    this.#isSyncing = true
    this.#file.sync()
    this.#isSyncing = false
    this.#syncedCount = this.index.count
    this.#syncs++
  }

  /** Closes the file; everything must be settled. Returns false when it has no seal now, and is scanned at a start. */
  seal(): boolean {
    const { segment } = this
    segment.isClosed = true
    const isSealed = tryTo(() => {
      const seal = encodeSeal(segment, this.index)
      this.#file.write(seal, segment.endBytes)
      this.#file.truncate(segment.endBytes + seal.length)
      this.#file.sync()
      this.#syncs++
    })
    tryTo(() => this.#file.close())
    return isSealed
  }

  /**
   * Takes back what is not settled, and closes the file. A file whose sync failed is not synced again: the next sync may
   * say that all is well. After a failed write the sync also saves what was settled without one.
   *
   * @returns whether what is taken back is gone for certain
   */
  cut(): boolean {
    const { segment } = this
    segment.isClosed = true
    this.index.truncate(segment.entryCount)
    const isCut = tryTo(() => this.#file.truncate(segment.endBytes))
    const isSynced = !this.#isSyncing && tryTo(() => this.#file.sync())
    tryTo(() => this.#file.close())
    return isCut && isSynced
  }
}
