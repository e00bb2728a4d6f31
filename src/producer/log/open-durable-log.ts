import { readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Logger } from '../../core/model.js'
import { DirectoryLock } from './directory-lock.js'
import { DurableLog } from './durable-log.js'
import { segmentIdOf } from './file-names.js'
import { LogUnusableError } from './log-error.js'
import type { RecoveryReport } from './recovery.js'
import type { WalSettings } from './settings.js'
import { openLogThread } from './thread-log-host.js'

export interface DurableLogDeps {
  readonly log: Logger
  /** Epoch milliseconds. */
  readonly now: () => number
  /** The log can do nothing any more: its thread has ended, or the directory belongs to another process now. */
  readonly onBroken: (error: Error) => void
  /** The thread's module; another one than the built one when the sources themselves are run. */
  readonly worker?: URL | undefined
  /** Less waits for the disk than before. Called often. */
  readonly onTaken?: (() => void) | undefined
}

/** A durable log that is open, and what was found in it. */
export interface OpenDurableLog {
  readonly log: DurableLog
  /** Absolute. */
  readonly path: string
  readonly report: RecoveryReport
  /** The values of `note`, by key. */
  readonly notes: ReadonlyMap<string, Buffer>
  /** Waits for everything appended so far, and lets another process have the directory. Idempotent. */
  close(): Promise<void>
}

/**
 * Takes a directory for this process, and opens the log in it on a thread of its own.
 *
 * @throws LogUnusableError, in one line, when another process has the directory, or it cannot be used
 */
export async function openDurableLog(settings: WalSettings, deps: DurableLogDeps): Promise<OpenDurableLog> {
  const { log: logger, now, onBroken, worker, onTaken } = deps
  const path = resolve(settings.directory)
  let log: DurableLog | undefined
  const lock = await DirectoryLock.take(path, () => {
    const error = new LogUnusableError(`the lock of the durable log in ${path} was taken away from this process`)
    log?.abandon(error.message)
    onBroken(error)
  })
  try {
    const options = { ...settings, path, syncPuts: settings.fsyncPuts, syncTakes: settings.fsyncTakes }
    const { host, report, notes } = await openLogThread(options, { log: logger, onCrash: onBroken, worker })
    const { fsyncThreshold: syncEveryOperations, fsyncIntervalMs: syncIntervalMs } = settings
    log = new DurableLog({ ...options, syncEveryOperations, syncIntervalMs, host, now, onTaken })
    const close = (): Promise<void> => log!.close().finally(() => lock.release())
    return { log, path, report, notes, close }
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Whether a directory holds records of a log. It need not exist. */
export function holdsRecords(directory: string): boolean {
  try {
    return readdirSync(resolve(directory)).some(name => segmentIdOf(name) !== undefined)
  } catch {
    return false
  }
}
