import { afterTicks, TICKS_OF_AN_ANSWER } from '../../core/actor/actor.js'
import { MAX_TIMER_MS, type MonotonicClock } from '../../core/model.js'

/** An item that becomes due. It is in at most one {@link Deadlines} at a time, which sets its links. */
export interface Due {
  readonly deadlineAt: number
  next: Due | undefined
  previous: Due | undefined
  onDue(): void
}

/** Deadlines within the same 10 ms share one slot. Deadlines are rounded up, so no item becomes due too early. */
const SLOT_MS = 10
/** A timer that is so late shows that the process has stood still. */
const STANDSTILL_MS = 50

/**
 * Deadlines of many items, with a single timer. Adding and removing an item take constant time.
 *
 *   slots   [120, 300]           sorted; almost always appended at the end
 *   buckets 120 -> a <-> b       300 -> c
 */
export class Deadlines {
  readonly #now: MonotonicClock
  readonly #buckets = new Map<number, Bucket>()
  readonly #slots: number[] = []
  /** The bucket of the last added item: that of the next one, too, where many are added at once. */
  #lastSlot = Number.NaN
  #lastBucket: Bucket | undefined
  #timer: NodeJS.Timeout | undefined
  #timerSlot = Number.POSITIVE_INFINITY
  #size = 0
  /** Counts the calls of `stop`. */
  #stops = 0

  constructor(now: MonotonicClock) {
    this.#now = now
  }

  get size(): number {
    return this.#size
  }

  has(item: Due): boolean {
    return item.previous !== undefined
  }

  /** Idempotent. */
  add(item: Due): void {
    if (item.previous) return
    const slot = Math.ceil(item.deadlineAt / SLOT_MS)
    const bucket = slot === this.#lastSlot ? this.#lastBucket! : this.#bucketOf(slot)
    bucket.append(item)
    this.#size++
    if (slot < this.#timerSlot) this.#arm()
  }

  #bucketOf(slot: number): Bucket {
    let bucket = this.#buckets.get(slot)
    if (!bucket) {
      this.#buckets.set(slot, (bucket = new Bucket()))
      insertSorted(this.#slots, slot)
    }
    this.#lastSlot = slot
    this.#lastBucket = bucket
    return bucket
  }

  /** Called when buckets are dropped. */
  #forgetLast(): void {
    this.#lastSlot = Number.NaN
    this.#lastBucket = undefined
  }

  /** Idempotent. */
  remove(item: Due): void {
    if (!item.previous) return
    unlink(item)
    this.#size--
  }

  /** All items, sorted by slot, and within a slot in the order in which they were added. */
  all(): Due[] {
    return [...this.#buckets.values()].flatMap(bucket => bucket.items())
  }

  stop(): void {
    this.#stops++
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#timerSlot = Number.POSITIVE_INFINITY
  }

  #arm(): void {
    clearTimeout(this.#timer)
    const slot = this.#slots[0]
    this.#timerSlot = slot ?? Number.POSITIVE_INFINITY
    if (slot === undefined) return
    const delayMs = Math.max(0, Math.ceil(slot * SLOT_MS - this.#now()))
    this.#timer = setTimeout(() => this.#fire(), Math.min(delayMs, MAX_TIMER_MS))
  }

  /** Ends what is due. After a standstill, answers that already wait in the sockets are read first. */
  #fire(): void {
    const stops = this.#stops
    const dueAt = (this.#slots[0] ?? Number.POSITIVE_INFINITY) * SLOT_MS
    if (this.#now() - dueAt < STANDSTILL_MS) this.#expire()
    else
      afterTicks(TICKS_OF_AN_ANSWER, () => {
        if (this.#stops === stops) this.#expire()
      })
  }

  #expire(): void {
    this.#timerSlot = Number.POSITIVE_INFINITY
    const now = this.#now()
    let passed = 0
    while (passed < this.#slots.length && this.#slots[passed]! * SLOT_MS <= now) passed++
    for (const slot of this.#slots.splice(0, passed)) {
      const bucket = this.#buckets.get(slot)!
      this.#buckets.delete(slot)
      this.#forgetLast()
      for (let item = bucket.first; item; item = bucket.first) {
        this.remove(item)
        item.onDue()
      }
    }
    this.#dropEmptyHeads()
    this.#arm()
  }

  /** Drops empty buckets at the front, so that the timer does not fire for items that were removed. */
  #dropEmptyHeads(): void {
    this.#forgetLast()
    while (this.#slots.length > 0 && !this.#buckets.get(this.#slots[0]!)!.first) {
      this.#buckets.delete(this.#slots.shift()!)
    }
  }
}

/** Calls `onDue` once, no earlier than `deadlineAt`. */
export class Alarm implements Due {
  readonly deadlineAt: number
  readonly #onDue: () => void
  next: Due | undefined
  previous: Due | undefined

  constructor(deadlineAt: number, onDue: () => void) {
    this.deadlineAt = deadlineAt
    this.#onDue = onDue
  }

  onDue(): void {
    this.#onDue()
  }
}

/**
 * The items of one slot in the order in which they were added. They are a linked ring, which begins and ends at the
 * bucket.
 */
class Bucket implements Due {
  readonly deadlineAt = 0
  previous: Due = this
  next: Due = this

  get first(): Due | undefined {
    return this.next === this ? undefined : this.next
  }

  append(item: Due): void {
    const last = this.previous
    item.previous = last
    item.next = this
    last.next = item
    this.previous = item
  }

  items(): Due[] {
    const found: Due[] = []
    for (let item = this.next; item !== this; item = item.next!) found.push(item)
    return found
  }

  onDue(): void {}
}

function unlink(item: Due): void {
  item.previous!.next = item.next
  item.next!.previous = item.previous
  item.previous = undefined
  item.next = undefined
}

function insertSorted(sorted: number[], value: number): void {
  let at = sorted.length
  while (at > 0 && sorted[at - 1]! > value) at--
  sorted.splice(at, 0, value)
}
