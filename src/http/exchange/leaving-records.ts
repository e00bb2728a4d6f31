import type { ServerResponse } from 'node:http'
import type { HeldRecords, RecordBudget } from '../../core/record-budget.js'
import { sentBytesOf } from '../engine/time-limits.js'

/** A response of a connection of ours. */
interface Queued {
  /** Calls back when all earlier answers of its connection have left; at once where they have. */
  atTurn(run: () => void): void
  /** Ends the connection, because its client takes the answer too slowly. */
  endUnread(): void
}

/**
 * Calls back when an answer is the next one of its connection, and not where that ends before. Only such a request may wait for
 * records: what those behind it had would wait for it.
 */
export function whenNext(response: ServerResponse | (ServerResponse & Queued), run: () => void): void {
  if ('atTurn' in response) response.atTurn(run)
  else run()
}

/**
 * Holds the records of an answer until it has left, or has ended. To be called when it begins to leave.
 *
 * @param elsewhereBytes bytes of the client that another part releases with the answer
 */
export function holdUntilLeft(
  response: ServerResponse | (ServerResponse & Queued),
  budget: RecordBudget,
  held: HeldRecords,
  elsewhereBytes = 0
): void {
  if (response.destroyed || response.writableFinished) {
    held.release()
    return
  }
  const { socket } = response
  const sentBefore = socket === null ? 0 : sentBytesOf(socket)
  const over = budget.leaves({
    client: held.client,
    get bytes() {
      return held.bytes + elsewhereBytes
    },
    sentBytes: () => (socket === null ? 0 : sentBytesOf(socket) - sentBefore),
    end: () => ('endUnread' in response ? response.endUnread() : response.destroy())
  })
  response.once('close', () => {
    over()
    held.release()
  })
}
