import { strict as assert } from 'node:assert'
import { readSentRecord } from '../../../src/apis/confluent/v3/record-json.js'

/** What a record means, or why it is refused, without the position in its text. */
function meaningOf(text: string): unknown {
  try {
    const { record, ...sizes } = readSentRecord(Buffer.from(text), { topic: 't', hasRegistry: false })
    return { ...record, key: textOf(record.key), value: textOf(record.value), ...Object.entries(sizes) }
  } catch (error) {
    return (error as Error).message.replace(/ at line \d+ column \d+$/, '')
  }
}

const textOf = (bytes: unknown): string => (bytes === null ? 'null' : Buffer.from(bytes as Buffer).toString('latin1'))

/** The same record with a member that has no effect; such records are read by the complete reader. */
const unusual = (record: string): string => record.replace(/^\s*\{\s*(?=")/, '{"timestamp":null,')

describe('confluent: a record of version 3', () => {
  const data = [
    '{"type":"JSON","data":"plain"}',
    '{"type":"JSON","data":"esc\\"aped \\u00e9"}',
    '{"type":"JSON","data":{"a" : [1.50, "\\u00fc\\/"] }}',
    '{"type":"JSON","data":null}',
    '{"type":"JSON","data":nul}',
    '{"type":"JSON","data":[1,}',
    '{"type":"JSON","data":1.50}',
    '{"type":"JSON"}',
    '{"data":"x","type":"JSON"}',
    '{"type":"JSON","data":"a","data":"b"}',
    '{"type":"JSON","type":"STRING","data":"a"}',
    '{"type":"JSON","data":"a","subject":"s"}',
    '{"type":"JSON","data":"a","other":1}',
    '{"type":"JSON" , "data" :\n"tab\tinside"}',
    '{"type":"JSON" , "data" :\n"a" }',
    '{"type":"JSONSCHEMA","data":"a"}',
    '{"type":"JS\\u004fN","data":"a"}',
    '{"type":"STRING","data":"Zürich"}',
    '{"type":"STRING","data":"esc\\"aped \\n \\u00e9"}',
    '{"type":"STRING","data":1}',
    '{"type":"STRING","data":null}',
    '{"type":"BINARY","data":"AAH/"}',
    '{"type":"BINARY","data":"fooba"}',
    '{"type":"BINARY","data":""}',
    '{"type":"AVRO","data":"a"}',
    '{"type":null,"data":"a"}',
    '{}',
    'null',
    '"a"'
  ]
  const records = [
    '{}',
    ...data.map(one => `{"value":${one}}`),
    ...data.map(one => ` { "key" : ${one} , "value":{"type":"STRING","data":"v"}, "partition_id" : 2 } `),
    '{"partition_id":null}',
    '{"partition_id":-1}',
    '{"partition_id":1.0}',
    '{"partition_id":1234567890}',
    '{"partition_id":1,"partition_id":2}',
    '{"value":{"type":"JSON","data":1},"value":null}',
    '{"value":{"type":"JSON","data":1}} x',
    '{"value":{"type":"JSON","data":1},}',
    '{"value":{"type":"JSON","data":1}',
    '{"headers":[{"name":"n","value":"AAE="}],"value":{"type":"JSON","data":1}}'
  ]

  it('means the same, whichever reader reads it', () => {
    for (const record of records) assert.deepEqual(meaningOf(record), meaningOf(unusual(record)), record)
  })

  it('keeps the bytes of data that have a schema as they were sent', () => {
    const bytes = Buffer.from('{"value":{"schema_id":7,"data":{"a" : 1}}}')
    const sent = readSentRecord(bytes, { topic: 't', hasRegistry: true })
    assert.equal(sent.unencoded?.value?.json.toString(), '{"a" : 1}')
    assert.deepEqual(sent.unencoded?.value?.named, { id: 7, format: undefined })
  })

  it('has the sizes of the bytes that are written', () => {
    const value = '{"type":"JSON","data":{"a" : "Zürich"}}'
    const sent = readSentRecord(Buffer.from(`{"key":{"type":"BINARY","data":"AAH/"},"value":${value}}`), {
      topic: 't',
      hasRegistry: false
    })
    assert.deepEqual(
      [sent.key, sent.value],
      [
        { type: 'BINARY', size: 3 },
        { type: 'JSON', size: 15 }
      ]
    )
    assert.equal(textOf(sent.record.value), Buffer.from('{"a":"Zürich"}').toString('latin1'))
  })

  it('has the time of a number of seconds to the millisecond, however the number is written', () => {
    const times = [
      ['1.001', 1_001],
      ['4.35', 4_350],
      ['8.2e-3', 8],
      ['1.001E+0', 1_001],
      ['1e3', 1_000_000],
      ['1700000000.123999', 1_700_000_000_123]
    ] as const
    for (const [seconds, ms] of times) {
      assert.equal(
        readSentRecord(Buffer.from(`{"timestamp":${seconds}}`), { topic: 't', hasRegistry: false }).record.timestampMs,
        ms,
        seconds
      )
    }
    for (const wrong of ['true', '[1]', '{}', '1e400']) {
      assert.throws(
        () => readSentRecord(Buffer.from(`{"timestamp":${wrong}}`), { topic: 't', hasRegistry: false }),
        /neither ISO-8601 nor seconds/
      )
    }
  })

  it('is refused where its bytes are not UTF-8', () => {
    const bytes = Buffer.from('{"value":{"type":"STRING","data":"\xff"}}', 'latin1')
    assert.throws(() => readSentRecord(bytes, { topic: 't', hasRegistry: false }), /not valid UTF-8/)
  })
})
