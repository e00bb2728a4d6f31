import { codeOf } from '../../core/node-errors.js'
import { LogUnusableError } from './availability.js'
import { ENTRY_HEADER_BYTES } from './entry.js'
import {
  journalIdOf,
  journalName,
  type LogDirectory,
  mergeIdOf,
  segmentIdOf,
  segmentName,
  spareIdOf,
  withFile
} from './files.js'
import { type LogProgress, type ReadProgress, readJournal } from './progress-journal.js'
import { forgetAside, QUARANTINE_DIRECTORY, segmentsAside } from './quarantine.js'
import { entriesIn, firstEntryOf, scanSegment } from './scan-segment.js'
import { completeRange, LogSegment } from './segment.js'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-header.js'
import type { SegmentIndex } from './segment-index.js'
import { readSealedSequences, readTrailer } from './segment-writer.js'
import { isOfDisk, ReadablePages } from './unreadable.js'

/** The contents of a directory. */
export interface Recovered {
  /** Rising ids. All are closed. */
  readonly segments: readonly LogSegment[]
  /** Segments that the disk cannot read now, or could not read at an earlier time. */
  readonly aside: readonly LogSegment[]
  /** Indexes of the segments that had to be scanned. */
  readonly indexes: ReadonlyMap<LogSegment, SegmentIndex>
  readonly notes: Map<string, Buffer>
  /** By id of the segment: one past its last entry that a journal reports as synced. */
  readonly synced: ReadonlyMap<number, number>
  readonly nextSequence: number
  readonly nextSegmentId: number
  /** Rising. */
  readonly journalIds: readonly number[]
  readonly report: RecoveryReport
  /** Files that nothing needs. */
  readonly useless: readonly string[]
  /** Segments in quarantine that an operator has put back. */
  readonly returned: readonly LogSegment[]
}

/** Findings for an operator. All counts are 0 after a clean stop. */
export interface RecoveryReport {
  /** Entries that are still to be delivered. */
  readonly openEntries: number
  readonly damagedEntries: number
  /** Damaged entries that are missing at the ends of segments whose files were truncated. */
  readonly cutEntries: number
  /**
   * Bytes behind the last valid entry of segments where a crash interrupted an append: they were never acknowledged.
   */
  readonly tornBytes: number
  /** Entries missing among those of the last append, which a power cut interrupted: they were never acknowledged. */
  readonly tornEntries: number
  /** Files that {@link tidy} moves to `quarantine/`, because their header is damaged and no entry is found in them. */
  readonly quarantinedFiles: readonly string[]
  /** Damaged bytes of progress journals: completed entries may be delivered again. */
  readonly damagedJournalBytes: number
}

/** Limit of a single read, far above the size of any journal. */
const MAX_JOURNAL_BYTES = 1024 * 1024 * 1024

interface Headed {
  readonly header: SegmentHeader
  readonly name: string
}

/**
 * Reads what a directory holds; changes nothing.
 *
 * @throws LogUnusableError when another release wrote the files
 */
export function recover(directory: LogDirectory): Recovered {
  const names = directory.list()
  const journalIds = names.flatMap(name => journalIdOf(name) ?? []).sort((a, b) => a - b)
  const journals = journalIds.map(id => readProgress(directory, journalName(id)))
  const headers = readHeaders(directory, names)
  const { headed, damagedNames, leftovers, unreadable } = headers
  // If nothing of the log can be read, it must not look like a log without entries.
  if (unreadable.length > 0 && headed.length === 0 && journals.some(({ isWhole }) => !isWhole))
    throw new LogUnusableError(`the disk cannot read the files in ${directory.path}`)
  const progress = journals.flatMap(one => one.progress)
  const synced = syncedEnds(progress)
  const read = readSegments(directory, headers, progress, synced)
  const segments = read.map(({ segment }) => segment)
  const quarantined = segmentsAside(directory)
  const before = quarantined.filter(({ name }) => !names.includes(name))
  const { nextSequence: end } = applyProgress([], progress)
  const aside = [...before, ...guessAll(directory, unreadable.sort(), headed, segments, end)]
  aside.sort((one, other) => one.id - other.id)
  const { notes, nextSequence, nextSegmentId } = applyProgress([segments, ...aside.map(one => [one])], progress)
  const all = [...segments, ...aside]
  const report = reportOf(read, damagedNames, journals)
  return {
    segments,
    aside,
    indexes: new Map(read.flatMap(({ segment, index }) => (index ? [[segment, index] as const] : []))),
    notes,
    synced,
    nextSequence: freeSequence(all, nextSequence, report.tornBytes + sum(damagedNames.map(sizeIn(directory)))),
    nextSegmentId: freeSegmentId(names, all, nextSegmentId),
    journalIds,
    useless: [...leftovers, ...names.filter(name => (spareIdOf(name) ?? mergeIdOf(name)) !== undefined)],
    returned: quarantined.filter(({ name }) => names.includes(name)),
    report
  }
}

