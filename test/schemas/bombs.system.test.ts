import { expect } from 'chai'
import { runBomb } from './run-bomb.js'

const TOO_LONG = /^\d+ records; .*the JSON has more than 4194304 bytes$/
const TOO_MANY = /it has too many messages/
/** By depth, or by time: how deep a stack may be and how fast a schema is read differ between machines and releases of Node. */
const REFUSED = /it is nested too deeply|needs more than 1000 ms/
const SOME = /^[1-9]\d* records; undefined$/
/** On a fast machine the schema itself is what is wrong. */
const TOO_SLOW = /needs more than 1000 ms|unresolvable extensions|more than 2000 fields|^accepted$/
/** What the bombs are answered. */
const answers: Readonly<Record<string, RegExp | readonly RegExp[]>> = {
  defaults: /^records\[1\].value: the records would have more than 16777216 bytes/,
  arrayOfNulls: TOO_LONG,
  longTitles: /^accepted$/,
  refusals: /^300$/,
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
  extensions: [TOO_LONG, TOO_LONG, TOO_MANY],
  valuesOfExtensions: [/^1 records$/, SOME, SOME],
  namesOfValues: TOO_LONG,
  manyExtensions: [TOO_SLOW, TOO_SLOW, TOO_SLOW, ...Array<RegExp>(5).fill(/^accepted$/)],
  references: [
    REFUSED,
    REFUSED,
    /needs more than 1000 ms/,
    /^1 records$/,
    REFUSED,
    /needs more than 1000 ms|^1 records$|it is nested too deeply/,
    /resolves to more than one schema/,
    /^1 records$/,
    REFUSED,
    /^1 records$/
  ],
  patterns: /a pattern has \d+ parts with its repetitions written out \(limit 1000\)/
}

describe('few bytes that ask for much, in a process with a heap of 256 MB', () => {
  for (const [bomb, expected] of Object.entries(answers))
    it(`${bomb} are answered or refused, and the process goes on`, async () => {
      const { answer, maxMb } = await runBomb(bomb)
      const all = [expected].flat()
      for (const [at, one] of [answer as string].flat().entries()) expect(one).to.match(all[at]!)
      expect([answer].flat()).to.have.length(all.length)
      expect(maxMb).to.be.below(600)
    })
})
