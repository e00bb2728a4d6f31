import { journalIdOf, segmentIdOf } from './file-names.js'
import type { LogDirectory } from './files.js'
import { LogUnusableError } from './log-error.js'
import { isJournalOfOurs } from './progress-journal.js'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-header.js'
import { withFile } from './with-file.js'

const FORMAT_NAME = 'FORMAT'
const FORMAT = Buffer.from('castellan-log 1\n')
const OTHER_RELEASE = /^castellan-log \d+\n$/

/**
 * A file that damage has changed does not keep the log from being used: its segments and journals tell their format themselves.
 *
 * @returns whether it is damaged
 * @throws LogUnusableError when the directory holds something else
 */
export function checkFormat(directory: LogDirectory): boolean {
  const format = readFormat(directory)
  if (format === undefined || format.equals(FORMAT)) return false
  if (isDamaged(format) && hasFilesOfOurs(directory)) return true
  throw new LogUnusableError(`${directory.path} holds a log of another format: ${JSON.stringify(format.toString())}`)
}

/** Names the format of a new directory, or names it again. */
export function writeFormat(directory: LogDirectory): void {
  if (readFormat(directory)?.equals(FORMAT)) return
  if (directory.list().includes(FORMAT_NAME)) directory.remove(FORMAT_NAME)
  const file = directory.create(FORMAT_NAME)
  file.write(FORMAT, 0)
  file.sync()
  file.close()
}

/** `undefined` when it was never written: a power cut leaves such a file empty, or full of zeros. */
function readFormat(directory: LogDirectory): Buffer | undefined {
  if (!directory.list().includes(FORMAT_NAME)) return undefined
  const bytes = withFile(directory, FORMAT_NAME, file => file.read(0, FORMAT.length + 1))
  return bytes.every(byte => byte === 0) ? undefined : bytes
}

/** Another number is that of another release, unless a single bit makes the difference. */
const isDamaged = (format: Buffer): boolean => !OTHER_RELEASE.test(format.toString('latin1')) || isOneBitOff(format)

function isOneBitOff(format: Buffer): boolean {
  if (format.length !== FORMAT.length) return false
  const differences = [...FORMAT].map((byte, at) => byte ^ format[at]!).filter(difference => difference !== 0)
  return differences.length === 1 && Number.isInteger(Math.log2(differences[0]!))
}

/** Some segment or journal has a header that this release has written. */
const hasFilesOfOurs = (directory: LogDirectory): boolean =>
  directory.list().some(name => {
    if (segmentIdOf(name) !== undefined) {
      const header = decodeSegmentHeader(withFile(directory, name, file => file.read(0, SEGMENT_HEADER_BYTES)))
      return header !== 'damaged' && header !== 'unknownVersion'
    }
    return journalIdOf(name) !== undefined && withFile(directory, name, isJournalOfOurs)
  })