/**
 * Unreadable bytes may have held entries, and notes may still name the sequences of such entries. New entries must not get
 * these sequences, so as many sequences are skipped as entries fit into these bytes.
 */
const freeSequence = (segments: readonly LogSegment[], nextSequence: number, unreadableBytes: number): number =>
  segments.reduce((next, { endSequence }) => Math.max(next, endSequence), nextSequence) + mostEntriesIn(unreadableBytes)

function freeSegmentId(names: readonly string[], segments: readonly LogSegment[], nextSegmentId: number): number {
  const used = [...names.flatMap(name => segmentIdOf(name) ?? spareIdOf(name) ?? []), ...segments.map(({ id }) => id)]
  return used.reduce((next, id) => Math.max(next, id + 1), nextSegmentId)
}

const reportOf = (
  read: readonly ReadSegment[],
  quarantinedFiles: readonly string[],
  journals: readonly ReadProgress[]
): RecoveryReport => ({
  openEntries: sum(read.map(({ segment }) => segment.openCount)),
  damagedEntries: sum(read.map(({ segment }) => segment.damagedCount)),
  cutEntries: sum(read.map(({ cutEntries }) => cutEntries)),
  tornBytes: sum(read.map(({ tornBytes }) => tornBytes)),
  tornEntries: sum(read.map(({ tornEntries }) => tornEntries)),
  quarantinedFiles,
  damagedJournalBytes: sum(journals.map(({ damagedBytes }) => damagedBytes))
})

/** Removes files that nothing needs, and moves those without header and entries to `quarantine/`. @throws when the disk does */
export function tidy(directory: LogDirectory, { useless, returned, report: { quarantinedFiles } }: Recovered): void {
  for (const name of useless) directory.remove(name)
  for (const segment of returned) forgetAside(directory, segment)
  if (quarantinedFiles.length === 0) return
  const quarantine = directory.directory(QUARANTINE_DIRECTORY)
  for (const name of quarantinedFiles) directory.rename(name, name, quarantine)
  quarantine.sync()
  directory.sync()
}

/** One past the last synced entry of each segment. */
function syncedEnds(progress: readonly LogProgress[]): Map<number, number> {
  const ends = new Map<number, number>()
  for (const one of progress) {
    if (one.type === 'synced') ends.set(one.segmentId, Math.max(ends.get(one.segmentId) ?? 0, one.sequence))
  }
  return ends
}

/** @returns `undefined`: the disk cannot read it @throws also when the file is not there any more */
function readable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (isOfDisk(error) && codeOf(error) !== 'ENOENT') return undefined
    throw error
  }
}

/** @param names in order; `end` is one past the last sequence that the journals know */
function guessAll(
  directory: LogDirectory,
  names: readonly string[],
  headed: readonly Headed[],
  read: readonly LogSegment[],
  end: number
): readonly LogSegment[] {
  const guesses: LogSegment[] = []
  for (const name of names) {
    const endSequence = guesses.reduce((most, guess) => Math.max(most, guess.endSequence), end)
    guesses.push(guessed(directory, name, headed, read, endSequence))
  }
  return guesses
}

/**
 * Describes a segment that the disk cannot read, from what is known of its neighbours. It may seem to have entries that
 * do not exist any more; it lacks none of its own.
 *
 * @param end no entry that the journals know, or that may be in an earlier such segment, has a higher sequence
 */
function guessed(
  directory: LogDirectory,
  name: string,
  headed: readonly Headed[],
  read: readonly LogSegment[],
  end: number
): LogSegment {
  const id = segmentIdOf(name)!
  const own = headed.find(one => one.name === name)?.header
  const next = read.find(one => one.id > id)?.firstSequence
  const endBytes = readable(() => sizeIn(directory)(name)) ?? 0
  // Segments in quarantine are left out: their end may be too high.
  const before = read.reduce((end, other) => (other.id < id ? Math.max(end, other.endSequence) : end), 1)
  const isWhole = own !== undefined && own.mergedUpTo === undefined
  const [first, last] = (isWhole ? undefined : readable(() => sequencesIn(directory, name))) ?? [before, before]
  // The first entry that can be read need not be the first one, but sequences are skipped after a crash.
  const firstSequence = own?.firstSequence ?? (first - before > mostEntriesIn(endBytes) ? first : before)
  const sealed = isWhole && readable(() => withFile(directory, name, file => readTrailer(file, own.salt)))
  // The sequences of a merged segment may lie far apart.
  const most = next ?? Math.max(firstSequence, last, end) + mostEntriesIn(endBytes)
  const entryCount = sealed ? sealed.entryCount : most - firstSequence
  return closed(new LogSegment({ id, salt: own?.salt ?? 0, firstSequence }, { endBytes, entryCount }))
}

