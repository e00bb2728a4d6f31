import { expect } from 'chai'
import { type DecompressedHolder, DecompressedMemory } from '../../src/kafka/decompressed-memory.js'
import { heldBytesOfOpenRecords } from '../../src/kafka/packed-records.js'
import { zstdFrames } from '../../src/kafka/zstd.js'

describe('the memory of decompressed records', () => {
  let released: string[]
  let seen: number[]
  const memoryOf = (maxBytes: number): DecompressedMemory => {
    released = []
    seen = []
    return new DecompressedMemory(maxBytes, heldBytes => seen.push(heldBytes))
  }
  /** Kept here, since the memory does not keep them. */
  const holders: DecompressedHolder[] = []
  const holder = (name: string): DecompressedHolder => {
    holders.push({ release: () => released.push(name) })
    return holders.at(-1)!
  }

  it('is bounded by a positive number of bytes', () => {
    for (const maxBytes of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => new DecompressedMemory(maxBytes)).to.throw(RangeError, `${maxBytes}`)
    }
    expect(new DecompressedMemory(1)).to.include({ maxBytes: 1, heldBytes: 0 })
  })

  it('is filled to the byte before anybody lets go of theirs, the least recently read first, and no more than it takes', () => {
    const memory = memoryOf(100)
    const a = memory.hold(holder('a'), 40)
    memory.hold(holder('b'), 30)
    memory.hold(holder('c'), 30)
    expect([memory.heldBytes, released, seen]).to.deep.equal([100, [], [40, 70, 100]])
    memory.touch(a)
    memory.hold(holder('d'), 20)
    expect([memory.heldBytes, released]).to.deep.equal([90, ['b']])
    memory.hold(holder('e'), 50)
    expect([memory.heldBytes, released]).to.deep.equal([70, ['b', 'c', 'a']])
    memory.touch(a)
    memory.hold(holder('f'), 100)
    expect([memory.heldBytes, released], 'a has nothing to give any more').to.deep.equal([
      100,
      ['b', 'c', 'a', 'd', 'e']
    ])
    expect(seen.at(-1)).to.equal(100)
  })

  it('counts the records and what finds them', () => {
    const [records, positions] = [Buffer.alloc(10), new Uint32Array(3)]
    expect(heldBytesOfOpenRecords({ records, positions, offsetDeltas: undefined })).to.equal(22)
    expect(heldBytesOfOpenRecords({ records, positions, offsetDeltas: new Uint32Array(2) })).to.equal(30)
  })
})

describe('the frames of a zstd stream', () => {
  const MAGIC = [0x28, 0xb5, 0x2f, 0xfd]
  const RAW = 0
  const RUN = 1
  const block = (type: number, size: number, isLast: boolean, body: number[]): number[] => {
    const header = (size << 3) | (type << 1) | (isLast ? 1 : 0)
    return [header & 255, (header >> 8) & 255, header >> 16, ...body]
  }
  const last = block(RAW, 2, true, [7, 7])
  const only = (...bytes: number[]) => {
    const frames = zstdFrames(Buffer.from([...MAGIC, ...bytes]))
    expect(frames).to.have.length(1)
    expect(frames[0]!.bytes).to.have.length(4 + bytes.length)
    return frames[0]!
  }
  const SINGLE = 0x20

  it('name their size in none, one, two, four or eight bytes', () => {
    expect(only(0, 0x58, ...last).claimedBytes).to.equal(undefined)
    expect(only(SINGLE, 200, ...last).claimedBytes).to.equal(200)
    expect(only(0x40, 0x58, 1, 1, ...last).claimedBytes, '256 is added to two bytes').to.equal(513)
    expect(only(0x40 | SINGLE, 1, 1, ...last).claimedBytes).to.equal(513)
    expect(only(0x80 | SINGLE, 1, 0, 0, 1, ...last).claimedBytes).to.equal(16_777_217)
    expect(only(0xc0 | SINGLE, 1, 0, 0, 0, 1, 0, 0, 0, ...last).claimedBytes).to.equal(4_294_967_297)
  })

  it('may name a dictionary, and end with a checksum', () => {
    for (const [flag, bytes] of [
      [1, 1],
      [2, 2],
      [3, 4]
    ] as const) {
      expect(only(SINGLE | flag, ...Array<number>(bytes).fill(9), 200, ...last).claimedBytes).to.equal(200)
    }
    expect(only(SINGLE | 4, 200, ...last, 1, 2, 3, 4).claimedBytes).to.equal(200)
    expect(() => zstdFrames(Buffer.from([...MAGIC, SINGLE | 4, 200, ...last, 1, 2, 3]))).to.throw('truncated')
  })

  it('hold what a run says, and a block of 128 KiB otherwise', () => {
    expect(only(0, 0x58, ...block(RUN, 1_000, true, [7])).possibleBytes).to.equal(1_000)
    expect(
      only(0, 0x58, ...block(RUN, 1_000, false, [7]), ...block(RUN, 5, false, [7]), ...last).possibleBytes
    ).to.equal(1_005 + 131_072)
  })

  it('stand one after another, with those to be skipped between them', () => {
    const frame = [...MAGIC, 0, 0x58, ...last]
    const skipped = [0x5f, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]
    const sizes = (...bytes: number[]): number[] => zstdFrames(Buffer.from(bytes)).map(({ bytes: own }) => own.length)
    expect(sizes()).to.deep.equal([])
    expect(sizes(...skipped, ...frame, ...skipped, ...frame)).to.deep.equal([frame.length, frame.length])
    expect(() => sizes(...frame, 1, 2, 3, 4, 5, 6, 7, 8)).to.throw('not a zstd frame')
    expect(() => sizes(...frame, ...MAGIC, 0, 0x58)).to.throw('not a zstd frame')
    for (const cut of [1, 2, 3, 4]) {
      expect(() => sizes(...frame.slice(0, frame.length - cut), ...(cut > 2 ? [0] : []))).to.throw('truncated')
    }
  })
})
