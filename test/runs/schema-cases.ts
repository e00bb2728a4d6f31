import { createHash } from 'node:crypto'
import { expect } from 'chai'
import type { KafkaRecord } from '../../src/core/model.js'
import { call } from '../support/access.js'
import { BINARY, ConfluentStage, JSON_RECORDS, JSON_TYPE, type Seen, V2 } from '../support/confluent-stage.js'

/** A schema as the registry's API takes it. */
export interface PostedSchema {
  readonly schema: string
  readonly schemaType?: string
}

/** A gateway, and the registry that it asks. */
export interface SchemaStage {
  readonly confluent: ConfluentStage
  /** Adds a schema to a subject, and returns its id. */
  register(subject: string, schema: PostedSchema): number | Promise<number>
  /** The settings of the gateway, those of the registry. */
  readonly settings: Readonly<Record<string, string>>
  /** Lets the registry answer nothing until the test ends. */
  silence(): void
}

export const typeOf = (format: string): string => `application/vnd.kafka.${format}.v2+json`
export const AVRO = typeOf('avro')

const INT = { value_schema: '"int"', records: [{ value: 1 }] }
const ann = { authorization: 'Bearer ann' }

export const ORDER = JSON.stringify({
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'note', type: ['null', 'string'] }
  ]
})
// Apicurio does not look at `schemaType`, and finds JSON Schema by its `$schema` or `properties`.
const JSON_INT = '{"$schema":"http://json-schema.org/draft-07/schema#","type":"integer"}'
const JSON_ORDER = JSON.stringify({
  $schema: 'http://json-schema.org/draft-07/schema#',
  type: 'object',
  properties: { id: { type: 'integer' } },
  required: ['id']
})
const PROTO_ORDER = 'syntax = "proto3"; message Order { int32 id = 1; string note = 2; }'

interface V2Body {
  readonly key_schema_id: number | null
  readonly value_schema_id: number | null
  readonly offsets: readonly { readonly offset: number | null; readonly error_code: number | null }[]
}
export interface ErrorBody {
  readonly error_code: number
  readonly message: string
}
interface V3Part {
  readonly type: string
  readonly subject: string
  readonly schema_id: number
  readonly schema_version: number
  readonly size: number
}
interface V3Body extends ErrorBody {
  readonly offset: number
  readonly key?: V3Part
  readonly value: V3Part
}
export interface ReadRecord {
  readonly offset: number
  readonly key: unknown
  readonly value: unknown
  readonly error_code?: number
  readonly error?: string
}

/** What an answer says went wrong. */
export const codeOf = ({ status, body }: Seen): readonly [number, number] => [status, (body as ErrorBody).error_code]
const messageOf = ({ body }: Seen): string => (body as ErrorBody).message

/** Produces by version 2. */
export const produceV2 = (stage: ConfluentStage, topic: string, body: object, format = 'avro'): Promise<Seen> =>
  stage.post(`/topics/${topic}`, typeOf(format), body)

export const produceV3 = (stage: ConfluentStage, topic: string, ...records: readonly object[]): Promise<Seen> =>
  stage.post(
    `/v3/clusters/c/topics/${topic}/records`,
    JSON_TYPE,
    records.map(record => JSON.stringify(record)).join('')
  )

let groups = 0

/** Creates an instance that reads a topic from its beginning on. @returns the path of its routes */
export async function readerOf({ url }: ConfluentStage, topic: string, format: string): Promise<string> {
  const group = `schemas-${process.pid}-${Date.now()}-${++groups}`
  const post = async (path: string, body: object): Promise<string> => {
    const text = JSON.stringify(body)
    const answer = await call(url + path, { method: 'POST', headers: { 'content-type': V2 }, body: text })
    expect(answer.status, answer.body).to.be.lessThan(300)
    return answer.body
  }
  const settings = { format, 'auto.offset.reset': 'earliest', 'auto.commit.enable': 'false' }
  const { instance_id: name } = JSON.parse(await post(`/consumers/${group}`, settings)) as { instance_id: string }
  const instance = `/consumers/${group}/instances/${name}`
  await post(`${instance}/assignments`, { partitions: [{ topic, partition: 0 }] })
  return instance
}

export async function readOnce(
  { url }: ConfluentStage,
  instance: string,
  format: string,
  headers: Record<string, string> = {}
): Promise<{ readonly status: number; readonly type: unknown; readonly body: unknown }> {
  const answer = await call(`${url}${instance}/records?timeout=5000`, {
    headers: { accept: typeOf(format), ...headers }
  })
  return { status: answer.status, type: answer.headers['content-type'], body: JSON.parse(answer.body) }
}

