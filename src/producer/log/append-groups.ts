/** A piece of memory that entries are written into. */
export interface Chunk {
  readonly bytes: Buffer
  usedBytes: number
}

/** Entries that are committed together, and who waits for them. */
export interface AppendGroup<Waiter> {
  /** Those that were not handed to the log yet; the last one never is before the group is committed. */
  readonly chunks: Chunk[]
  /** Of all chunks, handed over or not. */
  chunkCount: number
  readonly waiters: Waiter[]
  sizeBytes: number
}

/** Chunks are of this size; a larger entry gets one of its own. */
export const CHUNK_BYTES = 256 * 1024
/** A group that has grown beyond this takes no more entries. */
export const GROUP_BYTES = 8 * 1024 * 1024

/** Entries that wait for the disk, in groups, oldest first. */
export class AppendGroups<Waiter> {
  readonly #waiting: AppendGroup<Waiter>[] = []
  readonly #memory: (sizeBytes: number) => Buffer
  #waitingBytes = 0

  /** @param memory gives a Buffer of exactly that size, which belongs to the caller that takes the group */
  constructor(memory: (sizeBytes: number) => Buffer) {
    this.#memory = memory
  }

  /** Bytes of entries in groups that were not taken yet. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }
  /** The group that is taken next. */
  get oldest(): AppendGroup<Waiter> | undefined {
    return this.#waiting[0]
  }

  /**
   * Adds `sizeBytes` in one piece behind everything that waits, to be filled now: the last bytes of the result.
   *
   * @param waiterAt makes the waiter of a piece that begins at `offset` of the group's chunk `number`, counted from 0
   */
  add(sizeBytes: number, waiterAt: (number: number, offset: number) => Waiter): Chunk {
    const group = this.#groupFor()
    let chunk = group.chunks.at(-1)
    if (!chunk || chunk.usedBytes + sizeBytes > chunk.bytes.length) {
      chunk = { bytes: this.#memory(Math.max(sizeBytes, CHUNK_BYTES)), usedBytes: 0 }
      group.chunks.push(chunk)
      group.chunkCount++
    }
    group.waiters.push(waiterAt(group.chunkCount - 1, chunk.usedBytes))
    chunk.usedBytes += sizeBytes
    group.sizeBytes += sizeBytes
    this.#waitingBytes += sizeBytes
    return chunk
  }

  take(): AppendGroup<Waiter> | undefined {
    const group = this.#waiting.shift()
    if (group) this.#waitingBytes -= group.sizeBytes
    return group
  }

  #groupFor(): AppendGroup<Waiter> {
    const last = this.#waiting.at(-1)
    if (last && last.sizeBytes < GROUP_BYTES) return last
    const group = { chunks: [], chunkCount: 0, waiters: [], sizeBytes: 0 }
    this.#waiting.push(group)
    return group
  }
}
