import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import {
  parsePush as inPieces,
  type PushRequest,
  scanPush,
  TooManyRecordsError
} from '../../../src/apis/kprf/push-parse.js'
import { DeserializeError } from '../../../src/core/json/json-reader.js'
import { atOnce } from '../../../src/core/loop-turns.js'
import { checkRows } from '../../support/rows.js'
import { PushBodies } from './push-bodies.js'

const parsePush = (body: Buffer, maxRecords?: number) => atOnce(inPieces(body, maxRecords))

/** The error text, or records and mode as plain values. */
function answerTo(body: Buffer | string): unknown {
  try {
    const { records, waitForSend } = parsePush(Buffer.from(body))
    const plain = records.map(({ topic, value, key, partition }) => [
      topic,
      value.toString(),
      key?.toString() ?? null,
      partition ?? null
    ])
    return { records: plain, waitForSend }
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
    return error.message
  }
}

/** Source: answers of kprf fd32acc, run against Kafka 4.3.1. */
const answersOfKprf: [body: string, text: string][] = [
  ['{}', 'missing field `records` at line 1 column 2'],
  ['{"wait_for_send":true}', 'missing field `records` at line 1 column 22'],
  ['{"records":null}', 'invalid type: null, expected a sequence at line 1 column 15'],
  ['{"records":{}}', 'invalid type: map, expected a sequence at line 1 column 11'],
  ['{"records":[{"data":"x"}]}', 'missing field `topic` at line 1 column 24'],
  ['{"records":[{"topic":"beh"}]}', 'missing field `data` at line 1 column 27'],
  ['{"records":[{"topic":"beh","data":{"a":1}}]}', 'invalid type: map, expected a string at line 1 column 34'],
  ['{"records":[{"topic":"beh","data":5}]}', 'invalid type: integer `5`, expected a string at line 1 column 35'],
  ['{"records":[{"topic":"beh","data":-1}]}', 'invalid type: integer `-1`, expected a string at line 1 column 36'],
  ['{"records":[{"topic":"beh","data":null}]}', 'invalid type: null, expected a string at line 1 column 38'],
  ['{"records":[{"topic":"beh","data":true}]}', 'invalid type: boolean `true`, expected a string at line 1 column 38'],
  ['{"records":[{"topic":1,"data":"x"}]}', 'invalid type: integer `1`, expected a string at line 1 column 22'],
  ['{"records":[{"topic":null,"data":"x"}]}', 'invalid type: null, expected a string at line 1 column 25'],
  [
    '{"records":[{"topic":"beh","data":"x","key":1}]}',
    'invalid type: integer `1`, expected a string at line 1 column 45'
  ],
  [
    '{"records":[{"topic":"beh","data":"x","partition":"1"}]}',
    'invalid type: string "1", expected i32 at line 1 column 53'
  ],
  [
    '{"records":[{"topic":"beh","data":"x","partition":-2147483649}]}',
    'invalid value: integer `-2147483649`, expected i32 at line 1 column 61'
  ],
  ['{"records":[],"wait_for_send":"true"}', 'invalid type: string "true", expected a boolean at line 1 column 36'],
  ['{"records":[],"records":[]}', 'duplicate field `records` at line 1 column 23'],
  [
    '{"records":[["dataX","beh"]],"wait_for_send":true}',
    'invalid length 2, expected struct Record with 4 elements at line 1 column 27'
  ],
  ['{', 'EOF while parsing an object at line 1 column 1'],
  ['abc', 'expected value at line 1 column 1'],
  ['{"records":[],}', 'trailing comma at line 1 column 15'],
  ['1', 'invalid type: integer `1`, expected struct PushRequest at line 1 column 1'],
  ['null', 'invalid type: null, expected struct PushRequest at line 1 column 4'],
  ['', 'EOF while parsing a value at line 1 column 0']
]

