import { addTo } from '../../core/maps.js'
import type { Offset, PartitionIdentity } from '../../core/model.js'
import { type OpenRequest, reply, stillOpen } from '../requests/open-requests.js'

/** Longest delay between the planned and the actual check of a partition. */
const GRAIN_MS = 50
/** Up to this number of partitions, every partition is checked after every poll. */
const ALWAYS_LOOKED_AT = 1_000
/**
 * With more partitions, the time between two checks of a partition is the number of partitions multiplied by this time.
 */
const MS_PER_LOOK = 2

/**
 * The partitions of the long polls of one broker, with their waiting requests. Partitions stay from one poll to the
 * next, so the cost of a poll depends on the number of changes, not on the number of partitions. A partition without
 * news is checked when the wait of one of its requests may be over, and from time to time, because its client may have
 * left.
 */
export class LongPoll {
  readonly #partitions = new Map<string, Wanted>()
  readonly #lookAt = new Map<Wanted, number>()
  #looks = new Map<number, [key: string, wanted: Wanted][]>()
  #changed = new Set<string>()
  #mayBeAwaited = false

  get partitions(): ReadonlyMap<string, Wanted> {
    return this.#partitions
  }

  get size(): number {
    return this.#partitions.size
  }

  /** True while an unanswered request waits. */
  get isAwaited(): boolean {
    if (!this.#mayBeAwaited) return false
    for (const { waiters, joined } of this.#partitions.values()) {
      for (const waiter of waiters) if (!waiter.settled) return true
      for (const waiter of joined) if (!waiter.settled) return true
    }
    this.#mayBeAwaited = false
    return false
  }

  /** Returns the keys of all partitions that were added, dropped or replaced since the last call of this method. */
  takeChanged(): Iterable<string> {
    const changed = this.#changed
    this.#changed = new Set()
    return changed
  }

  /** Adds or replaces a partition. It is checked after the next poll. */
  put(key: string, wanted: Wanted, now: number): void {
    this.drop(key)
    this.#partitions.set(key, wanted)
    this.#changed.add(key)
    this.lookAt(key, wanted, now)
    this.#mayBeAwaited = true
  }

  /** Adds further requests for the same offset. */
  join(key: string, wanted: Wanted, waiters: readonly FetchWaiter[], now: number): void {
    wanted.waiters = [...waitersOf(wanted), ...waiters]
    wanted.joined = []
    this.lookAt(key, wanted, now)
    this.#mayBeAwaited = true
  }

  drop(key: string): void {
    const wanted = this.#partitions.get(key)
    if (wanted === undefined) return
    this.#partitions.delete(key)
    this.#lookAt.delete(wanted)
    this.#changed.add(key)
  }

  clear(): void {
    for (const key of this.#partitions.keys()) this.#changed.add(key)
    this.#partitions.clear()
    this.#lookAt.clear()
    this.#looks.clear()
    this.#mayBeAwaited = false
  }

  /** When to check a partition without news again, if its requests continue to wait. */
  nextLookAt(now: number): number {
    return this.size <= ALWAYS_LOOKED_AT ? now : now + this.size * MS_PER_LOOK
  }

  /** Plans a check of the partition after the first poll that ends at or after `at`. An earlier planned check stays. */
  lookAt(key: string, wanted: Wanted, at: number): void {
    const grain = Math.floor(at / GRAIN_MS)
    if ((this.#lookAt.get(wanted) ?? Number.POSITIVE_INFINITY) <= grain) return
    this.#lookAt.set(wanted, grain)
    addTo(this.#looks, grain, [key, wanted])
  }

  /** Takes out the partitions whose checks are due. */
  takeLooks(now: number): (readonly [key: string, wanted: Wanted])[] {
    const due: (readonly [string, Wanted])[] = []
    for (const [grain, looks] of this.#looks) {
      if (grain > now / GRAIN_MS) continue
      this.#looks.delete(grain)
      for (const look of looks) {
        if (this.#lookAt.get(look[1]) !== grain) continue
        this.#lookAt.delete(look[1])
        due.push(look)
      }
    }
    return due
  }

  /** Partitions whose identity has changed. */
  *outdated(identityOf: (key: string) => PartitionIdentity | undefined): Generator<readonly [string, Wanted]> {
    for (const entry of this.#partitions) if (identityOf(entry[0]) !== entry[1].identity) yield entry
  }
}

export type FetchWaiter = OpenRequest<'fetchData'>

/** One partition of a call, with all requests that wait for its offset. */
export interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly position: Offset
  /**
   * The identity of the partition when the call was made. An answer for another identity does not answer these
   * requests.
   */
  readonly identity: PartitionIdentity
  /**
   * Requests that waited when the call was sent. Empty: the readers have just been answered and are expected to
   * ask again.
   */
  waiters: readonly FetchWaiter[]
  /** Requests for the same offset that came while the call was in flight. */
  joined: FetchWaiter[]
}

/** The open requests of the partition. The list is copied only if a request was answered or has joined. */
export function waitersOf({ waiters, joined }: Wanted): readonly FetchWaiter[] {
  const all = joined.length === 0 ? waiters : [...waiters, ...joined]
  return all.some(waiter => waiter.settled) ? stillOpen(all) : all
}

/** The largest number of bytes that one of its requests asks for; infinite: one of them has no limit of its own. */
export function maxBytesOf({ waiters }: Wanted): number {
  let most = 0
  for (const { state } of waiters) most = Math.max(most, state.maxBytes ?? Number.POSITIVE_INFINITY)
  return most
}

/** A reader that has waited for this time may be answered `noMessages` to free its place. */
const TURN_MS = 1_000

/**
 * Readers that wait at the end of a log for the next record, in order of arrival. They may be many and wait for long,
 * so they are answered early when places are short. One that is answered is no longer held.
 */
export class ReadersAtEnd {
  readonly #waiters = new Set<FetchWaiter>()

  /** Adds readers. A reader that is added again keeps its position in the order. */
  add(waiters: readonly FetchWaiter[]): void {
    for (const waiter of waiters) {
      if (waiter.settled) continue
      waiter.state.atEnd = this.#waiters
      this.#waiters.add(waiter)
    }
  }

  /** Answers `noMessages` to the reader that came first, if it has waited long enough. */
  answerOldest(now: number): void {
    for (const waiter of this.#waiters) {
      if (!waiter.settled && now - waiter.acceptedAt < TURN_MS) return
      this.#waiters.delete(waiter)
      if (waiter.settled) continue
      reply(waiter, { type: 'noMessages' })
      return
    }
  }
}
