import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { startTestApp } from '../../support/test-app.js'

/** kprf's counters, after requests of known kinds over HTTP to a cluster. */
describe('kprf: after 1,000 requests of known kinds', function () {
  this.timeout(120_000)
  let cluster: EmbeddedCluster
  let app: App
  before(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('t', { partitions: 1 })
    cluster.createTopic('slow', { partitions: 1 })
    app = await startTestApp(cluster.bootstrap, {
      'apis.kprf.metricsPort': '0',
      'http.admissionWaitMs': '30000',
      'delivery.timeoutMs': '60000',
      'apis.kprf.ratelimit.enabled': 'true',
      'apis.kprf.ratelimit.rules': JSON.stringify([{ topic: 'slow', maxPerMinute: 42 }]),
      'delivery.createTopics': 'false',
      'advanced.router.unknownTopicTimeoutMs': '50'
    })
  })
  after(async () => {
    await app.stop()
    await cluster.close()
  })

  const text = async (): Promise<string> => (await fetch(`${app.urls.apis.get('kprf metrics')}/metrics`)).text()
  const counters = async (): Promise<Map<string, number>> => {
    const lines = (await text()).matchAll(/^(\w+(?:\{[^}]*\})?) (\S+)$/gm)
    const all = [...lines].map(([, name, value]) => [name!, Number(value)] as const)
    return new Map(all.filter(([name]) => !/_sum|_bucket|kprf_app_metadata/.test(name)))
  }
  /** How many calls it takes depends on what arrives together. */
  const splitCalls = (all: ReadonlyMap<string, number>) => {
    const label = `{broker="${cluster.bootstrap}/1"}`
    const names = {
      sent: 'kafka_producer_total_requests_count',
      answered: 'kafka_producer_total_responses_received',
      sentByBroker: `kafka_producer_broker_requests_sent${label}`,
      answeredByBroker: `kafka_producer_broker_responses_count${label}`
    }
    const calls = Object.fromEntries(Object.entries(names).map(([is, name]) => [is, all.get(name)]))
    const others = [...all].filter(([name]) => !Object.values<string>(names).includes(name))
    return { calls, ...Object.fromEntries(others) }
  }
  const post = async (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) => {
    const answer = await fetch(`${app.urls.shared}/kprf/push`, { method: 'POST', headers, body })
    await answer.arrayBuffer()
    return answer.status
  }
  const many = async (times: number, body: string, headers?: Record<string, string>): Promise<number[]> => {
    const statuses: number[] = []
    for (let at = 0; at < times; at += 50) {
      statuses.push(...(await Promise.all(Array.from({ length: Math.min(50, times - at) }, () => post(body, headers)))))
    }
    return statuses
  }
  const pushOf = (topics: string[], isSync: boolean, data = '12345'): string =>
    JSON.stringify({ records: topics.map(topic => ({ topic, data })), wait_for_send: isSync })

  it('every counter equals what was sent', async () => {
    await many(300, pushOf(['t'], true))
    await many(300, pushOf(['t', 't'], false))
    await many(100, pushOf(['slow'], true))
    await many(50, pushOf(['no-such-topic'], true))
    await many(50, pushOf(['no topic'], false))
    await many(50, pushOf([], true))
    await many(20, pushOf(['t'], false, 'x'.repeat(1_100_000)))
    await many(50, '{"records":')
    await many(50, pushOf(['t'], false), { 'content-type': 'text/plain' })
    for (let i = 0; i < 30; i++) await fetch(`${app.urls.shared}/kprf/push`)
    while ((await counters()).get('kafka_producer_total_messages_sent') !== 942) await sleep(20)
    const delivered = 300 + 2 * 300 + 42
    const { calls, ...counted } = splitCalls(await counters())
    expect(calls.sent).to.be.greaterThan(0)
    expect(calls).to.deep.equal({
      sent: calls.sent,
      answered: calls.sent,
      sentByBroker: calls.sent,
      answeredByBroker: calls.sent
    })
    expect(counted).to.deep.equal({
      'http_requests_duration_count{code="200",method="push/sync"}': 300 + 42 + 50,
      'http_requests_duration_count{code="500",method="push/sync"}': 58 + 50,
      'http_requests_duration_count{code="200",method="push/async"}': 300 + 50 + 20,
      'kafka_sent_messages{topic="t"}': 300 + 600 + 20,
      'kafka_sent_messages{topic="slow"}': 42,
      'kafka_sent_messages{topic="no-such-topic"}': 50,
      'kafka_sent_messages{topic="other"}': 50,
      'kafka_internal_queue_size{topic="t"}': 0,
      'kafka_internal_queue_size{topic="slow"}': 0,
      'kafka_internal_queue_size{topic="no-such-topic"}': 0,
      'kafka_internal_queue_size{topic="other"}': 0,
      'kafka_message_send_duration_count{topic="t"}': 900,
      'kafka_message_send_duration_count{topic="slow"}': 42,
      'kafka_message_send_duration_count{topic="no-such-topic"}': 50,
      'kafka_message_send_duration_count{topic="other"}': 50,
      'kafka_errors_count{topic="no-such-topic",error_code="-188"}': 50,
      'kafka_errors_count{topic="other",error_code="17"}': 50,
      'kafka_errors_count{topic="t",error_code="10"}': 20,
      'ratelimit_messages_count{topic="slow"}': 58,
      kafka_producer_current_messages_in_queue: 0,
      kafka_producer_current_messages_in_queue_bytes: 0,
      kafka_producer_total_messages_sent: delivered,
      kafka_producer_total_messages_bytes_sent: delivered * 5,
      [`kafka_producer_broker_outbuf_count{broker="${cluster.bootstrap}/1"}`]: 0,
      [`kafka_producer_broker_errors_count{broker="${cluster.bootstrap}/1"}`]: 0,
      [`kafka_producer_request_timeouts{broker="${cluster.bootstrap}/1"}`]: 0
    })
  })

  it('10,000 random topics do not grow the metrics without bound', async () => {
    for (let at = 0; at < 10_000; at += 500) {
      const topics = Array.from({ length: 500 }, (_, i) => `random-${at + i}`)
      await post(pushOf(topics, false))
    }
    while ((await counters()).get('kafka_producer_current_messages_in_queue') !== 0) await sleep(50)
    const lines = (await text()).split('\n')
    const perFamily = new Map<string, number>()
    for (const line of lines.filter(one => one !== '' && !one.startsWith('#'))) {
      const name = line.match(/^\w+?(?=_bucket|_sum|_count\{|\{| )/)![0]
      perFamily.set(name, (perFamily.get(name) ?? 0) + 1)
    }
    expect(Math.max(...perFamily.values())).to.be.at.most(1_001)
    expect((await text()).length).to.be.lessThan(1_000_000)
  })
})
