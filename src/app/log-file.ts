import pino from 'pino'
import { ConfigError } from '../errors.js'

/** A file that lines are appended to. */
export type LogFile = ReturnType<typeof pino.destination>

type Options = Parameters<typeof pino.destination>[0] & object

/**
 * Opens a file for appending; it is made when it is not there, its directory is not.
 *
 * @param setting that names it, for messages
 * @throws ConfigError when it cannot be opened
 */
export function openLogFile(file: string, setting: string, options: Options = {}): LogFile {
  try {
    return pino.destination({ sync: true, ...options, dest: file, append: true, mkdir: false })
  } catch (error) {
    throw new ConfigError(`${setting}: cannot write ${file} (${(error as NodeJS.ErrnoException).code})`)
  }
}
