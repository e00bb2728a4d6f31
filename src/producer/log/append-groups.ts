import { HeldAmount } from '../../core/held-amount.js'
import { deleteFrom, getOrAdd } from '../../core/maps.js'
import type { SequenceRange } from './segment.js'

/** Memory that entries are written into. */
export interface Chunk {
  readonly bytes: Buffer
  usedBytes: number
}

/** Entries that are committed together, and the callers that wait for them. */
interface AppendGroup<Waiter> {
  readonly chunks: Chunk[]
  readonly waiters: Waiter[]
  sizeBytes: number
}

/** Size of chunks; a larger entry gets a chunk of its own. */
const CHUNK_BYTES = 256 * 1024
/** A group of this size takes no more entries. */
export const APPEND_GROUP_BYTES = 8 * 1024 * 1024
/** Chunks for two groups: one fills while another is written. */
const KEPT_CHUNKS = (2 * APPEND_GROUP_BYTES) / CHUNK_BYTES

/** Entries that wait for the disk, in groups, oldest first. */
export class AppendGroups<Waiter> {
  readonly #waiting: AppendGroup<Waiter>[] = []
  /** Chunks of former groups. */
  readonly #spare: Buffer[] = []
  readonly #waitingBytes = new HeldAmount('bytes of entries that wait for the disk')

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** Bytes of entries in groups that were not taken yet. */
  get waitingBytes(): number {
    return this.#waitingBytes.value
  }

  /**
   * Adds `sizeBytes` in one piece behind everything that waits; the caller fills it at once: it is the end of the
   * result.
   *
   * @param waiterAt makes the waiter of a piece that begins at `offset` of the group's chunk `number`, counted from 0
   */
  add(sizeBytes: number, waiterAt: (number: number, offset: number) => Waiter): Chunk {
    const group = this.#groupFor()
    let chunk = group.chunks.at(-1)
    if (!chunk || chunk.usedBytes + sizeBytes > chunk.bytes.length) {
      chunk = { bytes: this.#memory(Math.max(sizeBytes, CHUNK_BYTES)), usedBytes: 0 }
      group.chunks.push(chunk)
    }
    group.waiters.push(waiterAt(group.chunks.length - 1, chunk.usedBytes))
    chunk.usedBytes += sizeBytes
    group.sizeBytes += sizeBytes
    this.#waitingBytes.add(sizeBytes)
    return chunk
  }

  /** The oldest group; its memory belongs to the caller. */
  take(): AppendGroup<Waiter> | undefined {
    const group = this.#waiting.shift()
    if (group) this.#waitingBytes.release(group.sizeBytes)
    return group
  }

  /** Takes back the memory of a group. */
  reuse(memory: readonly Uint8Array[]): void {
    for (const { buffer } of memory)
      if (buffer.byteLength === CHUNK_BYTES && this.#spare.length < KEPT_CHUNKS) this.#spare.push(Buffer.from(buffer))
  }

  #memory(sizeBytes: number): Buffer {
    return (sizeBytes === CHUNK_BYTES && this.#spare.pop()) || Buffer.allocUnsafeSlow(sizeBytes)
  }

  #groupFor(): AppendGroup<Waiter> {
    const last = this.#waiting.at(-1)
    if (last && last.sizeBytes < APPEND_GROUP_BYTES) return last
    const group = { chunks: [], waiters: [], sizeBytes: 0 }
    this.#waiting.push(group)
    return group
  }
}

/**
 * Pause between the first completion and the write that stores all completions until then. Completions that are lost in
 * a crash cause duplicates, not losses.
 */
const WAIT_MS = 20
const AT_ONCE = 1_000

/** Gathers completed entries as runs, and writes them together a little later. */
export class Completions {
  readonly #write: (ranges: readonly SequenceRange[], count: number) => Promise<void>
  #ranges: SequenceRange[] = []
  #count = 0
  #timer: NodeJS.Timeout | undefined

  constructor(write: (ranges: readonly SequenceRange[], count: number) => Promise<void>) {
    this.#write = write
  }

  add(first: number, count: number): void {
    this.#ranges.push({ first, count })
    this.#count += count
    if (this.#count >= AT_ONCE) void this.flush()
    else this.#timer ??= setTimeout(() => void this.flush(), WAIT_MS)
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#count === 0) return
    const [ranges, count] = [joined(this.#ranges), this.#count]
    this.#ranges = []
    this.#count = 0
    await this.#write(ranges, count)
  }
}

/** Runs in their order, neighbors as one: partitions complete their entries in turns. */
function joined(ranges: SequenceRange[]): SequenceRange[] {
  const runs: { readonly first: number; count: number }[] = []
  for (const { first, count } of ranges.sort((one, other) => one.first - other.first)) {
    const last = runs.at(-1)
    if (last !== undefined && last.first + last.count === first) last.count += count
    else runs.push({ first, count })
  }
  return runs
}

export interface SyncScheduleOptions {
  /** Sync after this number of appends and completions. */
  readonly syncEveryOperations?: number | undefined
  /** Sync when the oldest unsynced operation has this age. */
  readonly syncIntervalMs?: number | undefined
}

/** Decides when to sync, for a log that does not sync every append. */
export class SyncSchedule {
  readonly #options: SyncScheduleOptions
  readonly #sync: () => Promise<unknown>
  #unsynced = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: SyncScheduleOptions, sync: () => Promise<unknown>) {
    this.#options = options
    this.#sync = sync
  }

  operated(count: number): void {
    if (count === 0) return
    const { syncEveryOperations, syncIntervalMs } = this.#options
    this.#unsynced += count
    if (syncEveryOperations !== undefined && this.#unsynced >= syncEveryOperations) this.#now()
    else if (syncIntervalMs !== undefined) this.#timer ??= setTimeout(() => this.#now(), syncIntervalMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #now(): void {
    this.stop()
    this.#unsynced = 0
    void this.#sync()
  }
}

/** Wakes those who wait until entries of the log are completed. */
export class EntryWatches {
  readonly #bySequence = new Map<number, Set<() => void>>()

  /** @returns a function that ends the watch */
  add(sequence: number, onCompleted: () => void): () => void {
    getOrAdd(this.#bySequence, sequence, () => new Set()).add(onCompleted)
    return () => void deleteFrom(this.#bySequence, sequence, onCompleted)
  }

  completed(sequence: number): void {
    if (this.#bySequence.size === 0) return
    for (const onCompleted of this.#bySequence.get(sequence) ?? []) onCompleted()
  }
}