interface Vector {
  readonly body?: string
  readonly bodyBase64?: string
  readonly error?: string
  readonly records?: readonly [topic: string, data: string, key: string | null, partition: number | null][]
  readonly waitForSend?: boolean | null
}

describe('kprf parsePush', () => {
  it('answers each body as kprf answers it', () =>
    checkRows(answersOfKprf, ([body, text]) => expect(answerTo(body)).to.equal(text)))

  // Source: test/data/README.md
  it('agrees with serde_json on all stored bodies', () => {
    const vectors = JSON.parse(readFileSync('test/data/kprf-serde-vectors.json', 'utf8')) as Vector[]
    expect(vectors).to.have.length.above(400)
    for (const { body, bodyBase64, error, records, waitForSend } of vectors) {
      const bytes = body === undefined ? Buffer.from(bodyBase64!, 'base64') : Buffer.from(body)
      // -1 means none to librdkafka; serde handed it on.
      const asGiven = records?.map(record => record.map(value => (value === -1 ? null : value)))
      const expected = error ?? { records: asGiven, waitForSend: waitForSend === true }
      expect(answerTo(bytes), bytes.toString()).to.deep.equal(expected)
    }
  })

  it('accepts a record and a request as positional arrays', () => {
    expect(answerTo('[[["data","topic","key",3],["d","t",null,null]],true]')).to.deep.equal({
      records: [
        ['topic', 'data', 'key', 3],
        ['t', 'd', null, null]
      ],
      waitForSend: true
    })
  })

  it('counts lines and bytes, not characters', () => {
    expect(answerTo('{"records":\r\n [{"topic":"é€😀","data":5}]}')).to.equal(
      'invalid type: integer `5`, expected a string at line 2 column 31'
    )
  })

  it('skips 1,000 levels under an unknown key, and refuses more', () => {
    const nested = (depth: number): string => `{"x":${'['.repeat(depth)}${']'.repeat(depth)},"records":[]}`
    expect(answerTo(nested(1_000))).to.deep.equal({ records: [], waitForSend: false })
    expect(answerTo(nested(1_001))).to.equal('recursion limit exceeded at line 1 column 1006')
    expect(answerTo(`{"x":${'{"a":'.repeat(1_000)}`)).to.equal('EOF while parsing a value at line 1 column 5005')
    expect(answerTo(`{"x":${'{"a":'.repeat(200_000)}`)).to.equal('recursion limit exceeded at line 1 column 5006')
  })

  it('cuts a long string where it quotes it', () => {
    const text = answerTo(`{"records":[],"wait_for_send":"${'x'.repeat(100_000)}"}`)
    const quoted = `${'x'.repeat(4_096)}…`
    expect(text).to.equal(`invalid type: string "${quoted}", expected a boolean at line 1 column 100032`)
  })

  it('stops at one record more than is allowed, before it reads it', () => {
    const body = Buffer.from('{"records":[["d","t",null,null],["d","t",null,null],!!!')
    expect(() => parsePush(body, 2)).to.throw(TooManyRecordsError)
    expect(() => parsePush(body, 3)).to.throw(DeserializeError)
  })

  it('gives keys and values that are bytes of the body, not more', () => {
    const { records } = parsePush(Buffer.from('{"records":[{"topic":"t","data":"a\\u0000b","key":"é"}]}'))
    expect(records[0]!.value).to.deep.equal(Buffer.from('a\0b'))
    expect(records[0]!.key).to.deep.equal(Buffer.from('é'))
  })
})

const scan = (body: string): PushRequest | undefined => scanPush(Buffer.from(body))

