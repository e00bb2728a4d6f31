import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import { webhooksOperations } from '../../../src/server/webhooks/routes.js'
import { newSecret } from '../../../src/webhooks/endpoint/signature.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { configOf, makeToken, TestFolder } from '../../support/access.js'
import { logWorker } from '../../support/built.js'
import { DescribedAnswers } from '../../support/described-answers.js'

const ERRORS = { type: 'object', required: ['type', 'title', 'status', 'code', 'retriable'] }
const described = new DescribedAnswers('webhooks', webhooksOperations, [], ERRORS)

/** An endpoint whose answers the test chooses. */
class TestEndpoint {
  status = 204
  readonly seen: { readonly id: string; readonly body: string }[] = []
  readonly #server: Server
  #seenAll: () => void = () => undefined

  private constructor() {
    this.#server = createServer((request, response) => {
      const parts: Buffer[] = []
      request.on('data', part => parts.push(part))
      request.on('end', () => {
        this.seen.push({ id: String(request.headers['webhook-id']), body: Buffer.concat(parts).toString() })
        response.writeHead(this.status).end()
        this.#seenAll()
      })
    })
  }

  static async open(): Promise<TestEndpoint> {
    const endpoint = new TestEndpoint()
    await new Promise<void>(resolve => endpoint.#server.listen(0, '127.0.0.1', resolve))
    return endpoint
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Resolves when so many requests have come. */
  async requests(count: number): Promise<void> {
    while (this.seen.length < count)
      await new Promise<void>(resolve => {
        this.#seenAll = resolve
      })
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

interface Answered {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests compare it
  readonly json: any
  readonly text: string
}

describe('the routes about webhooks', function () {
  this.timeout(60_000)
  let folder: TestFolder
  let cluster: EmbeddedCluster
  let endpoint: TestEndpoint
  let app: App
  const lines: LogLine[] = []
  const PATH = '/hooks/geheim-im-pfad'
  const secret = newSecret()

  const settings = (more: object = {}, definition: object = {}) => ({
    clusters: { default: { brokers: [cluster.bootstrap] } },
    http: { port: 0 },
    management: { port: 0 },
    webhooks: {
      networks: ['127.0.0.0/8'],
      definitions: {
        orders: {
          topic: 'orders',
          url: endpoint.url + PATH,
          start: 'earliest',
          secretFile: folder.write('orders.secret', secret),
          ...definition
        }
      }
    },
    ...more
  })
  const start = async (more?: object, definition?: object): Promise<App> =>
    startApp(configOf(folder, settings(more, definition)), { log: recordingLogger(lines), version: '1.2.3', logWorker })
  const ask = async (method: string, path: string, given: RequestInit = {}): Promise<Answered> => {
    const answer = await fetch(app.urls.shared + path, { method, ...given })
    const text = await answer.text()
    const { status, headers } = answer
    const type = headers.get('content-type') ?? undefined
    const persisted = headers.get('x-castellan-persisted') ?? undefined
    if (path.startsWith('/webhooks'))
      described.check({ method, path: path.slice('/webhooks'.length) || '/', status, type, persisted, body: text })
    return { status, text, json: text === '' ? undefined : JSON.parse(text) }
  }
  const asToken = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
  const produce = async (value: string, key = 'k', more: Readonly<Record<string, string>> = {}): Promise<void> => {
    const headers = { 'content-type': 'application/json', ...more }
    const body = JSON.stringify({ records: [{ topic: 'orders', key, data: value }], wait_for_send: true })
    await fetch(`${app.urls.shared}/kprf/push`, { method: 'POST', headers, body })
  }
  /** Asks until the webhook is as the test wants it. */
  const until = async (isSo: (gateway: Answered['json']) => boolean): Promise<Answered['json']> => {
    for (;;) {
      const { json } = await ask('GET', '/webhooks/orders')
      if (isSo(json.gateways[0])) return json
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  beforeEach(async () => {
    folder = new TestFolder()
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    endpoint = await TestEndpoint.open()
    lines.length = 0
  })
  afterEach(async () => {
    await app.stop()
    endpoint.close()
    await cluster.close()
    folder.remove()
  })

  it('list and describe a webhook with its last attempts, and show the origin of its url only', async () => {
    app = await start()
    await produce('hello')
    await endpoint.requests(1)
    const described = await until(({ attempts }) => attempts.length > 0)
    const { name, topic, group, url, lag, gateways, silent } = described
    expect([name, topic, group, url, silent]).to.deep.equal([
      'orders',
      'orders',
      'castellan-webhook-orders',
      endpoint.url,
      []
    ])
    expect(lag === 0 || lag === 1, lag).to.equal(true)
    const [{ gateway, state, attempts }] = gateways
    expect([gateway, state, attempts[0].answer, attempts[0].id]).to.deep.equal([
      'this',
      'running',
      204,
      endpoint.seen[0]!.id
    ])
    const list = await ask('GET', '/webhooks')
    expect(list.json.webhooks.map((one: { name: string }) => one.name)).to.deep.equal(['orders'])
    const status = await (await fetch(`${app.urls.management}/status.json`)).text()
    const metrics = await (await fetch(`${app.urls.management}/metrics`)).text()
    expect(metrics).to.contain('castellan_webhook_requests_total{webhook="orders",result="2xx"} 1')
    const told = [list.text, JSON.stringify(described), status, metrics, JSON.stringify(lines)]
    for (const text of told) for (const hidden of ['geheim-im-pfad', secret]) expect(text).not.to.contain(hidden)
  })

  it('skip an open record, and say that no gateway has one that is done', async () => {
    app = await start()
    endpoint.status = 500
    await produce('stuck')
    const { gateways } = await until(({ partitions }) => partitions[0]?.oldest != null)
    const { oldest } = gateways[0].partitions[0]
    expect([oldest.offset, oldest.key]).to.deep.equal([0, Buffer.from('k').toString('base64')])
    const body = JSON.stringify({ partition: 0, offset: 0 })
    expect((await ask('POST', '/webhooks/orders/skip', { body })).json).to.deep.equal({ skipped: true })
    expect(lines.some(({ message }) => message === 'a record of webhook orders was skipped by a client')).to.equal(true)
    endpoint.status = 204
    await produce('next')
    await until(({ attempts }) => attempts[0]?.offset === 1 && attempts[0].answer === 204)
    const again = await ask('POST', '/webhooks/orders/skip', { body })
    expect([again.status, again.json.silent]).to.deep.equal([409, []])
  })

  it('refuse a body that names no record, or is too large', async () => {
    app = await start()
    const bodies = ['', 'x', '{}', '[]', '{"partition":-1,"offset":0}', '{"partition":0,"offset":"0"}', 'null']
    for (const body of bodies) expect((await ask('POST', '/webhooks/orders/skip', { body })).status, body).to.equal(400)
    expect((await ask('POST', '/webhooks/orders/skip', { body: ' '.repeat(1_025) })).status).to.equal(413)
  })

  it('test an endpoint, once a second at most', async () => {
    app = await start()
    endpoint.status = 418
    const { json } = await ask('POST', '/webhooks/orders/test')
    expect([json.status, json.id]).to.deep.equal([418, endpoint.seen[0]!.id])
    expect(json.id).to.match(/^test-/)
    const soon = await fetch(`${app.urls.shared}/webhooks/orders/test`, { method: 'POST' })
    expect([soon.status, soon.headers.get('retry-after')]).to.deep.equal([429, '1'])
    endpoint.close()
  })

  it('resume a webhook that is gone after a 410, and say whether it was', async () => {
    app = await start()
    endpoint.status = 410
    await produce('hello')
    await until(({ state }) => state === 'gone')
    endpoint.status = 204
    expect((await ask('POST', '/webhooks/orders/resume')).json).to.deep.equal({ resumed: true, silent: [] })
    await until(({ state, open }) => state === 'running' && open === 0)
    expect((await ask('POST', '/webhooks/orders/resume')).json).to.deep.equal({ resumed: false, silent: [] })
  })

  it('are for the machine of the gateway only, where nothing says who may use them, and not through a proxy', async () => {
    app = await start()
    const proxied = { headers: { 'x-forwarded-for': '192.0.2.1' } }
    const routes = ['GET ', 'GET /orders', 'POST /orders/skip', 'POST /orders/test', 'POST /orders/resume', 'GET /none']
    for (const route of routes) {
      const [method, path] = route.split(' ') as [string, string]
      expect((await ask(method, `/webhooks${path}`, proxied)).status, route).to.equal(403)
    }
    expect(endpoint.seen).to.deep.equal([])
    expect((await ask('GET', '/webhooks/none')).status).to.equal(404)
  })

  it('ask for offsets to look, and for consume to change something or to see a key', async () => {
    const [looks, consumes, other] = [makeToken(), makeToken(), makeToken()]
    const principals = ['looks', 'consumes', 'other'] as const
    const tokens = [looks, consumes, other].map(({ sha256 }, at) => ({ principal: principals[at]!, sha256 }))
    const of = { topics: ['orders'], groups: ['castellan-webhook-orders'] }
    const elsewhere = { topics: ['else'], groups: ['castellan-webhook-else'] }
    app = await start({
      auth: { tokens },
      access: {
        rules: [
          { principals: ['looks'], operations: ['offsets'], ...of },
          { principals: ['consumes'], operations: ['offsets', 'consume'], ...of },
          { principals: ['consumes'], operations: ['produce'], topics: ['orders'] },
          { principals: ['other'], operations: ['offsets', 'consume'], ...elsewhere }
        ]
      }
    })
    endpoint.status = 500
    await produce('hello', 'k', asToken(consumes.token).headers)
    for (let isOpen = false; !isOpen; await new Promise(resolve => setTimeout(resolve, 20))) {
      const { json } = await ask('GET', '/webhooks/orders', asToken(consumes.token))
      isOpen = json.gateways[0].open === 1 && json.gateways[0].partitions[0].oldest.key === 'aw=='
    }
    const seen = (await ask('GET', '/webhooks/orders', asToken(looks.token))).json.gateways[0].partitions[0].oldest
    expect([seen.offset, 'key' in seen]).to.deep.equal([0, false])
    const statusOf = async (token: string, method: string, path: string, body?: string): Promise<number> =>
      (await ask(method, `/webhooks${path}`, { ...asToken(token), ...(body !== undefined && { body }) })).status
    expect((await ask('GET', '/webhooks')).status).to.equal(401)
    const record = '{"partition":0,"offset":0}'
    const all = async (token: string): Promise<number[]> => [
      await statusOf(token, 'GET', '/orders'),
      await statusOf(token, 'POST', '/orders/skip', record),
      await statusOf(token, 'POST', '/orders/test'),
      await statusOf(token, 'POST', '/orders/resume'),
      await statusOf(token, 'GET', '/none')
    ]
    expect(await all(looks.token)).to.deep.equal([200, 403, 403, 403, 403])
    expect(await all(consumes.token)).to.deep.equal([200, 200, 200, 200, 403])
    expect(await all(other.token)).to.deep.equal([403, 403, 403, 403, 403])
    const asks = ['GET ', 'POST /test', 'POST /resume', ...['', '{', record].map(body => `POST /skip ${body}`)]
    const toldOf = async (name: string): Promise<readonly string[]> => {
      const told: string[] = []
      for (const one of asks) {
        const [method, path, body] = one.split(' ') as [string, string, string | undefined]
        const given = { ...asToken(other.token), ...(body !== undefined && { body }) }
        const { status, json } = await ask(method, `/webhooks/${name}${path}`, given)
        told.push(`${one}: ${status} ${json.detail.replaceAll(name, 'NAME')}`)
      }
      return told
    }
    expect(await toldOf('orders'), 'not whether there is one, nor its topic').to.deep.equal(await toldOf('none'))
    const listed = async (token: string): Promise<number> =>
      (await ask('GET', '/webhooks', asToken(token))).json.webhooks.length
    expect([await listed(looks.token), await listed(other.token)]).to.deep.equal([1, 0])
  })

  it('tell that the gateway, its management port, gRPC and brokers are never called, whatever networks are named', async () => {
    const grpcPort = await freePort()
    const apis = { 'kafka-pixy': { grpcPort } }
    app = await start({ apis })
    const { webhooks } = settings()
    const places = {
      shared: app.urls.shared,
      management: app.urls.management!,
      grpc: `http://127.0.0.1:${grpcPort}`,
      broker: `http://${cluster.bootstrap}`,
      other: `http://127.0.0.2:${new URL(app.urls.shared).port}`
    }
    const definitions = Object.entries(places).map(([name, url]) => [name, { ...orders(webhooks).orders, url }])
    const next = { ...webhooks, definitions: Object.fromEntries(definitions) }
    await app.reload(configOf(folder, settings({ apis, webhooks: next })))
    const causes = await Promise.all(
      Object.keys(places).map(async name => [name, (await ask('POST', `/webhooks/${name}/test`)).json.cause])
    )
    expect(Object.fromEntries(causes)).to.deep.equal({
      shared: 'address',
      management: 'address',
      grpc: 'address',
      broker: 'address',
      // Nothing listens there.
      other: 'refused'
    })
  })

  it('know webhooks that were defined since the start, after a reload', async () => {
    app = await start()
    const { webhooks } = settings()
    const more = { ...orders(webhooks), bills: { ...orders(webhooks).orders, topic: 'bills' } }
    await app.reload(configOf(folder, settings({ webhooks: { ...webhooks, definitions: more } })))
    const names = (await ask('GET', '/webhooks')).json.webhooks.map((one: { name: string }) => one.name)
    expect(names).to.deep.equal(['orders', 'bills'])
    await app.reload(configOf(folder, settings({ webhooks: { ...webhooks, definitions: {} } })))
    expect((await ask('GET', '/webhooks')).json.webhooks).to.deep.equal([])
  })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

const orders = ({ definitions }: { readonly definitions: { readonly orders: object } }) => definitions
