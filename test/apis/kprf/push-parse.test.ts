import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { parsePush, TooManyRecordsError } from '../../../src/apis/kprf/push-parse.js'
import { DeserializeError } from '../../../src/core/json/json-reader.js'

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
  for (const [body, text] of answersOfKprf) {
    it(`answers ${body || 'an empty body'} as kprf does`, () => {
      expect(answerTo(body)).to.equal(text)
    })
  }

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

  it('skips any depth under an unknown key', () => {
    const depth = 200_000
    expect(answerTo(`{"x":${'['.repeat(depth)}${']'.repeat(depth)},"records":[]}`)).to.deep.equal({
      records: [],
      waitForSend: false
    })
    expect(answerTo(`{"x":${'{"a":'.repeat(depth)}`)).to.equal(
      `EOF while parsing a value at line 1 column ${5 + 5 * depth}`
    )
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
