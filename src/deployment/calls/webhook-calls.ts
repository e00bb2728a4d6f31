import type { ReadByWebhook } from '../../webhooks/definition.js'
import type { AttemptResult } from '../../webhooks/endpoint/attempt.js'
import type { ResumeResult, SkipResult, TestResult } from '../../webhooks/webhook-desk.js'
import type {
  AttemptNote,
  OpenRecordView,
  WebhookPartition,
  WebhookStatus,
  WebhookTotals
} from '../../webhooks/webhook-status.js'
import { type Call, FEW_BYTES, FEW_FOR_MANY } from './call.js'
import {
  bytes,
  either,
  flag,
  instant,
  list,
  MANY,
  map,
  nullable,
  number,
  oneOf,
  optional,
  shape,
  small,
  tagged,
  text,
  whole
} from './checks.js'

/** Time limit for what another process only has to look up. */
const ASK_TIMEOUT_MS = 2_000
/** A dead letter is written meanwhile. */
const SKIP_TIMEOUT_MS = 10_000
/** Longer than the time limit of any attempt. */
const TEST_TIMEOUT_MS = 65_000

const MAX_WEBHOOKS = 10_000
const MAX_ATTEMPTS = 1_000

/** A record of a webhook as the one that asks has defined it. */
export interface RecordOfWebhook extends ReadByWebhook {
  readonly partition: number
  readonly offset: number
}

const READ_BY = { name: text, cluster: text, topic: text }

const CAUSES = ['refused', 'cut', 'late', 'tls', 'name', 'address', 'unsendable'] as const
const OUTCOMES = ['2xx', '3xx', '4xx', '429', '5xx', ...CAUSES] as const

const attempt = shape<AttemptNote>({
  id: text,
  partition: small,
  offset: whole,
  attempt: whole,
  answer: either(small, oneOf(...CAUSES)),
  ms: number,
  at: instant
})

const oldest = shape<OpenRecordView>({
  offset: whole,
  timestampMs: number,
  key: optional(nullable(bytes)),
  attempts: whole,
  nextAttemptAt: optional(instant)
})

const partition = shape<WebhookPartition>({
  partition: small,
  position: number,
  open: whole,
  parked: whole,
  oldest: optional(oldest),
  isStalled: flag
})

const status = shape<WebhookStatus>({
  name: text,
  cluster: text,
  topic: text,
  group: text,
  origin: text,
  state: oneOf('running', 'waiting', 'paused', 'gone', 'broken'),
  because: optional(text),
  failingSince: optional(instant),
  deadLettersStopped: flag,
  foreignMember: flag,
  sendsAborted: flag,
  partitions: list(partition, MANY),
  inFlight: whole,
  window: number,
  pausedUntil: optional(instant),
  attempts: list(attempt, MAX_ATTEMPTS),
  totals: shape<WebhookTotals>({
    requests: map(oneOf(...OUTCOMES), whole, OUTCOMES.length),
    deadLetters: whole,
    skipped: whole,
    lost: whole,
    headersLeftOut: whole
  }),
  retentionMs: optional(number)
})

const CAUSE = { message: text }
const attempted = tagged<'kind', AttemptResult>('kind', {
  status: { status: small, retryAfterMs: optional(number) },
  refused: CAUSE,
  cut: CAUSE,
  late: CAUSE,
  tls: CAUSE,
  name: CAUSE,
  address: CAUSE
})

const ofStatus: Call<string | undefined, readonly WebhookStatus[]> = {
  name: 'webhooks status',
  question: optional(text),
  answer: list(status, MAX_WEBHOOKS),
  timeoutMs: ASK_TIMEOUT_MS,
  maxBytes: FEW_FOR_MANY
}

const skip: Call<RecordOfWebhook, SkipResult> = {
  name: 'webhooks skip',
  question: shape<RecordOfWebhook>({ ...READ_BY, partition: small, offset: whole }),
  answer: tagged<'type', SkipResult>('type', {
    skipped: {},
    notAtHand: {},
    unknownWebhook: {},
    notWritten: { message: text }
  }),
  timeoutMs: SKIP_TIMEOUT_MS,
  maxBytes: FEW_BYTES
}

const test: Call<ReadByWebhook, TestResult> = {
  name: 'webhooks test',
  question: shape<ReadByWebhook>(READ_BY),
  answer: tagged<'type', TestResult>('type', {
    sent: { id: text, answer: attempted, ms: number },
    unknownWebhook: {},
    tooSoon: { retryAfterMs: number }
  }),
  timeoutMs: TEST_TIMEOUT_MS,
  maxBytes: FEW_BYTES
}

const resume: Call<ReadByWebhook, ResumeResult> = {
  name: 'webhooks resume',
  question: shape<ReadByWebhook>(READ_BY),
  answer: shape<ResumeResult>({ type: oneOf('resumed', 'notGone', 'unknownWebhook') }),
  timeoutMs: ASK_TIMEOUT_MS,
  maxBytes: FEW_BYTES
}

/** Calls about webhooks. */
export const WEBHOOK_CALLS = { status: ofStatus, skip, test, resume }
