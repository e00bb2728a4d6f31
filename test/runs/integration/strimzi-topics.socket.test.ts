import { expect } from 'chai'
import { freshTopic } from '../../support/target-cluster.js'
import { StrimziStage, typeOf, V2 } from './strimzi-stage.js'

const SCHEMA = 'Validation error on: Schema validation error'

const TAGS = ['Consumers', 'Topics', 'Seek', 'Producer']
/** Names that generated clients have from the bridge's own document. */
const SCHEMAS = [
  ...['AssignedTopicPartitions', 'BridgeInfo', 'Consumer', 'ConsumerRecord', 'ConsumerRecordList', 'CreatedConsumer'],
  ...['Error', 'KafkaHeader', 'KafkaHeaderList', 'NewTopic', 'OffsetCommitSeek', 'OffsetCommitSeekList'],
  ...['OffsetRecordSent', 'OffsetRecordSentList', 'OffsetsSummary', 'Partition', 'PartitionMetadata', 'Partitions'],
  ...[
    'ProducerRecord',
    'ProducerRecordList',
    'ProducerRecordToPartition',
    'ProducerRecordToPartitionList',
    'RecordKey'
  ],
  ...['RecordValue', 'Replica', 'SubscribedTopicList', 'TopicMetadata', 'Topics']
]

