import { expect } from 'chai'
import { errorOf, SchemasStage } from './stage.js'

describe('JSON Schema', () => {
  it('ends the check of a value that would take for ever', async () => {
    const definitions: Record<string, object> = { d0: { type: 'string' } }
    for (let at = 1; at <= 40; at++)
      definitions[`d${at}`] = { anyOf: [{ $ref: `#/definitions/d${at - 1}` }, { $ref: `#/definitions/d${at - 1}` }] }
    const schema = await new SchemasStage().resolve({
      schema: JSON.stringify({ definitions, $ref: '#/definitions/d40' }),
      format: 'JSONSCHEMA'
    })
    expect(schema.encode('"x"').toString('latin1', 5)).to.equal('"x"')
    expect(await errorOf(() => schema.encode('1'))).to.equal('tooLarge: it takes more than 1000 ms (schema 1)')
  })
})
