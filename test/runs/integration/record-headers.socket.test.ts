import { fileURLToPath } from 'node:url'
import { credentials, Metadata } from '@grpc/grpc-js'
import { expect } from 'chai'
import { WebSocket } from 'ws'
import { loadDefinition } from '../../../src/apis/kafka-pixy/grpc/protocol.js'
import { ConfigError } from '../../../src/core/errors.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { ask, type Headers, REQUIRED } from '../../apis/cloudevents/stage.js'
import { checkRows } from '../../support/rows.js'
import { EventsStage, type ReadRecord } from './events-stage.js'
import { RecordStreamClient } from './record-stream-client.js'

const hooks = fileURLToPath(new URL('../../apis/kafboy/hooks/carrying.ts', import.meta.url))

const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const SENT = [
  'X-Tenant',
  'a',
  'traceparent',
  PARENT,
  'x-tenant',
  'caf\u00e9',
  'tracestate',
  'v=1',
  'authorization',
  'Basic eDp5'
]
const CARRIED = { 'x-tenant': ['a', 'caf\u00e9'], traceparent: PARENT, tracestate: 'v=1' }
const JSON_TYPE = ['content-type', 'application/json']
const V2 = ['content-type', 'application/vnd.kafka.json.v2+json']

describe('headers of requests become headers of records', function () {
  this.timeout(120_000)
  let stage: EventsStage
  let shared: string
  let grpcPort = 0
  before(async () => {
    const log = {
      debug() {},
      info: (fields: object, message: string) => {
        if (message.includes('gRPC')) grpcPort = (fields as { port: number }).port
      },
      warn() {},
      error() {}
    }
    const settings = {
      'http.recordHeaders': 'x-tenant,X-Request-Id',
      'apis.kafboy.callbackEditJson': hooks,
      'advanced.apis.kafboy.callbackTimeoutMs': '60000',
      'consumer.start': 'earliest',
      'apis.kafka-pixy.grpcPort': '0'
    }
    stage = await EventsStage.open(settings, log)
    shared = stage.app.urls.shared
  })
  after(() => stage?.close())

  const post = async (path: string, headers: Headers, body: string): Promise<void> => {
    const { status, body: answer } = await ask(shared + path, 'POST', [...SENT, ...(headers as string[])], body)
    expect(status, answer).to.be.within(200, 207)
  }
  const carriedBy = ({ headers }: ReadRecord): object =>
    Object.fromEntries(Object.entries(headers).filter(([name]) => name in CARRIED || name === 'authorization'))

  const produces: Record<string, (topic: string) => Promise<void>> = {
    kprf: topic =>
      post('/kprf/push', JSON_TYPE, JSON.stringify({ records: [{ topic, data: 'x' }], wait_for_send: true })),
    'kprf, asynchronous': topic =>
      post('/kprf/push', JSON_TYPE, JSON.stringify({ records: [{ topic, data: 'x' }], wait_for_send: false })),
    kafboy: topic => post(`/kafboy/sync/${topic}`, JSON_TYPE, '{}'),
    'kafboy, asynchronous': topic => post(`/kafboy/async/${topic}`, JSON_TYPE, '{}'),
    'kafboy, batched': topic => post(`/kafboy/batch/async/${topic}`, JSON_TYPE, '{}'),
    arion: topic => post(`/arion/sync/${topic}`, [], 'x'),
    'arion, on disk': topic => post(`/arion/async/${topic}`, [], 'x'),
    'arion, by websocket': topic =>
      new Promise((resolve, reject) => {
        const headers = { 'x-tenant': ['a', 'caf\u00e9'], traceparent: PARENT, tracestate: 'v=1' }
        const url = `${shared.replace('http', 'ws')}/arion/websocket/${topic}`
        const socket = new WebSocket(url, { headers: headers as never })
        socket.on('open', () => socket.send('x'))
        socket.on('message', () => socket.close())
        socket.on('close', () => resolve())
        socket.on('error', reject)
      }),
    'Kafka-Pixy': topic => post(`/pixy/topics/${topic}/messages?sync`, ['content-type', 'text/plain'], 'x'),
    'Kafka-Pixy, asynchronous': topic => post(`/pixy/topics/${topic}/messages`, ['content-type', 'text/plain'], 'x'),
    'Kafka-Pixy, by gRPC': topic =>
      new Promise((resolve, reject) => {
        const Client = loadDefinition()
        const client = new Client(`127.0.0.1:${grpcPort}`, credentials.createInsecure())
        const metadata = new Metadata()
        for (const [name, value] of [
          ['x-tenant', 'a'],
          ['traceparent', PARENT],
          ['x-tenant', 'b'],
          ['tracestate', 'v=1']
        ]) {
          metadata.add(name!, value!)
        }
        const request = { topic, key_undefined: true, message: Buffer.from('x') }
        client.Produce!(request, metadata, (error: Error | null) => {
          client.close()
          if (error) reject(error)
          else resolve()
        })
      }),
    'Confluent, version 2': topic => post(`/confluent/topics/${topic}`, V2, '{"records":[{"value":1}]}'),
    'Confluent, version 3': topic =>
      post(
        `/confluent/v3/clusters/${stage.clusterId}/topics/${topic}/records`,
        JSON_TYPE,
        '{"value":{"type":"JSON","data":1}}'
      ),
    'Confluent, an open stream': async topic => {
      const path = `/confluent/v3/clusters/${stage.clusterId}/topics/${topic}/records`
      const sent = {
        'x-tenant': ['a', 'caf\u00e9'],
        traceparent: PARENT,
        tracestate: 'v=1',
        authorization: 'Basic eDp5'
      }
      const stream = new RecordStreamClient(shared + path, {
        'content-type': 'application/json',
        ...(sent as object)
      })
      stream.send({ value: { type: 'JSON', data: 1 } })
      expect(await stream.next()).to.include({ error_code: 200 })
      stream.send({ value: { type: 'JSON', data: 2 } })
      expect(await stream.next()).to.include({ error_code: 200 })
      stream.end()
      await stream.ended
      const [one, two] = await stage.read(topic, 2)
      expect(carriedBy(two!)).to.deep.equal(carriedBy(one!))
    },
    'Confluent, batch': topic =>
      post(
        `/confluent/v3/clusters/${stage.clusterId}/topics/${topic}/records:batch`,
        JSON_TYPE,
        '{"entries":[{"id":"1","value":{"type":"JSON","data":1}}]}'
      ),
    Strimzi: topic => post(`/strimzi/topics/${topic}`, V2, '{"records":[{"value":{}}]}'),
    CloudEvents: topic => post(`/events/${topic}`, Object.entries(REQUIRED).flat(), 'x')
  }
  it('a record of each route has the headers that are named and the trace context, and no credentials', () =>
    checkRows(Object.entries(produces), async ([name, produce]) => {
      const topic = await stage.topic(1)
      await produce(topic)
      const [record] = await stage.read(topic, 1)
      const expected = name.includes('gRPC') ? { ...CARRIED, 'x-tenant': ['a', 'b'] } : CARRIED
      const seen = carriedBy(record!) as Record<string, unknown>
      // ws joins values that repeat, and so does HTTP/2 of Node.
      if (/websocket|gRPC/.test(name)) seen['x-tenant'] = String(seen['x-tenant']).split(/, ?/)
      expect(Object.keys(seen)).to.have.members(Object.keys(expected))
      expect(seen.traceparent).to.equal(PARENT)
      expect(seen.tracestate).to.equal('v=1')
      const tenants = (seen['x-tenant'] as string[]).map(text => text.replace('\ufffd', '\u00e9'))
      expect(tenants).to.deep.equal(expected['x-tenant'])
    }))

  it("a record's own header of the same name wins", async () => {
    const topic = await stage.topic(1)
    const own = `{"records":[{"value":{},"headers":[{"key":"X-Tenant","value":"${Buffer.from('own').toString('base64')}"}]},{"value":{}}]}`
    await post(`/strimzi/topics/${topic}`, V2, own)
    const [one, two] = await stage.read(topic, 2)
    expect(one!.headers).to.deep.equal({ 'X-Tenant': 'own', traceparent: PARENT, tracestate: 'v=1' })
    expect(two!.headers).to.have.property('x-tenant')
  })

  it('they come back with a single record: Kafka-Pixy, CloudEvents', async () => {
    const topic = await stage.topic(1)
    const named = ['X-Tenant', 'a', 'x-tenant', 'b', 'traceparent', PARENT]
    await ask(`${shared}/events/${topic}`, 'POST', [...named, ...Object.entries(REQUIRED).flat()], 'x')
    const group = stage.group()
    const paths = [
      `/pixy/topics/${topic}/messages?group=${group}-1`,
      `/events/${topic}?group=${group}-2&timeout=30000`,
      `/events/${topic}?from=earliest`
    ]
    for (const path of paths) {
      const { status, headers } = await ask(shared + path, 'GET', {})
      expect(status, path).to.equal(200)
      expect(headers, path).to.include({ 'x-tenant': 'a, b', traceparent: PARENT })
    }
    const batch = await ask(`${shared}/events/${topic}?from=earliest&count=1`, 'GET', {})
    expect(batch.headers).to.not.have.property('x-tenant')
  })

  it('a request id comes back in the place of that of the answer, where the record has one', async () => {
    const topic = await stage.topic(1)
    const get = async (path: string) => (await ask(shared + path, 'GET', {})).headers['x-request-id']
    const write = (further: string[]) =>
      ask(`${shared}/events/${topic}`, 'POST', [...further, ...Object.entries(REQUIRED).flat()], 'x')
    const own = (await write(['x-request-id', 'mine-77'])).headers['x-request-id']
    await write([])
    const group = stage.group()
    expect(await get(`/pixy/topics/${topic}/messages?group=${group}`)).to.equal('mine-77')
    expect(await get(`/events/${topic}?from=earliest`)).to.equal('mine-77')
    const without = await get(`/pixy/topics/${topic}/messages?group=${group}`)
    expect(without).to.be.a('string').and.not.oneOf(['mine-77', own])
  })

  it("kafboy's hooks: a record in the place of the request's has them, one that the hook sends has none", async () => {
    const topic = await stage.topic(1)
    await post(`/kafboy/sync/${topic}`, ['content-type', 'application/x-www-form-urlencoded'], 'own=a')
    const records = await stage.read(topic, 2)
    const byValue = Object.fromEntries(records.map(record => [String(record.value), carriedBy(record)]))
    expect(Object.keys(byValue.edited as object)).to.have.members(Object.keys(CARRIED))
    expect(byValue.sent).to.deep.equal({})
  })

  it('headers for records that are too large together are refused with 431', async () => {
    const topic = await stage.topic(1)
    const { status } = await ask(`${shared}/arion/sync/${topic}`, 'POST', ['x-tenant', 'x'.repeat(10_300)], 'x')
    expect(status).to.equal(431)
  })
})

describe('http.recordHeaders', () => {
  it('is off by default', async () => {
    const stage = await EventsStage.open()
    try {
      const topic = await stage.topic(1)
      await ask(`${stage.app.urls.shared}/arion/sync/${topic}`, 'POST', SENT, 'x')
      expect((await stage.read(topic, 1))[0]!.headers).to.deep.equal({})
    } finally {
      await stage.close()
    }
  })

  it('refuses names with one clear line', () => {
    const load = (value: string) =>
      loadConfig({ flags: [{ flag: '--set', path: ['http', 'recordHeaders'], value }], environment: {} })
    expect(() => load('x-tenant,Authorization')).to.throw(
      ConfigError,
      /"Authorization" cannot pass between requests and records: it has credentials, belongs to one connection, or describes its message/
    )
    for (const name of ['ce_subject', 'CE-id']) expect(() => load(name)).to.throw(ConfigError, name)
    expect(load('x-tenant,baggage').http.recordHeaders).to.deep.equal(['x-tenant', 'baggage'])
  })
})
