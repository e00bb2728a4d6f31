import type { MonotonicClock } from '../../core/model.js'
import { spareName } from './file-names.js'
import type { LogDirectory, LogFile } from './files.js'
import type { LogSegment } from './segment.js'
import { tryTo } from './try-to.js'

/** One is filled while another one is finished. */
const MAX_SPARES = 2
/** A log that needs no new segment for so long does not need spare ones. */
const KEPT_FOR_MS = 30_000

interface Spare {
  readonly name: string
  readonly sizeBytes: number
}

/**
 * Finished segments that are written anew from their beginning. A sync of bytes that replace others costs about half of one
 * that makes the file longer, and removing a large file holds up appends for many milliseconds.
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

  /** Returns false when there are enough; the segment's file is still there then. @throws when the disk does */
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
   * @returns `undefined` when there is none, or it cannot be used
   */
  reuse(name: string, header: Buffer): LogFile | undefined {
    this.#usedAt = this.#clock()
    const spare = this.#spares.pop()
    if (!spare) return undefined
    let file: LogFile | undefined
    const isReused = tryTo(() => {
      file = this.#directory.openForWriting(spare.name)
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
