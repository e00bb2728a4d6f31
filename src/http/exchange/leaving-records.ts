import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { performanceClock } from '../../core/clocks.js'
import type { HeldRecords, LeavingAnswer, RecordBudget } from '../../core/record-budget.js'
import { afterNextReads, LoopWatch } from '../engine/loop-watch.js'
import { sentBytesOf } from '../engine/time-limits.js'

/** A response of a connection of ours. */
interface OrderedResponse {
  /** Calls back when all earlier answers of its connection have left; at once where they have. */
  atTurn(run: () => void): void
  /** The request begins to wait for what its answer gives away. */
  givesAway(): void
  /** Ends the connection, because its client takes the answer too slowly. */
  endUnread(): void
  /** Whether a budget holds its bytes until they have left. */
  isHeld: boolean
}

/**
 * Calls back when an answer is the next one of its connection; never if the answer ends before. Only such a request may
 * wait for records, because the records of later requests would wait for its answer.
 */
export function whenNext(response: ServerResponse | (ServerResponse & OrderedResponse), run: () => void): void {
  if ('atTurn' in response) response.atTurn(run)
  else run()
}

/**
 * To be called when a request is read whose answer gives messages away, or lends them: it makes sure that a client which had hung up
 * before is not taken for one that is there.
 */
export const givesAway = (response: ServerResponse | (ServerResponse & OrderedResponse)): void => {
  if ('givesAway' in response) response.givesAway()
}

/** For calls that are no requests of ours, and whose clients send the end of a call when they leave it. */
export class StandStills {
  readonly #loop = new LoopWatch(performanceClock)

  /** Whether the loop may have stood still just now, so that {@link over} is to be waited for. */
  get areOver(): boolean {
    return !this.#loop.stoodStill()
  }

  /** Resolves when a client that had hung up while the event loop stood still is known to have left. */
  over(): Promise<void> {
    return new Promise(afterNextReads)
  }
}

/**
 * Holds the records of an answer until it has left, or has ended. To be called when it begins to leave.
 *
 * @param elsewhereBytes bytes of the client that another part releases with the answer
 */
export function holdUntilLeft(
  response: ServerResponse | (ServerResponse & OrderedResponse),
  budget: RecordBudget,
  held: HeldRecords,
  elsewhereBytes = 0
): void {
  if (response.destroyed || response.writableFinished) {
    held.release()
    return
  }
  const over = leavesOf(response, budget, held, elsewhereBytes)
  response.once('close', () => {
    over()
    held.release()
  })
}

/** Lets an answer be ended while it leaves more slowly than others can wait for. @returns to be called when it has left */
export const leavesOf = (
  response: ServerResponse | (ServerResponse & OrderedResponse),
  budget: RecordBudget,
  held: HeldRecords,
  elsewhereBytes = 0
): (() => void) => {
  isHeldApart(response)
  return budget.leaves(new LeavingResponse(response, held, elsewhereBytes))
}

/** To be called when another part holds the bytes of the answer, or has them in memory once for many. */
export function isHeldApart(response: ServerResponse | (ServerResponse & OrderedResponse)): void {
  if ('isHeld' in response) response.isHeld = true
}

/** A class, since an object with a getter costs as much as the rest of a short answer's way out. */
class LeavingResponse implements LeavingAnswer {
  readonly #response: ServerResponse | (ServerResponse & OrderedResponse)
  readonly #held: HeldRecords
  readonly #elsewhereBytes: number
  /** Requests that were not sent, but injected, have none. */
  readonly #socket: Socket | null | undefined
  /** Bytes of the connection. */
  readonly #sentBefore: number

  constructor(
    response: ServerResponse | (ServerResponse & OrderedResponse),
    held: HeldRecords,
    elsewhereBytes: number
  ) {
    this.#response = response
    this.#held = held
    this.#elsewhereBytes = elsewhereBytes
    this.#socket = response.socket
    this.#sentBefore = this.#sent
  }

  get client(): string | undefined {
    return this.#held.client
  }
  get bytes(): number {
    return this.#held.bytes + this.#elsewhereBytes
  }
  get #sent(): number {
    return this.#socket ? sentBytesOf(this.#socket) : 0
  }

  sentBytes(): number {
    return this.#sent - this.#sentBefore
  }

  end(): void {
    if ('endUnread' in this.#response) this.#response.endUnread()
    else this.#response.destroy()
  }
}

/** The same for an answer that leaves beside others: all that the connection sends counts for it. */
export function leavesBy(socket: Socket, budget: RecordBudget, held: HeldRecords): () => void {
  const sentBefore = sentBytesOf(socket)
  return budget.leaves({
    client: held.client,
    bytes: held.bytes,
    sentBytes: () => sentBytesOf(socket) - sentBefore,
    end: () => socket.destroy()
  })
}
