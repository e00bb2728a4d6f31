import { strict as assert } from 'node:assert'
import { readSentRecord } from '../../../src/apis/confluent/v3/record-json.js'
import { readWhole as inPieces, RecordReader } from '../../../src/apis/confluent/v3/record-reader.js'
import { atOnce } from '../../../src/core/loop-turns.js'

/** In turns it reads the same. */
function readWhole(body: Buffer, options: Parameters<typeof inPieces>[1]) {
  const inTurns = () => atOnce(inPieces(body, options, true))
  let read: ReturnType<typeof inTurns>
  try {
    read = atOnce(inPieces(body, options))
  } catch (error) {
    assert.throws(inTurns, { message: (error as Error).message })
    throw error
  }
  assert.deepEqual(inTurns(), read)
  return read
}

const PLAIN = { topic: 't', hasRegistry: false }
const read = (text: string, to = PLAIN) => readSentRecord(Buffer.from(text), to)

describe('confluent: a record of version 3', () => {
  it('has the bytes of its data, also before their type, or is refused for the first mistake', () => {
    const data = [
      ['{"type":"JSON","data":{"a" : [1.50, "\\u00fc\\/"] }}', '{"a":[1.50,"ü/"]}'],
      ['{"type":"STRING","data":"esc\\"aped \\u00e9"}', 'esc"aped é'],
      ['{"data":"AAH/","type":"BINARY"}', '\x00\x01\xff'],
      ['{"type":"JS\\u004fN","data":null}', undefined],
      ['{"type":"JSON"}', undefined],
      ['{"type":"STRING","data":"a","type":"JSON","data":"b"}', '"b"'],
      ['{"data":"a","type":"STRING","data":"b"}', 'b'],
      ['{"type":"STRING","data":"a","type":"JSON"}', '"a"'],
      ['{"type":"BINARY","data":"fooba"}', /not base64/],
      ['{"type":"JSON","data":"tab\tinside"}', /control character/],
      ['{"type":"JSON","data":"a","subject":"s"}', /needs a schema registry/],
      ['{"type":"AVRO","data":"a"}', /needs a schema registry/],
      ['{"data":"a"}', /needs a schema registry/],
      ['{"type":"ODD","data":"a"}', /unknown type "ODD"/],
      ['{"type":"JSON","other":1}', /unknown member "other"/],
      ['{"type":"STRING","data":1}', /expected a string/],
      ['"a"', /expected an object/]
    ] as const
    for (const [one, expected] of data) {
      const record = `{"value":${one},"partition_id":2}`
      if (expected instanceof RegExp) assert.throws(() => read(record), expected, record)
      else {
        const encoding = one.includes('BINARY') ? 'latin1' : 'utf8'
        const { value, partition } = read(record).record
        assert.deepEqual([(value as Buffer | null)?.toString(encoding), partition], [expected, 2], record)
      }
    }
    for (const wrong of ['{"partition_id":-1}', '{"partition_id":1.0}', '{} x', '{"key":null,}', '{"other":1}'])
      assert.throws(() => read(wrong), Error, wrong)
  })

  it('is followed by what is no record, of which the place is told', () => {
    const options = { ...PLAIN, maxRecordBytes: 1_000, maxRecords: 10 }
    for (const [body, end, place] of [
      ['{}\n{} nope', 'broken', 'line 2 column 4'],
      ['{}\n{"value":7}\n nope', 'broken', 'line 3 column 2'],
      ['{}\n {"value"', 'cut', 'line 2 column 2']
    ] as const) {
      const read = readWhole(Buffer.from(body), options)
      assert.deepEqual([read.end, read.place], [end, place])
    }
  })

  it('takes null for each member that names a schema as absent, with a registry or without', () => {
    const members = ['subject', 'subject_name_strategy', 'schema_id', 'schema_version', 'schema']
    const nulls = members.map(member => `"${member}":null`)
    for (const data of [...nulls, nulls.join()].map(named => `{"type":"STRING",${named},"data":"x"}`)) {
      for (const part of ['key', 'value'] as const) {
        for (const hasRegistry of [false, true]) {
          const { record, unencoded } = read(`{"${part}":${data}}`, { topic: 't', hasRegistry })
          assert.deepEqual([String(record[part]), unencoded], ['x', undefined], data)
        }
      }
    }
    assert.throws(() => read('{"value":{"type":"STRING","data":"x","schema_id":1}}'), /needs a schema registry/)
    assert.throws(() => read('{"value":{"type":null,"data":"x","schema_id":null}}'), /needs a schema registry/)
    assert.throws(() => read('{"value":{"type":"STRING","data":"x","other":null}}'), /unknown member "other"/)
  })

  it('keeps the bytes of data that have a schema as they were sent', () => {
    const sent = read('{"value":{"schema_id":7,"data":{"a" : 1}}}', { topic: 't', hasRegistry: true })
    assert.equal(sent.unencoded?.value?.json.toString(), '{"a" : 1}')
    assert.deepEqual(sent.unencoded?.value?.named, { id: 7, format: undefined })
  })

  it('has the sizes of the bytes that are written', () => {
    const value = '{"type":"JSON","data":{"a" : "Zürich"}}'
    const sent = read(`{"key":{"type":"BINARY","data":"AAH/"},"value":${value}}`)
    assert.deepEqual(
      [sent.key, sent.value],
      [
        { type: 'BINARY', size: 3 },
        { type: 'JSON', size: 15 }
      ]
    )
    assert.equal(String(sent.record.value), '{"a":"Zürich"}')
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
      assert.equal(read(`{"timestamp":${seconds}}`).record.timestampMs, ms, seconds)
    }
    for (const wrong of ['true', '[1]', '{}', '1e400']) {
      assert.throws(() => read(`{"timestamp":${wrong}}`), /neither ISO-8601 nor seconds/)
    }
  })

  it('is refused where its bytes are not UTF-8', () => {
    const bytes = Buffer.from('{"value":{"type":"STRING","data":"\xff"}}', 'latin1')
    assert.throws(() => readSentRecord(bytes, PLAIN), /not valid UTF-8/)
  })
})

