import type { Offset, PartitionIdentity } from '../model.js'
import type { Accepted } from './accepted.js'
import { stillOpen } from './queue-processor.js'
import { RequestQueue } from './request-queue.js'

export type FetchWaiter = Accepted<'fetchData'>
export type FetchSlot = 'catchUp' | 'tail'

/** One partition of a call, with everybody who waits for that offset of it. */
export interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly position: Offset
  /** What the call asks for: an answer of another identity is not for those who wait. */
  readonly identity: PartitionIdentity
  /** They were queued when the call went out. Empty: nobody asked, but whoever just got an answer is about to. */
  readonly waiters: readonly FetchWaiter[]
  /** They asked for the same while the call was on its way. */
  readonly joined: FetchWaiter[]
}

export interface FetchDataCall {
  readonly slot: FetchSlot
  readonly partitions: ReadonlyMap<string, Wanted>
}

/** A partition of a call that brought nothing for it although there is something. */
export interface Unserved {
  readonly key: string
  readonly wanted: Wanted
}

// Each costs one look at those that are queued then.
const ADDED_BEFORE_DROPPING = 20_000

export const waitersOf = ({ waiters, joined }: Wanted): FetchWaiter[] => stillOpen([...waiters, ...joined])

/**
 * Who waits for which offset of which partition, in which slot: two queues, the calls on their way, and the partitions
 * whose readers are expected back at the tail.
 */
