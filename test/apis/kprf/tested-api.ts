import { expect } from 'chai'
import { call } from '../../support/access.js'
import type { TestedApi } from '../../support/tested-apis.js'

const push = (isWaiting: boolean): string =>
  JSON.stringify({ records: [{ topic: 'orders', key: 'k', data: 'hello' }], wait_for_send: isWaiting })

export const testedApi: TestedApi = {
  patient: { messageTimeoutMs: 30_000 },
  otherValues: {
    metricsPort: 0,
    failureWord: 'error',
    messageTimeoutMs: 29_000,
    'ratelimit.rules': [{ topic: 'orders', maxPerMinute: 1_000 }]
  },
  scenes: {
    'rate limit': () => ({ ratelimit: { enabled: true, rules: [{ topic: 'orders', maxPerMinute: 1_000 }] } })
  },
  calls: {
    produce: (url, client) => {
      const headers = { 'content-type': 'application/json', ...client.headers }
      return call(`${url}/push`, { method: 'POST', body: push(true), ...client, headers })
    }
  },
  isServed: async (url, client) => {
    for (const isWaiting of [true, false]) {
      const answer = await testedApi.calls.produce!(url, { ...client, body: push(isWaiting) })
      const told = [answer.status, answer.body, answer.headers['x-castellan-persisted']]
      expect(told).to.deep.equal([200, '{"status":"ok","errors":[]}', isWaiting ? 'yes' : 'pending'])
    }
  }
}
