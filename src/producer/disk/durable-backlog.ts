import { resolve } from 'node:path'
import { ownCopyOf } from '../../core/bytes.js'
import { HeldAmount } from '../../core/held-amount.js'
import { getOrAdd } from '../../core/maps.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger, MonotonicClock } from '../../core/model.js'
import type { Notice } from '../../core/notice.js'
import type { LocalKeys } from '../keys/local-keys.js'
import type { LoggedRecords } from '../keys/logged-records.js'
import { type LogRefusal, type LogState, type LogStats, refuse, tooMuchWaits } from '../log/availability.js'
import type { DestinationBacklog } from '../log/backlog.js'
import type { AppendResult, DurableLog, NewEntry } from '../log/durable-log.js'
import { entrySizeBytes } from '../log/entry.js'
import { whyNotToTake } from '../log/log-lock.js'
import { loggedRecordBytes } from '../log/logged-record.js'
import {
  type DurableLogDeps,
  holdsKeys,
  holdsLog,
  type OpenDurableLog,
  openDurableLog
} from '../log/open-durable-log.js'
import type { OutcomeLimits } from '../log/outcome-store.js'
import type { RecoveryReport } from '../log/recovery.js'
import type { SequenceRange } from '../log/segment.js'
import type { WalSettings } from '../log/settings.js'
import type { ReceiptIssuer } from '../receipts/receipt-ids.js'
import type { Receipts } from '../receipts/receipts.js'
import { type BatchNote, decodeBatchNote, partitionOfNoteKey } from './batch-notes.js'
import { LogMetrics } from './durable-metrics.js'
import { DurableReceipts, type WhyOpen } from './durable-receipts.js'
import { LogCapacity } from './log-capacity.js'
import { LogFeed } from './log-feed.js'
import { ReadAhead } from './read-ahead.js'

/** The open log, and what an earlier process has left in it for one cluster. The member owns the map of notes. */
export interface OpenedBacklog {
  readonly wal: DurableLog
  readonly feed: LogFeed
  /** Sequence of the cluster's first entry; `undefined`: it has none. */
  readonly backlogFrom: number | undefined
  /** The last batch of each partition, by destination and partition; it may or may not be in Kafka. */
  readonly notes: Map<string, ReadonlyMap<number, BatchNote>>
  /** Gives receipts for entries; `undefined`: none are given. */
  readonly receiptIssuer: ReceiptIssuer | undefined
  /** No entry was lost to damage or to an interrupted append: an entry that is missing was completed. */
  readonly isIntact: boolean
}

/** Records of one destination that wait in the durable log. */
export interface ViewedBacklog extends DestinationBacklog {
  /** How long its oldest record has waited; absent: others of 20 destinations have waited longer. */
  readonly oldestAgeMs?: number
}

/** The durable log, for the status page. */
export interface LogView {
  /** `unused`: it was never opened. */
  readonly state: LogState | 'unused'
  /** Why it does not take records. */
  readonly why: string | undefined
  readonly limitBytes: number
  /** How long the oldest record has waited; 0: none waits. */
  readonly oldestAgeMs: number
  /** `undefined`: it is not open. */
  readonly stats: LogStats | undefined
  /** Records and the oldest sequence by cluster and topic: `default/orders`. Empty where the log has very many segments. */
  readonly backlog: ReadonlyMap<string, ViewedBacklog>
}

/** The delivery of one cluster, which shares the log with others. */
export interface ClusterDelivery {
  readonly cluster: string
  /** The log is open. Called once, before anything is appended for this cluster. */
  opened(opened: OpenedBacklog): void
  /** Entries of an earlier process may be delivered from now on. Until then they wait, and so do later entries. */
  drain(): void
  whyOpen(destination: string, range: SequenceRange): WhyOpen
}

