import { strict as assert } from 'node:assert'
import { timestampIn } from '../../../src/apis/confluent/v2/consumer-bodies.js'
import { readProduceBody as inPieces, type V2Body } from '../../../src/apis/confluent/v2/produce-endpoint.js'
import { atOnce } from '../../../src/core/loop-turns.js'

const readProduceBody = (body: Buffer, head: V2Body) => atOnce(inPieces(body, head))

const JSON_RECORDS: V2Body = {
  format: 'json',
  schemaFormat: undefined,
  topic: 't',
  partition: undefined,
  hasFurtherMembers: false,
  maxRecords: 3
}
const BINARY_RECORDS: V2Body = { ...JSON_RECORDS, format: 'binary', partition: 7 }

describe('confluent: the body of a produce request of version 2', () => {
  it('keeps the bytes of values that have a schema as they were sent', () => {
    const body = Buffer.from('{"records":[{"value":{"a" : 1}}],"value_schema_id":"7"}')
    const { records, schemas } = readProduceBody(body, { ...JSON_RECORDS, format: 'avro', schemaFormat: 'AVRO' })
    assert.deepEqual([...schemas], [['value_schema_id', 7]])
    assert.deepEqual([records[0]!.key, String(records[0]!.value)], [null, '{"a" : 1}'])
  })

  it('keeps the bytes of a value as they were sent, and without white space', () => {
    const body = '{"records":[{"value":"Zürich"},{"value": {"a" : 1} },{"key":"k","value":null,"partition":2}]}'
    const { records } = readProduceBody(Buffer.from(body), JSON_RECORDS)
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

  it('takes headers and a timestamp of null as absent, also where records have neither', () => {
    const body = Buffer.from('{"records":[{"value":"Zm8","headers":null,"timestamp":null}]}')
    for (const hasFurtherMembers of [false, true]) {
      const [record] = readProduceBody(body, { ...BINARY_RECORDS, hasFurtherMembers }).records
      assert.deepEqual([record!.headers ?? [], record!.timestampMs], [[], undefined])
    }
    for (const member of ['"headers":[]', '"timestamp":1'])
      assert.throws(
        () => readProduceBody(Buffer.from(`{"records":[{${member}}]}`), BINARY_RECORDS),
        /unknown member "(headers|timestamp)"/
      )
  })

  it('refuses bytes that are not UTF-8, also inside a plain value', () => {
    const body = Buffer.from('{"records":[{"value":"\xff"}]}', 'latin1')
    assert.throws(() => readProduceBody(body, JSON_RECORDS), /not valid UTF-8/)
  })
})

describe('confluent: the time of a position of version 2', () => {
  it('is refused for a day that its month does not have', () => {
    assert.equal(timestampIn('2026-02-28T10:00:00Z'), Date.UTC(2026, 1, 28, 10))
    for (const text of ['2026-02-30T10:00:00Z', '2026-06-31T00:00:00Z', '2026-02-28'])
      assert.throws(() => timestampIn(text), /expected ISO 8601/, text)
  })
})
