import type { LogDirectory } from './files.js'
import { LogUnusableError } from './log-error.js'
import { withFile } from './with-file.js'

const FORMAT_NAME = 'FORMAT'
const FORMAT = 'castellan-log 1\n'

/** @throws LogUnusableError when the directory holds something else */
export function checkFormat(directory: LogDirectory): void {
  const format = readFormat(directory)
  if (format !== undefined && format !== FORMAT) {
    throw new LogUnusableError(`${directory.path} holds a log of another format: ${JSON.stringify(format)}`)
  }
}

/** Names the format of a new directory. */
export function writeFormat(directory: LogDirectory): void {
  if (readFormat(directory) === FORMAT) return
  if (directory.list().includes(FORMAT_NAME)) directory.remove(FORMAT_NAME)
  const file = directory.create(FORMAT_NAME)
  file.write(Buffer.from(FORMAT), 0)
  file.sync()
  file.close()
}

/** `undefined` when it was never written: a power cut leaves such a file empty, or full of zeros. */
function readFormat(directory: LogDirectory): string | undefined {
  if (!directory.list().includes(FORMAT_NAME)) return undefined
  const bytes = withFile(directory, FORMAT_NAME, file => file.read(0, FORMAT.length + 1))
  return bytes.every(byte => byte === 0) ? undefined : bytes.toString()
}
