import { accessSync, constants, existsSync, mkdtempSync, rmdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DirectoryLock, isLocked, type LockWords } from '../../core/files/directory-lock.js'
import { foreignTexts } from '../../core/foreign-texts.js'
import { codeOf, messageOf } from '../../core/node-errors.js'
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

/**
 * Why a directory could not be taken now, in one line; nothing is left behind and the lock is not taken.
 *
 * @param triesToMake where the directory is not there, whether one can be made is tried, with another name, which is removed at once
 */
export async function whyNotToTake(directory: string, triesToMake = true): Promise<string | undefined> {
  try {
    if (existsSync(directory) && (await isLocked(directory))) return words.inUse(directory).message
    // The directory may not exist yet, so its nearest existing parent is checked.
    const nearest = nearestExisting(directory)
    const why = whyNotToWrite(directory, nearest)
    return why !== undefined || !triesToMake || nearest === directory ? why : whyNotToMake(directory, nearest)
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

/** Some file systems refuse new directories to those who have the right to write, as `/proc` does. */
function whyNotToMake(directory: string, parent: string): string | undefined {
  try {
    rmdirSync(mkdtempSync(join(parent, 'castellan-')))
    return undefined
  } catch (error) {
    return words.unusable(directory, new Error(`no directory can be made in ${parent} (${codeOf(error)})`)).message
  }
}

function nearestExisting(path: string): string {
  const parent = dirname(path)
  return existsSync(path) || parent === path ? path : nearestExisting(parent)
}
