import { expect } from 'chai'
import { parseLines, parsePush } from '../../../src/apis/kprf/push-parse.js'
import { atOnce, type InPieces } from '../../../src/core/loop-turns.js'
import { PushBodies } from './push-bodies.js'

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
        const expected = outcomeOf(() => atOnce(parsePush(body, MAX_RECORDS)))
        expect(outcomeOf(() => atOnce(parsePush(body, MAX_RECORDS, true)))).to.equal(expected)
      }
    }
  })

  it('is read as at once also where white space or a name between its records is long', () => {
    const bodies = new PushBodies(20_261_128, 5)
    const blanks = ' \n'.repeat(10_000)
    const names = ['x', 'é', '\\u0041', '\\n', '\\u0041\\x'].map(text => `"${text.repeat(20_000)}"`)
    for (let at = 0; at < 1_500; at++) {
      const short = bodies.next().toString('latin1')
      const places = [...short.matchAll(/[[\]{},:]/g)].map(({ index }) => index)
      const place = (places[(at * 7) % (places.length || 1)] ?? 0) + (at % 2)
      const inserted = at % 3 === 0 ? `${names[at % names.length]}:1,` : blanks
      const body = Buffer.from(short.slice(0, place) + inserted + short.slice(place), 'latin1')
      const expected = outcomeOf(() => atOnce(parsePush(body, MAX_RECORDS)))
      expect(
        outcomeOf(() => atOnce(parsePush(body, MAX_RECORDS, true))),
        short
      ).to.equal(expected)
      const lines = outcomeOf(() => atOnce(parseLines(body, MAX_RECORDS)))
      expect(
        outcomeOf(() => atOnce(parseLines(body, MAX_RECORDS, true))),
        short
      ).to.equal(lines)
    }
  })

  it('is read in pieces wherever its white space is, and where a name beside its records is long', () => {
    const blanks = '\n'.repeat(500_000)
    const record = '{"topic":"t","data":"a"}'
    const piecesOf = (work: InPieces<unknown>): number => {
      let pieces = 0
      while (work.next().done !== true) pieces++
      return pieces
    }
    const tokens = ['{', '"records"', ':', '[', record, ',', record, ']', '}']
    const bodies = tokens.map((_, at) => [...tokens.slice(0, at), blanks, ...tokens.slice(at)].join(''))
    bodies.push(tokens.join('') + blanks, `{"${'\\u0041'.repeat(100_000)}":1,"records":[]}`)
    for (const [at, text] of bodies.entries())
      expect(piecesOf(parsePush(Buffer.from(text), MAX_RECORDS, true)), `place ${at}`).to.be.at.least(7)
    for (const text of [blanks + record, record + blanks + record, record + blanks])
      expect(piecesOf(parseLines(Buffer.from(text), MAX_RECORDS, true))).to.be.at.least(7)
  })

  it('is read in pieces also where a value beside its records is long', () => {
    const body = Buffer.from(`{"wait_for_send":"${'\\u0041'.repeat(100_000)}","records":[]}`)
    const work = parsePush(body, MAX_RECORDS, true)
    for (let pieces = 0; pieces < body.length / (64 * 1024) - 1; pieces++) expect(work.next().done).to.equal(false)
    expect(() => atOnce(work)).to.throw(/^invalid type: string "A/)
  })
})
