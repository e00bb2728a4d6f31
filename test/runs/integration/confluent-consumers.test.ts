import { expect } from 'chai'
import { call } from '../../support/access.js'
import { BINARY, ConfluentStage, JSON_RECORDS, JSON_TYPE, type Seen, V2 } from '../../support/confluent-stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const brief = ({ status, type, body }: Seen): unknown[] => [status, type, (body as { error_code?: number })?.error_code]
const plain = ({ status, type, body }: Seen): unknown[] => [status, type, body]
const earliest = { 'auto.offset.reset': 'earliest', 'auto.commit.enable': 'false' }

interface JsonRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly value: unknown
}

describe('confluent: consumer instances', () => {
  inWorld()
  let stage: ConfluentStage
  let one: string
  let orders: string
  let group: string
  before(async () => {
    stage = await ConfluentStage.open()
  })
  after(() => stage?.close())
  beforeEach(async () => {
    one = await stage.topic(1)
    orders = await stage.topic(3)
    group = stage.group()
  })

  const request = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Seen> =>
    stage.ask(method, path, body, { ...(body !== undefined && { 'content-type': V2 }), ...headers })
  /** Creates an instance; returns the path of its routes. */
  const created = async (settings: object = earliest): Promise<string> => {
    const { status, body } = await request('POST', `/consumers/${group}`, settings)
    expect(status, JSON.stringify(body)).to.equal(200)
    return `/consumers/${group}/instances/${(body as { instance_id: string }).instance_id}`
  }
  const json = { ...earliest, format: 'json' }
  const assigned = async (topic: string, settings: object = json): Promise<string> => {
    const path = await created(settings)
    const assignment = { partitions: [{ topic, partition: 0 }] }
    expect((await request('POST', `${path}/assignments`, assignment)).status).to.equal(204)
    return path
  }
  const read = (path: string, query = '', accept = JSON_RECORDS): Promise<Seen> =>
    request('GET', `${path}/records${query}`, undefined, { accept })
  /** Reads until there are so many records. */
  const readSome = async (path: string, count: number): Promise<JsonRecord[]> => {
    const all: JsonRecord[] = []
    while (all.length < count) all.push(...((await read(path)).body as JsonRecord[]))
    return all
  }
  const produceJson = async (topic: string, ...values: unknown[]): Promise<void> => {
    const records = values.map(value => ({ value, partition: 0 }))
    expect((await stage.produce(topic, JSON_RECORDS, records)).status).to.equal(200)
  }

  it('confluent 24: an instance is created under its name, and says where it is', async () => {
    const answer = await request('POST', `/consumers/${group}`, { name: 'a', format: 'json', ...earliest })
    expect(plain(answer)).to.deep.equal([
      200,
      V2,
      { instance_id: 'a', base_uri: `${stage.url}/consumers/${group}/instances/a` }
    ])
  })

  it('an instance whose name no path can have is refused', async () => {
    for (const name of ['', '.', '..', '\ud800']) {
      for (const body of [{ name }, { id: name }])
        expect(brief(await request('POST', `/consumers/${group}`, body)), name).to.deep.equal([400, V2, 40002])
    }
    expect((await request('POST', `/consumers/${group}`, { name: '...' })).status).to.equal(200)
  })

  it('an instance of a group whose name is not percent-encoded is refused', async () => {
    for (const name of ['%zz', '%FF']) {
      const answer = await request('POST', `/consumers/${name}`, earliest)
      expect(brief(answer)).to.deep.equal([400, V2, 400])
    }
  })

  it('confluent 25: a name is taken once per group', async () => {
    await created({ name: 'a' })
    expect(brief(await request('POST', `/consumers/${group}`, { name: 'a' }))).to.deep.equal([409, V2, 40902])
  })

  it('confluent 26: without a body the name is made up, and records are binary', async () => {
    const { status, body } = await request('POST', `/consumers/${group}/`)
    expect(status).to.equal(200)
    const { instance_id: name } = body as { instance_id: string }
    expect(name).to.match(/^rest-consumer-[0-9a-f-]{36}$/)
    const path = `/consumers/${group}/instances/${name}`
    await request('POST', `${path}/subscription`, { topics: [one] })
    expect(plain(await request('GET', `${path}/records?timeout=1`))).to.deep.equal([200, BINARY, []])
  })

  it('confluent 27: a format that there is not is refused', async () => {
    expect(brief(await request('POST', `/consumers/${group}`, { format: 'xml' }))).to.deep.equal([422, V2, 422])
    expect((await request('POST', `/consumers/${group}`, { format: 'JSON' })).status).to.equal(200)
  })

  it('confluent 28: a beginning that there is not is refused, and the name stays free', async () => {
    const odd = { name: 'a', 'auto.offset.reset': 'odd' }
    expect(brief(await request('POST', `/consumers/${group}`, odd))).to.deep.equal([422, V2, 42204])
    await created({ name: 'a' })
  })

  it('confluent 29: a number of bytes below -1 is refused', async () => {
    const few = { 'fetch.min.bytes': -2 }
    expect(brief(await request('POST', `/consumers/${group}`, few))).to.deep.equal([422, V2, 40001])
  })

  it('confluent 30: the usual spelling of automatic commits is taken, an unknown member is not', async () => {
    await created({ 'enable.auto.commit': false, 'max.poll.records': '7' })
    expect(brief(await request('POST', `/consumers/${group}`, { nope: 1 }))).to.deep.equal([422, V2, 422])
    expect(brief(await request('POST', `/consumers/${group}`, { name: 7 }))).to.deep.equal([400, V2, 400])
  })

  it('confluent 32: a subscription is set, shown and ended', async () => {
    const path = await created()
    expect(plain(await request('POST', `${path}/subscription`, { topics: [orders] }))).to.deep.equal([
      204,
      undefined,
      undefined
    ])
    const show = () => request('GET', `${path}/subscription`)
    expect(plain(await show())).to.deep.equal([200, V2, { topics: [orders] }])
    const ended = await request('DELETE', `${path}/subscription`)
    expect(ended.status).to.equal(204)
    expect(ended.headers).to.not.have.property('content-length')
    expect(plain(await show())).to.deep.equal([200, V2, { topics: [] }])
  })

  it('confluent 33: a subscribed instance is assigned no partitions', async () => {
    const path = await created()
    await request('POST', `${path}/subscription`, { topics: [orders] })
    const assignment = { partitions: [{ topic: orders, partition: 0 }] }
    expect(brief(await request('POST', `${path}/assignments`, assignment))).to.deep.equal([409, V2, 40903])
  })

  it('confluent 35, confluent 36: partitions are assigned and shown; then it cannot subscribe', async () => {
    const path = await assigned(orders)
    const assignment = { partitions: [{ topic: orders, partition: 0 }] }
    expect(plain(await request('GET', `${path}/assignments`))).to.deep.equal([200, V2, assignment])
    const topics = { topics: [orders] }
    expect(brief(await request('POST', `${path}/subscription`, topics))).to.deep.equal([409, V2, 40903])
  })

  it('confluent 37: a pattern chooses the topics', async () => {
    await produceJson(orders, 'other')
    await produceJson(one, 'wanted')
    const path = await created(json)
    const pattern = { topic_pattern: `${one.slice(0, -1)}.` }
    expect((await request('POST', `${path}/subscription`, pattern)).status).to.equal(204)
    expect((await readSome(path, 1)).map(({ topic }) => topic)).to.deep.equal([one])
    expect((await request('POST', `${path}/subscription`, { topic_pattern: '(' })).status).to.equal(400)
  })

  it('confluent 38: a subscription needs a body', async () => {
    const path = await created()
    expect(brief(await request('POST', `${path}/subscription`))).to.deep.equal([422, V2, 422])
    expect((await request('POST', `${path}/subscription`, {})).status).to.equal(204)
  })

  it('confluent 39, confluent 43: an instance that is not there is answered 404', async () => {
    const path = `/consumers/${group}/instances/nope`
    const offsets = { partitions: [{ topic: one, partition: 0 }] }
    const answers = await Promise.all([
      request('DELETE', path, undefined, { accept: V2 }),
      request('POST', `${path}/subscription`, { topics: [one] }),
      request('GET', `${path}/subscription`),
      request('POST', `${path}/assignments`, offsets),
      request('POST', `${path}/positions/end`, offsets),
      request('POST', `${path}/offsets`, { offsets: [] }),
      request('GET', `${path}/offsets`, offsets),
      request('GET', `${path}/records`, undefined, { accept: V2 })
    ])
    for (const answer of answers) expect(brief(answer)).to.deep.equal([404, V2, 40403])
    expect(brief(await request('GET', `${path}/records`))).to.deep.equal([404, BINARY, 40403])
  })

  it('confluent 40: JSON records come as they are stored, with these members only', async () => {
    await produceJson(one, { n: 1 })
    const path = await assigned(one)
    let answer = await read(path)
    while ((answer.body as unknown[]).length === 0) answer = await read(path)
    expect(plain(answer)).to.deep.equal([
      200,
      JSON_RECORDS,
      [{ topic: one, key: null, value: { n: 1 }, partition: 0, offset: 0 }]
    ])
  })

  it('confluent 41: records of a format that the client does not name are refused', async () => {
    const path = await assigned(one)
    expect(brief(await read(path, '', BINARY))).to.deep.equal([406, BINARY, 40601])
    expect(brief(await read(path, '', V2))).to.deep.equal([406, V2, 40601])
    expect(brief(await request('GET', `${path}/records`))).to.deep.equal([406, BINARY, 40601])
    expect((await read(path, '?timeout=1', JSON_TYPE)).type).to.equal(JSON_RECORDS)
  })

  it('confluent 42: binary records have keys and values in base64', async () => {
    await stage.produce(one, BINARY, [{ key: 'a2V5', value: 'AAH/' }, { value: null }, { key: '', value: '' }])
    const path = await assigned(one, earliest)
    const records: unknown[] = []
    while (records.length < 3) {
      const { status, type, body } = await request('GET', `${path}/records`)
      expect([status, type]).to.deep.equal([200, BINARY])
      records.push(...(body as unknown[]))
    }
    expect(records).to.deep.equal([
      { topic: one, key: 'a2V5', value: 'AAH/', partition: 0, offset: 0 },
      { topic: one, key: null, value: null, partition: 0, offset: 1 },
      { topic: one, key: '', value: '', partition: 0, offset: 2 }
    ])
  })

  it('confluent 44: a read without records is answered when its time is over', async () => {
    const path = await assigned(one)
    for (const query of ['?timeout=200', '?timeout=60000']) {
      expect(plain(await read(path, query))).to.deep.equal([200, JSON_RECORDS, []])
    }
  })

  it('confluent 45: a read is answered as soon as there is a record', async () => {
    const settings = { ...json, 'consumer.request.timeout.ms': 100_000, 'fetch.min.bytes': 1 }
    const path = await assigned(one, settings)
    const reading = read(path)
    await produceJson(one, 'soon')
    expect(((await reading).body as JsonRecord[]).map(({ value }) => value)).to.deep.equal(['soon'])
  })

  it('confluent 47: one record comes however large it is', async () => {
    await produceJson(one, 'x'.repeat(1_000), 'y')
    const path = await assigned(one)
    let answer = await read(path, '?max_bytes=1')
    while ((answer.body as unknown[]).length === 0) answer = await read(path, '?max_bytes=1')
    expect((answer.body as JsonRecord[]).map(({ offset }) => offset)).to.deep.equal([0])
    expect((await readSome(path, 1)).map(({ value }) => value)).to.deep.equal(['y'])
  })

  it('confluent 48: a value that is not JSON is named once the records before it have come, and a position skips it', async () => {
    await produceJson(one, 'before')
    await stage.produce(one, BINARY, [{ value: Buffer.from('{oops').toString('base64') }])
    await produceJson(one, 'after')
    const path = await assigned(one)
    expect((await readSome(path, 1)).map(({ value }) => value)).to.deep.equal(['before'])
    for (let times = 2; times > 0; times--) {
      const answer = await read(path)
      expect(brief(answer)).to.deep.equal([408, JSON_RECORDS, 40801])
      expect((answer.body as { message: string }).message).to.contain(`offset 1 of ${one}/0`)
    }
    await request('POST', `${path}/positions`, { offsets: [{ topic: one, partition: 0, offset: 2 }] })
    expect((await readSome(path, 1)).map(({ value }) => value)).to.deep.equal(['after'])
  })

  it('confluent 87: a client goes past values that are not JSON, and a commit covers them', async () => {
    await produceJson(one, 'before')
    for (const text of ['{oops', 'none'])
      await stage.produce(one, BINARY, [{ value: Buffer.from(text).toString('base64') }])
    await produceJson(one, 'after')
    const path = await assigned(one)
    const readWith = async (undecodable: string): Promise<Seen> => {
      const headers = { accept: JSON_RECORDS, 'x-castellan-undecodable': undecodable }
      return request('GET', `${path}/records?timeout=30000`, undefined, headers)
    }
    const include = await readWith('include')
    const place = { topic: one, key: null, partition: 0 }
    const failed = (offset: number): object => ({
      ...place,
      value: null,
      offset,
      error_code: 40801,
      error: `the record at offset ${offset} of ${one}/0 has a value that is not JSON`
    })
    expect(plain(include)).to.deep.equal([
      200,
      JSON_RECORDS,
      [{ ...place, value: 'before', offset: 0 }, failed(1), failed(2), { ...place, value: 'after', offset: 3 }]
    ])
    await request('POST', `${path}/positions/beginning`, { partitions: [{ topic: one, partition: 0 }] })
    const skip = await readWith('skip')
    expect((skip.body as JsonRecord[]).map(({ offset }) => offset)).to.deep.equal([0, 3])
    expect((await request('POST', `${path}/offsets`)).status).to.equal(200)
    const committed = await request('GET', `${path}/offsets?topic=${one}&partition=0`)
    expect((committed.body as { offsets: { offset: number }[] }).offsets[0]!.offset).to.equal(4)
    expect(brief(await readWith('drop'))).to.deep.equal([400, JSON_RECORDS, 400])
    const metrics = await call(`${stage.app.urls.management}/metrics`)
    const counted = (handling: string): string =>
      `castellan_undecodable_records_total{api="confluent",handling="${handling}"} 2\n`
    expect(metrics.body).to.contain(counted('skip')).and.contain(counted('include'))
  })

  it('confluent 50, confluent 51: a commit stores the offset after the one that is named', async () => {
    const path = await created()
    const offsets = [{ topic: one, partition: 0, offset: 20 }]
    expect(plain(await request('POST', `${path}/offsets`, { offsets }))).to.deep.equal([200, V2, []])
    const committed = await request('GET', `${path}/offsets`, { partitions: [{ topic: one, partition: 0 }] })
    expect(plain(committed)).to.deep.equal([
      200,
      V2,
      { offsets: [{ topic: one, partition: 0, offset: 21, metadata: '' }] }
    ])
    const query = await request('GET', `${path}/offsets?topic=${one}&partition=0`)
    expect(query.body).to.deep.equal(committed.body)
  })

  it('confluent 52: partitions are needed for their committed offsets, a content type is not', async () => {
    const path = await created()
    expect(brief(await request('GET', `${path}/offsets`))).to.deep.equal([404, V2, 40402])
    const body = JSON.stringify({ partitions: [{ topic: one, partition: 0 }] })
    const untyped = await call(`${stage.url}${path}/offsets`, {
      method: 'GET',
      headers: { 'content-length': String(body.length) },
      body
    })
    expect([untyped.status, JSON.parse(untyped.body)]).to.deep.equal([200, { offsets: [] }])
    const text = await request('GET', `${path}/offsets`, { partitions: [] }, { 'content-type': 'text/plain' })
    expect(text.status).to.equal(415)
  })

  it('confluent 53: a partition without a committed offset is left out', async () => {
    const path = await created()
    const committed = await request('GET', `${path}/offsets`, { partitions: [{ topic: one, partition: 0 }] })
    expect(plain(committed)).to.deep.equal([200, V2, { offsets: [] }])
  })

  it('confluent 55: an offset that is no number is refused', async () => {
    const path = await created()
    const offsets = [{ topic: one, partition: 0, offset: 'tank' }]
    expect(brief(await request('POST', `${path}/offsets`, { offsets }))).to.deep.equal([400, V2, 400])
  })

  it('confluent 56: a position of a partition that is not assigned is refused', async () => {
    const path = await created()
    const offsets = [{ topic: one, partition: 0, offset: 0 }]
    expect(brief(await request('POST', `${path}/positions`, { offsets }))).to.deep.equal([409, V2, 40903])
  })

  it('a position beyond the end, set or committed, is one where auto.offset.reset says', async () => {
    await produceJson(one, 'a', 'b', 'c')
    const sought = await assigned(one)
    const offsets = [{ topic: one, partition: 0, offset: 99 }]
    expect((await request('POST', `${sought}/positions`, { offsets })).status).to.equal(204)
    await stage.commit(group, one, new Map([[0, 70]]))
    const subscribed = await created(json)
    expect((await request('POST', `${subscribed}/subscription`, { topics: [one] })).status).to.equal(204)
    for (const path of [sought, subscribed])
      expect((await readSome(path, 3)).map(({ value }) => value)).to.deep.equal(['a', 'b', 'c'])
  })

  it('confluent 58: positions are set by time, to the beginning and to the end', async () => {
    const old = { value: 'b2xk', partition: 0 }
    await stage.produce(one, BINARY, [old, old])
    const path = await assigned(one, earliest)
    const { timestampMs } = await stage.record(one, 0, 1)
    const timestamp = new Date(timestampMs).toISOString()
    const offsets = async (): Promise<number[]> => {
      for (;;) {
        const records = (await request('GET', `${path}/records`)).body as JsonRecord[]
        if (records.length > 0) return records.map(({ offset }) => offset)
      }
    }
    const partition = { topic: one, partition: 0 }
    const timestamps = [{ ...partition, timestamp }]
    expect((await request('POST', `${path}/positions`, { timestamps })).status).to.equal(204)
    expect(await offsets()).to.include(1)
    const partitions = [partition]
    expect((await request('POST', `${path}/positions/beginning`, { partitions })).status).to.equal(204)
    expect((await offsets())[0]).to.equal(0)
    expect((await request('POST', `${path}/positions/end`, { partitions })).status).to.equal(204)
    await stage.produce(one, BINARY, [old])
    expect(await offsets()).to.deep.equal([2])
    const late = [{ ...partition, timestamp: new Date(Date.now() + 1e9).toISOString() }]
    expect((await request('POST', `${path}/positions`, { timestamps: late })).status).to.equal(204)
    await stage.produce(one, BINARY, [old])
    expect(await offsets()).to.deep.equal([3])
    const bad = [{ ...partition, timestamp: 'tomorrow' }]
    expect((await request('POST', `${path}/positions`, { timestamps: bad })).status).to.equal(400)
  })

  it('takes numbers as texts, and times in seconds, as the original does', async () => {
    const path = await created()
    const partition = { topic: one, partition: '0' }
    expect((await request('POST', `${path}/assignments`, { partitions: [partition] })).status).to.equal(204)
    expect((await request('GET', `${path}/assignments`)).body).to.deep.equal({
      partitions: [{ topic: one, partition: 0 }]
    })
    const offsets = [{ ...partition, offset: '20' }]
    expect(plain(await request('POST', `${path}/offsets`, { offsets }))).to.deep.equal([200, V2, []])
    expect((await request('GET', `${path}/offsets`, { partitions: [partition] })).body).to.deep.equal({
      offsets: [{ topic: one, partition: 0, offset: 21, metadata: '' }]
    })
    expect((await request('POST', `${path}/positions`, { offsets })).status).to.equal(204)
    expect((await request('POST', `${path}/positions/end`, { partitions: [partition] })).status).to.equal(204)
    for (const timestamp of [1_763_640_000, 1_763_640_000.5, '2026-11-20T12:00:00Z']) {
      const timestamps = [{ ...partition, timestamp, metadata: 'm' }]
      expect((await request('POST', `${path}/positions`, { timestamps })).status, String(timestamp)).to.equal(204)
    }
    for (const timestamp of [-1, -0.001, 1e300, '1969-12-31T23:59:59.999Z', true]) {
      const timestamps = [{ ...partition, timestamp }]
      expect((await request('POST', `${path}/positions`, { timestamps })).status, String(timestamp)).to.equal(400)
    }
    for (const odd of [-1, 1.5, '', '1.5', '-1', ' ', null, true]) {
      const partitions = [{ topic: one, partition: odd }]
      const refused = await request('POST', `${path}/assignments`, { partitions })
      expect(brief(refused), JSON.stringify(odd)).to.deep.equal([400, V2, 400])
    }
  })

  it('reads auto.commit.enable in capitals, and refuses what is no truth value as a setting', async () => {
    for (const enable of ['True', 'FALSE', true]) await created({ 'auto.commit.enable': enable })
    for (const enable of ['maybe', '', 1]) {
      const refused = await request('POST', `/consumers/${group}`, { 'auto.commit.enable': enable })
      expect(brief(refused), String(enable)).to.deep.equal([422, V2, 42204])
    }
  })

  it('refuses formats with schemas with the code that says why', async () => {
    for (const format of ['avro', 'JSONSCHEMA', 'protobuf'])
      expect(brief(await request('POST', `/consumers/${group}`, { format })), format).to.deep.equal([422, V2, 42206])
  })

  it('does not tell a client that commits for a missing topic that its instance is gone', async () => {
    const path = await created()
    const offsets = [{ topic: `${one}-none`, partition: 0, offset: 1 }]
    expect(brief(await request('POST', `${path}/offsets`, { offsets }))).to.deep.equal([404, V2, 40401])
    expect((await request('GET', `${path}/subscription`)).status).to.equal(200)
  })

  it('commits what the client has got when the body is null', async () => {
    await stage.produce(one, BINARY, [{ value: 'b2xk', partition: 0 }])
    const path = await assigned(one, earliest)
    while (((await request('GET', `${path}/records`)).body as JsonRecord[]).length === 0);
    expect(plain(await request('POST', `${path}/offsets`, null))).to.deep.equal([200, V2, []])
    const committed = await request('GET', `${path}/offsets`, { partitions: [{ topic: one, partition: 0 }] })
    expect(committed.body).to.deep.equal({ offsets: [{ topic: one, partition: 0, offset: 1, metadata: '' }] })
    expect(brief(await request('GET', `${path}/offsets`, null))).to.deep.equal([404, V2, 40402])
  })

  it('creates no instance in a group without a name', async () => {
    expect((await request('POST', '/consumers/', {})).status).to.equal(404)
  })

  it('refuses a body by the content codings that it accepts', async () => {
    for (const path of [`/consumers/${group}`, `/topics/${one}`, `/v3/clusters/any/topics/${one}/records`]) {
      const type = path.startsWith('/v3') ? JSON_TYPE : path.startsWith('/topics') ? JSON_RECORDS : V2
      const headers = { 'content-type': type, 'content-encoding': 'compress' }
      const answer = await call(stage.url + path, { method: 'POST', headers, body: '{}' })
      const { error_code: code, message } = JSON.parse(answer.body)
      expect([answer.status, code], path).to.deep.equal([415, 415])
      expect(message).to.include('gzip')
      expect(answer.headers['accept-encoding']).to.match(/^gzip, deflate, br/)
    }
    const plainBody = await request('POST', `/consumers/${group}`, {}, { 'content-encoding': 'identity' })
    expect(plainBody.status).to.equal(200)
  })

  it('confluent 59: two instances of a group get each record once', async () => {
    const paths = [await created(json), await created(json)]
    for (const path of paths) await request('POST', `${path}/subscription`, { topics: [orders] })
    const counts = async (): Promise<number[]> =>
      Promise.all(
        paths.map(async path => {
          const { body } = await request('GET', `${path}/assignments`)
          return (body as { partitions: unknown[] }).partitions.length
        })
      )
    while ((await counts()).sort().join() !== '1,2') await new Promise(resolve => setTimeout(resolve, 100))
    const values = Array.from({ length: 30 }, (_, at) => at)
    await stage.produce(
      orders,
      JSON_RECORDS,
      values.map(value => ({ value, partition: value % 3 }))
    )
    const got: unknown[] = []
    for (let turn = 0; got.length < values.length; turn++)
      got.push(...((await read(paths[turn % 2]!, '?timeout=100')).body as JsonRecord[]).map(({ value }) => value))
    expect(got.sort((a, b) => Number(a) - Number(b))).to.deep.equal(values)
  })

  it('confluent 60: an instance is removed once', async () => {
    const path = await created()
    expect(plain(await request('DELETE', path))).to.deep.equal([204, undefined, undefined])
    expect(brief(await request('DELETE', path, undefined, { accept: V2 }))).to.deep.equal([404, V2, 40403])
  })

  it('reads again what a client that left did not get', async () => {
    const path = await assigned(one, { ...json, 'consumer.request.timeout.ms': 60_000 })
    const leave = new AbortController()
    const left = fetch(`${stage.url}${path}/records`, { headers: { accept: JSON_RECORDS }, signal: leave.signal })
    setTimeout(() => leave.abort(), 300)
    await left.catch(() => undefined)
    await produceJson(one, 'kept')
    expect((await readSome(path, 1)).map(({ value }) => value)).to.deep.equal(['kept'])
  })

  it('commits with an empty body what the client has got', async () => {
    await produceJson(one, 1, 2, 3)
    const path = await assigned(one)
    await readSome(path, 3)
    expect((await request('POST', `${path}/offsets`)).status).to.equal(200)
    const { body } = await request('GET', `${path}/offsets`, { partitions: [{ topic: one, partition: 0 }] })
    expect(body).to.deep.equal({ offsets: [{ topic: one, partition: 0, offset: 3, metadata: '' }] })
  })

  it('answers in the embedded type that the client names', async () => {
    const answer = await request('POST', `/consumers/${group}`, undefined, { accept: JSON_RECORDS })
    expect([answer.status, answer.type]).to.deep.equal([200, JSON_RECORDS])
  })
})

