import type { Offset } from '../core/model.js'
import type { WebhookDefinition } from './definition.js'
import type { AttemptResult } from './endpoint/attempt.js'
import type { WebhookStatus } from './webhook-status.js'

/**
 * - `skipped`: the record is settled, and a dead letter of it is written where the definition names a topic for them
 * - `notAtHand`: this gateway has not got the record, or it is not open
 * - `notWritten`: there is no dead letter; the record is open
 */
export type SkipResult =
  | { readonly type: 'skipped' | 'notAtHand' | 'unknownWebhook' }
  | { readonly type: 'notWritten'; readonly message: string }

export type TestResult =
  | { readonly type: 'sent'; readonly id: string; readonly answer: AttemptResult; readonly ms: number }
  | { readonly type: 'unknownWebhook' }
  /** At most one a second. */
  | { readonly type: 'tooSoon'; readonly retryAfterMs: number }

export type ResumeResult = { readonly type: 'resumed' | 'notGone' | 'unknownWebhook' }

/** The webhooks of this process, for routes, status and configuration. */
export interface WebhookDesk {
  /** Status of each webhook, in the order of the definitions. */
  status(): readonly WebhookStatus[]
  skip(name: string, partition: number, offset: Offset): Promise<SkipResult>
  /** Sends an empty request. */
  test(name: string): Promise<TestResult>
  /** Ends the state `gone`, and any pause of the webhook. */
  resume(name: string): ResumeResult
  /**
   * Starts those that are new, changes those that have changed, ends those that are not among these. One whose topic or cluster
   * has changed ends and starts again.
   */
  configure(definitions: readonly WebhookDefinition[]): void
  /**
   * No attempt begins from now on. Answers are waited for, settled records are committed, the groups are left.
   *
   * @param timeoutMs time limit of it all
   */
  close(timeoutMs: number): Promise<void>
}
