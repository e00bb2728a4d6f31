import { expect } from 'chai'
import { parseInTurns, parsePush } from '../../../src/apis/kprf/push-parse.js'
import { atOnce } from '../../../src/core/loop-turns.js'
import { PushBodies } from '../../support/push-bodies.js'

const MAX_RECORDS = 1_000

/** What a body is read as, or the words that refuse it. */
function outcomeOf(read: () => object): string {
  try {
    return JSON.stringify(read())
  } catch (error) {
    return (error as Error).message
  }
}

describe('kprf: a push that is read in turns', () => {
  it('is read, and refused with the same words, as one that is read at once, also where its strings are long', () => {
    const bodies = new PushBodies(20_261_127, 2)
    const long = `"${'x\\n'.repeat(10_000)}`
    for (let at = 0; at < 4_000; at++) {
      const short = bodies.next()
      const text = short.toString('latin1').replace(/"(?=[^"]*"\s*[,}\]])/, long)
      for (const body of at % 50 === 0 ? [short, Buffer.from(text, 'latin1')] : [short]) {
        const expected = outcomeOf(() => parsePush(body, MAX_RECORDS))
        expect(outcomeOf(() => atOnce(parseInTurns(body, MAX_RECORDS)))).to.equal(expected)
      }
    }
  })

  it('is read in pieces also where a value beside its records is long', () => {
    const body = Buffer.from(`{"wait_for_send":"${'\\u0041'.repeat(100_000)}","records":[]}`)
    const work = parseInTurns(body, MAX_RECORDS)
    for (let pieces = 0; pieces < body.length / (64 * 1024) - 1; pieces++) expect(work.next().done).to.equal(false)
    expect(() => atOnce(work)).to.throw(/^invalid type: string "A/)
  })
})
