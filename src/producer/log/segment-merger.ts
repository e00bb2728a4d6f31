import { encodeEntry, type StoredEntry, stampEntry } from './entry.js'
import type { LogReader } from './entry-reader.js'
import { mergeName, slabName } from './file-names.js'
import type { LogDirectory } from './files.js'
import { encodeSeal } from './seal.js'
import { Slab } from './segment.js'
import { decodeSlabHeader, encodeSlabHeader, SLAB_HEADER_BYTES, type SlabHeader } from './segment-header.js'
import { SlabIndex } from './segment-index.js'
import type { SlabList } from './segment-list.js'
import { tryTo } from './try-to.js'
import { withFile } from './with-file.js'

export interface SlabMergerOptions {
  readonly directory: LogDirectory
  readonly slabs: SlabList
  readonly reader: LogReader
  readonly slabBytes: number
  readonly newSalt: () => number
  readonly report: (fields: object, message: string) => void
}

/** Of a slab with fewer open entries than this, the rest is waste. */
const SPARSE_SHARE = 1 / 4
/** One merge copies no more than this, so that the thread is soon free for appends. A sparse slab is merged in any case. */
const COPIED_BYTES = 4 * 1024 * 1024
/** One merge looks at no more entries than this, open or not. */
const MAX_ENTRIES = 1_000_000
const READ_BYTES = 1024 * 1024

/**
 * Makes one small slab of slabs in which hardly any entry is still open: a topic that is stuck for days keeps its own
 * records on the disk, and not all those that were written in between.
 *
 *   slabs     [a . . .] [. . a b] [. . . a] [c c c c]
 *   merged    [a a b a]                     [c c c c]      sequences stay what they were
 *
 * The new slab is complete and synced before its name replaces that of the first one, and only then the others are
 * removed. Its header names the last slab that it replaces: what a crash leaves of those is not read any more.
 */
export class SlabMerger {
  readonly #options: SlabMergerOptions

  constructor(options: SlabMergerOptions) {
    this.#options = options
  }

