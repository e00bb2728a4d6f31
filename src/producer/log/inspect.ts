import type { TellProgress } from '../../core/model.js'
import { codeOf } from '../../core/node-errors.js'
import { backlogOf, type DestinationBacklog } from './backlog.js'
import { DEAD_LETTER_DIRECTORY, type DeadLetter, toDeadLetter } from './dead-letters.js'
import type { StoredEntry } from './entry.js'
import { LogReader, READ_BYTES } from './entry-reader.js'
import { journalIdOf, type LogDirectory, withFile } from './files.js'
import { checkFormat, FORMAT_NAME } from './format-file.js'
import { QUARANTINE_DIRECTORY } from './quarantine.js'
import { type RecoveryReport, readProgress, recover } from './recovery.js'
import { directoriesWithSegments, entriesAside } from './salvage.js'
import { entriesIn } from './scan-segment.js'
import type { LogSegment } from './segment.js'
import { SegmentIndexes } from './segment-indexes.js'
import { readTrailer } from './segment-writer.js'
import { ReadablePages } from './unreadable.js'

/** Facts about one segment. */
export interface SegmentReport {
  readonly name: string
  readonly sizeBytes: number
  readonly firstSequence: number
  readonly entries: number
  readonly openEntries: number
  readonly damagedEntries: number
  /** Closed by a seal: nothing is appended to it. */
  readonly isSealed: boolean
}

export interface LogReport {
  readonly segments: readonly SegmentReport[]
  /** The entries that wait, by `cluster/topic`. */
  readonly backlog: ReadonlyMap<string, DestinationBacklog>
  readonly report: RecoveryReport
  readonly deadLetters: number
  /** Files set aside because of damage. */
  readonly quarantined: readonly string[]
}

/** The listing is repeated this often, because the process that uses the log may remove a file meanwhile. */
const MAX_LOOKS = 10

/**
 * Looks at a log without changing it; another process may be using it at the same time.
 *
 * @throws LogUnusableError when another release wrote it
 */
export const inspectLog = (directory: LogDirectory): LogReport =>
  whileUnchanged(() => {
    const { segments, aside, report } = recover(directory)
    return {
      segments: [...segments.map(segment => reportOf(directory, segment)), ...aside.map(unreadable)],
      backlog: backlogOf(segments, new SegmentIndexes(directory, () => undefined)),
      report,
      deadLetters: countDeadLetters(directory),
      quarantined: directory.directory(QUARANTINE_DIRECTORY, true)?.list() ?? []
    }
  })

/** Reads every byte of every segment, completed entries included, and tells what is damaged. */
export const verifyLog = (directory: LogDirectory, tell?: TellProgress): readonly SegmentReport[] =>
  whileUnchanged(() => {
    const { segments, aside } = recover(directory)
    const done = { records: 0, bytes: 0 }
    const left = { records: 0, bytes: segments.reduce((sum, { endBytes }) => sum + endBytes, 0) }
    const read = segments.map(segment => {
      tell?.(done, left, directory.path)
      done.records += segment.entryCount
      done.bytes += segment.endBytes
      left.bytes -= segment.endBytes
      const report = reportOf(directory, segment)
      // The ends of others were read by recovery. All entries before a seal were durable when it was written.
      if (!report.isSealed) return report
      return { ...report, damagedEntries: segment.entryCount - wholeEntriesIn(directory, segment) }
    })
    return [...read, ...aside.map(unreadable)]
  })

/** Files of a log that are damaged outside of single records. A start goes on without their content. */
export const damagedLogFiles = (directory: LogDirectory): readonly string[] =>
  whileUnchanged(() => {
    const journals = directory.list().filter(name => journalIdOf(name) !== undefined)
    return [
      ...(checkFormat(directory) ? [FORMAT_NAME] : []),
      ...recover(directory).report.quarantinedFiles,
      ...journals.filter(name => readProgress(directory, name).damagedBytes > 0)
    ]
  })

const wholeEntriesIn = (directory: LogDirectory, { name, salt, endBytes }: LogSegment): number =>
  withFile(directory, name, file => {
    let count = 0
    for (const { type } of entriesIn(new ReadablePages(file), salt, endBytes)) if (type === 'entry') count++
    return count
  })

/** The dead letters from `fromSequence` on, oldest first; looks at them without changing them. */
export function* readDeadLetters(directory: LogDirectory, fromSequence = 1): Generator<DeadLetter> {
  const dead = directory.directory(DEAD_LETTER_DIRECTORY, true)
  if (dead === undefined) return
  for (let isAtEnd = false; !isAtEnd; ) {
    const result = whileUnchanged(() => {
      const { segments, nextSequence } = recover(dead)
      const reader = new LogReader(dead, segments, new SegmentIndexes(dead, () => undefined), () => undefined)
      return reader.read({ fromSequence, maxBytes: READ_BYTES }, nextSequence)
    })
    for (const entry of result.entries) yield toDeadLetter(entry)
    fromSequence = result.nextSequence
    isAtEnd = result.isAtEnd
  }
}

/** The entries of segments that were set aside, as far as the disk can read them; changes nothing. */
export function* readAside(
  directory: LogDirectory,
  tell: TellProgress
): Generator<StoredEntry & { readonly letter: DeadLetter | undefined }> {
  for (const one of directoriesWithSegments(directory)) {
    const isDead = one.path !== directory.path
    for (const segment of recover(one).aside)
      for (const entry of entriesAside(one, segment, tell))
        yield { ...entry, letter: isDead ? toDeadLetter(entry) : undefined }
  }
}

function countDeadLetters(directory: LogDirectory): number {
  const dead = directory.directory(DEAD_LETTER_DIRECTORY, true)
  return dead === undefined ? 0 : recover(dead).report.openEntries
}

function reportOf(directory: LogDirectory, segment: LogSegment): SegmentReport {
  const isSealed = withFile(directory, segment.name, file => readTrailer(file, segment.salt) !== undefined)
  return { ...countsOf(segment), isSealed }
}

/** The report of a segment that is set aside. Its open entries count as damaged until they are salvaged. */
const unreadable = (segment: LogSegment): SegmentReport => ({
  ...countsOf(segment),
  damagedEntries: segment.openCount,
  isSealed: false
})

function countsOf(segment: LogSegment): Omit<SegmentReport, 'isSealed'> {
  return {
    name: segment.name,
    sizeBytes: segment.endBytes,
    firstSequence: segment.firstSequence,
    entries: segment.entryCount,
    openEntries: segment.openCount,
    damagedEntries: segment.damagedCount
  }
}

/** Repeats the inspection when a file has disappeared meanwhile. */
function whileUnchanged<T>(look: () => T): T {
  for (let looks = 1; ; looks++) {
    try {
      return look()
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || looks === MAX_LOOKS) throw error
    }
  }
}