export interface DurableBacklogOptions {
  readonly settings: WalSettings
  readonly log: Logger
  readonly metrics: MetricsLogger
  /** Epoch milliseconds. */
  readonly now: () => number
  readonly clock: MonotonicClock
  /** The log has failed for good; another process may own it. */
  readonly onBroken: (error: Error) => void
  /** True: entries of an earlier process are delivered after {@link DurableBacklog.drain}. Default: at once. */
  readonly drainsLater?: boolean | undefined
  /**
   * Module of the log's thread. Default: the compiled module, which does not exist when the sources are run directly.
   */
  readonly worker?: URL | undefined
  /** Settings of receipts, with the place where they are kept. Absent: the log gives no receipts. */
  readonly receipts?: DurableReceiptSettings | undefined
  /** The keys of requests whose records are in this log. Absent: no request has one. */
  readonly keys?: LocalKeys | undefined
  /** Default: a log on a thread of its own. */
  readonly open?: ((settings: WalSettings, deps: DurableLogDeps) => Promise<OpenDurableLog>) | undefined
  /** Whether a directory holds a log. Default: asks the file system. */
  readonly holdsRecords?: ((directory: string) => boolean) | undefined
}

/** Receipts for the entries of a log. */
export interface DurableReceiptSettings {
  readonly limits: OutcomeLimits
  readonly receipts: Receipts
  /** Keeps the secret of the receipts beside the log; called when the log is open. @throws when that fails */
  readonly keepSecret: () => void
}

/** Replaces the disk of this machine, in simulations. */
export type LogStorage = Pick<DurableBacklogOptions, 'open' | 'holdsRecords'>

/** Entries and notes of an earlier process. */
interface Left {
  readonly notes: ReadonlyMap<string, ReadonlyMap<number, BatchNote>>
  /** Open entries by cluster. */
  readonly backlog: ReadonlyMap<string, DestinationBacklog>
}

interface WaitingEntries {
  readonly entries: readonly NewEntry[]
  readonly settle: (result: AppendResult) => void
}

/** Pause after opening has failed. */
const RETRY_MS = 1_000
const REPORT_EVERY_MS = 2_000
/** The waiting topics of the log are looked at in so many segments at most, and not more often than this. */
const MAX_VIEWED_SEGMENTS = 64
const VIEWED_FOR_MS = 5_000
/** Destinations whose oldest records are read for their age: those that have waited longest. */
const MAX_AGES = 20
/** How long the log counts as full after an entry did not fit, because clients try again. */
const FULL_COUNTS_FOR_MS = 5_000

/** A cluster's name may hold slashes, a topic's may not. */
export const clusterOf = (destination: string): string => destination.slice(0, destination.lastIndexOf('/'))

/**
 * The durable log of this process, shared by all clusters. It is opened for the first record with `durability: disk`,
 * or when an earlier process has left records in it.
 */
export class DurableBacklog {
  readonly readAhead: ReadAhead
  /** The memory for records that wait for the disk. */
  readonly capacity: LogCapacity
  readonly #options: DurableBacklogOptions
  readonly #members = new Map<string, ClusterDelivery>()
  #opened: OpenDurableLog | undefined
  #feed: LogFeed | undefined
  #left: Left | undefined
  #opening: Promise<void> | undefined
  #failedAt = Number.NEGATIVE_INFINITY
  /** When the log last did not take records that it should take. */
  #refusedAt = Number.NEGATIVE_INFINITY
  /** The log is treated as full until this time. */
  #fullUntil = Number.NEGATIVE_INFINITY
  /** Why the log could not be opened. */
  #openFailure: LogRefusal | undefined
  #lastRefusal: LogRefusal | undefined
  /** The directory could be made, or was there, at the last look. */
  #isUsable = false
  #viewed: { readonly at: number; readonly backlog: LogView['backlog'] } | undefined
  #isClosed = false
  #receiptIssuer: ReceiptIssuer | undefined
  #isDraining: boolean
  readonly #metrics: LogMetrics
  #ticker: NodeJS.Timeout | undefined
  /** Appends that came before the log was open. */
  #waiting: WaitingEntries[] = []
  readonly #waitingBytes = new HeldAmount('bytes of records that wait for the durable log')

