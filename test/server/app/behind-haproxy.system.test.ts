import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { FrontProxy, isInstalled, type ProxyKind, proxyKinds } from '../../http/engine/proxies.js'
import { askRaw } from '../../support/raw-socket.js'
import { onBroker } from '../../support/stage.js'

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
  const stage = onBroker(undefined, true)
  let app: App
  let checks: Server
  let proxy: FrontProxy
  before(function () {
    if (!isInstalled(installed)) this.skip()
  })
  beforeEach(async () => {
    stage.cluster.createTopic('orders', { partitions: 1 })
    // Passes the checks on, so that the test sees them.
    const server = createServer(async ({ url }, response) => {
      const { status } = await fetch(`${app.urls.management}${url}`)
      response.writeHead(status).end()
    })
    checks = stage.keep(server, one => one.close())
    await once(checks.listen(0, '127.0.0.1'), 'listening')
  })

  const start = async (settings: Record<string, string>): Promise<void> => {
    app = await stage.app(settings)
    const kind = asking((checks.address() as AddressInfo).port)
    proxy = stage.keep(await FrontProxy.start(kind, new URL(app.urls.shared)), one => one.stop())
    while ((await post('sync')) !== '201') await new Promise(setImmediate)
  }
  const post = async (mode: 'sync' | 'async'): Promise<string> => {
    const head = 'Host: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\n'
    const answer = await askRaw(proxy.url, `POST /arion/${mode}/orders HTTP/1.1\r\n${head}hello`)
    return answer.split(' ')[1] ?? ''
  }
  /** Resolves when HAProxy acts upon it. */
  const loseKafka = async (): Promise<void> => {
    await stage.cluster.stopNode(1)
    while ((await fetch(`${app.urls.management}/ready/kafka`)).status === 200) await new Promise(setImmediate)
    for (let answered = 0; answered < 3; answered++) await once(checks, 'request')
  }

  it('a gateway with a durable route takes records while Kafka is away, and delivers them later', async () => {
    await start({})
    await loseKafka()
    expect(await post('async')).to.equal('202')
    await stage.cluster.startNode(1)
    while (stage.cluster.highWatermark('orders', 0) < 2) await new Promise(setImmediate)
  })

  it('a gateway whose routes keep records in memory gets no requests while Kafka is away', async () => {
    await start({ 'apis.arion.durability': 'memory' })
    await loseKafka()
    expect(await post('async')).to.equal('503')
  })
})
