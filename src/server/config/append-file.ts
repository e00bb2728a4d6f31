import { closeSync, constants, openSync } from 'node:fs'
import { ConfigError } from '../../core/errors.js'
import { codeOf } from '../../core/node-errors.js'

/**
 * The file may be a pipe. With O_NONBLOCK, a pipe without a reader does not block opening, and a full pipe does not
 * block writing.
 */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

/**
 * Opens a file for appending. Creates a missing file, but no missing directory. Writing to a full pipe fails with
 * `EAGAIN`.
 *
 * @param setting the setting that names the file, for messages
 * @returns the file descriptor, which the caller has to close
 * @throws ConfigError when the file cannot be opened; `ENXIO`: it is a pipe without a reader
 */
export function openToAppend(file: string, setting: string, mode?: number): number {
  try {
    return openSync(file, FLAGS, mode)
  } catch (error) {
    throw new ConfigError(`${setting}: cannot write ${file} (${codeOf(error)})`)
  }
}

/**
 * Opens the file for appending, calls `use`, and closes the file. While it is open, `use` can open a pipe again without
 * blocking.
 */
export function whileOpenToAppend<T>(file: string, setting: string, mode: number | undefined, use: () => T): T {
  const descriptor = openToAppend(file, setting, mode)
  try {
    return use()
  } finally {
    closeSync(descriptor)
  }
}
