const LINE_FEED = 0x0a

/** Passes bytes on in whole lines, so that lines of several processes do not mix on one stream. */
export class WholeLines {
  readonly #write: (lines: Buffer) => void
  #rest: Buffer[] = []

  constructor(write: (lines: Buffer) => void) {
    this.#write = write
  }

  add(chunk: Buffer): void {
    const end = chunk.lastIndexOf(LINE_FEED) + 1
    if (end > 0) {
      this.#write(Buffer.concat([...this.#rest, chunk.subarray(0, end)]))
      this.#rest = []
    }
    if (end < chunk.length) this.#rest.push(chunk.subarray(end))
  }

  /** What a process said last may have no end. */
  end(): void {
    if (this.#rest.length > 0) this.#write(Buffer.concat([...this.#rest, Buffer.from('\n')]))
    this.#rest = []
  }
}
