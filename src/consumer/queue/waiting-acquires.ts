import { Line, type LinePlace } from '../../core/line.js'
import type { MonotonicClock } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Deadlines } from '../../router/requests/deadlines.js'
import type { ClientLimit, HeldCounts } from './held-counts.js'
import type { HeldMessage } from './held-messages.js'
import { Latest } from './latest.js'
import type { QueueDemand } from './queue-messages.js'
import type { WaitingAcquire, WantedPart } from './waiting-acquire.js'

/** Sum of what some acquires want. */
type Wanted = { -readonly [Name in 'messages' | 'bytes']: WantedPart[Name] }

/** A client in one queue, and its acquires that wait there. */
class WaitingClient {
  readonly name: string
  readonly limit: ClientLimit
  acquires = 0
  /** Acquires that take messages, in the order in which they came. */
  readonly open = new Line<WaitingAcquire>()
  /** Demand of the client's acquires for which brokers are asked, even if the client may not hold so many messages. */
  readonly wanted: Wanted = { messages: 0, bytes: 0 }
  readonly ends = new Latest()
  /** Whether the client was allowed further messages at the last look. If not, `onFree` is called when it is again. */
  mayHold = true
  /** Place among the clients that may hold more, as far as is known, and have an open acquire. */
  place: LinePlace<WaitingClient> | undefined
  /** Set while the client waits for memory, because a message did not fit into its share. */
  skipped: { readonly problem: 'full' | 'greedy'; readonly leave: () => void } | undefined
  /** The client's part of the demand of the queue. */
  part: WantedPart | undefined

  constructor(name: string, limit: ClientLimit) {
    this.name = name
    this.limit = limit
  }

  /** How many messages may be acquired for it. */
  look(): number {
    const free = this.limit.look()
    this.mayHold = free > 0
    return free
  }
}

/** A client that was refused for want of memory comes again within this time. */
const SHORT_MS = 10_000

export interface WaitingAcquiresDeps {
  readonly now: MonotonicClock
  readonly deadlines: Deadlines
  readonly counts: HeldCounts
  readonly records: RecordBudget
}

/**
 * The acquires that wait in one queue. Clients take turns, and the acquires of one client get messages in the order in
 * which they came. The sum of what they want is kept, so that it can be asked for often.
 */
export class WaitingAcquires {
  readonly #now: MonotonicClock
  readonly #deadlines: Deadlines
  readonly #counts: HeldCounts
  readonly #records: RecordBudget
  readonly #onFree: () => void
  readonly #acquires = new Set<WaitingAcquire>()
  readonly #clients = new Map<string, WaitingClient>()
  /** Clients that may hold more and have an open acquire, in the order of their turns. */
  readonly #turns = new Line<WaitingClient>()
  /** Clients whose parts are to be counted again. */
  readonly #changed = new Set<WaitingClient>()
  /** Acquires that have got messages since they were counted: they get many in a row. */
  readonly #behind = new Set<WaitingAcquire>()
  readonly #wanted: Wanted = { messages: 0, bytes: 0 }
  readonly #ends = new Latest()
  #endWaiting: (() => void) | undefined
  #skipped = 0
  #shortUntil = 0

  /** @param onFree called when a client may hold more that could not, and an acquire of it waits; must not change anything at once */
  constructor({ now, deadlines, counts, records }: WaitingAcquiresDeps, onFree: () => void) {
    this.#now = now
    this.#deadlines = deadlines
    this.#counts = counts
    this.#records = records
    this.#onFree = onFree
  }

  get size(): number {
    return this.#acquires.size
  }

  /** Acquires may be removed while these are gone through. */
  all(): Iterable<WaitingAcquire> {
    return this.#acquires
  }

  add(acquire: WaitingAcquire): void {
    const client = this.#clientOf(acquire)
    client.acquires++
    acquire.place = client.open.add(acquire)
    this.#acquires.add(acquire)
    this.#deadlines.add(acquire)
    this.#endWaiting ??= this.#counts.queueWaits()
    this.#count(acquire)
    this.#joinTurns(client)
  }

  /** Does nothing where it was removed before. */
  remove(acquire: WaitingAcquire): void {
    this.#deadlines.remove(acquire)
    if (!this.#acquires.delete(acquire)) return
    const client = this.#clientOf(acquire)
    this.#uncount(acquire, client)
    this.#close(acquire, client)
    if (--client.acquires === 0) this.#forget(client)
    if (this.size > 0) return
    this.#endWaiting?.()
    this.#endWaiting = undefined
  }

  /** The acquire that gets the next message, if it takes it. `undefined`: no waiting client may hold more. */
  nextAcquire(): WaitingAcquire | undefined {
    for (let client = this.#turns.first; client !== undefined; client = this.#turns.first) {
      if (this.#counts.freeOf(client.name) > 0) return client.open.first
      client.look()
      this.#leaveTurns(client)
    }
    return undefined
  }

  /** Gives a message to an acquire that takes it; the turn of its client is over. */
  give(held: HeldMessage, acquire: WaitingAcquire, now: number): void {
    const client = this.#clientOf(acquire)
    // Only the first message changes its end.
    const isFirst = acquire.messages.length === 0
    if (isFirst) this.#deadlines.remove(acquire)
    acquire.take(held, now)
    if (isFirst) this.#deadlines.add(acquire)
    this.#behind.add(acquire)
    if (acquire.missing === 0) this.#close(acquire, client)
    this.#leaveTurns(client)
    this.#joinTurns(client)
  }

  /** Whether clients wait for memory, or did a moment ago. */
  get isShort(): boolean {
    return this.#skipped > 0 || this.#now() < this.#shortUntil
  }

  /** Passes over a client that has no memory for a message of so many bytes, until it has some. */
  skip(acquire: WaitingAcquire, bytes: number): void {
    const client = this.#clientOf(acquire)
    this.#leaveTurns(client)
    const problem = this.#records.problemOf(client.name, bytes) ?? 'full'
    this.#skipped++
    const leave = this.#records.whenFree(client.name, bytes, () => {
      this.#endSkip(client)
      this.#joinTurns(client)
      this.#onFree()
    })
    client.skipped = { problem, leave }
    this.#changed.add(client)
  }

