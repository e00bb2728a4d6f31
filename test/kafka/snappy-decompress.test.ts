import { expect } from 'chai'
import { DecompressionLimitError } from '../../src/kafka/decompression-error.js'
import { snappyDecompress } from '../../src/kafka/snappy-decompress.js'

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
    expect(() => read(0xff, 0x7f, ...ABCD)).to.throw('more than there can be')
    const large = Buffer.from([0xe9, 7, ...Array(100).fill(0)])
    expect(() => snappyDecompress(large, LIMIT_BYTES)).to.throw(DecompressionLimitError)
    expect(() => snappyDecompress(large, LIMIT_BYTES + 1)).to.throw('damaged')
  })
})
