import type { Offset, PartitionIdentity } from '../model.js'
import type { Accepted } from '../requests/accepted.js'
import { stillOpen } from './queue-processor.js'
import { RequestQueue } from './request-queue.js'

export type FetchWaiter = Accepted<'fetchData'>
export type FetchSlot = 'catchUp' | 'tail'

/** One partition of a call, with all requests that wait for that offset. */
export interface Wanted {
  readonly topic: string
  readonly partition: number
  readonly position: Offset
  /** The identity that the call asks for. An answer of another identity is not for these requests. */
  readonly identity: PartitionIdentity
  /** Requests that were queued when the call was sent. Empty: its readers have just been answered and will ask again soon. */
  readonly waiters: readonly FetchWaiter[]
  /** Requests for the same offset that came while the call was in flight. */
  readonly joined: FetchWaiter[]
}

export interface FetchDataCall {
  readonly slot: FetchSlot
  readonly partitions: ReadonlyMap<string, Wanted>
}

/** A partition for which a call brought no records although there are some. */
export interface Unserved {
  readonly key: string
  readonly wanted: Wanted
}

// Each time all queued requests are checked once.
const ADDED_BEFORE_DROPPING = 20_000

export const waitersOf = ({ waiters, joined }: Wanted): FetchWaiter[] =>
  stillOpen(joined.length === 0 ? waiters : [...waiters, ...joined])

/**
 * Which requests wait for which offset of which partition, in which slot: two queues, the calls in flight, and the
 * partitions whose readers are expected to ask again at the tail.
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
  /** Requests added since answered ones were dropped last. */
  #added = 0

  /** @param identityOf the identity under which a partition is read now */
  constructor(identityOf: (key: string) => PartitionIdentity | undefined) {
    this.#identityOf = identityOf
  }

  isEmpty(slot: FetchSlot): boolean {
    return this.#queues[slot].isEmpty
  }

  /** Adds a request to a call in flight for the same offset, or else to a queue. */
  add(waiter: FetchWaiter, isAtEnd: boolean): void {
    if (++this.#added >= ADDED_BEFORE_DROPPING) this.#dropAnswered()
    const { key, position } = waiter
    for (const call of [this.#inFlight.catchUp, this.#inFlight.tail]) {
      const wanted = call?.partitions.get(key)
      if (wanted?.position !== position || wanted.identity !== this.#identityOf(key)) continue
      wanted.joined.push(waiter)
      return
    }
    // While a long poll is in flight, records that may have been written since are asked for without waiting.
    const slot = isAtEnd && !this.#inFlight.tail ? 'tail' : 'catchUp'
    this.#queues[slot].add(key, position, waiter)
  }

  /** Everything before `position` has been read, so these requests wait for the next record. */
  addAtTail(key: string, position: Offset, waiters: readonly FetchWaiter[]): void {
    for (const waiter of waiters) this.#queues.tail.add(key, position, waiter)
  }

  /**
   * Puts back partitions for which a call brought no records. They keep their turns. A partition that a long poll could not
   * serve has no turn among those that catch up yet.
   *
   * @param firstAlone the next catch-up call asks for the first partition in turn only; set by such a call only
   */
  giveBack({ slot }: FetchDataCall, unserved: readonly Unserved[], firstAlone: boolean): void {
    if (firstAlone) this.#isFirstAlone = true
    const left = unserved.map(toQueued).filter(({ waiters }) => waiters.length > 0)
    if (slot === 'catchUp') this.#queues.catchUp.giveBack(left)
    else for (const { key, subkey, waiters } of left) this.#queues.catchUp.addFirst(key, subkey, waiters)
  }

  /** There was no record at their offset: they go on at `position`, when it is the turn of their partition again. */
  moveOn(key: string, position: Offset, waiters: readonly FetchWaiter[]): void {
    if (waiters.length > 0) this.#queues.catchUp.addFirst(key, position, waiters)
  }

  /** One call for the oldest offset of each partition; `undefined` when no request waits. */
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

  /** The call has ended; no request can join it any more. */
  ended({ slot }: FetchDataCall): void {
    this.#inFlight[slot] = undefined
  }

  /** The readers of the partition were answered at the tail, and will soon ask for `position`. */
  expect(key: string, { topic, partition, identity }: Wanted, position: Offset, now: number): void {
    this.#expectedAt = now
    this.#expected.set(key, { topic, partition, identity, position, waiters: [], joined: [] })
  }

  /** Takes out the requests for offsets of the partition that `covers` accepts, by offset in queue order. */
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

  /** Drops requests whose time was up while their broker did not answer. */
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