describe('confluent: consumer instances with settings', () => {
  inWorld()

  it('confluent 31: base_uri has the advertised address', async () => {
    const stage = await ConfluentStage.open({ 'apis.confluent.consumers.advertisedUrl': 'http://pub:80' })
    try {
      const group = freshTopic('g')
      const { body } = await stage.post(`/consumers/${group}`, V2, { name: 'a b' })
      expect((body as { base_uri: string }).base_uri).to.equal(`http://pub:80/consumers/${group}/instances/a%20b`)
    } finally {
      await stage.close()
    }
  })

  it('an instance beyond the limit is refused with 429, and the name of the limit', async () => {
    const stage = await ConfluentStage.open({ 'advanced.consumer.maxGroups': '1' })
    try {
      const group = freshTopic('g')
      expect(await stage.post(`/consumers/${group}`, V2, { name: 'a' })).to.include({ status: 200 })
      const { status, body } = await stage.post(`/consumers/${group}`, V2, { name: 'b' })
      const message = 'too many consumer instances (limit 1; advanced.consumer.maxGroups)'
      expect([status, body]).to.deep.equal([429, { error_code: 429, message }])
    } finally {
      await stage.close()
    }
  })

  it('confluent 61: an instance that is not used is gone, and reads keep it', async () => {
    const stage = await ConfluentStage.open({ 'apis.confluent.consumers.idleMs': '1500' })
    try {
      const topic = await stage.topic(1)
      const group = freshTopic('g')
      await stage.post(`/consumers/${group}`, V2, { name: 'a' })
      const path = `/consumers/${group}/instances/a`
      await stage.post(`${path}/assignments`, V2, { partitions: [{ topic, partition: 0 }] })
      for (let read = 0; read < 4; read++) expect((await stage.get(`${path}/records`)).status).to.equal(200)
      let gone = await stage.get(`${path}/subscription`)
      const usedAt = Date.now()
      while (Date.now() - usedAt < 3_500) await new Promise(resolve => setTimeout(resolve, 100))
      gone = await stage.get(`${path}/records`)
      expect([gone.status, gone.type, (gone.body as { error_code: number }).error_code]).to.deep.equal([
        404,
        BINARY,
        40403
      ])
    } finally {
      await stage.close()
    }
  })
})
