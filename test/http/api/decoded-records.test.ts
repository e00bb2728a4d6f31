import { expect } from 'chai'
import type { InstanceRecord } from '../../../src/gateway/gateway.js'
import { decodeRecords } from '../../../src/http/api/decoded-records.js'
import { type Decoded, SchemaError } from '../../../src/schemas/schemas.js'

const AWAY = new SchemaError('registryUnreachable', 'away')

/** Bytes as a script: `=JSON` is known, `?JSON` has to be asked for, `!` cannot be decoded, `-` cannot be asked. */
class ScriptedSchemas {
  readonly asked: string[] = []
  readonly headers: (string | undefined)[] = []

  decodeKnown(bytes: Uint8Array, header?: Uint8Array): Decoded | undefined {
    const text = Buffer.from(bytes).toString()
    this.headers.push(header && Buffer.from(header).toString())
    if (text.startsWith('=')) return { type: 'decoded', format: 'AVRO', id: 1, json: text.slice(1) }
    return text === '!' ? { type: 'undecodable', cause: 'it is broken' } : undefined
  }

  async decode(bytes: Uint8Array): Promise<Decoded> {
    const text = Buffer.from(bytes).toString()
    this.asked.push(text)
    if (text === '-') throw AWAY
    return { type: 'decoded', format: 'AVRO', id: 2, json: text.slice(1) }
  }
}

const recordOf = (offset: number, key: string | null, value: string | null, header?: string): InstanceRecord => ({
  topic: 't',
  partition: 0,
  offset,
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value),
  headers: header === undefined ? [] : [{ key: '__value_schema_id', value: Buffer.from(header) }],
  timestampMs: 0
})

describe('decodeRecords', () => {
  let schemas: ScriptedSchemas
  beforeEach(() => {
    schemas = new ScriptedSchemas()
  })
  const decode = async (records: readonly InstanceRecord[], maxBytes = 1_000) => {
    const { records: decoded, causes } = await decodeRecords(schemas, 'AVRO', records, maxBytes, () => 0)
    return decoded.map(({ key, value }, at) => [key && String(key), value && String(value), causes[at]])
  }

  it('makes JSON of keys and values, and leaves nulls as they are', async () => {
    const records = [recordOf(0, '=1', '="a"'), recordOf(1, null, '?2'), recordOf(2, '?"k"', null)]
    expect(await decode(records)).to.deep.equal([
      ['1', '"a"', undefined],
      [null, '2', undefined],
      ['"k"', null, undefined]
    ])
  })

  it('names the key or the value that cannot be decoded, and those of another format', async () => {
    const causes = ['cannot be decoded: its key: it is broken', 'cannot be decoded: its value: it is broken', undefined]
    const records = [recordOf(0, '!', '=1'), recordOf(1, '=1', '!'), recordOf(2, '=1', '=1')]
    expect((await decode(records)).map(([, , cause]) => cause)).to.deep.equal(causes)
    const other = await decodeRecords(schemas, 'PROTOBUF', [recordOf(0, null, '=1')], 100, () => 0)
    expect(other.causes).to.deep.equal(['has a value of the format AVRO, and not PROTOBUF'])
  })

  it('hands on the header that names the schema', async () => {
    await decode([recordOf(0, '=1', '=1', 'guid')])
    expect(schemas.headers).to.deep.equal([undefined, 'guid'])
  })

  it('ends before the first record that would take it beyond the bytes of an answer, and decodes one in any case', async () => {
    const records = Array.from({ length: 5 }, (_, at) => recordOf(at, null, `="${'x'.repeat(500)}"`))
    expect(await decode(records)).to.have.length(2)
    expect(await decode(records, 1)).to.have.length(1)
  })

  it('asks for a few schemas that are not known, all at a time, and leaves the rest to the next read', async () => {
    const records = Array.from({ length: 100 }, (_, at) => recordOf(at, null, `?${at}`))
    expect(await decode(records)).to.have.length(16)
    expect(schemas.asked).to.have.length(16)
  })

  it('ends before a record about which the registry cannot be asked, and fails where that is the first one', async () => {
    expect(await decode([recordOf(0, null, '=1'), recordOf(1, null, '-'), recordOf(2, null, '=3')])).to.deep.equal([
      [null, '1', undefined]
    ])
    const failed = await decode([recordOf(0, null, '-')]).catch((error: unknown) => error)
    expect(failed).to.equal(AWAY)
  })
})