  constructor(options: DurableBacklogOptions) {
    this.#options = options
    this.#isDraining = options.drainsLater !== true
    const { maxWaitingBytes } = options.settings
    this.capacity = new LogCapacity(maxWaitingBytes, () => this.#waitingBytes.value + (this.log?.waitingBytes ?? 0))
    this.readAhead = new ReadAhead(options.settings.readAheadBytes)
    this.#metrics = new LogMetrics(options.metrics, options.settings)
    options.receipts?.receipts.add(
      new DurableReceipts({
        logOf: () => this.log,
        whyOpen: (destination, range) =>
          this.#members.get(clusterOf(destination))?.whyOpen(destination, range) ??
          (() => 'no cluster of this name is configured')
      })
    )
  }

  /** `undefined`: it is not open yet. */
  get log(): DurableLog | undefined {
    return this.#opened?.log
  }

  /** Records get the time of sending, not of acceptance. */
  get stampsWhenSent(): boolean {
    return this.#options.settings.timestamps === 'sent'
  }

  /** The records of requests with a key; `undefined`: no request has one. */
  get keys(): LoggedRecords | undefined {
    return this.#options.keys?.logged
  }

  /** Records that wait for an operator. */
  get warnings(): readonly Notice[] {
    const { setAsideEntries = 0 } = this.log?.stats ?? {}
    const why = `${setAsideEntries} records of the durable log are set aside in quarantine/, because the disk cannot read them`
    const text = `${why}: stop the gateway, and run castellan wal salvage --append`
    return setAsideEntries === 0 ? [] : [{ kind: 'logDamaged', text }]
  }

  /** Used share of `wal.maxBytes`, as of the last look at the disk. */
  get usedShare(): number {
    return (this.log?.stats?.sizeBytes ?? 0) / this.#options.settings.maxBytes
  }

  /** Absolute path of the log's directory; `undefined`: the log is not open yet. */
  get path(): string | undefined {
    return this.#opened?.path
  }

  /** Adds a cluster that is connected. */
  join(member: ClusterDelivery): void {
    this.#members.set(member.cluster, member)
    if (this.#opened !== undefined) this.#tell(member)
  }

  /** @throws LogUnusableError when something was left in the directory, and it cannot be used */
  async openIfNotEmpty(): Promise<void> {
    const { settings, holdsRecords = holdsLogOrKeys } = this.#options
    if (holdsRecords(settings.directory)) await this.open()
  }

  /** Why the log cannot be opened now; `undefined`: it is open, or can be opened. Updates the metric as well. */
  async whyUnusable(): Promise<string | undefined> {
    const why = await this.#whyNotToOpen()
    if (this.#opened === undefined) this.#metrics.writable(why === undefined)
    return why
  }

  /** Like {@link whyUnusable}, but `undefined` until an attempt to open the log has failed. */
  async whyNotOpened(): Promise<string | undefined> {
    return this.#openFailure === undefined ? undefined : this.whyUnusable()
  }

  async #whyNotToOpen(): Promise<string | undefined> {
    await this.#opening?.catch(() => undefined)
    if (this.#opened !== undefined) return undefined
    // Whether a directory can be made is not tried again each second.
    const why = await whyNotToTake(resolve(this.#options.settings.directory), !this.#isUsable)
    this.#isUsable = why === undefined
    if (why !== undefined || this.#openFailure === undefined) return why
    // Only another attempt can tell whether the reason of the earlier failure still exists.
    return this.open().then(
      () => undefined,
      (error: Error) => error.message
    )
  }

  /**
   * Appends entries in order, opening the log first if need be. `settle` is called exactly once, later.
   *
   * @returns why nothing was taken; `settle` is not called then
   */
  append(entries: readonly NewEntry[], settle: (result: AppendResult) => void): LogRefusal | undefined {
    if (this.#isClosed) return refuse('closed', 'the durable log is closed')
    if (this.#opened !== undefined) return this.#opened.log.append(entries, settle)
    const isLately = this.#options.clock() - this.#failedAt < RETRY_MS
    if (this.#openFailure !== undefined && this.#opening === undefined && isLately) return this.#openFailure
    return this.#wait(entries, settle)
  }

  /** @returns a refusal when too much waits already */
  #wait(entries: readonly NewEntry[], settle: (result: AppendResult) => void): LogRefusal | undefined {
    const { maxWaitingBytes } = this.#options.settings
    const bytes = entries.reduce((sum, entry) => sum + sizeInLog(entry), 0)
    if (this.#waitingBytes.value + bytes > maxWaitingBytes) {
      return tooMuchWaits(maxWaitingBytes)
    }
    this.#waitingBytes.add(bytes)
    // The buffers of the records belong to the caller, which uses them again.
    this.#waiting.push({ entries: entries.map(entry => ({ ...entry, record: ownCopyOf(entry.record) })), settle })
    this.open().catch((error: Error) => this.#options.log.error({}, error.message))
    return undefined
  }

  /** @throws LogUnusableError when the directory cannot be used */
  open(): Promise<void> {
    this.#opening ??= this.#tryToOpen().finally(() => (this.#opening = undefined))
    return this.#opening
  }

  async #tryToOpen(): Promise<void> {
    const { settings, log, now, clock, onBroken, worker, receipts, open = openDurableLog } = this.#options
    try {
      const broken = (error: Error): void => {
        void this.#feed?.stop()
        onBroken(error)
      }
      const opened = await open(settings, {
        log,
        now,
        worker,
        receipts: receipts?.limits,
        onBroken: broken,
        onTaken: this.capacity.freed
      })
      const backlog = await opened.log.backlog()
      await this.#options.keys?.opened(opened.log, opened.directory)
      this.#use(opened, backlog)
    } catch (error) {
      this.#failedAt = clock()
      this.#metrics.writable(false)
      const { message, setting } = error as Error & Pick<LogRefusal, 'setting'>
      const failure = { ...refuse('failed', message), setting }
      this.#openFailure = failure
      this.#drainWaiting(({ settle }) => settle(nothingStored(failure)))
      throw error
    }
  }

  #use(opened: OpenDurableLog, backlog: ReadonlyMap<string, DestinationBacklog>): void {
    const { log: wal } = opened
    this.#opened = opened
    const { logId } = wal
    if (logId !== undefined) this.#giveReceipts(logId)
    this.#openFailure = undefined
    this.#metrics.writable(true)
    this.#left = { backlog: byCluster(backlog), notes: this.#notesOf(opened, backlog) }
    this.#ticker = setInterval(() => void this.#report(wal), REPORT_EVERY_MS)
    this.#feed = new LogFeed(request => wal.read(request), this.#options.log)
    for (const member of this.#members.values()) this.#tell(member)
    this.#drainWaiting(({ entries, settle }) => {
      const refusal = wal.append(entries, settle)
      if (refusal !== undefined) settle(nothingStored(refusal))
    })
  }

  #giveReceipts(logId: Buffer): void {
    const { receipts, log } = this.#options
    try {
      receipts?.keepSecret()
    } catch (error) {
      log.warn({ err: error }, 'the secret of receipts could not be kept: receipts end with this process')
    }
    this.#receiptIssuer = receipts?.receipts.issuer('disk', logId)
  }

  async #report(wal: DurableLog): Promise<void> {
    const { stats } = wal
    if (stats === undefined) return
    const oldestAgeMs = stats.openEntries === 0 ? 0 : await this.#oldestAgeMs(wal).catch(() => undefined)
    if (oldestAgeMs === undefined) return
    this.#metrics.report(this.#withKeys(stats), oldestAgeMs, this.readAhead.bytes)
    if (this.#options.clock() < this.#fullUntil) this.#metrics.writable(false)
  }

  /** The files of keys are not those of the log's thread. */
  #withKeys(stats: LogStats): LogStats {
    return { ...stats, damagedFiles: stats.damagedFiles + (this.#options.keys?.damagedFiles ?? 0) }
  }

  /** Looks at the log on its thread, and at the topics in it where records wait. */
  async view(): Promise<LogView> {
    const { log: wal } = this
    const limitBytes = this.#options.settings.maxBytes
    if (wal === undefined) {
      const why = this.#openFailure?.message
      const state = why === undefined ? 'unused' : 'failed'
      return { state, why, limitBytes, oldestAgeMs: 0, stats: undefined, backlog: NO_BACKLOG }
    }
    const stats = this.#withKeys(await wal.look())
    const oldestAgeMs = stats.openEntries === 0 ? 0 : await this.#oldestAgeMs(wal)
    const backlog = stats.openEntries === 0 ? NO_BACKLOG : await this.#viewBacklog(wal, stats.segmentCount)
    const isFull = this.#options.clock() < this.#fullUntil
    const state = stats.state === 'ok' && isFull ? 'full' : stats.state
    return {
      state,
      why: state === 'ok' ? undefined : this.#lastRefusal?.message,
      limitBytes,
      oldestAgeMs,
      stats,
      backlog
    }
  }

  /** Reads the index of each segment on the thread that writes the log, so it is done rarely, and not for many segments. */
  async #viewBacklog(wal: DurableLog, segments: number): Promise<LogView['backlog']> {
    const nowMs = this.#options.clock()
    if (segments > MAX_VIEWED_SEGMENTS) return NO_BACKLOG
    if (this.#viewed === undefined || nowMs - this.#viewed.at > VIEWED_FOR_MS)
      this.#viewed = { at: nowMs, backlog: await this.#withAges(wal, await wal.backlog()) }
    return this.#viewed.backlog
  }

  /** Sequences are in the order of acceptance. */
  async #withAges(wal: DurableLog, backlog: ReadonlyMap<string, DestinationBacklog>): Promise<LogView['backlog']> {
    const viewed = new Map<string, ViewedBacklog>(backlog)
    const oldestFirst = [...backlog].sort(([, one], [, other]) => one.firstSequence - other.firstSequence)
    for (const [destination, of] of oldestFirst.slice(0, MAX_AGES)) {
      const acceptedAtMs = await this.#acceptedAtMs(wal, of.firstSequence)
      if (acceptedAtMs !== undefined)
        viewed.set(destination, { ...of, oldestAgeMs: Math.max(0, this.#options.now() - acceptedAtMs) })
    }
    return viewed
  }

  /** When an entry was accepted, by the wall clock; `undefined`: it has been delivered meanwhile. */
  async #acceptedAtMs(wal: DurableLog, fromSequence: number): Promise<number | undefined> {
    const [entry] = (await wal.read({ fromSequence, maxBytes: 1 })).entries
    return entry?.sequence === fromSequence ? entry.acceptedAtMs : undefined
  }

  /** Why the log refused records a moment ago. Only further records can tell whether it still does. */
  get whyRefusing(): string | undefined {
    const isLately = this.#options.clock() - this.#refusedAt < FULL_COUNTS_FOR_MS
    return isLately ? this.#lastRefusal?.message : undefined
  }

  /** Remembers that the log did not take entries. A log that is full for one entry may have space for a smaller one. */
  refused(refusal: LogRefusal): void {
    const { kind, message } = refusal
    this.#lastRefusal = refusal
    if (kind === 'full') this.#fullUntil = this.#options.clock() + FULL_COUNTS_FOR_MS
    if (kind !== 'full' && kind !== 'failed') return
    this.#refusedAt = this.#options.clock()
    this.#options.log.warn({}, `the durable log refuses records: ${message}`)
  }

  async #oldestAgeMs(wal: DurableLog): Promise<number> {
    const { entries } = await wal.read({ fromSequence: 0, maxBytes: 1 })
    return entries[0] === undefined ? 0 : Math.max(0, this.#options.now() - entries[0].acceptedAtMs)
  }

  #drainWaiting(use: (waiting: WaitingEntries) => void): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes.release(this.#waitingBytes.value)
    for (const one of waiting) use(one)
    this.capacity.freed()
  }

  /** Removes notes of destinations without open entries: their batches are in Kafka. */
  #notesOf(
    { log: wal, notes }: OpenDurableLog,
    backlog: ReadonlyMap<string, DestinationBacklog>
  ): Map<string, Map<number, BatchNote>> {
    const found = new Map<string, Map<number, BatchNote>>()
    const obsolete: string[] = []
    for (const [key, value] of notes) {
      const of = partitionOfNoteKey(key)
      const note = of && decodeBatchNote(value)
      if (of === undefined || note === undefined || !backlog.has(of.destination)) obsolete.push(key)
      else getOrAdd(found, of.destination, () => new Map()).set(of.partition, note)
    }
    if (obsolete.length > 0) void wal.note(obsolete.map(key => ({ key, value: Buffer.alloc(0) })))
    return found
  }

  #tell(member: ClusterDelivery): void {
    const isOfMember = ([destination]: readonly [string, unknown]): boolean => clusterOf(destination) === member.cluster
    member.opened({
      wal: this.#opened!.log,
      feed: this.#feed!,
      isIntact: isIntact(this.#opened!.report),
      receiptIssuer: this.#receiptIssuer,
      backlogFrom: this.#left!.backlog.get(member.cluster)?.firstSequence,
      notes: new Map([...this.#left!.notes].filter(isOfMember))
    })
    if (this.#isDraining) member.drain()
  }

  /** Begins to deliver entries of an earlier process. A starting process accepts requests first. */
  drain(): void {
    this.#isDraining = true
    if (this.#opened !== undefined) for (const member of this.#members.values()) member.drain()
  }

  /** Records of an earlier process that waited when the log was opened, by cluster. */
  get leftRecords(): ReadonlyMap<string, number> {
    return new Map([...(this.#left?.backlog ?? [])].map(([cluster, { openEntries }]) => [cluster, openEntries]))
  }

  /** To be called when no member sends anything any more. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#opening?.catch(() => undefined)
    clearInterval(this.#ticker)
    await this.#feed?.stop()
    this.#options.keys?.close()
    await this.#opened?.close()
  }
}

const NO_BACKLOG: LogView['backlog'] = new Map()

/** Sums up the backlog of destinations, which may be many. */
function byCluster(backlog: ReadonlyMap<string, DestinationBacklog>): Map<string, DestinationBacklog> {
  const sums = new Map<string, DestinationBacklog>()
  for (const [destination, { firstSequence, openEntries }] of backlog) {
    const cluster = clusterOf(destination)
    const before = sums.get(cluster) ?? { firstSequence, openEntries: 0 }
    sums.set(cluster, {
      firstSequence: Math.min(before.firstSequence, firstSequence),
      openEntries: before.openEntries + openEntries
    })
  }
  return sums
}

/** Keys are remembered although their records are in Kafka. */
const holdsLogOrKeys = (directory: string): boolean => holdsLog(directory) || holdsKeys(directory)

const isIntact = (report: RecoveryReport): boolean =>
  report.quarantinedFiles.length === 0 &&
  report.damagedEntries + report.tornEntries + report.tornBytes + report.damagedJournalBytes === 0

const nothingStored = (refusal: LogRefusal): AppendResult => ({
  firstSequence: 0,
  storedCount: 0,
  refusal,
  bytes: Buffer.alloc(0)
})

/** Size of the entry in the log, so that entries which wait here fit there. */
const sizeInLog = ({ destination, record }: NewEntry): number =>
  entrySizeBytes(Buffer.byteLength(destination), loggedRecordBytes(record))
