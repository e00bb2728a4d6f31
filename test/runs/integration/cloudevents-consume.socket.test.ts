import { expect } from 'chai'
import { HTTP } from 'cloudevents'
import { EVENT, type EventAnswer, REQUIRED } from '../../apis/cloudevents/stage.js'
import { EventsStage } from './events-stage.js'

const EVENT_TYPE = 'application/cloudevents+json'
const BATCH_TYPE = 'application/cloudevents-batch+json'
const SETTINGS = { 'consumer.start': 'earliest', 'advanced.consumer.commitIntervalMs': '20' }

/** What the official SDK makes of an answer. */
const bySdk = ({ headers, body }: EventAnswer) => {
  const event = HTTP.toEvent({ headers: headers as Record<string, string>, body })
  return (Array.isArray(event) ? event : [event]).map(({ id, data }) => [id, data])
}
const idsIn = ({ body }: EventAnswer): string[] => (JSON.parse(body) as { id: string }[]).map(({ id }) => id)

describe('cloudevents: records become events', function () {
  this.timeout(120_000)
  let stage: EventsStage
  before(async () => (stage = await EventsStage.open(SETTINGS)))
  after(() => stage?.close())

  const get = (path: string, accept = '*/*') => stage.ask('GET', path, { accept })
  /** A topic with these events, in binary and in structured mode by turns. */
  const topicWith = async (...ids: string[]): Promise<string> => {
    const topic = await stage.topic(1)
    for (const [at, id] of ids.entries()) {
      const answer =
        at % 2 === 0
          ? await stage.ask(
              'POST',
              `/${topic}`,
              { ...REQUIRED, 'ce-id': id, 'content-type': 'application/json' },
              '{"n":1}'
            )
          : await stage.structured(topic, { ...EVENT, id, data: { n: 1 } })
      expect(answer.status).to.equal(204)
      // RFC 9110, sections 8.6 and 15.3.5.
      expect(answer.headers).to.not.have.any.keys('content-length', 'transfer-encoding')
    }
    return topic
  }
  const foreign = (topic: string, ...values: string[]) => stage.plain(topic, values)

  it('a group reads one event in each request, in the mode that the client accepts, and acknowledges it', async () => {
    const topic = await topicWith('1', '2', '3', '4')
    const group = stage.group()
    const one = await get(`/${topic}?group=${group}&timeout=30000`)
    expect(one.headers).to.include({ 'ce-id': '1', 'content-type': 'application/json', 'x-castellan-offsets': '0:0' })
    const two = await get(`/${topic}?group=${group}`)
    expect([two.headers['ce-id'], two.body]).to.deep.equal(['2', '{"n":1}'])
    const three = await get(`/${topic}?group=${group}`, EVENT_TYPE)
    expect(three.headers['content-type']).to.equal(EVENT_TYPE)
    const four = await get(`/${topic}?group=${group}&count=10`)
    expect([four.headers['content-type'], four.headers['x-castellan-offsets']]).to.deep.equal([BATCH_TYPE, '0:3'])
    expect([one, two, three, four].map(bySdk)).to.deep.equal(['1', '2', '3', '4'].map(id => [[id, { n: 1 }]]))
    const none = await get(`/${topic}?group=${group}&timeout=1`)
    expect([none.status, none.body]).to.deep.equal([204, ''])
    const empty = await get(`/${topic}?group=${group}&timeout=1&count=2`)
    expect([empty.status, empty.body]).to.deep.equal([200, '[]'])
  })

  it('requests that read may have an Idempotency-Key, which means nothing to them', async () => {
    const topic = await topicWith('1', '2')
    const key = { 'idempotency-key': 'k-1' }
    const group = stage.group()
    for (const id of ['1', '2']) {
      const read = await stage.ask('GET', `/${topic}?group=${group}&timeout=30000`, { accept: '*/*', ...key })
      expect([read.headers['ce-id'], read.headers['x-castellan-idempotency']]).to.deep.equal([id, undefined])
    }
    expect(await stage.events(`/${topic}/tail?from=earliest`, 2, key)).to.have.length(2)
  })

  it('bytes of structured mode and of data leave as they came', async () => {
    const topic = await stage.topic(1)
    const json = ` {"data" : [1.50, "\\u00fc"],\n ${JSON.stringify(EVENT).slice(1)}\r\n`
    await stage.ask('POST', `/${topic}`, { 'content-type': `${EVENT_TYPE}; charset=UTF-8` }, json)
    const read = await get(`/${topic}?from=earliest`, EVENT_TYPE)
    expect([read.headers['content-type'], read.body]).to.deep.equal([`${EVENT_TYPE}; charset=UTF-8`, json])
    expect((await get(`/${topic}?from=earliest`)).body).to.equal('[1.50, "\\u00fc"]')
  })

  it('with ack=manual an event stays the concern of its client until it is acknowledged', async () => {
    const topic = await topicWith('1', '2', '3')
    const group = stage.group()
    const batch = await get(`/${topic}?group=${group}&ack=manual&count=2&timeout=30000`)
    expect(idsIn(batch)).to.deep.equal(['1', '2'])
    const offsets = batch.headers['x-castellan-offsets'] as string
    expect(offsets).to.equal('0:0-1')
    const acks = (of: string) => stage.ask('POST', `/${topic}/acks?group=${group}&offsets=${of}`, {})
    expect((await acks(offsets)).status).to.equal(204)
    const unknown = await acks('0:0-1,0:2,7:0')
    expect([unknown.status, JSON.parse(unknown.body).detail]).to.satisfy(
      ([status, detail]: [number, string]) => status === 409 && detail.includes('of 0:2,7:0 here')
    )
    expect((await get(`/${topic}?group=${group}&ack=manual`)).headers['ce-id']).to.equal('3')
  })

  it('records that are no events are skipped and counted, and hold up no event', async () => {
    const topic = await topicWith('1')
    await foreign(topic, 'a', 'b', 'c')
    await stage.structured(topic, { ...EVENT, id: '2' })
    await foreign(topic, 'd')
    const group = stage.group()
    const ids: unknown[] = []
    let skipped = 0
    for (let asked = 0; asked < 10 && (ids.length < 2 || skipped < 4); asked++) {
      const wait = asked === 0 ? 30_000 : 500
      const answer = await get(`/${topic}?group=${group}&ack=manual&count=2&timeout=${wait}`)
      ids.push(...idsIn(answer))
      skipped += Number(answer.headers['x-castellan-skipped'] ?? 0)
    }
    expect([ids, skipped]).to.deep.equal([['1', '2'], 4])
    const all = await get(`/${topic}?from=earliest&count=100`)
    expect(all.headers['x-castellan-offsets']).to.match(/^0:0(,0:4)?$/)
    const behind = await get(`/${topic}?from=0:5&timeout=200`)
    expect([behind.status, behind.headers['x-castellan-skipped'], behind.headers['x-castellan-next']]).to.deep.equal([
      204,
      '1',
      '0:6'
    ])
  })

  it('without a group a client goes on where the answer before says', async () => {
    const topic = await topicWith('1', '2', '3')
    const read: string[] = []
    let next = 'earliest'
    while (read.length < 3) {
      const answer = await get(`/${topic}?from=${next}&count=2`)
      read.push(...idsIn(answer))
      next = answer.headers['x-castellan-next'] as string
    }
    expect([read, next]).to.deep.equal([['1', '2', '3'], '0:3'])
    const none = await get(`/${topic}?from=${next}&timeout=10`)
    expect([none.status, none.headers['x-castellan-next']]).to.deep.equal([204, '0:3'])
    const latest = get(`/${topic}?from=latest&timeout=0`)
    expect((await latest).headers['x-castellan-next']).to.equal('0:3')
    await stage.structured(topic, { ...EVENT, id: '4' })
    expect(bySdk(await get(`/${topic}?from=0:3`))).to.deep.equal([['4', '']])
  })

  it('a tail has each event as its data, and goes on behind the last one that the client has got', async () => {
    const topic = await topicWith('1')
    await foreign(topic, 'a')
    await stage.structured(topic, `{\n${JSON.stringify({ ...EVENT, id: '2' }).slice(1)}`)
    const first = await stage.events(`/${topic}/tail?from=earliest`, 3)
    const of = (wanted: string) => first.filter(({ type }) => type === wanted)
    const [one, two] = of('message')
    expect([one!.id, two!.id]).to.deep.equal(['0:1', '0:3'])
    expect(of('skipped').map(({ data }) => JSON.parse(data))).to.deep.equal([{ records: 1 }])
    expect(JSON.parse(one!.data)).to.deep.include({
      id: '1',
      datacontenttype: 'application/json',
      data: { n: 1 }
    })
    expect(JSON.parse(two!.data)).to.deep.equal({ ...EVENT, id: '2' })
    await stage.structured(topic, { ...EVENT, id: '3' })
    const [again] = await stage.events(`/${topic}/tail`, 1, { 'last-event-id': '0:3' })
    expect(JSON.parse(again!.data).id).to.equal('3')
  })

  it('a topic that does not exist is 404', async () => {
    for (const path of ['/no.such.topic?from=earliest', '/no.such.topic/tail']) {
      const answer = await get(path)
      expect([answer.status, JSON.parse(answer.body).code], path).to.deep.equal([404, 'unknownTopic'])
    }
  })
})
