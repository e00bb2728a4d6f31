import type { LogDirectory } from './files.js'
import { LogUnusableError } from './log-error.js'
import { withFile } from './recovery.js'

const FORMAT_NAME = 'FORMAT'
const FORMAT = 'castellan-log 1\n'

/** @throws LogUnusableError when the directory holds something else */
export function checkFormat(directory: LogDirectory): void {
  if (!directory.list().includes(FORMAT_NAME)) return
  const format = withFile(directory, FORMAT_NAME, file => file.read(0, FORMAT.length + 1).toString())
  if (format !== FORMAT && format !== '') {
    throw new LogUnusableError(`${directory.path} holds a log of another format: ${JSON.stringify(format)}`)
  }
}

/** Names the format of a new directory. */
export function writeFormat(directory: LogDirectory): void {
  if (directory.list().includes(FORMAT_NAME)) return
  const file = directory.create(FORMAT_NAME)
  file.write(Buffer.from(FORMAT), 0)
  file.sync()
  file.close()
}
