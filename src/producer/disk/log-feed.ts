import type { Logger } from '../../core/model.js'
import type { StoredEntry } from '../log/entry.js'
import type { ReadRequest, ReadResult } from '../log/read-request.js'

/** A reader that takes entries of one destination out of the log. */
export interface FeedTarget {
  /** `cluster/topic`. */
  readonly destination: string
  /**
   * The first entry it would take now. Entries from there on are offered in order, until {@link offered}. `undefined`: it
   * wants none, and asks again when that changes.
   */
  nextWanted(): number | undefined
  offer(entry: StoredEntry): void
  /** Everything before `sequence` has been offered. `isAtEnd`: the log has nothing behind it for this destination. */
  offered(sequence: number, isAtEnd: boolean): void
}

/** Reads one piece of the log. */
export type ReadLog = (request: ReadRequest) => Promise<ReadResult>

/** Bytes of one read: some batches. */
const READ_BYTES = 1024 * 1024
/** Destinations of one read. What is asked for travels to the thread of the log. */
const MAX_TARGETS = 1_000
/** Pause after a read that failed. */
const RETRY_MS = 1_000

/**
 * Reads the log for all targets that want something of it, in turn, one read at a time. A read begins where the target
 * that has waited longest stopped, and serves all others that stand at that place or behind it on the way. Who has no
 * room drops out and asks again later, at its own place: no target waits for another one, and nothing is held here.
 */
export class LogFeed {
  readonly #read: ReadLog
  readonly #log: Logger
  /** In the order in which they were served last. */
  readonly #wanting = new Set<FeedTarget>()
  #isReading = false
  #isPlanned = false
  #isStopped = false
  #timer: NodeJS.Timeout | undefined
  #whenQuiet: (() => void) | undefined

  constructor(read: ReadLog, log: Logger) {
    this.#read = read
    this.#log = log
  }

  /** The target may want something. */
  want(target: FeedTarget): void {
    this.#wanting.add(target)
    this.#readSoon()
  }

  /** Offers nothing any more once it resolves. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    if (this.#isReading) await new Promise<void>(resolve => (this.#whenQuiet = resolve))
  }

  /** At the end of the turn, so that all who want something take part in the read. */
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
      this.#retryLater(targets)
    }
    this.#isReading = false
    this.#whenQuiet?.()
    this.#readSoon()
  }

  #retryLater(targets: ReadonlyMap<FeedTarget, number>): void {
    for (const target of targets.keys()) this.#wanting.add(target)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#readSoon()
    }, RETRY_MS)
  }

  /** The target that has waited longest, and others that stand where it stands or behind. */
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
      if (wanted > nextSequence) continue
      target.offered(nextSequence, isAtEnd)
      // A target that was served goes to the end of the line.
      this.#wanting.delete(target)
      this.#wanting.add(target)
    }
  }
}
