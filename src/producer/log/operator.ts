import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DirectoryLock, isLocked } from './directory-lock.js'
import type { LogDirectory } from './files.js'
import { LogUnusableError } from './log-error.js'
import type { LogStoreOptions } from './log-store.js'
import { NodeDirectory } from './node-files.js'
import { holdsRecords } from './open-durable-log.js'
import { workerNamesIn } from './orphaned-directories.js'
import { discardDeadLetters, type RedriveResult, replayDeadLetters, type Selection } from './redrive.js'
import type { WalSettings } from './settings.js'

/** One of the logs in a directory: that of a process which is alone, or of a worker. */
export interface ExistingLog {
  /** `worker-1`; `.` is the directory itself. */
  readonly name: string
  readonly directory: LogDirectory
}

/**
 * The logs that a command looks at: the one in the directory itself, and those of workers below it.
 *
 * @returns at least one
 * @throws LogUnusableError when there is none; looking at it does not make one
 */
export function existingLogs({ directory }: Pick<WalSettings, 'directory'>): readonly ExistingLog[] {
  const root = resolve(directory)
  const logs = ['.', ...workerNamesIn(root)]
    .map(name => ({ name, path: join(root, name) }))
    .filter(({ path }) => existsSync(join(path, 'FORMAT')) || holdsRecords(path))
  if (logs.length > 0) return logs.map(({ name, path }) => ({ name, directory: new NodeDirectory(path) }))
  throw new LogUnusableError(`there is no durable log in ${root}; --directory DIR names another directory`)
}

/** Whether a running process has the log open. */
export const isInUse = ({ path }: LogDirectory): Promise<boolean> => isLocked(path)

type Report = LogStoreOptions['report']

/** @throws LogUnusableError when another process has the log open */
export const replay = (
  log: ExistingLog,
  settings: WalSettings,
  which: Selection,
  report: Report
): Promise<RedriveResult> =>
  withOwnLog(log, settings, report, options => replayDeadLetters(options, settings.maxDeadLetterBytes, which))

/** @throws LogUnusableError when another process has the log open */
export const discard = (
  log: ExistingLog,
  settings: WalSettings,
  which: Selection,
  report: Report
): Promise<RedriveResult> =>
  withOwnLog(log, settings, report, options => discardDeadLetters(options, settings.maxDeadLetterBytes, which))

async function withOwnLog<T>(
  { directory }: ExistingLog,
  settings: WalSettings,
  report: Report,
  use: (options: LogStoreOptions) => T
): Promise<T> {
  const lock = await DirectoryLock.take(directory.path, () => undefined)
  const clock = (): number => performance.now()
  let salt = randomBytes(4).readUInt32BE(0)
  try {
    const { fsyncPuts: syncPuts, fsyncTakes: syncTakes } = settings
    const newSalt = (): number => (salt = (salt + 1) >>> 0)
    return use({ ...settings, directory, syncPuts, syncTakes, now: Date.now, clock, newSalt, report })
  } finally {
    lock.release()
  }
}
