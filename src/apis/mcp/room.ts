import type { RecordBudget } from '../../core/record-budget.js'
import { takeRoom } from '../../core/room-wait.js'
import type { ToolCall } from './tool.js'

/** A call that has waited for so long for room for records is refused. */
export const MAX_WAIT_MS = 10_000

/**
 * Takes room for the bytes of an answer, which are released when it has left.
 *
 * @throws OverloadedError when there is none in time, or the client leaves
 */
export async function roomFor(
  { client, held, signal }: Pick<ToolCall, 'client' | 'held' | 'signal'>,
  records: RecordBudget,
  bytes: number,
  maxMs = MAX_WAIT_MS
): Promise<void> {
  const room = await takeRoom({ records, client, bytes, maxMs, signal })
  room.release()
  held.add(bytes)
}
