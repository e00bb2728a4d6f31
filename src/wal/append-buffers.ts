/** A group of entries under way to the disk: their bytes, and who waits for them. */
export interface AppendGroup<Waiter> {
  readonly bytes: Buffer
  usedBytes: number
  entryCount: number
  readonly waiters: Waiter[]
}

/** Groups are of this size; a larger entry gets one of its own. */
const GROUP_BYTES = 4 * 1024 * 1024
/** One group fills while another is written. */
const KEPT_GROUPS = 2

/**
 * Memory in which entries wait for the disk, shared with the thread that writes them. A group is filled until it is
 * taken; whoever took it gives it back.
 */
export class AppendBuffers<Waiter> {
  readonly #waiting: AppendGroup<Waiter>[] = []
  readonly #spare: Buffer[] = []
  #waitingBytes = 0

  /** Bytes of entries that were not taken yet. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }
  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** Room for `sizeBytes` in one piece, behind everything that waits. */
  reserve(sizeBytes: number): AppendGroup<Waiter> {
    const last = this.#waiting.at(-1)
    if (last && last.usedBytes + sizeBytes <= last.bytes.length) return last
    const group = { bytes: this.#memory(sizeBytes), usedBytes: 0, entryCount: 0, waiters: [] }
    this.#waiting.push(group)
    return group
  }

  /** `sizeBytes` of a reserved group are filled now. */
  filled(group: AppendGroup<Waiter>, sizeBytes: number): void {
    group.usedBytes += sizeBytes
    this.#waitingBytes += sizeBytes
  }

  /** The oldest group; what comes next goes into another one. */
  take(): AppendGroup<Waiter> | undefined {
    const group = this.#waiting.shift()
    if (group) this.#waitingBytes -= group.usedBytes
    return group
  }

  give(group: AppendGroup<Waiter>): void {
    if (group.bytes.length === GROUP_BYTES && this.#spare.length < KEPT_GROUPS) this.#spare.push(group.bytes)
  }

  #memory(sizeBytes: number): Buffer {
    if (sizeBytes > GROUP_BYTES) return Buffer.from(new SharedArrayBuffer(sizeBytes))
    return this.#spare.pop() ?? Buffer.from(new SharedArrayBuffer(GROUP_BYTES))
  }
}
