import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { runCommand } from '../../cli/run-command.js'
import { until } from '../../http/server/stage.js'
import { startTestApp } from '../../support/test-app.js'
import { exchange } from '../kprf/stage.js'

const portOf = (url: string): number => Number(new URL(url).port)

async function scrape({ urls }: App): Promise<Map<string, number>> {
  const text = await (await fetch(`${urls.management}/metrics`)).text()
  const lines = [...text.matchAll(/^(kafboy_\w+(?:\{[^}]*\})?) (\S+)$/gm)]
  return new Map(lines.map(([, name, value]) => [name!, Number(value)]))
}

describe('kafboy in the whole gateway', () => {
  let cluster: EmbeddedCluster
  let app: App
  const start = async (settings: Record<string, string> = {}): Promise<void> => {
    app = await startTestApp(cluster.bootstrap, { 'apis.kafboy.syncTimeoutMs': '30000', ...settings })
  }
  const post = async (path: string, body: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(app.urls.shared + path, { method: 'POST', body, headers })
    return { said: `${answer.status} ${await answer.text()}`.trim(), headers: answer.headers }
  }
  const records = (topic: string): string[] => cluster.records(topic, 0).map(({ value }) => String(value))

  beforeEach(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('t', { partitions: 1 })
  })
  afterEach(async () => {
    await app?.stop()
    await cluster.close()
  })

  it('kafboy 13: a path that cannot be decoded is 400 and empty', async () => {
    await start()
    expect((await post('/kafboy/async/%zz', 'a=1')).said).to.equal('400')
    expect((await post('/kafboy/async/a%2Fb', 'a=1')).said).to.equal('200 {"ok":1}')
  })

  it('kafboy 15: without Kafka /async is accepted and delivered later, /sync is told and is not', async () => {
    await start({ 'apis.kafboy.syncTimeoutMs': '500' })
    while ((await post('/kafboy/sync/t', 'first=1')).said !== '200 [{"ok":true}]');
    const { nodeId } = cluster.nodes[0]!
    await cluster.stopNode(nodeId)
    // Makes the gateway notice; whether this one is written later is not known.
    await post('/kafboy/sync/another', 'nudge=1')
    await until(async () => (await fetch(`${app.urls.management}/ready/kafka`)).status !== 200, 'the loss of Kafka')
    const never = await post('/kafboy/sync/t', 'never=1')
    expect(never.said).to.equal('503 [{"error":"downtime"}]')
    expect(never.headers.get('x-castellan-persisted')).to.equal('no')
    const accepted = []
    for (let i = 0; i < 4; i++) accepted.push((await post('/kafboy/async/t', `later=${i}`)).said)
    expect(accepted).to.deep.equal(new Array<string>(4).fill('200 {"ok":1}'))
    await cluster.startNode(nodeId)
    await until(
      () => records('t').at(-1) === '{"later":"3"}',
      'the last record',
      () => records('t').at(-1)
    )
    const later = [0, 1, 2, 3].map(i => `{"later":"${i}"}`)
    expect([...new Set(records('t'))].slice(1)).to.deep.equal(later)
  })

  it('ekaf 21: a hundred changes of leaders open no connections', async () => {
    await cluster.close()
    cluster = await startEmbeddedCluster({ nodes: 3 })
    cluster.createTopic('t', { partitions: 1, replicationFactor: 3 })
    await start()
    const move = async (times: number, movesPerWrite: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        cluster.moveLeader('t', 0, cluster.nodes[i % 3]!.nodeId)
        if (i % movesPerWrite > 0) continue
        expect((await post('/kafboy/sync/t', String(i))).said).to.equal('200 [{"ok":true}]')
      }
    }
    await move(3, 1)
    await move(100, 20)
    // At most three for each node to produce, and one for each of everything else.
    expect(cluster.usage().connections).to.be.at.most(15)
    expect(records('t')).to.have.length(8)
  })

  it('a topic that the brokers create gets all its records where the hook says, and none is created where they may not', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'castellan-hooks-'))
    const module = join(folder, 'hooks.mjs')
    writeFileSync(module, 'export default { pickPartition: ({ partitionCount }) => partitionCount - 1 }')
    const custom = { 'apis.kafboy.partitionStrategy': 'custom', 'apis.kafboy.callbackEditJson': module }
    await start(custom)
    const path = '/kafboy/sync/made-for-the-hook'
    const all = ['1', '2', '3'].map(body => post(path, body, { 'content-type': 'application/json' }))
    for (const answer of await Promise.all(all)) expect(answer.said).to.equal('200 [{"ok":true}]')
    expect(cluster.records('made-for-the-hook', 3)).to.have.length(3)
    await app.stop()
    await start({ ...custom, 'apis.kafboy.syncTimeoutMs': '1000' })
    const crowd = await Promise.all(
      Array.from({ length: 80 }, (_, at) =>
        post(`/kafboy/sync/crowd-${at}`, '1', { 'content-type': 'application/json' })
      )
    )
    const said = new Set(crowd.map(one => one.said))
    // Of 20 topics a second. One that is being made when the time of its request is over may still get the record.
    said.delete('504 [{"error":"timeout"}]')
    expect(said).to.deep.equal(new Set(['200 [{"ok":true}]', '503 [{"error":"system queue full"}]']))
    await app.stop()
    await start({ ...custom, 'delivery.createTopics': 'false', 'apis.kafboy.syncTimeoutMs': '500' })
    expect((await post('/kafboy/sync/not-made', '1')).said).to.equal('502 [{"error":3}]')
    expect(() => cluster.records('not-made', 0)).to.throw('not-made')
    rmSync(folder, { recursive: true })
  })

  it('durability: disk of kafboy and kprf brings to Kafka what the log has taken', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'castellan-disk-'))
    await start({
      'apis.kafboy.durability': 'disk',
      'apis.kprf.durability': 'disk',
      'wal.directory': folder,
      'advanced.wal.segmentBytes': '65536'
    })
    const push = JSON.stringify({ records: [{ topic: 't', data: 'pushed' }] })
    for (const [path, body, type] of [
      ['/kafboy/async/t', 'a=1', 'application/x-www-form-urlencoded'],
      ['/kafboy/batch/async/t', 'a=2', 'application/x-www-form-urlencoded'],
      ['/kprf/push', push, 'application/json']
    ] as const) {
      const { said, headers } = await post(path, body, { 'content-type': type })
      expect([said.slice(0, 3), headers.get('x-castellan-persisted')]).to.deep.equal(['200', 'pending'])
    }
    await until(
      () => records('t').length >= 3,
      'three records',
      () => records('t').length
    )
    expect(records('t')).to.deep.equal(['{"a":"1"}', '{"a":"2"}', 'pushed'])
    await app.stop()
    rmSync(folder, { recursive: true })
  })

  it('kafboy 17: without brokers the start is refused where there can be no embedded one', async () => {
    const { code, stderr } = await runCommand(['serve'], { environment: { NODE_ENV: 'production' } })
    expect(code).to.equal(2)
    expect(stderr).to.include('clusters.default.brokers').and.to.include('--brokers HOST:PORT')
  })

  const refused: [settings: Record<string, string>, message: string][] = [
    [{ 'advanced.apis.kafboy.routesSync': 'no/slash' }, 'begin it with /'],
    [{ 'advanced.apis.kafboy.asyncUrl': '/async' }, 'name the topic in it'],
    [{ 'apis.kafboy.partitionStrategy': 'ketama' }, 'partitionStrategy'],
    [{ 'apis.kafboy.callbackEditJson': '/no/such/module.js' }, 'callbackEditJson']
  ]
  for (const [settings, message] of refused) {
    it(`kafboy 17: ${Object.keys(settings)[0]} that cannot be is refused at start`, async () => {
      const error = await start(settings).then(
        () => undefined,
        (thrown: Error) => thrown
      )
      expect(error?.message).to.include(message)
    })
  }

  it('after 1,000 requests of known kinds every counter is what was sent', async function () {
    this.timeout(60_000)
    await start({
      'delivery.createTopics': 'false',
      'advanced.router.unknownTopicTimeoutMs': '50'
    })
    const kinds: [times: number, method: string, path: string, body?: string][] = [
      [300, 'POST', '/async/t', 'a=1'],
      [200, 'POST', '/sync/t', 'a=1'],
      [150, 'POST', '/batch/async/t', 'a=1'],
      [50, 'POST', '/batch/sync/t', 'a=1'],
      [100, 'GET', '/async/t'],
      [50, 'POST', '/sync/t', '=x'],
      [20, 'POST', '/sync/no-such-topic', 'a=1'],
      [20, 'POST', '/async/no%20topic', 'a=1'],
      [10, 'POST', '/async/t', ''],
      [50, 'GET', '/disco'],
      [50, 'POST', '/nowhere', 'a=1']
    ]
    for (const [times, method, path, body] of kinds) {
      for (let at = 0; at < times; at += 50) {
        const sent = Array.from({ length: Math.min(50, times - at) }, () =>
          fetch(`${app.urls.shared}/kafboy${path}`, { method, ...(body !== undefined && { body }) })
        )
        for (const answer of await Promise.all(sent)) await answer.text()
      }
    }
    const settled = async (): Promise<boolean> => {
      const all = await scrape(app)
      return all.get('kafboy_delivered_records_total{mode="batch"}') === 200 && records('t').length === 700
    }
    await until(settled, 'all counters at rest')
    const counters = [...(await scrape(app))].filter(([name]) => /_total|_count/.test(name)).sort()
    expect(counters).to.deep.equal([
      ['kafboy_delivered_records_total{mode="async"}', 300],
      ['kafboy_delivered_records_total{mode="batch"}', 200],
      ['kafboy_delivered_records_total{mode="sync"}', 200],
      ['kafboy_failed_records_total{mode="async",error="invalidTopic"}', 20],
      ['kafboy_failed_records_total{mode="sync",error="unknownTopic"}', 20],
      ['kafboy_request_seconds_count{mode="async"}', 430],
      ['kafboy_request_seconds_count{mode="batchAsync"}', 150],
      ['kafboy_request_seconds_count{mode="batchSync"}', 50],
      ['kafboy_request_seconds_count{mode="sync"}', 270],
      ['kafboy_requests_total{mode="async",code="200"}', 330],
      ['kafboy_requests_total{mode="async",code="400"}', 100],
      ['kafboy_requests_total{mode="batchAsync",code="200"}', 150],
      ['kafboy_requests_total{mode="batchSync",code="200"}', 50],
      ['kafboy_requests_total{mode="sync",code="200"}', 200],
      ['kafboy_requests_total{mode="sync",code="400"}', 50],
      ['kafboy_requests_total{mode="sync",code="502"}', 20]
    ])
  })

  it('10,000 random topics add no lines to the metrics and leave nothing behind', async function () {
    this.timeout(120_000)
    await start({ 'delivery.createTopics': 'false', 'apis.kafboy.partitionStrategy': 'sticky_round_robin' })
    await post('/kafboy/sync/t', 'a=1')
    const before = (await scrape(app)).size
    for (let at = 0; at < 10_000; at += 200) {
      const requests = Array.from({ length: 200 }, (_, i) => {
        const close = i === 199 ? 'connection: close\r\n' : ''
        const path = `/kafboy/${i % 2 ? 'async' : 'batch/async'}/r${at + i}`
        return `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n${close}content-length: 3\r\n\r\na=1`
      })
      const answers = await exchange(portOf(app.urls.shared), requests.join(''))
      expect(answers.match(/HTTP\/1.1 200 /g)).to.have.length(200)
    }
    // A line for each mode and code that is new, and for each kind of failure.
    expect((await scrape(app)).size - before).to.be.lessThan(60)
    expect((await post('/kafboy/sync/t', 'a=1')).said).to.equal('200 [{"ok":true}]')
  })
})
