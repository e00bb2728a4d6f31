import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { OverloadedError } from '../../src/core/errors.js'
import { askedWaitOf } from '../../src/http/exchange/exchange.js'
import { addReceiptRoute } from '../../src/http/server/receipt-route.js'
import { VERB_FACTS } from '../../src/verbs/facts.js'
import type { ReceiptDesk } from '../../src/verbs/receipts.js'
import type { InstanceVerbs } from '../../src/verbs/verbs.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'
import { type Endpoint, endpoints, pathOf, withoutCluster } from './endpoints.js'

const WAIT_MS = 7_000
/** What `consumer.longPollMs` is here. */
const LONG_POLL_MS = 8_000
/** What an instance was created with. */
const INSTANCE_MS = 9_000

/** How a client says how long it waits. */
interface Asked {
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | (() => AsyncIterable<string>)
  /** Default: {@link WAIT_MS}. */
  readonly waitMs?: number
}

async function* records(): AsyncIterable<string> {
  yield '{"value":{"type":"STRING","data":"a"}}'
}

/** By endpoint: each of the ways to say it, or none. */
const ways: Readonly<Record<string, readonly Asked[]>> = {
  'kafka-pixy consumeMessage': [{ query: '?group=g', waitMs: LONG_POLL_MS }],
  'kafka-pixy tailTopic': [{ waitMs: Number.POSITIVE_INFINITY }],
  'confluent readRecords': [{ query: `?timeout=${WAIT_MS}` }, { waitMs: INSTANCE_MS }],
  'confluent produceRecords': [
    { headers: { prefer: `respond-async, wait=${WAIT_MS / 1_000}` }, body: '{}' },
    { headers: { 'content-type': 'application/json' }, body: records, waitMs: Number.POSITIVE_INFINITY }
  ],
  'strimzi poll': [{ query: `?timeout=${WAIT_MS}` }, { waitMs: 100 }],
  'cloudevents consume': [
    { query: `?group=g&timeout=${WAIT_MS}` },
    { query: '?group=g', waitMs: LONG_POLL_MS },
    { query: `?from=earliest&timeout=${WAIT_MS}` },
    { query: '?from=earliest', waitMs: 3_000 }
  ],
  'cloudevents tail': [{ waitMs: Number.POSITIVE_INFINITY }],
  'queues acquire': [{ body: `{"waitMs":${WAIT_MS}}` }, { waitMs: 20_000 }],
  // The request of a websocket ends with its upgrade.
  'arion websocket': [],
  'arion websocketWithKey': []
}
const preferred: readonly Asked[] = [{ headers: { prefer: `wait=${WAIT_MS / 1_000}, respond-async` }, body: 'x' }]

/** A gateway that answers each verb at once. */
class PromptVerbs extends FakeVerbs {
  override async follow(): Promise<never> {
    throw new OverloadedError('nobody follows this topic here')
  }

  override readonly instances = {
    read: async () => ({
      type: 'done',
      value: { records: [], format: 'binary', waitMs: INSTANCE_MS, settle: () => undefined }
    })
  } as unknown as InstanceVerbs
}

describe('requests of clients that wait', () => {
  let app: FastifyInstance
  let url: string
  let received: IncomingMessage[]
  afterEach(() => app.close())

  async function listen(register: (app: FastifyInstance) => void | Promise<void>): Promise<void> {
    received = []
    app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up' })
    app.addHook('onRequest', ({ raw }, _, done) => {
      received.push(raw)
      done()
    })
    await register(app)
    await app.listen({ host: '127.0.0.1', port: 0 })
    url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  }

  const serve = ({ api }: Endpoint): Promise<void> =>
    listen(async app => {
      const verbs = new PromptVerbs()
      const context = contextFor(verbs, api.settings.parse({}), { longPollMs: LONG_POLL_MS })
      const routes = await api.plugin(context as never)
      await app.register(async scope => routes(scope), { prefix: api.prefix })
    })

  async function ask(endpoint: Endpoint, { query = '', headers, body }: Asked): Promise<void> {
    const method = endpoint.operation.method.toUpperCase()
    const sent = typeof body === 'function' ? ReadableStream.from(body()) : body
    const options = { method, ...(headers && { headers }), ...(sent !== undefined && { body: sent, duplex: 'half' }) }
    const answer = await fetch(url + pathOf(endpoint) + query, options as RequestInit)
    await answer.body?.cancel()
  }

  for (const endpoint of endpoints) {
    const { name, operation } = endpoint
    if (operation.verb === 'none' || VERB_FACTS[operation.verb].waits === 'none') continue
    const all = ways[withoutCluster(name)] ?? (operation.produces === true ? preferred : undefined)
    it(`are not slow for that: ${name}`, async () => {
      expect(all, 'how its clients say how long they wait').to.not.equal(undefined)
      if (all!.length === 0) return
      await serve(endpoint)
      for (const asked of all!) {
        received = []
        await ask(endpoint, asked)
        expect(received.map(askedWaitOf), asked.query).to.deep.equal([asked.waitMs ?? WAIT_MS])
      }
    })
  }

  it('are not slow for that: a receipt', async () => {
    const desk = { read: async () => ({ type: 'notFound' }) } as unknown as ReceiptDesk
    await listen(app => addReceiptRoute(app, desk, undefined))
    await fetch(`${url}/receipts/r?wait=7s`)
    expect(received.map(askedWaitOf)).to.deep.equal([WAIT_MS])
  })
})
