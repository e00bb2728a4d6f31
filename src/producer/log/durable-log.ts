import { NOTHING, toBuffer } from '../../core/bytes.js'
import { unlessAborted } from '../../core/ending.js'
import { CastellanError, OverloadedError, UnavailableError } from '../../core/errors.js'
import { messageOf } from '../../core/node-errors.js'
import {
  AppendGroups,
  type Chunk,
  Completions,
  EntryWatches,
  SyncSchedule,
  type SyncScheduleOptions
} from './append-groups.js'
import { type LogRefusal, type LogStats, refuse, tooMuchWaits } from './availability.js'
import type { DestinationBacklog, DestinationSearch, FoundDestinations } from './backlog.js'
import type { DeadLetterReason } from './dead-letters.js'
import { entrySizeBytes, MAX_DESTINATION_BYTES, type StoredEntry, writeUnstamped } from './entry.js'
import type { LogReadRequest, ReadEntries } from './entry-reader.js'
import type { LogHost } from './log-host.js'
import type { CommitResult, KnownEntries, Note } from './log-store.js'
import { type LoggedRecord, loggedRecordBytes, writeLoggedRecord } from './logged-record.js'
import { OutcomeRows, type RecordPlace } from './outcomes.js'
import type { SequenceRange } from './segment.js'
import { SEGMENT_HEADER_BYTES } from './segment-header.js'

export interface DurableLogOptions extends SyncScheduleOptions {
  readonly host: LogHost
  readonly segmentBytes: number
  /** Bytes of entries that may wait for the disk; further appends are refused. */
  readonly maxWaitingBytes: number
  /** Sync every group before it is acknowledged. */
  readonly syncPuts: boolean
  /** Epoch milliseconds. */
  readonly now: () => number
  /** Called when fewer bytes wait for the disk than before. */
  readonly onTaken?: (() => void) | undefined
  /** Names the log in receipts. Absent: outcomes of completed entries are not kept. */
  readonly logId?: Buffer | undefined
}

/** One record and its destination. */
export interface NewEntry {
  /** `cluster/topic`. */
  readonly destination: string
  readonly record: LoggedRecord
}

/** The result of one {@link DurableLog.append}. The first `storedCount` entries are in the log, in order. */
export interface AppendResult {
  readonly firstSequence: number
  readonly storedCount: number
  readonly refusal: LogRefusal | undefined
  /**
   * The stored entries as they are in the log, one after the other. Valid only while `settle` runs, because the memory
   * is reused. Empty when nothing was stored.
   */
  readonly bytes: Buffer
}

interface AppendWaiter {
  readonly entryCount: number
  /** Place of the entries: the number of a chunk of the group, and the offset in it. */
  readonly chunk: number
  readonly offset: number
  readonly sizeBytes: number
  readonly settle: (result: AppendResult) => void
}

const TICK_MS = 1_000
const MAX_KEPT_DESTINATIONS = 10_000

/**
 * The durable log as the rest of the process sees it. Appends of one tick share one sync; while that sync runs, the next group
 * is filled. Calls are answered in order.
 */
export class DurableLog {
  readonly #options: DurableLogOptions
  readonly #groups = new AppendGroups<AppendWaiter>()
  readonly #completions: Completions
  /** The outcomes of these completions. */
  readonly #rows = new OutcomeRows()
  readonly #watches = new EntryWatches()
  /** The last question for the states of entries; the next one follows it. */
  #lastStates: Promise<unknown> = Promise.resolve()
  /** Absent when each append is synced. */
  readonly #syncs: SyncSchedule | undefined
  readonly #ticker: NodeJS.Timeout
  readonly #destinations = new Map<string, Buffer>()
  #isCommitting = false
  #isScheduled = false
  #isClosed = false
  /** Why all appends are refused. */
  #abandoned: string | undefined
  #idle: (() => void) | undefined
  /** Statistics that are at most a second old; `undefined` before the first look at the disk. */
  stats: LogStats | undefined

