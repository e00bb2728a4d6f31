import { KIB } from '../../../core/bytes.js'
import { LoopTurns, TICK_LIMITS, type TickLimits, type TurnTaker } from '../../../core/loop-turns.js'

export interface TurnLimits extends TickLimits {
  /** Least limit of what all streams together may have without an answer. */
  readonly costInFlight: number
  /**
   * Limit for a single stream. For n streams together it is divided by n, but stays at least `costInFlight`; each has
   * an equal share of it.
   */
  readonly costInFlightAlone: number
}

/** Records of other requests wait behind at most so much. Enough for 75 MB/s while Kafka answers within 10 ms. */
const COST_IN_FLIGHT = 768 * KIB
/** Enough for one stream at full speed while Kafka answers within 30 ms. */
const COST_IN_FLIGHT_ALONE = 2 * KIB * KIB
/** The rest of the memory is left to other requests. */
const SHARE_OF_BUFFER = 1 / 4

/** @param bufferBytes memory for records that wait for Kafka */
export const turnLimitsOf = (bufferBytes: number): TurnLimits => ({
  ...TICK_LIMITS,
  costInFlight: Math.min(COST_IN_FLIGHT, bufferBytes * SHARE_OF_BUFFER),
  costInFlightAlone: Math.min(COST_IN_FLIGHT_ALONE, bufferBytes * SHARE_OF_BUFFER)
})

/**
 * Lets open streams take turns with each other and with other long work. No stream has more than its share in flight,
 * so that the records of other requests do not wait behind megabytes of streams.
 */
export class StreamTurns {
  readonly #limits: TurnLimits
  readonly #turns: LoopTurns
  readonly #inFlight = new Set<TurnTaker>()

  constructor(limits: TurnLimits, turns = new LoopTurns(limits)) {
    this.#limits = limits
    this.#turns = turns
  }

  /** The stream has something to read. */
  ask(stream: TurnTaker): void {
    this.#turns.ask(stream)
  }

  /** The stream reads nothing for now, or has ended. */
  leave(stream: TurnTaker): void {
    this.#turns.leave(stream)
  }

  /** Whether the stream has records without an answer. */
  setInFlight(stream: TurnTaker, hasSome: boolean): void {
    if (hasSome) this.#inFlight.add(stream)
    else this.#inFlight.delete(stream)
    this.#turns.setActive(stream, hasSome)
  }

  /** The share of a stream in what may be in flight. A stream with nothing in flight may read one record of any size. */
  shareOf(stream: TurnTaker): number {
    const streams = this.#inFlight.size + (this.#inFlight.has(stream) ? 0 : 1)
    const { costInFlight, costInFlightAlone } = this.#limits
    return Math.max(costInFlight, costInFlightAlone / streams) / streams
  }
}
