import type { AnyAccepted } from '../processors/accepted.js'
import type { Returned } from '../processors/queue-processor.js'

/** What a dispatcher's mailbox takes: rare and fat. Requests wait in an array beside it. */
export type DispatcherMessage =
  /** Requests were submitted since the last turn. */
  | { readonly type: 'work' }
  | { readonly type: 'answered'; readonly connection: number; readonly response: unknown }
  | { readonly type: 'callFailed'; readonly connection: number; readonly error: Error; readonly sent: boolean }
  | { readonly type: 'rested'; readonly connection: number }

/** The only news that travels upward. */
export interface DispatcherReports {
  /** Requests this broker could not answer, and what they tell of the Router's tables. */
  returned(groups: readonly Returned[]): void
  /** A call came to nothing. `requests` may be routed again: the call's own where that is safe, and all that waited. */
  unreachable(error: Error, requests: readonly AnyAccepted[]): void
  /** A call failed for a reason that is no fault of the broker. */
  spoiled(error: Error, requests: readonly AnyAccepted[]): void
  /** The dispatcher has stopped on a bug; it must be replaced. Nothing it held is lost. */
  crashed(error: Error, requests: readonly AnyAccepted[]): void
}
