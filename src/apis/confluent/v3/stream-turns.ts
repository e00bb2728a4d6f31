/** Reading and answering a record costs about as much as so many of its bytes, besides the bytes themselves. */
const COST_OF_A_RECORD = 256

/** The cost of reading records, in bytes. Counted instead of measured: a slow machine must not change who is next. */
export const costOf = (bytes: number, records: number): number => bytes + COST_OF_A_RECORD * records

export interface TurnLimits {
  /** All streams together read so much in one turn of the event loop. */
  readonly costPerTick: number
  /** A stream alone reads so much; several share it, down to `costPerTick`. */
  readonly costPerTickAlone: number
  /** All streams together may have so much without an answer; streams that have something in flight share it. */
  readonly costInFlight: number
  /** A stream alone may have so much without an answer; several share it, down to `costInFlight`. */
  readonly costInFlightAlone: number
}

const KIB = 1024
/** Takes about a millisecond, so that a request that arrives in between waits no longer. */
const COST_PER_TICK = 64 * KIB
/** With less, a stream that is alone was measured to need much more CPU per record. */
const COST_PER_TICK_ALONE = 256 * KIB
/** Records of other requests wait behind at most so much. Enough for 75 MB/s while Kafka answers within 10 ms. */
const COST_IN_FLIGHT = 768 * KIB
/** Enough for one stream at full speed while Kafka answers within 30 ms. */
const COST_IN_FLIGHT_ALONE = 2 * KIB * KIB
/** The rest of the memory is left to other requests. */
const SHARE_OF_BUFFER = 1 / 4

/** @param bufferBytes memory for records that wait for Kafka */
export const turnLimitsOf = (bufferBytes: number): TurnLimits => ({
  costPerTick: COST_PER_TICK,
  costPerTickAlone: COST_PER_TICK_ALONE,
  costInFlight: Math.min(COST_IN_FLIGHT, bufferBytes * SHARE_OF_BUFFER),
  costInFlightAlone: Math.min(COST_IN_FLIGHT_ALONE, bufferBytes * SHARE_OF_BUFFER)
})

/** A stream that takes turns with others. */
export interface TurnTaker {
  /**
   * Its turn: it reads on, and asks again when it then has more to read.
   *
   * @param maxCost it stops behind the record with which it reaches this cost
   * @returns the cost of what was read
   */
  readOn(maxCost: number): number
}

/**
 * Lets open streams take turns, so that other requests do not wait for all of them: in each turn of the event loop the
 * streams together read a bounded amount, one after another. None of them has more than its share in flight, so that what
 * others produce does not wait behind megabytes of streams.
 */
export class StreamTurns {
  readonly #limits: TurnLimits
  /** In the order of their turns. */
  readonly #waiting = new Set<TurnTaker>()
  readonly #inFlight = new Set<TurnTaker>()
  #costOfTick = 0
  #isServing = false
  #isTickPlanned = false

  constructor(limits: TurnLimits) {
    this.#limits = limits
  }

  /** The stream has something to read. It reads at once when no other stream waits and this tick's amount is not used up. */
  ask(stream: TurnTaker): void {
    this.#waiting.add(stream)
    if (!this.#isServing) this.#serve()
  }

  /** The stream reads nothing for now, or has ended. */
  leave(stream: TurnTaker): void {
    this.#waiting.delete(stream)
  }

  /** Whether the stream has records without an answer. */
  setInFlight(stream: TurnTaker, hasSome: boolean): void {
    if (hasSome) this.#inFlight.add(stream)
    else this.#inFlight.delete(stream)
  }

  /** The share of a stream in what may be in flight. A stream with nothing in flight may read one record of any size. */
  shareOf(stream: TurnTaker): number {
    const streams = this.#inFlight.size + (this.#inFlight.has(stream) ? 0 : 1)
    const { costInFlight, costInFlightAlone } = this.#limits
    return Math.max(costInFlight, costInFlightAlone / streams) / streams
  }

  /** Few streams may read more at once: each tick has costs of its own. */
  get #mostPerTick(): number {
    const { costPerTick, costPerTickAlone } = this.#limits
    // Streams whose records cannot be used have nothing in flight.
    const streams = Math.max(1, this.#inFlight.size, this.#waiting.size)
    return Math.max(costPerTick, costPerTickAlone / streams)
  }

  #serve(): void {
    this.#isServing = true
    const mostPerTick = this.#mostPerTick
    // A stream that asks again during its turn is visited again, after the others.
    for (const stream of this.#waiting) {
      const left = mostPerTick - this.#costOfTick
      if (left <= 0) break
      this.#waiting.delete(stream)
      this.#costOfTick += Math.max(1, stream.readOn(left))
    }
    this.#isServing = false
    if (this.#costOfTick > 0) this.#planTick()
  }

  #planTick(): void {
    if (this.#isTickPlanned) return
    this.#isTickPlanned = true
    setImmediate(() => {
      this.#isTickPlanned = false
      this.#costOfTick = 0
      this.#serve()
    })
  }
}