  /** Why a message did not fit into the memory of the client of an acquire. `undefined`: it did, or there was none. */
  problemOf(acquire: WaitingAcquire): 'full' | 'greedy' | undefined {
    return this.#clients.get(acquire.options.client)?.skipped?.problem
  }

  #endSkip(client: WaitingClient): void {
    if (client.skipped === undefined) return
    client.skipped.leave()
    client.skipped = undefined
    this.#skipped--
    this.#shortUntil = this.#now() + SHORT_MS
    this.#changed.add(client)
  }

  /** The state of an acquire has changed, and it waits on. */
  waitOn(acquire: WaitingAcquire): void {
    this.#deadlines.remove(acquire)
    this.#deadlines.add(acquire)
    this.#count(acquire)
  }

  /** Demand of all acquires, limited to what their clients may hold. */
  demand(now: number): QueueDemand {
    for (const acquire of this.#behind) this.#count(acquire)
    for (const client of this.#changed) this.#countPart(client)
    this.#changed.clear()
    const until = this.#ends.moment ?? now
    return { messages: until > now ? this.#wanted.messages : 0, maxBytes: 1 + this.#wanted.bytes, until }
  }

  #clientOf({ options: { client: name } }: WaitingAcquire): WaitingClient {
    const known = this.#clients.get(name)
    if (known !== undefined) return known
    const client: WaitingClient = new WaitingClient(
      name,
      this.#counts.waits(name, () => this.#limitChanged(client))
    )
    this.#clients.set(name, client)
    return client
  }

  #forget(client: WaitingClient): void {
    this.#clients.delete(client.name)
    this.#leaveTurns(client)
    this.#endSkip(client)
    this.#countPart(client)
    this.#changed.delete(client)
    client.limit.leave()
  }

  #limitChanged(client: WaitingClient): void {
    this.#changed.add(client)
    if (client.mayHold || client.look() === 0) return
    this.#joinTurns(client)
    this.#onFree()
  }

  /** The acquire takes no more messages. */
  #close(acquire: WaitingAcquire, client: WaitingClient): void {
    acquire.place?.leave()
    acquire.place = undefined
    if (client.open.first === undefined) this.#leaveTurns(client)
  }

  /**
   * Gives the client a turn, behind the others, if it has an open acquire. Whether it may hold more is checked in that
   * turn.
   */
  #joinTurns(client: WaitingClient): void {
    if (client.open.first !== undefined && client.skipped === undefined) client.place ??= this.#turns.add(client)
  }

  #leaveTurns(client: WaitingClient): void {
    client.place?.leave()
    client.place = undefined
  }

  /** Counts what the acquire wants now. */
  #count(acquire: WaitingAcquire): void {
    const client = this.#clientOf(acquire)
    this.#uncount(acquire, client)
    const { missing: messages, missingBytes: bytes, deadlineAt: until, state } = acquire
    if (state === 'ending' || messages === 0) return
    acquire.counted = { messages, bytes, until }
    client.wanted.messages += messages
    client.wanted.bytes += bytes
    client.ends.add(until)
  }

  #uncount(acquire: WaitingAcquire, client: WaitingClient): void {
    this.#behind.delete(acquire)
    this.#changed.add(client)
    const part = acquire.counted
    if (part === undefined) return
    acquire.counted = undefined
    client.wanted.messages -= part.messages
    client.wanted.bytes -= part.bytes
    client.ends.remove(part.until)
  }

  /** Counts what the client wants now, as far as it may hold more messages. */
  #countPart(client: WaitingClient): void {
    const { part: former, wanted } = client
    if (former !== undefined) {
      this.#wanted.messages -= former.messages
      this.#wanted.bytes -= former.bytes
      this.#ends.remove(former.until)
    }
    client.part = undefined
    const messages =
      wanted.messages === 0 || client.skipped !== undefined ? 0 : Math.min(wanted.messages, client.look())
    if (messages === 0) return
    const bytes = Math.ceil((wanted.bytes * messages) / wanted.messages)
    client.part = { messages, bytes, until: client.ends.moment! }
    this.#wanted.messages += messages
    this.#wanted.bytes += bytes
    this.#ends.add(client.part.until)
  }
}
