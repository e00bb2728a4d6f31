import type { DeadLetterReason } from './dead-letters.js'
import type { DestinationSearch } from './destination-search.js'
import type { SequenceRange } from './done-set.js'
import type { StoredEntry } from './entry.js'
import type { LogStats } from './log-stats.js'
import type { CommitResult, LogStoreOptions } from './log-store.js'
import type { ReadRequest } from './read-request.js'
import type { RecoveryReport } from './recovery.js'

/** What the thread needs to open the log. */
export interface LogThreadOptions
  extends Pick<LogStoreOptions, 'segmentBytes' | 'maxBytes' | 'minFreeBytes' | 'syncPuts' | 'syncTakes'> {
  /** The directory of the log. */
  readonly path: string
  /** What dead letters may take on disk. */
  readonly maxDeadLetterBytes: number
}

/** What the process asks of the log's thread, which does one after the other. `stage` has no answer. */
export type LogCall = { readonly type: 'stage'; readonly bytes: Uint8Array } | AnsweredCall

/** Each is answered once. */
export type AnsweredCall = { readonly id: number } & (
  | { readonly type: 'commit'; readonly bytes: Uint8Array }
  | { readonly type: 'complete'; readonly ranges: readonly SequenceRange[] }
  | { readonly type: 'note'; readonly notes: readonly { readonly key: string; readonly value: Uint8Array }[] }
  | { readonly type: 'read'; readonly request: ReadRequest }
  | { readonly type: 'backlog' }
  | { readonly type: 'search'; readonly request: DestinationSearch }
  | { readonly type: 'sync' }
  | { readonly type: 'deadLetter'; readonly entry: StoredEntry; readonly reason: DeadLetterReason }
  | { readonly type: 'listDeadLetters'; readonly fromSequence: number; readonly maxBytes: number }
  | { readonly type: 'forgetDeadLetters'; readonly ranges: readonly SequenceRange[] }
  | { readonly type: 'tick' }
  | { readonly type: 'close' }
)

/** What became of a group, and the memory that it came in. */
export interface CommitReply extends CommitResult {
  readonly memory: readonly ArrayBuffer[]
}

export type LogReply =
  | {
      readonly type: 'opened'
      readonly report: RecoveryReport
      readonly notes: readonly (readonly [string, Uint8Array])[]
      readonly stats: LogStats
    }
  | { readonly type: 'unusable'; readonly message: string }
  | { readonly type: 'report'; readonly fields: object; readonly message: string }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  /** The call threw; the log goes on. */
  | { readonly type: 'callFailed'; readonly id: number; readonly message: string }
