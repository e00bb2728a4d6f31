import { type DecodedEntry, decodeEntry, ENTRY_HEADER_BYTES, ENTRY_MAGIC, MAX_DESTINATION_BYTES } from './entry.js'
import type { LogFile } from './files.js'

/** What stands at a place of a segment. Offsets are bytes from the beginning of the file. */
export type Found =
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
  readonly #file: LogFile
  readonly #salt: number
  readonly #windowBytes: number
  #window: Buffer = EMPTY
  #windowAt = 0

  constructor(file: LogFile, salt: number, offset: number, endBytes: number, windowBytes = WINDOW_BYTES) {
    this.#file = file
    this.#salt = salt
    this.offset = offset
    this.endBytes = endBytes
    this.#windowBytes = windowBytes
  }

  /** What stands at {@link offset}, which moves behind it. */
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

  /** Offset of the next header that fits, from `offset` on. */
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
