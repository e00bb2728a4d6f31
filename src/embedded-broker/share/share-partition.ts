import { errorCodes } from '../../kafka/error-codes.js'
import { firstIndex } from '../log/segment.js'
import type { ShareSettings } from './share-settings.js'

/** Kafka's numbers of what a member does with a record. */
export const RENEW = 4
const RELEASE = 2

/** The records of one acquisition, and the time until they become free. */
interface RecordLock {
  readonly memberId: string
  timer: NodeJS.Timeout | undefined
  /** Offsets that this lock still holds. */
  held: number
}

/** Offsets with the same state. Settled: accepted, rejected, or archived. */
interface StateRange {
  readonly first: number
  readonly last: number
  state: 'available' | 'acquired' | 'settled'
  deliveryCount: number
  lock: RecordLock | undefined
}

export interface OffsetRange {
  readonly first: number
  readonly last: number
}
export interface AcquiredRange extends OffsetRange {
  readonly deliveryCount: number
}
export interface AcknowledgedRange extends OffsetRange {
  /** One for all offsets, or one per offset. */
  readonly types: readonly number[]
}
export interface Refusal {
  readonly errorCode: number
  readonly message: string | null
}
const accepted: Refusal = { errorCode: errorCodes.NONE, message: null }

export interface AcquireBounds {
  readonly maxRecords: number
  /** The last offset that was read from the log. */
  readonly lastOffset: number
  /** The end of the record batch with this offset; absent: exactly `maxRecords` are acquired. */
  readonly endOfBatch?: ((offset: number) => number) | undefined
  /** Offsets that no member gets, as those of aborted transactions. */
  readonly hidden?: readonly OffsetRange[]
}

/**
 * The records of a partition that a share group has before it: a window that begins with the first record that is not
 * settled.
 *
 *   available -> acquired (a lock with a time-out) -> settled, or available again with its delivery count
 *
 * Source: apache/kafka SharePartition, and answers of real brokers.
 */
export class SharePartition {
  readonly #settings: () => ShareSettings
  readonly #watchers = new Set<() => void>()
  /** Members that held records when the group was moved to another offset. */
  readonly #fenced = new Set<string>()
  /** Without gaps, from the start to the end of the window. */
  #ranges: StateRange[] = []
  #start: number | undefined
  #end = 0
  #isStored = false

  constructor(settings: () => ShareSettings) {
    this.#settings = settings
  }

  /** Undefined: no member has fetched from the partition yet. */
  get startOffset(): number | undefined {
    return this.#start
  }

  /** The end of the window: the first offset that was never acquired. */
  get endOffset(): number {
    return this.#end
  }

  /** True when an acknowledgement, a release or the end of a lock was stored, as Kafka's share coordinator does. */
  get isStored(): boolean {
    return this.#isStored
  }

  get settledCount(): number {
    return this.#ranges.reduce((sum, range) => sum + (range.state === 'settled' ? sizeOf(range) : 0), 0)
  }

  /** The first offset that can be acquired. */
  get nextOffset(): number {
    return this.#ranges.find(({ state }) => state === 'available')?.first ?? this.#end
  }

  /** False when the window is full and holds no record that is available. */
  get canAcquire(): boolean {
    return this.nextOffset < this.#end || this.#freeLocks > 0
  }

