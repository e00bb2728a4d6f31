import type { AttemptResult } from './endpoint/attempt.js'
import type { AttemptNote, AttemptOutcome } from './webhook-status.js'

/**
 * - `done`: the record is delivered
 * - `record`: this record is at fault
 * - `gone`: the endpoint wants no further requests
 * - `endpoint`: the endpoint is at fault, until other records prove that it is well
 */
export type Verdict = 'done' | 'record' | 'gone' | 'endpoint'

const OF_RECORD: ReadonlySet<number> = new Set([400, 413, 415, 422, 431])
/** Statuses whose `Retry-After` counts for all records. */
const OF_ALL: ReadonlySet<number> = new Set([429, 503])

const SHORTEST_PAUSE_MS = 250
/** Half the longest pause after the first attempt; that pause doubles with each further attempt. */
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 15 * 60_000
const LONGEST_RETRY_AFTER_MS = 60 * 60_000

export function verdictOf(result: AttemptResult): Verdict {
  if (result.kind !== 'status') return 'endpoint'
  const { status } = result
  if (status >= 200 && status < 300) return 'done'
  if (status === 410) return 'gone'
  return OF_RECORD.has(status) ? 'record' : 'endpoint'
}

/** How long all records, or only this one, have to wait for. 0: the endpoint has not said. */
export function retryAfterOf(result: AttemptResult): { readonly allMs: number; readonly recordMs: number } {
  if (result.kind !== 'status') return { allMs: 0, recordMs: 0 }
  const ms = Math.min(result.retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS)
  return OF_ALL.has(result.status) ? { allMs: ms, recordMs: 0 } : { allMs: 0, recordMs: ms }
}

/**
 * The pause after an attempt at a record.
 *
 * @param attempts so many were made, this one included
 * @param random from [0, 1)
 */
export function pauseAfter(attempts: number, random: number): number {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts, 20))
  return SHORTEST_PAUSE_MS + random * (longest - SHORTEST_PAUSE_MS)
}

export const answerOf = (result: AttemptResult): AttemptNote['answer'] =>
  result.kind === 'status' ? result.status : result.kind

export function outcomeOf(result: AttemptResult): AttemptOutcome {
  if (result.kind !== 'status') return result.kind
  const { status } = result
  if (status === 429) return '429'
  if (status < 300) return '2xx'
  if (status < 400) return '3xx'
  return status < 500 ? '4xx' : '5xx'
}
