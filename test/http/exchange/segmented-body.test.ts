import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { wholeOf } from '../../../src/http/exchange/pieced-body.js'
import { base64Part, jsonPart, SegmentedBody } from '../../../src/http/exchange/segmented-body.js'

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
})
