import { expect } from 'chai'
import { type Logger, type RecordOutcome, silentLogger } from '../../../src/core/model.js'
import { delivered, FakeGateway, failure } from '../../support/fake-gateway.js'
import { asJson, pushOf, type Served, serve } from './harness.js'

const push = ({ app }: Served, topics: readonly string[], wait: boolean) =>
  app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload: pushOf(topics, wait) })

/** Lines of the exposition that hold values and begin with the name. */
async function valuesOf({ metrics }: Served, name: string): Promise<string[]> {
  const text = await metrics.registry.metrics()
  return text.split('\n').filter(line => line.startsWith(name) && !line.startsWith('#'))
}

// Source: metric names, types and labels of kprf fd32acc; the values are what they should have been.
describe('kprf metrics', () => {
  it('counts pushes by status and mode in milliseconds', async () => {
    const gateway = new FakeGateway({ outcome: ({ topic }) => (topic === 'bad' ? failure('timedOut') : delivered()) })
    const served = await serve({ gateway })
    await push(served, ['t'], false)
    await push(served, ['t'], false)
    await push(served, ['bad'], true)
    await served.app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload: '{' })
    const counts = await valuesOf(served, 'http_requests_duration_count')
    expect(counts).to.have.members([
      'http_requests_duration_count{code="200",method="push/async"} 2',
      'http_requests_duration_count{code="500",method="push/sync"} 1'
    ])
    const buckets = await valuesOf(served, 'http_requests_duration_bucket')
    expect(buckets.map(line => /le="([^"]+)"/.exec(line)![1]).slice(0, 6)).to.deep.equal([
      '5',
      '10',
      '20',
      '40',
      '80',
      '+Inf'
    ])
  })

  it('follows records to their outcome, in async too', async () => {
    const gateway = new FakeGateway({ outcome: 'by hand' })
    const served = await serve({ gateway })
    await push(served, ['a', 'b', 'a'], false)
    expect(await valuesOf(served, 'kafka_sent_messages')).to.have.members([
      'kafka_sent_messages{topic="a"} 2',
      'kafka_sent_messages{topic="b"} 1'
    ])
    expect(await valuesOf(served, 'kafka_internal_queue_size')).to.have.members([
      'kafka_internal_queue_size{topic="a"} 2',
      'kafka_internal_queue_size{topic="b"} 1'
    ])
    expect(await valuesOf(served, 'kafka_producer_current')).to.deep.equal([
      'kafka_producer_current_messages_in_queue 3',
      'kafka_producer_current_messages_in_queue_bytes 0'
    ])
    const outcomes: RecordOutcome[] = [delivered(), failure('unknownTopic', 3), failure('timedOut')]
    gateway.calls[0]!.settle(outcomes)
    await new Promise(setImmediate)
    expect(await valuesOf(served, 'kafka_internal_queue_size')).to.have.members([
      'kafka_internal_queue_size{topic="a"} 0',
      'kafka_internal_queue_size{topic="b"} 0'
    ])
    expect(await valuesOf(served, 'kafka_errors_count')).to.have.members([
      'kafka_errors_count{topic="b",error_code="-188"} 1',
      'kafka_errors_count{topic="a",error_code="-192"} 1'
    ])
    expect(await valuesOf(served, 'kafka_message_send_duration_count')).to.have.members([
      'kafka_message_send_duration_count{topic="a"} 2',
      'kafka_message_send_duration_count{topic="b"} 1'
    ])
    expect(await valuesOf(served, 'kafka_producer_total_messages_sent')).to.deep.equal([
      'kafka_producer_total_messages_sent 1'
    ])
  })

  it('counts what never reached the queue by its reason', async () => {
    const settings = {
      messageMaxBytes: 1_000,
      ratelimit: { enabled: true, rules: [{ topic: 'slow', maxPerMinute: 1 }] }
    }
    const gateway = new FakeGateway({ refuse: () => failure('overloaded') })
    const served = await serve({ gateway, settings, now: () => 0 })
    await push(served, ['slow', 'slow', 'x'.repeat(200)], false)
    const payload = JSON.stringify({ records: [{ topic: 'big', data: 'x'.repeat(1_000) }] })
    await served.app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    await new Promise(setImmediate)
    expect(await valuesOf(served, 'ratelimit_messages_count')).to.deep.equal([
      'ratelimit_messages_count{topic="slow"} 1'
    ])
    expect(await valuesOf(served, 'kafka_errors_count')).to.include.members([
      'kafka_errors_count{topic="slow",error_code="-184"} 1',
      'kafka_errors_count{topic="big",error_code="10"} 1'
    ])
  })

  it('gives names clients invent no end of series', async () => {
    const served = await serve()
    const topics = Array.from({ length: 1_200 }, (_, i) => `topic-${i}`)
    await push(served, [...topics, 'with space', '', '__proto__'], false)
    const lines = await valuesOf(served, 'kafka_sent_messages')
    expect(lines).to.have.length(1_000)
    expect(lines).to.include('kafka_sent_messages{topic="other"} 204')
    for (const name of ['kafka_message_send_duration', 'kafka_internal_queue_size', 'kafka_errors_count']) {
      expect(await valuesOf(served, name), name).to.have.length.at.most(1_000)
    }
  })

  it('puts no illegal topic name into the text', async () => {
    const served = await serve()
    const payload = '{"records":[{"topic":"a\\u0000b","data":"d"},{"topic":"a\\"b","data":"d"}]}'
    await served.app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    expect(await valuesOf(served, 'kafka_sent_messages')).to.deep.equal(['kafka_sent_messages{topic="other"} 2'])
  })

  it('says which version is spoken', async () => {
    expect(await valuesOf(await serve(), 'kprf_app_metadata')).to.deep.equal([
      'kprf_app_metadata{version="0.2.4",commit_hash="fd32acc"} 0'
    ])
  })

  it('logs failures at most once a second, with no data in them', async () => {
    const lines: unknown[] = []
    const log: Logger = { ...silentLogger, warn: (fields, message) => lines.push([message, fields]) }
    const gateway = new FakeGateway({ outcome: () => failure('timedOut') })
    const served = await serve({ gateway, log })
    for (let i = 0; i < 5; i++) await push(served, ['t', 't'], true)
    expect(lines).to.deep.equal([
      [
        'records failed',
        {
          records: 2,
          topic: 't',
          error: 'MessageTimedOut (Local: Message timed out)',
          cause: 'made up for a test: timedOut'
        }
      ]
    ])
  })
})
