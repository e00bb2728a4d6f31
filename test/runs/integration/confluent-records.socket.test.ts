import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { expect } from 'chai'
import { call } from '../../support/access.js'
import { ConfluentStage, JSON_TYPE } from '../../support/confluent-stage.js'
import { type RecordAnswer, RecordStreamClient } from './record-stream-client.js'

const linesOf = (body: string): RecordAnswer[] => {
  expect(body.endsWith('\r\n')).to.equal(true)
  return body
    .slice(0, -2)
    .split('\r\n')
    .map(line => JSON.parse(line) as RecordAnswer)
}
const value = (data: unknown, type = 'JSON') => ({ value: { type, data } })
const codes = (answers: readonly RecordAnswer[]): number[] => answers.map(({ error_code }) => error_code)

describe('confluent: records of version 3', function () {
  this.timeout(120_000)
  let stage: ConfluentStage
  let one: string
  before(async () => {
    stage = await ConfluentStage.open()
  })
  after(() => stage?.close())
  beforeEach(async () => {
    one = await stage.topic(1)
  })

  const path = (topic: string): string => `${stage.url}/v3/clusters/c1/topics/${topic}/records`
  const post = async (body: string | Buffer, headers: Record<string, string> = { 'content-type': JSON_TYPE }) => {
    const answer = await call(path(one), { method: 'POST', headers, body: body as string })
    return { ...answer, persisted: answer.headers['x-castellan-persisted'] }
  }
  const open = (topic = one, headers?: Record<string, string>) => new RecordStreamClient(path(topic), headers)

  it('confluent 70: a record with everything is answered with its place and sizes', async () => {
    const headers = [
      { name: 'b', value: 'AAE=' },
      { name: 'a', value: null },
      { name: 'b', value: 'Ag' }
    ]
    const timestamp = '2026-11-20T12:00:00Z'
    const key = { type: 'STRING', data: 'küy' }
    const record = { partition_id: 0, headers, key, ...value({ n: 1 }), timestamp }
    const answer = await post(JSON.stringify(record))
    expect([answer.status, answer.headers['content-type'], answer.persisted]).to.deep.equal([200, JSON_TYPE, 'yes'])
    expect(linesOf(answer.body)).to.deep.equal([
      {
        error_code: 200,
        cluster_id: 'c1',
        topic_name: one,
        partition_id: 0,
        offset: 0,
        timestamp,
        key: { type: 'STRING', size: 4 },
        value: { type: 'JSON', size: 7 }
      }
    ])
    const stored = await stage.record(one, 0, 0)
    expect([stored.key!.toString(), stored.value!.toString(), stored.timestampMs]).to.deep.equal([
      'küy',
      '{"n":1}',
      Date.parse(timestamp)
    ])
    expect(stored.headers.map(({ key, value }) => [key, value && Buffer.from(value).toString('hex')])).to.deep.equal([
      ['b', '0001'],
      ['a', null],
      ['b', '02']
    ])
  })

  it('confluent 71: several records of one body are answered in their order', async () => {
    const answer = await post([0, 1, 2].map(n => JSON.stringify(value(n))).join(''))
    expect(linesOf(answer.body).map(({ offset }) => offset)).to.deep.equal([0, 1, 2])
    expect((await stage.record(one, 0, 2)).value!.toString()).to.equal('2')
  })

  it('confluent 72: a record that cannot be decoded fails alone', async () => {
    const bad = [value('fooba', 'BINARY'), { other: 1 }, value(1, 'STRING'), value('x', 'ODD'), { key: 5 }]
    const records = [value('AAE=', 'BINARY'), ...bad, value('AAE', 'BINARY')]
    const answer = await post(records.map(record => JSON.stringify(record)).join('\n'))
    expect(codes(linesOf(answer.body))).to.deep.equal([200, 400, 400, 400, 400, 400, 200])
    expect(linesOf(answer.body).flatMap(({ offset }) => offset ?? [])).to.deep.equal([0, 1])
    expect(answer.persisted).to.equal('ynnnnny')
    expect(await stage.endOf(one, 0)).to.equal(2)
  })

  it('confluent 74: the first answer comes before the second record is sent', async () => {
    const client = open()
    const { statusCode, headers } = await client.response
    expect([statusCode, headers['content-type']]).to.deep.equal([200, JSON_TYPE])
    for (let n = 0; n < 3; n++) {
      client.send(value(n))
      expect(await client.next()).to.include({ error_code: 200, offset: n })
    }
    client.end()
    expect(await client.next()).to.equal(undefined)
    expect(await client.ended).to.equal('ended')
  })

  it('confluent 74: records may be cut anywhere, and many may come at once', async () => {
    const client = open()
    const text = JSON.stringify({ ...value('a"}{\\ü'), key: { type: 'STRING', data: '[' } })
    for (const byte of Buffer.from(text)) client.sendBytes(Buffer.from([byte]))
    expect(await client.next()).to.include({ error_code: 200, offset: 0 })
    for (let at = 0; at < 2_000; at += 100) client.send(...Array.from({ length: 100 }, (_, i) => value(at + i)))
    client.end()
    const answers = await client.rest()
    expect(answers.map(({ offset }) => offset)).to.deep.equal(Array.from({ length: 2_000 }, (_, i) => i + 1))
    expect((await stage.record(one, 0, 2_000)).value!.toString()).to.equal('1999')
  })

  it('a client that waits for 100 Continue gets it before the answer', async () => {
    const headers = { 'content-type': JSON_TYPE, expect: '100-continue', 'transfer-encoding': 'chunked' }
    const sent = request(path(one), { method: 'POST', headers })
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>
    sent.once('continue', () => sent.end(JSON.stringify(value(1))))
    sent.flushHeaders()
    const [answer] = await answered
    expect([answer.statusCode, codes(linesOf(await text(answer)))]).to.deep.equal([200, [200]])
  })

  it('confluent 74: errors have their places among the answers of a stream', async () => {
    const client = open()
    client.send(value(1), { partition_id: -1 }, value('fooba', 'BINARY'), value(2))
    // What is not JSON ends the stream.
    client.send('{"value": {"type": "JSON", "data": }}', value(3))
    expect(codes(await client.rest())).to.deep.equal([200, 40402, 400, 200, 400])
    expect(await stage.endOf(one, 0)).to.equal(2)
  })

  it('confluent 75: a record without key and value is null, and a value without a type needs a registry', async () => {
    const answer = await post(
      '{}{"value":{"data":1}}{"key":{"type":"JSON","data":null}}{"value":{"type":"AVRO","data":1}}'
    )
    const [empty, untyped, none, avro] = linesOf(answer.body)
    expect(empty).to.include({ error_code: 200, offset: 0 }).and.not.have.any.keys('key', 'value')
    expect([untyped!.error_code, avro!.error_code]).to.deep.equal([422, 422])
    expect(none).to.deep.include({ error_code: 200, key: { type: 'JSON', size: -1 } })
    const { key, value: stored } = await stage.record(one, 0, 1)
    expect([key, stored]).to.deep.equal([null, null])
  })

  it('confluent 76: a partition that there cannot be, and one that there is not, are answered at once', async () => {
    const answer = await post('{"partition_id":-1}{"partition_id":99}{"partition_id":0}')
    expect(codes(linesOf(answer.body))).to.deep.equal([40402, 40401, 200])
    // What was looked up a moment ago is not looked up again.
    const lookUp = stage.cluster.faults?.add({ api: 'Metadata', topic: one }, { type: 'delay', delayMs: 0 })
    const again = await post('{"partition_id":99}')
    lookUp?.remove()
    expect([codes(linesOf(again.body)), lookUp?.fired ?? 0]).to.deep.equal([[40401], 0])
    const client = open('none')
    client.send({})
    expect(await client.next()).to.include({ error_code: 40401 })
    client.destroy()
  })

  it('confluent 77: a record above the limit of Kafka is answered 413, and the next one is written', async () => {
    const client = open()
    client.send(value('x'.repeat(2_000_000), 'STRING'), value(1))
    expect(codes([(await client.next())!, (await client.next())!])).to.deep.equal([413, 200])
    client.end()
    expect(await client.ended).to.equal('ended')
  })

  it('confluent 78: another content type is answered 415, another charset 400', async () => {
    const codeOf = ({ status, body }: { status: number; body: string }) => [status, JSON.parse(body).error_code]
    expect(codeOf(await post('{}', { 'content-type': 'text/plain' }))).to.deep.equal([415, 415])
    expect(codeOf(await post('{}', { 'content-type': `${JSON_TYPE}; charset=latin-9` }))).to.deep.equal([400, 400])
    const latin1 = { 'content-type': `${JSON_TYPE}; charset=ISO-8859-1` }
    await post(Buffer.from(JSON.stringify(value('ü', 'STRING')), 'latin1'), latin1)
    expect((await stage.record(one, 0, 0)).value!.toString()).to.equal('ü')
  })

  const batch = async (body: unknown) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await call(`${path(one)}:batch`, {
      method: 'POST',
      headers: { 'content-type': JSON_TYPE },
      body: text
    })
    return { ...answer, body: JSON.parse(answer.body), persisted: answer.headers['x-castellan-persisted'] }
  }

  it('confluent 79: entries of a batch succeed and fail by their ids', async () => {
    const entries = [
      { id: '1', ...value({ n: 1 }) },
      { id: 'b-2_', ...value('fooba', 'BINARY') },
      { ...value('x', 'STRING'), id: '3', partition_id: 9 }
    ]
    const { status, body, persisted } = await batch({ entries })
    expect([status, persisted]).to.deep.equal([207, 'ynn'])
    const [success] = body.successes
    expect([success.id, success.offset, success.value]).to.deep.equal(['1', 0, { type: 'JSON', size: 7 }])
    expect(success).to.not.have.property('error_code')
    expect(
      body.failures.map(({ id, error_code }: { id: string; error_code: number }) => [id, error_code])
    ).to.deep.equal([
      ['b-2_', 400],
      ['3', 40401]
    ])
  })

  it('confluent 79: a batch with wrong ids, without entries or with too many is refused as a whole', async () => {
    const many = Array.from({ length: 11 }, (_, i) => ({ id: String(i) }))
    for (const entries of [
      [],
      many,
      [{ id: '1' }, { id: '1' }],
      [{}],
      [{ id: '' }],
      [{ id: 'ü' }],
      [{ id: 1 }],
      [{ id: null }],
      [{ id: '1' }, { id: 2 }],
      [{ id: 'x'.repeat(81) }]
    ]) {
      const { status, body, persisted } = await batch({ entries })
      expect([status, body.error_code, persisted], JSON.stringify(entries)).to.deep.equal([422, 42208, 'no'])
    }
    for (const [text, code] of [
      ['{', 400],
      ['', 422],
      ['{"other":1}', 422]
    ] as const) {
      expect([text, (await batch(text)).status]).to.deep.equal([text, code])
    }
    expect(await stage.endOf(one, 0)).to.equal(0)
  })
})
