import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Logger } from '../../core/model.js'
import { LogUnusableError } from './availability.js'
import { DurableLog } from './durable-log.js'
import { journalIdOf, KEYS_DIRECTORY, type LogDirectory, outcomesIdOf, rowsNumberOf, segmentIdOf } from './files.js'
import { lockLog } from './log-lock.js'
import { NodeDirectory } from './node-files.js'
import { type OutcomeLimits, RECEIPT_DIRECTORY } from './outcome-store.js'
import { QUARANTINE_DIRECTORY } from './quarantine.js'
import type { RecoveryReport } from './recovery.js'
import type { WalSettings } from './settings.js'
import { openLogThread } from './thread-log-host.js'

export interface DurableLogDeps {
  readonly log: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  /** The log can no longer be used: its thread has ended, or another process has taken the directory. */
  readonly onBroken: (error: Error) => void
  /** The module that the thread runs; needed only when the sources are run directly, without a build. */
  readonly worker?: URL | undefined
  /** How long the outcomes of completed entries are kept. Absent: they are not kept. */
  readonly receipts?: OutcomeLimits | undefined
  /** Called when fewer bytes wait for the disk than before, which is often. */
  readonly onTaken?: (() => void) | undefined
}

/** A durable log that is open, and what was found in it. */
export interface OpenDurableLog {
  readonly log: DurableLog
  /** Absolute. */
  readonly path: string
  readonly directory: LogDirectory
  readonly report: RecoveryReport
  /** The values of `note`, by key. */
  readonly notes: ReadonlyMap<string, Buffer>
  /** Waits for everything appended so far, and releases the directory for other processes. Idempotent. */
  close(): Promise<void>
}

/**
 * Takes a directory for this process, and opens the log in it on a thread of its own.
 *
 * @throws LogUnusableError, in one line, when another process has the directory, or it cannot be used
 */
export async function openDurableLog(settings: WalSettings, deps: DurableLogDeps): Promise<OpenDurableLog> {
  const { log: logger, now, onBroken, worker, onTaken, receipts } = deps
  const path = resolve(settings.directory)
  let log: DurableLog | undefined
  const lock = await lockLog(path, () => {
    const error = new LogUnusableError(`the lock of the durable log in ${path} was taken away from this process`)
    log?.abandon(error.message)
    onBroken(error)
  })
  try {
    const options = { ...settings, path, syncPuts: settings.fsyncPuts, syncTakes: settings.fsyncTakes, receipts }
    const { host, report, notes, logId } = await openLogThread(options, { log: logger, onCrash: onBroken, worker })
    const { fsyncThreshold: syncEveryOperations, fsyncIntervalMs: syncIntervalMs } = settings
    log = new DurableLog({ ...options, syncEveryOperations, syncIntervalMs, host, now, onTaken, logId })
    const close = (): Promise<void> => log!.close().finally(() => lock.release())
    return { log, path, directory: new NodeDirectory(path), report, notes, close }
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Whether a directory holds records of a log. It need not exist. */
export const holdsRecords = (directory: string): boolean =>
  namesIn(resolve(directory)).some(name => segmentIdOf(name) !== undefined) ||
  namesIn(join(resolve(directory), QUARANTINE_DIRECTORY)).some(name => journalIdOf(name) !== undefined)

/** Whether a directory holds records of a log, or says what became of some. It need not exist. */
export const holdsLog = (directory: string): boolean =>
  holdsRecords(directory) ||
  namesIn(join(resolve(directory), RECEIPT_DIRECTORY)).some(
    name => (rowsNumberOf(name) ?? outcomesIdOf(name)) !== undefined
  )

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/** Whether there is a journal of keys beside a log. */
export const holdsKeys = (directory: string): boolean => namesIn(join(resolve(directory), KEYS_DIRECTORY)).length > 0

const WORKER = /^worker-[1-9]\d*$/

/** Directories with a log of a worker: earlier builds could divide a gateway among several. */
export const leftDirectories = (root: string): string[] =>
  workerNamesIn(root)
    .map(name => join(root, name))
    .filter(holdsLog)

/** The names of directories of workers' logs, in the order of their numbers. */
export const workerNamesIn = (root: string): string[] =>
  namesIn(resolve(root))
    .filter(name => WORKER.test(name))
    .sort((one, other) => one.localeCompare(other, 'en', { numeric: true }))
