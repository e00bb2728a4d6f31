import { getHeapStatistics } from 'node:v8'
import { MIB } from './bytes.js'
import { type BytesWaiter, BytesWaiters } from './bytes-waiters.js'
import { OverloadedError } from './errors.js'
import { Line } from './line.js'
import type { MonotonicClock } from './model.js'
import { Shares } from './shares.js'

/** The setting whose limit this is. */
export const ANSWERS_SETTING = 'advanced.http.answersMaxBytes'
/** The client to whose share an answer counts when it has no name: all clients of a unix socket share one. */
export const NAMELESS = 'unix socket'
const HEAP_SHARE = 1 / 8

/** The limit of a process that is told none. */
export const defaultRecordBytes = (heapBytes = getHeapStatistics().heap_size_limit): number =>
  Math.min(128 * MIB, Math.max(32 * MIB, Math.floor(heapBytes * HEAP_SHARE)))

/** A client that takes an answer faster than this never has its connection ended. */
const SLOW_BYTES_PER_MS = 45
/** No answer is ended before. */
const GRACE_MS = 5_000
/** After this wait, freed bytes are kept for the waiter, because small answers would take them otherwise. */
const KEEP_AFTER_MS = 1_000
/** Interval of the search for slow answers while clients wait. */
const LOOK_MS = 250

/** An answer with records that is leaving. */
export interface LeavingAnswer {
  /** The client to whose share the bytes count. `undefined`: to none. */
  readonly client: string | undefined
  /** How many bytes become free with its end. */
  readonly bytes: number
  /** Bytes that have left the process since it began. */
  sentBytes(): number
  /** Ends the connection of the answer. Its bytes are released in a later tick. */
  end(): void
}

/** One of those that leave. */
class Leaving {
  readonly answer: LeavingAnswer
  readonly since: number
  isEnded = false

  constructor(answer: LeavingAnswer, since: number) {
    this.answer = answer
    this.since = since
  }
}

/**
 * The bytes of records of one process, from their fetch until the answer with them has left or they were given back.
 * One client may have about half of them, as with {@link Shares}, and gets no more while a client waits that holds
 * less. Requests for bytes wait in turn: first the clients that have least; after a second, freed bytes are kept for
 * the waiter.
 * While there are waiters, the answers end whose clients take them slowest.
 *
 * A record that is larger than the share of any client passes all the same: one of them at a time.
 */
export class RecordBudget {
  readonly maxBytes: number
  readonly #now: MonotonicClock
  readonly #shares: Shares
  readonly #waiting = new BytesWaiters(bytes => this.#isLarge(bytes))
  /** The waiter for which freed bytes are kept; others get none of them. */
  #kept: BytesWaiter | undefined
  readonly #leaving = new Line<Leaving>()
  /** An answer that is larger than a share. There is one at a time. */
  #oversized: HeldRecords | undefined
  /** Callbacks of those that use bytes only while no client waits for them. */
  readonly #spare = new Set<() => void>()
  #isServing = false
  #timer: NodeJS.Timeout | undefined

  /** @param maxBytes of the process */
  constructor(maxBytes: number, now: MonotonicClock) {
    this.maxBytes = maxBytes
    this.#shares = new Shares(maxBytes, 'bytes of records')
    this.#now = now
  }

  /** Bytes that are held. They may be more than there may be: what has been fetched is counted in any case. */
  get heldBytes(): number {
    return this.#shares.taken
  }

  /** Bytes that are not taken; at least 0. */
  get freeBytes(): number {
    return Math.max(0, this.#shares.free)
  }

  /** Whether there are waiters. */
  get isShort(): boolean {
    return this.#waiting.size > 0
  }

  /** Bytes of one client. */
  bytesOf(client: string): number {
    return this.#shares.takenBy(client)
  }

  /** Bytes that a client may take now: half of those that are free to it, so that others get some as well; at least 0. */
  bytesFor(client: string | undefined): number {
    const free = this.#freeTo(client)
    const own = client === undefined ? 0 : this.bytesOf(client)
    return own > free ? 0 : Math.max(0, Math.floor((free - own) / 2))
  }

  /** Why a client does not get so many bytes; `undefined`: it gets them. @param client `undefined`: all that is free */
  problemOf(client: string | undefined, bytes: number): 'full' | 'greedy' | undefined {
    return this.#problemOf(client, bytes, this.#freeTo(client))
  }

  /** Bytes that are free to a client. Negative when fetched bytes exceed the limit, or when bytes are kept for another client. */
  #freeTo(client: string | undefined): number {
    const { free } = this.#shares
    return this.#kept === undefined || this.#kept.client === client ? free : free - this.#kept.bytes
  }

