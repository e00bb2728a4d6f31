import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { ThreadCodecs } from '../../src/schemas/thread-codec-host.js'
import { codecWorker, LOADER } from '../support/built.js'

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

const TOO_LONG = /^\d+ records; .*the JSON has more than 4194304 bytes$/
const TOO_MANY = /it has too many messages/
/** What the bombs are answered. */
const answers: Readonly<Record<string, RegExp | readonly RegExp[]>> = {
  defaults: /^records\[1\].value: the records would have more than 16777216 bytes/,
  arrayOfNulls: TOO_LONG,
  emptyMessages: TOO_LONG,
  emptyEntries: TOO_LONG,
  manyMaps: /^[1-4] records; undefined$/,
  messagesInAny: TOO_LONG,
  longNames: TOO_LONG,
  emptyTexts: [/^[1-4] records; undefined$/, /^[1-9]\d* records; undefined$/],
  messagesToWrite: TOO_MANY,
  entriesToWrite: [TOO_MANY, TOO_MANY],
  dynamicValues: [TOO_MANY, /^1 records$/],
  longJson: [...Array<RegExp>(7).fill(/^1 records$/), /^[1-8] records; undefined$/],
  patterns: /a pattern has \d+ parts with its repetitions written out \(limit 1000\)/
}

describe('few bytes that ask for much, in a process with a heap of 256 MB', () => {
  const run = async (bomb: string): Promise<{ readonly answer: unknown; readonly maxMb: number }> => {
    const script = new URL('bombs.ts', import.meta.url).pathname
    const options = ['--max-old-space-size=256', '--expose-gc', '--no-experimental-require-module', ...LOADER]
    const { stdout } = await promisify(execFile)(process.execPath, [...options, script, bomb])
    return JSON.parse(stdout) as never
  }

  for (const [bomb, expected] of Object.entries(answers))
    it(`${bomb} are answered or refused, and the process goes on`, async () => {
      const { answer, maxMb } = await run(bomb)
      const all = [expected].flat()
      for (const [at, one] of [answer as string].flat().entries()) expect(one).to.match(all[at]!)
      expect([answer].flat()).to.have.length(all.length)
      expect(maxMb).to.be.below(600)
    })

  it('a hundred schemas of 10 KB keep 20 MB of their defaults, of 730 MB', async () => {
    const { answer } = await run('keptDefaults')
    expect(answer).to.be.within(1, 40)
  })
})
