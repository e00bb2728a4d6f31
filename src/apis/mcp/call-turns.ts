import { ClientTurns } from '../../core/client-turns.js'
import { addCount } from '../../core/counts.js'
import { unlessAborted } from '../../core/ending.js'
import { HeldAmount } from '../../core/held-amount.js'
import { ToolError } from './failures.js'

/** Calls of tools that run at the same time: each may ask Kafka for megabytes. */
export const MAX_CALLS = 32
/** Of one client, those that wait included. */
export const MAX_CALLS_OF_CLIENT = 4
/** Calls whose clients have left, and that still wait for Kafka. Further ones keep their places until they end. */
const MAX_LEFT = 32
const MAX_LEFT_OF_CLIENT = 4
/** A call that has waited for so long for its turn is refused. */
export const MAX_TURN_WAIT_MS = 10_000

/** Lets calls run, a limited number at a time. Those beyond it wait in turns of their clients. */
export class CallTurns {
  readonly #running = new HeldAmount('calls of tools')
  /** Calls that run or wait, by client. */
  readonly #byClient = new Map<string, number>()
  readonly #left = new HeldAmount('calls of tools whose clients have left')
  readonly #leftByClient = new Map<string, number>()
  readonly #waiting = new ClientTurns<() => void>()

  /**
   * @returns ends the call; from its second call on it does nothing
   * @throws ToolError when the client has too many calls, when there is no turn in time, or for the reason of the signal
   */
  async enter(client: string, signal: AbortSignal): Promise<() => void> {
    if ((this.#byClient.get(client) ?? 0) >= MAX_CALLS_OF_CLIENT) throw new ToolError('tooManyCalls')
    addCount(this.#byClient, client, 1)
    try {
      if (this.#running.value < MAX_CALLS) this.#running.add(1)
      else await this.#turn(client, signal)
    } catch (error) {
      addCount(this.#byClient, client, -1)
      throw error
    }
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      addCount(this.#byClient, client, -1)
      this.#passOn()
    }
  }

  /**
   * Carries out a call. When its client leaves, its place is free at once; what becomes of its work does not count.
   *
   * @throws what {@link enter} and the work throw; the reason of the signal
   */
  async run<Result>(client: string, signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
    const leave = await this.enter(client, signal)
    let isLeft = false
    const running = work().finally(() => {
      leave()
      if (!isLeft) return
      this.#left.release(1)
      addCount(this.#leftByClient, client, -1)
    })
    return unlessAborted(running, signal, () => {
      if (this.#left.value < MAX_LEFT && (this.#leftByClient.get(client) ?? 0) < MAX_LEFT_OF_CLIENT) {
        isLeft = true
        this.#left.add(1)
        addCount(this.#leftByClient, client, 1)
        leave()
      }
      return Promise.reject(signal.reason)
    })
  }

  /** The place of a call that has ended is that of the next one. */
  #passOn(): void {
    const next = this.#waiting.next()
    if (next === undefined) this.#running.release(1)
    else next()
  }

  /** Resolves when the place of another call is that of this one. */
  #turn(client: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const over = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', left)
        this.#waiting.delete(client, goOn)
      }
      const goOn = (): void => {
        over()
        resolve()
      }
      const left = (): void => {
        over()
        reject(signal.reason)
      }
      const timer = setTimeout(() => {
        over()
        reject(new ToolError('overloaded'))
      }, MAX_TURN_WAIT_MS)
      signal.addEventListener('abort', left)
      this.#waiting.add(client, goOn)
      if (signal.aborted) left()
    })
  }
}
