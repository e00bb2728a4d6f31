import { accessSync, constants, existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { DirectoryLock, isLocked, type LockWords } from '../../core/files/directory-lock.js'
import { foreignTexts } from '../../core/foreign-texts.js'
import { messageOf } from '../../core/node-errors.js'
import { LogUnusableError } from './availability.js'

const words: LockWords = {
  inUse: directory =>
    new LogUnusableError(
      `another process uses the durable log in ${directory}; stop it, or give each process a directory of its own (wal.directory)`,
      undefined,
      'wal.directory'
    ),
  unusable: (directory, error) =>
    new LogUnusableError(
      `the durable log cannot use ${directory} (wal.directory): ${messageOf(error)}`,
      error,
      'wal.directory'
    )
}

/**
 * Makes this process the only one that uses the log in a directory.
 *
 * @param onLost as in {@link DirectoryLock.take}
 * @throws LogUnusableError when another process uses it, or it cannot be used
 */
export const lockLog = (directory: string, onLost: () => void): Promise<DirectoryLock> =>
  DirectoryLock.take(directory, words, onLost)

/** Why a directory could not be taken now, in one line; nothing is written and the lock is not taken. */
export async function whyNotToTake(directory: string): Promise<string | undefined> {
  try {
    if (existsSync(directory) && (await isLocked(directory))) return words.inUse(directory).message
    // The directory may not exist yet, so its nearest existing parent is checked.
    return whyNotToWrite(directory, nearestExisting(directory))
  } catch (error) {
    return words.unusable(directory, error).message
  }
}

function whyNotToWrite(directory: string, nearest: string): string | undefined {
  try {
    // With the trailing slash, the check fails if the path is a file.
    accessSync(`${nearest}/`, constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    const cause = messageOf(error).replace(foreignTexts.node.call, '')
    return words.unusable(directory, new Error(`${cause}: ${nearest}`)).message
  }
}

function nearestExisting(path: string): string {
  const parent = dirname(path)
  return existsSync(path) || parent === path ? path : nearestExisting(parent)
}
