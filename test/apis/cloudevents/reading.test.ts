import { expect } from 'chai'
import fc from 'fast-check'
import { isLegalText } from '../../../src/apis/cloudevents/attributes.js'
import { BATCH_TYPE, placesIn, placesText } from '../../../src/apis/cloudevents/content-types.js'
import {
  batchOutput,
  binaryOutput,
  eventIn,
  hasTooManyHeaders,
  jsonOf,
  type ReadEvent,
  structuredOutput,
  toEventData
} from '../../../src/apis/cloudevents/event-output.js'
import { recordsOf } from '../../../src/apis/cloudevents/produce.js'
import { acceptedMode, foundIn } from '../../../src/apis/cloudevents/read-request.js'
import { atOnce } from '../../../src/core/loop-turns.js'
import type { KafkaRecord } from '../../../src/core/model.js'
import { wholeOf } from '../../../src/http/exchange/pieced-body.js'
import { SegmentedBody } from '../../../src/http/exchange/segmented-body.js'
import { checkRows } from '../../support/rows.js'

const header = (key: string, value: string | Buffer | null) => ({
  key,
  value: typeof value === 'string' ? Buffer.from(value) : value
})
const ATTRIBUTES = [
  header('ce_specversion', '1.0'),
  header('ce_id', '7'),
  header('ce_source', '/shop'),
  header('ce_type', 'order')
]
const EVENT_TYPE = 'application/cloudevents+json'
const EVENT = { specversion: '1.0', id: '7', source: '/shop', type: 'order' }

const recordWith = (headers: KafkaRecord['headers'], value: string | Buffer | null = null): KafkaRecord => ({
  offset: 0,
  timestampMs: 0,
  key: null,
  value: typeof value === 'string' ? Buffer.from(value) : value,
  headers
})
const binary = (
  type: string | undefined,
  value: string | Buffer | null,
  ...further: KafkaRecord['headers']
): ReadEvent =>
  eventIn(
    recordWith([...ATTRIBUTES, ...(type === undefined ? [] : [header('content-type', type)]), ...further], value)
  )!
const structured = (value: object | string, type = EVENT_TYPE): ReadEvent | undefined =>
  eventIn(
    recordWith(
      [header('content-type', type)],
      typeof value === 'string' ? value : JSON.stringify({ ...EVENT, ...value })
    )
  )
const asJson = (event: ReadEvent): unknown => JSON.parse(jsonOf(event).toString())

describe('cloudevents: the event in a record', () => {
  it('Kafka 3.2: headers ce_ are attributes, content-type is datacontenttype, the value is the data', () => {
    const event = binary('text/plain', 'hello', header('ce_myext', 'ü'), header('other', 'x'), header('ce_unset', null))
    expect(Object.fromEntries(event.attributes)).to.deep.equal({ ...EVENT, myext: 'ü', datacontenttype: 'text/plain' })
    expect(event.data!.toString()).to.equal('hello')
    expect(binary(undefined, null).data).to.equal(null)
  })

  it('Kafka 3.3: a content type of an event format is structured mode, whatever its letters', () => {
    const event = structured({ data: { total: 7 }, myext: 5 }, 'Application/CloudEvents+JSON; charset=UTF-8')!
    expect(Object.fromEntries(event.attributes)).to.deep.equal({
      ...EVENT,
      myext: '5',
      datacontenttype: 'application/json'
    })
    expect(event.data!.toString()).to.equal('{"total":7}')
  })

  const foreign: [name: string, record: KafkaRecord][] = [
    ['without headers', recordWith([], 'x')],
    ['without one of the required attributes', recordWith(ATTRIBUTES.slice(1), 'x')],
    ['with an empty required attribute', recordWith([...ATTRIBUTES.slice(0, 3), header('ce_type', '')], 'x')],
    ['of another version', recordWith([header('ce_specversion', '0.3'), ...ATTRIBUTES.slice(1)], 'x')],
    ['with an attribute twice', recordWith([...ATTRIBUTES, header('ce_id', '8')], 'x')],
    [
      'with two content types',
      recordWith([...ATTRIBUTES, header('content-type', 'a/b'), header('content-type', 'c/d')])
    ],
    ['with a name that is not allowed', recordWith([...ATTRIBUTES, header('ce_my_ext', '8')], 'x')],
    ['with a text that is no UTF-8', recordWith([...ATTRIBUTES, header('ce_x', Buffer.from([0xff]))], 'x')],
    ['with a control character', recordWith([...ATTRIBUTES, header('ce_x', 'a\r\nb: c')], 'x')],
    ['with a content type that cannot be a header', recordWith([...ATTRIBUTES, header('content-type', 'a/b\r\nc: d')])],
    [
      'with a type of its data that cannot be a header',
      recordWith([...ATTRIBUTES, header('ce_datacontenttype', 'text/€')], 'x')
    ],
    [
      'structured, with a type of its data that cannot be a header',
      recordWith(
        [header('content-type', EVENT_TYPE)],
        JSON.stringify({ ...EVENT, datacontenttype: 'text/plain; x=€', data: 'x' })
      )
    ],
    [
      'in a format that is not known',
      recordWith([...ATTRIBUTES, header('content-type', 'application/cloudevents+avro')])
    ],
    ['with a batch', recordWith([header('content-type', 'application/cloudevents-batch+json')], '[]')],
    ['structured, without value', recordWith([header('content-type', EVENT_TYPE)], null)],
    ['structured, and no JSON', recordWith([header('content-type', EVENT_TYPE)], '{')],
    [
      'structured, with something behind',
      recordWith([header('content-type', EVENT_TYPE)], `${JSON.stringify(EVENT)}x`)
    ],
    ['structured, and no UTF-8', recordWith([header('content-type', EVENT_TYPE)], Buffer.from('"\xff"', 'latin1'))],
    [
      'structured, with an attribute twice',
      recordWith([header('content-type', EVENT_TYPE)], `{"id":"8",${JSON.stringify(EVENT).slice(1)}`)
    ]
  ]
  it('a foreign record has no event', () =>
    checkRows(foreign, ([, record]) => expect(eventIn(record)).to.equal(undefined)))
})

