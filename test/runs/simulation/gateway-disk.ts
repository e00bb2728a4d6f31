import type { LogStorage } from '../../../src/producer/disk/durable-backlog.js'
import { type DeadLetter, DeadLetters } from '../../../src/producer/log/dead-letters.js'
import { DurableLog } from '../../../src/producer/log/durable-log.js'
import { journalIdOf, KEYS_DIRECTORY, rowsNumberOf, segmentIdOf } from '../../../src/producer/log/files.js'
import { LogCore, type LogHost } from '../../../src/producer/log/log-host.js'
import { LogStore, type LogStoreOptions } from '../../../src/producer/log/log-store.js'
import { readLoggedRecord } from '../../../src/producer/log/logged-record.js'
import type { DurableLogDeps, OpenDurableLog } from '../../../src/producer/log/open-durable-log.js'
import { RECEIPT_DIRECTORY } from '../../../src/producer/log/outcome-store.js'
import { QUARANTINE_DIRECTORY } from '../../../src/producer/log/quarantine.js'
import { salvageLog } from '../../../src/producer/log/salvage.js'
import type { WalSettings } from '../../../src/producer/log/settings.js'
import { type ReceiptClaims, ReceiptKey } from '../../../src/producer/receipts/receipt-ids.js'
import { receiptSecretOf } from '../../../src/server/app/receipt-secret.js'
import type { Config } from '../../../src/server/config/config.js'
import type { Logged } from '../../support/history-checker.js'
import { InlineLogHost } from '../../support/inline-log-host.js'
import type { SeededRandom } from '../../support/random.js'
import { type DiskFaults, SimulatedDisk } from '../../support/simulated-disk.js'
import { bytesText, valueText } from './record-text.js'
import type { Host } from './world/host.js'

/** Of the shortest record and what the log writes around it. */
const LEAST_ENTRY_BYTES = 64
/** About twenty records. */
const END_BYTES = 5_000
const LIST_BYTES = 1_000_000

function toLogged({ destination, sequence, body }: DeadLetter): Logged {
  const { key, value, headers } = readLoggedRecord(body)
  const topic = destination.slice(destination.indexOf('/') + 1)
  return { topic, partition: 0, offset: sequence, key: bytesText(key), value: valueText(bytesText(value), headers) }
}

/** The secret of the gateway's receipts. */
export const SECRET = 'a simulated secret of 38 bytes, no less'

/** A record whose request was answered with a receipt. */
export interface SentReceipt {
  readonly id: string
  readonly receipt: string
  /** Of the record in its request. */
  readonly index: number
  /** What its answer said: `pending`, `yes` … */
  readonly certainty: string | undefined
  /** The process that has answered. */
  readonly process: Host
  readonly isDurable: boolean
  /** The same record may have come in other requests, too. */
  readonly isRetried?: boolean
}

/** What a receipt says about one record. */
export interface ToldReceipt {
  readonly id: string
  readonly state: string
  readonly topic?: string
  readonly partition?: number
  /** Negative: it has not said where. */
  readonly offset?: number
  /** It was asked for over HTTP, perhaps before all was over. */
  readonly isAsked?: boolean
  readonly mayBeUnknown?: boolean
  readonly isRetried?: boolean | undefined
}

function sequenceOf({ number, accepted }: ReceiptClaims, index: number): number | undefined {
  let sequence = number
  for (const run of accepted) {
    if (index >= run.index && index < run.index + run.count) return sequence + index - run.index
    sequence += run.count
  }
  return undefined
}

type Before = NonNullable<DiskFaults['before']>

/** What one call of the log's thread takes, as a rule. */
const USUAL_MS = [0.1, 2] as const

/** The disk of a gateway: it stays when the process dies, and the durable log is on it. */
export class GatewayDisk {
  readonly disk = new SimulatedDisk()
  /** How much longer everything takes. */
  slowMs = 0
  readonly #random: SeededRandom
  readonly #faults = new Set<Before>()
  /** Of each start; the last one is in use. */
  readonly #stores: LogStore[] = []
  #options: (LogStoreOptions & WalSettings) | undefined
  /** Files that earlier processes had open when they were killed. */
  #filesOfKilled = 0
  /** Records that were not in Kafka when bits flipped, all flips together. */
  #mayBeDamaged = 0
  #hasFailed = false
  #isOperated = false

