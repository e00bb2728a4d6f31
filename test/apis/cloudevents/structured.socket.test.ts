import { expect } from 'chai'
import { checkRows } from '../../support/rows.js'
import { EVENT, EventsPlay, linesOf, REQUIRED } from './stage.js'

const EVENT_TYPE = 'application/cloudevents+json'
const BATCH_TYPE = 'application/cloudevents-batch+json'

describe('cloudevents: events in structured mode, and batches', () => {
  let play: EventsPlay
  beforeEach(async () => {
    play = await EventsPlay.open()
  })
  afterEach(() => play.close())

  /** The lines about an event with these members. */
  const defectsOf = async (members: object | string): Promise<string[]> => {
    const answer = await play.structured(typeof members === 'string' ? members : { ...EVENT, ...members })
    expect([answer.status, answer.headers['x-castellan-persisted']], answer.body).to.deep.equal([400, 'no'])
    expect(play.verbs.written).to.deep.equal([])
    return linesOf(answer)
  }
  const detailOf = async (body: string, type = EVENT_TYPE): Promise<string> => {
    const answer = await play.post({ 'content-type': type }, body)
    expect(answer.status, answer.body).to.equal(400)
    return (JSON.parse(answer.body) as { detail: string }).detail
  }

  it('HTTP 3.2 and Kafka 3.3: the body is the value, byte by byte, and its type the header content-type', async () => {
    const body =
      ' { "specversion" : "1.0","id":"7",\n"source":"/shop", "type":"order", "data": {"n":1.50, "u":"\\u00fc"} }\r\n'
    const type = 'Application/CloudEvents+JSON; charset=UTF-8'
    const answer = await play.structured(body, type)
    expect([answer.status, answer.body]).to.deep.equal([204, ''])
    expect(play.verbs.written).to.deep.equal([
      { topic: 'orders', key: null, value: body, headers: [['content-type', type]] }
    ])
  })

  it('an attribute of megabytes is named, and nothing is written', () =>
    checkRows(
      ['id', 'source', 'type', 'dataschema', 'datacontenttype', 'subject', 'time', 'partitionkey', 'other'],
      async name => {
        await play.close()
        play = await EventsPlay.open(undefined, { maxBodyBytes: 20_000_000 })
        for (const long of ['a'.repeat(9_000_000), `a/b${';a=b'.repeat(2_500_000)}`]) {
          expect(await defectsOf({ [name]: long })).to.include(`"${name}" is longer than 65536 bytes`)
        }
      }
    ))

  it('HTTP 3.2.3: headers for attributes may be there too; the payload counts', async () => {
    const answer = await play.post({ 'content-type': EVENT_TYPE, ...REQUIRED, 'ce-id': '%zz' }, JSON.stringify(EVENT))
    expect(answer.status).to.equal(204)
    expect((await play.post({ 'content-type': EVENT_TYPE, ...REQUIRED }, '{}')).status).to.equal(400)
  })

  it('HTTP 3.3 and Kafka 1.3: each event of a batch is a record in structured mode, its bytes those of the batch', async () => {
    const body =
      '[ {"specversion":"1.0","id":"1","source":"/s","type":"t" , "data":[1, 2]},\n{"specversion":"1.0","id":"2","source":"/s","type":"t","partitionkey":"p"}]'
    const answer = await play.post({ 'content-type': `${BATCH_TYPE};charset=utf-8` }, body)
    expect([answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([204, 'yes'])
    const headers = [['content-type', `${EVENT_TYPE};charset=utf-8`]]
    expect(play.verbs.written).to.deep.equal([
      {
        topic: 'orders',
        key: null,
        value: '{"specversion":"1.0","id":"1","source":"/s","type":"t" , "data":[1, 2]}',
        headers
      },
      {
        topic: 'orders',
        key: 'p',
        value: '{"specversion":"1.0","id":"2","source":"/s","type":"t","partitionkey":"p"}',
        headers
      }
    ])
  })

  it('HTTP 3.3.2: a batch may be empty', async () => {
    const answer = await play.batch([])
    expect([answer.status, answer.headers['x-castellan-persisted'], answer.body]).to.deep.equal([204, 'yes', ''])
    expect(play.verbs.calls).to.deep.equal([])
  })

  it('all events of a batch are taken, or none: each defect has a line with the place of its event', async () => {
    const answer = await play.batch([EVENT, { ...EVENT, id: undefined }, EVENT, { ...EVENT, type: '', time: 'now' }])
    expect([answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([400, 'no'])
    expect(linesOf(answer)).to.deep.equal([
      '1: id is missing',
      '3: type is empty',
      '3: time "now" is not a time as 2018-04-05T17:31:00Z (RFC 3339)'
    ])
    expect(JSON.parse(answer.body)).to.deep.include({
      status: 400,
      code: 'invalidRequest',
      persisted: 'no',
      retriable: false,
      detail:
        'event 1: id is missing; event 3: type is empty; event 3: time "now" is not a time as 2018-04-05T17:31:00Z (RFC 3339)'
    })
    expect(play.verbs.calls).to.deep.equal([])
  })

  it('at most 20 defects are listed', async () => {
    const answer = await play.batch(Array.from({ length: 100 }, () => ({})))
    expect(linesOf(answer)).to.have.length(20)
    expect(JSON.parse(answer.body).detail).to.match(/; and more$/)
  })

  it('CloudEvents 1.0.2 and JSON 2.2: attributes have the types that JSON gives them', async () => {
    const fine = {
      bool: true,
      int: -2147483648,
      other: 2147483647,
      nothing: null,
      time: '2018-04-05T17:31:00Z',
      subject: null
    }
    expect((await play.structured({ ...EVENT, ...fine })).status).to.equal(204)
    play.verbs.written.length = 0
    expect(await defectsOf({ id: 7, time: 5, subject: true })).to.deep.equal([
      'id has to be a string',
      'time has to be a string',
      'subject has to be a string',
      'id is missing'
    ])
    const kind = 'has to be a string, a boolean, or a whole number of 32 bits'
    for (const value of [1.5, 2_147_483_648, -2_147_483_649, [], {}, 1e21]) {
      expect(await defectsOf({ ext: value }), String(value)).to.deep.equal([`"ext" ${kind}`])
    }
    const exponent = JSON.stringify({ ...EVENT, ext: 0 }).replace('"ext":0', '"ext":1e2')
    expect(await defectsOf(exponent)).to.deep.equal([`"ext" ${kind}`])
  })

  it('JSON 2.2: null is not set, also for attributes that are required', async () => {
    expect(await defectsOf({ id: null })).to.deep.equal(['id is missing'])
  })

  it('CloudEvents 1.0.2: names are a-z and 0-9, and occur once', async () => {
    expect(await defectsOf({ myExt: 1, my_ext: 2, '': 3, 'caf\u00e9': 4 })).to.have.length(4)
    expect(await defectsOf(`{"id":"8",${JSON.stringify(EVENT).slice(1)}`)).to.deep.equal(['"id" occurs more than once'])
    expect(await defectsOf(`{"data":1,"data":2,${JSON.stringify(EVENT).slice(1)}`)).to.deep.equal([
      '"data" occurs more than once'
    ])
    expect((await play.structured({ ...EVENT, __proto__: null, constructor: 'x', '0': 'y' })).status).to.equal(204)
  })

  it('CloudEvents 1.0.2: texts have no control characters and no code points that are no characters', async () => {
    for (const text of ['a\u0000', 'a\nb', '\u007f', '\u0085', '\ufdd0', '\ufffe', '\u{1ffff}']) {
      expect(await defectsOf({ ext: text }), JSON.stringify(text)).to.have.length(1)
    }
    expect((await play.structured({ ...EVENT, ext: 'ü€\u{1f600}\ud800\udead' })).status).to.equal(204)
    const lone = JSON.stringify({ ...EVENT, ext: 'X' }).replace('"X"', '"\\udead"')
    expect(await detailOf(lone)).to.match(/^the body: /)
  })

  it('JSON 3.1: data and data_base64 exclude each other, and data_base64 is base64', async () => {
    expect(await defectsOf({ data: 1, data_base64: 'AAE=' })).to.deep.equal(['data and data_base64 exclude each other'])
    expect(await defectsOf({ data_base64: 'A-E=' })).to.deep.equal(['data_base64 is not base64'])
    expect(await defectsOf({ data_base64: 5 })).to.deep.equal(['data_base64 has to be a string'])
    expect((await play.structured({ ...EVENT, data_base64: 'AAE=' })).status).to.equal(204)
    expect((await play.structured({ ...EVENT, data: null })).status).to.equal(204)
  })

  it('JSON 3.1: data of a type that is not JSON is a string', async () => {
    const xml = { datacontenttype: 'application/xml' }
    expect(await defectsOf({ ...xml, data: { a: 1 } })).to.deep.equal([
      'data has to be a string, because datacontenttype "application/xml" is not JSON'
    ])
    expect((await play.structured({ ...EVENT, ...xml, data: '<a/>' })).status).to.equal(204)
    const json = { datacontenttype: 'application/geo+json; charset=utf-8', data: [1] }
    expect((await play.structured({ ...EVENT, ...json })).status).to.equal(204)
  })

  it('a body that is not JSON, or not a list, is refused with the place of the defect', async () => {
    expect(await detailOf('')).to.match(/^the body: EOF/)
    expect(await detailOf('[]')).to.equal('the body: expected an object at line 1 column 1')
    expect(await detailOf('{"id":')).to.match(/^the body: EOF.* line 1 column 6$/)
    expect(await detailOf(`${JSON.stringify(EVENT)} x`)).to.match(/^the body: trailing characters/)
    expect(await detailOf(JSON.stringify(EVENT), BATCH_TYPE)).to.match(/^the body, event 0: expected a list/)
    expect(await detailOf(`[${JSON.stringify(EVENT)},7]`, BATCH_TYPE)).to.match(
      /^the body, event 1: expected an object/
    )
    const latin1 = await play.post({ 'content-type': EVENT_TYPE }, Buffer.from('{"id":"caf\u00e9"}', 'latin1'))
    expect(JSON.parse(latin1.body).detail).to.equal('the body is not JSON: it is not valid UTF-8, from byte 10 on')
  })

  it('data may be nested 1,000 levels deep', async () => {
    const statusOf = async (depth: number): Promise<number> => {
      const deep = '['.repeat(depth) + ']'.repeat(depth)
      return (await play.structured(`{"data":${deep},${JSON.stringify(EVENT).slice(1)}`)).status
    }
    expect([await statusOf(1_000), await statusOf(50_000)]).to.deep.equal([204, 400])
  })

  it('Kafka 3.1: a key of the request is that of all its events', async () => {
    await play.batch([EVENT, { ...EVENT, partitionkey: 'p' }], '/orders?key=k')
    expect(play.verbs.written.map(({ key }) => key)).to.deep.equal(['k', 'k'])
  })

  it('CloudEvents 1.0.2, Size Limits: an event of 64 KiB is taken', async () => {
    expect((await play.structured({ ...EVENT, data: 'x'.repeat(64 * 1024) })).status).to.equal(204)
  })
})
