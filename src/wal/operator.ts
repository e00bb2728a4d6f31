import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { DirectoryLock, isLocked } from './directory-lock.js'
import type { LogDirectory } from './files.js'
import { LogUnusableError } from './log-error.js'
import type { LogStoreOptions } from './log-store.js'
import { NodeDirectory } from './node-files.js'
import { holdsRecords } from './open-durable-log.js'
import { discardDeadLetters, type RedriveResult, replayDeadLetters, type Selection } from './redrive.js'
import type { WalSettings } from './settings.js'

/**
 * The directory of a log that a command looks at.
 *
 * @throws LogUnusableError when there is none; looking at it does not make one
 */
export function existingLog({ directory }: Pick<WalSettings, 'directory'>): LogDirectory {
  const path = resolve(directory)
  if (existsSync(join(path, 'FORMAT')) || holdsRecords(path)) return new NodeDirectory(path)
  throw new LogUnusableError(`there is no durable log in ${path}; --directory DIR names another directory`)
}

/** Whether a running process has the log open. */
export const isInUse = ({ path }: LogDirectory): Promise<boolean> => isLocked(path)

type Report = LogStoreOptions['report']

/** @throws LogUnusableError when another process has the log open, or there is none */
export const replay = (settings: WalSettings, which: Selection, report: Report): Promise<RedriveResult> =>
  withOwnLog(settings, report, options => replayDeadLetters(options, settings.maxDeadLetterBytes, which))

/** @throws LogUnusableError when another process has the log open, or there is none */
export const discard = (settings: WalSettings, which: Selection, report: Report): Promise<RedriveResult> =>
  withOwnLog(settings, report, options => discardDeadLetters(options, settings.maxDeadLetterBytes, which))

async function withOwnLog<T>(settings: WalSettings, report: Report, use: (options: LogStoreOptions) => T): Promise<T> {
  const directory = existingLog(settings)
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
