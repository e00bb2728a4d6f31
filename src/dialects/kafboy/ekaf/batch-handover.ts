import type { ProduceTicket } from '../../../gateway/gateway.js'
import type { RecordFailure } from '../../../model.js'
import type { Content } from '../content.js'

/** After this it is looked again whether there is room. */
const RETRY_MS = 100

export interface BatchHandoverDeps {
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** So long records wait for room before they are given up. */
  readonly timeoutMs: number
  /** Hands records on in order, up to the first for which there is no room. */
  readonly produce: (topic: string, contents: readonly Content[], begun: (ticket: ProduceTicket) => void) => void
  /** Told of records that have found no room in time. */
  readonly onGivenUp: (failure: RecordFailure, records: number) => void
}

/**
 * Hands the records of batches on. They have been accepted, so where there is no room they wait for some, in order,
 * instead of being refused.
 */
export class BatchHandover {
  readonly #deps: BatchHandoverDeps
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor(deps: BatchHandoverDeps) {
    this.#deps = deps
  }

  /** @param taken called when nothing of it waits here any more; mostly at once */
  handOn(topic: string, contents: readonly Content[], taken: () => void): void {
    this.#offer(topic, contents, this.#deps.clock() + this.#deps.timeoutMs, taken)
  }

  /** What waits is forgotten. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #offer(topic: string, contents: readonly Content[], until: number, over: () => void): void {
    this.#deps.produce(topic, contents, ticket => {
      const end = takenBefore(ticket, contents.length)
      const rest = (): void => {
        if (end === contents.length) over()
        else if (this.#deps.clock() >= until) this.#giveUp(ticket.refused![end]!, contents.length - end, over)
        else this.#after(RETRY_MS, () => this.#offer(topic, contents.slice(end), until, over))
      }
      // The rest must not overtake those that wait already.
      if (ticket.isWaiting === true) void ticket.accepted().then(rest)
      else rest()
    })
  }

  #giveUp(failure: RecordFailure, records: number, over: () => void): void {
    this.#deps.onGivenUp(failure, records)
    over()
  }

  #after(delayMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      action()
    }, delayMs)
    this.#timers.add(timer)
  }
}

/** How many of the records of a batch are not to be offered again, all before the first that found no room. */
export function takenBefore({ refused }: Pick<ProduceTicket, 'refused'>, records: number): number {
  const first = refused?.findIndex(failure => failure?.code === 'overloaded') ?? -1
  return first < 0 ? records : first
}