describe('cloudevents: events in answers', () => {
  it('HTTP 3.1: binary mode has the type, encoded attributes, and the data', () => {
    const { type, headers, body } = binaryOutput(binary('text/plain', 'hello', header('ce_subject', 'Euro € 😀')))
    expect([type, body.toString()]).to.deep.equal(['text/plain', 'hello'])
    expect(headers).to.deep.equal({
      'ce-specversion': '1.0',
      'ce-id': '7',
      'ce-source': '/shop',
      'ce-type': 'order',
      'ce-subject': 'Euro%20%E2%82%AC%20%F0%9F%98%80'
    })
    expect(binaryOutput(binary(undefined, null))).to.deep.include({ type: undefined, body: Buffer.alloc(0) })
  })

  it('are in structured mode where binary mode has more headers than clients read, and lose nothing', () => {
    const found = (event: ReadEvent, returned: Readonly<Record<string, string>> = {}) =>
      foundIn(event, { partition: 0, offset: 7, headers: [] }, 'binary', () => returned).output
    const fits = binary('text/plain', 'hello', header('ce_big', 'x'.repeat(9_000)))
    expect(found(fits).type).to.equal('text/plain')
    const large = found(binary('text/plain', 'hello', header('ce_big', 'x'.repeat(10_300))))
    expect([large.type, large.headers]).to.deep.equal([EVENT_TYPE, {}])
    expect(JSON.parse(large.body.toString())).to.deep.equal({
      ...EVENT,
      big: 'x'.repeat(10_300),
      datacontenttype: 'text/plain',
      data: 'hello'
    })
    const encoded = binary('text/plain', 'hello', header('ce_big', '€'.repeat(1_200)))
    expect(found(encoded).type, 'as it is sent').to.equal(EVENT_TYPE)
    const kept = structured({ big: 'x'.repeat(60_000), data: { a: 1.5 } })!
    expect(wholeOf(found(kept).body).equals(kept.structured!.json)).to.equal(true)
    const withReturned = found(fits, { 'x-tenant': 'y'.repeat(2_000) })
    expect([withReturned.type, Object.keys(withReturned.headers)]).to.deep.equal([EVENT_TYPE, ['x-tenant']])
    const many = Array.from({ length: 80 }, (_, at) => header(`ce_a${at}`, 'x'))
    expect(found(binary('text/plain', 'hello', ...many.slice(0, 70))).type).to.equal('text/plain')
    expect(found(binary('text/plain', 'hello', ...many)).type).to.equal(EVENT_TYPE)
  })

  it('JSON 3.1: an event of structured mode has its data as bytes in binary mode', () => {
    const outputs = [
      { data: { a: 1.5 } },
      { data: 'text' },
      { data: null },
      { datacontenttype: 'application/xml', data: '<a b="c"/>' },
      { datacontenttype: 'application/x+json', data: 'text' },
      { datacontenttype: 'text/plain', data_base64: 'AP8=' },
      { data_base64: 'AP8=' },
      {}
    ].map(members => binaryOutput(structured(members)!))
    expect(outputs.map(({ type, body }) => [type, body.toString('latin1')])).to.deep.equal([
      ['application/json', '{"a":1.5}'],
      ['application/json', '"text"'],
      ['application/json', 'null'],
      ['application/xml', '<a b="c"/>'],
      ['application/x+json', '"text"'],
      ['text/plain', '\0\xff'],
      [undefined, '\0\xff'],
      [undefined, '']
    ])
  })

  it('HTTP 3.2: structured mode has the bytes and the type of the record', () => {
    const json = ` {"data" : [1], ${JSON.stringify(EVENT).slice(1)}\n`
    const { type, body } = structuredOutput(structured(json, `${EVENT_TYPE};charset=utf-8`)!)
    expect([type, body.toString()]).to.deep.equal([`${EVENT_TYPE};charset=utf-8`, json])
  })

  it('JSON 3.1.1: data of binary mode is a value, a text, or base64', () => {
    const jsonText = '{"a" : 1.50, "ü":"\\u00fc"}'
    expect(jsonOf(binary('application/json', jsonText)).toString()).to.contain(`"data":${jsonText}}`)
    expect(asJson(binary('application/geo+json; charset=utf-8', '[1]'))).to.deep.include({ data: [1] })
    expect(asJson(binary('text/plain', 'a"\n\u0000'))).to.deep.include({ data: 'a"\n\u0000' })
    const base64 = [
      binary('application/json', '{'),
      binary('application/json; charset=utf-16', '[1]'),
      binary('text/plain', Buffer.from([0xff])),
      binary('text/plain; charset=iso-8859-1', 'a'),
      binary('application/octet-stream', 'a'),
      binary(undefined, '{}'),
      binary('text/plain', '')
    ].map(asJson)
    expect(base64.slice(0, 6).map(event => Object.keys(event as object).includes('data_base64'))).to.deep.equal(
      new Array(6).fill(true)
    )
    expect(base64[5]).to.deep.equal({ ...EVENT, data_base64: 'e30=' })
    expect(base64[6]).to.deep.include({ data: '' })
    expect(asJson(binary('text/plain', null))).to.deep.equal({ ...EVENT, datacontenttype: 'text/plain' })
  })

  it('HTTP 3.3: a batch is a list of them, which may be empty', () => {
    expect(batchOutput([]).body.toString()).to.equal('[]')
    const { type, body } = batchOutput([jsonOf(binary(undefined, null)), jsonOf(structured({})!)])
    expect([type, JSON.parse(body.toString())]).to.deep.equal(['application/cloudevents-batch+json', [EVENT, EVENT]])
  })

  it('the data of a server-sent event has no line break of its own', () => {
    expect(toEventData(Buffer.from('{\r\n"a":\r1\n}'))).to.equal('{\ndata: "a":\ndata: 1\ndata: }')
  })

  it('long data is the same, and becomes JSON while it leaves', () => {
    const text = '€"\\n\\u0001\\r\\n'.repeat(5_000)
    const [ofText, ofBytes] = [binary('text/plain', text), binary('a/b', text)].map(jsonOf)
    const [readText, readBytes] = [ofText, ofBytes].map(one => JSON.parse(wholeOf(one!).toString()) as object)
    expect(readText).to.deep.equal({ ...EVENT, datacontenttype: 'text/plain', data: text })
    expect(readBytes).to.deep.include({ data_base64: Buffer.from(text).toString('base64') })
    const json = Buffer.from(`{"a":1,\r\n\n\r${'\r'.repeat(20_000)}"b":2}`)
    const { type, body } = batchOutput([ofText!, json, ofBytes!])
    const batch = JSON.parse(wholeOf(body).toString()) as unknown
    expect([type, batch]).to.deep.equal([BATCH_TYPE, [readText, { a: 1, b: 2 }, readBytes]])
    expect(toEventData(ofText!)).to.equal(ofText)
    const lines = `{"a":1,\ndata: \ndata: \ndata: ${'\ndata: '.repeat(20_000)}"b":2}`
    expect(wholeOf(toEventData(json)).toString()).to.equal(lines)
    for (const one of [ofText, ofBytes, body]) expect(one).to.be.instanceOf(SegmentedBody)
  })

  it('attributes that are more than clients read are not encoded, since such an answer is refused', () => {
    const spaces = ' '.repeat(20_000)
    const output = binaryOutput(binary('text/plain', 'x', header('ce_subject', spaces)))
    expect(output.headers['ce-subject']).to.equal(spaces)
    expect(hasTooManyHeaders(output)).to.equal(true)
  })

  it('an event that came in binary mode leaves in binary mode as it came', () => {
    const name = fc
      .stringMatching(/^[a-z0-9]{1,20}$/)
      .filter(one => !['data', 'datacontenttype', ...Object.keys(EVENT)].includes(one))
    const text = fc.string({ unit: 'binary' }).filter(one => isLegalText(one))
    fc.assert(
      fc.property(fc.dictionary(name, text), fc.uint8Array(), (extensions, bytes) => {
        fc.pre(!Object.keys(extensions).some(one => ['subject', 'time', 'dataschema', 'partitionkey'].includes(one)))
        const sent = binaryOutput({
          attributes: new Map(Object.entries({ ...EVENT, ...extensions })),
          data: Buffer.from(bytes)
        })
        const rawHeaders = [...Object.entries(sent.headers as Record<string, string>).flat(), 'content-type', 'a/b']
        const head = { topic: 't', mode: 'binary', contentType: 'a/b', rawHeaders, key: undefined } as const
        const [record] = atOnce(recordsOf(sent.body, head))
        const read = eventIn({ ...(record as object), offset: 0, timestampMs: 0 } as KafkaRecord)!
        const { headers, body, type } = binaryOutput(read)
        expect([type, headers, body]).to.deep.equal(['a/b', sent.headers, Buffer.from(bytes)])
      })
    )
  })
})