describe('kprf scanPush', () => {
  it('reads the plain shape, whatever the order of its keys', () => {
    expect(scan('{"records":[{"topic":"t","data":"d","key":"k","partition":-12}],"wait_for_send":true}')).to.deep.equal(
      {
        records: [{ topic: 't', value: Buffer.from('d'), key: Buffer.from('k'), partition: -12 }],
        waitForSend: true
      }
    )
    expect(scan('{"wait_for_send":false,"records":[{"data":"","partition":0,"key":"","topic":""}]}')).to.deep.equal({
      records: [{ topic: '', value: Buffer.alloc(0), key: Buffer.alloc(0), partition: 0 }],
      waitForSend: false
    })
  })

  it('takes null and absence for the same, and an empty key for a key', () => {
    const absent = [{ topic: 't', value: Buffer.from('d'), key: null, partition: undefined }]
    expect(scan('{"records":[{"topic":"t","data":"d"}]}')?.records).to.deep.equal(absent)
    const nulls = '{"records":[{"topic":"t","data":"d","key":null,"partition":null}],"wait_for_send":null}'
    expect(scan(nulls)).to.deep.equal({ records: absent, waitForSend: false })
  })

  it('takes partition -1 for none, and no other', () => {
    const partitions = (text: string) => scan(`{"records":[{"topic":"t","data":"d","partition":${text}}]}`)?.records
    expect(partitions('-1')?.[0]?.partition).to.equal(undefined)
    expect(partitions('-2')?.[0]?.partition).to.equal(-2)
    expect(partitions('-0')?.[0]?.partition).to.equal(0)
  })

  it('gives views of the body', () => {
    const body = Buffer.from('{"records":[{"topic":"t","data":"dé","key":"k"}]}')
    const { key, value } = scanPush(body)!.records[0]!
    expect(value.buffer).to.equal(body.buffer)
    expect(value.toString()).to.equal('dé')
    expect(key!.buffer).to.equal(body.buffer)
  })

  it('reads what is printed for people', () => {
    const body = {
      records: [
        { topic: 't', data: 'a b\n', key: 'k' },
        { topic: 't', data: 'c' }
      ],
      wait_for_send: true
    }
    const { records, waitForSend } = scan(`${JSON.stringify(body, null, '\t')}\r\n`)!
    expect(waitForSend).to.equal(true)
    expect(records.map(({ value }) => value.toString())).to.deep.equal(['a b\n', 'c'])
  })

  it('unescapes keys, values and topics', () => {
    const data = '"\\/\b\f\n\r\té€😀\u0000 plain'
    const ascii = JSON.stringify(data).replace(
      /[\u007f-\uffff]/g,
      unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
    )
    const { records } = scan(`{"records":[{"topic":"\\u0074","data":${ascii},"key":"\\/"},{"topic":"t","data":"x"}]}`)!
    expect(records.map(({ topic }) => topic)).to.deep.equal(['t', 't'])
    expect(records[0]!.value.toString()).to.equal(data)
    expect(records[0]!.key!.toString()).to.equal('/')
    expect(records[1]!.value.toString()).to.equal('x')
  })

  it('reads spaces between tokens', () => {
    expect(
      scan(' { "records" : [ { "topic" : "t" , "data" : "d" } , { "data" : "e" , "topic" : "u" } ] } ')?.records
    ).to.have.length(2)
  })

  it('tells neighbouring topics apart', () => {
    const records = ['ab', 'ac', 'ab', 'a', 'abc'].map(topic => `{"topic":"${topic}","data":""}`).join(',')
    expect(scan(`{"records":[${records}]}`)?.records.map(({ topic }) => topic)).to.deep.equal([
      'ab',
      'ac',
      'ab',
      'a',
      'abc'
    ])
  })

  const unusual = {
    'a lone surrogate': '{"records":[{"topic":"t","data":"\\ud83d"}]}',
    'the wrong half of a pair': '{"records":[{"topic":"t","data":"\\ude00\\ud83d"}]}',
    'an unknown escape': '{"records":[{"topic":"t","data":"\\q"}]}',
    'an escape cut short': '{"records":[{"topic":"t","data":"\\u12',
    'a backslash at the end': '{"records":[{"topic":"t","data":"\\',
    'an escaped key': '{"r\\u0065cords":[]}',
    'a control byte before an escape': '{"records":[{"topic":"t","data":"a\tb\\n"}]}',
    'a control byte after an escape': '{"records":[{"topic":"t","data":"\\na\tb"}]}',
    'a control byte in a string': '{"records":[{"topic":"t","data":"a\u0001"}]}',
    'a duplicate key of a record': '{"records":[{"topic":"t","topic":"t","data":"d"}]}',
    'a duplicate key that was null': '{"records":[{"topic":"t","key":null,"key":"k","data":"d"}]}',
    'a duplicate key of the request': '{"records":[],"wait_for_send":null,"wait_for_send":true}',
    'an unknown key': '{"records":[],"x":1}',
    'a missing key': '{"records":[{"topic":"t"}]}',
    'a positional record': '{"records":[["d","t",null,null]]}',
    'a positional request': '[[],true]',
    'a leading zero': '{"records":[{"topic":"t","data":"d","partition":01}]}',
    'a fraction': '{"records":[{"topic":"t","data":"d","partition":1.0}]}',
    'more digits than surely fit': '{"records":[{"topic":"t","data":"d","partition":2147483647}]}',
    'a trailing comma': '{"records":[],}',
    'more after the end': '{"records":[]}x',
    'an end too early': '{"records":[{"topic":"t","data":"d',
    nothing: ''
  }
  it('leaves an unusual body to the slow path', () =>
    checkRows(Object.entries(unusual), ([, body]) => expect(scan(body)).to.equal(undefined)))

  it('leaves invalid UTF-8 to the slow path', () => {
    expect(scanPush(Buffer.from('{"records":[{"topic":"t","data":"\xff"}]}', 'latin1'))).to.equal(undefined)
  })

  it('reads strings that begin, end and have their escapes around each 64 KiB, or go on for longer', () => {
    const contents = ['é"', '\\', 'a\tb', '"', 'plain', 'x'.repeat(200_000), `${'y'.repeat(70_000)}"\n`, '']
    for (let before = 65_536 - 90; before < 65_536 + 4; before++) {
      const records = contents.map((data, at) => ({ topic: 't'.repeat(1 + (at % 2)), key: data.slice(-3), data }))
      const body = JSON.stringify({ records: [{ topic: 't', data: 'z'.repeat(before) }, ...records] })
      const scanned = scan(body)!.records.slice(1)
      const plain = scanned.map(({ topic, key, value }) => ({ topic, key: String(key), data: String(value) }))
      // Chai would compare each character.
      expect(JSON.stringify(plain), `behind ${before}`).to.equal(JSON.stringify(records))
    }
  })

  it('finds a control byte in any part of a long string', () => {
    for (const at of [0, 65_470, 65_535, 65_536, 131_071, 131_072, 199_999]) {
      const data = `${'x'.repeat(at)}\u0001${'x'.repeat(200_000 - at)}`
      expect(scan(`{"records":[{"topic":"t","data":"${data}"}]}`), String(at)).to.equal(undefined)
    }
  })

  it('agrees with the slow path on everything it accepts', () => {
    const bodies = new PushBodies(20_261_120, 5)
    let accepted = 0
    for (let i = 0; i < 100_000; i++) {
      const body = bodies.next()
      const scanned = scanPush(body)
      if (scanned === undefined) continue
      accepted++
      // Chai's deep equality costs more than both parsers; text tells the same.
      const parsed = parsedText(body)
      if (toText(scanned) !== parsed) expect(toText(scanned), body.toString('latin1')).to.equal(parsed)
    }
    expect(accepted).to.be.above(40_000)
  })
})

const toText = ({ records, waitForSend }: PushRequest): string =>
  JSON.stringify([
    waitForSend,
    records.map(({ topic, value, key, partition }) => [
      topic,
      value.toString('latin1'),
      key?.toString('latin1') ?? null,
      partition ?? null
    ])
  ])

function parsedText(body: Buffer): string {
  try {
    return toText(parsePush(body))
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
    return error.message
  }
}
