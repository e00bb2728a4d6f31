import type { Offset, PartitionIdentity } from '../../core/model.js'
import { stillOpen } from '../requests/open-requests.js'
import { type FetchWaiter, LongPoll, type Wanted, waitersOf } from './long-poll.js'
import { PartitionLines } from './partition-lines.js'

export type FetchSlot = 'catchUp' | 'tail'

export interface FetchDataCall {
  readonly slot: FetchSlot
  readonly partitions: ReadonlyMap<string, Wanted>
}

/** A partition for which a call returned no records although there are some. */
export interface Unserved {
  readonly key: string
  readonly wanted: Wanted
}

const UNSEEN = -1
/**
 * Requests that only look for records written since their partition was read to its end are gathered for so long after a
 * catch-up call. A thousand partitions come to their ends one by one, and each would have a call of its own.
 */
const GATHER_MS = 10
// Answered requests are dropped from the lines after this many additions. A lower number costs more, because each pass
// checks all waiting requests.
const ADDED_BEFORE_DROPPING = 20_000

/** The identity under which each partition is read now. */
export interface Identities {
  identityOf(key: string): PartitionIdentity | undefined
  /** A version that changes whenever an identity may have changed. */
  readonly identityVersion: number
}

/**
 * The waiting requests by partition and offset. A request waits in one of two lines, in the catch-up call in flight,
 * or in the long poll. The long poll also has partitions whose readers were just answered and are expected to ask
 * again.
 */
