import type { TellProgress } from '../../core/model.js'
import { DEAD_LETTER_DIRECTORY } from './dead-letters.js'
import type { StoredEntry } from './entry.js'
import { type LogDirectory, mergeName, type ReadableFile, segmentName } from './files.js'
import { LogStore, type LogStoreOptions } from './log-store.js'
import { loggedRecordBytes, readLoggedRecord, writeLoggedRecord } from './logged-record.js'
import { forgetAside, QUARANTINE_DIRECTORY } from './quarantine.js'
import { type Recovered, readAgain, recover } from './recovery.js'
import { entriesIn, firstEntryOf } from './scan-segment.js'
import { completeRange, type LogSegment } from './segment.js'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-header.js'
import { writeMerged } from './segment-merger.js'
import { ReadablePages } from './unreadable.js'

/**
 * The header that salvaged records have in Kafka: later records of their key may be there before them. Its value is the time
 * at which the gateway accepted the record, epoch milliseconds.
 */
export const SALVAGED_HEADER = 'castellan-salvaged'

/** The log of dead letters may have segments that are set aside, too. */
export const directoriesWithSegments = (directory: LogDirectory): LogDirectory[] => [
  directory,
  ...(directory.directory(DEAD_LETTER_DIRECTORY, true) ? [directory.directory(DEAD_LETTER_DIRECTORY)] : [])
]

/** The open entries of a segment that was set aside, as far as the disk can read them. */
export function* entriesAside(
  directory: LogDirectory,
  segment: LogSegment,
  tell: TellProgress
): Generator<StoredEntry> {
  const { name } = segment
  const place = directory.list().includes(name) ? directory : directory.directory(QUARANTINE_DIRECTORY)
  const file = place.open(name, 'read')
  let records = 0
  try {
    const pages = new ReadablePages({
      read: (position, length) => {
        // Before each read, because a disk may take seconds for it.
        tell({ records, bytes: position }, { records: 0, bytes: file.sizeBytes - position }, name)
        return file.read(position, length)
      }
    })
    const { sizeBytes } = file
    let next = segment.firstSequence
    for (const found of entriesIn(pages, saltOf(pages, sizeBytes, segment), sizeBytes)) {
      if (found.sequence < next) continue
      if (found.kind !== 'record') {
        // The end, which was not known where the disk could not read it.
        if (segment.sequences === undefined && found.sequence < segment.endSequence)
          segment.entryCount = found.sequence - segment.firstSequence
        return
      }
      next = found.sequence + 1
      const isOpen = segment.holds(found.sequence) && !segment.done.has(segment.placeOf(found.sequence))
      if (!isOpen || found.type !== 'entry') continue
      records++
      yield found.entry
    }
  } finally {
    file.close()
  }
}

/** The salt of a file; if its header cannot be read, the salt of its entries. */
function saltOf(file: ReadableFile, sizeBytes: number, { salt }: LogSegment): number {
  const header = decodeSegmentHeader(file.read(0, SEGMENT_HEADER_BYTES))
  if (typeof header !== 'string') return header.salt
  return salt !== 0 ? salt : (firstEntryOf(file, sizeBytes)?.salt ?? salt)
}

/** Result of salvaging one segment that was set aside. */
export interface SalvagedSegment {
  readonly name: string
  /** Records that are back in the log. */
  readonly records: number
  /** Upper limit of the records of the segment that could not be brought back. */
  readonly lost: number
}

/** Puts back what can be read of all segments that are set aside, also of dead letters. @param options of a log that no process has open */
export const salvageLog = (options: LogStoreOptions, tell: TellProgress): readonly SalvagedSegment[] =>
  directoriesWithSegments(options.directory).flatMap(directory => {
    // Sets aside what cannot be read now.
    new LogStore({ ...options, directory }).close()
    const found = recover(directory)
    return found.aside.map(aside => putBack({ ...options, directory }, found, aside, tell))
  })

/**
 * Puts the entries of a segment that was set aside back into the log, at their old place and with their old sequences, which
 * receipts and keys name. The new segment gets its name when it is complete and synced, and nothing is changed before that, so
 * that a crash at any moment loses and doubles no entry. The unreadable file stays in quarantine.
 */
function putBack(
  { directory, newSalt, now }: LogStoreOptions,
  found: Recovered,
  aside: LogSegment,
  tell: TellProgress
): SalvagedSegment {
  const { id, firstSequence, name } = aside
  const header = { salt: newSalt(), id, firstSequence, previousId: 0, previousEndBytes: 0, createdAtMs: now() }
  const isDead = directory.path.endsWith(`/${DEAD_LETTER_DIRECTORY}`)
  const entries = entriesAside(directory, aside, tell)
  const records = writeMerged(
    directory,
    { ...header, mergedUpTo: id },
    isDead ? entries : allFlagged(entries)
  ).entryCount
  const isDone = records === 0 && isNothingOpen(directory, found, aside)
  if (records === 0) directory.remove(mergeName(id))
  else {
    directory.rename(mergeName(id), segmentName(id))
    directory.sync()
  }
  if (records > 0 || isDone) forgetAside(directory, aside)
  return { name, records, lost: isDone ? 0 : Math.max(0, aside.openCount - records) }
}

/** Whether the disk can read the whole file by now, and each of its entries is completed, or stands in another segment, too. */
function isNothingOpen(directory: LogDirectory, found: Recovered, aside: LogSegment): boolean {
  // The disk could not move it: the next start reads it.
  if (directory.list().includes(aside.name)) return false
  const whole = readAgain(directory.directory(QUARANTINE_DIRECTORY), aside.name, found)
  if (whole === undefined || whole.damagedCount > 0) return false
  for (const range of aside.completed()) completeRange([whole], range)
  const stands = (sequence: number) => found.segments.some(one => one.damagedCount === 0 && one.holds(sequence))
  for (let place = 0; place < whole.entryCount; place++)
    if (!whole.done.has(place) && !stands(whole.sequenceAt(place))) return false
  return true
}

function* allFlagged(entries: Iterable<StoredEntry>): Generator<StoredEntry> {
  for (const entry of entries) yield { ...entry, body: flagged(entry) }
}

function flagged({ body, acceptedAtMs }: StoredEntry): Buffer {
  const record = readLoggedRecord(body)
  const headers = record.headers.filter(({ key }) => key !== SALVAGED_HEADER)
  const changed = { ...record, headers: [...headers, { key: SALVAGED_HEADER, value: Buffer.from(`${acceptedAtMs}`) }] }
  const bytes = Buffer.alloc(loggedRecordBytes(changed))
  writeLoggedRecord(bytes, 0, changed)
  return bytes
}
