import { expect } from 'chai'
import { ProtocolError } from '../../../src/core/errors.js'
import { ProtocolReader } from '../../../src/kafka/protocol/encoding.js'

const TOPIC_WITH_ACCENT = Buffer.from('caf\u00e9')

const readerOf = (...bytes: number[]): ProtocolReader => new ProtocolReader(Buffer.from(bytes))
const flexibleReaderOf = (...bytes: number[]): ProtocolReader => new ProtocolReader(Buffer.from(bytes), true)

describe('the reader of responses', () => {
  it('reads numbers of all widths and both signs, and says what is left', () => {
    const reader = readerOf(0x80, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xfd, 2, 0)
    expect(reader.remainingBytes).to.equal(9)
    expect([reader.int8(), reader.int16(), reader.int32()]).to.deep.equal([-128, -2, -3])
    expect([reader.boolean(), reader.boolean(), reader.remainingBytes]).to.deep.equal([true, false, 0])
    reader.end()
    expect(() => reader.int8()).to.throw(ProtocolError, 'the bytes end early')
  })

  it('reads 64 bits exactly, as none, or rounded, as the caller wants them', () => {
    const large = Buffer.alloc(8)
    large.writeBigInt64BE(-(2n ** 53n))
    expect(new ProtocolReader(large).safeInt64()).to.equal(undefined)
    expect(new ProtocolReader(large).int64()).to.equal(-(2 ** 53))
    expect(new ProtocolReader(large).bigInt64()).to.equal(-(2n ** 53n))
    large.writeBigInt64BE(2n ** 53n - 1n)
    expect(new ProtocolReader(large).safeInt64()).to.equal(Number.MAX_SAFE_INTEGER)
  })

  it('takes null for empty bytes and an empty list, in both encodings', () => {
    const nothing = readerOf(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
    expect([nothing.bytes().length, nothing.array(() => 1), nothing.nullableString()]).to.deep.equal([0, [], null])
    const compactNothing = flexibleReaderOf(0, 0, 0)
    expect([compactNothing.bytes().length, compactNothing.array(() => 1)]).to.deep.equal([0, []])
    expect(compactNothing.nullableString()).to.equal(null)
    expect([...readerOf(0, 0, 0, 2, 7, 8).bytes()]).to.deep.equal([7, 8])
    const some = flexibleReaderOf(3, 9, 10, 2, 65, 1)
    expect([...some.bytes()]).to.deep.equal([9, 10])
    expect([some.string(), some.string()]).to.deep.equal(['A', ''])
  })

  it('refuses a length that is negative, or larger than what is there', () => {
    expect(() => readerOf(0xff, 0xff, 0xff, 0xfe).bytes()).to.throw(ProtocolError, 'a negative length')
    expect(() => readerOf(0xff, 0xfe).nullableString()).to.throw(ProtocolError, 'a negative length')
    expect(() => readerOf(0, 0, 0, 2, 1).bytes()).to.throw(ProtocolError, 'end early')
    expect(() => flexibleReaderOf(3, 1).bytes()).to.throw(ProtocolError, 'end early')
    expect(() => readerOf(0).end()).to.throw(ProtocolError, '1 bytes too many')
  })

  it('refuses a list that cannot be there before an item is read', () => {
    const built: number[] = []
    const array = (count: number, bytes: number): unknown[] => {
      const length = Buffer.alloc(4 + bytes)
      length.writeInt32BE(count)
      return new ProtocolReader(length).array(() => built.push(0))
    }
    expect(array(3, 3)).to.have.length(3)
    expect(() => array(4, 3)).to.throw(ProtocolError, '4 items in 3 bytes')
    expect(() => array(-2, 11)).to.throw(ProtocolError, '-2 items')
    expect([array(-1, 0), built.length]).to.deep.equal([[], 3])
  })

  it('takes the name that is expected, and reads another one, or one that is not ASCII, from the bytes', () => {
    const expected = ['ab', 'ab', '\u00e9', 'caf\u00e9', 'abc']
    const named = (name: Buffer) => [0, name.length, ...name, 0, 0, 0, 1, 7]
    const names = ['ab', 'ac', Buffer.from([0xe9]), TOPIC_WITH_ACCENT, 'ab'].map(name => Buffer.from(name as string))
    const reader = readerOf(0, 0, 0, names.length, ...names.flatMap(named))
    expect(reader.count()).to.equal(names.length)
    const read = expected.map(name => [reader.name(name), reader.count(), reader.int8()])
    expect(read).to.deep.equal(['ab', 'ac', '\ufffd', 'caf\u00e9', 'ab'].map(topic => [topic, 1, 7]))
    reader.end()
  })

  it('reads lengths of one to five bytes, and none that has more than 32 bits', () => {
    expect(readerOf(0x7f).unsignedVarint()).to.equal(127)
    expect(readerOf(0x80, 1).unsignedVarint()).to.equal(128)
    expect(readerOf(0xff, 0xff, 0xff, 0xff, 0x0f).unsignedVarint()).to.equal(2 ** 32 - 1)
    expect(() => readerOf(0x80, 0x80, 0x80, 0x80, 0x80, 1).unsignedVarint()).to.throw('more than 32 bits')
  })

  it('passes over fields that newer brokers have added', () => {
    const reader = flexibleReaderOf(2, 0, 3, 1, 2, 3, 0x81, 1, 1, 9, 42)
    reader.tags()
    expect(reader.int8()).to.equal(42)
    for (const none of [flexibleReaderOf(0, 42), readerOf(42)]) {
      none.tags()
      expect(none.int8()).to.equal(42)
    }
    expect(() => flexibleReaderOf(1, 0, 2, 9).tags()).to.throw(ProtocolError, 'end early')
  })

  it('names ids as Kafka does', () => {
    expect(readerOf(...new Array<number>(16).fill(0)).uuid()).to.equal('A'.repeat(22))
    expect(readerOf(...new Array<number>(15).fill(0), 1).uuid()).to.equal('AAAAAAAAAAAAAAAAAAAAAQ')
  })
})