  constructor(random: SeededRandom) {
    this.#random = random
    this.disk.faults.before = (...operation) => {
      for (const fault of [...this.#faults]) fault(...operation)
    }
  }

  readonly storage: LogStorage = {
    open: (settings, deps) => Promise.resolve(this.#open(settings, deps)),
    // Like `holdsLog` and `holdsKeys`.
    holdsRecords: () =>
      this.disk.directory.list().some(name => segmentIdOf(name) !== undefined) ||
      this.#namesIn(RECEIPT_DIRECTORY).some(name => rowsNumberOf(name) !== undefined) ||
      this.#namesIn(QUARANTINE_DIRECTORY).some(name => journalIdOf(name) !== undefined) ||
      this.#namesIn(KEYS_DIRECTORY).length > 0
  }

  #namesIn(folder: string): readonly string[] {
    return this.disk.directory.directory(folder, true)?.list() ?? []
  }

  /** In the log, and not in Kafka as far as the log knows. */
  get openRecords(): number {
    const { openEntries = 0, setAsideEntries = 0 } = this.#stores.at(-1)?.stats ?? {}
    return openEntries + setAsideEntries
  }

  /** Of the process that is there, or was the last one. */
  get filesLeftOpen(): number {
    return this.disk.openFiles - this.#filesOfKilled
  }

  /** An operator mends the log at the next start. @returns whether that is needed */
  operate(): boolean {
    this.#isOperated = true
    return (this.#stores.at(-1)?.stats.setAsideEntries ?? 0) > 0
  }

  boundsProblem(): string | undefined {
    const { sizeBytes = 0 } = this.#stores.at(-1)?.stats ?? {}
    const { maxBytes = 0, segmentBytes = 0 } = this.#options ?? {}
    return sizeBytes > maxBytes + segmentBytes ? `the log has ${sizeBytes} of ${maxBytes} bytes` : undefined
  }

  /** @param before throws what an operation is to throw @returns mends it */
  fail(before: Before): () => void {
    this.#hasFailed = true
    this.#faults.add(before)
    return () => void this.#faults.delete(before)
  }

  /** What was not synced is lost, or torn. */
  powerCut(random: SeededRandom): void {
    this.#hasFailed = true
    this.disk.powerCut(() => random.next())
  }

  /**
   * Flips bits in bytes that hold something: at the end of the newest segment, whose records may not be in Kafka yet, or
   * anywhere in a segment or a journal.
   *
   * @returns the name of the file
   */
  flipBits(random: SeededRandom, count: number): string | undefined {
    const names = this.disk.directory.list()
    const newest = names
      .filter(name => segmentIdOf(name) !== undefined)
      .sort()
      .at(-1)
    const all = names.filter(name => (segmentIdOf(name) ?? journalIdOf(name)) !== undefined)
    if (newest === undefined) return undefined
    const isAtEnd = random.between(0, 2) > 0
    const name = isAtEnd ? newest : random.pick(all)
    this.#mayBeDamaged += this.openRecords
    this.#hasFailed = true
    this.disk.patch(name, bytes => {
      const used = Array.from(bytes.keys()).filter(at => bytes[at] !== 0)
      const harmed = isAtEnd ? used.slice(-END_BYTES) : used
      for (let flipped = 0; flipped < count && harmed.length > 0; flipped++)
        bytes[random.pick(harmed)]! ^= 1 << random.between(0, 7)
      return bytes
    })
    return name
  }

  /** The most records that the log has said it lost, on whichever start; none but those that were in it alone. */
  get reportedLosses(): number {
    const reported = this.#stores.reduce((sum, { recovered, stats }) => {
      const { quarantinedFiles, tornEntries, tornBytes } = recovered
      if (quarantinedFiles.length > 0 || stats.setAsideEntries > 0) return Number.POSITIVE_INFINITY
      return sum + stats.damagedEntries + tornEntries + Math.ceil(tornBytes / LEAST_ENTRY_BYTES)
    }, 0)
    return Math.min(reported, this.#mayBeDamaged)
  }

  /** Records that the next start would send again, when the gateway is closed. */
  leftOpen(): number {
    if (this.#options === undefined) return 0
    const store = new LogStore(this.#options)
    const { openEntries, setAsideEntries } = store.stats
    store.close()
    return openEntries + setAsideEntries
  }

  /**
   * Outcomes of records may be missing: the disk has failed or was full, or a log without syncs has begun anew after a
   * kill.
   */
  get mayForget(): boolean {
    const wereLost = this.#stores.some(({ stats }) => stats.lostOutcomes > 0)
    return this.#hasFailed || wereLost || this.#options?.fsyncPuts === false
  }

  /** What receipts of records that it has taken say when the gateway is closed. */
  receiptStates(all: readonly SentReceipt[]): ToldReceipt[] {
    const receipts = all.filter(({ isDurable, certainty = '' }) => isDurable && ['pending', 'yes'].includes(certainty))
    if (receipts.length === 0) return []
    const store = new LogStore(this.#options!)
    const key = new ReceiptKey(
      receiptSecretOf({ peers: { token: SECRET } as unknown as Config['peers'], wal: this.#options! })
    )
    const states = receipts.map(({ id, receipt, index }): ToldReceipt => {
      const claims = key.open(receipt, ['anonymous'])
      if (claims === undefined) return { id, state: 'not its own' }
      if (claims.issuer !== store.logId?.toString('hex')) return { id, state: 'unknown' }
      const sequence = sequenceOf(claims, index)
      if (sequence === undefined) return { id, state: 'refused' }
      const { open, outcomes } = store.states({ first: sequence, count: 1 })
      const outcome = outcomes.get(sequence)
      if (outcome?.type === 'delivered') {
        const { destination, partition, offset } = outcome
        return { id, state: 'inKafka', topic: destination.slice(destination.indexOf('/') + 1), partition, offset }
      }
      return { id, state: open.length > 0 ? 'waiting' : (outcome?.type ?? 'unknown') }
    })
    store.close()
    return states
  }

  /** Records that Kafka refused for good, when the gateway is closed. */
  deadLetters(): Logged[] {
    const letters = new DeadLetters({ ...this.#options!, maxBytes: Number.MAX_SAFE_INTEGER })
    const found: Logged[] = []
    for (let fromSequence = 0; ; ) {
      const list = letters.list(fromSequence, LIST_BYTES)
      found.push(...list.letters.map(toLogged))
      if (list.isAtEnd) break
      fromSequence = list.nextSequence
    }
    letters.close()
    return found
  }

  #open({ directory: _, ...settings }: WalSettings, { receipts }: DurableLogDeps): OpenDurableLog {
    const options: LogStoreOptions & WalSettings = {
      ...settings,
      directory: this.disk.directory as LogStoreOptions['directory'] & string,
      syncPuts: settings.fsyncPuts,
      syncTakes: settings.fsyncTakes,
      now: Date.now,
      clock: () => performance.now(),
      newSalt: () => this.#random.between(0, 2 ** 32 - 1),
      receipts,
      report: () => undefined
    }
    this.#filesOfKilled = this.disk.openFiles
    if (this.#isOperated) salvageLog(options, () => undefined)
    const store = new LogCore(options, settings.maxDeadLetterBytes)
    this.#options = options
    this.#stores.push(store)
    const host = onThread(
      new InlineLogHost(store),
      () => this.slowMs + USUAL_MS[0] + this.#random.next() * (USUAL_MS[1] - USUAL_MS[0])
    )
    const log = new DurableLog({ ...settings, syncPuts: settings.fsyncPuts, host, now: Date.now, logId: store.logId })
    const { recovered: report, notes } = store
    const { directory } = options
    return { log, path: '/simulated', directory, report, notes, close: () => log.close() }
  }
}

/** Does one call after the other, each after its time; what the process has asked for is not done when it dies. */
class SimulatedThread {
  readonly #durationMs: () => number
  readonly #waiting: (() => void)[] = []
  #isBusy = false

  constructor(durationMs: () => number) {
    this.#durationMs = durationMs
  }

  do(work: () => void): void {
    this.#waiting.push(work)
    if (!this.#isBusy) this.#next()
  }

  #next(): void {
    const work = this.#waiting.shift()
    this.#isBusy = work !== undefined
    if (work === undefined) return
    setTimeout(() => {
      work()
      this.#next()
    }, this.#durationMs())
  }
}

function onThread(core: LogHost, durationMs: () => number): LogHost {
  const thread = new SimulatedThread(durationMs)
  return {
    call: (...call) =>
      new Promise((resolve, reject) => {
        thread.do(() => void core.call(...call).then(resolve, reject))
      })
  }
}