const sizeIn =
  (directory: LogDirectory) =>
  (name: string): number =>
    withFile(directory, name, ({ sizeBytes }) => sizeBytes)

const mostEntriesIn = (bytes: number): number => Math.ceil(bytes / ENTRY_HEADER_BYTES)

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

/** Bytes that the disk cannot read count as damaged. */
export function readProgress(directory: LogDirectory, name: string): ReadProgress & { readonly isWhole: boolean } {
  return withFile(directory, name, file => {
    const { sizeBytes } = file
    const length = Math.min(sizeBytes, MAX_JOURNAL_BYTES)
    const whole = readable(() => file.read(0, length))
    const read = readJournal(whole ?? new ReadablePages(file).read(0, length))
    if (read === 'unknownVersion') throw writtenByAnother(directory, name)
    const unreadBytes = Math.max(whole ? 0 : 1, sizeBytes - MAX_JOURNAL_BYTES)
    return { ...read, isWhole: whole !== undefined, damagedBytes: read.damagedBytes + unreadBytes }
  })
}

const writtenByAnother = (directory: LogDirectory, name: string): LogUnusableError =>
  new LogUnusableError(
    `${name} in ${directory.path} was written by another release of Castellan; run that release until its log is empty, or use another directory`
  )

interface Headers {
  readonly headed: readonly Headed[]
  readonly damagedNames: readonly string[]
  /**
   * Segments that a crash left: the newest one before its header was written, which never held an entry, and those that a
   * merged segment replaces.
   */
  readonly leftovers: readonly string[]
  /** Segments with entries whose header is damaged, or cannot be read by the disk. */
  readonly unreadable: string[]
}

function readHeaders(directory: LogDirectory, names: readonly string[]): Headers {
  const headed: Headed[] = []
  const unreadable: string[] = []
  const damagedNames: string[] = []
  const leftovers: string[] = []
  let mergedUpTo = 0
  const segmentNames = names.filter(name => segmentIdOf(name) !== undefined).sort()
  for (const name of segmentNames) {
    if (segmentIdOf(name)! <= mergedUpTo) {
      leftovers.push(name)
      continue
    }
    const bytes = readable(() => withFile(directory, name, file => file.read(0, SEGMENT_HEADER_BYTES)))
    if (bytes === undefined) {
      unreadable.push(name)
      continue
    }
    const header = decodeSegmentHeader(bytes)
    if (header === 'unknownVersion') throw writtenByAnother(directory, name)
    if (header !== 'damaged' && segmentName(header.id) === name) {
      headed.push({ header, name })
      mergedUpTo = header.mergedUpTo ?? mergedUpTo
    } else if (header === 'damaged' && sequencesIn(directory, name) !== undefined) unreadable.push(name)
    else if (name === segmentNames.at(-1) && isUnwritten(bytes)) leftovers.push(name)
    else damagedNames.push(name)
  }
  return { headed, damagedNames, leftovers, unreadable }
}

/** The sequences of the first and the last entry that can be read in a file whose header is damaged. */
const sequencesIn = (directory: LogDirectory, name: string): readonly [first: number, last: number] | undefined =>
  withFile(directory, name, file => {
    const pages = new ReadablePages(file)
    const first = firstEntryOf(pages, file.sizeBytes)
    if (first === undefined) return undefined
    let last = first.sequence
    for (const { type, kind, sequence } of entriesIn(pages, first.salt, file.sizeBytes))
      if (type === 'entry' && kind === 'record') last = sequence
    return [first.sequence, last]
  })

const isUnwritten = (bytes: Buffer): boolean => bytes.length < SEGMENT_HEADER_BYTES || bytes.every(byte => byte === 0)

interface ReadSegment {
  readonly segment: LogSegment
  readonly index: SegmentIndex | undefined
  readonly tornBytes: number
  readonly tornEntries: number
  readonly cutEntries: number
}

/** End of a segment as journals record it. */
interface KnownEnd {
  /** One past the last synced entry; 0: not known. */
  readonly synced: number
  readonly progress: readonly LogProgress[]
}

const WHOLE = { tornBytes: 0, tornEntries: 0, cutEntries: 0 }

