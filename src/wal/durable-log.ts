import { AppendBuffers, type AppendGroup } from './append-buffers.js'
import type { DeadLetterList, DeadLetterReason } from './dead-letters.js'
import type { SequenceRange } from './done-set.js'
import { entrySizeBytes, MAX_DESTINATION_BYTES, type StoredEntry, writeUnstamped } from './entry.js'
import type { Refusal } from './log-error.js'
import type { LogHost, Note } from './log-host.js'
import type { ReadRequest, ReadResult } from './log-reader.js'
import type { CommitResult, LogStats } from './log-store.js'
import { type LoggedRecord, loggedRecordBytes, writeLoggedRecord } from './logged-record.js'
import { SLAB_HEADER_BYTES } from './slab-header.js'

export interface DurableLogOptions {
  readonly host: LogHost
  readonly slabBytes: number
  /** Bytes of entries that may wait for the disk; appends beyond it are refused. */
  readonly maxWaitingBytes: number
  /** Sync every group before it is acknowledged. */
  readonly syncPuts: boolean
  /** Without `syncPuts`: sync after so many appends and completions. */
  readonly syncEveryOperations?: number | undefined
  /** Without `syncPuts`: sync when the oldest unsynced operation is this old. */
  readonly syncIntervalMs?: number | undefined
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** One record and where it is to go. */
export interface NewEntry {
  /** `cluster/topic`. */
  readonly destination: string
  readonly record: LoggedRecord
}

/** What became of the entries of one {@link DurableLog.append}. They are in the log in order: the first `storedCount` are. */
export interface AppendResult {
  readonly firstSequence: number
  readonly storedCount: number
  readonly refusal: Refusal | undefined
}

interface Waiter {
  readonly entryCount: number
  readonly settle: (result: AppendResult) => void
}

/** Completions are written together: a lost one is a duplicate after a crash, not a loss. */
const COMPLETIONS_WAIT_MS = 20
const COMPLETIONS_AT_ONCE = 1_000
const TICK_MS = 1_000

const refuse = (kind: Refusal['kind'], message: string): Refusal => ({ kind, message, isCertain: true })

/**
 * The durable log as the rest of the process sees it: appends of one turn share one write and one sync, and while that
 * sync runs the next group gathers. Everything is answered in the order in which it was asked.
 */
export class DurableLog {
  readonly #options: DurableLogOptions
  readonly #buffers = new AppendBuffers<Waiter>()
  readonly #ticker: NodeJS.Timeout
  readonly #destinations = new Map<string, Buffer>()
  #completed: SequenceRange[] = []
  #completedCount = 0
  #completionTimer: NodeJS.Timeout | undefined
  #syncTimer: NodeJS.Timeout | undefined
  #unsyncedOperations = 0
  #isCommitting = false
  #isScheduled = false
  #isClosed = false
  #idle: (() => void) | undefined
  #stats: LogStats | undefined

  constructor(options: DurableLogOptions) {
    this.#options = options
    this.#ticker = setInterval(() => void this.#tick(), TICK_MS)
    this.#ticker.unref()
  }

  /** As of the last look at the disk, at most a second ago; `undefined` before the first. */
  get stats(): LogStats | undefined {
    return this.#stats
  }

  /**
   * Appends entries that stay together and in order. `settle` is called exactly once, later, when they are as durable
   * as the settings say, or refused.
   *
   * @returns why nothing was taken; `settle` is not called then
   */
  append(entries: readonly NewEntry[], settle: (result: AppendResult) => void): Refusal | undefined {
    const sizes = entries.map(sizeOf)
    const sizeBytes = sizes.reduce((total, size) => total + size, 0)
    const refusal = this.#refusalFor(sizes, sizeBytes)
    if (refusal) return refusal
    const group = this.#buffers.reserve(sizeBytes)
    let offset = group.usedBytes
    for (const [at, entry] of entries.entries()) {
      this.#write(group, offset, entry, sizes[at]!)
      offset += sizes[at]!
    }
    this.#buffers.filled(group, sizeBytes)
    group.entryCount += entries.length
    group.waiters.push({ entryCount: entries.length, settle })
    this.#schedule()
    return undefined
  }

