import { LogUnusableError } from './availability.js'
import { journalIdOf, type LogDirectory, segmentIdOf, withFile } from './files.js'
import { isJournalOfOurs } from './progress-journal.js'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-header.js'
import { ReadablePages } from './unreadable.js'

const FORMAT_NAME = 'FORMAT'
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
  if (isDamaged(format) && hasFilesOfOurs(directory)) return true
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

/** `undefined` when it was never written or cannot be read, or a power cut left it empty or full of zeros. */
function readFormat(directory: LogDirectory): Buffer | undefined {
  if (!directory.list().includes(FORMAT_NAME)) return undefined
  const bytes = withFile(directory, FORMAT_NAME, file => new ReadablePages(file).read(0, FORMAT.length + 1))
  return bytes.every(byte => byte === 0) ? undefined : bytes
}

/** Another version number means another release, unless it differs in a single bit. */
const isDamaged = (format: Buffer): boolean => !OTHER_RELEASE.test(format.toString('latin1')) || isOneBitOff(format)

function isOneBitOff(format: Buffer): boolean {
  if (format.length !== FORMAT.length) return false
  const differences = [...FORMAT].map((byte, at) => byte ^ format[at]!).filter(difference => difference !== 0)
  return differences.length === 1 && Number.isInteger(Math.log2(differences[0]!))
}

/** Whether some segment or journal has a header of this version. */
const hasFilesOfOurs = (directory: LogDirectory): boolean =>
  directory.list().some(name => {
    if (segmentIdOf(name) !== undefined) {
      const header = decodeSegmentHeader(withFile(directory, name, file => file.read(0, SEGMENT_HEADER_BYTES)))
      return header !== 'damaged' && header !== 'unknownVersion'
    }
    return journalIdOf(name) !== undefined && withFile(directory, name, isJournalOfOurs)
  })
