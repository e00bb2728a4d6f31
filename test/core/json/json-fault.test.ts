import { expect } from 'chai'
import fc from 'fast-check'
import { isJson } from '../../../src/core/json/is-json.js'
import { encodingFault, jsonFault } from '../../../src/core/json/json-fault.js'
import { checkRows } from '../../support/rows.js'

const BOM = 'it begins with a byte order mark (BOM): send UTF-8 without one'
const UTF_16 = 'it is UTF-16: send UTF-8'

describe('why bytes are not JSON', () => {
  const rows: readonly (readonly [what: string, bytes: Buffer, fault: string])[] = [
    ['nothing', Buffer.alloc(0), 'EOF while parsing a value at line 1 column 0'],
    ['a member without value', Buffer.from('{"a":\n  }'), 'expected value at line 2 column 3'],
    ['a trailing comma', Buffer.from('[1,]'), 'expected value at line 1 column 4'],
    ['more than one value', Buffer.from('{} {}'), 'trailing characters at line 1 column 4'],
    ['quotes of another kind', Buffer.from("{'a':1}"), 'key must be a string at line 1 column 2'],
    ['many levels', Buffer.from('['.repeat(1_001)), 'recursion limit exceeded at line 1 column 1001'],
    ['a byte order mark', Buffer.from('\ufeff{}'), BOM],
    ['a byte order mark alone', Buffer.from('\ufeff'), BOM],
    ['UTF-16 with a mark', Buffer.from('\ufeff1', 'utf16le'), UTF_16],
    ['UTF-16 with the high byte first', Buffer.from('\ufeff1', 'utf16le').swap16(), UTF_16],
    ['UTF-16 without a mark', Buffer.from('[]', 'utf16le'), UTF_16],
    ['UTF-16 without a mark, with the high byte first', Buffer.from('[]', 'utf16le').swap16(), UTF_16],
    ['ISO-8859-1', Buffer.from('"a\u00e9"', 'latin1'), 'it is not valid UTF-8, from byte 2 on'],
    ['a character that is cut', Buffer.from('"\u20ac').subarray(0, 3), 'it is not valid UTF-8, from byte 1 on'],
    ['NUL', Buffer.alloc(2), 'expected value at line 1 column 1']
  ]
  it('is told with its place', () => checkRows(rows, ([, bytes, fault]) => expect(jsonFault(bytes)).to.equal(fault)))

  it('is not told of the encoding of texts in UTF-8', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        expect(encodingFault(Buffer.from(text))).to.equal(undefined)
      })
    )
  })

  it('names the first byte that is not UTF-8, wherever it is', () => {
    const good = fc.tuple(fc.constantFrom(1, 21_844, 21_845, 21_846, 50_000), fc.string({ unit: 'binary' }))
    const bad = fc.constantFrom([0xe9, 0x22], [0x80], [0xc3], [0xed, 0xa0, 0x80], [0xff], [0xf0, 0x9f, 0x98])
    fc.assert(
      fc.property(good, bad, ([count, text], wrong) => {
        const before = Buffer.from('\u20ac'.repeat(count) + text)
        const bytes = Buffer.concat([before, Buffer.from(wrong)])
        expect(encodingFault(bytes)).to.equal(`it is not valid UTF-8, from byte ${before.length} on`)
      })
    )
  })

  it('has a place for all that is not JSON', () => {
    const token = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '1',
      '-',
      '01',
      'tru',
      'null',
      '\n',
      '"\\u12"',
      '"'
    )
    fc.assert(
      fc.property(fc.array(token), tokens => {
        const bytes = Buffer.from(tokens.join(''))
        fc.pre(!isJson(bytes))
        expect(jsonFault(bytes)).to.match(/ at line \d+ column \d+$/)
      }),
      { numRuns: 2_000 }
    )
  })
})
