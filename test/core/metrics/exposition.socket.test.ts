import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { apis } from '../../../src/apis/apis.js'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { checkRows } from '../../support/rows.js'
import { startTestApp } from '../../support/test-app.js'
import { testedApis } from '../../support/tested-apis.js'
import { walDirectoryOf } from '../../support/wal-directory.js'
import { expositionProblems } from './exposition.js'

/** The labels of each series in the text format, sorted: `castellan_x_total` => `api, method`. Series with equal labels count once. */
function exportedLabels(text: string): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const [, sample, labels = ''] of text.matchAll(/^(castellan_\w+)(?:\{(.*)\})? \S+$/gm)) {
    const name = sample!.replace(/_seconds_(bucket|sum|count)$/, '_seconds')
    const names = [...labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)].map(([, label]) => label!)
    const sorted = names.filter(label => label !== 'le').toSorted()
    found.set(name, (found.get(name) ?? new Set()).add(sorted.join(', ')))
  }
  return found
}

/** The same as docs/metrics.md has it. */
function documentedLabels(): Map<string, string> {
  const rows = readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `(castellan_\w+)` \| \w+ \| (.*?) ?\| .* \|$/gm)
  return new Map(
    [...rows].map(([, name, labels]) => [
      name!,
      [...labels!.matchAll(/`(\w+)`/g)]
        .map(([, label]) => label!)
        .toSorted()
        .join(', ')
    ])
  )
}

/** Names of imitated systems. */
const isForeign = (name: string): boolean =>
  /^(http_requests_duration|kafka_|ratelimit_messages_count|kprf_app_metadata)/.test(name)

const good = `# HELP a_total Things
# TYPE a_total counter
a_total{x="1"} 1
a_total{x="a \\"quoted\\" \\\\ and\\nmore"} 2
# HELP b_seconds Time
# TYPE b_seconds histogram
b_seconds_bucket{le="0.5",x="1"} 1
b_seconds_bucket{le="+Inf",x="1"} 3
b_seconds_sum{x="1"} 4.5
b_seconds_count{x="1"} 3
`

describe('the text format of Prometheus, as it is checked', () => {
  it('accepts what is right', () => {
    expect(expositionProblems(good)).to.deep.equal([])
  })

  const wrong: [what: string, text: string, problem: RegExp][] = [
    ['a last line without end', good.trimEnd(), /has no end/],
    ['a label that is not escaped', good.replace('x="1"} 1', 'x="a"b"} 1'), /cannot be read/],
    ['a line break in a label', good.replace('{x="1"} 1', '{x="a\nb"} 1'), /no sample/],
    ['no number', good.replace('} 4.5', '} many'), /no number/],
    ['a series twice', good.replace('a_total{x="1"} 1\n', 'a_total{x="1"} 1\na_total{x="1"} 1\n'), /occurs twice/],
    ['a family that is torn apart', `${good}# HELP a_total Things\na_total 1\n`, /torn apart|twice/],
    ['a sample without family', `${good}c 1\n`, /no family is open for c/],
    ['no HELP', good.replace('# HELP a_total Things\n', ''), /has no HELP/],
    ['no TYPE', good.replace('# TYPE a_total counter\n', ''), /no type/],
    ['buckets that shrink', good.replace('le="0.5",x="1"} 1', 'le="0.5",x="1"} 4'), /do not add up/],
    ['no bucket +Inf', good.replace('le="+Inf"', 'le="9"'), /\+Inf/],
    ['a count of its own', good.replace('_count{x="1"} 3', '_count{x="1"} 4'), /not what its buckets count/],
    ['a counter below 0', good.replace('a_total{x="1"} 1', 'a_total{x="1"} -1'), /below 0/],
    ['a counter without _total', good.replaceAll('a_total', 'a'), /_total is for counters/]
  ]
  it('each defect of an exposition is named', () =>
    checkRows(wrong, ([, text, problem]) => expect(expositionProblems(text).join('\n')).to.match(problem)))
})

