import { expect } from 'chai'
import { decodeRecords } from '../../../src/http/api/decoded-records.js'
import type { SchemaError } from '../../../src/schemas/schemas.js'
import type { InstanceRecord } from '../../../src/verbs/verbs.js'
import { SchemasStage } from '../../schemas/stage.js'

const STRING = '"string"'
const UNFRAMED = 'it does not begin with the id of a schema'

const recordOf = (offset: number, key: Buffer | null, value: Buffer | null): InstanceRecord => ({
  topic: 't',
  partition: 0,
  offset,
  key,
  value,
  headers: [],
  timestampMs: 0
})

describe('decodeRecords', () => {
  let stage: SchemasStage
  /** The bytes of a text of Avro. */
  let bytesOf: (text: string) => Buffer
  beforeEach(async () => {
    stage = new SchemasStage()
    const schema = await stage.resolve({ schema: STRING })
    bytesOf = text => schema.encode(JSON.stringify(text))
  })
  const decode = async (records: readonly InstanceRecord[], maxBytes = 1_000) => {
    const { records: decoded, causes } = await decodeRecords(stage.schemas, 'AVRO', records, maxBytes)
    return decoded.map(({ key, value }, at) => [key && String(key), value && String(value), causes[at]])
  }

  it('makes JSON of keys and values, and leaves nulls as they are', async () => {
    const records = [recordOf(0, bytesOf('k'), bytesOf('a')), recordOf(1, null, bytesOf('b')), recordOf(2, null, null)]
    expect(await decode(records)).to.deep.equal([
      ['"k"', '"a"', undefined],
      [null, '"b"', undefined],
      [null, null, undefined]
    ])
    expect(await decode([])).to.deep.equal([])
  })

  it('names the key or the value that cannot be decoded, and those of another format', async () => {
    const [good, bad] = [bytesOf('a'), Buffer.from('plain')]
    const causes = [`cannot be decoded: its key: ${UNFRAMED}`, `cannot be decoded: its value: ${UNFRAMED}`, undefined]
    const records = [recordOf(0, bad, good), recordOf(1, good, bad), recordOf(2, good, good)]
    expect((await decode(records)).map(([, , cause]) => cause)).to.deep.equal(causes)
    const other = await decodeRecords(stage.schemas, 'PROTOBUF', [recordOf(0, null, good)], 100)
    expect(other.causes).to.deep.equal(['has a value of the format AVRO, and not PROTOBUF'])
  })

  it('finds the schema that a header names', async () => {
    const guid = '00112233-4455-6677-8899-aabbccddeeff'
    stage.registry.script = ({ url }) =>
      url.endsWith(`/schemas/guids/${guid}`) ? { status: 200, body: { schema: STRING } } : undefined
    const value = Buffer.from(`01${guid.replaceAll('-', '')}`, 'hex')
    const record = { ...recordOf(0, null, Buffer.from('0278', 'hex')), headers: [{ key: '__value_schema_id', value }] }
    expect(await decode([record])).to.deep.equal([[null, '"x"', undefined]])
  })

  it('ends before the first record that would take all JSON beyond the bytes of the read', async () => {
    const records = Array.from({ length: 5 }, (_, at) => recordOf(at, bytesOf('k'), bytesOf('x'.repeat(400))))
    expect((await decode(records)).map(([key]) => key)).to.deep.equal(['"k"', '"k"'])
    // The key of the third record would fit, its value does not.
    expect(await decode(records, 812)).to.have.length(2)
    expect(await decode(records, 815)).to.have.length(2)
  })

  it('calls a first record undecodable that alone has more JSON than the read may have, so that it can be passed', async () => {
    const [small, large] = [bytesOf('k'), bytesOf('x'.repeat(500))]
    const cause = (part: string): string => `cannot be decoded: its ${part}: it does not fit its schema: `
    const [first, ...others] = await decode([recordOf(0, null, large), recordOf(1, null, small)], 100)
    expect([first![1], first![2]]).to.deep.equal([null, `${cause('value')}the JSON has more than 100 bytes`])
    expect(others).to.deep.equal([[null, '"k"', undefined]])
    const [pair] = await decode([recordOf(0, small, large), recordOf(1, null, small)], 100)
    expect(pair).to.deep.equal(['"k"', null, `${cause('value')}the JSON has more than 97 bytes`])
  })

  it('counts the bytes of UTF-8, and not characters', async () => {
    const records = Array.from({ length: 2 }, (_, at) => recordOf(at, null, bytesOf('€'.repeat(200))))
    expect(await decode(records, 1_203)).to.have.length(1)
    expect(await decode(records, 1_204)).to.have.length(2)
  })

  it('asks for a few schemas that are not known, all at a time, and leaves the rest to the next read', async () => {
    stage.registry.script = ({ method }) => (method === 'GET' ? { status: 200, body: { schema: STRING } } : undefined)
    const records = Array.from({ length: 100 }, (_, at) =>
      recordOf(at, null, Buffer.from([0, 0, 0, 1, at % 20, 2, 0x78]))
    )
    expect(await decode(records)).to.have.length(16)
    expect(stage.registry.calls.filter(call => call.startsWith('GET'))).to.have.length(16)
    expect(await decode(records)).to.have.length(100)
  })

  it('ends before a record about which the registry cannot be asked, and fails where that is the first one', async () => {
    stage.registry.script = () => Promise.reject(new Error('away'))
    const unknown = Buffer.from([0, 0, 0, 1, 1, 2, 0x78])
    const records = [recordOf(0, null, bytesOf('a')), recordOf(1, null, unknown), recordOf(2, null, bytesOf('c'))]
    expect(await decode(records)).to.deep.equal([[null, '"a"', undefined]])
    for (const record of [recordOf(0, null, unknown), recordOf(0, unknown, bytesOf('a'))]) {
      const failed = await decode([record]).catch((error: unknown) => error)
      expect((failed as SchemaError).reason).to.equal('registryUnreachable')
    }
  })
})
