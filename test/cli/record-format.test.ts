import { expect } from 'chai'
import { formatRecord, type LineStyle } from '../../src/cli/record-format.js'
import type { KafkaRecord } from '../../src/core/model.js'
import { ODD_TIMES } from '../support/odd-times.js'

const record = (key: Buffer | null, value: Buffer | null): KafkaRecord => ({
  offset: 7,
  timestampMs: 1_700_000_000_000,
  key,
  value,
  headers: [{ key: 'h', value: Buffer.from('x') }]
})
const place = { topic: 'orders', partition: 1 }

describe('record formats', () => {
  it('write bytes as they are', () => {
    const bytes = Buffer.from([0xff, 0x00, 0x0a])
    expect(formatRecord({ format: 'value' }, place, record(null, bytes))).to.deep.equal(
      Buffer.from([0xff, 0x00, 0x0a, 0x0a])
    )
    expect(formatRecord({ format: 'key-value' }, place, record(Buffer.from('k'), bytes)).toString('latin1')).to.equal(
      'k\t\u00ff\0\n\n'
    )
    expect(formatRecord({ format: 'value' }, place, record(null, null)).toString()).to.equal('\n')
  })

  it('write no control character of a record on a terminal', () => {
    const hostile = record(Buffer.from('k\u001b[2J\nx'), Buffer.from('{\n\t"a": "\u009b\r\u202e"\n}'))
    const look = (format: LineStyle): string =>
      formatRecord({ format, isTerminal: true }, place, hostile).toString('utf8')
    expect(look('value')).to.equal('{\n\t"a": "\\u009b\\r\\u202e"\n}\n')
    expect(look('key-value')).to.equal('k\\u001b[2J\\nx\t{\n\t"a": "\\u009b\\r\\u202e"\n}\n')
    expect(look('json')).to.not.match(/(?!\n$)\p{Cc}/u)
    expect(JSON.parse(look('json'))).to.deep.include({ key: 'k\u001b[2J\nx', value: '{\n\t"a": "\u009b\r\u202e"\n}' })
    expect(formatRecord({ format: 'value', isTerminal: true }, place, record(null, null)).toString()).to.equal('\n')
  })

  it('write a timestamp in JSON as it is in Kafka, and null where a number does not have it exactly', () => {
    for (const { timestampMs, number } of ODD_TIMES) {
      const odd = { ...record(null, null), timestampMs: Number(timestampMs) }
      const line = formatRecord({ format: 'json' }, place, odd).toString()
      expect(JSON.parse(line), `${timestampMs}`).to.include({ timestampMs: number })
    }
  })

  it('write JSON that tells null from empty and text from bytes', () => {
    const line = formatRecord({ format: 'json' }, place, record(null, Buffer.from([0xc3, 0x28]))).toString()
    expect(line.endsWith('\n')).to.equal(true)
    expect(JSON.parse(line)).to.deep.equal({
      topic: 'orders',
      partition: 1,
      offset: 7,
      timestampMs: 1_700_000_000_000,
      key: null,
      value: { base64: 'wyg=' },
      headers: [{ key: 'h', value: 'x' }]
    })
    const empty = JSON.parse(
      formatRecord({ format: 'json' }, place, record(Buffer.alloc(0), Buffer.from('é\n'))).toString()
    ) as object
    expect(empty).to.deep.include({ key: '', value: 'é\n' })
  })
})
