import type { IncomingMessage } from 'node:http'
import type { OverloadedError } from '../../core/errors.js'

/** A request that can be held back until there is a place for it. */
export interface HeldRequest extends IncomingMessage {
  readonly isOver: boolean
  /** Nothing more is read from the connection, until {@link letGo}. */
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
