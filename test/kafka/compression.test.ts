import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import snappy from 'snappyjs'
import {
  type CompressionCodec,
  compress,
  decompress,
  prepareCompression,
  snappyDecompress
} from '../../src/kafka/compression.js'
import { DecompressionLimitError } from '../../src/kafka/compression-errors.js'

const codecs: CompressionCodec[] = ['gzip', 'snappy', 'lz4', 'zstd']
const mebibyte = 1024 * 1024
const text = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `line ${index * 7919} `).join(''))

/** Java's framing around raw snappy blocks. */
function xerial(...blocks: Buffer[]): Buffer {
  const head = Buffer.from('82534e415050590000000001', 'hex')
  const compatible = Buffer.from('00000001', 'hex')
  const framed = blocks.flatMap(block => {
    const packed = snappy.compress(block)
    const length = Buffer.alloc(4)
    length.writeInt32BE(packed.length)
    return [length, packed]
  })
  return Buffer.concat([head, compatible, ...framed])
}

describe('compression', () => {
  before(prepareCompression)

  it('zstd works however many copies of our code have prepared it', async () => {
    for (let copy = 0; copy < 5; copy++) {
      const name = `../../src/kafka/zstd.js?copy=${copy}`
      const other = (await import(name)) as typeof import('../../src/kafka/zstd.js')
      await other.prepareZstd()
      expect(other.zstdDecompress(other.zstdCompress(text), mebibyte)).to.deep.equal(text)
    }
    expect(decompress('zstd', compress('zstd', text), mebibyte)).to.deep.equal(text)
  })

  for (const codec of codecs) {
    it(`${codec} gives back what it was given, and is smaller`, () => {
      const packed = compress(codec, text)
      expect(packed.length).to.be.lessThan(text.length * 0.6)
      expect(decompress(codec, packed, mebibyte)).to.deep.equal(text)
      expect(decompress(codec, compress(codec, Buffer.alloc(0)), mebibyte)).to.have.length(0)
    })

    it(`${codec} refuses what would take more than the limit, and takes what just fits`, () => {
      const packed = compress(codec, Buffer.alloc(5 * mebibyte, 'x'))
      expect(() => decompress(codec, packed, mebibyte)).to.throw()
      expect(decompress(codec, packed, 8 * mebibyte)).to.have.length(5 * mebibyte)
    })

    it(`${codec} refuses damage and cut streams`, () => {
      const packed = compress(codec, text)
      expect(() => decompress(codec, packed.subarray(0, packed.length >> 1), mebibyte)).to.throw()
      expect(() => decompress(codec, packed.subarray(0, 3), mebibyte)).to.throw()
      expect(() => decompress(codec, Buffer.from('this is not compressed at all'), mebibyte)).to.throw()
    })
  }

  it('reads snappy in the framing of Java, one block or many', () => {
    expect(decompress('snappy', xerial(text), mebibyte)).to.deep.equal(text)
    expect(decompress('snappy', xerial(text, text.subarray(0, 10), text), mebibyte)).to.deep.equal(
      Buffer.concat([text, text.subarray(0, 10), text])
    )
    expect(decompress('snappy', xerial(), mebibyte)).to.have.length(0)
  })

  it('bounds framed snappy over all its blocks, and refuses cut ones', () => {
    const blocks = Array.from({ length: 5 }, () => text)
    expect(() => decompress('snappy', xerial(...blocks), text.length * 4)).to.throw()
    expect(() => decompress('snappy', xerial(text).subarray(0, 100), mebibyte)).to.throw('truncated')
  })

  it('believes no claimed size: a few bytes do not make it allocate much', () => {
    // Snappy: 16 MiB claimed by a stream of four bytes. zstd: 2^62 bytes claimed by a frame header.
    expect(() => decompress('snappy', Buffer.from([0x80, 0x80, 0x80, 0x08]), 128 * mebibyte)).to.throw()
    expect(() => decompress('zstd', Buffer.from('28b52ffde00000000000000040010000', 'hex'), 128 * mebibyte)).to.throw(
      'more than'
    )
  })

  it('reads zstd frames that do not say how large they are, as streaming writers leave them', () => {
    // One raw block of three bytes, then a run of two million, in a frame without a content size. RFC 8878, 3.1.1
    const rle = (last: number, size: number) => {
      const header = Buffer.alloc(3)
      header.writeUIntLE(last | (1 << 1) | (size << 3), 0, 3)
      return Buffer.concat([header, Buffer.from('z')])
    }
    const blocks = Array.from({ length: 20 }, (_, index) => rle(index === 19 ? 1 : 0, 100_000))
    const frame = Buffer.concat([Buffer.from('28b52ffd0058', 'hex'), ...blocks])
    expect(decompress('zstd', frame, 8 * mebibyte)).to.deep.equal(Buffer.alloc(2_000_000, 'z'))
    expect(() => decompress('zstd', frame, mebibyte)).to.throw()
  })

  it('measures lz4 exactly before it refuses it: blocks that could hold 4 MiB rarely do', () => {
    const packed = compress('lz4', text)
    expect(decompress('lz4', packed, text.length)).to.deep.equal(text)
    expect(() => decompress('lz4', packed, text.length - 1)).to.throw(`${text.length} bytes are more than`)
  })

  it('reads zstd of several frames, those to be skipped among them, and bounds them together', () => {
    const skipped = Buffer.from('532a4d1803000000616263', 'hex')
    const [a, b] = ['first '.repeat(50), 'second '.repeat(50)].map(part => compress('zstd', Buffer.from(part)))
    const stream = Buffer.concat([a!, skipped, b!])
    expect(decompress('zstd', stream, mebibyte).toString()).to.equal('first '.repeat(50) + 'second '.repeat(50))
    expect(() => decompress('zstd', stream, 600)).to.throw('more than')
  })

  it('refuses zstd cut anywhere, on every implementation', () => {
    const packed = compress('zstd', text.subarray(0, 1000))
    for (let length = 1; length < packed.length; length++) {
      expect(() => decompress('zstd', packed.subarray(0, length), mebibyte), `${length}`).to.throw()
    }
  })

  it('reads gzip of several members', () => {
    expect(decompress('gzip', Buffer.concat([gzipSync('a'), gzipSync('b')]), mebibyte).toString()).to.equal('ab')
  })
})

