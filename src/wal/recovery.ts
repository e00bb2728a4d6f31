import type { SequenceRange } from './done-set.js'
import type { LogDirectory, LogFile } from './files.js'
import { LogUnusableError } from './log-error.js'
import { journalIdOf, journalName, type Progress, readJournal } from './progress-journal.js'
import { readSeal } from './seal.js'
import { Slab, slabIdOf, slabName } from './slab.js'
import { SlabCursor } from './slab-cursor.js'
import { decodeSlabHeader, SLAB_HEADER_BYTES, type SlabHeader } from './slab-header.js'

/** What was found in a directory. */
export interface Recovered {
  /** Rising ids. All are closed. */
  readonly slabs: readonly Slab[]
  readonly notes: Map<string, Buffer>
  readonly nextSequence: number
  readonly nextSlabId: number
  /** Rising. */
  readonly journalIds: readonly number[]
  readonly report: RecoveryReport
}

/** What an operator should hear about. All counts are 0 after a clean stop. */
export interface RecoveryReport {
  /** Entries found that are still to be delivered. */
  readonly openEntries: number
  readonly damagedEntries: number
  /** Bytes behind the last good entry of slabs that a crash left without a seal: they were never acknowledged. */
  readonly tornBytes: number
  /** Files moved to `quarantine/` because their header is damaged. */
  readonly quarantinedFiles: readonly string[]
}

interface Headed {
  readonly header: SlabHeader
  readonly name: string
}

/**
 * Reads what a directory holds. Moves slabs with a damaged header to `quarantine`, and changes nothing else.
 *
 * @throws LogUnusableError when another release wrote the files; nothing is touched then
 */
export function recover(directory: LogDirectory, quarantine: () => LogDirectory): Recovered {
  const names = directory.list()
  const journalIds = names.flatMap(name => journalIdOf(name) ?? []).sort((a, b) => a - b)
  const progress = journalIds.flatMap(id => readProgress(directory, journalName(id)))
  const { headed, damagedNames, leftover } = readHeaders(directory, names)
  const scanned = headed.map((one, index) => readSlab(directory, one, headed[index + 1]?.header))
  if (leftover !== undefined) directory.remove(leftover)
  for (const name of damagedNames) directory.move(name, quarantine())
  if (damagedNames.length > 0) {
    quarantine().sync()
    directory.sync()
  }
  const slabs = scanned.map(({ slab }) => slab)
  const { notes, nextSequence } = applyProgress(slabs, progress)
  const slabIds = names.flatMap(name => slabIdOf(name) ?? [])
  return {
    slabs,
    notes,
    nextSequence: slabs.reduce((next, slab) => Math.max(next, slab.endSequence), nextSequence),
    nextSlabId: Math.max(0, ...slabIds) + 1,
    journalIds,
    report: {
      openEntries: sum(slabs.map(({ openCount }) => openCount)),
      damagedEntries: sum(slabs.map(({ damagedCount }) => damagedCount)),
      tornBytes: sum(scanned.map(({ tornBytes }) => tornBytes)),
      quarantinedFiles: damagedNames
    }
  }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)

/** Runs `use` with an open file, which is closed whatever happens. */
export function withFile<T>(directory: LogDirectory, name: string, use: (file: LogFile) => T): T {
  const file = directory.open(name)
  try {
    return use(file)
  } finally {
    file.close()
  }
}

function readProgress(directory: LogDirectory, name: string): readonly Progress[] {
  const progress = withFile(directory, name, file => readJournal(file.read(0, file.sizeBytes)))
  if (progress === 'unknownVersion') throw writtenByAnother(directory, name)
  return progress ?? []
}

const writtenByAnother = (directory: LogDirectory, name: string): LogUnusableError =>
  new LogUnusableError(
    `${name} in ${directory.path} was written by another release of Castellan; run that release until its log is empty, or use another directory`
  )

interface Headers {
  readonly headed: readonly Headed[]
  readonly damagedNames: readonly string[]
  /** The newest slab when a crash came before its header was written: it never held an entry. */
  readonly leftover: string | undefined
}

