import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Browser } from 'playwright-core'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { Status } from '../../../src/http/status/status.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { App } from '../../../src/server/app/app.js'
import { isBrowserInstalled, startBrowser } from '../../support/browser.js'
import { startCastellan } from '../../support/castellan.js'
import { TestAuthority } from '../../support/certificates.js'
import { startTestApp } from '../../support/test-app.js'
import { openPage } from './opened-page.js'

const FOREVER = Number.POSITIVE_INFINITY
/**
 * The time within which a trouble has to be shown: five seconds, and what a busy machine may add. The event loop alone
 * takes two seconds to be judged late, and the page asks every two seconds.
 */
const SHOWN_WITHIN_MS = 30_000
const DAY_MS = 86_400_000

/** What is shown about a trouble. */
interface Shown {
  readonly subject: string
  readonly cause: string
  readonly next: string
  readonly see: string
}

/** Shows troubles: the page in a browser, or where there is none the answer that it shows. */
interface Watch {
  /** Resolves with the row of the first of these kinds. */
  row(...kinds: readonly string[]): Promise<Shown>
  close(): Promise<void>
}

async function watchPage(browser: Browser, url: string): Promise<Watch> {
  const { page } = await openPage(browser, url, { ignoreHTTPSErrors: true })
  await page.locator('#trouble').waitFor()
  return {
    row: async (...kinds) => {
      const row = page.locator(kinds.map(kind => `li[data-kind=${kind}]`).join(', ')).first()
      await row.waitFor({ timeout: SHOWN_WITHIN_MS })
      const text = (selector: string): Promise<string> => row.locator(selector).innerText()
      return {
        subject: await text('h3'),
        cause: await text('.cause'),
        next: await text('.next'),
        see: await text('.see')
      }
    },
    close: () => page.close()
  }
}

const watchJson = (url: string): Watch => ({
  row: async (...kinds) => {
    const until = performance.now() + SHOWN_WITHIN_MS
    for (;;) {
      const status = (await (await fetch(`${url}/status.json`)).json()) as Status
      const row = status.trouble.find(({ kind }) => kinds.includes(kind))
      if (row !== undefined) return row
      if (performance.now() > until) throw new Error(`no trouble of ${kinds}: ${JSON.stringify(status.trouble)}`)
      await sleep(100)
    }
  },
  close: async () => undefined
})

