import type { IncomingMessage } from 'node:http'
import type { OverloadedError } from '../../core/errors.js'

/**
 * A request that keeps its turn on its connection: the next one begins when this one has handed on its records. Nothing
 * that delays the request in between has to know of this order.
 */
export interface OrderedRequest extends IncomingMessage {
  /** No further request of the connection begins before {@link endTurn}. Idempotent; without effect once the turn has ended. */
  keepTurn(): void
  /** Ends the turn: the records were handed on, or the request brings none. Idempotent; its answer ends the turn, too. */
  endTurn(): void
}

/** A request that can be held back until there is a place for it. */
export interface HeldRequest extends OrderedRequest {
  readonly isOver: boolean
  readonly hasBody: boolean
  /** Stops reading from the connection until {@link letGo}. */
  hold(): void
  letGo(): void
  /** Calls back once: when the whole body has come, or the request is over. */
  whenReceived(received: () => void): void
  whenOver(over: () => void): void
  /**
   * Calls back once, when there is no memory for the part of the body that has come: the request is then refused. Does
   * not call back after {@link letGo}.
   */
  whenRefused(refused: (refusal: OverloadedError) => void): void
}
