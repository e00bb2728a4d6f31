const LINE_FEED = 0x0a
const END = Buffer.from('\n')

/** Most that is held of a line without an end: longer lines are passed on in pieces. */
const MAX_HELD_BYTES = 1_048_576
/** What a buffer takes beside its bytes. */
const BUFFER_BYTES = 128

/** Passes bytes on in whole lines, so that lines of several processes do not mix on one stream. */
export class WholeLines {
  readonly #write: (lines: Buffer) => void
  #rest: Buffer[] = []
  #heldBytes = 0

  constructor(write: (lines: Buffer) => void) {
    this.#write = write
  }

  add(chunk: Buffer): void {
    const end = chunk.lastIndexOf(LINE_FEED) + 1
    if (end > 0) {
      this.#write(Buffer.concat([...this.#rest, chunk.subarray(0, end)]))
      this.#forget()
    }
    if (end < chunk.length) this.#hold(chunk.subarray(end))
  }

  /** What a process said last may have no end. */
  end(): void {
    if (this.#rest.length > 0) this.#write(Buffer.concat([...this.#rest, END]))
    this.#forget()
  }

  #hold(chunk: Buffer): void {
    const bytes = chunk.length + BUFFER_BYTES
    if (this.#heldBytes + bytes > MAX_HELD_BYTES) this.end()
    this.#rest.push(chunk)
    this.#heldBytes += bytes
  }

  #forget(): void {
    this.#rest = []
    this.#heldBytes = 0
  }
}
