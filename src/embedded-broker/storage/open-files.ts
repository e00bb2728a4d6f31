/** Something that can be closed and opens itself again when it is used. */
export interface Reopenable {
  close(): void
}

/** The segment files that are open: a bounded number, of which the least recently used is closed for another. */
export class OpenFiles {
  #limit: number
  /** Least recently used first. */
  readonly #open = new Set<Reopenable>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get count(): number {
    return this.#open.size
  }

  /**
   * Opens one more. When the process has no descriptors left, half of the others are closed, and no more than those that
   * stay will be open from then on: new connections need descriptors, too, and cannot close files to get one.
   */
  open(file: Reopenable, open: () => number): number {
    this.#closeDownTo(this.#limit - 1)
    for (;;) {
      try {
        const descriptor = open()
        this.#open.add(file)
        return descriptor
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if ((code !== 'EMFILE' && code !== 'ENFILE') || this.#open.size === 0) throw error
        this.#limit = Math.max(1, Math.ceil(this.#open.size / 2))
        this.#closeDownTo(this.#limit - 1)
      }
    }
  }

  used(file: Reopenable): void {
    this.#open.delete(file)
    this.#open.add(file)
  }

  closed(file: Reopenable): void {
    this.#open.delete(file)
  }

  #closeDownTo(count: number): void {
    for (const oldest of this.#open) {
      if (this.#open.size <= count) return
      oldest.close()
      this.#open.delete(oldest)
    }
  }
}
