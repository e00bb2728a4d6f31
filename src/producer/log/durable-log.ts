import { type AppendGroup, AppendGroups, type Chunk } from './append-groups.js'
import type { DestinationBacklog } from './backlog.js'
import { Completions } from './completions.js'
import type { DeadLetterList, DeadLetterReason } from './dead-letters.js'
import type { DestinationSearch, FoundDestinations } from './destination-search.js'
import type { SequenceRange } from './done-set.js'
import { entrySizeBytes, MAX_DESTINATION_BYTES, type StoredEntry, writeUnstamped } from './entry.js'
import { type Refusal, refuse } from './log-error.js'
import type { CommittedGroup, LogHost, Note } from './log-host.js'
import type { LogStats } from './log-stats.js'
import { type LoggedRecord, loggedRecordBytes, writeLoggedRecord } from './logged-record.js'
import type { ReadRequest, ReadResult } from './read-request.js'
import { SEGMENT_HEADER_BYTES } from './segment-header.js'
import { SyncSchedule, type SyncScheduleOptions } from './sync-schedule.js'

export interface DurableLogOptions extends SyncScheduleOptions {
  readonly host: LogHost
  readonly segmentBytes: number
  /** Bytes of entries that may wait for the disk; appends beyond it are refused. */
  readonly maxWaitingBytes: number
  /** Sync every group before it is acknowledged. */
  readonly syncPuts: boolean
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Less waits for the disk than before. */
  readonly onTaken?: (() => void) | undefined
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
  /**
   * The entries as they stand in the log, one behind the other, for as long as `settle` runs: their memory is used again.
   * Empty when nothing was stored.
   */
  readonly bytes: Buffer
}

interface Waiter {
  readonly entryCount: number
  /** Where its entries stand: the number of the group's chunk, and their place in it. */
  readonly chunk: number
  readonly offset: number
  readonly sizeBytes: number
  readonly settle: (result: AppendResult) => void
}

const TICK_MS = 1_000
const MAX_KEPT_DESTINATIONS = 10_000

/**
 * The durable log as the rest of the process sees it: appends of one turn share one sync, and while that sync runs the
 * next group gathers. Everything is answered in the order in which it was asked.
 *
 * A group need not be complete to be written: chunks that are full are handed over while the rest is still being filled.
 */
export class DurableLog {
  readonly #options: DurableLogOptions
  readonly #groups: AppendGroups<Waiter>
  readonly #completions: Completions
  /** Absent when every append is synced. */
  readonly #syncs: SyncSchedule | undefined
  readonly #ticker: NodeJS.Timeout
  readonly #destinations = new Map<string, Buffer>()
  #isCommitting = false
  #isScheduled = false
  #isClosed = false
  /** Why nothing is taken any more. */
  #abandoned: string | undefined
  #idle: (() => void) | undefined
  #stats: LogStats | undefined