export class FetchLines {
  readonly #lines = {
    catchUp: new PartitionLines<Offset, FetchWaiter>(),
    tail: new PartitionLines<Offset, FetchWaiter>()
  }
  readonly poll = new LongPoll()
  readonly #identities: Identities
  readonly #inFlight: Record<FetchSlot, FetchDataCall | undefined> = { catchUp: undefined, tail: undefined }
  #expectedAt = Number.NEGATIVE_INFINITY
  #isFirstAlone = false
  #mustAskInFull = false
  /** Number of requests added since answered requests were last dropped. */
  #added = 0
  /** The version of the identities when they were last compared with the long poll. */
  #identityVersion = UNSEEN
  /** All that waits to catch up are requests that only look. */
  #onlyLooks = true
  #caughtUpAt = Number.NEGATIVE_INFINITY
  /** Runs while requests are gathered that only look. */
  #gathering: NodeJS.Timeout | undefined
  readonly #onGathered: () => void

  /** @param onGathered called when gathered requests may be sent */
  constructor(identities: Identities, onGathered: () => void) {
    this.#identities = identities
    this.#onGathered = onGathered
  }

  isEmpty(slot: FetchSlot): boolean {
    if (slot === 'catchUp' && this.#onlyLooks && this.#gathering !== undefined) return true
    if (!this.#lines[slot].isEmpty) return false
    return slot === 'catchUp' || this.#inFlight.tail !== undefined || !this.poll.isAwaited
  }

  /** True when no request waits for the long poll after the one in flight. */
  get isPollComplete(): boolean {
    return this.#lines.tail.isEmpty
  }

  /** Adds a request to a call in flight for the same offset, or else to a line. */
  add(waiter: FetchWaiter, isAtEnd: boolean, now: number): void {
    if (++this.#added >= ADDED_BEFORE_DROPPING) this.#dropAnswered()
    const { key, state } = waiter
    const { position } = state
    for (const call of [this.#inFlight.catchUp, this.#inFlight.tail]) {
      const wanted = call?.partitions.get(key)
      if (wanted?.position !== position || wanted.identity !== this.#identities.identityOf(key)) continue
      wanted.joined.push(waiter)
      if (call!.slot === 'tail') this.poll.lookAt(key, wanted, waiter.acceptedAt)
      return
    }
    // While a long poll is in flight, a catch-up call asks for records that may have been written since.
    const slot = isAtEnd && !this.#inFlight.tail ? 'tail' : 'catchUp'
    if (slot === 'catchUp' && isAtEnd) this.#gather(now)
    else if (slot === 'catchUp') this.#onlyLooks = false
    this.#lines[slot].add(key, position, waiter)
  }

  #gather(now: number): void {
    const leftMs = this.#caughtUpAt + GATHER_MS - now
    if (this.#gathering !== undefined || leftMs <= 0) return
    this.#gathering = setTimeout(() => {
      this.#gathering = undefined
      this.#onGathered()
    }, leftMs)
  }

  #stopGathering(): void {
    clearTimeout(this.#gathering)
    this.#gathering = undefined
  }

  /** Queues requests that have read everything before `position` and wait for the next record. */
  addAtTail(key: string, position: Offset, waiters: readonly FetchWaiter[]): void {
    for (const waiter of waiters) this.#lines.tail.add(key, position, waiter)
  }

  /**
   * Puts back partitions for which a call returned no records. Partitions of a catch-up call keep their turns. A
   * partition of a long poll has no turn yet among partitions that catch up.
   *
   * @param firstAlone the next catch-up call asks only for the first partition in turn; only a catch-up call sets this
   */
  putBack({ slot }: FetchDataCall, unserved: readonly Unserved[], firstAlone: boolean): void {
    if (firstAlone) this.#isFirstAlone = true
    const left = unserved.map(toQueued).filter(({ waiters }) => waiters.length > 0)
    if (left.length > 0) this.#onlyLooks = false
    if (slot === 'catchUp') this.#lines.catchUp.putBack(left)
    else for (const { key, subkey, waiters } of left) this.#lines.catchUp.addFirst(key, subkey, waiters)
  }

  /**
   * Lets requests continue at `position`, because there was no record at their offset. They wait for the next turn of
   * their partition.
   */
  moveOn(key: string, position: Offset, waiters: readonly FetchWaiter[]): void {
    if (waiters.length === 0) return
    this.#onlyLooks = false
    this.#lines.catchUp.addFirst(key, position, waiters)
  }

  /** Returns a call with the offset of each partition that was requested first; `undefined` when no request waits. */
  takeCall(slot: FetchSlot, maxPartitions: number, now: number, expectedSince: number): FetchDataCall | undefined {
    const call =
      slot === 'tail' ? this.#takePoll(maxPartitions, now, expectedSince) : this.#takeCatchUp(maxPartitions, now)
    this.#inFlight[slot] = call
    return call
  }

  #takeCatchUp(maxPartitions: number, now: number): FetchDataCall | undefined {
    this.#stopGathering()
    this.#caughtUpAt = now
    const limit = this.#isFirstAlone ? 1 : maxPartitions
    this.#isFirstAlone = false
    const partitions = new Map<string, Wanted>()
    while (partitions.size === 0 && !this.#lines.catchUp.isEmpty) {
      for (const [key, wanted] of this.#takeOpen('catchUp', limit)) partitions.set(key, wanted)
    }
    this.#onlyLooks = this.#lines.catchUp.isEmpty
    return partitions.size === 0 ? undefined : { slot: 'catchUp', partitions }
  }

  /**
   * Returns a call for the partitions of the previous long poll and the requests that have come since. If the
   * partitions do not all fit into a call, they take turns.
   */
  #takePoll(maxPartitions: number, now: number, expectedSince: number): FetchDataCall | undefined {
    const { poll } = this
    const line = this.#lines.tail
    if (!poll.isAwaited && this.#expectedAt <= expectedSince) poll.clear()
    this.#renewIdentities(now)
    if (poll.size + line.keyCount > maxPartitions) this.restPoll()
    while (!line.isEmpty && poll.size < maxPartitions) {
      for (const [key, wanted] of this.#takeOpen('tail', maxPartitions - poll.size)) this.#addToPoll(key, wanted, now)
      if (poll.isAwaited) break
    }
    return poll.isAwaited ? { slot: 'tail', partitions: poll.partitions } : undefined
  }

  *#takeOpen(slot: FetchSlot, limit: number): Generator<readonly [string, Wanted]> {
    for (const [key, { subkey, waiters }] of this.#lines[slot].takeHeads(limit)) {
      const open = stillOpen(waiters)
      if (open.length > 0) yield [key, this.#toWanted(key, subkey, open)]
    }
  }

  #addToPoll(key: string, wanted: Wanted, now: number): void {
    const { poll } = this
    const before = poll.partitions.get(key)
    if (before?.position === wanted.position && before.identity === wanted.identity) {
      poll.join(key, before, wanted.waiters, now)
      return
    }
    if (this.#identities.identityOf(key) !== wanted.identity) this.#identityVersion = UNSEEN
    if (before?.position === wanted.position) wanted.waiters = [...waitersOf(before), ...wanted.waiters]
    // Requests for two offsets of one partition take turns.
    else if (before) this.addAtTail(key, before.position, waitersOf(before))
    poll.put(key, wanted, now)
  }

  #renewIdentities(now: number): void {
    const { identityVersion } = this.#identities
    if (identityVersion === this.#identityVersion) return
    this.#identityVersion = identityVersion
    for (const [key, wanted] of [...this.poll.outdated(key => this.#identities.identityOf(key))]) {
      const waiters = waitersOf(wanted)
      this.poll.drop(key)
      if (waiters.length > 0) this.#addToPoll(key, this.#toWanted(key, wanted.position, waiters), now)
    }
  }

  /**
   * Ends the long poll, because the next one does not follow at once, or names other partitions. Its requests wait to
   * catch up.
   */
  restPoll(): void {
    for (const [key, wanted] of this.poll.partitions) this.addAtTail(key, wanted.position, waitersOf(wanted))
    this.poll.clear()
  }

  /** Takes out the partitions of the long poll whose topics may have been created again. */
  takeStrangers(): Wanted[] {
    if (this.#identities.identityVersion === this.#identityVersion) return []
    const strangers: Wanted[] = []
    for (const [key, wanted] of [...this.poll.outdated(key => this.#identities.identityOf(key))]) {
      const identity = this.#identities.identityOf(key)
      if (identity !== undefined && identity.topicId === wanted.identity.topicId) continue
      this.poll.drop(key)
      strangers.push(wanted)
    }
    return strangers
  }

  /** Lets the next long poll name all its partitions, so that its response has all of them. */
  askInFull(): void {
    this.#mustAskInFull = true
  }

  takeAskInFull(): boolean {
    const mustAsk = this.#mustAskInFull
    this.#mustAskInFull = false
    return mustAsk
  }

  /** Notes that a call has ended, so that no further request joins it. */
  ended({ slot }: FetchDataCall): void {
    this.#inFlight[slot] = undefined
  }

  /** Adds a partition to the long poll whose readers have just been answered, because they soon ask for `position`. */
  expect(key: string, { topic, partition, identity }: Wanted, position: Offset, now: number): void {
    this.#expectedAt = now
    this.poll.put(key, { topic, partition, identity, position, waiters: [], joined: [] }, now)
  }

  /** Like {@link expect}, for partitions that stay in the long poll. */
  expectAgain(now: number): void {
    this.#expectedAt = now
  }

  /** Takes out the requests of the partition whose offsets `covers` accepts, grouped by offset, in order. */
  *takeWhere(key: string, covers: (offset: Offset) => boolean): Generator<readonly [Offset, FetchWaiter[]]> {
    for (const line of [this.#lines.catchUp, this.#lines.tail]) {
      for (const offset of [...(line.get(key)?.keys() ?? [])]) {
        if (covers(offset)) yield [offset, line.remove(key, offset)]
      }
    }
  }

  takePartition(key: string): FetchWaiter[] {
    return [...this.#lines.catchUp.removeKey(key), ...this.#lines.tail.removeKey(key)]
  }

  drain(): FetchWaiter[] {
    if (this.#inFlight.tail === undefined) this.restPoll()
    this.#stopGathering()
    this.#onlyLooks = true
    return stillOpen([...this.#lines.catchUp.drain(), ...this.#lines.tail.drain()])
  }

  /** Drops requests that were answered at their deadlines while their broker was silent. */
  #dropAnswered(): void {
    this.#added = 0
    const isOpen = ({ settled }: FetchWaiter): boolean => !settled
    for (const line of [this.#lines.catchUp, this.#lines.tail]) line.keepOnly(isOpen)
    for (const call of [this.#inFlight.catchUp, this.#inFlight.tail]) {
      for (const { joined } of call?.partitions.values() ?? []) keepInPlace(joined, isOpen)
    }
  }

  #toWanted(key: string, position: Offset, waiters: readonly FetchWaiter[]): Wanted {
    const { request, identity } = waiters.at(-1)!
    const { topic, partition } = request.topicPartition
    return { topic, partition, position, identity: this.#identities.identityOf(key) ?? identity, waiters, joined: [] }
  }
}

const toQueued = ({ key, wanted }: Unserved) => ({ key, subkey: wanted.position, waiters: waitersOf(wanted) })

function keepInPlace<T>(items: T[], isKept: (item: T) => boolean): void {
  let kept = 0
  for (const item of items) if (isKept(item)) items[kept++] = item
  items.length = kept
}