  /** Bytes that entries take which are completed, in slabs that could be merged; roughly. */
  get wastedBytes(): number {
    return this.#options.slabs.all.reduce(
      (sum, slab) => sum + (isSparse(slab) ? slab.endBytes - openBytesOf(slab) : 0),
      0
    )
  }

  /** Merges the oldest slabs that are worth it, if there are any. When that fails, they stay as they are. */
  mergeNext(): void {
    const run = this.#nextRun()
    if (run.length === 0) return
    let merged: Slab | undefined
    const isMerged = tryTo(() => (merged = this.#merge(run)))
    if (merged) this.#replace(run, merged)
    else if (!isMerged) tryTo(() => this.#options.directory.remove(mergeName(run[0]!.id)))
  }

  /** Slabs one behind the other, of which at least one is sparse. */
  #nextRun(): readonly Slab[] {
    let run: Slab[] = []
    for (const slab of this.#options.slabs.all) {
      const isTaken = isSparse(slab) || this.#isSmall(slab)
      if (isTaken && (run.length === 0 || fits([...run, slab]))) {
        run.push(slab)
        continue
      }
      if (run.some(isSparse)) return run
      run = isTaken ? [slab] : []
    }
    return run.some(isSparse) ? run : []
  }

  /** A merged slab that can take more. */
  #isSmall(slab: Slab): boolean {
    return slab.sequences !== undefined && isWhole(slab) && slab.endBytes <= this.#options.slabBytes / 4
  }

  /** @returns `undefined` when an entry turns out to be damaged: then the slab is kept for the operator @throws when the disk does */
  #merge(run: readonly Slab[]): Slab | undefined {
    const { directory, newSalt } = this.#options
    const entries = this.#openEntriesOf(run)
    if (!run.every(isWhole)) return undefined
    const header = { ...this.#headerOf(run[0]!), salt: newSalt(), mergedUpTo: this.#lastIdOf(run.at(-1)!) }
    const { bytes, slab } = encodeMerged(header, entries)
    const name = mergeName(header.id)
    const file = directory.create(name)
    try {
      file.write(bytes, 0)
      file.sync()
    } finally {
      file.close()
    }
    directory.rename(name, slabName(header.id))
    return slab
  }

  #openEntriesOf(run: readonly Slab[]): StoredEntry[] {
    const entries: StoredEntry[] = []
    const { endSequence } = run.at(-1)!
    for (let fromSequence = run[0]!.firstSequence; fromSequence < endSequence; ) {
      const read = this.#options.reader.read({ fromSequence, maxBytes: READ_BYTES }, endSequence)
      for (const entry of read.entries) if (entry.sequence < endSequence) entries.push(entry)
      if (read.nextSequence === fromSequence && !read.isAtEnd) throw new Error('a slab cannot be read')
      fromSequence = read.isAtEnd ? endSequence : read.nextSequence
    }
    return entries
  }

  #headerOf({ name }: Slab): SlabHeader {
    const bytes = withFile(this.#options.directory, name, file => file.read(0, SLAB_HEADER_BYTES))
    const header = decodeSlabHeader(bytes)
    if (typeof header === 'string') throw new Error(`the header of ${name} is damaged`)
    return header
  }

  #lastIdOf(slab: Slab): number {
    return this.#headerOf(slab).mergedUpTo ?? slab.id
  }

  #replace(run: readonly Slab[], merged: Slab): void {
    const { directory, slabs, report } = this.#options
    const bytesBefore = run.reduce((sum, { endBytes }) => sum + endBytes, 0)
    slabs.replace(run, merged)
    report(
      { slabs: run.length, bytesBefore, bytesAfter: merged.endBytes, records: merged.entryCount },
      'slabs of the durable log with few records left were merged into one'
    )
    // Before the new name is durable, a power cut may bring the old slabs back: then all of them are needed.
    if (!tryTo(() => directory.sync())) return
    for (const { name } of run.slice(1)) tryTo(() => directory.remove(name))
    tryTo(() => directory.sync())
  }
}

/** A slab with damage in it is kept as it is. */
const isWhole = ({ isClosed, damagedCount, openCount }: Slab): boolean =>
  isClosed && damagedCount === 0 && openCount > 0

const isSparse = (slab: Slab): boolean => isWhole(slab) && slab.openCount <= slab.entryCount * SPARSE_SHARE

const openBytesOf = ({ endBytes, openCount, entryCount }: Slab): number => (endBytes * openCount) / entryCount

const sumOf = (slabs: readonly Slab[], of: (slab: Slab) => number): number =>
  slabs.reduce((sum, slab) => sum + of(slab), 0)

const fits = (run: readonly Slab[]): boolean =>
  sumOf(run, openBytesOf) <= COPIED_BYTES && sumOf(run, ({ entryCount }) => entryCount) <= MAX_ENTRIES

function encodeMerged(
  header: SlabHeader,
  entries: readonly StoredEntry[]
): { readonly bytes: Buffer; readonly slab: Slab } {
  const index = new SlabIndex()
  const pieces = [encodeSlabHeader(header)]
  let endBytes = SLAB_HEADER_BYTES
  for (const [place, { sequence, destination, body, acceptedAtMs }] of entries.entries()) {
    const piece = encodeEntry(destination, body, acceptedAtMs)
    stampEntry(piece, 0, { sequence, salt: header.salt, unsyncedCount: place })
    index.add(destination, endBytes)
    pieces.push(piece)
    endBytes += piece.length
  }
  const sequences = Float64Array.from(entries, ({ sequence }) => sequence)
  const slab = new Slab(header, { endBytes, entryCount: entries.length }, sequences)
  slab.isClosed = true
  pieces.push(encodeSeal(slab, index))
  return { bytes: Buffer.concat(pieces), slab }
}
