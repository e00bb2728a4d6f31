import { expect } from 'chai'
import { call } from '../../support/access.js'
import type { ApiUnderTest } from '../../support/apis-under-test.js'

const push = (isWaiting: boolean): string =>
  JSON.stringify({ records: [{ topic: 'orders', key: 'k', data: 'hello' }], wait_for_send: isWaiting })

export const underTest: ApiUnderTest = {
  patient: { messageTimeoutMs: 30_000 },
  otherValues: {
    metricsHost: '127.0.0.2',
    metricsPort: 0,
    'compat.kafka.brokers': [],
    'compat.kafka.user': 'anna',
    'compat.kafka.password': 'good',
    'compat.kafka.message_max_bytes': 500_000,
    'compat.kafka.queue_buffering_max_messages': 100,
    'compat.kafka.queue_buffering_max_ms': 20,
    'compat.kafka.queue_buffering_max_kbytes': 2_048,
    'compat.kafka.retries': 3,
    'compat.kafka.message_timeout_ms': 29_000,
    'compat.kafka.request_timeout_ms': 30_000,
    'compat.kafka.request_required_acks': 1,
    'compat.kafka.statistics_interval_ms': 1_000,
    'compat.http.port': 0,
    'compat.http.metrics_port': 0,
    'compat.output_file': '/dev/stdout',
    'compat.ratelimit.enabled': true,
    'compat.ratelimit.rules': [{ topic_name: 'orders', max_requests_per_minute: 1_000 }],
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
      const answer = await underTest.calls.produce!(url, { ...client, body: push(isWaiting) })
      const told = [answer.status, answer.body, answer.headers['x-castellan-persisted']]
      expect(told).to.deep.equal([200, '{"status":"ok","errors":[]}', isWaiting ? 'yes' : 'pending'])
    }
  }
}
