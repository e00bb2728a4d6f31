import type { Logger } from '../../core/model.js'
import type { StoredEntry } from '../log/entry.js'
import type { ReadLog } from '../log/entry-reader.js'
import { READ_BYTES } from '../log/entry-reader.js'

/** A reader of the entries of one destination. */
export interface FeedTarget {
  /** `cluster/topic`. */
  readonly destination: string
  /**
   * Sequence of the first entry that it would take now. Later entries are offered in order, until {@link offered}.
   * `undefined`: it takes no entry now; it calls {@link LogFeed.want} when it can take one.
   */
  nextWanted(): number | undefined
  offer(entry: StoredEntry): void
  /** All entries before `sequence` were offered. `isAtEnd`: the log has no later entry for this destination. */
  offered(sequence: number, isAtEnd: boolean): void
}

/** Pause after a read that failed. */
const RETRY_MS = 1_000
/** Limit of destinations of one read, because they are copied to the thread of the log. */
const MAX_TARGETS = 1_000

/**
 * Reads the log for all targets that want entries, one read at a time. A read begins at the position of the target that
 * has waited longest, and also serves targets with the same or a later position. A target without capacity drops out and
 * asks again later, from its own position: no target waits for another one, and no entry is kept here.
 */
export class LogFeed {
  readonly #read: ReadLog
  readonly #log: Logger
  /** Targets that want entries, least recently served first. */
  readonly #wanting = new Set<FeedTarget>()
  #isReading = false
  #isPlanned = false
  #isStopped = false
  /** The end of a pause after a read that failed as a whole. */
  #timer: NodeJS.Timeout | undefined
  #whenQuiet: (() => void) | undefined

  constructor(read: ReadLog, log: Logger) {
    this.#read = read
    this.#log = log
  }

  /** The target may take entries. */
  want(target: FeedTarget): void {
    this.#wanting.add(target)
    this.#readSoon()
  }

  /** Stops reading. Offers nothing more once it resolves. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    if (this.#isReading) await new Promise<void>(resolve => (this.#whenQuiet = resolve))
  }

  /** Reads at the end of the tick, so that all targets that want entries take part. */
  #readSoon(): void {
    if (this.#isPlanned || this.#isReading || this.#isStopped || this.#timer !== undefined) return
    this.#isPlanned = true
    setImmediate(() => {
      this.#isPlanned = false
      void this.#readNext()
    })
  }

  async #readNext(): Promise<void> {
    const targets = this.#gather()
    if (targets.size === 0 || this.#isStopped) return
    this.#isReading = true
    try {
      await this.#serve(targets)
    } catch (error) {
      this.#log.error({ err: error }, 'the durable log could not be read; trying again')
      this.#rest()
    }
    this.#isReading = false
    this.#whenQuiet?.()
    this.#readSoon()
  }

  /** The log cannot be read for now. */
  #rest(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#readSoon()
    }, RETRY_MS)
  }

  /** The target that has waited longest, and others at its position or further on. */
  #gather(): Map<FeedTarget, number> {
    const targets = new Map<FeedTarget, number>()
    let start: number | undefined
    for (const target of this.#wanting) {
      if (targets.size >= MAX_TARGETS) break
      const wanted = target.nextWanted()
      if (wanted === undefined) this.#wanting.delete(target)
      else if (start === undefined || wanted >= start) {
        start ??= wanted
        targets.set(target, wanted)
      }
    }
    return targets
  }

  async #serve(targets: ReadonlyMap<FeedTarget, number>): Promise<void> {
    const byName = new Map<string, FeedTarget>()
    const destinations = new Map<string, number>()
    let fromSequence = Number.POSITIVE_INFINITY
    for (const [target, wanted] of targets) {
      byName.set(target.destination, target)
      destinations.set(target.destination, wanted)
      fromSequence = Math.min(fromSequence, wanted)
    }
    const { entries, nextSequence, isAtEnd } = await this.#read({ fromSequence, maxBytes: READ_BYTES, destinations })
    if (this.#isStopped) return
    for (const entry of entries) byName.get(entry.destination)?.offer(entry)
    for (const [target, wanted] of targets) {
      // The read was full before it came to the position of this target, which goes on wanting.
      if (wanted > nextSequence) continue
      target.offered(nextSequence, isAtEnd)
      // A target that was served goes to the end of the queue.
      this.#wanting.delete(target)
      this.#wanting.add(target)
    }
  }
}
