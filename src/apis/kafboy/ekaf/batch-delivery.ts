import type { RecordFailure } from '../../../core/model.js'
import type { PendingProduce } from '../../../gateway/gateway.js'
import type { Content } from '../content.js'

/** After this it is looked again whether there is room. */
const RETRY_MS = 100

/** Records of a batch that the gateway has not taken. */
interface WaitingBatch {
  readonly topic: string
  records: number
}

export interface BatchHandoverDeps {
  /** Monotonic milliseconds. */
  readonly clock: () => number
  /** So long records wait for room before they are given up. */
  readonly timeoutMs: number
  /** Hands records on in order, up to the first for which there is no room. */
  readonly produce: (
    topic: string,
    contents: readonly Content[],
    begun: (pendingProduce: PendingProduce) => void
  ) => void
  /** Told of records that have found no room in time. */
  readonly onGivenUp: (topic: string, failure: RecordFailure, records: number) => void
}

/**
 * Hands the records of batches on. They have been accepted, so where there is no room they wait for some, in order,
 * instead of being refused.
 */
export class BatchHandover {
  readonly #deps: BatchHandoverDeps
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #waiting = new Set<WaitingBatch>()
  #isClosed = false

  constructor(deps: BatchHandoverDeps) {
    this.#deps = deps
  }

  /** @param taken called when nothing of it waits here any more; mostly at once */
  handOn(topic: string, contents: readonly Content[], taken: () => void): void {
    const waiting = { topic, records: contents.length }
    this.#waiting.add(waiting)
    this.#offer(waiting, contents, this.#deps.clock() + this.#deps.timeoutMs, () => {
      this.#waiting.delete(waiting)
      taken()
    })
  }

  /** Offers nothing any more. @returns what waits and is forgotten */
  close(): readonly WaitingBatch[] {
    this.#isClosed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    return [...this.#waiting].filter(({ records }) => records > 0)
  }

  #offer(waiting: WaitingBatch, contents: readonly Content[], until: number, over: () => void): void {
    const { topic } = waiting
    this.#deps.produce(topic, contents, pendingProduce => {
      const end = takenBefore(pendingProduce, contents.length)
      waiting.records = contents.length - end
      const rest = (): void => {
        if (this.#isClosed) return
        if (end === contents.length) over()
        else if (this.#deps.clock() >= until)
          this.#giveUp(topic, pendingProduce.refused![end]!, contents.length - end, over)
        else this.#after(RETRY_MS, () => this.#offer(waiting, contents.slice(end), until, over))
      }
      // The rest must not overtake those that wait already.
      if (pendingProduce.isWaiting === true) void pendingProduce.accepted().then(rest)
      else rest()
    })
  }

  #giveUp(topic: string, failure: RecordFailure, records: number, over: () => void): void {
    this.#deps.onGivenUp(topic, failure, records)
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
export function takenBefore({ refused }: Pick<PendingProduce, 'refused'>, records: number): number {
  const first = refused?.findIndex(failure => failure?.code === 'overloaded') ?? -1
  return first < 0 ? records : first
}