describe('strimzi: records and topics', function () {
  this.timeout(120_000)
  let stage: StrimziStage
  let one: string
  let orders: string
  before(async () => {
    stage = await StrimziStage.open()
    one = await stage.topic(1)
    orders = await stage.topic(3)
  })
  after(() => stage?.close())

  it('records are answered with their partitions and offsets', async () => {
    const topic = await stage.topic(1)
    const { status, type, body, headers } = await stage.produce(`/topics/${topic}`, 'json', [
      { key: 'k1', value: { total: 7 } },
      { value: [1, 2], partition: 0, timestamp: 1_700_000_000_000, headers: [{ key: 'h', value: 'AAE=' }] }
    ])
    expect([status, type, headers['x-castellan-persisted']]).to.deep.equal([200, V2, 'yes'])
    expect(body).to.deep.equal({
      offsets: [
        { partition: 0, offset: 0 },
        { partition: 0, offset: 1 }
      ]
    })
  })

  it('every format is written and read back as it was, with headers and timestamp', async () => {
    const values = { json: { a: [1.5, null] }, binary: 'AAH/', text: 'grün' }
    for (const [format, value] of Object.entries(values)) {
      const topic = await stage.topic(1)
      const key = format === 'binary' ? 'a2V5' : 'key'
      const headers = [
        { key: 'trace', value: 'AAE=' },
        { key: 'none', value: null }
      ]
      await stage.produce(`/topics/${topic}/partitions/0`, format, [{ key, value, headers }, { value: null }])
      const consumer = await stage.consumer(format)
      await stage.post(`${consumer}/assignments`, { partitions: [{ topic, partition: 0 }] })
      const [first, second] = await stage.read(consumer, format, 2)
      expect(first).to.deep.include({ topic, key, value, partition: 0, offset: 0, headers })
      expect(first!.timestamp).to.be.a('number')
      expect(second).to.deep.include({ key: null, value: null, offset: 1 }).and.not.have.property('headers')
    }
  })

  it('a record that fails has the status of its failure beside others that are written', async () => {
    const { status, body } = await stage.produce(`/topics/${orders}`, 'json', [
      { value: 'a', partition: 500 },
      { value: 'b', partition: 0 }
    ])
    expect([status, body.offsets[0].error_code]).to.deep.equal([200, 404])
    expect(body.offsets[1]).to.have.keys('partition', 'offset')
    const missing = await stage.produce(`/topics/${freshTopic('missing')}`, 'json', [{ value: 'a' }])
    expect([missing.status, missing.body.offsets[0].error_code]).to.deep.equal([200, 404])
  })

  it('asynchronous records are answered 204 and written', async () => {
    const topic = await stage.topic(1)
    const { status, body, headers } = await stage.produce(`/topics/${topic}?async=true`, 'text', [{ value: 'a' }])
    expect([status, body, headers['x-castellan-persisted']]).to.deep.equal([204, undefined, 'pending'])
    const consumer = await stage.consumer('text')
    await stage.post(`${consumer}/subscription`, { topics: [topic] })
    expect(await stage.read(consumer, 'text', 1)).to.have.length(1)
    const wrong = await stage.produce(`/topics/${topic}?async=perhaps`, 'text', [{ value: 'a' }])
    expect([wrong.status, wrong.body.message]).to.deep.equal([400, SCHEMA])
  })

  it('the schema of the body is checked first, and the errors are named', async () => {
    const wrong: [path: string, records: unknown, error: string][] = [
      ['', [{ value: 'a', foo: 1 }], 'Property "foo" does not match additional properties schema'],
      ['', [{ key: 'a' }], 'Instance does not have required property "value"'],
      ['', [{ value: 'a', partition: 'karel' }], 'Instance type string is invalid. Expected integer'],
      ['', [{ value: 7 }], 'Instance type number is invalid. Expected array, object or string'],
      ['', 'none', 'Instance type string is invalid. Expected array'],
      ['', [{ value: 'a', headers: [{ key: 'a' }] }], 'Instance does not have required property "value"'],
      [
        '/partitions/1',
        [{ value: 'a', partition: 1 }],
        'Property "partition" does not match additional properties schema'
      ],
      ['/partitions/-1', [{ value: 'a' }], 'Instance type string is invalid. Expected integer']
    ]
    for (const [path, records, error] of wrong) {
      const { status, body, headers } = await stage.produce(`/topics/${orders}${path}`, 'json', records)
      expect([status, headers['x-castellan-persisted']], error).to.deep.equal([400, 'no'])
      expect(body).to.deep.equal({ error_code: 400, message: SCHEMA, validation_errors: [error] })
    }
    for (const [type, body] of [
      ['text/plain', '{}'],
      [typeOf('json'), '{"records":'],
      [typeOf('json'), '']
    ] as const) {
      const answer = await stage.ask('POST', `/topics/${orders}`, { 'content-type': type }, body)
      expect([answer.status, answer.body.error_code]).to.deep.equal([400, 400])
    }
  })

  it('keys, values and headers that the format cannot take are answered 422', async () => {
    const wrong: [format: string, record: object][] = [
      ['text', { value: { a: 1 } }],
      ['text', { value: 'a', key: [1] }],
      ['binary', { value: '?' }],
      ['json', { value: 'a', headers: [{ key: 'h', value: '?' }] }],
      ['json', { value: 'a', partition: -1 }]
    ]
    for (const [format, record] of wrong) {
      const { status, body } = await stage.produce(`/topics/${orders}`, format, [record])
      expect([status, body.error_code], JSON.stringify(record)).to.deep.equal([422, 422])
    }
    const none = await stage.ask('POST', `/topics/${orders}`, { 'content-type': typeOf('json') }, {})
    expect(none.status).to.equal(422)
    const empty = await stage.produce(`/topics/${orders}`, 'json', [])
    expect([empty.status, empty.body]).to.deep.equal([200, { offsets: [] }])
  })

  it('topics, partitions and offsets are described', async () => {
    await stage.produce(`/topics/${one}`, 'text', [{ value: 'a' }])
    expect((await stage.get('/topics')).body).to.include.members([one, orders])
    const topic = (await stage.get(`/topics/${one}`)).body
    expect(topic).to.include({ name: one }).and.have.nested.property('partitions.length', 1)
    expect(topic.configs).to.have.property('cleanup.policy')
    expect((await stage.get(`/topics/${orders}/partitions`)).body).to.have.length(3)
    const partition = (await stage.get(`/topics/${orders}/partitions/2`)).body
    expect(partition).to.include({ partition: 2 })
    expect(partition.replicas.find((replica: { leader: boolean }) => replica.leader)).to.include({
      broker: partition.leader,
      in_sync: true
    })
    expect((await stage.get(`/topics/${one}/partitions/0/offsets`)).body).to.deep.equal({
      beginning_offset: 0,
      end_offset: 1
    })
  })

  it('what does not exist is answered 404, and what is no number 400', async () => {
    const missing = freshTopic('missing')
    for (const path of [
      `${missing}`,
      `${missing}/partitions`,
      `${missing}/partitions/0`,
      `${missing}/partitions/0/offsets`,
      `${one}/partitions/1`,
      `${one}/partitions/1/offsets`
    ]) {
      const { status, body } = await stage.get(`/topics/${path}`)
      expect([status, body.error_code], path).to.deep.equal([404, 404])
    }
    for (const path of ['/partitions/-1', '/partitions/x/offsets']) {
      expect((await stage.get(`/topics/${one}${path}`)).status, path).to.equal(400)
    }
    expect((await stage.get('/nowhere')).body).to.deep.equal({ error_code: 404, message: 'Not Found' })
    expect((await stage.ask('PUT', '/topics')).status).to.equal(405)
    expect((await stage.ask('OPTIONS', '/topics')).status).to.equal(405)
  })

  it('a topic is created once, on the port of the API', async () => {
    const create = (body: unknown, url?: string) =>
      stage.ask('POST', '/admin/topics', { 'content-type': typeOf('json') }, body, url)
    const topic = freshTopic('created')
    const created = await create({ topic_name: topic, partitions_count: 2, replication_factor: null })
    expect([created.status, created.body]).to.deep.equal([201, {}])
    expect((await stage.get(`/topics/${topic}/partitions`)).body).to.have.length(2)
    expect((await create({ topic_name: topic })).status).to.equal(409)
    expect((await create({ topic_name: freshTopic('created'), partitions_count: 0 })).status).to.equal(422)
    for (const body of [{}, { topic_name: 7 }, { topic_name: 't', foo: 1 }]) {
      expect((await create(body)).body).to.include({ error_code: 400, message: SCHEMA })
    }
    expect((await create({ topic_name: freshTopic('shared') }, `${stage.app.urls.shared}/strimzi`)).status).to.equal(
      403
    )
  })

  it('health, version, description and metrics are answered', async () => {
    for (const path of ['/healthy', '/ready']) {
      const { status, body } = await stage.get(path)
      expect([status, body], path).to.deep.equal([200, undefined])
    }
    expect((await stage.get('/')).body).to.deep.equal({ bridge_version: '0.0.0-test' })
    for (const path of ['/openapi', '/openapi/v3']) {
      const { body } = await stage.get(path)
      expect(body.openapi).to.equal('3.1.0')
      expect(body.paths['/consumers/{groupid}'].post.operationId).to.equal('createConsumer')
      expect(body.paths['/topics/{topicname}'].post.operationId).to.equal('send')
      expect(body.paths['/topics/{topicname}'].post.tags).to.deep.equal(['Topics', 'Producer'])
      expect(body.tags.map(({ name }: { name: string }) => name)).to.have.members(TAGS)
      expect(Object.keys(body.components.schemas)).to.have.members(SCHEMAS)
      const references = [...JSON.stringify(body).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference!)
      expect(new Set(references)).to.deep.equal(new Set(SCHEMAS.map(name => `#/components/schemas/${name}`)))
    }
    const metrics = await stage.get('/metrics')
    expect([metrics.status, String(metrics.body).includes('castellan_')]).to.deep.equal([200, true])
  })
})

describe('strimzi: web pages', function () {
  this.timeout(120_000)
  let stage: StrimziStage
  before(async () => {
    stage = await StrimziStage.open({
      'http.allowedOrigins': 'https://app.example',
      'apis.strimzi.corsMethods': 'GET,POST'
    })
  })
  after(() => stage?.close())

  it('a page that is allowed may send requests and read the answers, and another may not', async () => {
    const ask = (method: string, origin: string) =>
      stage.ask(method, '/topics', { origin, 'access-control-request-method': 'GET' })
    const preflight = await ask('OPTIONS', 'https://app.example')
    expect(preflight.status).to.equal(204)
    expect(preflight.headers).to.include({
      'access-control-allow-origin': 'https://app.example',
      'access-control-allow-methods': 'GET,POST'
    })
    const asked = await ask('GET', 'https://app.example')
    expect([asked.status, asked.headers['access-control-allow-origin']]).to.deep.equal([200, 'https://app.example'])
    for (const method of ['OPTIONS', 'GET']) expect((await ask(method, 'https://evil.example')).status).to.equal(403)
  })
})
