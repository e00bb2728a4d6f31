import type { MonotonicClock } from '../../core/model.js'
import { tryTo } from '../../core/node-errors.js'
import { type LogDirectory, type LogFile, spareName } from './files.js'
import { forgetAside, QUARANTINE_DIRECTORY, setAside } from './quarantine.js'
import type { LogSegment } from './segment.js'

export interface SegmentListOptions {
  readonly directory: LogDirectory
  readonly segments: readonly LogSegment[]
  readonly aside: readonly LogSegment[]
  readonly spares: SpareSegments
  /** Smaller files are not kept as spares. */
  readonly minSpareBytes: number
  /** Called when the segment must not be used any more. */
  readonly onRemoved: (segment: LogSegment) => void
  /** Stores the next sequence, which is otherwise known from the newest segment only. False: that failed. */
  readonly keepNext: () => boolean
  /** Makes notes survive a power cut. */
  readonly syncProgress: () => boolean
}

/** All segments, by rising ids and sequences. Finished ones leave the list: they are reused, removed or quarantined. */
export class SegmentList {
  readonly all: LogSegment[]
  /** Segments with open entries that the disk cannot read, by rising ids. They are in no other list. */
  readonly aside: LogSegment[]
  readonly #options: SegmentListOptions
  readonly #reusable = new WeakSet<LogSegment>()
  #quarantinedCount = 0

  constructor(options: SegmentListOptions) {
    this.#options = options
    this.all = [...options.segments]
    this.aside = [...options.aside]
    this.moveAside()
  }

  get sizeBytes(): number {
    return [...this.all, ...this.aside].reduce((total, segment) => total + segment.endBytes, 0)
  }
  get openEntries(): number {
    return this.all.reduce((total, segment) => total + segment.openCount, 0)
  }
  get quarantinedCount(): number {
    return this.#quarantinedCount + this.aside.length
  }
  get asideEntries(): number {
    return this.aside.reduce((total, segment) => total + segment.openCount, 0)
  }
  get newest(): LogSegment | undefined {
    return this.all.at(-1)
  }

  /** @param segment a segment of this process: no segment that had the same file before has its salt */
  add(segment: LogSegment): void {
    this.all.push(segment)
    this.#reusable.add(segment)
  }

  /**
   * The entries of these segments are now in another segment, which has the name of the first. The files of the others
   * still exist.
   */
  replace(segments: readonly LogSegment[], merged: LogSegment): void {
    for (const segment of segments) this.#options.onRemoved(segment)
    this.all.splice(this.all.indexOf(segments[0]!), segments.length, merged)
  }

  /** The segment cannot be read: its entries wait until an operator puts back what can be read after all. */
  setAside(segment: LogSegment): void {
    this.#options.onRemoved(segment)
    this.all.splice(this.all.indexOf(segment), 1)
    this.aside.push(segment)
    this.aside.sort((one, other) => one.id - other.id)
    this.moveAside()
  }

  /** Moves the files of such segments, also those that the disk could not move before. */
  moveAside(): void {
    const { directory } = this.#options
    const isHere = ({ name }: LogSegment): boolean => directory.list().includes(name)
    for (const segment of this.aside) if (isHere(segment)) tryTo(() => setAside(directory, segment))
  }

  /** Entries that were read in time were delivered: nothing waits in these segments any more. */
  #removeFinishedAside(): void {
    for (const segment of this.aside.filter(({ openCount }) => openCount === 0)) {
      if (!tryTo(() => forgetAside(this.#options.directory, segment))) continue
      this.aside.splice(this.aside.indexOf(segment), 1)
      this.#quarantinedCount++
    }
  }

  removeFinished(): void {
    this.#removeFinishedAside()
    if (!this.all.some(segment => segment.isFinished)) return
    // Notes of batches tell which missing entries Kafka has, so they must reach the disk before entries are removed. While
    // the journal cannot, the last segment but the newest one tells which sequences were given, should that be unreadable.
    const isSynced = this.#options.syncProgress()
    const last = isSynced ? undefined : this.all.findLast(one => one.isFinished && one !== this.newest)
    for (let index = 0; index < this.all.length; ) {
      const segment = this.all[index]!
      const isKept = !segment.isFinished || segment === last || (segment === this.newest && !this.#options.keepNext())
      if (isKept || !tryTo(() => this.#remove(segment))) index++
      else this.all.splice(index, 1)
    }
  }

  #remove(segment: LogSegment): void {
    const { directory, onRemoved } = this.#options
    onRemoved(segment)
    if (segment.damagedCount > 0) this.#quarantine(segment)
    else if (!this.#isWorthKeeping(segment) || !this.#options.spares.keep(segment)) directory.remove(segment.name)
    // If the file reappears after a power cut, its entries are still known as completed.
    tryTo(() => directory.sync())
  }

  #isWorthKeeping(segment: LogSegment): boolean {
    return this.#reusable.has(segment) && segment.endBytes >= this.#options.minSpareBytes
  }

  #quarantine(segment: LogSegment): void {
    const quarantine = this.#options.directory.directory(QUARANTINE_DIRECTORY)
    this.#options.directory.rename(segment.name, segment.name, quarantine)
    tryTo(() => quarantine.sync())
    this.#quarantinedCount++
  }
}

/** Two spares: one is being filled while another one is finished. */
const MAX_SPARES = 2
/** Spares are removed when no new segment was needed for this time. */
const KEPT_FOR_MS = 30_000

interface Spare {
  readonly name: string
  readonly sizeBytes: number
}

/**
 * Files of finished segments that are reused for new ones. A sync after overwriting bytes costs about half of a sync
 * after the file has grown, and removing a large file holds up appends for many milliseconds.
 */
export class SpareSegments {
  readonly #directory: LogDirectory
  readonly #clock: MonotonicClock
  #spares: Spare[] = []
  #usedAt = 0

  constructor(directory: LogDirectory, clock: MonotonicClock) {
    this.#directory = directory
    this.#clock = clock
  }

  get sizeBytes(): number {
    return this.#spares.reduce((total, { sizeBytes }) => total + sizeBytes, 0)
  }

  /** Returns false when there are enough spares; the segment's file then still exists. @throws when the disk does */
  keep(segment: LogSegment): boolean {
    if (this.#spares.length >= MAX_SPARES) return false
    const name = spareName(segment.id)
    this.#directory.rename(segment.name, name)
    this.#spares.push({ name, sizeBytes: segment.endBytes })
    return true
  }

  /**
   * Makes a spare file the segment `name`: its header is durable before it has that name.
   *
   * @returns `undefined` when there is no spare file, or it cannot be used
   */
  reuse(name: string, header: Buffer): LogFile | undefined {
    this.#usedAt = this.#clock()
    const spare = this.#spares.pop()
    if (!spare) return undefined
    let file: LogFile | undefined
    const isReused = tryTo(() => {
      file = this.#directory.open(spare.name, 'write')
      file.write(header, 0)
      file.sync()
      this.#directory.rename(spare.name, name)
    })
    if (isReused) return file
    tryTo(() => file?.close())
    tryTo(() => this.#directory.remove(spare.name))
    return undefined
  }

  /** Removes spares that were not needed for a while. */
  tick(): void {
    if (this.#clock() - this.#usedAt >= KEPT_FOR_MS) this.drop()
  }

  /** Removes all of them. */
  drop(): void {
    this.#spares = this.#spares.filter(({ name }) => !tryTo(() => this.#directory.remove(name)))
  }
}
