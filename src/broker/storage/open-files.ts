/** Something that can be closed and opens itself again when it is used. */
export interface Reopenable {
  close(): void
}

/** The segment files that are open: a bounded number, of which the least recently used is closed for another. */
export class OpenFiles {
  readonly #limit: number
  /** Least recently used first. */
  readonly #open = new Set<Reopenable>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get count(): number {
    return this.#open.size
  }

  /** Opens one more; when the process has no descriptors left, others are closed until it works. */
  open(file: Reopenable, open: () => number): number {
    while (this.#open.size >= this.#limit) this.#closeOldest()
    for (;;) {
      try {
        const descriptor = open()
        this.#open.add(file)
        return descriptor
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        if ((code !== 'EMFILE' && code !== 'ENFILE') || this.#open.size === 0) throw error
        this.#closeOldest()
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

  #closeOldest(): void {
    const [oldest] = this.#open
    oldest?.close()
    if (oldest) this.#open.delete(oldest)
  }
}
