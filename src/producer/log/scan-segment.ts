import { saltBehind } from './bytes.js'
import { type DecodedEntry, decodeEntry, ENTRY_HEADER_BYTES, ENTRY_MAGIC, MAX_DESTINATION_BYTES } from './entry.js'
import type { ReadableFile } from './files.js'
import { SEGMENT_HEADER_BYTES } from './segment-header.js'
import { SegmentIndex } from './segment-index.js'

/** An entry whose header is intact, and its place: bytes from the beginning of the file. */
type FoundEntry = Extract<DecodedEntry, { type: 'entry' | 'damagedBody' }> & { readonly offset: number }

const WINDOW_BYTES = 1024 * 1024
const LARGEST_HEADER_BYTES = ENTRY_HEADER_BYTES + MAX_DESTINATION_BYTES

/**
 * Reads the entries of a segment; bytes that belong to none are passed over. The file is read a window at a time, and windows
 * are handed out with the entries that lie in them.
 *
 * @param endBytes the valid length of the file
 */
export function* entriesIn(
  file: ReadableFile,
  salt: number,
  endBytes: number,
  windowBytes = WINDOW_BYTES
): Generator<FoundEntry> {
  const window = new Window(file, salt, endBytes, windowBytes)
  for (let offset: number | undefined = SEGMENT_HEADER_BYTES; offset !== undefined && offset < endBytes; ) {
    const found = window.decode(offset)
    if (found.type === 'incomplete') return
    if (found.type === 'damaged') offset = window.nextHeader(offset + 1)
    else {
      yield { ...found, offset }
      offset += found.sizeBytes
    }
  }
}

/** The part of a file that is in memory. */
class Window {
  readonly #file: ReadableFile
  readonly #salt: number
  readonly #endBytes: number
  readonly #windowBytes: number
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(file: ReadableFile, salt: number, endBytes: number, windowBytes: number) {
    this.#file = file
    this.#salt = salt
    this.#endBytes = endBytes
    this.#windowBytes = windowBytes
  }

  decode(offset: number): DecodedEntry {
    this.#load(offset, LARGEST_HEADER_BYTES)
    const decoded = decodeEntry(this.#bytes, offset - this.#at, this.#salt)
    if (decoded.type !== 'incomplete' || offset + decoded.sizeBytes > this.#endBytes) return decoded
    this.#load(offset, decoded.sizeBytes)
    return decodeEntry(this.#bytes, offset - this.#at, this.#salt)
  }

  /** Offset of the next valid header, from `offset` on. */
  nextHeader(offset: number): number | undefined {
    for (let at = offset; at + ENTRY_HEADER_BYTES <= this.#endBytes; ) {
      this.#load(at, ENTRY_HEADER_BYTES)
      // The file is shorter than it should be.
      if (this.#at + this.#bytes.length < at + ENTRY_HEADER_BYTES) return undefined
      const found = this.#bytes.indexOf(ENTRY_MAGIC, at - this.#at)
      if (found < 0) {
        // The magic may lie across the end of the window.
        at = this.#at + this.#bytes.length - (ENTRY_MAGIC.length - 1)
        continue
      }
      at = this.#at + found
      if (this.decode(at).type !== 'damaged') return at
      at++
    }
    return undefined
  }

  /** Makes the window hold `length` bytes from `offset` on, or all there are. */
  #load(offset: number, length: number): void {
    const end = Math.min(offset + length, this.#endBytes)
    if (offset >= this.#at && end <= this.#at + this.#bytes.length) return
    const wanted = Math.min(Math.max(end - offset, this.#windowBytes), this.#endBytes - offset)
    this.#bytes = this.#file.read(offset, wanted)
    this.#at = offset
  }
}

/** Result of reading a segment from its first entry to its last. */
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
  for (const found of entriesIn(file, salt, endBytes)) {
    const { sequence, offset } = found
    if (sequence < scan.nextSequence) continue
    scan.loseUpTo(sequence)
    scan.durable(found.durableSequence)
    if (found.kind !== 'record') return scan.ended(offset)
    if (found.type === 'entry') scan.add(found.entry.destination, offset, offset + found.sizeBytes)
    else scan.loseUpTo(sequence + 1)
  }
  return scan.torn(endBytes)
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

/**
 * The first entry of a file whose header is damaged: the one that fits to some salt. If the file was another segment before,
 * entries of that segment may stand before and behind it; they have lower sequences. `undefined`: there is none.
 */
export function firstEntryOf(
  file: ReadableFile,
  sizeBytes: number,
  windowBytes = SALT_WINDOW_BYTES
): SaltedSequence | undefined {
  let first: SaltedSequence | undefined
  let last = -1
  for (const one of entriesOfAnySalt(file, sizeBytes, windowBytes)) {
    if (one.sequence <= last) continue
    last = one.sequence
    if (one.salt !== first?.salt) first = one
  }
  return first
}

interface SaltedSequence {
  readonly salt: number
  readonly sequence: number
}

/** Entries with any salt, by position. Bytes inside a whole entry are not taken for another entry. */
function* entriesOfAnySalt(file: ReadableFile, sizeBytes: number, windowBytes: number): Generator<SaltedSequence> {
  let next = 0
  for (let from = 0; from + ENTRY_HEADER_BYTES <= sizeBytes; from = next) {
    const bytes = file.read(from, Math.min(windowBytes, sizeBytes - from))
    // The magic may lie across the end of the window.
    next = from + bytes.length - (ENTRY_MAGIC.length - 1)
    const isLast = next + ENTRY_HEADER_BYTES > sizeBytes
    for (let at = bytes.indexOf(ENTRY_MAGIC); at >= 0 && at + ENTRY_HEADER_BYTES <= bytes.length; ) {
      const headerEnd = at + ENTRY_HEADER_BYTES + bytes.readUInt16BE(at + 10)
      const salt = saltBehind(bytes.readUInt32BE(at + 4), bytes.subarray(at + 8, headerEnd))
      const found = decodeEntry(bytes, at, salt)
      if (found.type === 'entry') yield { salt, sequence: found.sequence }
      const endBytes = found.type === 'incomplete' ? at + found.sizeBytes : at + LARGEST_HEADER_BYTES
      // The next window begins with the bytes behind this entry, unless they are more than half of it.
      if (!isLast && found.type !== 'entry' && endBytes > bytes.length && at > windowBytes / 2) {
        next = from + at
        break
      }
      at = bytes.indexOf(ENTRY_MAGIC, at + (found.type === 'entry' ? found.sizeBytes : 1))
    }
  }
}
