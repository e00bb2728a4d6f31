import { type LoopTurns, TICK_LIMITS, type TurnTaker } from '../../core/loop-turns.js'
import type { MonotonicClock } from '../../core/model.js'
import type { HeldMessage } from './held-messages.js'
import type { MessageLocks } from './message-locks.js'
import type { WaitingAcquire } from './waiting-acquire.js'
import type { WaitingAcquires } from './waiting-acquires.js'

/** Messages that are given, or passed over, in one turn of the event loop. */
const MESSAGES_PER_TICK = 256
const COST_OF_A_MESSAGE = TICK_LIMITS.costPerTickAlone / MESSAGES_PER_TICK

export interface MessageGiverParts {
  readonly now: MonotonicClock
  /** All long work of the process takes turns by it. */
  readonly turns: LoopTurns
  readonly waiting: WaitingAcquires
  /** `undefined`: no message may be given yet. */
  readonly locks: () => MessageLocks | undefined
  readonly answer: (acquire: WaitingAcquire) => void
  /** Called when all is given that can be given. */
  readonly onDone: () => void
}

/** Gives the spare messages of one queue to clients that wait, in turns with other long work. */
export class MessageGiver implements TurnTaker {
  readonly #parts: MessageGiverParts

  constructor(parts: MessageGiverParts) {
    this.#parts = parts
  }

  /** Called when a message, an acquire, or free memory is new. */
  serve(): void {
    if (this.hasWork) this.#parts.turns.ask(this)
  }

  close(): void {
    this.#parts.turns.leave(this)
  }

  /** Whether there is a message and, as far as is known, a client for it. */
  get hasWork(): boolean {
    const spare = this.#parts.locks()?.spare.size ?? 0
    return spare > 0 && this.#parts.waiting.nextAcquire() !== undefined
  }

  /**
   * Each step gives or passes over a message, or answers or skips an acquire. So a pass has at most as many steps as there are
   * messages and acquires. Each turn begins with the oldest message again, since some may have come back.
   */
  work(maxCost: number): number {
    const { waiting, turns, onDone } = this.#parts
    const most = Math.max(1, Math.floor(maxCost / COST_OF_A_MESSAGE))
    const { spare } = this.#parts.locks() ?? { spare: [] as const }
    let steps = 0
    for (const held of spare) {
      for (let next = waiting.nextAcquire(); next !== undefined && steps < most; next = waiting.nextAcquire()) {
        steps++
        if (this.#step(held, next)) break
      }
      if (steps === most || waiting.nextAcquire() === undefined) break
    }
    if (this.hasWork) turns.ask(this)
    else onDone()
    return steps * COST_OF_A_MESSAGE
  }

  /** One step with a spare message. @returns false: it is still spare, and is for another acquire */
  #step(held: HeldMessage, acquire: WaitingAcquire): boolean {
    const { waiting, answer, now: clock } = this.#parts
    const locks = this.#parts.locks()!
    const now = clock()
    const { client, lockMs } = acquire.options
    if (now >= held.wantedUntil || !held.hasTimeToSettle(now)) locks.passOver(held)
    else if (!acquire.takes(held)) {
      answer(acquire)
      return false
    } else if (!held.bytes.give(client)) {
      // Messages that the acquire has already are not held back for a message that it may not get soon.
      if (acquire.messages.length > 0) answer(acquire)
      else waiting.skip(acquire, held.bytes.bytes)
      return false
    } else {
      waiting.give(held, acquire, now)
      locks.give(held, client, lockMs)
      if (acquire.missing === 0) answer(acquire)
    }
    return true
  }
}
