import { expect } from 'chai'
import { WebsocketMeter } from '../../../src/apis/arion/websocket-meter.js'
import { checkRows } from '../../support/rows.js'

/** A masked frame whose payload is shorter than 126 bytes. */
const frame = (opcode: number, payloadBytes: number, isLast: boolean): Buffer =>
  Buffer.concat([
    Buffer.from([(isLast ? 0x80 : 0) | opcode, 0x80 | payloadBytes]),
    Buffer.alloc(4),
    Buffer.alloc(payloadBytes)
  ])
/** The same with any length: in one, three or nine bytes. */
function longFrame(length: number): Buffer {
  const head =
    length < 126
      ? Buffer.from([0x80 | length])
      : length < 65_536
        ? Buffer.from([0x80 | 126, length >> 8, length & 0xff])
        : Buffer.alloc(9)
  if (length >= 65_536) {
    head[0] = 0x80 | 127
    head.writeBigUInt64BE(BigInt(length), 1)
  }
  return Buffer.concat([Buffer.from([0x82]), head, Buffer.alloc(4), Buffer.alloc(length)])
}
const text = frame(1, 100, true)
const first = frame(1, 1, false)
const middle = frame(0, 1, false)
const last = frame(0, 1, true)
const pong = frame(10, 125, true)

const keptOf = (...chunks: readonly Buffer[]): number => {
  const meter = new WebsocketMeter()
  for (const chunk of chunks) meter.add(chunk)
  return meter.keptBytes
}

describe('arion: what a websocket keeps in memory', () => {
  it('is nothing once messages and control frames are whole', () => {
    expect(keptOf(text, Buffer.concat([text, pong]), first, Buffer.concat([middle, pong]), last)).to.equal(0)
  })

  it('is the bytes that have come of a frame in the making', () => {
    expect(keptOf(text.subarray(0, 50))).to.equal(50)
    expect(keptOf(Buffer.concat([pong, text.subarray(0, 50)]))).to.equal(50)
  })

  const lengths = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]
  it('a long frame is followed, wherever it is cut', () =>
    checkRows(lengths, length => {
      const one = longFrame(length)
      const head = one.length - length
      const cuts = [1, 2, 3, head - 1, head, head + 1, one.length - 1].filter(cut => cut > 0 && cut < one.length)
      for (const cut of cuts) {
        expect(keptOf(one.subarray(0, cut)), `the first ${cut}`).to.equal(cut)
        expect(keptOf(one.subarray(0, cut), one.subarray(cut)), `all, cut at ${cut}`).to.equal(0)
        expect(keptOf(Buffer.concat([one, one.subarray(0, cut)])), `${cut} behind it`).to.equal(cut)
      }
      const bytes = Array.from({ length: head }, (_, at) => one.subarray(at, at + 1))
      expect(keptOf(...bytes, one.subarray(head), text)).to.equal(0)
    }))

  it('is of a fragment the whole chunk that it came in, for one byte keeps all of it', () => {
    const chunk = Buffer.concat([first, ...Array.from({ length: 400 }, () => pong)])
    expect(keptOf(chunk)).to.be.within(chunk.length, chunk.length + 1_000)
    const further = Buffer.concat([middle, ...Array.from({ length: 400 }, () => pong)])
    expect(keptOf(chunk, further, further)).to.be.within(3 * chunk.length, 3 * chunk.length + 3_000)
    expect(keptOf(chunk, pong, pong, pong)).to.equal(keptOf(chunk))
  })

  it('is more than its bytes for each fragment, however many share a chunk', () => {
    const chunk = Buffer.concat([first, ...Array.from({ length: 999 }, () => middle)])
    expect(keptOf(chunk)).to.be.above(1_000 * 100)
  })

  it('begins anew behind the end of a message in the same chunk', () => {
    const chunk = Buffer.concat([first, middle, last, text])
    expect(keptOf(chunk)).to.equal(0)
    expect(keptOf(Buffer.concat([chunk, first]))).to.be.within(chunk.length + first.length, chunk.length + 1_000)
  })
})
