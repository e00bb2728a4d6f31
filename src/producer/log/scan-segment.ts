import { saltBehind } from './bytes.js'
import { type DecodedEntry, decodeEntry, ENTRY_HEADER_BYTES, ENTRY_MAGIC, MAX_DESTINATION_BYTES } from './entry.js'
import type { ReadableFile } from './files.js'
import { SEGMENT_HEADER_BYTES } from './segment-header.js'
import { SegmentIndex } from './segment-index.js'

/** What is found at a place of a segment. Offsets are bytes from the beginning of the file. */
type Found =
  | Extract<DecodedEntry, { type: 'entry' | 'damagedBody' }>
  /** Bytes that belong to no entry, up to the next good header. */
  | { readonly type: 'gap'; readonly sizeBytes: number }
  /** No entry follows; `tornBytes` are left behind the last good one. */
  | { readonly type: 'end'; readonly tornBytes: number }

const WINDOW_BYTES = 1024 * 1024
const LARGEST_HEADER_BYTES = ENTRY_HEADER_BYTES + MAX_DESTINATION_BYTES
const EMPTY = Buffer.alloc(0)

/** Reads one segment from some entry on, a window at a time. The windows are handed out with the entries that lie in them. */
export class SegmentCursor {
  /** Where {@link next} looks. */
  offset: number
  /** The valid length of the file; may grow while it is being written. */
  endBytes: number
  readonly #file: ReadableFile
  readonly #salt: number
  readonly #windowBytes: number
  #window: Buffer = EMPTY
  #windowAt = 0

  constructor(file: ReadableFile, salt: number, offset: number, endBytes: number, windowBytes = WINDOW_BYTES) {
    this.#file = file
    this.#salt = salt
    this.offset = offset
    this.endBytes = endBytes
    this.#windowBytes = windowBytes
  }

  /** Reads what is at {@link offset}, and moves the offset behind it. */
  next(): Found {
    if (this.offset >= this.endBytes) return { type: 'end', tornBytes: 0 }
    const found = this.#decode(this.offset)
    if (found.type === 'entry' || found.type === 'damagedBody') {
      this.offset += found.sizeBytes
      return found
    }
    if (found.type === 'incomplete') return this.#end()
    const next = this.#search(this.offset + 1)
    if (next === undefined) return this.#end()
    const sizeBytes = next - this.offset
    this.offset = next
    return { type: 'gap', sizeBytes }
  }

