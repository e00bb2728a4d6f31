import { closeSync, constants, openSync } from 'node:fs'
import pino from 'pino'
import { ConfigError } from '../errors.js'

/** A file that lines are appended to. */
export type LogFile = ReturnType<typeof pino.destination>

interface Options {
  /** Of a file that is made. */
  readonly mode?: number
}

/** A pipe that nobody reads must hold up neither a start nor whoever writes. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

/**
 * Opens a file for appending; it is made when it is not there, its directory is not. A pipe that is full answers `EAGAIN`.
 *
 * @param setting that names it, for messages
 * @throws ConfigError when it cannot be opened; `ENXIO` is a pipe without a reader
 */
export function openToAppend(file: string, setting: string, mode?: number): number {
  try {
    return openSync(file, FLAGS, mode)
  } catch (error) {
    throw new ConfigError(`${setting}: cannot write ${file} (${(error as NodeJS.ErrnoException).code})`)
  }
}

/**
 * The same, for lines that are written one by one: a pipe that is full is waited for.
 *
 * @throws ConfigError when it cannot be opened
 */
export function openLogFile(file: string, setting: string, options: Options = {}): LogFile {
  const probe = openToAppend(file, setting, options.mode)
  try {
    return pino.destination({ sync: true, ...options, dest: file, append: true, mkdir: false })
  } finally {
    // Not before: a reader of a pipe would take it for the end.
    closeSync(probe)
  }
}
