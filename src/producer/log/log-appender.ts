import { tryTo } from '../../core/node-errors.js'
import { type Availability, isFullDisk, type LogRefusal } from './availability.js'
import { type LogDirectory, type LogFile, segmentName } from './files.js'
import { writeFormat } from './format-file.js'
import type { LogProgress, ProgressJournal } from './progress-journal.js'
import type { Recovered } from './recovery.js'
import type { LogSegment } from './segment.js'
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-header.js'
import type { SegmentIndexes } from './segment-indexes.js'
import type { SegmentList, SpareSegments } from './segment-list.js'
import { SegmentWriter } from './segment-writer.js'

export interface LogAppenderOptions {
  readonly directory: LogDirectory
  /** A segment of this size is closed and the next one begun. */
  readonly segmentBytes: number
  /** Sync every group of appends before it is acknowledged. */
  readonly syncPuts: boolean
  /** Epoch milliseconds. */
  readonly now: () => number
  /** A 32-bit number that no other segment of this process has, random at start. */
  readonly newSalt: () => number
  /** Logs a message for the operator. */
  readonly report: (fields: object, message: string) => void
}

/** The parts of the log that are needed to append. */
export interface LogAppenderParts {
  readonly options: LogAppenderOptions
  readonly found: Recovered
  readonly segments: SegmentList
  readonly spares: SpareSegments
  readonly indexes: SegmentIndexes
  readonly progress: ProgressJournal
  readonly availability: Availability
}

/**
 * Appends to the log: writes entries into the open segment, closes full segments, and opens another segment after a
 * failure.
 */
export class LogAppender {
  /** Id of a segment => one past its last synced entry. */
  readonly synced: Map<number, number>
  readonly #parts: LogAppenderParts
  #writer: SegmentWriter | undefined
  /** Sequence of the next entry when no segment is open. */
  #nextSequence: number
  #nextSegmentId: number
  /** Id and valid length of the segment that precedes the next one. */
  #previous: { readonly id: number; readonly endBytes: number }
  #syncs = 0

  constructor(parts: LogAppenderParts) {
    const { synced, nextSequence, nextSegmentId, segments } = parts.found
    this.#parts = parts
    this.synced = new Map(synced)
    this.#nextSequence = nextSequence
    this.#nextSegmentId = nextSegmentId
    const last = segments.at(-1)
    this.#previous = { id: last?.id ?? 0, endBytes: last?.endBytes ?? 0 }
  }

  /** One past the last entry that is in the log. */
  get endSequence(): number {
    return this.#writer?.segment.endSequence ?? this.#nextSequence
  }

  get syncs(): number {
    return this.#syncs + (this.#writer?.syncs ?? 0)
  }

