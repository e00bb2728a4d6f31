import { expect } from 'chai'
import { decodeValue, encodeValue } from '../../../src/apis/cloudevents/attributes.js'
import { checkRows } from '../../support/rows.js'
import { EVENT, EventsPlay, linesOf, REQUIRED } from './stage.js'

const JSON_TYPE = { 'content-type': 'application/json' }

describe('cloudevents: events in binary mode', () => {
  let play: EventsPlay
  beforeEach(async () => {
    play = await EventsPlay.open()
  })
  afterEach(() => play.close())

  const recordOf = async (headers: Parameters<EventsPlay['post']>[0], body?: string | Buffer) => {
    const answer = await play.post(headers, body)
    expect(answer.body).to.equal('')
    expect([answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([204, 'yes'])
    return play.verbs.written.at(-1)!
  }
  const defectsOf = async (headers: Parameters<EventsPlay['post']>[0], body = '{}'): Promise<string[]> => {
    const answer = await play.post(headers, body)
    expect([answer.status, answer.headers['content-type']]).to.deep.equal([400, 'application/problem+json'])
    expect(answer.headers['x-castellan-persisted']).to.equal('no')
    expect(play.verbs.written).to.deep.equal([])
    return linesOf(answer)
  }

  it('HTTP 3.1.1: Content-Type is datacontenttype, and Kafka 3.2.1: content-type, letter by letter', async () => {
    const type = 'Application/JSON;  charset="utf-8"'
    const { headers } = await recordOf({ ...REQUIRED, 'Content-Type': type }, '{}')
    expect(new Map(headers).get('content-type')).to.equal(type)
    const without = await recordOf(REQUIRED, 'x')
    expect(new Map(without.headers).has('content-type')).to.equal(false)
  })

  it('HTTP 3.1.1: ce-datacontenttype is refused', async () => {
    expect(await defectsOf({ ...REQUIRED, ...JSON_TYPE, 'ce-datacontenttype': 'text/plain' })).to.deep.equal([
      'the header ce-datacontenttype has to be Content-Type'
    ])
  })

  it('HTTP 3.1.2 and Kafka 3.2.2: the body is the value, byte by byte', async () => {
    const taken = play.verbs.calls
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at))
    await recordOf({ ...REQUIRED, 'content-type': 'application/octet-stream' }, bytes)
    expect(taken.at(-1)!.records[0]!.value!.equals(bytes)).to.equal(true)
    await recordOf({ ...REQUIRED, ...JSON_TYPE }, ' {"a" :1.50, "b":"\\u00fc"}\n')
    expect(taken.at(-1)!.records[0]!.value!.toString()).to.equal(' {"a" :1.50, "b":"\\u00fc"}\n')
  })

  it('Kafka 3.2.2: without body and type there is no data, which is null; with a type it is empty', async () => {
    expect((await recordOf(REQUIRED)).value).to.equal(null)
    expect((await recordOf(REQUIRED, '')).value).to.equal(null)
    expect((await recordOf({ ...REQUIRED, 'content-type': 'text/plain' }, '')).value).to.equal('')
  })

  it('HTTP 3.1.3 and Kafka 3.2.3: each attribute is a header of its own, in both; no other header is taken', async () => {
    const { headers } = await recordOf(
      { ...REQUIRED, 'CE-Time': '2018-04-05T03:56:24.5+02:00', 'ce-comexampleext': 'x', 'x-other': 'y', ...JSON_TYPE },
      '{}'
    )
    expect(headers).to.deep.equal([
      ['ce_specversion', '1.0'],
      ['ce_id', '7'],
      ['ce_source', '/shop'],
      ['ce_type', 'order'],
      ['ce_time', '2018-04-05T03:56:24.5+02:00'],
      ['ce_comexampleext', 'x'],
      ['content-type', 'application/json']
    ])
  })

  it('HTTP 3.1.3.1: names are those of attributes, whatever their letters in HTTP', async () => {
    expect(
      await defectsOf({ ...REQUIRED, 'ce-my_ext': 'x', 'ce-my-ext': 'y', 'ce-data': 'z', 'ce-': 'w' })
    ).to.deep.equal([
      '"my_ext" cannot be the name of an attribute: it has other characters than a-z and 0-9',
      '"my-ext" cannot be the name of an attribute: it has other characters than a-z and 0-9',
      '"data" cannot be the name of an attribute',
      '"" cannot be the name of an attribute: it has other characters than a-z and 0-9'
    ])
  })

  it('HTTP 3.1.3.2: values are decoded, and Kafka 3.2.3: UTF-8 in the record', async () => {
    const { headers } = await recordOf({
      ...REQUIRED,
      'ce-subject': 'Euro%20%e2%82%AC%20%F0%9F%98%80',
      'ce-x': '"a \\"b\\" %25"'
    })
    expect(new Map(headers).get('ce_subject')).to.equal('Euro € 😀')
    expect(new Map(headers).get('ce_x')).to.equal('a "b" %')
  })

  const values: [sent: string, decoded: string | RegExp][] = [
    ['plain', 'plain'],
    ['with space', 'with space'],
    ['%41%2D', 'A-'],
    ['%2541', '%41'],
    ['"quoted %22"', 'quoted "'],
    ['"back\\\\slash"', 'back\\slash'],
    ['outside\\n', 'outside\\n'],
    ['', ''],
    ['%C0%A0', /not valid UTF-8/],
    ['%ED%A0%80', /not valid UTF-8/],
    ['%E2%82', /not valid UTF-8/],
    ['%', '%'],
    ['100%zz %41', '100%zz %41'],
    ['say "hello"', 'say "hello"'],
    ['"a" and "b"', '"a" and "b"'],
    ['"open', '"open'],
    ['"open\\"', '"open\\"'],
    ['"', '"'],
    ['""', ''],
    ['caf\u00e9', /not printable ASCII: write them as %XX/],
    ['%00', /control characters/],
    ['%C2%80', /control characters/],
    ['%EF%BF%BF', /characters that are not allowed/]
  ]
  it('HTTP 3.1.3.2: values of headers are decoded, or what is wrong with them is told', () =>
    checkRows(values, ([sent, decoded]) => {
      const { value, problem } = decodeValue(sent)
      if (typeof decoded === 'string') expect([value, problem]).to.deep.equal([decoded, undefined])
      else expect(problem).to.match(decoded)
    }))

  it('HTTP 3.1.3.2: encodes space, quote, percent sign and all that is not ASCII, in capitals, once', () => {
    expect(encodeValue('Euro € 😀')).to.equal('Euro%20%E2%82%AC%20%F0%9F%98%80')
    expect(encodeValue('"%"')).to.equal('%22%25%22')
    expect(encodeValue("!#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~")).to.equal("!#$&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~")
    expect(encodeValue('\u007f\u0080')).to.equal('%7F%C2%80')
  })

  it('a header twice is refused, whatever its letters', async () => {
    const twice = [...Object.entries(REQUIRED).flat(), 'CE-ID', '8']
    expect(await defectsOf(twice)).to.deep.equal(['the header "ce-id" occurs more than once'])
    const types = [...Object.entries(REQUIRED).flat(), 'content-type', 'text/plain', 'Content-Type', 'text/html']
    const answer = await play.post(types, 'x')
    expect([answer.status, JSON.parse(answer.body).detail]).to.deep.equal([
      400,
      'the header Content-Type occurs more than once'
    ])
  })

  it('a request without any attribute is told which ones are missing', async () => {
    expect(await defectsOf(JSON_TYPE)).to.deep.equal([
      'specversion is missing',
      'id is missing',
      'source is missing',
      'type is missing'
    ])
    expect(await defectsOf({ ...REQUIRED, 'ce-id': '', 'ce-source': '' })).to.deep.equal([
      'id is empty',
      'source is empty'
    ])
  })

  it('values that the specification does not allow are refused, each with its line', async () => {
    const wrong = {
      ...REQUIRED,
      'ce-specversion': '0.3',
      'ce-source': '/a b',
      'ce-time': '2018-02-30T00:00:00Z',
      'ce-dataschema': '',
      'ce-subject': '',
      'ce-partitionkey': '',
      'content-type': 'json'
    }
    expect(await defectsOf(wrong)).to.deep.equal([
      'specversion "0.3" is not known: it has to be 1.0',
      'source "/a b" is not a URI reference (RFC 3986)',
      'dataschema is empty',
      'datacontenttype "json" is not a media type (RFC 2046)',
      'subject is empty',
      'partitionkey is empty',
      'time "2018-02-30T00:00:00Z" is not a time as 2018-04-05T17:31:00Z (RFC 3339)'
    ])
  })

  it('Kafka 3.1: the key is that of the request, else the partitionkey, which stays in the event', async () => {
    const keyed = { ...REQUIRED, 'ce-partitionkey': 'p%201' }
    expect((await recordOf(REQUIRED, 'x')).key).to.equal(null)
    const mapped = await recordOf(keyed, 'x')
    expect([mapped.key, new Map(mapped.headers).get('ce_partitionkey')]).to.deep.equal(['p 1', 'p 1'])
    await play.post(keyed, 'x', '/orders?key=a%FF+b')
    expect(play.verbs.calls.at(-1)!.records[0]!.key!.equals(Buffer.from('a\u00ff b', 'latin1'))).to.equal(true)
    expect(new Map(play.verbs.written.at(-1)!.headers).get('ce_partitionkey')).to.equal('p 1')
    await play.post(keyed, 'x', '/orders?key=')
    expect(play.verbs.written.at(-1)!.key).to.equal('')
    for (const [query, detail] of [
      ['key=%zz', /% without two hexadecimal digits/],
      ['key=a&key=b', /key occurs more than once/],
      ['async=yes', /async has to be one of true, false/]
    ] as const) {
      const answer = await play.post(keyed, 'x', `/orders?${query}`)
      expect([answer.status, JSON.parse(answer.body).detail]).to.satisfy(
        ([status, text]: [number, string]) => status === 400 && detail.test(text)
      )
    }
  })

  it('HTTP 3: an event format that is not known is answered 415, and nothing else is taken for one', async () => {
    for (const type of [
      'application/cloudevents+avro',
      'application/cloudevents',
      'APPLICATION/CloudEvents+XML',
      'application/cloudevents-batch+avro',
      'application/cloudevents+json; charset=utf-16'
    ]) {
      const answer = await play.post({ ...REQUIRED, 'content-type': type }, JSON.stringify(EVENT))
      expect([answer.status, JSON.parse(answer.body).detail], type).to.satisfy(
        ([status, text]: [number, string]) => status === 415 && text.includes('application/cloudevents-batch+json')
      )
    }
    const other = await recordOf({ ...REQUIRED, 'content-type': 'application/cloud+json' }, JSON.stringify(EVENT))
    expect(new Map(other.headers).get('ce_id')).to.equal('7')
  })
})