describe('twelve kinds of trouble are shown, each with cause and next step', function () {
  this.timeout(240_000)
  let browser: Browser | undefined
  let cluster: EmbeddedCluster
  let app: App | undefined
  let watch: Watch
  let folder: string
  /** Ends what a test has begun. */
  let ends: (() => unknown)[]
  before(async () => {
    if (isBrowserInstalled()) browser = await startBrowser()
  })
  after(() => browser?.close())
  beforeEach(async () => {
    ends = []
    folder = mkdtempSync(join(tmpdir(), 'castellan-trouble-'))
    cluster = await startEmbeddedCluster({ nodes: 3 })
  })
  afterEach(async () => {
    for (const end of ends) await end()
    await watch?.close()
    await app?.stop({ isBroken: true })
    app = undefined
    await cluster.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const watchAt = (url: string): Promise<Watch> =>
    browser === undefined ? Promise.resolve(watchJson(url)) : watchPage(browser, url)

  async function start(settings: Readonly<Record<string, string>> = {}): Promise<App> {
    app = await startTestApp(cluster.bootstrap, { 'wal.directory': join(folder, 'wal'), ...settings })
    watch = await watchAt(app.urls.management!)
    return app
  }

  const push = async (url: string, topic: string, data = 'x'): Promise<number> => {
    const answer = await fetch(`${url}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records: Array.from({ length: 10 }, (_, key) => ({ topic, key: `${key}`, data })) })
    })
    await answer.arrayBuffer()
    return answer.status
  }
  /** Clients that go on sending until the test ends. */
  function keepPushing(url: string, topic: string, data?: string): void {
    let isOver = false
    const pushing = (async () => {
      while (!isOver) {
        await push(url, topic, data).catch(() => undefined)
        await sleep(20)
      }
    })()
    ends.push(() => {
      isOver = true
      return pushing
    })
  }
  const failProduce = (topic: string, errorCode: number): void => {
    const fault = cluster.faults.add({ api: 'Produce', topic, count: FOREVER }, { type: 'error', errorCode })
    ends.push(() => fault.remove())
  }

  it('a broker is gone', async () => {
    cluster.createTopic('orders', { partitions: 3, replicationFactor: 3 })
    const { urls } = await start()
    keepPushing(urls.shared, 'orders')
    await cluster.stopNode(2)
    const row = await watch.row('brokerDown', 'brokerGone')
    expect(row.subject).to.match(/^broker 2 \(127\.0\.0\.1:\d+\)$/)
    expect(row.cause).to.match(/^(It has not answered for|Kafka has not named it for) /)
    expect(row.next).to.include('Start the broker')
    expect(row.see).to.match(/^docs\/status\.md#broker(down|gone)$/)
  })

  it('no broker answers at all', async () => {
    cluster.createTopic('orders')
    const { urls } = await start()
    keepPushing(urls.shared, 'orders')
    for (const { nodeId } of cluster.nodes) await cluster.stopNode(nodeId)
    const row = await watch.row('brokersAway')
    expect(row.cause).to.match(/^No broker answers: .*refused/)
    expect(row.see).to.equal('clusters.default.brokers')
  })

  it('a partition has no leader', async () => {
    cluster.createTopic('orders', { partitions: 1, replicationFactor: 1 })
    const { urls } = await start()
    await push(urls.shared, 'orders')
    keepPushing(urls.shared, 'orders')
    await cluster.stopNode(cluster.leaderOf('orders', 0))
    const row = await watch.row('noLeader')
    expect(row.subject).to.equal('partition orders/0')
    expect(row.cause)
      .to.include('The partition has no leader')
      .and.match(/Records that wait: [\d ]+ in memory/)
    expect(row.next).to.include('kafka-topics --describe --topic orders')
    expect(row.see).to.equal('delivery.timeoutMs')
  })

  it('the gateway is not authorised', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    failProduce('orders', errorCodes.TOPIC_AUTHORIZATION_FAILED)
    const { urls } = await start()
    await push(urls.shared, 'orders')
    const row = await watch.row('notAuthorized')
    expect(row.subject).to.equal('topic orders')
    expect(row.cause).to.include('TOPIC_AUTHORIZATION_FAILED')
    expect(row.next).to.include('Describe and Write on topic orders')
    expect(row.see).to.equal('clusters.default.sasl')
  })

  it('accepted records are being lost', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    failProduce('orders', errorCodes.TOPIC_AUTHORIZATION_FAILED)
    const { urls } = await start()
    keepPushing(urls.shared, 'orders')
    const row = await watch.row('recordsLost')
    expect(row.subject).to.equal('accepted records of topic orders')
    expect(row.cause)
      .to.match(/^Accepted records are being lost: [\d .]+ per second, [\d ]+ records since \d\d:\d\d:\d\d UTC/)
      .and.include('API kprf had told their senders that they were accepted. Reason: TOPIC_AUTHORIZATION_FAILED')
    expect(row.see).to.equal('docs/metrics.md#records-that-are-lost')
  })

  it('the durable log is full', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    failProduce('orders', errorCodes.NOT_ENOUGH_REPLICAS)
    const { urls } = await start({
      'apis.kprf.durability': 'disk',
      'wal.maxBytes': '1048576',
      'wal.minFreeBytes': '0',
      'advanced.wal.segmentBytes': '262144'
    })
    keepPushing(urls.shared, 'orders', 'x'.repeat(20_000))
    const row = await watch.row('logFull')
    expect(row.subject).to.equal('durable log')
    expect(row.cause).to.match(/^\d+ % of it are in use/)
    expect(row.cause).to.include('Kafka does not take the records of topic orders')
    expect(row.next).to.include('wal.maxBytes').and.include('Mend topic orders first')
    expect(row.see).to.equal('wal.maxBytes')
  })

  it('the memory is full', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    failProduce('orders', errorCodes.NOT_ENOUGH_REPLICAS)
    const { urls } = await start({ 'delivery.maxBytes': '300000', 'http.admissionWaitMs': '100' })
    keepPushing(urls.shared, 'orders', 'x'.repeat(5_000))
    const row = await watch.row('memoryFull')
    expect(row.subject).to.equal('memory for records')
    expect(row.cause).to.match(/^\d+ % of delivery\.maxBytes are in use: .* wait for Kafka/)
    expect(row.next).to.include('raise delivery.maxBytes')
    expect(row.see).to.equal('delivery.maxBytes')
  })

  it('a quota is reached', async () => {
    cluster.createTopic('orders')
    const { urls } = await start({ 'quotas.perPrincipal.recordsPerSecond': '1' })
    let status = 0
    while (status !== 429) status = await push(urls.shared, 'orders')
    const row = await watch.row('quotaReached')
    expect(row.subject).to.equal('quotas')
    expect(row.cause).to.include('of the principal anonymous is used up').and.include('429')
    expect(row.next).to.include('Raise the quota')
    expect(row.see).to.equal('quotas')
  })

  it('a group lags', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    const castellan = await startCastellan(cluster.bootstrap)
    ends.push(() => castellan.close())
    await castellan.produce(
      Array.from({ length: 2_000 }, () => ({ topic: 'orders', partition: 0, key: null, value: 'x' }))
    )
    await castellan.verbs.groups.commit('billing', 'orders', new Map([[0, { offset: 500 }]]), 10_000)
    await start({ 'metrics.lag.everyMs': '1000', 'metrics.lag.groups': 'billing' })
    const row = await watch.row('groupLags')
    expect(row.subject).to.equal('group billing in topic orders')
    expect(row.cause).to.match(/^It is 1 500 records behind, as of \d\d:\d\d:\d\d UTC\.$/)
    expect(row.next).to.include('acknowledge what they read')
    expect(row.see).to.equal('docs/metrics.md#lag-of-consumer-groups')
  })

  it('a certificate ends', async () => {
    const authority = new TestAuthority()
    const { cert, key } = authority.issue({
      commonName: 'gateway.example.com',
      alternativeNames: ['DNS:localhost'],
      notAfter: new Date(Date.now() + 2.5 * DAY_MS)
    })
    writeFileSync(join(folder, 'cert.pem'), cert)
    writeFileSync(join(folder, 'key.pem'), key)
    await start({ 'http.tls.certFile': join(folder, 'cert.pem'), 'http.tls.keyFile': join(folder, 'key.pem') })
    const row = await watch.row('certificateEnds')
    expect(row.subject).to.equal('certificate of http.tls')
    expect(row.cause).to.match(/^The certificate of CN=gateway\.example\.com ends in 2\.\d d, on \d{4}-\d\d-\d\d\.$/)
    expect(row.next).to.include('http.tls.certFile')
    expect(row.see).to.equal('http.tls.certFile')
  })

  it('the event loop is late', async () => {
    cluster.createTopic('orders')
    const { urls } = await start({ 'advanced.http.maxEventLoopDelayMs': '20' })
    keepPushing(urls.shared, 'orders')
    let isOver = false
    // Each tick ends 80 ms after the one before, with all work in it: the gateway measures every 100 ms, and ticks of
    // just that length would be in time for it.
    let until = performance.now()
    const blockEachTick = (): void => {
      until = Math.max(until + 80, performance.now())
      while (performance.now() < until);
      if (!isOver) setImmediate(blockEachTick)
    }
    setImmediate(blockEachTick)
    ends.push(() => {
      isOver = true
    })
    const row = await watch.row('eventLoopLate')
    expect(row.subject).to.equal('this process')
    expect(row.cause).to.match(/^Its event loop is late by \d+ ms and was busy for \d+ % of the time\./)
    expect(row.next).to.include('another gateway')
  })
})
