import { expect } from 'chai'
import * as fc from 'fast-check'
import { ProtocolError } from '../../src/core/errors.js'
import { ForeignProtocolError, FrameReader } from '../../src/kafka/socket.js'

/** Gives the reader bytes as a socket does: as many at a time as there is space for, and as `chunks` say. */
function feed(reader: FrameReader, bytes: Buffer, chunks: readonly number[] = [bytes.length]): void {
  let at = 0
  for (let turn = 0; at < bytes.length; turn++) {
    const space = reader.space()
    expect(space.length).to.be.above(0)
    const count = Math.min(space.length, bytes.length - at, Math.max(1, chunks[turn % chunks.length]!))
    bytes.copy(space, 0, at, at + count)
    reader.received(count)
    at += count
  }
}

const framed = (frame: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(frame.length)
  return Buffer.concat([length, frame])
}

const frameOf = (length: number, seed: number): Buffer =>
  Buffer.from(Array.from({ length }, (_, at) => (at * 31 + seed) & 255))

describe('frame reader', () => {
  const read = (frames: readonly Buffer[], chunks: readonly number[]): Buffer[] => {
    const found: Buffer[] = []
    const reader = new FrameReader(10_000_000, frame => found.push(Buffer.from(frame)))
    feed(reader, Buffer.concat(frames.map(framed)), chunks)
    return found
  }

  it('gives back every frame, however large, however the bytes arrive', () => {
    const sizes = fc.array(
      fc.oneof(
        fc.integer({ min: 4, max: 300 }),
        fc.integer({ min: 3_900, max: 4_200 }),
        fc.integer({ min: 65_400, max: 66_000 })
      ),
      { maxLength: 12 }
    )
    const chunks = fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1_000, max: 70_000 })), {
      minLength: 1
    })
    fc.assert(
      fc.property(sizes, chunks, (lengths, counts) => {
        const frames = lengths.map(frameOf)
        expect(read(frames, counts)).to.deep.equal(frames)
      }),
      { numRuns: 60 }
    )
  })

  it('holds a few KiB for a connection that sees small frames only', () => {
    const reader = new FrameReader(1_000_000, () => {})
    for (let count = 0; count < 1_000; count++) feed(reader, framed(frameOf(20, count)))
    expect(reader.space().length).to.equal(4 * 1024)
    feed(reader, framed(frameOf(10_000, 1)))
    expect(reader.space().length).to.equal(64 * 1024)
  })

  it('takes memory for a large frame as its bytes arrive, whatever its length says', () => {
    const MIB = 1024 * 1024
    const frames: number[] = []
    const reader = new FrameReader(200 * MIB, frame => frames.push(frame.length))
    const begin = (length: number): void => {
      const bytes = Buffer.alloc(8)
      bytes.writeInt32BE(length)
      feed(reader, bytes)
    }
    begin(100 * MIB)
    expect(reader.space().length).to.equal(MIB - 4)
    reader.received(MIB - 5)
    expect(reader.space().length).to.equal(1)
    reader.received(1)
    expect(reader.space().length, 'twice as much').to.equal(MIB)
    reader.received(MIB)
    expect(reader.space().length).to.equal(2 * MIB)
    expect(frames).to.deep.equal([])
  })

  it('keeps the memory of a large frame for the next one, unless it is very large', () => {
    const MIB = 1024 * 1024
    const sizes: number[] = []
    const reader = new FrameReader(200 * MIB, frame => sizes.push(frame.length))
    const beginningOf = (length: number): void => {
      const bytes = Buffer.alloc(8)
      bytes.writeInt32BE(length)
      feed(reader, bytes)
    }
    const rest = (length: number): void => {
      for (let left = length - 4; left > 0; ) {
        const count = Math.min(left, reader.space().length)
        reader.received(count)
        left -= count
      }
    }
    const spaceFor = (length: number): number => {
      beginningOf(length)
      const { length: space } = reader.space()
      rest(length)
      return space
    }
    expect(spaceFor(3 * MIB)).to.equal(MIB - 4)
    expect(spaceFor(3 * MIB), 'kept').to.equal(3 * MIB - 4)
    expect(spaceFor(2 * MIB), 'no more than the frame has').to.equal(2 * MIB - 4)
    expect(spaceFor(9 * MIB)).to.equal(3 * MIB - 4)
    expect(spaceFor(9 * MIB), 'the largest that is kept').to.equal(9 * MIB - 4)
    expect(spaceFor(9 * MIB + 1)).to.equal(9 * MIB - 4)
    expect(spaceFor(9 * MIB), 'not kept').to.equal(MIB - 4)
    expect(sizes.map(size => Math.floor(size / MIB))).to.deep.equal([3, 3, 2, 9, 9, 9, 9])
  })

  it('refuses lengths that cannot be, and says which protocol they are the beginning of', () => {
    const beginning = (bytes: Buffer): Error | undefined => {
      try {
        feed(new FrameReader(1_000_000, () => {}), bytes)
        return undefined
      } catch (error) {
        return error as Error
      }
    }
    for (const length of [-1, 0, 3, 1_000_001]) {
      const bytes = Buffer.alloc(8)
      bytes.writeInt32BE(length)
      expect(beginning(bytes)).to.be.instanceOf(ProtocolError).and.not.instanceOf(ForeignProtocolError)
    }
    expect(beginning(Buffer.from('HTTP/1.1 400'))).to.include({ protocol: 'HTTP' })
    for (const minor of [0, 1, 3, 4])
      expect(beginning(Buffer.from([0x15, 3, minor, 0, 2, 2, 70]))).to.include({ protocol: 'TLS' })
    expect(beginning(Buffer.from([0x15, 4, 1, 0, 2, 2, 70]))).to.not.be.instanceOf(ForeignProtocolError)
  })
})