  constructor(options: DurableLogOptions) {
    const { host } = options
    this.#options = options
    if (!options.syncPuts) this.#syncs = new SyncSchedule(options, () => host.call('sync').catch(() => false))
    this.#completions = new Completions(async (ranges, count) => {
      this.#syncs?.operated(count)
      const outcomes = this.#rows.isEmpty ? [] : [this.#rows.take()]
      await host.call('complete', ranges, ...outcomes).catch(() => 0)
    })
    this.#ticker = setInterval(() => void this.look().catch(() => undefined), TICK_MS)
    this.#ticker.unref()
  }

  /** Bytes of entries that wait for the disk. */
  get waitingBytes(): number {
    return this.#groups.waitingBytes
  }

  /** Looks at the disk now, and returns new statistics. */
  async look(): Promise<LogStats> {
    this.stats = await this.#options.host.call('look')
    return this.stats
  }

  /**
   * Appends entries that stay together and in order. `settle` is called exactly once, later, when they are as durable
   * as the settings say, or refused.
   *
   * @returns why nothing was taken; `settle` is not called then
   */
  append(entries: readonly NewEntry[], settle: (result: AppendResult) => void): LogRefusal | undefined {
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
    this.#schedule()
    return undefined
  }

  /** Completes entries that are delivered or dead. Completions are written a little later, many together. */
  complete(first: number, count = 1): void {
    this.#completions.add(first, count)
  }

  /** Names the log in receipts; `undefined`: outcomes are not kept. */
  get logId(): Buffer | undefined {
    return this.#options.logId
  }

  /** Completes an entry that Kafka has. */
  delivered(destination: string, sequence: number, place: RecordPlace): void {
    if (this.#options.logId !== undefined) this.#rows.add(destination, sequence, place)
    this.complete(sequence)
    this.#watches.completed(sequence)
  }

  /**
   * State of entries up to this moment. Calls are carried out one after another.
   *
   * @throws UnavailableError when the disk cannot be read
   */
  states(range: SequenceRange): Promise<KnownEntries> {
    const states = this.#lastStates.then(() => this.#statesOf(range))
    this.#lastStates = states.catch(() => undefined)
    return states
  }

  async #statesOf(range: SequenceRange): Promise<KnownEntries> {
    // Completions that wait here would be missing.
    this.flushCompletions()
    try {
      return await this.#options.host.call('states', range)
    } catch (error) {
      if (error instanceof CastellanError) throw error
      if (this.#isClosed) throw new OverloadedError('the durable log is closed', 'shuttingDown')
      throw new UnavailableError('logUnavailable', 'the files of the durable log cannot be read now', error)
    }
  }

  /**
   * Waits until no entry of a range is open, or the signal ends the wait. It watches one entry at a time: those of a partition
   * are completed in order, so that most others are completed when the last open one is.
   *
   * @returns whether none is open
   * @throws when the log cannot be read
   */
  async settled(range: SequenceRange, signal: AbortSignal): Promise<boolean> {
    for (let last = range.first + range.count - 1; ; ) {
      let end: () => void = () => undefined
      // Watches first, so that it is not completed unnoticed while the log is asked whether it is open.
      const completed = new Promise<void>(resolve => (end = this.#watches.add(last, resolve)))
      try {
        const run = (await this.openRuns(range)).at(-1)
        if (run === undefined || signal.aborted) return run === undefined
        const lastOpen = run.first + run.count - 1
        if (lastOpen === last) await unlessAborted(completed, signal, () => undefined)
        last = lastOpen
      } finally {
        end()
      }
    }
  }

  /** The open entries among those of a range, as runs. */
  openRuns(range: SequenceRange): Promise<readonly SequenceRange[]> {
    this.flushCompletions()
    return this.#options.host.call('openRuns', range)
  }

  /** Writes all completions so far; later calls come after them. */
  flushCompletions(): void {
    void this.#completions.flush()
  }

  /**
   * Keeps small values by key; they are written after every completion so far. True when they survive the death of the
   * process.
   */
  note(notes: readonly Note[]): Promise<boolean> {
    this.flushCompletions()
    return this.#options.host.call('note', notes)
  }

  /** Entries that are not completed, in order. Bodies are records as `readLoggedRecord` reads them. */
  async read(request: LogReadRequest): Promise<ReadEntries> {
    const { entries, ...place } = await this.#options.host.call('read', request)
    return { ...place, entries: entries.map(withBuffer) }
  }

  /** The open entries of each destination, read when a process starts. */
  backlog(): Promise<ReadonlyMap<string, DestinationBacklog>> {
    return this.#options.host.call('backlog')
  }

  /** The destinations that have open entries from some sequence on. */
  search(request: DestinationSearch): Promise<FoundDestinations> {
    return this.#options.host.call('search', request)
  }

  /** Makes a dead letter of an entry that can never be delivered. A refusal means that it stays in the log. */
  async deadLetter(entry: StoredEntry, reason: DeadLetterReason): Promise<LogRefusal | undefined> {
    // A body is a view of a larger buffer, and a message to the other thread copies the whole buffer.
    const refusal = await this.#options.host.call('deadLetter', { ...entry, body: Buffer.from(entry.body) }, reason)
    if (refusal === undefined) this.#watches.completed(entry.sequence)
    return refusal
  }

  /** Takes no more records. */
  abandon(reason: string): void {
    this.#abandoned = reason
  }

  /** Waits for everything appended so far, and closes the log. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#ticker)
    if (this.#isCommitting || !this.#groups.isEmpty) await new Promise<void>(resolve => (this.#idle = resolve))
    await this.#completions.flush()
    this.#syncs?.stop()
    await this.#options.host.call('close')
  }

  #refusalFor(sizes: readonly number[], sizeBytes: number): LogRefusal | undefined {
    const { segmentBytes, maxWaitingBytes } = this.#options
    if (this.#isClosed) return refuse('closed', 'the durable log is closed')
    if (this.#abandoned !== undefined) return refuse('failed', this.#abandoned)
    const largest = sizes.reduce((most, size) => Math.max(most, size), 0)
    if (largest > segmentBytes - SEGMENT_HEADER_BYTES) {
      const text = `an entry of ${largest} bytes does not fit into a segment of ${segmentBytes} bytes`
      const setting = 'advanced.wal.segmentBytes'
      return { ...refuse('tooLarge', `${text} (${setting})`), setting }
    }
    if (this.#groups.waitingBytes + sizeBytes > maxWaitingBytes) {
      return tooMuchWaits(maxWaitingBytes)
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

  /** Keeps encoded names, because most entries are for few destinations. */
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

  /** Commits at the end of the tick, so that all its appends share one sync. */
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
      const result = await this.#options.host.call('commit', ...group.chunks.map(usedBytes)).catch(unknownOutcome)
      this.#syncs?.operated(result.committedCount)
      settle(group.waiters, result)
      this.#groups.reuse(result.memory)
    }
    this.#isCommitting = false
    this.#idle?.()
  }
}

