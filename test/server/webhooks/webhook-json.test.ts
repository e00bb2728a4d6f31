import { expect } from 'chai'
import { gatewayOf } from '../../../src/server/webhooks/webhook-json.js'
import { ODD_TIMES } from '../../support/odd-times.js'
import { webhookStatus } from '../../support/webhook-status.js'

describe('the status of a webhook in JSON', () => {
  it('has no time for a timestamp that no year from 0000 to 9999 has', () => {
    const timeOf = (timestampMs: number) =>
      gatewayOf({ gateway: 'this', status: webhookStatus(timestampMs) }, false).partitions[0]!.oldest!.timestamp
    for (const { timestampMs, iso } of ODD_TIMES) expect(timeOf(Number(timestampMs)), `${timestampMs}`).to.equal(iso)
  })
})
