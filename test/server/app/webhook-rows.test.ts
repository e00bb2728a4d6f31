import { expect } from 'chai'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { registerWebhooks, toWebhookRow } from '../../../src/server/app/webhook-rows.js'
import { ODD_TIMES } from '../../support/odd-times.js'
import { webhookStatus } from '../../support/webhook-status.js'

const NOW = 1_760_000_000_000

describe('the age of the oldest open record of a webhook', () => {
  const ageOf = (...timestamps: number[]) => {
    const status = webhookStatus(0)
    const partitions = timestamps.map(timestampMs => webhookStatus(timestampMs).partitions[0]!)
    return toWebhookRow({ ...status, partitions }, NOW).oldestOpenMs
  }

  it('is null where no timestamp has an age, and leaves those out that have none', () => {
    for (const { timestampMs } of ODD_TIMES) expect(ageOf(Number(timestampMs)), `${timestampMs}`).to.equal(null)
    expect(ageOf(-1, NOW - 5, 8.64e15, NOW - 7)).to.equal(7)
    expect(ageOf()).to.equal(0)
  })

  it('has no reading in the metrics then', async () => {
    const metrics = createPrometheusMetrics()
    registerWebhooks(metrics, () => [
      { ...webhookStatus(-1), name: 'odd' },
      { ...webhookStatus(0), name: 'even' }
    ])
    const text = await metrics.registry.metrics()
    expect(text).to.match(/castellan_webhook_oldest_open_seconds\{webhook="even"\} \d+/)
    expect(text).not.to.include('castellan_webhook_oldest_open_seconds{webhook="odd"}')
    expect(text).to.include('castellan_webhook_open{webhook="odd"} 1')
  })
})
