import { expect } from 'chai'
import { recordJsons } from '../../src/schemas/record-json.js'
import { SchemasStage, unhandledDuring } from './stage.js'

const LIMITS = { maxBytes: 4 * 1024 * 1024, owner: undefined }

describe('records as JSON, for one answer', () => {
  let stage: SchemasStage
  /** A record whose value is a text of Avro. */
  let recordOf: (text: string, key?: Buffer | null) => { key: Buffer | null; value: Buffer; headers: never[] }
  beforeEach(async () => {
    stage = new SchemasStage()
    const schema = await stage.resolve({ schema: '"string"' })
    recordOf = (text, key = null) => ({ key, value: schema.encode(JSON.stringify(text)), headers: [] })
  })

  it('are the first ones that have no more JSON than the answer may have, and one in any case', async () => {
    const long = 'x'.repeat(1_500_000)
    const jsons = await recordJsons(
      stage.schemas,
      [long, long, long, 'y'].map(text => recordOf(text)),
      LIMITS
    )
    expect(jsons.map(({ value }) => value.length)).to.deep.equal([1_500_002, 1_500_002])
    const longest = 'x'.repeat(4 * 1024 * 1024 - 4)
    expect(await recordJsons(stage.schemas, [recordOf(longest), recordOf('y')], LIMITS)).to.have.length(1)
    // Its key needs nearly all capacity.
    const pair = { ...recordOf(long), key: recordOf(longest).value }
    const [whole, ...others] = await recordJsons(stage.schemas, [pair, recordOf('y')], LIMITS)
    expect([whole!.key.length, whole!.value.length, others.length]).to.deep.equal([
      longest.length + 2,
      long.length + 2,
      0
    ])
  })

  it('have texts as keys, null where there is nothing, and the reason where they cannot be decoded', async () => {
    const records = [
      recordOf('a', Buffer.from('k')),
      recordOf('b', Buffer.from([0, 9])),
      { key: null, value: null, headers: [] }
    ]
    expect(await recordJsons(stage.schemas, records, LIMITS)).to.deep.equal([
      { key: '"k"', value: '"a"', undecodable: undefined },
      { key: '"AAk="', value: '"b"', undecodable: '{"key":"it does not begin with the id of a schema"}' },
      { key: 'null', value: 'null', undecodable: undefined }
    ])
  })

  it('end before one about which the registry cannot be asked, which fails where it is the first one', async () => {
    stage.registry.script = () => Promise.reject(new Error('away'))
    const unknown = { key: null, value: Buffer.from([0, 0, 0, 1, 1, 2, 0x78]), headers: [] }
    expect(await recordJsons(stage.schemas, [recordOf('a'), unknown, recordOf('c')], LIMITS)).to.have.length(1)
    const failed = await recordJsons(stage.schemas, [unknown], LIMITS).catch((error: unknown) => error)
    expect(failed).to.have.property('reason', 'registryUnreachable')
  })

  it('fail once where the registry can be asked about neither the key nor the value', async () => {
    stage.registry.script = () => Promise.reject(new Error('away'))
    const [key, value] = [8, 9].map(id => Buffer.from([0, 0, 0, 1, id, 2, 0x78])) as [Buffer, Buffer]
    const unhandled = await unhandledDuring(async () => {
      const failed = await recordJsons(stage.schemas, [{ key, value, headers: [] }], LIMITS).catch(
        (error: Error) => error
      )
      expect(failed).to.have.property('reason', 'registryUnreachable')
    })
    expect(unhandled).to.deep.equal([])
  })
})
