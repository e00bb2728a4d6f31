import { expect } from 'chai'
import fc from 'fast-check'
import { type LineFormat, linesOf, toRecord } from '../../src/cli/line-records.js'
import { formatRecord } from '../../src/cli/record-format.js'
import type { ProduceRecord } from '../../src/core/model.js'

const read = (format: LineFormat, line: string | Buffer, emptyIsNull = false): ProduceRecord =>
  toRecord(format, emptyIsNull, 'orders', Buffer.from(line))

async function split(chunks: readonly Buffer[], maxBytes = 1_000_000): Promise<Buffer[]> {
  const lines: Buffer[] = []
  const source = async function* (): AsyncGenerator<Buffer> {
    yield* chunks
  }
  for await (const some of linesOf(source(), maxBytes)) lines.push(...some)
  return lines
}

const bytes = fc.uint8Array({ maxLength: 20 }).map(array => Buffer.from(array))
const bytesOrNull = fc.option(bytes)

describe('lines of stdin', () => {
  it('are the same bytes, however they come', () =>
    fc.assert(
      fc.asyncProperty(fc.array(bytes), async chunks => {
        const all = Buffer.concat(chunks).toString('latin1')
        const lines = (await split(chunks)).map(line => line.toString('latin1'))
        expect(lines).to.deep.equal(all.split('\n').slice(0, all.endsWith('\n') || all === '' ? -1 : undefined))
      })
    ))

  it('may be empty, and the last one may lack its end', async () => {
    expect((await split([Buffer.from('a\n\nb\r\n\0c')])).map(String)).to.deep.equal(['a', '', 'b\r', '\0c'])
    expect(await split([])).to.deep.equal([])
  })

  it('end the reading when one is too long, after those before it', async () => {
    const chunks = ['ab\nc', 'cc', 'ccc'].map(text => Buffer.from(text))
    const taken: string[] = []
    const source = async function* (): AsyncGenerator<Buffer> {
      yield* chunks
    }
    const error = await (async () => {
      for await (const lines of linesOf(source(), 3)) taken.push(...lines.map(String))
    })().catch((caught: Error) => caught)
    expect(error).to.be.instanceOf(RangeError)
    expect(taken).to.deep.equal(['ab'])
  })
})

describe('a line as a record', () => {
  it('is a value, or a key and a value, with all bytes', () => {
    const odd = Buffer.from([0xff, 0, 0x3a, 0x3a, 0x0d])
    expect(read('value', odd)).to.deep.equal({ topic: 'orders', key: null, value: odd })
    expect(read({ separator: '::' }, odd)).to.deep.equal({
      topic: 'orders',
      key: odd.subarray(0, 2),
      value: odd.subarray(4)
    })
    expect(read({ separator: '=' }, 'a=b=c'))
      .to.include({ topic: 'orders' })
      .and.deep.include({ value: Buffer.from('b=c') })
    expect(() => read({ separator: '=' }, 'ab')).to.throw(SyntaxError, 'there is no "=" between a key and a value')
  })

  it('has empty keys and values, which are null only where that is asked for', () => {
    const [empty, topic] = [Buffer.alloc(0), 'orders']
    expect(read('value', '')).to.deep.equal({ topic, key: null, value: empty })
    expect(read({ separator: '=' }, '=')).to.deep.equal({ topic, key: empty, value: empty })
    expect(read('value', '', true)).to.deep.equal({ topic, key: null, value: null })
    expect(read({ separator: '=' }, '=', true)).to.deep.equal({ topic, key: null, value: null })
    expect(read({ separator: '=' }, 'k=', true)).to.deep.equal({ topic, key: Buffer.from('k'), value: null })
  })

  it('is what castellan read --format json has written', () => {
    const record = fc.record({
      offset: fc.nat(),
      timestampMs: fc.nat(),
      key: bytesOrNull,
      value: bytesOrNull,
      headers: fc.array(fc.record({ key: fc.string({ unit: 'grapheme' }), value: bytesOrNull }))
    })
    const property = fc.property(record, fc.nat(), (one, partition) => {
      const line = formatRecord({ format: 'json' }, { topic: 'former', partition }, one)
      const { offset, ...kept } = one
      expect(read('json', line.subarray(0, -1))).to.deep.equal({ topic: 'orders', partition, ...kept })
    })
    fc.assert(property)
  })

  it('needs a value in JSON, and nothing else', () => {
    const rest = { topic: 'orders', headers: [], partition: undefined, timestampMs: undefined }
    expect(read('json', '{"value":""}')).to.deep.equal({ ...rest, key: null, value: Buffer.alloc(0) })
    expect(read('json', '{"key":"","value":null}')).to.deep.equal({ ...rest, key: Buffer.alloc(0), value: null })
  })

  it('has no time where castellan read has written that there is none, or that a number does not have it', () => {
    for (const timestampMs of [-1, null])
      expect(read('json', JSON.stringify({ value: '', timestampMs }))).to.include({ timestampMs: undefined })
  })

  it('that is no record is refused with the reason', () => {
    const reasons: readonly (readonly [string | Buffer, RegExp])[] = [
      ['', /JSON/],
      ['{"value":"a"', /JSON/],
      ['[]', /not a JSON object/],
      ['null', /not a JSON object/],
      [Buffer.from('{"value":"\xff"}', 'latin1'), /not a JSON object in UTF-8/],
      ['{"key":"a"}', /the value is missing; null deletes/],
      ['{"value":"a","__proto__":1}', /a record has no "__proto__"/],
      ['{"value":"a","header":[]}', /a record has no "header"/],
      ['{"value":1}', /the value is not a text, null or/],
      ['{"value":{"n":1}}', /the value is not a text, null or/],
      ['{"value":{"base64":"_w=="}}', /the value is not a text, null or/],
      ['{"value":"\\ud800"}', /the value is not a text, null or/],
      ['{"key":true,"value":"a"}', /the key is not a text, null or/],
      ['{"value":"a","headers":{"a":"b"}}', /the headers are not a list/],
      ['{"value":"a","headers":[null]}', /the headers are not a list/],
      ['{"value":"a","headers":[{"key":"a","value":1}]}', /a header is not a text, null or/],
      ['{"value":"a","partition":-1}', /the partition is not a whole number/],
      ['{"value":"a","timestampMs":1.5}', /timestampMs is not a whole number/]
    ]
    for (const [line, reason] of reasons) expect(() => read('json', line), String(line)).to.throw(SyntaxError, reason)
  })
})
