import { takeBytes } from '../../core/budget-wait.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { ToolCall } from './tool.js'

/** A call is refused when it has waited this long for bytes of the budget. */
export const MAX_WAIT_MS = 10_000

/**
 * Takes bytes of the budget for an answer, which are released when it has left.
 *
 * @throws OverloadedError when too few are free in time, or the client leaves
 */
export async function takeAnswerBytes(
  { client, held, signal }: Pick<ToolCall, 'client' | 'held' | 'signal'>,
  records: RecordBudget,
  bytes: number,
  maxMs = MAX_WAIT_MS
): Promise<void> {
  const taken = await takeBytes({ records, client, bytes, maxMs, signal })
  taken.release()
  held.add(bytes)
}
