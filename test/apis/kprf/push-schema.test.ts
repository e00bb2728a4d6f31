import { expect } from 'chai'
import { parsePush } from '../../../src/apis/kprf/push-parse.js'
import { pushBody } from '../../../src/apis/kprf/routes.js'
import { DeserializeError } from '../../../src/core/json/json-reader.js'
import { atOnce } from '../../../src/core/loop-turns.js'
import { PushBodies } from './push-bodies.js'

/** The same JSON as JavaScript writes it: each member once, whole numbers without a fraction; `undefined`: no JSON. */
function canonical(body: Buffer): string | undefined {
  try {
    const text = JSON.stringify(JSON.parse(body.toString()))
    // Strings that are no Unicode have no form in UTF-8.
    return /\\ud[89a-f]/i.test(text) ? undefined : text
  } catch {
    return undefined
  }
}

function isRead(text: string): boolean {
  try {
    atOnce(parsePush(Buffer.from(text)))
    return true
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
    return false
  }
}

/** serde reads `["data", "topic", null, null]` as a record, and `[[], true]` as a push; nobody should send them. */
const isPositional = (push: unknown): boolean =>
  Array.isArray(push) || (push as { records: unknown[] }).records.some(Array.isArray)

describe('kprf: the schema of a push in /openapi.json', () => {
  it('takes what the parser takes, but for lists in place of objects', () => {
    const bodies = new PushBodies(20_261_122, 2)
    const seen = { taken: 0, refused: 0 }
    for (let i = 0; i < 20_000; i++) {
      const text = canonical(bodies.next())
      if (text === undefined) continue
      const push: unknown = JSON.parse(text)
      const isTaken = pushBody.safeParse(push).success
      seen[isTaken ? 'taken' : 'refused']++
      if (isTaken !== isRead(text) && !(isRead(text) && isPositional(push))) {
        expect.fail(`${text} is ${isTaken ? 'taken by the schema' : 'read by the parser'} only`)
      }
    }
    expect(seen.taken).to.be.above(500)
    expect(seen.refused).to.be.above(500)
  })
})