const LIMIT_BYTES = 1_000
const read = (...bytes: number[]): string => snappyDecompress(Buffer.from(bytes), LIMIT_BYTES).toString()
const [A, B, C, D] = [...Buffer.from('abcd')] as [number, number, number, number]
/** Four bytes as they are. */
const ABCD = [12, A, B, C, D]

describe('snappy', () => {
  it('is read with copies of each kind, also of what they have just written', () => {
    expect(read(4, ...ABCD)).to.equal('abcd')
    expect(read(8, ...ABCD, 0b000_000_01, 4), '4 bytes, 4 back').to.equal('abcdabcd')
    expect(read(11, ...ABCD, 0b000_011_01, 1), '7 bytes, 1 back').to.equal('abcdddddddd')
    expect(read(7, ...ABCD, 0b000010_10, 3, 0), '3 bytes, 3 back').to.equal('abcdbcd')
    expect(read(5, ...ABCD, 0b000000_11, 2, 0, 0, 0), '1 byte, 2 back').to.equal('abcdc')
    expect(read(68, ...ABCD, 0b111111_10, 2, 0), '64 bytes, 2 back').to.equal(`ab${'cd'.repeat(33)}`)
    expect(read(0)).to.equal('')
  })

  it('has long literals, whose lengths take one to four bytes', () => {
    const x = (count: number): number[] => Array(count).fill(A)
    expect(read(61, 60 << 2, 60, ...x(61))).to.equal('a'.repeat(61))
    expect(read(61, 61 << 2, 60, 0, ...x(61))).to.equal('a'.repeat(61))
    expect(read(61, 63 << 2, 60, 0, 0, 0, ...x(61))).to.equal('a'.repeat(61))
  })

  it('is refused where a copy begins before the beginning, or at its own end', () => {
    for (const copy of [
      [0b000_000_01, 5],
      [0b000_000_01, 0],
      [0b000011_10, 0, 0],
      [0b000011_10, 0, 1],
      [0b000011_11, 0, 0, 0, 0],
      [0b000011_11, 4, 0, 0, 1]
    ]) {
      expect(() => read(8, ...ABCD, ...copy), copy.join()).to.throw('damaged')
    }
  })

  it('is refused where it ends within an element', () => {
    for (const cut of [
      [8, ...ABCD, 0b000_000_01],
      [8, ...ABCD, 0b001_000_01],
      [8, ...ABCD, 0b000011_10],
      [8, ...ABCD, 0b000011_10, 4],
      [8, ...ABCD, 0b000011_11, 4, 0, 0],
      [4, 12, A, B, C],
      [40, 60 << 2],
      [60, 61 << 2, 60],
      [61, 60 << 2, 60, A]
    ]) {
      expect(() => read(...cut), cut.join()).to.throw('damaged')
    }
  })

  it('is refused where it holds more or less than it says', () => {
    for (const said of [3, 5]) expect(() => read(said, ...ABCD)).to.throw('damaged')
    for (const said of [7, 9]) expect(() => read(said, ...ABCD, 0b000_000_01, 4)).to.throw('damaged')
    expect(() => read(40, ...ABCD, 0b111111_10, 2, 0)).to.throw('damaged')
  })

  it('is refused where its length is cut, too long to be true, or beyond the limit', () => {
    expect(() => read()).to.throw('damaged')
    expect(() => read(0x80)).to.throw('damaged')
    expect(() => read(0x80, 0x80, 0x80, 0x80, 0x80, 0)).to.throw('damaged')
    expect(() => read(0xff, 0x7f, ...ABCD)).to.throw('more than it can hold')
    const large = Buffer.from([0xe9, 7, ...Array(100).fill(0)])
    expect(() => snappyDecompress(large, LIMIT_BYTES)).to.throw(DecompressionLimitError)
    expect(() => snappyDecompress(large, LIMIT_BYTES + 1)).to.throw('damaged')
  })
})
