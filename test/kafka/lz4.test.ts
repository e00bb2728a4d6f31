import { expect } from 'chai'
import { refuseLargeLz4 } from '../../src/kafka/compression.js'
import { DecompressionLimitError } from '../../src/kafka/compression-errors.js'

const BLOCK_CHECKSUM = 0x10
const CONTENT_SIZE = 0x08
const DICTIONARY_ID = 0x01
/** What a block may hold: 4 << 4 is 64 KiB, 7 << 4 is 4 MiB. */
const [SMALL_BLOCKS, LARGE_BLOCKS] = [4 << 4, 7 << 4]

interface Block {
  readonly bytes: readonly number[]
  readonly isStored?: boolean
}

/** A frame of these blocks. Its checksums are not looked at, so they are left at 255. */
function frame(blocks: readonly Block[], flags = 0, blockSize: number = LARGE_BLOCKS): Buffer {
  const extra = (flags & CONTENT_SIZE ? 8 : 0) + (flags & DICTIONARY_ID ? 4 : 0)
  const body = blocks.flatMap(({ bytes, isStored = false }) => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length + (isStored ? 0x80000000 : 0))
    return [...length, ...bytes, ...Array<number>(flags & BLOCK_CHECKSUM ? 4 : 0).fill(255)]
  })
  return Buffer.from([
    0x04,
    0x22,
    0x4d,
    0x18,
    0x40 | flags,
    blockSize,
    ...Array(extra + 1).fill(255),
    ...body,
    0,
    0,
    0,
    0
  ])
}

/** The frame holds exactly so many bytes. */
function expectSize(bytes: Buffer, sizeBytes: number): void {
  expect(() => refuseLargeLz4(bytes, sizeBytes)).to.not.throw()
  expect(() => refuseLargeLz4(bytes, sizeBytes - 1))
    .to.throw(DecompressionLimitError)
    .with.property('message')
    .that.contains(`${sizeBytes} bytes`)
}

const x = (count: number): number[] => Array(count).fill(120)

describe('the size of an lz4 frame', () => {
  it('is that of its literals and matches', () => {
    expectSize(frame([{ bytes: [0x50, ...x(5)] }]), 5)
    expectSize(frame([{ bytes: [0x12, ...x(1), 1, 0, 0x30, ...x(3)] }]), 1 + 6 + 3)
    expectSize(frame([{ bytes: [0x10, ...x(1), 1, 0, 0x00, 1, 0, 0x20, ...x(2)] }]), 1 + 4 + 0 + 4 + 2)
    expectSize(frame([{ bytes: [0x1e, ...x(1), 1, 0, 0xe0, ...x(14)] }]), 1 + 18 + 14)
  })

  it('has lengths of 15 and more in the bytes that follow', () => {
    expectSize(frame([{ bytes: [0xf0, 0, ...x(15)] }]), 15)
    expectSize(frame([{ bytes: [0xf0, 7, ...x(22)] }]), 22)
    expectSize(frame([{ bytes: [0xf0, 255, 0, ...x(270)] }]), 270)
    expectSize(frame([{ bytes: [0x1f, ...x(1), 1, 0, 255, 255, 3, 0x10, ...x(1)] }]), 1 + 15 + 513 + 4 + 1)
  })

  it('is the sum over its blocks, those that are stored as they are among them', () => {
    const block = { bytes: [0x50, ...x(5)] }
    const stored = { bytes: x(40), isStored: true }
    for (const flags of [
      0,
      BLOCK_CHECKSUM,
      CONTENT_SIZE,
      DICTIONARY_ID,
      BLOCK_CHECKSUM | CONTENT_SIZE | DICTIONARY_ID
    ]) {
      expectSize(frame([block, stored, block], flags), 50)
    }
    expectSize(Buffer.concat([frame([block]), Buffer.from(x(100))]), 5)
  })

  it('is not measured where its blocks cannot hold too much', () => {
    // A match whose length has no end: measured, it would be more than the limit.
    const run = { bytes: [0x1f, ...x(1), 1, 0, ...Array<number>(1_000).fill(255), 0, 0x00] }
    const exact = 1 + 15 + 255_000 + 4
    expect(() => refuseLargeLz4(frame([run], 0, SMALL_BLOCKS), 65_536), 'a block of 64 KiB').to.not.throw()
    expect(() => refuseLargeLz4(frame([run], 0, SMALL_BLOCKS), 65_535)).to.throw(DecompressionLimitError)
    expectSize(frame([run]), exact)
  })

  it('ends where the bytes end, and is of a frame only', () => {
    const whole = frame([{ bytes: [0x50, ...x(5)] }])
    expect(() => refuseLargeLz4(whole.subarray(0, 7), 1)).to.not.throw()
    expect(() => refuseLargeLz4(whole.subarray(0, 10), 1)).to.not.throw()
    expect(() => refuseLargeLz4(frame([{ bytes: [0x1f, ...x(1), 1] }]), 1)).to.throw(DecompressionLimitError)
    expect(() => refuseLargeLz4(whole.subarray(0, 6), 1_000)).to.throw('not an lz4 frame')
    expect(() => refuseLargeLz4(Buffer.from(x(20)), 1_000)).to.throw('not an lz4 frame')
  })
})
