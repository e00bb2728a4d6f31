import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import {
  base64Part,
  jsonPart,
  sizeOfPart,
  stringOfPart,
  stringPart,
  textPart
} from '../../../src/core/json/json-parts.js'
import { wholeOf } from '../../../src/http/exchange/pieced-body.js'
import { SegmentedBody } from '../../../src/http/exchange/segmented-body.js'

/** The bytes as they leave through a buffer of this size. */
function through(body: SegmentedBody, pieceBytes: number): Buffer {
  const piece = Buffer.alloc(Math.min(pieceBytes, body.length))
  return Buffer.concat(Array.from(body.fill(piece), bytes => Buffer.from(bytes)))
}

describe('a body of segments', () => {
  const contents = [0, 1, 2, 3, 384, 385, 1_000, 24_576, 24_577, 100_001].map(bytes => randomBytes(bytes))

  it('is the text that its parts make, whatever the size of the pieces', () => {
    const body = new SegmentedBody()
    const text = JSON.stringify({ '€': 'ü'.repeat(1_000) })
    body.add('[')
    for (const bytes of contents) {
      body.add(base64Part(bytes))
      body.add(',')
      body.add(jsonPart(text))
      body.add(',')
    }
    body.add('"end"]')
    const whole = `[${contents.map(bytes => `"${bytes.toString('base64')}",${text},`).join('')}"end"]`
    expect(body.length).to.equal(Buffer.byteLength(whole))
    expect(wholeOf(body).toString()).to.equal(whole)
    for (const pieceBytes of [4, 5, 7, 100, 4_096, 262_144])
      expect(through(body, pieceBytes).toString(), `pieces of ${pieceBytes}`).to.equal(whole)
  })

  it('counts what was made for it, and not the bytes that it only writes', () => {
    const body = new SegmentedBody()
    body.add('{"value":')
    body.add(base64Part(randomBytes(100_000)))
    body.add('}')
    expect(body.madeBytes).to.be.below(100)
    body.add(jsonPart('x'.repeat(5_000)))
    expect(body.madeBytes).to.be.within(5_000, 5_100)
  })

  it('turns bytes into strings while it leaves: what is no UTF-8 becomes U+FFFD', () => {
    const texts = ['plain', '€"\n\u0001', ''].map(one => Buffer.from(one.repeat(20_000)))
    const all = [...texts, Buffer.concat([texts[1]!, Buffer.from([0xff, 0xe2, 0x82])]), Buffer.alloc(100_000, 0x80)]
    const body = new SegmentedBody()
    for (const bytes of all) {
      const other = new SegmentedBody()
      other.add(stringPart(bytes.toString()))
      body.add(textPart(bytes))
      body.add(',')
      body.addBody(other)
    }
    const whole = all.map(bytes => [bytes, bytes].map(one => JSON.stringify(one.toString())).join()).join('')
    expect(body.length).to.equal(Buffer.byteLength(whole))
    for (const pieceBytes of [7, 100, 4_096, 262_144])
      expect(through(body, pieceBytes).equals(Buffer.from(whole)), `pieces of ${pieceBytes}`).to.equal(true)
    expect(body.madeBytes).to.be.below(100)
    expect(body.heldBytes).to.be.below(2_000_000)
  })

  it('tells the size of each part beforehand, and is a text where it is short', () => {
    const bytes = Buffer.from('€"\u0001'.repeat(1_000))
    for (const part of [textPart(bytes), base64Part(bytes), jsonPart('{}'), jsonPart(`"${'€'.repeat(500)}"`)]) {
      const body = new SegmentedBody()
      body.add(part)
      expect([sizeOfPart(part), Buffer.byteLength(stringOfPart(part))]).to.deep.equal([body.length, body.length])
    }
    const short = new SegmentedBody()
    short.add('[')
    expect([short.text, short.length, short.madeBytes]).to.deep.equal(['[', 1, 1])
    short.add(base64Part(bytes))
    expect(short.text).to.equal(undefined)
  })
})
