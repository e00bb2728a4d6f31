import { LogUnusableError } from './availability.js'
import { journalIdOf, type LogDirectory, segmentIdOf, withFile } from './files.js'
import { ReadablePages } from './unreadable.js'

export const FORMAT_NAME = 'FORMAT'
const FORMAT = Buffer.from('castellan-log 1\n')
const OTHER_RELEASE = /^castellan-log \d+\n$/

/**
 * Checks the file FORMAT. A damaged FORMAT does not prevent use of the log, because segments and journals have their
 * own versions.
 *
 * @returns whether it is damaged
 * @throws LogUnusableError when the directory holds something else
 */
export function checkFormat(directory: LogDirectory): boolean {
  const format = readFormat(directory)
  if (format === undefined || format.equals(FORMAT)) return false
  if (!OTHER_RELEASE.test(format.toString('latin1')) && hasFilesOfOurs(directory)) return true
  throw new LogUnusableError(`${directory.path} holds a log of another format: ${JSON.stringify(format.toString())}`)
}

/** Writes the file FORMAT, unless it is intact. */
export function writeFormat(directory: LogDirectory): void {
  if (readFormat(directory)?.equals(FORMAT)) return
  if (directory.list().includes(FORMAT_NAME)) directory.remove(FORMAT_NAME)
  const file = directory.open(FORMAT_NAME, 'create')
  file.write(FORMAT, 0)
  file.sync()
  file.close()
}

/** `undefined` when it was never written or cannot be read, or a crash or a full disk left a part of it, or zeros. */
function readFormat(directory: LogDirectory): Buffer | undefined {
  if (!directory.list().includes(FORMAT_NAME)) return undefined
  const bytes = withFile(directory, FORMAT_NAME, file => new ReadablePages(file).read(0, FORMAT.length + 1))
  const isUnwritten = bytes.every(byte => byte === 0) || FORMAT.subarray(0, FORMAT.length - 1).indexOf(bytes) === 0
  return isUnwritten ? undefined : bytes
}

/** Whether there are segments or journals. */
const hasFilesOfOurs = (directory: LogDirectory): boolean =>
  directory.list().some(name => (segmentIdOf(name) ?? journalIdOf(name)) !== undefined)
