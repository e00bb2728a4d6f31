import { tryTo } from '../../core/node-errors.js'
import { openRunsBetween } from './backlog.js'
import { journalIdOf, journalName, type LogDirectory, segmentName, withFile } from './files.js'
import { createJournalFile, type LogProgress, readJournal, saltOfProgress } from './progress-journal.js'
import { completeRange, LogSegment, type SequenceRange } from './segment.js'
import { ReadablePages } from './unreadable.js'

/** Directory of the quarantine, below that of the log. */
export const QUARANTINE_DIRECTORY = 'quarantine'

/**
 * Moves the file of a segment with open entries into quarantine, where a journal beside it says which entries these are. The
 * file counts as a part of the log wherever a crash leaves it.
 *
 * @throws when the disk does
 */
export function setAside(directory: LogDirectory, segment: LogSegment): void {
  const quarantine = directory.directory(QUARANTINE_DIRECTORY)
  tryTo(() => quarantine.remove(journalName(segment.id)))
  createJournalFile(quarantine, segment.id, segment.salt, progressOf(segment)).file.close()
  directory.rename(segment.name, segment.name, quarantine)
  quarantine.sync()
  directory.sync()
}

/** A segment in quarantine has no open entries any more, or is a part of the log again. @throws when the disk does */
export function forgetAside(directory: LogDirectory, { id }: LogSegment): void {
  const quarantine = directory.directory(QUARANTINE_DIRECTORY)
  quarantine.remove(journalName(id))
  quarantine.sync()
}

/** The segments in quarantine whose entries wait, by rising ids. */
export function segmentsAside(directory: LogDirectory): LogSegment[] {
  const quarantine = directory.directory(QUARANTINE_DIRECTORY, true)
  const names = quarantine?.list().toSorted() ?? []
  return names.flatMap(name => {
    const id = journalIdOf(name)
    if (id === undefined || !names.includes(segmentName(id))) return []
    return readAside(quarantine!, id) ?? []
  })
}

function readAside(quarantine: LogDirectory, id: number): LogSegment | undefined {
  const bytes = withFile(quarantine, journalName(id), file => new ReadablePages(file).read(0, file.sizeBytes))
  const [salt, read] = [saltOfProgress(bytes), readJournal(bytes)]
  if (salt === undefined || read === 'unknownVersion') return undefined
  const sequenceOf = (type: 'next' | 'synced'): number =>
    read.progress.reduce((last, one) => (one.type === type ? one.sequence : last), 0)
  const [firstSequence, endSequence] = [sequenceOf('next'), sequenceOf('synced')]
  if (firstSequence === 0 || endSequence === 0) return undefined
  const endBytes = withFile(quarantine, segmentName(id), ({ sizeBytes }) => sizeBytes)
  const extent = { endBytes, entryCount: endSequence - firstSequence }
  const segment = new LogSegment({ id, salt, firstSequence }, extent)
  segment.isClosed = true
  for (const one of read.progress) if (one.type === 'completed') completeRange([segment], one.range)
  return segment
}

function* progressOf(segment: LogSegment): Generator<LogProgress> {
  const { id: segmentId, firstSequence, endSequence } = segment
  yield { type: 'next', sequence: firstSequence, segmentId }
  yield { type: 'synced', sequence: endSequence, segmentId }
  for (const range of notOpenIn(segment)) yield { type: 'completed', range }
}

/** The ranges of sequences that are not open, gaps of a merged segment included. */
function* notOpenIn(segment: LogSegment): Generator<SequenceRange> {
  let next = segment.firstSequence
  for (const { first, count } of openRunsBetween([segment], next, segment.endSequence)) {
    if (first > next) yield { first: next, count: first - next }
    next = first + count
  }
  if (next < segment.endSequence) yield { first: next, count: segment.endSequence - next }
}
