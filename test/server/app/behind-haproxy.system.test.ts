import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { FrontProxy, isInstalled, type ProxyKind, proxyKinds } from '../../http/engine/proxies.js'
import { startTestApp } from '../../support/app-under-test.js'
import { askRaw } from '../../support/raw-socket.js'

const installed = proxyKinds.find(({ name }) => name === 'haproxy')!

/** @param checks the port that is asked */
const asking = (checks: number): ProxyKind => ({
  ...installed,
  config: (folder, { host }) => `
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen castellan
  bind ${folder}/front
  option httpchk GET /ready
  server one ${host} check port ${checks} inter 100ms fall 1 rise 1
`
})

describe('behind HAProxy, which asks /ready as docs/operations.md says', () => {
  let cluster: EmbeddedCluster
  let app: App
  let checks: Server
  let proxy: FrontProxy
  before(function () {
    if (!isInstalled(installed)) this.skip()
  })
  beforeEach(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    // Passes the checks on, so that the test sees them.
    checks = createServer(async ({ url }, response) => {
      const { status } = await fetch(`${app.urls.management}${url}`)
      response.writeHead(status).end()
    })
    await once(checks.listen(0, '127.0.0.1'), 'listening')
  })
  afterEach(async () => {
    await proxy.stop()
    checks.close()
    await app.stop()
    await cluster.close()
  })

  const start = async (settings: Record<string, string>): Promise<void> => {
    app = await startTestApp(cluster.bootstrap, settings)
    proxy = await FrontProxy.start(asking((checks.address() as AddressInfo).port), new URL(app.urls.shared))
    while ((await post('sync')) !== '201') await new Promise(setImmediate)
  }
  const post = async (mode: 'sync' | 'async'): Promise<string> => {
    const head = 'Host: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\n'
    const answer = await askRaw(proxy.url, `POST /arion/${mode}/orders HTTP/1.1\r\n${head}hello`)
    return answer.split(' ')[1] ?? ''
  }
  /** Resolves when HAProxy acts upon it. */
  const loseKafka = async (): Promise<void> => {
    await cluster.stopNode(1)
    while ((await fetch(`${app.urls.management}/ready/kafka`)).status === 200) await new Promise(setImmediate)
    for (let answered = 0; answered < 3; answered++) await once(checks, 'request')
  }

  it('a gateway with a durable route takes records while Kafka is away, and delivers them later', async () => {
    await start({})
    await loseKafka()
    expect(await post('async')).to.equal('202')
    await cluster.startNode(1)
    while (cluster.highWatermark('orders', 0) < 2) await new Promise(setImmediate)
  })

  it('a gateway whose routes keep records in memory gets no requests while Kafka is away', async () => {
    await start({ 'apis.arion.durability': 'memory' })
    await loseKafka()
    expect(await post('async')).to.equal('503')
  })
})