  /** The next sequence and the next segment id. */
  get next(): LogProgress {
    return { type: 'next', sequence: this.endSequence, segmentId: this.#nextSegmentId }
  }

  /** Writes entries that belong to the log once they are settled. @returns why they cannot be written */
  write(bytes: Buffer): LogRefusal | undefined {
    return this.#orFail(() => {
      for (let start = 0; start < bytes.length; ) {
        this.#writer ??= this.#openSegment()
        const end = this.#writer.fitting(bytes, start, this.#parts.options.segmentBytes)
        if (end > start) this.#writer.write(bytes, start, end)
        else this.#roll()
        start = end
      }
    })
  }

  /** The written entries now belong to the log. @returns why they do not */
  settle(): LogRefusal | undefined {
    const { syncPuts } = this.#parts.options
    return this.#orFail(() => {
      this.#writer?.settle(syncPuts)
      if (syncPuts) this.#noteSynced(this.#writer?.segment)
    })
  }

  /** Makes settled entries survive a power cut. Returns false when that failed. */
  sync(): boolean {
    const failure = this.#orFail(() => {
      try {
        this.#writer?.sync()
      } catch (error) {
        this.#parts.options.report({ err: error }, 'entries acknowledged without a sync may be lost at a power cut')
        throw error
      }
      this.#noteSynced(this.#writer?.segment)
    })
    return failure === undefined
  }

  /** Appends nothing more to a segment, if it is the open one. */
  leave(segment: LogSegment): void {
    if (this.#writer?.segment === segment) this.#orFail(() => this.#closeWriter())
  }

  /** Closes the open segment with a seal. */
  close(): void {
    if (this.settle() === undefined) tryTo(() => this.#closeWriter())
  }

  #orFail(work: () => void): LogRefusal | undefined {
    try {
      work()
      return undefined
    } catch (error) {
      return this.#fail(error)
    }
  }

  /** Closes the segment that is full; the next write opens another one. @throws when the disk does */
  #roll(): void {
    this.#closeWriter()
    this.#parts.segments.removeFinished()
  }

  /** @throws when the entries in the segment could not be made durable */
  #closeWriter(): void {
    const writer = this.#writer
    if (!writer) return
    writer.settle(true)
    this.#noteSynced(writer.segment)
    this.#left(writer)
    if (!writer.seal()) {
      this.#parts.options.report({ segment: writer.segment.name }, 'a segment of the durable log could not be sealed')
    }
    this.#parts.indexes.closed(writer.segment)
  }

  /** The journal records what is synced, because a file that is truncated later does not show what it held. */
  #noteSynced(segment: LogSegment | undefined): void {
    if (segment === undefined || this.synced.get(segment.id) === segment.endSequence || segment.entryCount === 0) return
    this.synced.set(segment.id, segment.endSequence)
    this.#parts.progress.mark({ type: 'synced', sequence: segment.endSequence, segmentId: segment.id })
  }

  /** Stops writing to this segment for good. */
  #left(writer: SegmentWriter): void {
    this.#writer = undefined
    this.#syncs += writer.syncs
    this.#nextSequence = writer.segment.endSequence
    this.#previous = { id: writer.segment.id, endBytes: writer.segment.endBytes }
  }

  /** @throws when the disk does */
  #openSegment(): SegmentWriter {
    const { options, segments, indexes, progress, availability } = this.#parts
    if (this.#nextSegmentId === 1) writeFormat(options.directory)
    progress.ensure()
    const header = {
      salt: options.newSalt(),
      id: this.#nextSegmentId++,
      firstSequence: this.#nextSequence,
      previousId: this.#previous.id,
      previousEndBytes: this.#previous.endBytes,
      createdAtMs: options.now()
    }
    const writer = new SegmentWriter(header, this.#fileFor(header))
    segments.add(writer.segment)
    indexes.grow(writer.segment, writer.index)
    this.#previous = { id: header.id, endBytes: SEGMENT_HEADER_BYTES }
    availability.resume()
    return writer
  }

  /** A file with this header, durable under its name. @throws when the disk does */
  #fileFor(header: SegmentHeader): LogFile {
    const { directory } = this.#parts.options
    const name = segmentName(header.id)
    const bytes = encodeSegmentHeader(header)
    const spare = this.#parts.spares.reuse(name, bytes)
    const file = spare ?? directory.open(name, 'create')
    try {
      if (!spare) {
        file.write(bytes, 0)
        file.sync()
      }
      directory.sync()
      return file
    } catch (error) {
      file.close()
      tryTo(() => directory.remove(name))
      throw error
    }
  }

  /**
   * After a failed write or sync, entries that were not synced before are no longer trusted, and the file is not used
   * again. The header of the next segment states where this one ends, so that refused entries can never reappear.
   */
  #fail(error: unknown): LogRefusal {
    const { options, segments, availability } = this.#parts
    const kind = isFullDisk(error) ? 'full' : 'failed'
    const message = availability.failed(error)
    options.report({ err: error }, 'the durable log could not be written')
    const isCertain = this.#takeBack(error)
    segments.removeFinished()
    return { kind, message, isCertain }
  }

  #takeBack(error: unknown): boolean {
    const failed = this.#writer
    const isCut = failed === undefined || failed.cut()
    if (failed) {
      this.#left(failed)
      this.#parts.indexes.closed(failed.segment)
    }
    try {
      if (isFullDisk(error) && isCut) throw error
      this.#writer = this.#openSegment()
      return true
    } catch (failure) {
      this.#parts.availability.pause(failure)
      return isCut
    }
  }
}
