import type { WebhookStatus } from '../../src/webhooks/webhook-status.js'

/** A webhook with one open record, of this timestamp. */
export const webhookStatus = (timestampMs: number): WebhookStatus => ({
  name: 'orders',
  cluster: '',
  topic: 'orders',
  group: 'webhook-orders',
  origin: 'https://shop',
  state: 'running',
  because: undefined,
  failingSince: undefined,
  deadLettersStopped: false,
  foreignMember: false,
  sendsAborted: false,
  partitions: [
    {
      partition: 0,
      position: 7,
      open: 1,
      parked: 0,
      oldest: { offset: 7, timestampMs, key: undefined, attempts: 1, nextAttemptAt: undefined },
      isStalled: false
    }
  ],
  inFlight: 0,
  window: 1,
  pausedUntil: undefined,
  attempts: [],
  totals: { requests: new Map(), deadLetters: 0, skipped: 0, lost: 0, headersLeftOut: 0 },
  retentionMs: undefined
})
