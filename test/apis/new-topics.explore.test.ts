import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../src/server/app/app.js'
import { until } from '../support/pixy-stage.js'
import { startTestApp } from '../support/test-app.js'

interface Answer {
  readonly status: number
  readonly persisted: string | null
  readonly retryAfter: string | null
}

describe('APIs: new topics, of which brokers are asked to create 20 a second', function () {
  this.timeout(90_000)
  let cluster: EmbeddedCluster
  let app: App | undefined
  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 1, defaultPartitions: 1 })
  })
  afterEach(async () => {
    await app?.stop()
    await cluster.close()
  })

  const post = async (path: string, type: string, body: unknown): Promise<Answer> => {
    const payload = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await fetch(`${app!.urls.shared}${path}`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: payload
    })
    await answer.text()
    const { status, headers } = answer
    return { status, persisted: headers.get('x-castellan-persisted'), retryAfter: headers.get('retry-after') }
  }
  const kprf = (topic: string, isSync: boolean): Promise<Answer> =>
    post('/kprf/push', 'application/json', { records: [{ topic, data: 'x' }], sync: isSync })
  const confluent = (topic: string): Promise<Answer> =>
    post(`/confluent/topics/${topic}`, 'application/vnd.kafka.json.v2+json', { records: [{ value: 1 }] })
  const arion = (topic: string): Promise<Answer> => post(`/arion/async/${topic}`, 'text/plain', 'x')
  const each = <Value>(count: number, work: (at: number) => Promise<Value>): Promise<Value[]> =>
    Promise.all(Array.from({ length: count }, (_, at) => work(at)))
  const countBy = (answers: readonly Answer[]): Record<string, number> => {
    const counts: Record<string, number> = {}
    for (const { status, persisted, retryAfter } of answers) {
      const key = `${status} ${persisted}${retryAfter === null ? '' : ' retry'}`
      counts[key] = (counts[key] ?? 0) + 1
    }
    return counts
  }
  const writtenTo = (prefix: string, count: number): number =>
    Array.from({ length: count }, (_, at) => recordsOf(`${prefix}-${at}`)).reduce((sum, records) => sum + records, 0)
  const recordsOf = (topic: string): number => {
    try {
      return cluster.highWatermark(topic, 0)
    } catch {
      return 0
    }
  }

  it('all get their records, whether their requests wait or not, in memory and on disk', async () => {
    app = await startTestApp(cluster.bootstrap)
    const [async, sync, disk] = await Promise.all([
      each(150, at => kprf(`async-${at}`, false)),
      each(150, at => confluent(`sync-${at}`)),
      each(150, at => arion(`disk-${at}`))
    ])
    expect([async, sync, disk].map(countBy)).to.deep.equal([
      { '200 pending': 150 },
      { '200 yes': 150 },
      { '202 pending': 150 }
    ])
    await until(async () => writtenTo('disk', 150) + writtenTo('async', 150) >= 300)
    await app.stop()
    expect(['async', 'sync', 'disk'].map(prefix => writtenTo(prefix, 150))).to.deep.equal([150, 150, 150])
  })

  it('are answered 503 with Retry-After where there are too many, and none that was accepted is lost', async () => {
    app = await startTestApp(cluster.bootstrap, { 'delivery.timeoutMs': '5000', 'apis.arion.durability': 'memory' })
    const counts = countBy(await each(200, at => arion(`async-${at}`)))
    const { '202 pending': accepted = 0 } = counts
    expect(counts).to.deep.equal({ '202 pending': accepted, '503 no retry': 200 - accepted })
    expect(accepted).to.be.within(50, 180)
    await app.stop()
    expect(writtenTo('async', 200)).to.equal(accepted)
  })
})