/** @returns `undefined`: a merged segment whose seal is damaged, which was synced before it got its name */
function readSegment(
  directory: LogDirectory,
  { header, name }: Headed,
  next: SegmentHeader | undefined,
  end: KnownEnd
): ReadSegment | undefined {
  return withFile(directory, name, file => {
    if (header.mergedUpTo !== undefined) {
      const sealed = readSealedSequences(file, header.salt)
      return sealed && { segment: closed(new LogSegment(header, sealed, sealed.sequences)), index: undefined, ...WHOLE }
    }
    const extent = readTrailer(file, header.salt)
    if (extent) return { segment: closed(new LogSegment(header, extent)), index: undefined, ...WHOLE }
    const isCut = next?.previousId === header.id
    const endBytes = isCut ? Math.min(next.previousEndBytes, file.sizeBytes) : file.sizeBytes
    // Writes of the last process may not be on the disk yet, and no later call syncs this file.
    file.sync()
    const { index, damaged, torn, tornBytes, ...found } = scanSegment(file, { ...header, endBytes })
    const cutFrom = header.firstSequence + index.count
    while (header.firstSequence + index.count < end.synced) index.addLost()
    const segment = closed(new LogSegment(header, { endBytes: found.endBytes, entryCount: index.count }))
    for (const sequence of damaged) segment.damaged(sequence)
    const cutEntries = loseCutEntries(segment, [cutFrom, ...torn.filter(sequence => sequence < end.synced)], end)
    for (const sequence of torn) segment.complete(sequence)
    return { segment, index, tornBytes, tornEntries: torn.length, cutEntries }
  })
}

/** Adds those that the disk cannot read to the unreadable ones. */
const readSegments = (
  directory: LogDirectory,
  { headed, unreadable }: Headers,
  progress: readonly LogProgress[],
  synced: ReadonlyMap<number, number>
): readonly ReadSegment[] =>
  headed.flatMap((one, index) => {
    const end = { synced: synced.get(one.header.id) ?? 0, progress }
    const segment = readable(() => readSegment(directory, one, headed[index + 1]?.header, end))
    if (segment === undefined) unreadable.push(one.name)
    return segment ?? []
  })

/** A segment in quarantine as it would be read at a start. @returns `undefined`: that is still not possible */
export function readAgain(quarantine: LogDirectory, name: string, { synced }: Recovered): LogSegment | undefined {
  const [own] = readHeaders(quarantine, [name]).headed
  const end = { synced: synced.get(segmentIdOf(name)!) ?? 0, progress: [] }
  return own && readable(() => readSegment(quarantine, own, undefined, end))?.segment
}

/** Counts missing entries that were not completed as damaged. @returns how many there are */
function loseCutEntries(
  segment: LogSegment,
  [cutFrom, ...holes]: readonly number[],
  { progress, synced }: KnownEnd
): number {
  if (holes.length === 0 && cutFrom! >= synced) return 0
  // These entries were found missing and reported at an earlier start.
  const before = progress.reduce(
    (most, one) => (one.type === 'cut' && one.segmentId === segment.id ? Math.max(most, one.count) : most),
    0
  )
  segment.damagedCount += before
  for (const one of progress) if (one.type === 'completed') completeRange([segment], one.range)
  let lost = 0
  for (const sequence of holes) if (segment.damaged(sequence)) lost++
  for (let sequence = cutFrom!; sequence < synced; sequence++) if (segment.damaged(sequence)) lost++
  segment.cutCount = before + lost
  return segment.cutCount
}

const closed = (segment: LogSegment): LogSegment => {
  segment.isClosed = true
  return segment
}

function applyProgress(
  lists: readonly (readonly LogSegment[])[],
  progress: readonly LogProgress[]
): { notes: Map<string, Buffer>; nextSequence: number; nextSegmentId: number } {
  const notes = new Map<string, Buffer>()
  // Sequences of completed entries are never used again, even when the entries themselves are gone.
  let nextSequence = 1
  let nextSegmentId = 1
  for (const one of progress) {
    if (one.type === 'cut') continue
    if (one.type === 'note') {
      if (one.value.length === 0) notes.delete(one.key)
      else notes.set(one.key, one.value)
    } else if (one.type === 'synced') nextSequence = Math.max(nextSequence, one.sequence)
    else if (one.type === 'next') {
      nextSequence = Math.max(nextSequence, one.sequence)
      nextSegmentId = Math.max(nextSegmentId, one.segmentId)
    } else {
      const { first, count } = one.range
      nextSequence = Math.max(nextSequence, first + count)
      for (const segments of lists) completeRange(segments, one.range)
    }
  }
  return { notes, nextSequence, nextSegmentId }
}
