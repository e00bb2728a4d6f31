import type { LogDirectory } from './files.js'
import type { LogSegment } from './segment.js'
import type { SpareSegments } from './spare-segments.js'
import { tryTo } from './try-to.js'

export interface SegmentListOptions {
  readonly directory: LogDirectory
  readonly segments: readonly LogSegment[]
  readonly spares: SpareSegments
  /** Smaller files are not worth keeping as spare ones. */
  readonly minSpareBytes: number
  /** Nothing may use the segment any more. */
  readonly onRemoved: (segment: LogSegment) => void
  /** Keeps what only the newest segment tells: where sequences go on. False: it could not be kept. */
  readonly keepNext: () => boolean
  /** Makes what was noted survive a power cut. */
  readonly syncProgress: () => void
}

/** The segments there are, by rising ids and sequences. Finished ones leave it: to be used again, removed, or set aside. */
export class SegmentList {
  readonly all: LogSegment[]
  readonly #options: SegmentListOptions
  readonly #reusable = new WeakSet<LogSegment>()
  #quarantinedCount = 0

  constructor(options: SegmentListOptions) {
    this.#options = options
    this.all = [...options.segments]
  }

  get sizeBytes(): number {
    return this.all.reduce((total, segment) => total + segment.endBytes, 0)
  }
  get openEntries(): number {
    return this.all.reduce((total, segment) => total + segment.openCount, 0)
  }
  get quarantinedCount(): number {
    return this.#quarantinedCount
  }
  get newest(): LogSegment | undefined {
    return this.all.at(-1)
  }

  /** @param segment one of this process: no other segment of a former life has its salt */
  add(segment: LogSegment): void {
    this.all.push(segment)
    this.#reusable.add(segment)
  }

  /** Their entries are in another segment now, which has taken the name of the first. The files of the others are still there. */
  replace(segments: readonly LogSegment[], merged: LogSegment): void {
    for (const segment of segments) this.#options.onRemoved(segment)
    this.all.splice(this.all.indexOf(segments[0]!), segments.length, merged)
  }

  removeFinished(): void {
    if (!this.all.some(segment => segment.isFinished)) return
    // Notes of batches tell what is missing in the log because Kafka has it. They must not be older than what is missing.
    this.#options.syncProgress()
    for (let index = 0; index < this.all.length; ) {
      const segment = this.all[index]!
      const isKept = !segment.isFinished || (segment === this.newest && !this.#options.keepNext())
      if (isKept || !tryTo(() => this.#remove(segment))) index++
      else this.all.splice(index, 1)
    }
  }

  #remove(segment: LogSegment): void {
    const { directory, onRemoved } = this.#options
    onRemoved(segment)
    if (segment.damagedCount > 0) this.#quarantine(segment)
    else if (!this.#isWorthKeeping(segment) || !this.#options.spares.keep(segment)) directory.remove(segment.name)
    // The file is gone in any case: a power cut may bring it back, and then it is found finished again.
    tryTo(() => directory.sync())
  }

  #isWorthKeeping(segment: LogSegment): boolean {
    return this.#reusable.has(segment) && segment.endBytes >= this.#options.minSpareBytes
  }

  #quarantine(segment: LogSegment): void {
    const quarantine = this.#options.directory.directory('quarantine')
    this.#options.directory.move(segment.name, quarantine)
    tryTo(() => quarantine.sync())
    this.#quarantinedCount++
  }
}