  /** Fixes where the group begins. Only the first call counts. */
  begin(startOffset: number): void {
    if (this.#start !== undefined) return
    this.#start = startOffset
    this.#end = startOffset
  }

  /** Begins at another offset. What members hold is gone, which Kafka's leader notices when one of them settles some of it. */
  restart(startOffset: number): void {
    for (const { lock } of this.#ranges) if (lock !== undefined) this.#fenced.add(lock.memberId)
    this.#drop(0, this.#ranges.length)
    this.#start = startOffset
    this.#end = startOffset
    this.#isStored = true
    this.#wake()
  }

  /** Calls `wake` when a lock has ended, or all locks were forgotten, until the returned function is called. */
  watch(wake: () => void): () => void {
    this.#watchers.add(wake)
    return () => this.#watchers.delete(wake)
  }

  /** Acquires records for a member, by offset, so those that came back are first. */
  acquire(memberId: string, { maxRecords, lastOffset, endOfBatch, hidden = [] }: AcquireBounds): AcquiredRange[] {
    if (maxRecords <= 0) return []
    const lock: RecordLock = { memberId, timer: undefined, held: 0 }
    let left = maxRecords
    let limit = lastOffset
    const endOf = (first: number, last: number): number => {
      if (left > 0 && last - first + 1 >= left) {
        const reached = first + left - 1
        limit = Math.min(limit, endOfBatch ? endOfBatch(reached) : reached)
      }
      const end = Math.min(last, limit)
      left -= end - first + 1
      return end
    }
    for (const { first, last } of this.#ranges.filter(({ state }) => state === 'available')) {
      if (first > limit) break
      for (const range of this.#between(first, endOf(first, Math.min(last, limit)))) this.#hold(range, lock)
    }
    const free = this.#freeLocks
    if (free > 0 && this.#end <= limit) {
      left = Math.min(left, free)
      const first = this.#end
      const range: StateRange = {
        first,
        last: endOf(first, limit),
        state: 'available',
        deliveryCount: 0,
        lock: undefined
      }
      this.#ranges.push(range)
      this.#end = range.last + 1
      this.#hold(range, lock)
    }
    for (const { first, last } of hidden) {
      for (const range of this.#between(first, last)) if (range.lock === lock) this.#unlock(range, 'settled')
    }
    this.#startTimer(lock)
    const acquired = joined(this.#ranges.filter(range => range.lock === lock))
    this.#advance()
    return acquired
  }

  /** Passes offsets at the end of the window that no record has. */
  skipTo(offset: number): void {
    if (offset <= this.#end) return
    this.#ranges.push({ first: this.#end, last: offset - 1, state: 'settled', deliveryCount: 0, lock: undefined })
    this.#end = offset
    this.#advance()
  }

  /** Settles records. One wrong range refuses all. Offsets below the start are taken from every member. */
  acknowledge(memberId: string, ranges: readonly AcknowledgedRange[]): Refusal {
    if (this.#fenced.delete(memberId)) return { errorCode: errorCodes.NOT_LEADER_OR_FOLLOWER, message: null }
    for (const range of ranges) {
      const refusal = this.#refusal(memberId, range)
      if (refusal) return refusal
    }
    for (const { first, last, types } of ranges) {
      if (types.length === 1) this.#apply(memberId, { first, last }, types[0]!)
      else
        for (const [at, type] of types.entries()) this.#apply(memberId, { first: first + at, last: first + at }, type)
    }
    this.#isStored = true
    this.#advance()
    return accepted
  }

  /** Releases everything that a member holds, at once. */
  release(memberId: string): void {
    for (const range of this.#ranges) if (range.lock?.memberId === memberId) this.#free(range)
    this.#advance()
  }

  /** Ends all locks, as when their time is over. */
  endLocks(): void {
    for (const lock of new Set(this.#ranges.flatMap(range => range.lock ?? []))) this.#expire(lock)
  }

  /** Forgets what is not stored, as a new leader: locks, and their deliveries. */
  forgetLocks(): void {
    for (const range of this.#ranges) {
      if (range.state !== 'acquired') continue
      this.#unlock(range, 'available')
      range.deliveryCount--
    }
    for (let last = this.#ranges.at(-1); last && isUntouched(last); last = this.#ranges.at(-1)) {
      this.#end = last.first
      this.#ranges.pop()
    }
    if (!this.#isStored) {
      this.#start = undefined
      this.#ranges = []
    }
    this.#wake()
  }

  /** Adapts to a log whose records were deleted before `first`, or truncated from `end` on. */
  fit(first: number, end: number): void {
    if (this.#start === undefined) return
    if (first > this.#start) this.#drop(0, this.#cut(first))
    if (end < this.#end) this.#drop(this.#cut(end), this.#ranges.length)
    this.#end = Math.max(first, Math.min(end, this.#end))
    this.#start = Math.min(Math.max(first, this.#start), this.#end)
    this.#advance()
  }

  close(): void {
    this.#drop(0, this.#ranges.length)
    this.#wake()
  }

  get #freeLocks(): number {
    return this.#settings().maxRecordLocks - (this.#end - (this.#start ?? this.#end))
  }

  #refusal(memberId: string, { first, last, types }: AcknowledgedRange): Refusal | undefined {
    const start = this.#start ?? 0
    if (last < start) return undefined
    if (last >= this.#end) return { errorCode: errorCodes.INVALID_REQUEST, message: 'Batch record not found.' }
    const refused = (message: string) => ({ errorCode: errorCodes.INVALID_RECORD_STATE, message })
    if (types.includes(RENEW) && !this.#settings().canRenew)
      return refused('Renewing acquisition locks is not enabled for the group.')
    for (const { state, lock } of this.#between(Math.max(first, start), last)) {
      if (state !== 'acquired') return refused('The offset is not acquired.')
      if (lock!.memberId !== memberId) return refused('Member is not the owner of offset')
    }
    return undefined
  }

  #apply(memberId: string, { first, last }: OffsetRange, type: number): void {
    if (last < this.#start!) return
    const renewed: RecordLock = { memberId, timer: undefined, held: 0 }
    for (const range of this.#between(Math.max(first, this.#start!), last)) {
      if (type === RELEASE) this.#free(range)
      else if (type !== RENEW) this.#unlock(range, 'settled')
      else {
        this.#unlock(range, 'acquired')
        range.lock = renewed
        renewed.held += sizeOf(range)
      }
    }
    this.#startTimer(renewed)
  }

  #hold(range: StateRange, lock: RecordLock): void {
    range.state = 'acquired'
    range.deliveryCount++
    range.lock = lock
    lock.held += sizeOf(range)
  }

  /** Makes records available again, or archives those that were delivered too often. */
  #free(range: StateRange): void {
    this.#unlock(range, range.deliveryCount >= this.#settings().deliveryLimit ? 'settled' : 'available')
    this.#isStored = true
  }

  #unlock(range: StateRange, state: StateRange['state']): void {
    const { lock } = range
    range.state = state
    range.lock = undefined
    if (!lock) return
    lock.held -= sizeOf(range)
    if (lock.held === 0) clearTimeout(lock.timer)
  }

  #startTimer(lock: RecordLock): void {
    if (lock.held > 0) lock.timer = setTimeout(() => this.#expire(lock), this.#settings().lockMs).unref()
  }

  #expire(lock: RecordLock): void {
    for (const range of this.#ranges) if (range.lock === lock) this.#free(range)
    this.#advance()
    this.#wake()
  }

  /** Moves the start past settled records. */
  #advance(): void {
    if (this.#start === undefined) return
    while (this.#ranges[0]?.state === 'settled') this.#ranges.shift()
    this.#start = this.#ranges[0]?.first ?? this.#end
  }

  #drop(from: number, to: number): void {
    for (const range of this.#ranges.splice(from, to - from)) this.#unlock(range, 'settled')
  }

  /** The ranges from `first` to `last`, whose ends become ends of ranges. */
  #between(first: number, last: number): StateRange[] {
    const from = this.#cut(first)
    return this.#ranges.slice(from, this.#cut(last + 1))
  }

  /** Lets a range begin at the offset. @returns its index */
  #cut(offset: number): number {
    const index = firstIndex(this.#ranges.length, at => this.#ranges[at]!.last >= offset)
    const range = this.#ranges[index]
    if (!range || range.first >= offset) return index
    this.#ranges.splice(index, 1, { ...range, last: offset - 1 }, { ...range, first: offset })
    return index + 1
  }

  #wake(): void {
    for (const wake of [...this.#watchers]) wake()
  }
}

const sizeOf = ({ first, last }: OffsetRange): number => last - first + 1
const isUntouched = ({ state, deliveryCount }: StateRange): boolean => state === 'available' && deliveryCount === 0

/** Joins ranges that follow each other and were delivered equally often. */
function joined(ranges: readonly StateRange[]): AcquiredRange[] {
  const result: { first: number; last: number; deliveryCount: number }[] = []
  for (const { first, last, deliveryCount } of ranges) {
    const before = result.at(-1)
    if (before && before.last + 1 === first && before.deliveryCount === deliveryCount) before.last = last
    else result.push({ first, last, deliveryCount })
  }
  return result
}
