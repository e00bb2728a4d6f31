import { Agent, type IncomingMessage, request } from 'node:http'
import { expect } from 'chai'
import { call } from '../../support/access.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'
import { StrimziStage, typeOf, V2 } from './strimzi-stage.js'

const SCHEMA = 'Validation error on: Schema validation error'
const NO_INSTANCE = 'The specified consumer instance was not found.'
const EXCLUSIVE = 'Subscriptions to topics, partitions, and patterns are mutually exclusive.'

describe('strimzi: consumers', () => {
  inWorld()
  let stage: StrimziStage
  before(async () => {
    stage = await StrimziStage.open({ 'apis.strimzi.bridgeId': 'my-bridge' })
  })
  after(() => stage?.close())

  /** A topic of one partition with these texts. */
  const filled = async (...values: string[]): Promise<string> => {
    const topic = await stage.topic(1)
    const { status } = await stage.produce(
      `/topics/${topic}`,
      'text',
      values.map(value => ({ value }))
    )
    expect(status).to.equal(200)
    return topic
  }
  const at = (topic: string, offset?: number) => ({ topic, partition: 0, ...(offset !== undefined && { offset }) })
  const valuesOf = (records: readonly Record<string, unknown>[]) => records.map(({ value }) => value)
  const done = async (answer: Promise<{ status: number; body: unknown; headers: object }>): Promise<void> => {
    const { status, body, headers } = await answer
    expect([status, body]).to.deep.equal([204, undefined])
    expect(headers).to.not.have.property('content-length')
  }
  const failed = async (answer: Promise<{ status: number; body: unknown }>, status: number, message: string) =>
    expect((await answer).body).to.deep.equal({ error_code: status, message })

  it('a consumer is created once, and has its address in the answer', async () => {
    const group = stage.group()
    const created = await stage.post(`/consumers/${group}`, { name: 'c1', format: 'json' })
    const base_uri = `${stage.url}/consumers/${group}/instances/c1`
    expect([created.status, created.body]).to.deep.equal([200, { instance_id: 'c1', base_uri }])
    const again = stage.post(`/consumers/${group}`, { name: 'c1' })
    await failed(again, 409, 'A consumer instance with the specified name already exists in the Kafka Bridge.')
    const unnamed = await stage.ask('POST', `/consumers/${group}`)
    expect(unnamed.body.instance_id).to.match(/^my-bridge-[\da-f-]{36}$/)
    const path = `/consumers/${group}/instances/c1`
    await done(stage.ask('DELETE', path))
    await failed(stage.ask('DELETE', path), 404, NO_INSTANCE)
  })

  it('a consumer whose name no path can have is refused', async () => {
    const group = stage.group()
    for (const name of ['', '.', '..', '\ud800']) {
      const { status, body } = await stage.post(`/consumers/${group}`, { name })
      expect([name, status, body.error_code]).to.deep.equal([name, 422, 422])
    }
    expect((await stage.post(`/consumers/${group}`, { name: '...' })).status).to.equal(200)
  })

  it('a consumer of a group whose name is not percent-encoded is refused', async () => {
    for (const group of ['%zz', '%FF']) {
      const created = stage.post(`/consumers/${group}`, { name: 'c1' })
      await failed(created, 400, 'Validation error on: the path is not percent-encoded UTF-8')
    }
  })

  it('settings of a consumer are checked: their form by 400, their values by 422', async () => {
    const create = (body: unknown) => stage.post(`/consumers/${stage.group()}`, body)
    for (const [body, ...errors] of [
      [{ foo: 'bar' }, 'Property "foo" does not match additional properties schema'],
      [
        { 'enable.auto.commit': 'true' },
        'Property "enable.auto.commit" does not match schema',
        'Instance type string is invalid. Expected boolean'
      ],
      [
        { 'fetch.min.bytes': '100' },
        'Property "fetch.min.bytes" does not match schema',
        'Instance type string is invalid. Expected integer'
      ]
    ] as const) {
      expect((await create(body)).body).to.deep.equal({ error_code: 400, message: SCHEMA, validation_errors: errors })
    }
    for (const body of [
      { format: 'avro' },
      { 'auto.offset.reset': 'foo' },
      { 'isolation.level': 'foo' },
      { 'fetch.min.bytes': -1 }
    ]) {
      expect((await create(body)).status, JSON.stringify(body)).to.equal(422)
    }
    const all = {
      format: 'text',
      'auto.offset.reset': 'latest',
      'isolation.level': 'read_committed',
      'fetch.min.bytes': 100,
      'consumer.request.timeout.ms': 1_000,
      'enable.auto.commit': false
    }
    expect((await create(all)).status).to.equal(200)
    const untyped = stage.post(`/consumers/${stage.group()}`, {}, { 'content-type': 'application/json' })
    expect((await untyped).status).to.equal(400)
  })

  it('a subscription is told with the partitions that are read, and can be ended', async () => {
    const topic = await filled('a')
    const consumer = await stage.consumer('text')
    await done(stage.post(`${consumer}/subscription`, { topics: [topic] }))
    expect(valuesOf(await stage.read(consumer, 'text', 1))).to.deep.equal(['a'])
    const told = await stage.get(`${consumer}/subscription`)
    expect(told.body).to.deep.equal({ topics: [topic], partitions: [{ [topic]: [0] }] })
    await done(stage.ask('DELETE', `${consumer}/subscription`))
    expect((await stage.get(`${consumer}/subscription`)).body).to.deep.equal({ topics: [], partitions: [] })
    const read = stage.get(`${consumer}/records`, { accept: typeOf('text') })
    await failed(read, 500, 'Consumer is not subscribed to any topics or assigned any partitions')
  })

  it('a pattern subscribes to the topics that match it', async () => {
    const topic = await filled('a')
    const consumer = await stage.consumer('text')
    await done(stage.post(`${consumer}/subscription`, { topic_pattern: `${topic.replaceAll('.', '\\.')}.*` }))
    expect(valuesOf(await stage.read(consumer, 'text', 1))).to.deep.equal(['a'])
    expect((await stage.post(`${consumer}/subscription`, { topic_pattern: '(' })).status).to.equal(422)
  })

  it('topics, a pattern and partitions exclude each other', async () => {
    const topic = await filled()
    const consumer = await stage.consumer('text')
    const subscribe = (body: object) => stage.post(`${consumer}/subscription`, body)
    const assign = () => stage.post(`${consumer}/assignments`, { partitions: [at(topic)] })
    await failed(subscribe({ topics: [topic], topic_pattern: 'a.*' }), 409, EXCLUSIVE)
    await failed(subscribe({}), 422, 'A list (of Topics type) or a topic_pattern must be specified.')
    expect((await subscribe({ topics: 'a', other: 1 })).body.validation_errors).to.have.length.above(1)
    await done(subscribe({ topics: [topic] }))
    await failed(assign(), 409, EXCLUSIVE)
    await done(stage.ask('DELETE', `${consumer}/subscription`))
    await done(assign())
    await failed(subscribe({ topics: [topic] }), 409, EXCLUSIVE)
  })

  it('positions are moved to the beginning, to the end and to an offset', async () => {
    const topic = await filled('a', 'b', 'c')
    const consumer = await stage.consumer('text')
    const partitions = [at(topic)]
    await done(stage.post(`${consumer}/assignments`, { partitions }))
    expect(valuesOf(await stage.read(consumer, 'text', 3))).to.deep.equal(['a', 'b', 'c'])
    await done(stage.post(`${consumer}/positions/beginning`, { partitions }))
    expect(valuesOf(await stage.read(consumer, 'text', 3))).to.deep.equal(['a', 'b', 'c'])
    await done(stage.post(`${consumer}/positions`, { offsets: [at(topic, 2)] }))
    expect(valuesOf(await stage.read(consumer, 'text', 1))).to.deep.equal(['c'])
    await done(stage.post(`${consumer}/positions/beginning`, { partitions }))
    await done(stage.post(`${consumer}/positions/end`, { partitions }))
    expect((await stage.get(`${consumer}/records`, { accept: typeOf('text') })).body).to.deep.equal([])
    const other = { partitions: [at(`${topic}.other`)] }
    const message = `No current assignment for partition ${topic}.other-0`
    await failed(stage.post(`${consumer}/positions/beginning`, other), 404, message)
    await failed(stage.post(`${consumer}/positions`, { offsets: [at(`${topic}.other`, 0)] }), 404, message)
  })

  it('a position beyond the end, set or committed, is one where auto.offset.reset says', async () => {
    for (const [start, values] of [
      ['earliest', ['a', 'b', 'c', 'later']],
      ['latest', ['later']]
    ] as const) {
      const topic = await filled('a', 'b', 'c')
      const group = stage.group()
      const settings = { 'auto.offset.reset': start, 'enable.auto.commit': false }
      const sought = await stage.consumer('text', settings)
      await done(stage.post(`${sought}/assignments`, { partitions: [at(topic)] }))
      await done(stage.post(`${sought}/positions`, { offsets: [at(topic, 99)] }))
      const committed = await stage.consumer('text', settings, group)
      await done(stage.post(`${committed}/offsets`, { offsets: [at(topic, 70)] }))
      await done(stage.post(`${committed}/assignments`, { partitions: [at(topic)] }))
      const consumers = [sought, committed]
      const before = values.length - 1
      for (const consumer of consumers)
        expect(valuesOf(await stage.read(consumer, 'text', before))).to.deep.equal(values.slice(0, -1))
      // Without one, a read is what takes the end for the position.
      if (before === 0)
        for (const consumer of consumers)
          expect((await stage.get(`${consumer}/records`, { accept: typeOf('text') })).body).to.deep.equal([])
      await stage.produce(`/topics/${topic}`, 'text', [{ value: 'later' }])
      for (const consumer of consumers)
        expect(valuesOf(await stage.read(consumer, 'text', 1))).to.deep.equal(values.slice(-1))
    }
  })

  it('offsets are committed as they are given, and without a body those that were read', async () => {
    const topic = await filled('a', 'b', 'c', 'd')
    const group = stage.group()
    const follow = async (): Promise<string> => {
      const consumer = await stage.consumer('text', { 'enable.auto.commit': false }, group)
      await done(stage.post(`${consumer}/assignments`, { partitions: [at(topic)] }))
      return consumer
    }
    const first = await follow()
    expect(valuesOf(await stage.read(first, 'text', 4))).to.deep.equal(['a', 'b', 'c', 'd'])
    await done(stage.post(`${first}/offsets`, { offsets: [at(topic, 2)] }))
    const second = await follow()
    expect(valuesOf(await stage.read(second, 'text', 2))).to.deep.equal(['c', 'd'])
    await done(stage.ask('POST', `${first}/offsets`))
    const third = await follow()
    expect((await stage.get(`${third}/records`, { accept: typeOf('text') })).body).to.deep.equal([])
    const wrong = await stage.post(`${first}/offsets`, { offsets: [{ ...at(topic, 2), metadata: 'm' }] })
    expect([wrong.status, wrong.body.message]).to.deep.equal([400, SCHEMA])
  })

  it('the type of Accept must be that of the consumer', async () => {
    const topic = await filled('a')
    const consumer = await stage.consumer('text')
    await done(stage.post(`${consumer}/assignments`, { partitions: [at(topic)] }))
    for (const accept of [typeOf('json'), 'application/json', '*/*', undefined]) {
      const { status } = await stage.get(`${consumer}/records`, accept === undefined ? {} : { accept })
      expect(status, accept).to.equal(406)
    }
    const wrong = await stage.get(`${consumer}/records?timeout=soon`, { accept: typeOf('text') })
    expect(wrong.status).to.equal(400)
  })

  it('one record is returned however small max_bytes is, and no other that is above it', async () => {
    const topic = await filled('aaaa', 'bbbb')
    const consumer = await stage.consumer('text')
    await done(stage.post(`${consumer}/assignments`, { partitions: [at(topic)] }))
    for (const value of ['aaaa', 'bbbb']) {
      const read = await stage.get(`${consumer}/records?max_bytes=1&timeout=30000`, { accept: typeOf('text') })
      expect(valuesOf(read.body)).to.deep.equal([value])
    }
  })

  it('a record that is no JSON is named, after those before it, and a seek skips it', async () => {
    const topic = await filled('"a"', 'none', '"c"')
    const consumer = await stage.consumer('json')
    await done(stage.post(`${consumer}/assignments`, { partitions: [at(topic)] }))
    expect(valuesOf(await stage.read(consumer, 'json', 1))).to.deep.equal(['a'])
    const { status, body } = await stage.get(`${consumer}/records?timeout=30000`, { accept: typeOf('json') })
    expect([status, body.message]).to.deep.equal([
      406,
      `Failed to decode: the record at offset 1 of ${topic}/0 has a value that is not JSON; to go on, seek behind it, or read with the header x-castellan-undecodable: skip or include`
    ])
    await done(stage.post(`${consumer}/positions`, { offsets: [at(topic, 2)] }))
    expect(valuesOf(await stage.read(consumer, 'json', 1))).to.deep.equal(['c'])
  })

  it('a client goes past a record that is no JSON, or gets an error in its place', async () => {
    const topic = await filled('"a"', 'none', '"c"')
    for (const [undecodable, expected] of [
      ['skip', ['a', 'c']],
      ['include', ['a', null, 'c']]
    ] as const) {
      const consumer = await stage.consumer('json')
      await done(stage.post(`${consumer}/assignments`, { partitions: [at(topic)] }))
      const headers = { accept: typeOf('json'), 'x-castellan-undecodable': undecodable }
      const { status, body } = await stage.get(`${consumer}/records?timeout=30000`, headers)
      expect([status, valuesOf(body)]).to.deep.equal([200, expected])
      const [, second] = body as { error_code?: number; error?: string; timestamp: number }[]
      expect(typeof second!.timestamp).to.equal('number')
      if (undecodable === 'include')
        expect([second!.error_code, second!.error]).to.deep.equal([
          406,
          `the record at offset 1 of ${topic}/0 has a value that is not JSON`
        ])
    }
  })

  it('every route of a consumer that does not exist is answered 404', async () => {
    const consumer = `/consumers/${stage.group()}/instances/none`
    const topic = freshTopic('none')
    const partitions = { partitions: [at(topic)] }
    for (const answer of [
      stage.ask('DELETE', consumer),
      stage.post(`${consumer}/subscription`, { topics: [topic] }),
      stage.get(`${consumer}/subscription`),
      stage.ask('DELETE', `${consumer}/subscription`),
      stage.post(`${consumer}/assignments`, partitions),
      stage.post(`${consumer}/positions`, { offsets: [at(topic, 0)] }),
      stage.post(`${consumer}/positions/beginning`, partitions),
      stage.post(`${consumer}/positions/end`, partitions),
      stage.get(`${consumer}/records`, { accept: typeOf('binary') }),
      stage.post(`${consumer}/offsets`, { offsets: [at(topic, 0)] })
    ]) {
      await failed(answer, 404, NO_INSTANCE)
    }
    const missing = await stage.ask('POST', `${consumer}/assignments`)
    expect(missing.status).to.equal(400)
  })
})

