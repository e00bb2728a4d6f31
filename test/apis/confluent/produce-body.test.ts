import { strict as assert } from 'node:assert'
import { type RecordFormat, readProduceBody, readUnencoded } from '../../../src/apis/confluent/v2/produce-body.js'
import type { ProduceRecord } from '../../../src/core/model.js'

const JSON_RECORDS: RecordFormat = {
  format: 'json',
  topic: 't',
  partition: undefined,
  hasFurtherMembers: false,
  maxRecords: 3
}
const BINARY_RECORDS: RecordFormat = { ...JSON_RECORDS, format: 'binary', partition: 7 }

/** What a body means: its records as text, or why it is refused, without the position in the body. */
function meaningOf(text: string | Buffer, format: RecordFormat): unknown {
  const toText = (bytes: ProduceRecord['key'] | null): string =>
    bytes === null || typeof bytes === 'string' ? String(bytes) : Buffer.from(bytes).toString('latin1')
  try {
    return readProduceBody(Buffer.from(text), format).map(({ key, value, ...rest }) => {
      return { ...rest, key: toText(key), value: toText(value) }
    })
  } catch (error) {
    return (error as Error).message.replace(/ at line \d+ column \d+$/, '')
  }
}

/** The same body with a member that has no effect; such bodies are read by the complete reader. */
const unusual = (body: string): string => body.replace(/^\s*\{\s*(?=")/, '{"key_schema":null,')

describe('confluent: the body of a produce request of version 2', () => {
  const records = [
    '',
    '{}',
    '{"value":"plain"}',
    '{"value":""}',
    '{"value":null,"key":null,"partition":null}',
    '{"key":"k","value":"v","partition":2}',
    '{"partition":0,"value":1,"key":true}',
    '{"partition":-1,"value":"v"}',
    '{"partition":01,"value":"v"}',
    '{"partition":1.0,"value":"v"}',
    '{"partition":1e0,"value":"v"}',
    '{"partition":1234567890123,"value":"v"}',
    '{"partition":"1","value":"v"}',
    '{"value":{"a" : [1.50, "\\u00fc\\/"] , "b":{}},"key":[ ]}',
    '{"value":"esc\\"aped \\n \\u00e9"}',
    '{"value":"Zürich €"}',
    '{"value":"a","value":"b"}',
    '{"key":"a","value":"b","key":null}',
    '{"va\\u006cue":"a"}',
    '{ "value" :\n"a\tb" }',
    '{ "value" :\n"ab" , "key"\t: 1 }',
    '{"value":nul}',
    '{"value":nope}',
    '{"value":}',
    '{"value":"a",}',
    '{"value":"a"',
    '{"value":[1,}',
    '{"value":"a""key":1}',
    '{"value" "a"}',
    '{"other":1}',
    '{"headers":[]}',
    '{"timestamp":1}',
    '{"value":"AAH/","key":"a2V5"}',
    '{"value":"Zm8","key":"Zm8="}',
    '{"value":"A\\u0041H/"}',
    '{"value":"Zm8=="}',
    'null',
    '[]',
    '"a"',
    '{"value":"1"},{"value":"2"} , {"value":"3"}',
    '{"value":"1"},{"value":"2"},{"value":"3"},{"value":"4"}',
    '{"value":"1"},{"value":"2"},{"value":"3"},{"value":oops}',
    '{"value":"1"},',
    '{"value":"1"}{"value":"2"}'
  ]
  const bodies = [
    ...records.flatMap(record => [`{"records":[${record}]}`, ` {\r\n "records" : [ ${record}\n ] } \n`]),
    '{"records":null}',
    '{"records":{}}',
    '{"records":[{"value":"a"}],"records":[{"value":"b"}]}',
    '{"records":[{"value":"a"}]} x',
    '{"records":[{"value":"a"}]}}',
    '{"records":[{"value":"a"}],"value_schema_id":1}',
    '{"records":[{"value":"a"}],"more":1}',
    '{"records":[{"value":"a"}]',
    '{"records":[{"value":"a"}'
  ]

  for (const format of [JSON_RECORDS, BINARY_RECORDS, { ...JSON_RECORDS, hasFurtherMembers: true }]) {
    const further = format.hasFurtherMembers ? ' with further members' : ''
    it(`means the same, whichever reader reads it: ${format.format}${further}`, () => {
      for (const body of bodies) assert.deepEqual(meaningOf(body, format), meaningOf(unusual(body), format), body)
    })
  }

  it('keeps the bytes of values that have a schema as they were sent', () => {
    const body = Buffer.from('{"records":[{"value":{"a" : 1}}],"value_schema_id":"7"}')
    const { records, key, value } = readUnencoded(body, { ...JSON_RECORDS, format: 'avro' })
    assert.deepEqual(
      [key, value, records.map(one => [one.key, String(one.value)])],
      [undefined, { id: 7 }, [[null, '{"a" : 1}']]]
    )
  })

  it('keeps the bytes of a value as they were sent, and without white space', () => {
    const body = '{"records":[{"value":"Zürich"},{"value": {"a" : 1} },{"key":"k","value":null,"partition":2}]}'
    const records = readProduceBody(Buffer.from(body), JSON_RECORDS)
    const values = records.map(({ key, value, partition }) => [key?.toString(), value?.toString(), partition])
    assert.deepEqual(values, [
      [undefined, '"Zürich"', undefined],
      [undefined, '{"a":1}', undefined],
      ['"k"', undefined, 2]
    ])
  })

  it('tells where a body is wrong', () => {
    const body = Buffer.from('{"records":[\n{"value":{"a":]}}')
    assert.throws(() => readProduceBody(body, JSON_RECORDS), /expected value at line 2 column 15/)
  })

  it('tells which record is wrong', () => {
    const wrong = {
      '{"value":"Z_8="}': /records\[2\]: .* is not base64/,
      '{"value":"Zm8","partition":-1}': /records\[2\]: a partition is negative/,
      '{"values":"Zm8"}': /records\[2\]: unknown member "values"/
    }
    for (const [record, message] of Object.entries(wrong)) {
      const body = Buffer.from(`{"records":[{"value":"Zm8"},{},${record}]}`)
      assert.throws(() => readProduceBody(body, BINARY_RECORDS), message, record)
    }
    const four = Buffer.from('{"records":[{},{},{},{}]}')
    assert.throws(() => readProduceBody(four, BINARY_RECORDS), /there are more than 3 records/)
  })

  it('refuses bytes that are not UTF-8, also inside a plain value', () => {
    const body = Buffer.from('{"records":[{"value":"\xff"}]}', 'latin1')
    assert.throws(() => readProduceBody(body, JSON_RECORDS), /not valid UTF-8/)
  })
})
