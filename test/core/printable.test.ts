import { expect } from 'chai'
import fc from 'fast-check'
import { printable, printableJson, printableLines, shortened } from '../../src/core/printable.js'

/** What a terminal obeys: CSI in both its forms, carriage return, backspace, bell, text direction. */
const HOSTILE = 'a\u001b[2J\u009b31m\r\n\b\u0007\u202eb\u2028\u2066\u200f\u007f\u0000\ufeff'

// C0 without line feed and tab, DEL, C1, separators, text direction.
const isControl = (code: number): boolean =>
  (code < 0x20 && code !== 0x0a && code !== 0x09) ||
  (code >= 0x7f && code <= 0x9f) ||
  [0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0xfeff].includes(code) ||
  (code >= 0x202a && code <= 0x202e) ||
  (code >= 0x2066 && code <= 0x2069)
const controlsIn = (text: string): number[] => [...text].map(one => one.codePointAt(0)!).filter(isControl)

describe('foreign text for the eyes of people', () => {
  it('has escapes in place of control characters', () => {
    expect(printable('a\nb\u001b[2J')).to.equal('a\\nb\\u001b[2J')
    expect(printable(HOSTILE)).to.equal(
      'a\\u001b[2J\\u009b31m\\r\\n\\u0008\\u0007\\u202eb\\u2028\\u2066\\u200f\\u007f\\u0000\\ufeff'
    )
    expect(printable('größer/日本語-🙂')).to.equal('größer/日本語-🙂')
  })

  it('cuts names that are too long to be right', () => {
    expect(shortened('x'.repeat(256))).to.equal('x'.repeat(256))
    expect(shortened('x'.repeat(1_000_000))).to.equal(`${'x'.repeat(256)}… (1000000 characters)`)
  })

  it('keeps line breaks and tabs where there may be several lines', () => {
    expect(printableLines('a\n\tb\u001b')).to.equal('a\n\tb\\u001b')
  })

  it('never has any, whatever the text', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.constant(HOSTILE))
    fc.assert(
      fc.property(text, given => {
        expect(controlsIn(printable(given))).to.deep.equal([])
        expect(printable(given)).to.not.match(/[\n\t]/)
        expect(controlsIn(printableLines(given))).to.deep.equal([])
        const json = printableJson(JSON.stringify({ given }))
        expect(controlsIn(json)).to.deep.equal([])
        expect(JSON.parse(json)).to.deep.equal({ given })
      })
    )
  })
})