  constructor(options: DurableLogOptions) {
    const { host } = options
    this.#options = options
    this.#groups = new AppendGroups(sizeBytes => host.memory(sizeBytes))
    if (!options.syncPuts) this.#syncs = new SyncSchedule(options, () => host.sync().catch(() => false))
    this.#completions = new Completions(async (ranges, count) => {
      this.#syncs?.operated(count)
      await host.complete(ranges).catch(() => 0)
    })
    this.#ticker = setInterval(() => void this.#tick(), TICK_MS)
    this.#ticker.unref()
  }

  /** Bytes of entries that wait for the disk. */
  get waitingBytes(): number {
    return this.#groups.waitingBytes
  }

  /** As of the last look at the disk, at most a second ago; `undefined` before the first. */
  get stats(): LogStats | undefined {
    return this.#stats
  }

  /** Looks at the disk now. */
  async look(): Promise<LogStats> {
    this.#stats = await this.#options.host.tick()
    return this.#stats
  }

  /**
   * Appends entries that stay together and in order. `settle` is called exactly once, later, when they are as durable
   * as the settings say, or refused.
   *
   * @returns why nothing was taken; `settle` is not called then
   */
  append(entries: readonly NewEntry[], settle: (result: AppendResult) => void): Refusal | undefined {
    const sizes = entries.map(entry => this.#sizeOf(entry))
    const sizeBytes = sizes.reduce((total, size) => total + size, 0)
    const refusal = this.#refusalFor(sizes, sizeBytes)
    if (refusal) return refusal
    const chunk = this.#groups.add(sizeBytes, (number, offset) => ({
      entryCount: entries.length,
      chunk: number,
      offset,
      sizeBytes,
      settle
    }))
    let offset = chunk.usedBytes - sizeBytes
    for (let at = 0; at < entries.length; at++) {
      this.#write(chunk.bytes, offset, entries[at]!, sizes[at]!)
      offset += sizes[at]!
    }
    this.#stage(this.#groups.oldest!)
    this.#schedule()
    return undefined
  }

  /** Entries that are delivered, or dead: they need not be kept. Written a little later, many together. */
  complete(first: number, count = 1): void {
    this.#completions.add(first, count)
  }

  /** Has the log take note of all completions so far before it does anything else that is asked for later. */
  flushCompletions(): void {
    void this.#completions.flush()
  }

  /** Keeps small values by key, behind every completion so far. True when they survive the death of the process. */
  note(notes: readonly Note[]): Promise<boolean> {
    this.flushCompletions()
    return this.#options.host.note(notes)
  }

  /** Entries that are not completed, in order. Bodies are records as `readLoggedRecord` reads them. */
  read(request: ReadRequest): Promise<ReadResult> {
    return this.#options.host.read(request)
  }

  /** Who has entries that are not completed: what a new start begins with. */
  backlog(): Promise<ReadonlyMap<string, DestinationBacklog>> {
    return this.#options.host.backlog()
  }

  /** Which destinations have entries that are not completed, from some sequence on. */
  search(request: DestinationSearch): Promise<FoundDestinations> {
    return this.#options.host.search(request)
  }

  /** Makes a dead letter of an entry that can never be delivered. A refusal means that it stays in the log. */
  deadLetter(entry: StoredEntry, reason: DeadLetterReason): Promise<Refusal | undefined> {
    return this.#options.host.deadLetter(entry, reason)
  }

  /** The dead letters from `fromSequence` on, oldest first. */
  listDeadLetters(fromSequence: number, maxBytes: number): Promise<DeadLetterList> {
    return this.#options.host.listDeadLetters(fromSequence, maxBytes)
  }

  /** Forgets dead letters that were sent again, or are not wanted. */
  forgetDeadLetters(ranges: readonly SequenceRange[]): Promise<number> {
    return this.#options.host.forgetDeadLetters(ranges)
  }

  /** Takes nothing any more. */
  abandon(reason: string): void {
    this.#abandoned = reason
  }

  /** Waits for everything appended so far, and closes the log. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#ticker)
    if (this.#isCommitting || this.#groups.oldest) await new Promise<void>(resolve => (this.#idle = resolve))
    await this.#completions.flush()
    this.#syncs?.stop()
    await this.#options.host.close()
  }

  #refusalFor(sizes: readonly number[], sizeBytes: number): Refusal | undefined {
    const { segmentBytes, maxWaitingBytes } = this.#options
    if (this.#isClosed) return refuse('closed', 'the durable log is closed')
    if (this.#abandoned !== undefined) return refuse('failed', this.#abandoned)
    const largest = sizes.reduce((most, size) => Math.max(most, size), 0)
    if (largest > segmentBytes - SEGMENT_HEADER_BYTES) {
      return refuse(
        'tooLarge',
        `an entry of ${largest} bytes does not fit into a segment of ${segmentBytes} bytes (wal.segmentBytes)`
      )
    }
    if (this.#groups.waitingBytes + sizeBytes > maxWaitingBytes) {
      return refuse('full', `${maxWaitingBytes} bytes wait for the disk already (wal.maxWaitingBytes)`)
    }
    return undefined
  }

  #sizeOf({ destination, record }: NewEntry): number {
    return entrySizeBytes(this.#encoded(destination).length, loggedRecordBytes(record))
  }

  #write(bytes: Buffer, offset: number, { destination, record }: NewEntry, sizeBytes: number): void {
    const name = this.#encoded(destination)
    const bodyBytes = sizeBytes - entrySizeBytes(name.length, 0)
    writeUnstamped(bytes, offset, name, bodyBytes, this.#options.now())
    writeLoggedRecord(bytes, offset + sizeBytes - bodyBytes, record)
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
    for (let group = this.#groups.take(); group; group = this.#groups.take()) {
      this.#options.onTaken?.()
      await this.#commit(group)
    }
    this.#isCommitting = false
    this.#idle?.()
  }

  /** Hands over the full chunks of a group. */
  #stage({ chunks }: AppendGroup<Waiter>): void {
    while (chunks.length > 1) this.#options.host.stage(usedBytes(chunks.shift()!))
  }

  async #commit(group: AppendGroup<Waiter>): Promise<void> {
    this.#stage(group)
    const committed = this.#options.host.commit(usedBytes(group.chunks[0]!))
    const next = this.#groups.oldest
    if (next) this.#stage(next)
    const result = await committed.catch((error: unknown) => unknownOutcome(error))
    this.#syncs?.operated(result.committedCount)
    settle(group.waiters, result)
    this.#options.host.reuse(result.memory)
  }

  async #tick(): Promise<void> {
    await this.look().catch(() => undefined)
  }
}

const usedBytes = ({ bytes, usedBytes }: Chunk): Buffer => bytes.subarray(0, usedBytes)

const NOTHING = Buffer.alloc(0)

function settle(waiters: readonly Waiter[], { firstSequence, committedCount, refusal, memory }: CommittedGroup): void {
  let first = firstSequence
  let left = committedCount
  for (const { entryCount, chunk, offset, sizeBytes, settle } of waiters) {
    const storedCount = Math.max(0, Math.min(entryCount, left))
    const bytes = storedCount === 0 ? NOTHING : memory[chunk]!.subarray(offset, offset + sizeBytes)
    settle({ firstSequence: first, storedCount, refusal: storedCount < entryCount ? refusal : undefined, bytes })
    first += entryCount
    left -= entryCount
  }
}

/** The thread is gone: what it wrote is unknown. */
const unknownOutcome = (error: unknown): CommittedGroup => ({
  memory: [],
  firstSequence: 0,
  committedCount: 0,
  refusal: { kind: 'failed', message: `the durable log has ended: ${(error as Error).message}`, isCertain: false }
})
