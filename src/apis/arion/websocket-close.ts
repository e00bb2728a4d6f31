import type { WebSocket } from 'ws'
import type { RecordFailure } from '../../core/model.js'

/** Close codes of RFC 6455 and its registry. */
export const closeCodes = { goingAway: 1001, policy: 1008, internalError: 1011, tryAgainLater: 1013 } as const

/** What fits a close frame beside its code. */
const MAX_REASON_BYTES = 120
/** A client that does not answer a close frame is cut after this. */
const PATIENCE_MS = 2_000

/** Whether a message was refused for a reason that ends by itself. */
export const isFull = ({ code }: RecordFailure): boolean => code === 'overloaded' || code === 'logUnavailable'

/** What has no reply may or may not be in Kafka; the code says at least whether to try again. */
export function closeCodeOf(failure: RecordFailure): number {
  if (failure.persisted === 'pending') return closeCodes.goingAway
  return isFull(failure) ? closeCodes.tryAgainLater : closeCodes.internalError
}

export function closePolitely(websocket: WebSocket, code: number, reason: string): void {
  const text = Buffer.from(reason).subarray(0, MAX_REASON_BYTES).toString()
  // A character that was cut in two is none.
  websocket.close(code, text.replace(/\ufffd+$/, ''))
  const cut = setTimeout(() => websocket.terminate(), PATIENCE_MS).unref()
  websocket.once('close', () => clearTimeout(cut))
}
