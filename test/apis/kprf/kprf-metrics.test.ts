import { expect } from 'chai'
import { KprfMetrics, RecordCounts, sizesOf } from '../../../src/apis/kprf/kprf-metrics.js'
import type { PushRecord } from '../../../src/apis/kprf/push-parse.js'
import { Family } from '../../../src/core/metrics/family.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type RecordOutcome, silentLogger } from '../../../src/core/model.js'
import { contextFor } from '../../support/api-context.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { asJson, pushOf, type Served, serve } from './stage.js'

const push = ({ app }: Served, topics: readonly string[], wait: boolean) =>
  app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload: pushOf(topics, wait) })

/** Lines of the exposition that hold values and begin with the name. */
async function valuesOf({ metrics }: Served, name: string): Promise<string[]> {
  const text = await metrics.registry.metrics()
  return text.split('\n').filter(line => line.startsWith(name) && !line.startsWith('#'))
}

// Source: metric names, types and labels of kprf fd32acc; the values are what they should have been.
describe('the metrics of kprf', () => {
  it('counts pushes by status and mode in milliseconds', async () => {
    const verbs = new FakeVerbs({ outcome: ({ topic }) => (topic === 'bad' ? failure('timedOut') : delivered()) })
    const served = await serve({ verbs })
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
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    const served = await serve({ verbs })
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
    verbs.calls[0]!.settle(outcomes)
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
    const verbs = new FakeVerbs({ refuse: () => failure('overloaded') })
    const served = await serve({ verbs, settings, now: () => 0 })
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

  it('gives the places of topics that are gone from Kafka to new names', async () => {
    const outcome = ({ topic }: { topic: string }): RecordOutcome =>
      topic === 't-1' ? failure('timedOut') : delivered()
    const verbs = new FakeVerbs({ outcome })
    const served = await serve({ verbs })
    const names = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => `t-${from + at}`)
    for (const name of names(2, 999)) verbs.partitions.set(name, 1)
    await push(served, names(0, 999), true)
    const gone = /"(t-0|t-1)"/
    const counted = async (): Promise<string[]> =>
      (await valuesOf(served, 'kafka_')).filter(line => gone.test(line) && !line.startsWith('kafka_errors_count'))
    expect(await counted()).to.not.deep.equal([])
    await push(served, ['new'], true)
    expect(await valuesOf(served, 'kafka_sent_messages{topic="other"}')).to.have.length(1)
    expect(await counted()).to.deep.equal([])
    await push(served, ['newer'], true)
    expect(await valuesOf(served, 'kafka_sent_messages{topic="newer"}')).to.deep.equal([
      'kafka_sent_messages{topic="newer"} 1'
    ])
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
})

const record = (topic: string, value = 'v', key: string | null = null): PushRecord => ({
  topic,
  key: key === null ? null : Buffer.from(key),
  value: Buffer.from(value)
})

function setUp() {
  const lines: unknown[] = []
  const prometheus = createPrometheusMetrics()
  const metrics = new KprfMetrics(contextFor(new FakeVerbs(), {}, { clock: () => 0 }, prometheus))
  const counts = new RecordCounts(metrics, { ...silentLogger, warn: what => lines.push(what) })
  /** Follows records from time 0 until `now`, when they have these outcomes. */
  const follow = (records: readonly PushRecord[], outcomes: readonly RecordOutcome[], now = 0): void =>
    counts.end(counts.begin(records), sizesOf(records), outcomes, 0, now)
  const valuesOf = async (name: string): Promise<string[]> => {
    const text = await prometheus.registry.metrics()
    const found = text.split('\n').filter(line => line.startsWith(name))
    return found.map(line => line.slice(name.length))
  }
  return { lines, metrics, counts, follow, valuesOf }
}

describe('kprf: series of topics that are gone from Kafka', () => {
  const stage = () => {
    const prometheus = createPrometheusMetrics()
    const verbs = new FakeVerbs()
    const time = { nowMs: 0 }
    const metrics = new KprfMetrics(contextFor(verbs, {}, { clock: () => time.nowMs }, prometheus))
    const counts = new RecordCounts(metrics, silentLogger)
    const send = (topic: string, outcome: RecordOutcome = delivered()): void =>
      counts.end(counts.begin([record(topic)]), sizesOf([record(topic)]), [outcome], 0, 1)
    const passMinutes = async (minutes: number): Promise<void> => {
      for (let at = 0; at < minutes; at++) {
        time.nowMs += 60_000
        await prometheus.registry.metrics()
        await new Promise(setImmediate)
      }
    }
    /** The metrics that have a line of the topic. */
    const linesOf = async (topic: string): Promise<string[]> => {
      const text = await prometheus.registry.metrics()
      const lines = text.split('\n').filter(line => line.includes(`topic="${topic}"`))
      return [...new Set(lines.map(line => line.replace(/\{.*/, '')))]
    }
    return { verbs, metrics, counts, send, passMinutes, linesOf }
  }
  const LOSSES = ['kafka_errors_count', 'ratelimit_messages_count']

  it('leave five minutes after it, and what was lost or refused stays', async () => {
    const { verbs, metrics, send, passMinutes, linesOf } = stage()
    verbs.partitions.set('lives', 1).set('gone', 1)
    send('lives')
    send('gone')
    send('gone', failure('timedOut'))
    metrics.rateLimited('gone')
    await passMinutes(10)
    verbs.partitions.delete('gone')
    await passMinutes(5)
    expect(await linesOf('gone')).to.include('kafka_message_send_duration_bucket')
    await passMinutes(1)
    expect(await linesOf('gone')).to.have.members(LOSSES)
    expect(await linesOf('lives')).to.include.members(['kafka_internal_queue_size', 'kafka_sent_messages'])
    send('gone', failure('timedOut'))
    expect(await linesOf('gone'), 'it comes again').to.include.members([...LOSSES, 'kafka_sent_messages'])
  })

  it('stay while its records are on their way, while it is there again, and while Kafka does not answer', async () => {
    const { verbs, counts, send, passMinutes, linesOf } = stage()
    send('back')
    counts.begin([record('onItsWay')])
    await passMinutes(5)
    verbs.partitions.set('back', 1)
    await passMinutes(1)
    verbs.partitions.delete('back')
    const { topics } = verbs
    verbs.topics = () => Promise.reject(new Error('away'))
    await passMinutes(10)
    verbs.topics = topics.bind(verbs)
    await passMinutes(5)
    for (const topic of ['back', 'onItsWay']) expect(await linesOf(topic), topic).to.include('kafka_sent_messages')
    await passMinutes(1)
    expect(await linesOf('back')).to.deep.equal([])
    expect(await linesOf('onItsWay')).to.include('kafka_sent_messages')
  })

  it('give their places to topics that were counted as others', async () => {
    const { verbs, send, passMinutes, linesOf } = stage()
    const old = Array.from({ length: 124 }, (_, at) => `old-${at}`)
    for (const topic of old) send(topic, failure('timedOut'))
    verbs.partitions.set('lives', 1)
    send('lives')
    expect(await linesOf('lives')).to.not.include('kafka_message_send_duration_count')
    await passMinutes(6)
    send('lives')
    expect(await linesOf('lives')).to.include('kafka_message_send_duration_count')
    for (let at = 0; at < 1_000; at++) send(`new-${at % 500}`, failure(at < 500 ? 'timedOut' : 'overloaded'))
    expect(await linesOf('new-400'), 'losses of topics that are gone make room').to.include('kafka_errors_count')
    expect(await linesOf('old-0')).to.deep.equal([])
  })

  it('are looked through by their number, not by that of all topics that ever were', async () => {
    const { send, passMinutes, linesOf } = stage()
    for (let round = 0; round < 3; round++) {
      for (let at = 0; at < 900; at++) send(`old-${round}-${at}`)
      await passMinutes(7)
      expect(await linesOf(`old-${round}-0`)).to.deep.equal([])
    }
    const { remove } = Family.prototype
    let removed = 0
    Family.prototype.remove = function (tags) {
      removed++
      remove.call(this, tags)
    }
    try {
      for (let at = 0; at < 1_000; at++) send(`new-${at % 500}`, failure(at < 500 ? 'timedOut' : 'overloaded'))
    } finally {
      Family.prototype.remove = remove
    }
    expect(removed).to.equal(0)
  })

  it('leave once where a new name and a scrape look for them, and both are answered at the same time', async () => {
    const { verbs, metrics, send, passMinutes, linesOf } = stage()
    const names = Array.from({ length: 999 }, (_, at) => `old-${at}`)
    for (const name of names.slice(1)) verbs.partitions.set(name, 1)
    for (const name of names) send(name)
    let answer = (): void => undefined
    const answered = new Promise<void>(resolve => (answer = resolve))
    const { topics } = verbs
    verbs.topics = (...asked) => answered.then(() => topics.apply(verbs, asked))
    metrics.topic('new')
    await passMinutes(1)
    answer()
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
    expect(await linesOf('old-0')).to.deep.equal([])
    expect(await linesOf('old-1')).to.include('kafka_sent_messages')
  })

  it('make way also where the topic had come again in between', async () => {
    const { verbs, send, passMinutes, linesOf } = stage()
    send('back', failure('timedOut'))
    await passMinutes(6)
    send('back')
    await passMinutes(6)
    expect(await linesOf('back')).to.deep.equal(['kafka_errors_count'])
    verbs.partitions.set('lives', 1)
    for (let at = 0; at < 1_000; at++) send(`new-${at % 500}`, failure(at < 500 ? 'timedOut' : 'overloaded'))
    expect(await linesOf('back')).to.deep.equal([])
  })
})

describe('kprf: records on their way', () => {
  it('are counted as waiting until their outcomes are known, by topic and in all', async () => {
    const { metrics, counts } = setUp()
    const [same, different] = [
      [record('t'), record('t')],
      [record('t'), record('u')]
    ]
    const first = counts.begin(same)
    const second = counts.begin(different)
    const queued = (): number[] => [
      metrics.topic('t').queued.value,
      metrics.topic('u').queued.value,
      metrics.queuedInAll.value
    ]
    expect(queued()).to.deep.equal([3, 1, 4])
    counts.end(first, sizesOf(same), [delivered(), delivered()], 0, 0)
    expect(queued()).to.deep.equal([1, 1, 2])
    counts.end(second, sizesOf(different), [delivered(), failure('timedOut')], 0, 0)
    expect(queued()).to.deep.equal([0, 0, 0])
    expect(['t', 'u'].map(topic => metrics.topic(topic).sent.value)).to.deep.equal([3, 1])
  })

  it('are counted with the bytes of key and value when they are delivered', () => {
    const { metrics, follow } = setUp()
    follow([record('t', 'value', 'key')], [delivered()])
    expect([metrics.deliveredInAll.value, metrics.deliveredBytesInAll.value]).to.deep.equal([1, 8])
    const three = [record('t', 'a', 'bc'), record('u', 'lost'), record('t', 'defg')]
    follow(three, [delivered(), failure('timedOut'), delivered()])
    expect([metrics.deliveredInAll.value, metrics.deliveredBytesInAll.value]).to.deep.equal([3, 15])
  })

  it('take as long as from the push to the outcome', async () => {
    const { follow, valuesOf } = setUp()
    follow([record('t'), record('t')], [delivered(), delivered()], 30)
    follow([record('u'), record('t')], [failure('timedOut'), delivered()], 7)
    expect(await valuesOf('kafka_message_send_duration_sum')).to.deep.equal(['{topic="t"} 67', '{topic="u"} 7'])
  })

  it('that the durable log still has are neither delivered nor failed', async () => {
    const { lines, metrics, follow, valuesOf } = setUp()
    follow([record('t')], [{ ...failure('timedOut'), persisted: 'pending' }])
    expect([metrics.deliveredInAll.value, await valuesOf('kafka_errors_count{'), lines]).to.deep.equal([0, [], []])
  })

  it('are logged when they fail, once a second, with how many there were', () => {
    const { lines, follow } = setUp()
    const fail = (now: number, count = 1): void =>
      follow(
        Array.from({ length: count }, () => record('t')),
        Array.from({ length: count }, () => failure('timedOut')),
        now
      )
    fail(5_000)
    fail(5_001, 3)
    fail(5_999)
    expect(lines.splice(0)).to.have.length(1)
    fail(6_000)
    expect(lines.splice(0)).to.deep.equal([
      {
        records: 5,
        topic: 't',
        error: 'MessageTimedOut (Local: Message timed out)',
        cause: 'made up for a test: timedOut'
      }
    ])
    fail(7_000)
    expect(lines).to.have.deep.nested.property('[0].records', 1)
  })
})
