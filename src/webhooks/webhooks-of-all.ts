import type { Offset } from '../core/model.js'
import type { WebhookDefinition } from './definition.js'
import type { ResumeResult, SkipResult, TestResult } from './webhook-desk.js'
import type { WebhookStatus } from './webhook-status.js'

/** State of a webhook in one process. */
export interface ToldWebhook {
  /** The id of a gateway; `this`: there are no others. */
  readonly gateway: string
  readonly status: WebhookStatus
}

/** Processes that were asked and did not answer in time, or could not. */
interface SilentProcesses {
  readonly silent: readonly string[]
}

/** The webhooks of all processes that serve the same clients. */
export interface WebhooksOfAll {
  /** Definitions in the settings of this process. */
  readonly defined: readonly WebhookDefinition[]
  /** @param name absent: all webhooks */
  status(name?: string): Promise<SilentProcesses & { readonly told: readonly ToldWebhook[] }>
  /** Asks the process that has the record. */
  skip(name: string, partition: number, offset: Offset): Promise<SilentProcesses & { readonly result: SkipResult }>
  /** Sends a request from this process, or from the one that runs the webhook. */
  test(name: string): Promise<TestResult>
  /** @returns `resumed`: it was gone, or paused, in one of the processes at least */
  resume(name: string): Promise<SilentProcesses & { readonly result: ResumeResult }>
}
