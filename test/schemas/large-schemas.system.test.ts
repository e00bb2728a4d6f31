import { expect } from 'chai'
import { ThreadCodecs } from '../../src/schemas/thread-codec-host.js'
import { codecWorker } from '../support/built.js'
import { runBomb } from './run-bomb.js'

describe('a Protobuf schema of a megabyte', () => {
  it('S19: is refused when reading its fields takes too long', async () => {
    const fields = Array.from({ length: 40_000 }, (_, at) => `int32 f${at}=${at + 1};`).join('')
    const schema = `syntax="proto3"; message M {${fields}}`
    const host = new ThreadCodecs({ worker: codecWorker })
    const source = { format: 'PROTOBUF', source: { text: schema, used: new Map() }, isStrict: false } as const
    const opened = await host.open({ number: 1, source }, undefined).catch((error: Error) => error)
    expect(opened)
      .to.have.property('message')
      .that.matches(/^(it needs more than 1000 ms|.*more than 2000 fields)/)
    host.close()
  })
})

describe('a hundred schemas with long defaults', () => {
  it('of 10 KB keep 20 MB of their defaults, of 730 MB', async () => {
    const { answer } = await runBomb('keptDefaults')
    expect(answer).to.be.within(1, 40)
  })
})
