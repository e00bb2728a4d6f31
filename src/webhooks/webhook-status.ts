import type { Offset } from '../core/model.js'

/**
 * - `running`: records are sent, if there are any
 * - `waiting`: the topic does not exist yet
 * - `paused`: by its definition
 * - `gone`: the endpoint has answered 410
 * - `broken`: by what Kafka says of its topics; see {@link WebhookStatus.because}
 */
export type WebhookState = 'running' | 'waiting' | 'paused' | 'gone' | 'broken'

/** Outcome of an attempt, for metrics: the class of the status, or the cause. */
export type AttemptOutcome =
  | '2xx'
  | '3xx'
  | '4xx'
  | '429'
  | '5xx'
  | 'refused'
  | 'cut'
  | 'late'
  | 'tls'
  | 'name'
  | 'address'
  /** The record cannot be sent at all, and nothing was sent. */
  | 'unsendable'

export interface AttemptNote {
  /** The `webhook-id`. */
  readonly id: string
  readonly partition: number
  readonly offset: Offset
  /** Number of the attempt at this gateway, from 1 on. */
  readonly attempt: number
  /** The status of the answer, or the cause. */
  readonly answer: number | Exclude<AttemptOutcome, `${number}xx` | '429'>
  readonly ms: number
  /** When it ended, in milliseconds since 1970. */
  readonly at: number
}

/** A record that has neither been delivered nor given up. */
export interface OpenRecordView {
  readonly offset: Offset
  /** The timestamp of the record. */
  readonly timestampMs: number
  /** Key of the record, for clients that may consume the topic. `undefined`: it is not in memory. */
  readonly key: Buffer | null | undefined
  readonly attempts: number
  /** In milliseconds since 1970. `undefined`: it waits for another record, or is under way. */
  readonly nextAttemptAt: number | undefined
}

export interface WebhookPartition {
  readonly partition: number
  /** All records below are done. */
  readonly position: Offset
  /** Records that were read and are neither delivered nor given up. */
  readonly open: number
  /** Number of open records that wait behind another one of their key. */
  readonly parked: number
  readonly oldest: OpenRecordView | undefined
  /** No further record is read, since too many are open. */
  readonly isStalled: boolean
}

/** State of a webhook at this gateway. */
export interface WebhookStatus {
  readonly name: string
  readonly cluster: string
  readonly topic: string
  readonly group: string
  /** The origin of the url. */
  readonly origin: string
  readonly state: WebhookState
  /** Why it is `broken`; `undefined`: it is not. */
  readonly because: string | undefined
  /** Since when no attempt got a 2xx, although some were made. In milliseconds since 1970. */
  readonly failingSince: number | undefined
  readonly deadLettersStopped: boolean
  /** Another client is a member of the group. */
  readonly foreignMember: boolean
  /** Records of aborted transactions are sent, since the cluster reads uncommitted. */
  readonly sendsAborted: boolean
  /** Partitions that this gateway reads, in ascending order. */
  readonly partitions: readonly WebhookPartition[]
  readonly inFlight: number
  readonly window: number
  /** When the pause of the webhook ends; `undefined`: it does not pause. In milliseconds since 1970. */
  readonly pausedUntil: number | undefined
  /** The last attempts, at most 20, newest first. */
  readonly attempts: readonly AttemptNote[]
  /** Since the start of the process. */
  readonly totals: WebhookTotals
  /** The time `retention.ms` of the topic; `undefined`: not known, or without a limit. */
  readonly retentionMs: number | undefined
}

export interface WebhookTotals {
  readonly requests: ReadonlyMap<AttemptOutcome, number>
  readonly deadLetters: number
  readonly skipped: number
  /** Records that were gone from the log before they were delivered. */
  readonly lost: number
  /** Headers of records that HTTP forbids, which were left out. */
  readonly headersLeftOut: number
}
