import type { RecordBudget } from '../../core/record-budget.js'
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
  maxWaitMs = MAX_WAIT_MS
): Promise<void> {
  if (records.problemOf(client, bytes) !== undefined) {
    await new Promise<void>(resolve => {
      const over = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', over)
        endWait()
        resolve()
      }
      const timer = setTimeout(over, maxWaitMs)
      const endWait = records.whenRoom(client, bytes, over)
      signal.addEventListener('abort', over)
    })
    const problem = records.problemOf(client, bytes)
    if (problem !== undefined) throw records.refusal(problem)
  }
  held.add(bytes)
}