describe('the metrics of the gateway', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let app: App
  before(async () => {
    cluster = await startEmbeddedCluster()
    const patient = [...testedApis].flatMap(([name, { patient: settings }]) =>
      Object.entries(settings).map(([setting, value]) => [`apis.${name}.${setting}`, String(value)])
    )
    app = await startTestApp(cluster.bootstrap, {
      ...Object.fromEntries(patient),
      'apis.mcp.enabled': 'true',
      'apis.kprf.metricsPort': '0'
    })
  })
  after(async () => {
    await app.stop()
    await cluster.close()
  })

  const scrape = async (url: string): Promise<string> => (await fetch(url)).text()

  it('tell for each API how long bodies took to come, and where the rest of the time went', async () => {
    for (const { name, prefix } of apis) {
      await testedApis.get(name)!.isServed(`${app.urls.shared}${prefix}`, {})
    }
    const all = await scrape(`${app.urls.management}/metrics`)
    const countOf = (series: RegExp): number =>
      [...all.matchAll(series)].reduce((sum, [, value]) => sum + Number(value), 0)
    for (const { name } of apis) {
      const bodies = new RegExp(`^castellan_http_body_seconds_count\\{api="${name}"\\} (\\d+)$`, 'gm')
      expect(countOf(bodies), name).to.be.above(0)
    }
    expect(countOf(/^castellan_delivery_partition_wait_seconds_count(?:\{.*\})? (\d+)$/gm)).to.be.above(0)
    const router = /^castellan_router_request_latency_seconds_count\{.*operation="produceBatch".*\} (\d+)$/gm
    expect(countOf(router)).to.be.above(0)
    const broker = /^castellan_kafka_dispatcher_call_seconds_count\{.*dispatcher="produce".*\} (\d+)$/gm
    expect(countOf(broker)).to.be.above(0)
  })

  it('have the labels that docs/metrics.md names, and no others', async () => {
    for (const { name, prefix } of apis) {
      await testedApis.get(name)!.isServed(`${app.urls.shared}${prefix}`, {})
    }
    const texts = [await scrape(`${app.urls.management}/metrics`), await metricsOfAWait()]
    const documented = documentedLabels()
    const exported = texts.flatMap(text => [...exportedLabels(text)])
    expect(exported.map(([name]) => name)).to.include('castellan_http_admission_wait_seconds')
    for (const [name, labels] of exported) {
      expect([...labels], name).to.deep.equal([documented.get(name)])
    }
  })

  /** Metrics of a process in which a request waited for capacity: others announced larger bodies than there is capacity for. */
  async function metricsOfAWait(): Promise<string> {
    const full = await startTestApp('127.0.0.1:1', {
      'delivery.maxBytes': String(1024 * 1024),
      'wal.directory': walDirectoryOf('waits')
    })
    const { hostname, port } = new URL(full.urls.shared)
    const sockets = Array.from({ length: 4 }, () => connect(Number(port), hostname))
    try {
      const head = `POST /kprf/push HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n`
      for (const socket of sockets) socket.write(head)
      for (let tries = 0; tries < 200; tries++) {
        const text = await scrape(`${full.urls.management}/metrics`)
        if (text.includes('castellan_http_admission_wait_seconds_count')) return text
        await sleep(20)
      }
      throw new Error('no request waited')
    } finally {
      for (const socket of sockets) socket.destroy()
      await full.stop()
    }
  }

  it('are what promtool calls clean, whatever the APIs were asked', async () => {
    for (const { name, prefix } of apis) {
      await testedApis.get(name)!.isServed(`${app.urls.shared}${prefix}`, {})
    }
    const names = ['a"b', 'a\\b', 'a\nb', 'a\0b', '__proto__', 'x'.repeat(250), 'é', '{}']
    const body = JSON.stringify({ records: names.map(topic => ({ topic, data: 'd' })), wait_for_send: true })
    const headers = { 'content-type': 'application/json' }
    await fetch(`${app.urls.shared}/kprf/push`, { method: 'POST', headers, body })
    for (const topic of names) {
      await fetch(`${app.urls.shared}/kafboy/async/${encodeURIComponent(topic)}`, { method: 'POST', body: 'a=1' })
    }
    const all = await scrape(`${app.urls.management}/metrics`)
    expect(all).to.include('kafboy_requests_total').and.to.include('kafka_sent_messages').and.to.include('castellan_')
    expect(expositionProblems(all, isForeign)).to.deep.equal([])
    const own = await scrape(`${app.urls.apis.get('kprf metrics')}/metrics`)
    expect(own).to.include('kafka_sent_messages')
    expect(expositionProblems(own, isForeign)).to.deep.equal([])
  })
})