describe('confluent: a whole body of version 3', () => {
  const limits = { ...PLAIN, maxRecordBytes: 10_000, maxRecords: 40_000 }

  it('has the same records and refusals as the same bytes one after another', () => {
    const good = [
      '{}',
      '{"key":{"type":"STRING","data":"k\\n"},"value":{"type":"JSON","data":[ 1 ]}}',
      ' {"partition_id":1}\n'
    ]
    const bad = ['{"x":1}', '{"value":1}', '{"partition_id":-1}', '{"headers":[{}]}']
    const last = ['', '{"value":', '{"a":1]', 'x', '{},', '"', '{"value":{"type":"STRING","data":"\u00ff"}}', ' \r\n']
    const bodies = [...good, ...bad].flatMap(first =>
      last.map(end => Buffer.from(first + good.join('') + end + first, end.length > 20 ? 'latin1' : 'utf8'))
    )
    for (const body of [...bodies, Buffer.from(good.join('')), Buffer.from('')]) {
      const { collected, end } = readWhole(body, limits)
      const reader = new RecordReader(limits)
      let problem: typeof end
      for (let at = 0; at < body.length && problem === undefined; at++)
        problem = reader.read(body.subarray(at, at + 1), 0, Number.POSITIVE_INFINITY).end
      const { items, records } = reader.take()
      assert.deepEqual([collected.items, collected.records], [items, records], body.toString())
      assert.equal(end, problem ?? (reader.keptBytes > 0 ? 'cut' : undefined), body.toString())
    }
  })

  it('is read behind a record that cannot be used, if that is JSON in any encoding', () => {
    const endOf = (first: string) => {
      const { collected, end } = readWhole(Buffer.from(`${first}{}`, 'latin1'), limits)
      return [end, collected.records.length, collected.items.length]
    }
    for (const json of ['{"a":"\xe9"}', ...[200, 1_100].map(deep => `{"a":${'['.repeat(deep)}${']'.repeat(deep)}}`)])
      assert.deepEqual(endOf(json), [undefined, 1, 2], json)
    for (const broken of ['{"a":\xe9}', '{"a":"\xe9 {"value":"}}', '{"a":b}', '{"a":"\\ud800"}'])
      assert.deepEqual(endOf(broken), ['notJson', 0, 1], broken)
  })

  it('is read without building values of records that cannot be used', () => {
    const half = 1_000_000
    const reader = new RecordReader({ ...limits, maxRecordBytes: 3 * half })
    const before = process.memoryUsage().heapUsed
    reader.read(Buffer.from(`{"a":${'['.repeat(half)}${']'.repeat(half)}}`), 0, Number.POSITIVE_INFINITY)
    const usedBytes = process.memoryUsage().heapUsed - before
    assert.ok(usedBytes < 10 * half, `${usedBytes} bytes`)
  })

  it('is read no further than one record more than it may have, and one refusal more than one turn has time for', () => {
    const countIn = (body: string): number => readWhole(Buffer.from(body), limits).collected.items.length
    assert.equal(countIn('{}'.repeat(50_000)), limits.maxRecords + 1)
    for (const bad of ['{"x":1}', '{"x":1}{}', '{"value":1}']) {
      assert.ok(countIn(bad.repeat(10_000)) >= 10_000, bad)
      // What follows is not read: an object that does not end, or too many records.
      for (const rest of [`${bad}{`, bad.repeat(40_000)])
        assert.throws(() => countIn(bad.repeat(10_000) + rest), /at most 10000 records that cannot be used/, bad)
    }
  })
})