const usedBytes = ({ bytes, usedBytes }: Chunk): Buffer => bytes.subarray(0, usedBytes)

function settle(
  waiters: readonly AppendWaiter[],
  { firstSequence, committedCount, refusal, memory }: CommitResult
): void {
  let first = firstSequence
  let left = committedCount
  for (const { entryCount, chunk, offset, sizeBytes, settle } of waiters) {
    const storedCount = Math.max(0, Math.min(entryCount, left))
    const bytes = storedCount === 0 ? NOTHING : toBuffer(memory[chunk]!.subarray(offset, offset + sizeBytes))
    settle({ firstSequence: first, storedCount, refusal: storedCount < entryCount ? refusal : undefined, bytes })
    first += entryCount
    left -= entryCount
  }
}

/** The thread has ended: what it wrote is unknown. */
const unknownOutcome = (error: unknown): CommitResult => ({
  memory: [],
  firstSequence: 0,
  committedCount: 0,
  refusal: { kind: 'failed', message: `the durable log has ended: ${messageOf(error)}`, isCertain: false }
})

/**
 * An entry with a Buffer, which the other thread sent as an array of bytes. Its fields are written out: in Node 20, a literal
 * that begins with a spread has a hidden class of its own, and each access to its fields is slow.
 */
const withBuffer = ({ sequence, destination, acceptedAtMs, body }: StoredEntry): StoredEntry => ({
  sequence,
  destination,
  acceptedAtMs,
  body: toBuffer(body)
})