  #end(): Found {
    const tornBytes = this.endBytes - this.offset
    this.offset = this.endBytes
    return { type: 'end', tornBytes }
  }

  #decode(offset: number): DecodedEntry {
    this.#load(offset, LARGEST_HEADER_BYTES)
    const decoded = decodeEntry(this.#window, offset - this.#windowAt, this.#salt)
    if (decoded.type !== 'incomplete' || offset + decoded.sizeBytes > this.endBytes) return decoded
    this.#load(offset, decoded.sizeBytes)
    return decodeEntry(this.#window, offset - this.#windowAt, this.#salt)
  }

  /** Offset of the next valid header, from `offset` on. */
  #search(offset: number): number | undefined {
    for (let at = offset; at + ENTRY_HEADER_BYTES <= this.endBytes; ) {
      this.#load(at, ENTRY_HEADER_BYTES)
      // The file is shorter than it should be.
      if (this.#windowAt + this.#window.length < at + ENTRY_HEADER_BYTES) return undefined
      const found = this.#window.indexOf(ENTRY_MAGIC, at - this.#windowAt)
      if (found < 0) {
        // The magic may lie across the end of the window.
        at = this.#windowAt + this.#window.length - (ENTRY_MAGIC.length - 1)
        continue
      }
      at = this.#windowAt + found
      if (this.#decode(at).type !== 'damaged') return at
      at++
    }
    return undefined
  }

  /** Makes the window hold `length` bytes from `offset` on, or all there are. */
  #load(offset: number, length: number): void {
    const end = Math.min(offset + length, this.endBytes)
    if (offset >= this.#windowAt && end <= this.#windowAt + this.#window.length) return
    const wanted = Math.min(Math.max(end - offset, this.#windowBytes), this.endBytes - offset)
    this.#window = this.#file.read(offset, wanted)
    this.#windowAt = offset
  }
}

/** What reading a segment from its first entry to its last has found. */
export interface ScannedSegment {
  readonly index: SegmentIndex
  /** The offset behind the last valid entry. */
  readonly endBytes: number
  /** Sequences of entries lost to damage. */
  readonly damaged: readonly number[]
  /** Sequences of entries lost in a power cut: they are missing among the last entries, which may not have been synced. */
  readonly torn: readonly number[]
  /** Bytes behind the last good entry when no end mark or seal follows it: an append was interrupted. */
  readonly tornBytes: number
}

export interface ScanRange {
  readonly salt: number
  readonly firstSequence: number
  /** Where the valid part of the file ends. */
  readonly endBytes: number
}

/** Reads every entry of a segment that has no seal, or a damaged one. */
export function scanSegment(file: ReadableFile, { salt, firstSequence, endBytes }: ScanRange): ScannedSegment {
  const scan = new Scan(firstSequence)
  const cursor = new SegmentCursor(file, salt, SEGMENT_HEADER_BYTES, endBytes)
  for (;;) {
    const offset = cursor.offset
    const found = cursor.next()
    if (found.type === 'end') return scan.torn(endBytes)
    if (found.type === 'gap') continue
    const { sequence } = found
    if (sequence < scan.nextSequence) continue
    scan.loseUpTo(sequence)
    scan.durable(found.durableSequence)
    if (found.kind !== 'record') return scan.ended(offset)
    if (found.type === 'entry') scan.add(found.entry.destination, offset, cursor.offset)
    else scan.loseUpTo(sequence + 1)
  }
}

class Scan {
  readonly #firstSequence: number
  readonly #index = new SegmentIndex()
  readonly #lost: number[] = []
  /** The last good entry. */
  #endBytes = SEGMENT_HEADER_BYTES
  #endSequence: number
  #durableSequence = 0

  constructor(firstSequence: number) {
    this.#firstSequence = firstSequence
    this.#endSequence = firstSequence
  }

  get nextSequence(): number {
    return this.#firstSequence + this.#index.count
  }

  add(destination: string, offset: number, endBytes: number): void {
    this.#index.add(destination, offset)
    this.#endBytes = endBytes
    this.#endSequence = this.nextSequence
  }

  loseUpTo(sequence: number): void {
    for (; this.nextSequence < sequence; this.#index.addLost()) this.#lost.push(this.nextSequence)
  }

  /** Entries before `sequence` were durable, so missing ones are damaged. */
  durable(sequence: number): void {
    this.#durableSequence = Math.max(this.#durableSequence, sequence)
  }

  /** An end mark or a seal stands at `offset`. */
  ended(offset: number): ScannedSegment {
    return this.#result(offset, 0)
  }

  /** No end was found: bytes behind the last good entry were never acknowledged. */
  torn(fileBytes: number): ScannedSegment {
    this.#index.truncate(this.#endSequence - this.#firstSequence)
    return this.#result(this.#endBytes, fileBytes - this.#endBytes)
  }

  #result(endBytes: number, tornBytes: number): ScannedSegment {
    const lost = this.#lost.filter(sequence => sequence < this.nextSequence)
    return {
      index: this.#index,
      endBytes,
      damaged: lost.filter(sequence => sequence < this.#durableSequence),
      torn: lost.filter(sequence => sequence >= this.#durableSequence),
      tornBytes
    }
  }
}

const SALT_WINDOW_BYTES = 8 * 1024 * 1024

/** The first entry of a file whose header is damaged: one that fits to some salt. `undefined`: it has none. */
export function firstEntryOf(
  file: ReadableFile,
  sizeBytes: number
): { readonly salt: number; readonly sequence: number } | undefined {
  for (let from = 0; from < sizeBytes; from += SALT_WINDOW_BYTES) {
    const bytes = file.read(from, Math.min(SALT_WINDOW_BYTES, sizeBytes - from))
    for (let at = bytes.indexOf(ENTRY_MAGIC); at >= 0; at = bytes.indexOf(ENTRY_MAGIC, at + 1)) {
      if (at + ENTRY_HEADER_BYTES > bytes.length) break
      const headerEnd = at + ENTRY_HEADER_BYTES + bytes.readUInt16BE(at + 10)
      const salt = saltBehind(bytes.readUInt32BE(at + 4), bytes.subarray(at + 8, headerEnd))
      const found = decodeEntry(bytes, at, salt)
      if (found.type === 'entry') return { salt, sequence: found.sequence }
    }
  }
  return undefined
}
