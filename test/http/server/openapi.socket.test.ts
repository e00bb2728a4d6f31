import { request } from 'node:http'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'chai'
import fastify from 'fastify'
import { type Document, OpenAPIClientAxios } from 'openapi-client-axios'
import { apis } from '../../../src/apis/apis.js'
import { cloudeventsOperations } from '../../../src/apis/cloudevents/routes.js'
import { v3AdminRoutes } from '../../../src/apis/confluent/operations.js'
import { consumerRoutes } from '../../../src/apis/confluent/v2/consumer-routes.js'
import { queuesOperations } from '../../../src/apis/queues/routes.js'
import { strimziOperations } from '../../../src/apis/strimzi/operations.js'
import type { Operation } from '../../../src/http/openapi/operation.js'
import {
  type App,
  type EmbeddedCluster,
  loadConfig,
  silentLogger,
  startApp,
  startEmbeddedCluster
} from '../../../src/index.js'
import { webhooksOperations } from '../../../src/server/webhooks/routes.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { walDirectoryOf } from '../../support/wal-directory.js'

interface Described {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>
}
interface DescribedOperation {
  readonly operationId: string
  readonly parameters?: readonly { readonly name: string; readonly schema: object }[]
  readonly responses: Responses
}
interface DescribedAnswer {
  readonly content?: Readonly<Record<string, { readonly schema: object }>>
  readonly headers?: Readonly<Record<string, unknown>>
}
type Responses = Readonly<Record<string, DescribedAnswer>>

/** The document with its components in place of their references, and with `null` as JSON Schema writes it. */
function resolved(document: unknown): Described {
  const { components } = document as { components: Record<string, Record<string, unknown>> }
  const resolve = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(resolve)
    if (typeof value !== 'object' || value === null) return value
    const { $ref, nullable, allOf } = value as Record<string, unknown>
    const [, , kind, name] = String($ref ?? '').split('/')
    if (name !== undefined) return resolve(components[kind!]![name])
    if (nullable === true && Array.isArray(allOf)) return { anyOf: [...allOf.map(resolve), { type: 'null' }] }
    const members = Object.entries(value).map(([key, one]) => [key, resolve(one)])
    return Object.fromEntries(members)
  }
  return resolve(document) as Described
}

/** Headers that Castellan has of its own, or that belong to keys and receipts. */
const ownHeaders = (names: Iterable<string>): string[] =>
  [...names].filter(name => /^(?:x-castellan-.*|idempotent-replayed|location|preference-applied)$/.test(name))

/** Values for parameters, and bodies by the end of the operation's id. */
const parameters = {
  topic: 'orders',
  key: 'k1',
  cluster: 'default',
  group: 'readers',
  partition: 0,
  offset: 0,
  topic_name: 'orders',
  cluster_id: 'c1'
}
const idsOf = (api: string, ids: readonly string[]): string[] =>
  ids.map(id => `${api}${id[0]!.toUpperCase()}${id.slice(1)}`)
/**
 * Operations whose answers the tests of Confluent's and Strimzi's API and of CloudEvents in `test/runs/integration`, those of
 * queues in `test/apis/queues`, and those of webhooks in `test/server/webhooks`, compare with their descriptions.
 */
const ofCluster: ReadonlySet<string> = new Set([
  ...idsOf('confluent', Object.keys({ ...v3AdminRoutes, ...consumerRoutes })),
  ...idsOf(
    'strimzi',
    strimziOperations.map(({ id }) => id)
  ),
  ...idsOf(
    'cloudevents',
    cloudeventsOperations.map(({ id }) => id)
  ),
  ...idsOf(
    'queues',
    queuesOperations.map(({ id }) => id)
  ),
  ...idsOf(
    'webhooks',
    webhooksOperations.map(({ id }) => id)
  )
])
const bodyOf = (id: string): unknown => {
  if (id === 'castellanFindRecord') return { by: 'key', topic: 'orders', key: 'k' }
  if (id === 'mcpMessage') return { jsonrpc: '2.0', id: 1, method: 'tools/list' }
  if (id === 'kprfPush') return { records: [{ topic: 'orders', data: 'hello' }], wait_for_send: true }
  if (id.startsWith('kafkaPixyWriteOffsets')) return [{ partition: 0, offset: 0 }]
  if (id === 'confluentProduceBatch') return { entries: [{ id: '1' }] }
  if (id === 'confluentProduceRecords') return '{"value":{"type":"JSON","data":1}}'
  if (id.startsWith('confluentProduce')) return { records: [{ value: { hello: 1 } }] }
  return id.startsWith('kafboy') ? 'hello=world' : 'hello'
}
/** Servers of the agents' protocol may refuse those that do not name both. */
const AGENTS = 'application/json, text/event-stream'
const FORM = 'application/x-www-form-urlencoded'
const typeOf = (id: string): string => {
  if (/^(kprf|kafkaPixyWriteOffsets|castellan|mcp)/.test(id)) return 'application/json'
  if (id === 'confluentProduceRecords' || id === 'confluentProduceBatch') return 'application/json'
  if (id.startsWith('confluentProduce')) return 'application/vnd.kafka.json.v2+json'
  return id.startsWith('kafboy') ? FORM : 'text/plain'
}

