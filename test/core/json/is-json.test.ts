import { isUtf8 } from 'node:buffer'
import { expect } from 'chai'
import { isJson } from '../../../src/core/json/is-json.js'
import { SeededRandom } from '../../support/random.js'
import { checkRows } from '../../support/rows.js'

const VALUES = 2_500
const MUTANTS_OF_EACH = 8
/** Bytes that have a meaning in JSON, and some that have none. */
const BYTES = Buffer.from('{}[]",:\\/ \t\n\r\f\u0000\u001f\u007f0123456789+-.eEaAfFgtrulsnxé€😀\ufeff', 'utf8')
const TEXTS = ['', 'a', 'two words', 'é€😀', '\u0000\n\t"\\/', '\ud800', '__proto__', 'x'.repeat(63), 'x'.repeat(64)]

const isParsed = (bytes: Buffer): boolean => {
  try {
    JSON.parse(bytes.toString())
    return isUtf8(bytes)
  } catch {
    return false
  }
}

describe('isJson', () => {
  // Most texts are refused: the stacks of these errors took nearly all the time.
  const { stackTraceLimit } = Error
  before(() => (Error.stackTraceLimit = 0))
  after(() => (Error.stackTraceLimit = stackTraceLimit))

  it('has the verdict of JSON.parse about random values and 20,000 mutants of them', () => {
    const random = new SeededRandom(26)
    const below = (limit: number): number => Math.floor(random.next() * limit)
    const text = (): string => {
      const one = random.pick(TEXTS)
      return below(4) === 0 ? one + 'y'.repeat(below(300)) + random.pick(TEXTS) : one
    }
    const number = (): number => random.pick([0, -0, 7, -12, 0.5, -1.25e-9, 6e23, 2 ** 53, 1e300])
    const value = (depth: number): unknown => {
      const kind = below(depth > 5 ? 5 : 8)
      if (kind < 2) return text()
      if (kind < 4) return number()
      if (kind === 4) return random.pick([true, false, null])
      if (kind === 5) return Array.from({ length: below(4) }, () => value(depth + 1))
      return Object.fromEntries(Array.from({ length: below(4) }, () => [text(), value(depth + 1)]))
    }
    const mutated = (bytes: Buffer): Buffer => {
      const at = below(bytes.length + 1)
      const byte = Buffer.of(random.pick([...BYTES]))
      switch (below(4)) {
        case 0:
          return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at)])
        case 1:
          return Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at + 1)])
        case 2:
          return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + below(3))])
        default:
          return bytes.subarray(0, at)
      }
    }
    const verdicts = { valid: 0, invalid: 0 }
    for (let round = 0; round < VALUES; round++) {
      const whole = Buffer.from(JSON.stringify(value(0), undefined, below(2)))
      expect(isJson(whole), whole.toString()).to.equal(true)
      let bytes: Buffer = whole
      for (let mutant = 0; mutant < MUTANTS_OF_EACH; mutant++) {
        bytes = mutated(mutant % 2 === 0 ? whole : bytes)
        const expected = isParsed(bytes)
        if (isJson(bytes) !== expected) expect.fail(`${JSON.stringify(bytes.toString('latin1'))}: not ${expected}`)
        verdicts[expected ? 'valid' : 'invalid']++
      }
    }
    expect(verdicts.valid).to.be.above(2_000)
    expect(verdicts.invalid).to.be.above(10_000)
  })

  it('has the verdict of JSON.parse about all texts of up to four of the bytes with a meaning', () => {
    const alphabet = Buffer.from('{}[]",:\\0-.e1n ')
    const texts = (length: number): Buffer[] =>
      length === 0
        ? [Buffer.alloc(0)]
        : texts(length - 1).flatMap(start => Array.from(alphabet, byte => Buffer.from([...start, byte])))
    const wrong = [0, 1, 2, 3, 4].flatMap(texts).filter(bytes => isJson(bytes) !== isParsed(bytes))
    expect(wrong.map(bytes => bytes.toString())).to.deep.equal([])
  })

  const long = 'x'.repeat(200)
  const brackets = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
  it('isJson says the same as JSON.parse of long and deep texts', () =>
    checkRows(
      [
        ['a long string', `"${long}"`, true],
        ['a long string with an escape at its end', `"${long}\\n"`, true],
        ['long strings after one with an escape', `["${long}\\u00fc${long}","${long}"]`, true],
        ['an escape across the place where a string becomes long', `"${'x'.repeat(63)}\\u0041${long}"`, true],
        ['a control byte far behind in a string', `"${long}\u0001${long}"`, false],
        ['a bad escape far behind in a string', `"${long}\\x${long}"`, false],
        ['a long string that does not end', `"${long}`, false],
        ['half of a surrogate pair as an escape', '"\\ud800"', true],
        ['a member that is there twice', '{"a":1,"a":2}', true],
        ['a byte order mark', '\ufeff1', false],
        ['a no-break space', '\u00a01', false],
        ['deeper brackets', '{"a":['.repeat(100) + ']}'.repeat(100), true],
        ['a bracket too many, deep', `${'['.repeat(100)}${']'.repeat(101)}`, false],
        ['brackets of the wrong kind, deep', `${'['.repeat(100)}${']'.repeat(99)}}`, false],
        ['brackets of both kinds, deep', '[{"a":'.repeat(500) + '1'.padEnd(1 + 500 * 2, '}]'), true],
        [
          'brackets of both kinds in the wrong order, deep',
          '[{"a":'.repeat(499) + '1'.padEnd(1 + 499 * 2, ']}'),
          false
        ],
        ['1,000 levels', `[${brackets(999)},{}]`, true]
      ] as const,
      ([, json, isValid]) => {
        const bytes = Buffer.from(json)
        expect([isJson(bytes), isParsed(bytes)]).to.deep.equal([isValid, isValid])
      }
    ))

  it('isJson takes 1,000 levels of nesting and refuses one more', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}']
    ] as const) {
      const nested = (depth: number) => isJson(Buffer.from(`${open.repeat(depth - 1)}[]${close.repeat(depth - 1)}`))
      expect([nested(1_000), nested(1_001), nested(1_000_000)]).to.deep.equal([true, false, false])
    }
  })

  it('refuses what is not UTF-8', () => {
    for (const bytes of [[0x22, 0xff, 0x22], [0x22, 0xc3, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xff]])
      expect(isJson(Buffer.from(bytes))).to.equal(false)
  })

  it('reads a long string with many escapes', () => {
    const bytes = Buffer.from(JSON.stringify(`${'x'.repeat(70)}\n`.repeat(100_000)))
    expect(isJson(bytes)).to.equal(true)
  })
})
