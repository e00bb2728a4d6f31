import { tryTo } from '../../core/node-errors.js'
import { readUInt64, saltedCrc, writeUInt64 } from './bytes.js'
import {
  decodeEntry,
  destinationAt,
  encodeEndMark,
  entrySizeBytes,
  SEAL_TYPE,
  stampEntry,
  unverifiedSizeBytes,
  writeUnstamped
} from './entry.js'
import type { LogFile } from './files.js'
import { LogSegment, type SegmentExtent } from './segment.js'
import { SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-header.js'
import { SegmentIndex } from './segment-index.js'

const MAGIC = Buffer.from('CASTSEAL')
const TRAILER_BYTES = 24
const SEQUENCE_BYTES = 8
const CRC_AT = 20
const NO_DESTINATION = new Uint8Array(0)

/** The bytes that close a segment: an entry with its index, and a trailer that finds it. */
export function encodeSeal(segment: LogSegment, index: SegmentIndex): Buffer {
  const body = Buffer.concat([index.encode(), encodeSequences(segment.sequences)])
  const sizeBytes = entrySizeBytes(0, body.length)
  const bytes = Buffer.alloc(sizeBytes + TRAILER_BYTES)
  writeUnstamped(bytes, 0, NO_DESTINATION, body.length, 0, SEAL_TYPE)
  body.copy(bytes, sizeBytes - body.length)
  const unsyncedCount = segment.sequences?.length ?? 0
  stampEntry(bytes, 0, { sequence: segment.endSequence, salt: segment.salt, unsyncedCount })
  MAGIC.copy(bytes, sizeBytes)
  writeUInt64(bytes, segment.endBytes, sizeBytes + 8)
  bytes.writeUInt32BE(segment.entryCount, sizeBytes + 16)
  const trailer = bytes.subarray(sizeBytes, sizeBytes + CRC_AT)
  bytes.writeUInt32BE(saltedCrc(trailer, segment.salt), sizeBytes + CRC_AT)
  return bytes
}

/** Extent of the entries, from the trailer; `undefined` when the file has no valid trailer. */
export function readTrailer(file: LogFile, salt: number): SegmentExtent | undefined {
  const { sizeBytes } = file
  const trailer = file.read(Math.max(0, sizeBytes - TRAILER_BYTES), TRAILER_BYTES)
  if (trailer.length < TRAILER_BYTES || !trailer.subarray(0, 8).equals(MAGIC)) return undefined
  if (saltedCrc(trailer.subarray(0, CRC_AT), salt) !== trailer.readUInt32BE(CRC_AT)) return undefined
  const endBytes = readUInt64(trailer, 8)
  return endBytes + TRAILER_BYTES < sizeBytes ? { endBytes, entryCount: trailer.readUInt32BE(16) } : undefined
}

/** The index in the seal; `undefined` when the segment has none, or the seal is damaged. */
export function readSealedIndex(file: LogFile, { salt, endBytes, entryCount }: LogSegment): SegmentIndex | undefined {
  const trailer = readTrailer(file, salt)
  if (trailer?.endBytes !== endBytes) return undefined
  const body = readBody(file, salt, endBytes)
  const index = body && SegmentIndex.decode(body)
  return index?.count === entryCount ? index : undefined
}

/** How far a merged segment reaches, and the sequences of its entries; `undefined` when its seal is missing or damaged. */
export function readSealedSequences(
  file: LogFile,
  salt: number
): (SegmentExtent & { readonly sequences: Float64Array }) | undefined {
  const trailer = readTrailer(file, salt)
  const body = trailer && readBody(file, salt, trailer.endBytes)
  if (!body) return undefined
  const sequences = new Float64Array(trailer.entryCount)
  const first = body.length - sequences.length * SEQUENCE_BYTES
  for (let at = 0; at < sequences.length; at++) sequences[at] = readUInt64(body, first + at * SEQUENCE_BYTES)
  return { ...trailer, sequences }
}

function readBody(file: LogFile, salt: number, offset: number): Buffer | undefined {
  const seal = decodeEntry(file.read(offset, file.sizeBytes - TRAILER_BYTES - offset), 0, salt)
  return seal.type === 'entry' && seal.kind === 'seal' ? seal.entry.body : undefined
}

function encodeSequences(sequences: Float64Array = new Float64Array(0)): Buffer {
  const bytes = Buffer.alloc(sequences.length * SEQUENCE_BYTES)
  for (let at = 0; at < sequences.length; at++) writeUInt64(bytes, sequences[at]!, at * SEQUENCE_BYTES)
  return bytes
}

/**
 * The segment that entries are appended to. Entries are written first, any number of times, and belong to the segment once
 * they are settled:
 *
 *   settled            written        file
 *   |---------------------|--------------|- - - - - an earlier use of the file  - - - - -|
 *   segment.endBytes -----^              ^-- end mark, when everything is settled
 */
export class SegmentWriter {
  readonly segment: LogSegment
  readonly index = new SegmentIndex()
  readonly #file: LogFile
  #writtenBytes = SEGMENT_HEADER_BYTES
  /** Entries that survive a power cut. */
  #syncedCount = 0
  /** A sync is running, or has failed. */
  #isSyncing = false
  syncs = 0

  /** @param file its header and its name are durable */
  constructor(header: SegmentHeader, file: LogFile) {
    this.segment = new LogSegment(header)
    this.#file = file
  }

  get #unsyncedCount(): number {
    return this.index.count - this.#syncedCount
  }

  /** End of the entries from `start` on that fit; an empty segment takes one entry of any size. */
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

  /** Makes the written entries part of the segment; with `isSynced`, syncs them. @throws when the disk fails */
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
    this.syncs++
  }

  /**
   * Closes the file; everything must be settled. Returns false when the seal was not written: the segment is then
   * scanned at the next start.
   */
  seal(): boolean {
    const { segment } = this
    segment.isClosed = true
    const isSealed = tryTo(() => {
      const seal = encodeSeal(segment, this.index)
      this.#file.write(seal, segment.endBytes)
      this.#file.truncate(segment.endBytes + seal.length)
      this.#file.sync()
      this.syncs++
    })
    tryTo(() => this.#file.close())
    return isSealed
  }

  /**
   * Takes back what is not settled, and closes the file. A file whose sync failed is not synced again: the next sync
   * may succeed although data is lost. After a failed write, the file is synced, which also saves settled entries.
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
