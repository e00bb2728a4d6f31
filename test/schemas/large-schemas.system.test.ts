import { expect } from 'chai'
import { errorOf, SchemasStage } from './stage.js'

describe('a Protobuf schema of a megabyte', () => {
  it('S19: is refused when reading its fields takes too long', async () => {
    const fields = Array.from({ length: 40_000 }, (_, at) => `int32 f${at}=${at + 1};`).join('')
    const schema = `syntax="proto3"; message M {${fields}}`
    expect(await errorOf(() => new SchemasStage().resolve({ schema, format: 'PROTOBUF' }))).to.match(
      /^invalidSchema: .*(it takes more than 1000 ms|more than 2000 fields)/
    )
  })
})
