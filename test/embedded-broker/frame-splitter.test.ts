import { expect } from 'chai'
import fc from 'fast-check'
import { FrameSplitter } from '../../src/embedded-broker/frame-splitter.js'

const framed = (body: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length)
  return Buffer.concat([length, body])
}

/** Cuts at the given places, in any order. */
function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const cuts = [...new Set(places.map(place => place % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...cuts].map((start, at) => bytes.subarray(start, cuts[at] ?? bytes.length))
}

describe('embedded broker: frames', () => {
  it('come out as they went in, wherever the stream is cut', () => {
    const bodies = fc.array(fc.uint8Array({ minLength: 8, maxLength: 300 }), { maxLength: 12 })
    fc.assert(
      fc.property(bodies, fc.array(fc.nat(5000), { maxLength: 30 }), (contents, places) => {
        const sent = contents.map(content => Buffer.from(content))
        const splitter = new FrameSplitter()
        const frames: Buffer[] = []
        for (const chunk of cutAt(Buffer.concat(sent.map(framed)), places)) {
          expect(splitter.push(Buffer.from(chunk), frames)).to.equal(true)
        }
        expect(frames.map(String)).to.deep.equal(sent.map(String))
      })
    )
  })

  it('may be larger than many chunks', () => {
    const body = Buffer.alloc(5 * 1024 * 1024)
    for (let at = 0; at < body.length; at += 4096) body.writeInt32BE(at, at)
    const stream = Buffer.concat([framed(body), framed(Buffer.from('the next'))])
    const splitter = new FrameSplitter()
    const frames: Buffer[] = []
    for (let at = 0; at < stream.length; at += 65_536) splitter.push(stream.subarray(at, at + 65_536), frames)
    expect(frames).to.have.length(2)
    expect(frames[0]!.equals(body)).to.equal(true)
    expect(String(frames[1])).to.equal('the next')
  })

  it('may use a buffer again that was given back, and no other', () => {
    const splitter = new FrameSplitter()
    const receive = (fill: number, length: number): Buffer => {
      const frames: Buffer[] = []
      const stream = framed(Buffer.alloc(length, fill))
      for (let at = 0; at < stream.length; at += 65_536)
        splitter.push(Buffer.from(stream.subarray(at, at + 65_536)), frames)
      return frames[0]!
    }
    const first = receive(1, 300_000)
    const second = receive(2, 300_000)
    expect(second.buffer).to.not.equal(first.buffer)
    splitter.recycle(first)
    const third = receive(3, 250_000)
    expect(third.buffer).to.equal(first.buffer)
    expect([second, third].map(frame => [frame.length, new Set(frame)])).to.deep.equal([
      [300_000, new Set([2])],
      [250_000, new Set([3])]
    ])
    const small = receive(4, 100)
    splitter.recycle(small)
    expect(receive(5, 200_000).buffer).to.not.equal(small.buffer)
  })

  it('are not believed when their length makes no sense', () => {
    for (const length of [-1, 0, 7, 100 * 1024 * 1024 + 1, 0x7fffffff]) {
      const bytes = Buffer.alloc(4)
      bytes.writeInt32BE(length)
      expect(new FrameSplitter().push(bytes, []), String(length)).to.equal(false)
    }
  })
})