export class FetchQueues {
  readonly #queues = {
    catchUp: new RequestQueue<Offset, FetchWaiter>(),
    tail: new RequestQueue<Offset, FetchWaiter>()
  }
  readonly #identityOf: (key: string) => PartitionIdentity | undefined
  readonly #inFlight: Record<FetchSlot, FetchDataCall | undefined> = { catchUp: undefined, tail: undefined }
  #expected = new Map<string, Wanted>()
  #expectedAt = 0
  #isFirstAlone = false
  /** Since answered requests were dropped last. */
  #added = 0

  /** @param identityOf which life of a partition is read now */
  constructor(identityOf: (key: string) => PartitionIdentity | undefined) {
    this.#identityOf = identityOf
  }

  isEmpty(slot: FetchSlot): boolean {
    return this.#queues[slot].isEmpty
  }

  /** Joins a call that is on its way to the same offset, else queues. */
  add(waiter: FetchWaiter, isAtEnd: boolean): void {
    if (++this.#added >= ADDED_BEFORE_DROPPING) this.#dropAnswered()
    const { key, position } = waiter
    for (const call of [this.#inFlight.catchUp, this.#inFlight.tail]) {
      const wanted = call?.partitions.get(key)
      if (wanted?.position !== position || wanted.identity !== this.#identityOf(key)) continue
      wanted.joined.push(waiter)
      return
    }
    // While a long poll is on its way, what may have been written since is asked for without waiting.
    const slot = isAtEnd && !this.#inFlight.tail ? 'tail' : 'catchUp'
    this.#queues[slot].add(key, position, waiter)
  }

  /** Everything up to `position` has been read: they wait for what is written next. */
  addAtTail(key: string, position: Offset, waiters: readonly FetchWaiter[]): void {
    for (const waiter of waiters) this.#queues.tail.add(key, position, waiter)
  }

  /**
   * They were in a call that ended without records for them: they keep their turns. What a long poll had no room for
   * has no turn among those who catch up yet.
   *
   * @param firstAlone the next call of those who catch up asks for the first in turn only; set by such a call only
   */
  giveBack({ slot }: FetchDataCall, unserved: readonly Unserved[], firstAlone: boolean): void {
    if (firstAlone) this.#isFirstAlone = true
    const left = unserved.map(toQueued).filter(({ waiters }) => waiters.length > 0)
    if (slot === 'catchUp') this.#queues.catchUp.giveBack(left)
    else for (const { key, subkey, waiters } of left) this.#queues.catchUp.addFirst(key, subkey, waiters)
  }

  /** What stood at their offset holds no record: they go on at `position`, when it is their partition's turn again. */
  moveOn(key: string, position: Offset, waiters: readonly FetchWaiter[]): void {
    if (waiters.length > 0) this.#queues.catchUp.addFirst(key, position, waiters)
  }

  /** The oldest offset of each partition, as one call; `undefined` when nobody waits. */
  takeCall(slot: FetchSlot, maxPartitions: number, expectedSince: number): FetchDataCall | undefined {
    const partitions = new Map<string, Wanted>()
    const limit = slot === 'catchUp' && this.#isFirstAlone ? 1 : maxPartitions
    if (slot === 'catchUp') this.#isFirstAlone = false
    while (partitions.size === 0 && !this.#queues[slot].isEmpty) {
      for (const [key, { subkey, waiters }] of this.#queues[slot].takeHeads(limit)) {
        const open = stillOpen(waiters)
        if (open.length > 0) partitions.set(key, this.#toWanted(key, subkey, open))
      }
    }
    if (partitions.size === 0) return undefined
    if (slot === 'tail') this.#addExpected(partitions, maxPartitions, expectedSince)
    const call: FetchDataCall = { slot, partitions }
    this.#inFlight[slot] = call
    return call
  }

  /** The call is over; nobody can join it any more. */
  ended({ slot }: FetchDataCall): void {
    this.#inFlight[slot] = undefined
  }

  /** Its readers were answered at the tail and are about to ask for `position`. */
  expect(key: string, { topic, partition, identity }: Wanted, position: Offset, now: number): void {
    this.#expectedAt = now
    this.#expected.set(key, { topic, partition, identity, position, waiters: [], joined: [] })
  }

  /** Takes out whoever waits for an offset of the partition that `covers` accepts, by offset in queue order. */
  *takeWhere(key: string, covers: (offset: Offset) => boolean): Generator<readonly [Offset, FetchWaiter[]]> {
    for (const queue of [this.#queues.catchUp, this.#queues.tail]) {
      for (const offset of [...(queue.get(key)?.keys() ?? [])]) {
        if (covers(offset)) yield [offset, queue.remove(key, offset)]
      }
    }
  }

  takePartition(key: string): FetchWaiter[] {
    return [...this.#queues.catchUp.removeKey(key), ...this.#queues.tail.removeKey(key)]
  }

  drain(): FetchWaiter[] {
    return stillOpen([...this.#queues.catchUp.drain(), ...this.#queues.tail.drain()])
  }

  /** Requests whose time ran out behind a broker that does not answer, however many have come since. */
  #dropAnswered(): void {
    this.#added = 0
    const isOpen = ({ settled }: FetchWaiter): boolean => !settled
    for (const queue of [this.#queues.catchUp, this.#queues.tail]) queue.keepOnly(isOpen)
    for (const call of [this.#inFlight.catchUp, this.#inFlight.tail]) {
      for (const { joined } of call?.partitions.values() ?? []) keepInPlace(joined, isOpen)
    }
  }

  #toWanted(key: string, position: Offset, waiters: readonly FetchWaiter[]): Wanted {
    const { request, identity } = waiters.at(-1)!
    const { topic, partition } = request.topicPartition
    return { topic, partition, position, identity: this.#identityOf(key) ?? identity, waiters, joined: [] }
  }

  #addExpected(partitions: Map<string, Wanted>, maxPartitions: number, since: number): void {
    for (const [key, wanted] of this.#expectedAt > since ? this.#expected : []) {
      if (partitions.size >= maxPartitions) break
      if (!partitions.has(key) && this.#identityOf(key) === wanted.identity) partitions.set(key, wanted)
    }
    this.#expected = new Map()
  }
}

const toQueued = ({ key, wanted }: Unserved) => ({ key, subkey: wanted.position, waiters: waitersOf(wanted) })

function keepInPlace<T>(items: T[], isKept: (item: T) => boolean): void {
  let kept = 0
  for (const item of items) if (isKept(item)) items[kept++] = item
  items.length = kept
}
