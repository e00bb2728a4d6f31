import { expect } from 'chai'
import { CloudEvent, emitterFor, HTTP, httpTransport, Mode } from 'cloudevents'
import { EVENT, REQUIRED } from '../../apis/cloudevents/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { EventsStage } from './events-stage.js'
import { inWorld } from './in-world.js'

const EVENT_TYPE = 'application/cloudevents+json'
const BATCH_TYPE = 'application/cloudevents-batch+json'

describe('cloudevents: events become records', () => {
  inWorld()
  let stage: EventsStage
  before(async () => (stage = await EventsStage.open()))
  after(() => stage?.close())

  it('Kafka 3.2: binary mode has each attribute as a header, and the data as it came', async () => {
    const topic = await stage.topic(1)
    const data = Buffer.from(Array.from({ length: 256 }, (_, at) => at))
    const headers = {
      ...REQUIRED,
      'ce-subject': 'Euro%20%E2%82%AC%20%F0%9F%98%80',
      'ce-traceext': '"quoted"',
      'content-type': 'Application/Octet-Stream; x="y"'
    }
    const answer = await stage.ask('POST', `/${topic}?key=k%FF`, headers, data)
    expect([answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([204, 'yes'])
    const [record] = await stage.read(topic, 1)
    expect(record!.value!.equals(data)).to.equal(true)
    expect(record!.key!.equals(Buffer.from([0x6b, 0xff]))).to.equal(true)
    expect(record!.headers).to.deep.equal({
      ce_specversion: '1.0',
      ce_id: '7',
      ce_source: '/shop',
      ce_type: 'order',
      ce_subject: 'Euro € 😀',
      ce_traceext: 'quoted',
      'content-type': 'Application/Octet-Stream; x="y"'
    })
  })

  it('an event of the official SDK, which neither encodes nor decodes headers, comes back as it was sent', async () => {
    const topic = await stage.topic(1)
    const event = new CloudEvent({
      id: '100%',
      source: '/caf%C3%A9/a%20b%2Fc?q=%2520',
      dataschema: 'http://x/%7Bid%7D',
      type: 'a',
      subject: '50% of "all" orders',
      data: 'x',
      datacontenttype: 'text/plain'
    })
    const { headers, body } = HTTP.binary(event)
    const sent = await stage.ask('POST', `/${topic}`, headers as Record<string, string>, body as string)
    expect(sent.status).to.equal(204)
    const back = await stage.ask('GET', `/${topic}?from=earliest`, { accept: '*/*' })
    const read = HTTP.toEvent({
      headers: back.headers as Record<string, string>,
      body: back.body
    }) as CloudEvent<string>
    for (const name of ['id', 'source', 'dataschema', 'subject', 'type', 'data']) {
      expect(read[name], name).to.equal(event[name])
    }
    expect((await stage.read(topic, 1))[0]!.headers).to.include({
      ce_source: event.source,
      ce_subject: event.subject
    })
  })

  it('a dataschema that is no absolute URI, as "#" of Azure Event Grid, is kept in each mode, written and read', async () => {
    const topic = await stage.topic(1)
    const event = JSON.stringify({ ...EVENT, dataschema: '#', data: {} })
    const sent = [
      await stage.ask('POST', `/${topic}`, { 'content-type': EVENT_TYPE }, event),
      await stage.ask('POST', `/${topic}`, { 'content-type': BATCH_TYPE }, `[${event}]`),
      await stage.ask('POST', `/${topic}`, { ...REQUIRED, 'ce-dataschema': '#', 'content-type': 'text/plain' }, 'x')
    ]
    expect(sent.map(({ status }) => status)).to.deep.equal([204, 204, 204])
    for (let from: unknown = 'earliest', left = 3; left > 0; left--) {
      const read = (accept: string) => stage.ask('GET', `/${topic}?from=${from}`, { accept })
      const binary = await read('*/*')
      expect(binary.headers['ce-dataschema']).to.equal('#')
      expect(JSON.parse((await read(EVENT_TYPE)).body).dataschema).to.equal('#')
      from = binary.headers['x-castellan-next']
    }
    const batch = JSON.parse((await stage.ask('GET', `/${topic}?from=earliest`, { accept: BATCH_TYPE })).body)
    expect(batch.map((one: { dataschema: string }) => one.dataschema)).to.deep.equal(['#', '#', '#'])
  })

  it('Kafka 3.2.2: an event without data is a record without value', async () => {
    const topic = await stage.topic(1)
    await stage.ask('POST', `/${topic}`, { ...REQUIRED, 'ce-partitionkey': 'k' })
    await stage.ask('POST', `/${topic}`, { ...REQUIRED, 'content-type': 'text/plain' }, '')
    const [none, empty] = await stage.read(topic, 2)
    expect([none!.value, none!.key!.toString()]).to.deep.equal([null, 'k'])
    expect(empty!.value).to.have.length(0)
  })

  it('Kafka 3.3: structured mode and batches keep their bytes, with the type of the event format', async () => {
    const topic = await stage.topic(1)
    const single = ` ${JSON.stringify({ ...EVENT, data: { total: 7 }, partitionkey: 'p' })}\n`
    await stage.ask('POST', `/${topic}`, { 'content-type': `${EVENT_TYPE}; charset=UTF-8` }, single)
    const batch = [EVENT, { ...EVENT, id: '8', data_base64: 'AAE=' }].map(event => JSON.stringify(event, null, 1))
    const answer = await stage.ask('POST', `/${topic}?key=b`, { 'content-type': BATCH_TYPE }, `[${batch.join(' ,\n')}]`)
    expect([answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([204, 'yes'])
    const records = await stage.read(topic, 3)
    expect(records.map(({ value }) => value!.toString())).to.deep.equal([single, ...batch])
    expect(records.map(({ key }) => key!.toString())).to.deep.equal(['p', 'b', 'b'])
    expect(records.map(({ headers }) => headers)).to.deep.equal([
      { 'content-type': `${EVENT_TYPE}; charset=UTF-8` },
      { 'content-type': EVENT_TYPE },
      { 'content-type': EVENT_TYPE }
    ])
  })

  it('a topic that does not exist is 404, and an event that is too large 413', async () => {
    const missing = await stage.ask('POST', `/${freshTopic('missing')}`, REQUIRED, 'x')
    expect([missing.status, JSON.parse(missing.body).code]).to.deep.equal([404, 'unknownTopic'])
    const topic = await stage.topic(1)
    const large = await stage.ask('POST', `/${topic}`, REQUIRED, 'x'.repeat(2_000_000))
    expect([large.status, JSON.parse(large.body).code]).to.deep.equal([413, 'recordTooLarge'])
  })

  it('events of the official SDK arrive in each of its modes', async () => {
    const topic = await stage.topic(1)
    const event = new CloudEvent({
      id: 'sdk-1',
      source: 'https://example.com/sdk',
      type: 'com.example.sdk',
      time: '2024-02-29T12:00:00.000Z',
      subject: 'a subject',
      myext: 5,
      data: { total: 7 }
    })
    for (const mode of [Mode.BINARY, Mode.STRUCTURED]) {
      const emit = emitterFor(httpTransport(`${stage.url}/${topic}`), { mode })
      const { headers } = (await emit(event)) as { headers: Record<string, string> }
      expect(headers['x-castellan-persisted']).to.equal('yes')
    }
    const [binary, structured] = await stage.read(topic, 2)
    expect(binary!.headers).to.include({ ce_id: 'sdk-1', ce_subject: 'a subject', ce_myext: '5' })
    expect(JSON.parse(binary!.value!.toString())).to.deep.equal({ total: 7 })
    expect(JSON.parse(structured!.value!.toString())).to.deep.include({ id: 'sdk-1', myext: 5, data: { total: 7 } })
  })
})
