import type { Returned } from '../processors/queue-processor.js'
import type { AnyAccepted } from '../requests/accepted.js'

/** The messages of a dispatcher. They are few, because requests wait in an array beside the mailbox. */
export type DispatcherMessage =
  /** Requests were submitted since the last turn. */
  | { readonly type: 'work' }
  | { readonly type: 'answered'; readonly connection: number; readonly response: unknown }
  | { readonly type: 'callFailed'; readonly connection: number; readonly error: Error; readonly sent: boolean }
  | { readonly type: 'rested'; readonly connection: number }

/** What a dispatcher reports to the Router; answers to requests do not take this way. */
export interface DispatcherReports {
  /** Requests that this broker could not answer, with the reason, which may concern the routing tables. */
  returned(groups: readonly Returned[]): void
  /** A call failed. `requests` may be routed again: those of the call, where that is safe, and all that were queued. */
  unreachable(error: Error, requests: readonly AnyAccepted[]): void
  /** A call failed because of a bug here; the broker is not to blame. */
  spoiled(error: Error, requests: readonly AnyAccepted[]): void
  /** The dispatcher has stopped because of a bug, and must be replaced. `requests` is all it held. */
  crashed(error: Error, requests: readonly AnyAccepted[]): void
}
