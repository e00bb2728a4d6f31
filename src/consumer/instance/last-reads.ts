import type { Offset } from '../../core/model.js'
import { IDLE_TIMES, instanceOfBytes } from './stored-instance.js'

/** How long after its idle time an instance has expired. */
export const EXPIRED_MS = 600_000

interface LastRead {
  readonly offset: Offset
  readonly at: number
  /** How long the state counts from then on; `undefined`: it was not looked up yet. */
  lastsMs: number | undefined
}

/**
 * When the last record of each name was read first, by the clock of this process alone: clocks of other machines may differ.
 * It is kept by offset, so that it remains when the records are read again.
 */
export class LastReads {
  /** How many states it has looked into, which takes time. */
  lookedUp = 0
  readonly #reads = new Map<string, LastRead>()

  /** @param at in milliseconds of a monotonic clock, as all times here */
  add(key: string, offset: Offset, at: number): void {
    const last = this.#reads.get(key)
    if (!last || last.offset < offset) this.#reads.set(key, { offset, at, lastsMs: undefined })
  }

  /**
   * Whether no process has an instance, since none has written its state for so long.
   *
   * @param until all that was written before was read
   */
  hasExpired(key: string, state: Buffer, until: number): boolean {
    const last = this.#reads.get(key)
    if (!last || until - last.at < EXPIRED_MS) return false
    if (last.lastsMs === undefined) {
      this.lookedUp++
      // A state that this build cannot read is left to the build that has written it.
      const { idleMs = Number.POSITIVE_INFINITY } = instanceOfBytes(state)?.settings ?? {}
      last.lastsMs = EXPIRED_MS + IDLE_TIMES * idleMs
    }
    return until - last.at >= last.lastsMs
  }

  /** The names whose last records were read first before a time. */
  *before(time: number): Iterable<string> {
    for (const [key, { at }] of this.#reads) if (at < time) yield key
  }

  delete(key: string): void {
    this.#reads.delete(key)
  }

  clear(): void {
    this.#reads.clear()
  }
}