describe('cloudevents: what an answer is', () => {
  const BATCH = 'application/cloudevents-batch+json'
  const cases: [accept: string | undefined, hasCount: boolean, mode: string | undefined][] = [
    [undefined, false, 'binary'],
    ['*/*', false, 'binary'],
    ['application/json', false, 'binary'],
    [EVENT_TYPE, false, 'structured'],
    [BATCH, false, 'batch'],
    [`text/html, ${BATCH.toUpperCase()};q=0.5`, false, 'batch'],
    [`${BATCH};q=0.5, ${EVENT_TYPE}`, false, 'structured'],
    [`${EVENT_TYPE};q=0`, false, 'binary'],
    [undefined, true, 'batch'],
    ['*/*', true, 'batch'],
    [`${EVENT_TYPE}, ${BATCH};q=0.1`, true, 'batch'],
    [EVENT_TYPE, true, undefined]
  ]
  it('HTTP 3: Accept and count choose the mode of an answer', () =>
    checkRows(cases, ([accept, hasCount, mode]) => expect(acceptedMode(accept, hasCount)).to.equal(mode)))

  it('places of events are ranges, in their order', () => {
    const places = [
      [0, 17],
      [0, 18],
      [0, 19],
      [1, 4],
      [0, 3],
      [0, 5]
    ].map(([partition, offset]) => ({ partition: partition!, offset: offset! }))
    expect(placesText(places)).to.equal('0:17-19,1:4,0:3,0:5')
    expect(placesIn('0:17-19,1:4,0:3,0:5', 6)).to.deep.equal(places)
    expect(placesText([])).to.equal('')
  })

  it('places of any other form are refused', () =>
    checkRows(
      ['', '0', '0:', ':1', '0:1-', '0:3-2', '0:1,', '0:1 ', 'a:1', '0:99999999999999999', '0:9007199254740992'],
      wrong => expect(() => placesIn(wrong, 500)).to.throw('has to have the form')
    ))

  it('places are bounded in number', () => {
    expect(placesIn('0:1-500', 500)).to.have.length(500)
    for (const many of ['0:1-501', '0:0-9007199254740991', '0:1-400,1:1-101']) {
      expect(() => placesIn(many, 500), many).to.throw('more than 500 events')
    }
  })
})
