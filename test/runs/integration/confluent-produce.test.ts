import { connect } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { expect } from 'chai'
import { partitioners } from '../../../src/producer/memory/partitioners.js'
import { call } from '../../support/access.js'
import { BINARY, ConfluentStage, JSON_RECORDS, JSON_TYPE, type Seen, V2 } from '../../support/confluent-stage.js'
import { inWorld } from './in-world.js'

interface Offset {
  readonly partition: number
  readonly offset: number
  readonly error_code: number | null
  readonly error: string | null
}

const offsetsOf = ({ body }: Seen): Offset[] => (body as { offsets: Offset[] }).offsets
const brief = ({ status, type, body }: Seen): unknown[] => [status, type, (body as { error_code?: number })?.error_code]

describe('confluent: version 2', () => {
  inWorld()
  let stage: ConfluentStage
  let one: string
  let orders: string
  before(async () => {
    stage = await ConfluentStage.open()
  })
  after(() => stage?.close())
  beforeEach(async () => {
    one = await stage.topic(1)
    orders = await stage.topic(3)
  })

  it('confluent 1: the root answers an empty object', async () => {
    for (const answer of [await stage.get('/', V2), await stage.post('/', undefined, '')]) {
      expect([answer.status, answer.type, answer.body]).to.deep.equal([200, V2, {}])
    }
  })

  it('takes records for a partition that another client has just added', async () => {
    const to = (partition: number) => stage.produce(orders, JSON_RECORDS, [{ value: 1, partition }])
    expect(offsetsOf(await to(2))).to.deep.include({ partition: 2, offset: 0, error_code: null, error: null })
    await stage.cluster.growTopic(orders, 5)
    expect(offsetsOf(await to(4))).to.deep.include({ partition: 4, offset: 0, error_code: null, error: null })
  })

  it('confluent 2: a client that takes no type of the answers is answered 406, one that takes JSON is served', async () => {
    expect(brief(await stage.get('/', 'text/plain'))).to.deep.equal([406, JSON_TYPE, 406])
    const topics = await stage.get('/topics', JSON_TYPE)
    expect([topics.status, topics.type]).to.deep.equal([200, V2])
  })

  it('confluent 3: the topics are listed by name', async () => {
    const { status, type, body } = await stage.get('/topics')
    expect([status, type]).to.deep.equal([200, V2])
    expect(body).to.include.members([one, orders])
  })

  it('confluent 4: another content type is answered 415, in the type that the client names', async () => {
    const post = (headers?: Record<string, string>) => stage.post(`/topics/${orders}`, 'text/plain', 'hello', headers)
    expect(brief(await post())).to.deep.equal([415, JSON_TYPE, 415])
    expect(brief(await post({ accept: V2 }))).to.deep.equal([415, V2, 415])
  })

  it('confluent 5: records as application/json have the json format', async () => {
    const topic = await stage.topic(1)
    const body = { records: [{ value: { a: 1 } }] }
    const answer = await stage.post(`/topics/${topic}`, `${JSON_TYPE}; charset=utf-8`, body)
    expect([answer.status, answer.type, answer.persisted]).to.deep.equal([200, V2, 'yes'])
    expect((await stage.record(topic, 0, 0)).value!.toString()).to.equal('{"a":1}')
  })

  it('confluent 6: a path without a route is answered 404', async () => {
    expect(brief(await stage.get('/nope'))).to.deep.equal([404, JSON_TYPE, 404])
    expect(brief(await stage.get('/topics/a/b/c', V2))).to.deep.equal([404, V2, 404])
  })

  it('confluent 7: a topic has its name, its settings as texts, and its partitions', async () => {
    const { status, type, body } = await stage.get(`/topics/${orders}/`)
    expect([status, type]).to.deep.equal([200, V2])
    const { name, configs, partitions } = body as { name: string; configs: object; partitions: { leader: number }[] }
    expect([name, partitions.length]).to.deep.equal([orders, 3])
    for (const value of Object.values(configs)) expect(value).to.be.a('string')
    for (const { leader } of partitions) expect(stage.cluster.nodeIds).to.include(leader)
  })

  it('confluent 8: an unknown topic is answered 404 and not created', async () => {
    expect(brief(await stage.get('/topics/none'))).to.deep.equal([404, V2, 40401])
    expect((await stage.get('/topics')).body).to.not.include('none')
  })

  it('confluent 9: partitions are listed, and found by number', async () => {
    const all = await stage.get(`/topics/${orders}/partitions`)
    expect(all.body).to.have.length(3)
    const partition = await stage.get(`/topics/${orders}/partitions/1`)
    expect([partition.status, partition.body]).to.deep.equal([200, (all.body as object[])[1]])
    expect(partition.body).to.have.all.keys('partition', 'leader', 'replicas')
    for (const missing of ['99', '-1', 'x']) {
      expect(brief(await stage.get(`/topics/${orders}/partitions/${missing}`))).to.deep.equal([404, V2, 40402])
    }
  })

  it('confluent 11: binary records are stored as their bytes', async () => {
    const answer = await stage.produce(one, BINARY, [{ key: 'a2V5', value: 'AAH/' }])
    expect([answer.status, answer.type, answer.persisted]).to.deep.equal([200, V2, 'yes'])
    expect(answer.body).to.deep.equal({
      offsets: [{ partition: 0, offset: 0, error_code: null, error: null }],
      key_schema_id: null,
      value_schema_id: null
    })
    const { key, value } = await stage.record(one, 0, 0)
    expect([key, value]).to.deep.equal([Buffer.from('key'), Buffer.from([0, 1, 255])])
  })

  it('confluent 12: offsets come in the order of the records', async () => {
    const few = await stage.produce(
      orders,
      JSON_RECORDS,
      [2, 0, 1].map(partition => ({ value: 1, partition }))
    )
    expect(offsetsOf(few).map(({ partition }) => partition)).to.deep.equal([2, 0, 1])
    const asked = Array.from({ length: 1_000 }, (_, i) => ({ value: i, partition: (i * 7) % 3 }))
    const many = offsetsOf(await stage.produce(orders, JSON_RECORDS, asked))
    expect(many.map(({ partition }) => partition)).to.deep.equal(asked.map(({ partition }) => partition))
    for (const at of [0, 500, 999]) {
      const { value } = await stage.record(orders, many[at]!.partition, many[at]!.offset)
      expect(value!.toString()).to.equal(String(at))
    }
  })

  it('confluent 13: a key has its partition by murmur2 of its JSON bytes', async () => {
    const keys = ['k', 'k', 'a', 'other', 7, { id: 1 }]
    const answer = await stage.produce(
      orders,
      JSON_RECORDS,
      keys.map(key => ({ key, value: 1 }))
    )
    const byHash = keys.map(key => partitioners.murmur2(Buffer.from(JSON.stringify(key)), 3, orders))
    expect(offsetsOf(answer).map(({ partition }) => partition)).to.deep.equal(byHash)
    const spaced = await stage.post(`/topics/${orders}`, JSON_RECORDS, '{"records": [{"key": {"id" : 1}, "value": 1}]}')
    expect(offsetsOf(spaced)[0]!.partition).to.equal(offsetsOf(answer)[5]!.partition)
  })

  it('confluent 14: null is a tombstone, and the JSON bytes of a text have quotes', async () => {
    await stage.produce(one, JSON_RECORDS, [{ key: 'k', value: null }])
    const { key, value } = await stage.record(one, 0, 0)
    expect([key!.toString(), value]).to.deep.equal(['"k"', null])
  })

  it('confluent 14: numbers keep their digits, and texts their characters', async () => {
    const body = '{"records":[{"value":{"n" : 12345678901234567890.10, "s":"\\u00fc \\/ \\n"}}]}'
    await stage.post(`/topics/${one}`, JSON_RECORDS, body)
    const { value } = await stage.record(one, 0, 0)
    expect(value!.toString()).to.equal('{"n":12345678901234567890.10,"s":"ü / \\n"}')
  })

  for (const body of ['{}', '{"records":[]}', '{"records":null}', '', '{"records":[{"value":"YQ=="}],"other":1}']) {
    it(`confluent 16: ${body || 'an empty body'} is answered 422`, async () => {
      expect(brief(await stage.post(`/topics/${one}`, BINARY, body))).to.deep.equal([422, V2, 422])
    })
  }

  for (const body of [
    '{"records":[',
    '{"records":{}}',
    '[]',
    '{"records":[{"value":1,}]}',
    '{"records":[{"value":"\\ud800"}]}'
  ]) {
    it(`confluent 17: ${body} is answered 400`, async () => {
      expect(brief(await stage.post(`/topics/${one}`, JSON_RECORDS, body))).to.deep.equal([400, V2, 400])
    })
  }

  it('confluent 18: headers are refused unless a setting takes them', async () => {
    const answer = await stage.produce(one, JSON_RECORDS, [{ value: 1, headers: [] }])
    expect(brief(answer)).to.deep.equal([422, V2, 422])
    const other = await ConfluentStage.open({ 'apis.confluent.recordMembers': 'headersAndTimestamp' })
    try {
      const topic = await other.topic(1)
      const headers = [
        { key: 'trace', value: 'AAE=' },
        { key: 'none', value: null }
      ]
      await other.produce(topic, JSON_RECORDS, [{ value: 1, headers, timestamp: 1_700_000_000_000 }])
      const record = await other.record(topic, 0, 0)
      expect(record.timestampMs).to.equal(1_700_000_000_000)
      expect(record.headers.map(({ key, value }) => [key, value && Buffer.from(value)])).to.deep.equal([
        ['trace', Buffer.from([0, 1])],
        ['none', null]
      ])
    } finally {
      await other.close()
    }
  })

  it('confluent 19: the partition of a record wins over that of the path', async () => {
    const partitions = async (records: readonly object[]) =>
      offsetsOf(await stage.produce(orders, BINARY, records, '/partitions/1')).map(({ partition }) => partition)
    expect(await partitions([{ value: 'YQ==' }])).to.deep.equal([1])
    expect(await partitions([{ value: 'YQ==', partition: 2 }, { value: 'YQ==' }])).to.deep.equal([2, 1])
  })

  it('confluent 19: a partition that the topic does not have is answered 404', async () => {
    const answer = await stage.produce(orders, BINARY, [{ value: 'YQ==' }], '/partitions/99')
    expect([...brief(answer), answer.persisted]).to.deep.equal([404, V2, 40402, 'no'])
    const mixed = await stage.produce(orders, BINARY, [
      { value: 'YQ==', partition: 99 },
      { value: 'YQ==', partition: 1 }
    ])
    expect([mixed.status, mixed.persisted]).to.deep.equal([200, 'ny'])
    expect(offsetsOf(mixed).map(({ error_code }) => error_code)).to.deep.equal([40402, null])
  })

  it('confluent 21: an unknown topic is answered 404 at once, and not created', async () => {
    const answer = await stage.produce('none', JSON_RECORDS, [{ value: 1 }, { value: 2 }])
    expect([...brief(answer), answer.persisted]).to.deep.equal([404, V2, 40401, 'no'])
  })

  it('formats that need a schema registry are refused, since there is none', async () => {
    const answer = await stage.produce(one, 'application/vnd.kafka.avro.v2+json', [{ value: 1 }])
    expect(brief(answer)).to.deep.equal([422, V2, 42206])
  })

  it('another method of a path is answered 405 with the methods that it has', async () => {
    const answer = await stage.post(`/topics/${one}/partitions`, JSON_RECORDS, '{}')
    expect([...brief(answer), answer.headers.allow]).to.deep.equal([405, V2, 405, 'GET, HEAD'])
    const topic = await call(`${stage.url}/topics/${one}`, { method: 'DELETE' })
    expect([topic.status, topic.headers.allow]).to.deep.equal([405, 'GET, HEAD, POST'])
  })

  for (const path of ['/brokers', '/v3/clusters', '/topics/none']) {
    it(`HEAD of ${path} has the status and headers of GET, and no body`, async () => {
      const { status, type, headers } = await stage.get(path)
      const text = ['HEAD', 'GET']
        .map(
          method =>
            `${method} ${path} HTTP/1.1\r\nhost: ${new URL(stage.url).host}\r\n${method === 'GET' ? 'connection: close\r\n' : ''}\r\n`
        )
        .join('')
      const socket = connect(Number(new URL(stage.url).port), '127.0.0.1')
      socket.write(text)
      const [first, second] = (await readText(socket)).split(/(?<=\r\n\r\n)(?=HTTP)/)
      expect(first).to.match(new RegExp(`^HTTP/1.1 ${status} `))
      expect(first!.toLowerCase())
        .to.include(`content-type: ${type}\r\n`)
        .and.include(`content-length: ${headers['content-length']}\r\n`)
      expect(first!.endsWith('\r\n\r\n')).to.equal(true)
      expect(second)
        .to.match(new RegExp(`^HTTP/1.1 ${status} `))
        .and.to.match(/[\]}]$/)
    })
  }

  it('the API is under its prefix on the shared port as well', async () => {
    const answer = await call(`${stage.app.urls.shared}/confluent/topics/${orders}`, {
      method: 'POST',
      headers: { 'content-type': JSON_RECORDS },
      body: '{"records":[{"value":1}]}'
    })
    expect([answer.status, answer.headers['content-type']]).to.deep.equal([200, V2])
    expect((await call(`${stage.app.urls.shared}/confluent`)).status).to.equal(200)
  })
})