  #problemOf(client: string | undefined, bytes: number, free: number): 'full' | 'greedy' | undefined {
    const problem = this.#problemAlone(client, bytes, free)
    if (problem !== undefined || client === undefined || this.#isLarge(bytes)) return problem
    const own = this.bytesOf(client)
    return own > 0 && own > this.#waiting.leastHeldBytes ? 'greedy' : undefined
  }

  /** Like {@link problemOf}, without regard to clients that wait. */
  #problemAlone(client: string | undefined, bytes: number, free: number): 'full' | 'greedy' | undefined {
    if (this.#isLarge(bytes)) return this.#oversized === undefined ? undefined : 'full'
    return this.#shares.problemOf(client, bytes, free)
  }

  #isLarge(bytes: number): boolean {
    return bytes > this.maxBytes / 2
  }

  /** Whether this is the one answer that may exceed a client's share. */
  isOversized(held: HeldRecords): boolean {
    return this.#oversized === held
  }

  /** Counts bytes that are in memory, even beyond the limit. @param client absent: no client has them yet */
  hold(bytes: number, client?: string): HeldRecords {
    const held = new HeldRecords(this.#holder)
    held.add(bytes)
    if (client !== undefined) {
      held.client = client
      this.#moved(held, undefined)
    }
    return held
  }

  /** Takes bytes for a client. `undefined`: it does not get them, see {@link problemOf}. */
  take(client: string, bytes: number): HeldRecords | undefined {
    return this.problemOf(client, bytes) === undefined ? this.hold(bytes, client) : undefined
  }

  readonly #holder: BudgetHolder = {
    mayMove: ({ bytes }, to) => this.#problemOf(to, bytes, this.#shares.free + bytes) === undefined,
    moved: (held, from) => this.#moved(held, from),
    changed: (held, by) => {
      this.#count(held.client, by)
      this.#noteOversized(held)
      if (by < 0) this.#serveSoon()
    }
  }

  #moved(held: HeldRecords, from: string | undefined): void {
    const { client, bytes } = held
    this.#count(from, -bytes)
    this.#count(client, bytes)
    this.#noteOversized(held)
    if (from !== undefined) this.#serveSoon()
  }

  #count(client: string | undefined, by: number): void {
    this.#shares.change(client, by)
    if (client !== undefined && this.#waiting.has(client)) this.#waiting.holds(client, this.bytesOf(client))
  }

  #noteOversized(held: HeldRecords): void {
    if (held.client !== undefined && this.#isLarge(held.bytes)) this.#oversized ??= held
    else if (this.#oversized === held) this.#oversized = undefined
  }

  /**
   * Waits until so many bytes can be taken for a client.
   *
   * @param goOn called once, in a later tick, unless the wait was ended. The bytes are not kept: it takes them at once, or does not use them
   * @returns ends the wait; does nothing after it
   */
  whenFree(client: string, bytes: number, goOn: () => void): () => void {
    const waiter = { client, bytes, since: this.#now(), goOn }
    this.#waiting.add(waiter, this.bytesOf(client))
    this.#serveSoon()
    this.#lookLater()
    return () => this.#left(waiter)
  }

  #left(waiter: BytesWaiter): void {
    this.#waiting.delete(waiter)
    if (this.#kept === waiter) {
      this.#kept = undefined
      this.#serveSoon()
    }
    if (this.#waiting.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#serveSoon()
  }

  /**
   * Waits until bytes become free for which no client waits. For records that are taken ahead: no answer ends for their sake.
   *
   * @param goOn called once, in a later tick. The bytes are not kept
   */
  whenSpare(goOn: () => void): void {
    this.#spare.add(goOn)
  }

  /** Serves waiters in a later tick, after everything that is released together has been released. */
  #serveSoon(): void {
    if (this.#isServing || this.#waiting.size + this.#spare.size === 0) return
    this.#isServing = true
    setImmediate(() => {
      this.#isServing = false
      this.#serve()
      if (this.#waiting.size === 0) this.#serveSpare()
    })
  }

  /** One waiter of each client, those of clients first that hold least, until the bytes do not suffice. */
  #serve(): void {
    this.#waiting.inTurn(() => {
      this.#serveSmall()
      for (let next = this.#waiting.nextLarge; next && this.#oversized === undefined; next = this.#waiting.nextLarge)
        this.#goOn(next.waiter)
    })
  }

  #serveSmall(): void {
    const waiting = this.#waiting
    // Those that wait for large bytes have a turn, too.
    let poorest = this.#oversized === undefined ? Number.POSITIVE_INFINITY : (waiting.nextLarge?.heldBytes ?? Infinity)
    let below = Number.POSITIVE_INFINITY
    for (let next = waiting.nextBelow(below); next && next.heldBytes <= poorest; next = waiting.nextBelow(below)) {
      const { waiter, heldBytes } = next
      const { client, bytes } = waiter
      const problem = this.#problemAlone(client, bytes, this.#freeTo(client))
      if (problem === undefined) {
        this.#goOn(waiter)
        if (waiting.has(client)) poorest = Math.min(poorest, this.bytesOf(client))
        continue
      }
      poorest = Math.min(poorest, heldBytes)
      if (problem === 'full' && this.#now() - waiter.since >= KEEP_AFTER_MS) this.#kept ??= waiter
      // Others may wait for less.
      below = bytes
    }
    const kept = this.#kept
    if (kept && this.bytesOf(kept.client) <= poorest && this.problemOf(kept.client, kept.bytes) === undefined)
      this.#goOn(kept)
  }

  #goOn(waiter: BytesWaiter): void {
    this.#left(waiter)
    waiter.goOn()
  }

  #serveSpare(): void {
    const spare = [...this.#spare]
    this.#spare.clear()
    for (const goOn of spare) goOn()
  }

  /** An answer leaves from now on. @returns to be called when it is over */
  leaves(answer: LeavingAnswer): () => void {
    const place = this.#leaving.add(new Leaving(answer, this.#now()))
    return () => place.leave()
  }

  #lookLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.endSlow()
      // Clients that were told of free bytes may have used none.
      this.#serveSoon()
      if (this.#waiting.size > 0) this.#lookLater()
    }, LOOK_MS).unref()
  }

  /**
   * Ends the slowest answers until the clients that wait have enough. For a client, only answers of clients that hold
   * at least as much are ended.
   */
  endSlow(): void {
    const slow = this.#slowest()
    if (slow.length === 0) return
    let { free } = this.#shares
    // Clients that come later in the turn hold more: an answer that was passed over is not ended for them.
    let at = 0
    for (const { client, bytes } of this.#waiting.all) {
      const own = this.bytesOf(client)
      const needed = Math.max(Math.min(bytes, this.maxBytes / 2), own)
      while (at < slow.length && free < needed) {
        const leaving = slow[at++]!
        const { answer } = leaving
        if (answer.client === undefined || this.bytesOf(answer.client) >= own) {
          free += answer.bytes
          leaving.isEnded = true
          answer.end()
        }
      }
      free -= bytes
    }
  }

  /** Answers that may be ended, slowest first. */
  #slowest(): Leaving[] {
    const now = this.#now()
    const rates = new Map<Leaving, number>()
    for (const leaving of this.#leaving.all) {
      const tookMs = now - leaving.since
      if (leaving.isEnded || tookMs < GRACE_MS) continue
      const rate = leaving.answer.sentBytes() / tookMs
      if (rate < SLOW_BYTES_PER_MS) rates.set(leaving, rate)
    }
    return [...rates].sort(([, a], [, b]) => a - b).map(([leaving]) => leaving)
  }

  /** Why a client gets no records although there are some. */
  refusal(problem: 'full' | 'greedy'): OverloadedError {
    const whose = problem === 'greedy' ? 'answers to this client hold' : 'answers hold'
    const text = `${whose} too many bytes of records (limit ${this.maxBytes} of all clients; ${ANSWERS_SETTING})`
    return new OverloadedError(text, 'overloaded', ANSWERS_SETTING)
  }
}

