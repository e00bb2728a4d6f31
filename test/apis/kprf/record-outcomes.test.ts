import { expect } from 'chai'
import { KprfMetrics } from '../../../src/apis/kprf/kprf-metrics.js'
import type { PushRecord } from '../../../src/apis/kprf/push-request.js'
import { Following, sizesOf } from '../../../src/apis/kprf/record-outcomes.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type RecordOutcome, silentLogger } from '../../../src/core/model.js'
import { delivered, failure } from '../../support/fake-gateway.js'

const record = (topic: string, value = 'v', key: string | null = null): PushRecord => ({
  topic,
  key: key === null ? null : Buffer.from(key),
  value: Buffer.from(value)
})

function setUp() {
  const lines: unknown[] = []
  const prometheus = createPrometheusMetrics()
  const metrics = new KprfMetrics(prometheus)
  const following = new Following(metrics, { ...silentLogger, warn: what => lines.push(what) })
  /** Follows records from time 0 until `now`, when they have these outcomes. */
  const follow = (records: readonly PushRecord[], outcomes: readonly RecordOutcome[], now = 0): void =>
    following.end(following.begin(records), sizesOf(records), outcomes, 0, now)
  const valuesOf = async (name: string): Promise<string[]> => {
    const text = await prometheus.registry.metrics()
    const found = text.split('\n').filter(line => line.startsWith(name))
    return found.map(line => line.slice(name.length))
  }
  return { lines, metrics, following, follow, valuesOf }
}

describe('kprf: records on their way', () => {
  it('are counted as waiting until their outcomes are known, by topic and in all', async () => {
    const { metrics, following } = setUp()
    const [same, different] = [
      [record('t'), record('t')],
      [record('t'), record('u')]
    ]
    const first = following.begin(same)
    const second = following.begin(different)
    const queued = (): number[] => [
      metrics.topic('t').queued.value,
      metrics.topic('u').queued.value,
      metrics.queuedInAll.value
    ]
    expect(queued()).to.deep.equal([3, 1, 4])
    following.end(first, sizesOf(same), [delivered(), delivered()], 0, 0)
    expect(queued()).to.deep.equal([1, 1, 2])
    following.end(second, sizesOf(different), [delivered(), failure('timedOut')], 0, 0)
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