  /** Entries that are delivered, or dead: they need not be kept. Written a little later, many together. */
  complete(first: number, count = 1): void {
    const last = this.#completed.at(-1)
    if (last && last.first + last.count === first) {
      this.#completed[this.#completed.length - 1] = { first: last.first, count: last.count + count }
    } else this.#completed.push({ first, count })
    this.#completedCount += count
    if (this.#completedCount >= COMPLETIONS_AT_ONCE) void this.#writeCompletions()
    else this.#completionTimer ??= setTimeout(() => void this.#writeCompletions(), COMPLETIONS_WAIT_MS)
  }

  /** Keeps small values by key. True when they survive the death of the process. */
  note(notes: readonly Note[]): Promise<boolean> {
    return this.#options.host.note(notes)
  }

  /** Entries that are not completed, in order. Bodies are records as `readLoggedRecord` reads them. */
  read(request: ReadRequest): Promise<ReadResult> {
    return this.#options.host.read(request)
  }

  /** Makes a dead letter of an entry that can never be delivered. A refusal means that it stays in the log. */
  bury(entry: StoredEntry, reason: DeadLetterReason): Promise<Refusal | undefined> {
    return this.#options.host.bury(entry, reason)
  }

  /** The dead letters from `fromSequence` on, oldest first. */
  listDeadLetters(fromSequence: number, maxBytes: number): Promise<DeadLetterList> {
    return this.#options.host.listDeadLetters(fromSequence, maxBytes)
  }

  /** Forgets dead letters that were sent again, or are not wanted. */
  forgetDeadLetters(ranges: readonly SequenceRange[]): Promise<number> {
    return this.#options.host.forgetDeadLetters(ranges)
  }

  /** Waits for everything appended so far, and closes the log. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#ticker)
    clearTimeout(this.#syncTimer)
    if (this.#isCommitting || !this.#buffers.isEmpty) await new Promise<void>(resolve => (this.#idle = resolve))
    await this.#writeCompletions()
    await this.#options.host.close()
  }

  #refusalFor(sizes: readonly number[], sizeBytes: number): Refusal | undefined {
    const { slabBytes, maxWaitingBytes } = this.#options
    if (this.#isClosed) return refuse('closed', 'the durable log is closed')
    const largest = sizes.reduce((most, size) => Math.max(most, size), 0)
    if (largest > slabBytes - SLAB_HEADER_BYTES) {
      return refuse(
        'tooLarge',
        `an entry of ${largest} bytes does not fit into a slab of ${slabBytes} bytes (wal.slabBytes)`
      )
    }
    if (this.#buffers.waitingBytes + sizeBytes > maxWaitingBytes) {
      return refuse('full', `${maxWaitingBytes} bytes wait for the disk already (wal.maxWaitingBytes)`)
    }
    return undefined
  }

  #write(group: AppendGroup<Waiter>, offset: number, { destination, record }: NewEntry, sizeBytes: number): void {
    const name = this.#encoded(destination)
    const bodyBytes = sizeBytes - entrySizeBytes(name.length, 0)
    writeUnstamped(group.bytes, offset, name, bodyBytes, this.#options.now())
    writeLoggedRecord(group.bytes, offset + sizeBytes - bodyBytes, record)
  }

  /** The same few destinations come again and again. */
  #encoded(destination: string): Buffer {
    let bytes = this.#destinations.get(destination)
    if (!bytes) {
      bytes = Buffer.from(destination)
      if (bytes.length > MAX_DESTINATION_BYTES) throw new RangeError('the destination of an entry is too long')
      if (this.#destinations.size >= MAX_KEPT_DESTINATIONS) this.#destinations.clear()
      this.#destinations.set(destination, bytes)
    }
    return bytes
  }

  /** At the end of the turn, so that all of its appends share one sync. */
  #schedule(): void {
    if (this.#isScheduled || this.#isCommitting) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      void this.#commitAll()
    })
  }

  async #commitAll(): Promise<void> {
    if (this.#isCommitting) return
    this.#isCommitting = true
    for (let group = this.#buffers.take(); group; group = this.#buffers.take()) await this.#commit(group)
    this.#isCommitting = false
    this.#idle?.()
  }

  async #commit(group: AppendGroup<Waiter>): Promise<void> {
    const result = await this.#options.host
      .commit(group.bytes.subarray(0, group.usedBytes))
      .catch((error: unknown) => unknownOutcome(error))
    this.#buffers.give(group)
    this.#operated(result.committedCount)
    let { firstSequence, committedCount } = result
    for (const { entryCount, settle } of group.waiters) {
      const storedCount = Math.max(0, Math.min(entryCount, committedCount))
      settle({ firstSequence, storedCount, refusal: storedCount < entryCount ? result.refusal : undefined })
      firstSequence += entryCount
      committedCount -= entryCount
    }
  }

  async #writeCompletions(): Promise<void> {
    clearTimeout(this.#completionTimer)
    this.#completionTimer = undefined
    if (this.#completedCount === 0) return
    const ranges = this.#completed
    this.#operated(this.#completedCount)
    this.#completed = []
    this.#completedCount = 0
    await this.#options.host.complete(ranges).catch(() => 0)
  }

  /** Without a sync for every append, the sync comes after some operations, or some time. */
  #operated(count: number): void {
    const { syncPuts, syncEveryOperations, syncIntervalMs } = this.#options
    if (syncPuts || count === 0) return
    this.#unsyncedOperations += count
    if (syncEveryOperations !== undefined && this.#unsyncedOperations >= syncEveryOperations) void this.#sync()
    else if (syncIntervalMs !== undefined) this.#syncTimer ??= setTimeout(() => void this.#sync(), syncIntervalMs)
  }

  async #sync(): Promise<void> {
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    this.#unsyncedOperations = 0
    await this.#options.host.sync().catch(() => false)
  }

  async #tick(): Promise<void> {
    this.#stats = await this.#options.host.tick().catch(() => this.#stats)
  }
}

const MAX_KEPT_DESTINATIONS = 10_000

const sizeOf = ({ destination, record }: NewEntry): number =>
  entrySizeBytes(Buffer.byteLength(destination), loggedRecordBytes(record))

/** The thread is gone: nobody knows what it wrote. */
const unknownOutcome = (error: unknown): CommitResult => ({
  firstSequence: 0,
  committedCount: 0,
  refusal: { kind: 'failed', message: `the durable log has ended: ${(error as Error).message}`, isCertain: false }
})
