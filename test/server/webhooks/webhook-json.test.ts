import { expect } from 'chai'
import { gatewayOf } from '../../../src/server/webhooks/webhook-json.js'
import type { WebhookStatus } from '../../../src/webhooks/webhook-status.js'

const statusOf = (timestampMs: number): WebhookStatus => ({
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

describe('the status of a webhook in JSON', () => {
  it('has no time for a timestamp that no date has', () => {
    const timeOf = (timestampMs: number) =>
      gatewayOf({ gateway: 'this', status: statusOf(timestampMs) }, false).partitions[0]!.oldest!.timestamp
    expect(timeOf(-1)).to.equal('1969-12-31T23:59:59.999Z')
    expect(timeOf(8.64e15)).to.equal('+275760-09-13T00:00:00.000Z')
    for (const timestampMs of [8.64e15 + 1, -8.64e15 - 1, 2 ** 63, -(2 ** 63)])
      expect(timeOf(timestampMs)).to.equal(null)
  })
})
