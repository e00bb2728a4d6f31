import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import snappy from 'snappyjs'
import { type CompressionCodec, compress, decompress, prepareCompression } from '../../src/kafka/compression.js'

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
