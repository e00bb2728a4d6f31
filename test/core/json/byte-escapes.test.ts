import { expect } from 'chai'
import fc from 'fast-check'
import { ByteEscapes, JSON_ESCAPES, utf8Of } from '../../../src/core/json/byte-escapes.js'
import { SeededRandom } from '../../support/random.js'

/** All that is written for a text, in pieces of this size. */
function through(escapes: ByteEscapes, text: Buffer, pieceBytes: number): string {
  const [pieces, piece] = [[] as Buffer[], Buffer.alloc(pieceBytes)]
  for (let from = 0; from < text.length; ) {
    const written = escapes.write(text, from, piece, 0)
    if (written.from === from) throw new Error('nothing was written')
    pieces.push(Buffer.from(piece.subarray(0, written.at)))
    ;({ from } = written)
  }
  return Buffer.concat(pieces).toString()
}

describe('escapes of texts as bytes', () => {
  it('are those of JSON.stringify, whatever the size of the pieces', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 6, max: 50 }), (text, pieceBytes) => {
        const [bytes, json] = [Buffer.from(text), JSON.stringify(text).slice(1, -1)]
        expect(through(JSON_ESCAPES, bytes, pieceBytes)).to.equal(json)
        expect(JSON_ESCAPES.sizeOf(bytes)).to.equal(Buffer.byteLength(json))
      })
    )
  })

  it('may be of several characters: the longest one counts', () => {
    const escapes = new ByteEscapes([
      ['a', '<a>'],
      ['ab', '<ab>'],
      ['€', '<euro>'],
      ['\u2028', '<line>']
    ])
    const text = 'a ab € \u2028 ₭ \u2029 b a'
    const written = '<a> <ab> <euro> <line> ₭ \u2029 b <a>'
    for (const pieceBytes of [6, 7, 8, 100]) expect(through(escapes, Buffer.from(text), pieceBytes)).to.equal(written)
    expect(escapes.sizeOf(Buffer.from(text))).to.equal(Buffer.byteLength(written))
    const cut = Buffer.from('\u2028').subarray(0, 2)
    expect([escapes.sizeOf(cut), escapes.write(cut, 0, Buffer.alloc(9), 0)]).to.deep.equal([2, { from: 2, at: 2 }])
  })
})

describe('the text of bytes in parts', () => {
  it('is that of toString, wherever a character is cut or is none', () => {
    const random = new SeededRandom(7)
    const some = ['€', '😀', 'ä', 'a', '\ufeff'].map(one => Buffer.from(one))
    for (let round = 0; round < 10; round++) {
      const parts: Buffer[] = []
      for (let bytes = 0; bytes < 140_000; ) {
        const one = random.pick(some)
        // Some are whole, some begin or end too late or too early, or are only their middle.
        const part =
          random.between(0, 2) === 0
            ? one.subarray(random.between(0, 1), random.between(1, one.length))
            : Buffer.concat(Array(random.between(1, 4)).fill(one.subarray(-random.between(1, one.length))))
        parts.push(part)
        bytes += part.length
      }
      const bytes = Buffer.concat(parts)
      const made = [...utf8Of(bytes)]
      expect(made.length).to.equal(3)
      const text = Buffer.from(bytes.toString())
      expect(Buffer.concat(made).equals(text)).to.equal(true)
      expect(JSON_ESCAPES.sizeOfText(bytes)).to.equal(JSON_ESCAPES.sizeOf(text))
    }
  })

  it('is as long as it is counted, for any bytes', () => {
    const several = new ByteEscapes([['€', '<euro>']])
    // Where characters of each length begin, go on and break off.
    const edges = [0x00, 0x22, 0x5c, 0x61, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1]
    const more = [0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff]
    const byte = fc.oneof(fc.constantFrom(...edges, ...more), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 12 }), all => {
        const bytes = Buffer.from(all)
        const text = Buffer.from(bytes.toString())
        expect(JSON_ESCAPES.sizeOfText(bytes)).to.equal(JSON_ESCAPES.sizeOf(text))
        expect(several.sizeOfText(bytes)).to.equal(several.sizeOf(text))
      }),
      { numRuns: 3_000 }
    )
  })

  it('is one part, and no copy, where it is UTF-8', () => {
    const bytes = Buffer.from('€'.repeat(100_000))
    expect([...utf8Of(bytes)][0]).to.equal(bytes)
    expect([...utf8Of(Buffer.alloc(0))].length).to.equal(1)
  })
})