function readHeaders(directory: LogDirectory, names: readonly string[]): Headers {
  const headed: Headed[] = []
  const damagedNames: string[] = []
  let leftover: string | undefined
  const slabNames = names.filter(name => slabIdOf(name) !== undefined).sort()
  for (const name of slabNames) {
    const bytes = withFile(directory, name, file => file.read(0, SLAB_HEADER_BYTES))
    const header = decodeSlabHeader(bytes)
    if (header === 'unknownVersion') throw writtenByAnother(directory, name)
    if (header !== 'damaged' && slabName(header.id) === name) headed.push({ header, name })
    else if (name === slabNames.at(-1) && isUnwritten(bytes)) leftover = name
    else damagedNames.push(name)
  }
  return { headed, damagedNames, leftover }
}

const isUnwritten = (bytes: Buffer): boolean => bytes.length < SLAB_HEADER_BYTES || bytes.every(byte => byte === 0)

interface Scanned {
  readonly slab: Slab
  readonly tornBytes: number
}

function readSlab(directory: LogDirectory, { header, name }: Headed, next: SlabHeader | undefined): Scanned {
  return withFile(directory, name, file => {
    const summary = readSeal(file, header)
    if (summary) return { slab: closed(new Slab(header, summary)), tornBytes: 0 }
    const isCut = next?.previousId === header.id
    const endBytes = isCut ? Math.min(next.previousEndBytes, file.sizeBytes) : file.sizeBytes
    // What the last process wrote may not be on the disk yet, and nobody else will sync this file.
    file.sync()
    return scanSlab(file, header, endBytes)
  })
}

const closed = (slab: Slab): Slab => {
  slab.isClosed = true
  return slab
}

/** Reads every entry of a slab that has no seal. */
function scanSlab(file: LogFile, header: SlabHeader, endBytes: number): Scanned {
  const slab = closed(new Slab(header))
  const cursor = new SlabCursor(file, header.salt, SLAB_HEADER_BYTES, endBytes)
  for (;;) {
    const offset = cursor.offset
    const found = cursor.next()
    if (found.type === 'end') return { slab, tornBytes: found.tornBytes }
    if (found.type === 'gap') continue
    if (found.type === 'entry' && found.isSeal) return { slab, tornBytes: 0 }
    const sequence = found.type === 'entry' ? found.entry.sequence : found.sequence
    if (sequence < slab.endSequence) continue
    while (slab.endSequence < sequence) loseNext(slab)
    slab.endBytes = offset
    slab.added(found.type === 'entry' ? found.entry.destination : '', found.sizeBytes)
    if (found.type === 'damagedBody') slab.damaged(sequence)
  }
}

function loseNext(slab: Slab): void {
  slab.entryCount++
  slab.damaged(slab.endSequence - 1)
}

function applyProgress(
  slabs: readonly Slab[],
  progress: readonly Progress[]
): { notes: Map<string, Buffer>; nextSequence: number } {
  const notes = new Map<string, Buffer>()
  // Sequences that were ever completed are never used again, also when the entries themselves are gone.
  let nextSequence = 1
  for (const one of progress) {
    if (one.type === 'note') {
      if (one.value.length === 0) notes.delete(one.key)
      else notes.set(one.key, one.value)
    } else if (one.type === 'nextSequence') nextSequence = Math.max(nextSequence, one.sequence)
    else {
      const { first, count } = one.range
      nextSequence = Math.max(nextSequence, first + count)
      completeRange(slabs, one.range)
    }
  }
  return { notes, nextSequence }
}

/** Marks a run of sequences as completed, in whichever slabs hold them. Returns how many had been open. */
export function completeRange(slabs: readonly Slab[], { first, count }: SequenceRange): number {
  let newly = 0
  for (let index = slabIndexOf(slabs, first); index < slabs.length; index++) {
    const slab = slabs[index]!
    if (slab.firstSequence >= first + count) break
    const to = Math.min(first + count, slab.endSequence)
    for (let sequence = Math.max(first, slab.firstSequence); sequence < to; sequence++) {
      if (slab.complete(sequence)) newly++
    }
  }
  return newly
}

/** Index of the slab that holds `sequence`, or of the first one behind it. */
export function slabIndexOf(slabs: readonly Slab[], sequence: number): number {
  let low = 0
  let high = slabs.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (slabs[middle]!.endSequence <= sequence) low = middle + 1
    else high = middle
  }
  return low
}
