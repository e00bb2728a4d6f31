import { closeSync, constants, openSync } from 'node:fs'
import { ConfigError } from '../../core/errors.js'

/** A pipe without a reader, or one that is full, must hold up neither a start nor a write. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

/**
 * Opens a file for appending; it is made when it is not there, its directory is not. A pipe that is full answers `EAGAIN`.
 *
 * @param setting that names it, for messages
 * @returns the descriptor, which is the caller's
 * @throws ConfigError when it cannot be opened; `ENXIO` is a pipe without a reader
 */
export function openToAppend(file: string, setting: string, mode?: number): number {
  try {
    return openSync(file, FLAGS, mode)
  } catch (error) {
    throw new ConfigError(`${setting}: cannot write ${file} (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** Calls `use` while the file is open for appending: a pipe has a writer all the time, and opening it again cannot wait. */
export function whileOpenToAppend<T>(file: string, setting: string, mode: number | undefined, use: () => T): T {
  const descriptor = openToAppend(file, setting, mode)
  try {
    return use()
  } finally {
    closeSync(descriptor)
  }
}