/** Words that a path of any API may have. */
const commonWords = [
  'health-check',
  'metrics',
  'stats',
  'info',
  'status',
  'ping',
  '_ping',
  'ready',
  'safe',
  'acks',
  'x'
]

/** All paths of up to three words: those that are described, and common ones. */
function pathsOf(operations: readonly Operation[]): string[] {
  const own = operations.flatMap(({ path }) => path.split('/').map(word => word.replace(/^\{.*/, 'x')))
  const words = [...new Set([...own.filter(word => word !== ''), ...commonWords])]
  const longer = (paths: string[]): string[] => paths.flatMap(path => words.map(word => `${path}/${word}`))
  const one = longer([''])
  const two = longer(one)
  return [...one, ...two, ...longer(two.filter(path => operations.some(({ path: own }) => startsLike(own, path))))]
}

/** `/topics/{topic}/messages` begins like `/topics/x`. */
const startsLike = (template: string, path: string): boolean => {
  const segments = template.split('/')
  return path.split('/').every((word, at) => segments[at] === word || segments[at]?.startsWith('{'))
}

/** Paths without a prefix on the shared port, and on the port of each API. */
const ofEachPort: ReadonlySet<string> = new Set(['/openapi.json', '/receipts/{id}'])

/** What a generated client cannot speak. */
const isWebsocket = (id: string): boolean => id.includes('ebsocket')
/** An answer without an end, which such a client would wait for. */
const EVENTS = 'text/event-stream'

describe('kafboy 4: /openapi.json', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let app: App
  const served = new Map<string, Described>()
  const documents = new Map<string, Described>()

  before(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    const environment: Record<string, string> = {
      CASTELLAN_BROKERS: cluster.bootstrap,
      CASTELLAN_HTTP_PORT: '0',
      CASTELLAN_MANAGEMENT_PORT: '0',
      CASTELLAN_WAL_DIRECTORY: walDirectoryOf('apps'),
      CASTELLAN_CONSUMER_START: 'earliest',
      CASTELLAN_CONSUMER_LONG_POLL_MS: '20000',
      CASTELLAN_SHUTDOWN_GRACE_MS: '200'
    }
    const flags = apis.flatMap(({ name }) => [
      { flag: '--set', path: ['apis', name, 'enabled'], value: true },
      { flag: '--set', path: ['apis', name, 'port'], value: '0' }
    ])
    flags.push({ flag: '--set', path: ['apis', 'kprf', 'metricsPort'], value: '0' })
    // The event loop of a test is late on a busy machine, and refuses nothing for that.
    flags.push({ flag: '--set', path: ['advanced', 'http', 'maxEventLoopDelayMs'], value: '0' })
    app = await startApp(loadConfig({ environment, flags }), { log: silentLogger, version: '1.2.3' })
    const { shared, management, apis: own } = app.urls
    for (const url of [shared, management!, ...own.values()]) {
      const document = (await (await fetch(`${url}/openapi.json`)).json()) as Described
      served.set(url, document)
      documents.set(url, resolved(document))
    }
  })
  after(async () => {
    await app.stop()
    await cluster.close()
  })

  const operationsOf = ({ paths }: Described) =>
    Object.entries(paths).flatMap(([path, methods]) =>
      Object.values(methods).map(({ operationId, responses }) => ({ path, id: operationId, responses }))
    )

  it('is a valid document on each port', async () => {
    // The shared port, the management port, the port of kprf's metrics, and one of each API.
    expect(served.size).to.equal(3 + apis.length)
    for (const [url, document] of served) {
      const { valid, errors } = await new Validator().validate(document as unknown as Record<string, unknown>)
      expect(errors, url).to.equal(undefined)
      expect(valid).to.equal(true)
      const ids = operationsOf(document).map(({ id }) => id)
      expect(new Set(ids).size).to.equal(ids.length)
    }
  })

  it('has the paths of each API with its prefix on the shared port, and without on its own', () => {
    const { shared, apis: own } = app.urls
    const prefixed = Object.keys(documents.get(shared)!.paths)
    for (const { name, prefix } of apis) {
      const all = Object.keys(documents.get(own.get(name)!)!.paths)
      const paths = all.filter(path => !ofEachPort.has(path))
      expect(paths).to.not.deep.equal([])
      expect(all).to.include.members([...ofEachPort])
      expect(prefixed).to.include.members(paths.map(path => `${prefix}${path}`))
    }
    expect(Object.keys(documents.get(app.urls.management!)!.paths)).to.have.members([
      '/',
      '/find-record',
      '/health-check',
      '/ready',
      '/ready/kafka',
      '/status.json',
      '/metrics',
      '/openapi.json'
    ])
  })

  it('describes the key, the wait for a receipt, and the early answer with a receipt', () => {
    const { paths } = documents.get(app.urls.shared)!
    const schemaOf = (path: string, method: string, name: string): unknown =>
      paths[path]![method]!.parameters!.find(parameter => parameter.name === name)?.schema
    expect(schemaOf('/arion/sync/{topic}', 'post', 'idempotency-key')).to.include({ minLength: 1, maxLength: 512 })
    expect(schemaOf('/receipts/{id}', 'get', 'wait')).to.include({ type: 'string', pattern: '^(\\d{1,6})(ms|s|m)?$' })
    const producing = Object.values(paths).flatMap(methods =>
      Object.values(methods).filter(({ responses }) => responses[202]?.headers?.location !== undefined)
    )
    expect(producing.length).to.be.above(10)
    for (const { operationId, responses } of producing) {
      const { schema } = responses[202]!.content!['application/json']!
      expect(JSON.stringify(schema), operationId).to.include('"required":["receipt"]')
    }
  })

  it('has the metrics alone on the port of kprf that serves nothing else, without a trace on other ports', () => {
    const metrics = app.urls.apis.get('kprf metrics')!
    expect(Object.keys(documents.get(metrics)!.paths)).to.have.members(['/metrics', '/openapi.json'])
    expect(Object.keys(documents.get(app.urls.shared)!.paths).filter(path => path.startsWith('/kprf'))).to.deep.equal([
      '/kprf/push'
    ])
  })

  for (const api of apis) {
    it(`describes every path that ${api.name} serves`, async () => {
      const settings = api.settings.parse({}) as never
      const bare = fastify()
      const addRoutes = await api.plugin(contextFor(new FakeVerbs(), settings) as never)
      await bare.register(async scope => addRoutes(scope))
      const operations = api.operations(settings)
      const described = operations.map(
        ({ method, path }) => new RegExp(`^${method} ${path.replace(/\{\w+\}/g, '[^/]+')}/?$`, 'i')
      )
      const endless = operations
        .filter(({ answers }) => answers[200]?.content?.[EVENTS] !== undefined)
        .map(({ path }) => new RegExp(`^GET ${path.replace(/\{\w+\}/g, '[^/]+')}$`))
      const undescribed = new Set<string>()
      for (const path of pathsOf(operations)) {
        for (const method of ['GET', 'POST'] as const) {
          if (endless.some(one => one.test(`${method} ${path}`))) continue
          const isKprf = api.name === 'kprf'
          const { statusCode } = await bare.inject({
            method,
            url: path,
            headers: { 'content-type': isKprf ? 'application/json' : FORM },
            ...(method === 'POST' && { payload: isKprf ? '{"records":[]}' : 'msg=a' })
          })
          const operation = `${method} ${path}`
          if (statusCode < 300 && !described.some(one => one.test(operation))) undescribed.add(operation)
        }
      }
      expect([...undescribed]).to.deep.equal([])
      await bare.close()
    })
  }

  async function expectEvents(url: string): Promise<void> {
    const abort = new AbortController()
    const { status, headers } = await fetch(url, { signal: abort.signal })
    abort.abort()
    expect([status, headers.get('content-type')?.split(';')[0]], url).to.deep.equal([200, EVENTS])
  }

  /** They need a webhook: test/server/webhooks/routes.socket.test.ts compares their answers with their descriptions. */
  const OF_WEBHOOK = /^webhooks(?!List$)/

  it('lets a generated client call every operation, and describes each answer', async () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false })
    const accepted = await fetch(`${app.urls.shared}/arion/async/orders`, { method: 'POST', body: 'hello' })
    const receipt = accepted.headers.get('x-castellan-receipt')
    for (const [url, document] of documents) {
      const generated = new OpenAPIClientAxios({
        definition: document as unknown as Document,
        axiosConfigDefaults: { baseURL: url, validateStatus: () => true }
      })
      const client = await generated.init()
      for (const { id, path, responses } of operationsOf(document).filter(
        ({ id }) => !isWebsocket(id) && !ofCluster.has(id) && !OF_WEBHOOK.test(id)
      )) {
        if (responses[200]?.content?.[EVENTS] !== undefined) {
          await expectEvents(url + path.replace('{topic}', 'orders').replace('{cluster}', 'default'))
          continue
        }
        // Offsets are set of groups that have no members.
        const group = id.startsWith('kafkaPixyWriteOffsets') ? 'writers' : parameters.group
        const { status, data, headers } = await client[id]!({ ...parameters, group, id: receipt! }, bodyOf(id), {
          headers: { 'content-type': typeOf(id), ...(id === 'mcpMessage' && { accept: AGENTS }) }
        })
        expect(status, `${url} ${id} ${JSON.stringify(data)}`).to.be.within(200, 207)
        expect(responses).to.have.property(String(status))
        expect(Object.keys(responses[status]!.headers!), id).to.include.members(ownHeaders(Object.keys(headers)))
        const [type] = String(headers['content-type']).split(';')
        const schema = responses[status]!.content![type!]?.schema
        expect(schema, `${id} ${type}`).to.not.equal(undefined)
        expect(ajv.validate(schema!, data), `${id}: ${ajv.errorsText()} ${JSON.stringify(data)}`).to.equal(true)
      }
    }
  })

  it('describes the headers of keys, of receipts and of answers that do not wait', async () => {
    const { shared } = app.urls
    const { responses } = documents.get(shared)!.paths['/arion/sync/{topic}']!.post!
    const ask = (further: Record<string, string>): Promise<Response> =>
      fetch(`${shared}/arion/sync/orders`, { method: 'POST', body: 'once', headers: further })
    const answers = [await ask({ 'idempotency-key': 'k1' }), await ask({ 'idempotency-key': 'k1' })]
    // While Kafka answers nothing, so that its answer cannot come first.
    const away = cluster.faults.add({ api: 'Produce' }, { type: 'dropRequest' })
    try {
      answers.push(await ask({ prefer: 'respond-async' }))
    } finally {
      away.remove()
    }
    const seen = answers.map(({ status, headers }) => {
      const names = ownHeaders(headers.keys())
      expect(Object.keys(responses[status]!.headers!)).to.include.members(names)
      return [status, ...names.sort()]
    })
    const usual = ['x-castellan-idempotency', 'x-castellan-persisted', 'x-castellan-receipt']
    expect(seen).to.deep.equal([
      [201, ...usual],
      [201, 'idempotent-replayed', ...usual],
      [202, 'location', 'preference-applied', 'x-castellan-persisted', 'x-castellan-receipt']
    ])
  })

  it('describes how a body is answered that has an unknown coding or is too large, also where no body is asked for', async () => {
    const { shared } = app.urls
    const statusOf = (url: string, method: string, headers: Record<string, string>): Promise<number> =>
      new Promise((resolve, reject) => {
        // `fetch` sends no body with a GET.
        const asked = request(url, { method, headers, agent: false }, answer => {
          asked.destroy()
          resolve(answer.statusCode!)
        })
        asked.once('error', reject).write('x')
      })
    const undescribed: string[] = []
    for (const [path, methods] of Object.entries(documents.get(shared)!.paths)) {
      const url = shared + path.replace('{cluster}', 'default').replace(/\{\w*(partition|broker)\w*\}/, '0')
      for (const [method, { responses }] of Object.entries(methods)) {
        for (const headers of [
          { 'content-encoding': 'unknown', 'content-length': '1' },
          { 'content-type': 'application/vnd.kafka.v2+json', 'content-length': '1000000000' }
        ]) {
          const status = await statusOf(url.replace(/\{\w+\}/g, 'orders'), method.toUpperCase(), headers)
          if (!(status in responses)) undescribed.push(`${method} ${path} ${status}`)
        }
      }
    }
    expect(undescribed).to.deep.equal([])
  })

  it('describes refusals as they are', async () => {
    const ajv = new Ajv2020({ strict: false, validateFormats: false })
    const { shared } = app.urls
    const { paths } = documents.get(shared)!
    const wrong: [string, string, string][] = [
      ['/kprf/push', '{', 'application/json'],
      ['/kprf/push', '{}', 'text/plain'],
      ['/kafboy/sync/{topic}', '', FORM],
      ['/arion/sync/{topic}', 'x'.repeat(1_100_000), 'text/plain']
    ]
    for (const [path, body, type] of wrong) {
      const url = shared + path.replace('{topic}', 'orders')
      const answer = await fetch(url, { method: 'POST', body, headers: { 'content-type': type } })
      const [answered] = (answer.headers.get('content-type') ?? '').split(';')
      const schema = paths[path]!.post!.responses[answer.status]!.content![answered!]!.schema
      const text = await answer.text()
      expect(ajv.validate(schema, answered === 'application/json' ? JSON.parse(text) : text), text).to.equal(true)
      expect(answer.status).to.be.within(400, 415)
    }
  })
})
