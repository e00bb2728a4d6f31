import { unlessAborted } from '../../core/ending.js'
import { Places } from '../../core/places.js'
import { Shares } from '../../core/shares.js'
import { ToolError } from './failures.js'

/** Calls of tools that run at the same time: each may ask Kafka for megabytes. */
export const MAX_CALLS = 32
/** Limit of calls of one client, those that wait included. */
export const MAX_CALLS_OF_CLIENT = 4
/** Calls whose clients have left, and that still wait for Kafka. Further ones keep their places until they end. */
const MAX_LEFT = 32
const MAX_LEFT_OF_CLIENT = 4
/** A call that has waited for so long for its turn is refused. */
export const MAX_TURN_WAIT_MS = 10_000

/** Lets calls run, a limited number at a time. Those beyond it wait in turns of their clients. */
export class CallTurns {
  readonly #places = new Places(() => MAX_CALLS, 'calls of tools that run')
  /** Calls that run or wait. */
  readonly #calls = new Shares(Number.POSITIVE_INFINITY, 'calls of tools')
  readonly #left = new Shares(MAX_LEFT, 'calls of tools whose clients have left')

  /**
   * @returns ends the call; from its second call on it does nothing
   * @throws ToolError when the client has too many calls, when there is no turn in time, or for the reason of the signal
   */
  async enter(client: string, signal: AbortSignal): Promise<() => void> {
    if (this.#calls.takenBy(client) >= MAX_CALLS_OF_CLIENT) throw new ToolError('tooManyCalls')
    const end = this.#calls.take(client)
    try {
      const release = await this.#places.take({ client, signal, waitMs: MAX_TURN_WAIT_MS })
      if (release === undefined) throw new ToolError('overloaded')
      return () => {
        end()
        release()
      }
    } catch (error) {
      end()
      throw error
    }
  }

  /**
   * Carries out a call. When its client leaves, its place is free at once, and the result of its work is dropped.
   *
   * @throws what {@link enter} and the work throw; the reason of the signal
   */
  async run<Result>(client: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    const end = await this.enter(client, signal)
    let workEnded = end
    const running = work().finally(() => workEnded())
    return unlessAborted(running, signal, () => {
      if (this.#left.taken < MAX_LEFT && this.#left.takenBy(client) < MAX_LEFT_OF_CLIENT) {
        workEnded = this.#left.take(client)
        end()
      }
      return Promise.reject(signal.reason)
    })
  }
}