describe('strimzi: behind a proxy', () => {
  inWorld()
  const forwarded = { forwarded: 'host=gateway.example;proto=https' }
  const baseOf = async (settings: Record<string, string>, headers: Record<string, string>): Promise<string> => {
    const stage = await StrimziStage.open(settings)
    const { body } = await stage.post('/consumers/g', { name: 'c1' }, headers)
    await stage.ask('DELETE', '/consumers/g/instances/c1')
    await stage.close()
    return body.base_uri.replace(stage.url, 'OWN')
  }

  it('a DELETE with a body is carried out, whether the body is JSON, of no type, or empty', async () => {
    const stage = await StrimziStage.open()
    try {
      // A group of its own here and below: with real Kafka an instance outlives its gateway, and its name is taken.
      const group = stage.group()
      await stage.post(`/consumers/${group}`, { name: 'a' })
      for (const [body, type] of [
        ['{}', 'application/json'],
        ['null', undefined],
        ['', 'application/json'],
        ['{}', V2]
      ] as const) {
        const headers = { 'content-length': `${body.length}`, ...(type && { 'content-type': type }) }
        const { status } = await call(`${stage.url}/consumers/${group}/instances/a/subscription`, {
          method: 'DELETE',
          headers,
          body
        })
        expect([body, type, status]).to.deep.equal([body, type, 204])
      }
      const text = { method: 'DELETE', headers: { 'content-length': '1', 'content-type': 'text/plain' }, body: 'x' }
      expect((await call(`${stage.url}/consumers/${group}/instances/a/subscription`, text)).status).to.equal(400)
    } finally {
      await stage.close()
    }
  })

  it('a body of a GET or a DELETE is not read, whatever its coding, and the connection goes on', async () => {
    const stage = await StrimziStage.open()
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    try {
      const group = stage.group()
      await stage.post(`/consumers/${group}`, { name: 'a' })
      const url = `${stage.url}/consumers/${group}/instances/a/subscription`
      const headers = { 'content-encoding': 'unknown', 'content-length': '600000', 'content-type': V2 }
      const ports = new Set<number>()
      for (const [method, status] of [
        ['GET', 200],
        ['DELETE', 204],
        ['GET', 200]
      ] as const) {
        const answer = await new Promise<IncomingMessage>((resolve, reject) => {
          const asked = request(url, { agent, method, headers }, resolve).once('error', reject)
          asked.end('x'.repeat(600_000))
        })
        ports.add(answer.socket.localPort!)
        await answer.resume().toArray()
        expect([method, answer.statusCode]).to.deep.equal([method, status])
      }
      expect(ports.size).to.equal(1)
    } finally {
      agent.destroy()
      await stage.close()
    }
  })

  it('a consumer beyond the limit is refused with 429, and the name of the limit', async () => {
    const stage = await StrimziStage.open({ 'advanced.consumer.maxGroups': '1' })
    try {
      const group = stage.group()
      expect(await stage.post(`/consumers/${group}`, { name: 'a' })).to.include({ status: 200 })
      const { status, body } = await stage.post(`/consumers/${group}`, { name: 'b' })
      const message = 'too many consumer instances (limit 1; advanced.consumer.maxGroups)'
      expect([status, body]).to.deep.equal([429, { error_code: 429, message }])
    } finally {
      await stage.close()
    }
  })

  it('base_uri follows the headers of a proxy that is trusted, and of no other', async () => {
    const trusting = { 'http.trustedProxies': '127.0.0.0/8' }
    const own = 'OWN/consumers/g/instances/c1'
    expect(await baseOf({}, forwarded)).to.equal(own)
    expect(await baseOf({ 'http.trustedProxies': '10.0.0.1' }, forwarded)).to.equal(own)
    expect(await baseOf(trusting, forwarded)).to.equal('https://gateway.example:443/consumers/g/instances/c1')
    const headers = {
      'x-forwarded-host': 'gateway.example:8443',
      'x-forwarded-proto': 'https',
      'x-forwarded-path': '/bridge/consumers/g'
    }
    expect(await baseOf(trusting, headers)).to.equal('https://gateway.example:8443/bridge/consumers/g/instances/c1')
  })
})