interface BudgetHolder {
  mayMove(held: HeldRecords, to: string): boolean
  moved(held: HeldRecords, from: string | undefined): void
  changed(held: HeldRecords, by: number): void
}

/** Bytes that are held in a {@link RecordBudget}. */
export class HeldRecords {
  /** The client to whose share the bytes count; `undefined`: to none. Set by the budget. */
  client: string | undefined
  readonly #holder: BudgetHolder
  #bytes = 0
  #isHeld = true

  constructor(holder: BudgetHolder) {
    this.#holder = holder
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Holds so many bytes more; negative: fewer. Does nothing after {@link release}. */
  add(bytes: number): void {
    if (!this.#isHeld) return
    this.#bytes += bytes
    this.#holder.changed(this, bytes)
  }

  /** Counts them to the share of a client. @returns false, and nothing happens: the client does not get them */
  give(client: string): boolean {
    if (!this.#isHeld || !this.#holder.mayMove(this, client)) return false
    this.#move(client)
    return true
  }

  /** No client has them any more. */
  takeBack(): void {
    if (this.#isHeld && this.client !== undefined) this.#move(undefined)
  }

  #move(to: string | undefined): void {
    const from = this.client
    this.client = to
    this.#holder.moved(this, from)
  }

  /** Releases the bytes, because they are no longer in memory or are counted elsewhere. Idempotent. */
  release(): void {
    this.add(-this.#bytes)
    this.#isHeld = false
  }
}
