import pino from 'pino'
import { whileOpenToAppend } from '../config/append-file.js'

/** A file that lines are appended to. */
export type LogFile = ReturnType<typeof pino.destination>

interface Options {
  /** Of a file that is made. */
  readonly mode?: number
}

/**
 * Opens a file for appending lines one by one; it is made when it is not there, its directory is not.
 *
 * @param setting that names it, for messages
 * @throws ConfigError when it cannot be opened
 */
export const openLogFile = (file: string, setting: string, options: Options = {}): LogFile =>
  whileOpenToAppend(file, setting, options.mode, () =>
    pino.destination({ sync: true, ...options, dest: file, append: true, mkdir: false })
  )