/** Reads until so many records have come. */
export async function readSome(
  stage: ConfluentStage,
  instance: string,
  format: string,
  count: number,
  headers: Record<string, string> = {}
): Promise<readonly ReadRecord[]> {
  const records: ReadRecord[] = []
  while (records.length < count) {
    const { status, type, body } = await readOnce(stage, instance, format, headers)
    expect([status, type], JSON.stringify(body)).to.deep.equal([200, typeOf(format)])
    records.push(...(body as ReadRecord[]))
  }
  return records
}

const storedIn = async (stage: ConfluentStage, topic: string, offset = 0): Promise<KafkaRecord> =>
  stage.record(topic, 0, offset)
const hex = (bytes: KafkaRecord['value']): string => Buffer.from(bytes!).toString('hex')
const prefixOf = (id: number): string => `00${id.toString(16).padStart(8, '0')}`

/**
 * The numbered cases of schemas by Confluent's API, for a registry of any kind.
 *
 * @param at the stage, once it is open
 */
export function schemaCases(at: () => SchemaStage): void {
  let stage: ConfluentStage
  let topic: string
  beforeEach(async () => {
    stage = at().confluent
    topic = await stage.topic(1)
  })
  const register = async (part: string, schema: string, schemaType?: string): Promise<number> =>
    at().register(`${topic}-${part}`, { schema, ...(schemaType && { schemaType }) })
  const ok = ({ status, body }: Seen): V2Body => {
    expect(status, JSON.stringify(body)).to.equal(200)
    for (const { error_code } of (body as V2Body).offsets) expect(error_code).to.equal(null)
    return body as V2Body
  }
  const nothingIsWritten = async (): Promise<void> => void expect(await stage.endOf(topic, 0)).to.equal(0)
  const refused = async (answer: Promise<Seen>, status: number, code: number, words: RegExp): Promise<void> => {
    const seen = await answer
    expect(codeOf(seen), messageOf(seen)).to.deep.equal([status, code])
    expect(messageOf(seen)).to.match(words)
    expect(seen.persisted).to.equal('no')
    await nothingIsWritten()
  }

  for (const schema of ['"string"', '{"type":"string"}']) {
    it(`confluent S1: a value is written with the schema ${schema}, which is registered`, async () => {
      const body = ok(await produceV2(stage, topic, { value_schema: schema, records: [{ value: 'foobar' }] }))
      expect(body.key_schema_id).to.equal(null)
      const { key, value } = await storedIn(stage, topic)
      expect([key, hex(value)]).to.deep.equal([null, `${prefixOf(body.value_schema_id!)}0c666f6f626172`])
    })
  }

  const formats = [
    ['avro', '"int"', ORDER],
    ['jsonschema', JSON_INT, JSON_ORDER],
    ['protobuf', 'syntax = "proto3"; message Key { int32 id = 1; }', PROTO_ORDER]
  ] as const
  for (const [format, key_schema, value_schema] of formats) {
    it(`confluent S2, confluent S3: keys and values that are written as ${format} are read by an instance as they were`, async () => {
      const records = [1, 2, 3].map(id => ({
        key: format === 'protobuf' ? { id } : id,
        value: format === 'avro' ? { id, note: { string: 'é' } } : { id, note: 'é' }
      }))
      const body = ok(await produceV2(stage, topic, { key_schema, value_schema, records }, format))
      expect([typeof body.key_schema_id, typeof body.value_schema_id]).to.deep.equal(['number', 'number'])
      const read = await readSome(stage, await readerOf(stage, topic, format), format, 3)
      expect(read.map(({ key, value }) => ({ key, value }))).to.deep.equal(records)
      expect(read.map(({ offset }) => offset)).to.deep.equal([0, 1, 2])
    })
  }

  it('confluent S4: a schema is named by its id, which the answer repeats', async () => {
    const id = await register('value', '"long"')
    for (let times = 2; times > 0; times--) {
      const body = ok(await produceV2(stage, topic, { value_schema_id: id, records: [{ value: 7 }] }))
      expect(body.value_schema_id).to.equal(id)
    }
  })

  it('confluent S5: an id that the registry does not have is refused', async () => {
    const body = { value_schema_id: 2_000_000_666, records: [{ value: 1 }] }
    await refused(produceV2(stage, topic, body), 422, 42207, /^Error serializing message\. /)
  })

  it('confluent S6: an id that belongs to another subject only is refused', async () => {
    const id = await at().register(`other-${topic}-value`, { schema: '"double"' })
    const body = { value_schema_id: id, records: [{ value: 1 }] }
    await refused(produceV2(stage, topic, body), 422, 42207, new RegExp(`${topic}-value`))
  })

  it('confluent S7: values and keys need a schema', async () => {
    await refused(produceV2(stage, topic, { records: [{ value: 1 }] }), 422, 42202, /value_schema/)
    const body = { value_schema: '"int"', records: [{ key: 1, value: 1 }] }
    await refused(produceV2(stage, topic, body), 422, 42201, /key_schema/)
    const both = { value_schema: '"int"', value_schema_id: 1, records: [{ value: 1 }] }
    await refused(produceV2(stage, topic, both), 400, 400, /exclude each other/)
  })

  it('confluent S8: a text that is no schema is refused', async () => {
    for (const [format, schema] of [
      ['avro', '{"type":"record"}'],
      ['avro', 'oops'],
      ['jsonschema', '{"type":7}'],
      ['protobuf', 'message {']
    ] as const) {
      const body = { value_schema: schema, records: [{ value: 1 }] }
      await refused(produceV2(stage, topic, body, format), 422, 42205, /^Invalid schema: /)
    }
  })

  it('confluent S9: one record of three that does not fit is named by its place, and none is written', async () => {
    const values = [
      { id: 1, note: null },
      { id: 'x', note: null },
      { id: 3, note: null }
    ]
    const body = { value_schema: ORDER, records: values.map(value => ({ value })) }
    await refused(produceV2(stage, topic, body), 400, 400, /^records\[1\]\.value: id\b/)
  })

  it('confluent S11: while the registry never answers, others are answered at once, and its requests within 5 s', async () => {
    const { value_schema_id } = ok(await produceV2(stage, topic, INT))
    at().silence()
    const answered: string[] = []
    const note = (name: string, seen: Promise<Seen>): Promise<void> =>
      seen.then(({ status, body }) => void answered.push(`${name} ${status} ${(body as ErrorBody).error_code ?? ''}`))
    const beganAt = Date.now()
    const waiting = [
      note('unknown schema', produceV2(stage, topic, { value_schema: '"boolean"', records: [{ value: true }] })),
      note('unknown version', produceV3(stage, topic, { value: { subject: `none-${topic}`, data: 1 } }))
    ]
    await note('json', stage.produce(topic, JSON_RECORDS, [{ value: 1 }]))
    await note('known id', produceV2(stage, topic, { value_schema_id, records: [{ value: 2 }] }))
    await note('v3 json', produceV3(stage, topic, { value: { type: 'JSON', data: 1 } }))
    expect(Date.now() - beganAt).to.be.lessThan(1_000)
    await Promise.all(waiting)
    expect(Date.now() - beganAt).to.be.within(1_000, 5_500)
    expect(answered.slice(0, 3)).to.deep.equal(['json 200 ', 'known id 200 ', 'v3 json 200 200'])
    expect(answered.slice(3)).to.have.members(['unknown schema 503 42207', 'unknown version 503 503'])
    expect(await stage.endOf(topic, 0)).to.equal(4)
  })

  it('confluent S12: version 3 takes a schema, its id, its version or the latest one, and a subject or a strategy', async () => {
    const id = await register('value', ORDER)
    const data = { id: 7, note: null }
    const named = [
      { type: 'AVRO', schema: ORDER },
      { schema_id: id },
      { schema_version: 1 },
      {},
      { subject: `${topic}-value` },
      { subject: `${topic}-value`, schema_version: 1 },
      { subject_name_strategy: 'TOPIC_NAME' }
    ]
    const part = { type: 'AVRO', subject: `${topic}-value`, schema_id: id, schema_version: 1, size: 7 }
    for (const [offset, members] of named.entries()) {
      const { status, body } = await produceV3(stage, topic, { value: { ...members, data } })
      expect(status).to.equal(200)
      const { error_code, value, ...rest } = body as V3Body
      expect([error_code, rest.offset], rest.message).to.deep.equal([200, offset])
      expect(value).to.deep.equal(part)
    }
    for (const [strategy, subject] of [
      ['RECORD_NAME', 'Order'],
      ['TOPIC_RECORD_NAME', `${topic}-Order`]
    ]) {
      const value = { type: 'AVRO', schema: ORDER, subject_name_strategy: strategy, data }
      const { body } = await produceV3(stage, topic, { key: { ...value, data }, value })
      const { key, value: shown, message } = body as V3Body
      expect([key?.subject, shown?.subject], message).to.deep.equal([subject, subject])
      const without = await produceV3(stage, topic, { value: { subject_name_strategy: strategy, data } })
      expect((without.body as ErrorBody).error_code).to.equal(400)
    }
    expect(hex((await storedIn(stage, topic, 6)).value)).to.equal(`${prefixOf(id)}0e00`)
  })

  it('confluent S13: version 3 refuses members that exclude each other', async () => {
    for (const members of [
      { schema_id: 1, schema_version: 1 },
      { type: 'AVRO', schema: '"int"', schema_id: 1 },
      { type: 'AVRO', schema_id: 1 },
      { schema: '"int"' },
      { subject: 's', subject_name_strategy: 'TOPIC_NAME' },
      { subject_name_strategy: 'NONE' },
      { type: 'JSON', schema_id: 1 },
      { type: 'STRING', subject: 's' }
    ]) {
      const { status, body } = await produceV3(stage, topic, { value: { ...members, data: 1 } })
      expect([status, (body as ErrorBody).error_code], JSON.stringify(members)).to.deep.equal([200, 400])
    }
    await nothingIsWritten()
  })

  for (const way of ['a body', 'a stream'] as const) {
    it(`confluent S14: each record of ${way} with two schemas has its own answer`, async () => {
      const id = await register('value', '"long"')
      const records = [
        { value: { schema_id: id, data: 1 } },
        { value: { schema_id: id, data: 'x' } },
        { value: { type: 'STRING', data: 'plain' } },
        { value: { type: 'AVRO', schema: '"int"', subject: `${topic}-other`, data: 2 } },
        { value: { schema_id: 2_000_000_666, data: 2 } },
        { value: { schema_id: id, data: 9 } }
      ]
      const url = `${stage.url}/v3/clusters/c/topics/${topic}/records`
      const headers = { 'content-type': JSON_TYPE, ...(way === 'a stream' && { 'transfer-encoding': 'chunked' }) }
      const text = records.map(record => JSON.stringify(record)).join('')
      const answer = await call(url, { method: 'POST', headers, body: text })
      const lines = answer.body
        .trim()
        .split('\r\n')
        .map(line => JSON.parse(line) as V3Body)
      expect(lines.map(({ error_code }) => error_code)).to.deep.equal([200, 400, 200, 200, 422, 200])
      expect(lines.flatMap(({ error_code, offset }) => (error_code === 200 ? [offset] : []))).to.deep.equal([
        0, 1, 2, 3
      ])
      expect(lines[1]!.message).to.match(/^value\.data: .*\(in Kafka: no\)$/)
      expect(hex((await storedIn(stage, topic, 3)).value)).to.equal(`${prefixOf(id)}12`)
    })
  }

  it('confluent S14: a batch writes the entries that fit', async () => {
    const id = await register('value', '"long"')
    const entries = [
      { id: 'a', value: { schema_id: id, data: 1 } },
      { id: 'b', value: { schema_id: id, data: 'x' } },
      { id: 'c', value: { type: 'JSON', data: {} } }
    ]
    const { status, body } = await stage.post(`/v3/clusters/c/topics/${topic}/records:batch`, JSON_TYPE, { entries })
    const { successes, failures } = body as Record<'successes' | 'failures', readonly (V3Body & { id: string })[]>
    expect([status, successes.map(one => one.id)]).to.deep.equal([207, ['a', 'c']])
    expect(failures.map(one => [one.id, one.error_code])).to.deep.equal([['b', 400]])
    expect(successes[0]!.value.schema_id).to.equal(id)
  })

  it('confluent S16: integers of 64 bits, and bytes, are written and read to the bit', async () => {
    const schema = JSON.stringify({
      type: 'record',
      name: 'Exact',
      fields: [
        { name: 'long', type: 'long' },
        { name: 'bytes', type: 'bytes' },
        { name: 'map', type: { type: 'map', values: 'int' } }
      ]
    })
    const value = '{"long":9007199254740993,"bytes":"\\u00ff","map":{}}'
    const sent = `{"value_schema":${JSON.stringify(schema)},"records":[{"value":${value}}]}`
    ok(await stage.post(`/topics/${topic}`, AVRO, sent))
    const instance = await readerOf(stage, topic, 'avro')
    const { body } = await call(`${stage.url}${instance}/records?timeout=5000`, { headers: { accept: AVRO } })
    expect(body)
      .to.contain('"long":9007199254740993')
      .and.match(/"bytes":"(?:\\u00ff|ÿ)","map":\{\}/i)
  })

  it('confluent S17: a record without a schema fails the read behind the good ones, until the client goes past it', async () => {
    const good = { value_schema: '"string"', records: [{ value: 'good' }] }
    ok(await produceV2(stage, topic, good))
    await stage.produce(topic, BINARY, [{ value: Buffer.from('plain').toString('base64') }])
    ok(await produceV2(stage, topic, good))
    const instance = await readerOf(stage, topic, 'avro')
    expect((await readSome(stage, instance, 'avro', 1)).map(({ offset }) => offset)).to.deep.equal([0])
    for (let times = 2; times > 0; times--) {
      const { status, body } = await readOnce(stage, instance, 'avro')
      expect([status, (body as ErrorBody).error_code]).to.deep.equal([408, 40801])
      expect((body as ErrorBody).message)
        .to.contain(`offset 1 of ${topic}/0`)
        .and.contain('x-castellan-undecodable')
    }
    const [skipped] = await readSome(stage, instance, 'avro', 1, { 'x-castellan-undecodable': 'skip' })
    expect([skipped!.offset, skipped!.value]).to.deep.equal([2, 'good'])
    const other = await readerOf(stage, topic, 'avro')
    const all = await readSome(stage, other, 'avro', 3, { 'x-castellan-undecodable': 'include' })
    expect(all.map(({ offset, value, error_code }) => [offset, value, error_code])).to.deep.equal([
      [0, 'good', undefined],
      [1, null, 40801],
      [2, 'good', undefined]
    ])
    expect([all[1]!.key, all[1]!.error]).to.deep.equal([null, (all[1] as ReadRecord).error])
    expect(all[1]!.error).to.contain('cannot be decoded')
  })

  it('confluent S18: a null is a tombstone without a schema, and with one it has to fit', async () => {
    const body = ok(await produceV2(stage, topic, { records: [{ key: null, value: null }] }))
    expect([body.key_schema_id, body.value_schema_id]).to.deep.equal([null, null])
    const { key, value } = await storedIn(stage, topic)
    expect([key, value]).to.deep.equal([null, null])
    const strict = await produceV2(stage, topic, { value_schema: '"string"', records: [{ value: null }] })
    expect(codeOf(strict)).to.deep.equal([400, 400])
    const schema = '["null","string"]'
    const other = await stage.topic(1)
    const { value_schema_id: id } = ok(
      await produceV2(stage, other, { value_schema: schema, records: [{ value: null }] })
    )
    expect(hex((await storedIn(stage, other)).value)).to.equal(`${prefixOf(id!)}00`)
    const v3 = await produceV3(stage, topic, { key: null })
    expect((v3.body as V3Body).error_code).to.equal(200)
    expect((await storedIn(stage, topic, 1)).value).to.equal(null)
  })

  describe('with rules of access', () => {
    let ruled: ConfluentStage
    before(async () => {
      const digest = (token: string): string => createHash('sha256').update(token).digest('hex')
      ruled = await ConfluentStage.open({
        ...at().settings,
        'auth.tokens': JSON.stringify(['ann', 'bob'].map(principal => ({ principal, sha256: digest(principal) }))),
        'access.rules': JSON.stringify([
          { principals: ['ann', 'bob'], operations: ['produce'], topics: ['*'] },
          { principals: ['bob'], operations: ['register'], subjects: ['confluent.*-value'] }
        ])
      })
    })
    after(() => ruled?.close())

    it('confluent S20: a new schema needs the permission to register it under its subject, and a known one does not', async () => {
      const name = await ruled.topic(1)
      const post = (body: object, headers: Record<string, string>): Promise<Seen> =>
        ruled.post(`/topics/${name}`, AVRO, body, headers)
      const bob = { authorization: 'Bearer bob' }
      expect(codeOf(await post(INT, ann))).to.deep.equal([403, 40301])
      const keyed = { key_schema: '"int"', value_schema: '"int"', records: [{ key: 1, value: 1 }] }
      expect(codeOf(await post(keyed, bob))).to.deep.equal([403, 40301])
      expect(await ruled.endOf(name, 0)).to.equal(0)
      expect((await post(INT, bob)).status).to.equal(200)
      expect((await post(INT, ann)).status).to.equal(200)
      const path = `${ruled.url}/v3/clusters/c/topics/${name}/records`
      const value = { type: 'AVRO', schema: '"float"', data: 1 }
      const headers = { 'content-type': JSON_TYPE, ...ann }
      const { body } = await call(path, { method: 'POST', headers, body: JSON.stringify({ value }) })
      expect((JSON.parse(body) as ErrorBody).error_code).to.equal(40301)
    })
  })
}
