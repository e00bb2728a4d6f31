import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { SchemaWriter } from '../../../src/apis/confluent/schema-writer.js'
import { OverloadedError } from '../../../src/core/errors.js'
import { openAccess } from '../../../src/http/access/access.js'
import { Schemas } from '../../../src/schemas/schemas.js'
import { schemasSettings } from '../../../src/schemas/settings.js'
import { ScriptedRegistry } from '../../schemas/scripted-registry.js'
import { CodecsInPlace } from '../../support/codecs-in-place.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { turns } from '../../support/ticks.js'
import { serve } from './stage.js'

const AVRO = 'application/vnd.kafka.avro.v2+json'
const RECORDS = '/v3/clusters/c/topics/t/records'
const INT = { value_schema: '"int"', records: [{ value: 1 }] }

const never = new Promise<never>(() => undefined)

interface Answer {
  readonly status: number
  readonly code: number
  readonly message: string
}

describe('confluent: schemas without a network', () => {
  let app: FastifyInstance
  let verbs: FakeVerbs
  let registry: ScriptedRegistry

  beforeEach(async () => {
    verbs = new FakeVerbs()
    registry = new ScriptedRegistry()
    await open()
  })
  afterEach(() => app.close())

  async function open(access = openAccess): Promise<void> {
    const settings = schemasSettings.parse({ registry: { urls: ['http://registry.test'] } })
    const schemas = new Schemas(settings, { transport: registry, host: new CodecsInPlace(), clock: () => 0 })
    app = await serve(verbs, { maxBodyBytes: 1024 * 1024 }, { access, schemas, clock: () => 0 })
  }

  async function post(
    url: string,
    type: string,
    body: object | string,
    headers: Record<string, string> = {},
    remoteAddress = '127.0.0.1'
  ): Promise<Answer> {
    const payload = typeof body === 'string' ? body : JSON.stringify(body)
    const sent = { 'content-type': type, host: 'localhost', ...headers }
    const answer = await app.inject({ method: 'POST', url, headers: sent, payload, remoteAddress })
    const { error_code: code, message } = JSON.parse(answer.body) as { error_code: number; message: string }
    return { status: answer.statusCode, code, message }
  }

  it('confluent S20: without rules, clients without credentials register schemas only on the machine of the gateway', async () => {
    for (const [headers, address] of [
      [{}, '10.0.0.9'],
      [{ 'x-forwarded-for': '10.0.0.9' }, '127.0.0.1'],
      [{ host: 'gateway.example.com' }, '127.0.0.1']
    ] as const) {
      const { status, code, message } = await post('/topics/t', AVRO, INT, headers, address)
      expect([status, code], JSON.stringify(headers)).to.deep.equal([403, 40301])
      expect(message).to.contain('t-value')
    }
    expect([verbs.calls.length, registry.calls.filter(call => call.endsWith('/versions'))]).to.deep.equal([0, []])
    expect((await post('/topics/t', AVRO, INT)).status).to.equal(200)
    expect((await post('/topics/t', AVRO, INT, {}, '10.0.0.9')).status).to.equal(200)
  })

  it('confluent S20: with credentials and without rules of its own, a client registers schemas from other machines', async () => {
    await app.close()
    await open({ ...openAccess, callerOf: request => ({ ...openAccess.callerOf(request), principal: 'ann' }) })
    expect((await post('/topics/t', AVRO, INT, {}, '10.0.0.9')).status).to.equal(200)
  })

  it('the right to produce is asked for again after the right to register, so that a change of rules finds it', async () => {
    await app.close()
    const asked: string[] = []
    await open({
      ...openAccess,
      callerOf: request => ({
        ...openAccess.callerOf(request),
        isRuled: true,
        refusalOf: (operation, target) => void asked.push(`${operation} ${JSON.stringify(target)}`)
      })
    })
    expect((await post('/topics/t', AVRO, INT)).status).to.equal(200)
    expect(asked).to.deep.equal(['produce {"topic":"t"}', 'register {"subject":"t-value"}', 'produce {"topic":"t"}'])
  })

  it('confluent S4: an id may be sent as a text, and has the format of its schema, whatever the content type says', async () => {
    const id = registry.add('t-value', '"int"')
    const protobuf = 'application/vnd.kafka.protobuf.v2+json'
    for (const [type, sent] of [
      [AVRO, String(id)],
      [protobuf, id]
    ] as const)
      expect((await post('/topics/t', type, { value_schema_id: sent, records: [{ value: 1 }] })).status).to.equal(200)
    const { status, code } = await post('/topics/t', AVRO, { value_schema_id: '1x', records: [{ value: 1 }] })
    expect([status, code, verbs.records.length]).to.deep.equal([422, 422, 2])
  })

  it('a request that fails because the registry is away may succeed later, and one that the registry refuses does not', async () => {
    const modern = { accept: 'application/vnd.castellan.v1+json' }
    const one = { value: { type: 'AVRO', schema: '"int"', data: 1 } }
    const reasons = async (topic: string): Promise<unknown[]> => {
      const problem = async (url: string, type: string, body: object): Promise<unknown> => {
        const sent = { 'content-type': type, host: 'localhost', ...modern }
        const answer = await app.inject({ method: 'POST', url, headers: sent, payload: JSON.stringify(body) })
        const { code, retriable, records } = JSON.parse(answer.body)
        const error = records?.[0].error ?? { code, retriable }
        return [answer.statusCode, error.code, error.retriable]
      }
      const records = `/v3/clusters/c/topics/${topic}/records`
      return [await problem(`/topics/${topic}`, AVRO, INT), await problem(records, 'application/json', one)]
    }
    registry.script = () => ({ status: 500, body: '' })
    expect(await reasons('t')).to.deep.equal([
      [503, 'registryUnreachable', true],
      [207, 'registryUnreachable', true]
    ])
    registry.script = () => ({ status: 409, body: { error_code: 409, message: 'not compatible' } })
    expect(await reasons('u')).to.deep.equal([
      [422, 'invalidRequest', false],
      [207, 'invalidRequest', false]
    ])
  })

  it('while the registry cannot be asked, a request of which nothing is written is answered 503 with Retry-After', async () => {
    const one = { value: { type: 'AVRO', schema: '"int"', data: 1 } }
    const plain = { value: { type: 'STRING', data: 'x' } }
    const bad = { value: { type: 'STRING', data: 1 } }
    const batch = (...entries: readonly object[]) => ({
      entries: entries.map((entry, at) => ({ id: String(at), ...entry }))
    })
    const ask = async (url: string, type: string, ...records: readonly object[]): Promise<unknown> => {
      const payload = records.map(record => JSON.stringify(record)).join('')
      const headers = { 'content-type': type, host: 'localhost' }
      const { statusCode, headers: answered, body } = await app.inject({ method: 'POST', url, headers, payload })
      const codes = [...body.matchAll(/"error_code":(\d+)/g)].map(([, code]) => Number(code))
      return [statusCode, answered['retry-after'], answered['x-castellan-persisted'], ...codes]
    }
    for (const [status, error_code] of [
      [429, 429],
      [500, 50001],
      [503, 503],
      [502, undefined]
    ]) {
      await app.close()
      await open()
      registry.script = () => ({ status: status!, body: error_code === undefined ? '<html>' : { error_code } })
      expect(await ask('/topics/t', AVRO, INT)).to.deep.equal([503, '5', 'no', 42207])
      expect(await ask(RECORDS, 'application/json', one)).to.deep.equal([503, '5', 'no', 503])
      expect(await ask(RECORDS, 'application/json', one, bad)).to.deep.equal([503, '5', 'no', 503, 400])
      expect(await ask(`${RECORDS}:batch`, 'application/json', batch(one))).to.deep.equal([503, '5', 'no', 503])
    }
    expect(verbs.records).to.have.length(0)
    expect(await ask(RECORDS, 'application/json', one, plain)).to.deep.equal([200, undefined, 'ny', 503, 200])
    expect(await ask(`${RECORDS}:batch`, 'application/json', batch(one, plain))).to.deep.equal([
      207,
      undefined,
      'ny',
      503
    ])
    registry.script = () => ({ status: 404, body: { error_code: 40403, message: 'Schema 9 not found' } })
    const id = { value: { schema_id: 9, data: 1 } }
    expect(await ask(RECORDS, 'application/json', id)).to.deep.equal([200, undefined, 'no', 422])
    expect(await ask('/topics/t', AVRO, { value_schema_id: 9, records: [{ value: 1 }] })).to.deep.equal([
      422,
      undefined,
      'no',
      42207
    ])
  })

  it('a request has at most 100 different schemas; a record beyond them is refused', async () => {
    const id = registry.add('t-value', '"int"')
    const record = (version: object): string => JSON.stringify({ value: { ...version, data: 1 } })
    const records = [record({ schema_id: id })]
    for (let at = 0; at < 100; at++) records.push(record({ subject: `s${at}` }))
    records.push(record({ schema_id: id }))
    const sent = { 'content-type': 'application/json' }
    const { body } = await app.inject({ method: 'POST', url: RECORDS, headers: sent, payload: records.join('') })
    const lines = body
      .trim()
      .split('\r\n')
      .map(line => JSON.parse(line) as { error_code: number; message: string })
    expect(lines.map(({ error_code }) => error_code)).to.deep.equal([200, ...Array(100).fill(422), 200])
    expect(lines[99]!.message).to.contain("Subject 's98' not found")
    expect(lines[100]!.message).to.contain('at most 100 different schemas')
    expect(verbs.records).to.have.length(2)
  })

  it('bodies that wait for their schemas are bounded, until those before them have their schemas', async () => {
    const writer = new SchemaWriter({ resolve: () => never, encode: () => never }, 1_000)
    const bytes = 40 * 1024 * 1024
    const ends: (() => void)[] = []
    const hold = () => writer.hold(bytes, () => new Promise<void>(resolve => ends.push(resolve)))
    hold()
    expect(hold).to.throw(OverloadedError, 'too many records wait for their schemas')
    ends[0]!()
    await turns(1)
    expect(hold).not.to.throw()
    ends[1]!()
  })

  describe('the bytes that schemas make of one request are bounded by the limit of its body, of 1 MiB here', () => {
    /** 400 KB that no client has to send. */
    const LONG = { type: 'record', name: 'L', fields: [{ name: 's', type: 'string', default: 'x'.repeat(400_000) }] }
    const MESSAGE = 'the records would have more than 1048576 bytes with their schemas'
    let id: number
    beforeEach(() => {
      id = registry.add('t-value', JSON.stringify(LONG))
    })

    it('version 2 answers 413 and writes nothing', async () => {
      const of = (count: number) => ({ value_schema_id: id, records: Array(count).fill({ value: {} }) })
      const { status, code, message } = await post('/topics/t', AVRO, of(60))
      expect([status, code, message]).to.deep.equal([413, 413, `records[2].value: ${MESSAGE}`])
      expect(verbs.records).to.deep.equal([])
      expect((await post('/topics/t', AVRO, of(2))).status).to.equal(200)
      expect(verbs.records.map(({ value }) => value!.length)).to.deep.equal([400_008, 400_008])
    })

    it('version 3 answers 413 and writes nothing, also not the records before', async () => {
      const one = { value: { schema_id: id, data: {} } }
      const records = JSON.stringify(one).repeat(3)
      const { status, code, message } = await post(RECORDS, 'application/json', records)
      expect([status, code]).to.deep.equal([413, 413])
      expect(message).to.contain(MESSAGE)
      const entries = ['a', 'b', 'c'].map(id => ({ id, ...one }))
      expect((await post(`${RECORDS}:batch`, 'application/json', { entries })).status).to.equal(413)
      expect(verbs.records).to.deep.equal([])
      expect((await post(RECORDS, 'application/json', one)).code).to.equal(200)
    })

    it('a stream of version 3 refuses the record', async () => {
      const settings = schemasSettings.parse({ registry: { urls: ['http://registry.test'] } })
      const schemas = new Schemas(settings, { transport: registry, host: new CodecsInPlace(), clock: () => 0 })
      const writer = new SchemaWriter(schemas, 1024 * 1024)
      const json = Buffer.from('{}')
      const record = { topic: 't', key: null, value: null }
      const collected = {
        items: Array.from({ length: 4 }, (_, at) => ({
          key: undefined,
          value: undefined,
          unencoded: at === 3 ? undefined : { key: undefined, value: { named: { id }, json } }
        })),
        records: Array(4).fill(record),
        bytes: 8
      } as never
      const client = { topic: 't', mayRegister: () => false }
      const { items, records } = await writer.encodeEach(collected, client, true)
      expect(items.map(({ refused }) => refused?.answerCode)).to.deep.equal([undefined, undefined, 413, undefined])
      expect(records).to.have.length(3)
      const failed = await writer.encodeEach(collected, client).catch((error: unknown) => error)
      expect(failed).to.include({ status: 413 })
    })
  })

  it('records are decoded as they were sent: the body is kept while its schema is asked for', async () => {
    let answer: () => void = () => undefined
    const isAnswered = new Promise<void>(resolve => (answer = resolve))
    registry.script = async () => {
      await isAnswered
      return undefined as never
    }
    const slow = post(RECORDS, 'application/json', {
      key: { type: 'STRING', data: 'the key' },
      value: { type: 'AVRO', schema: '"string"', data: 'the value' }
    })
    await turns(20)
    for (let times = 5; times > 0; times--)
      await post(RECORDS, 'application/json', { key: { type: 'STRING', data: 'another' } })
    answer()
    expect((await slow).code).to.equal(200)
    const { key, value } = verbs.records.at(-1)!
    expect([String(key), String(value!.subarray(6))]).to.deep.equal(['the key', 'the value'])
  })
})
