import { expect } from 'chai'
import { VarintReader, VarintWriter } from '../../src/core/varints.js'

const numbers = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 48, Number.MAX_SAFE_INTEGER]

describe('core: numbers of seven bits per byte', () => {
  it('reads back every number, signed number and text', () => {
    const writer = new VarintWriter()
    for (const number of numbers) writer.number(number)
    for (const number of numbers.slice(0, -1)) for (const signed of [number, -number - 1]) writer.signed(signed)
    writer.text('orders ü')
    writer.byte(0xff)
    const reader = new VarintReader(writer.take())
    expect(numbers.map(() => reader.number())).to.deep.equal(numbers)
    expect(numbers.slice(0, -1).flatMap(() => [reader.signed(), reader.signed()])).to.deep.equal(
      numbers.slice(0, -1).flatMap(number => [number, -number - 1])
    )
    expect([reader.text(), reader.byte(), reader.isAtEnd]).to.deep.equal(['orders ü', 0xff, true])
  })

  it('takes everything, however much was written, and begins anew', () => {
    const writer = new VarintWriter()
    for (let number = 0; number < 10_000; number++) writer.number(number)
    const reader = new VarintReader(writer.take())
    for (let number = 0; number < 10_000; number++) expect(reader.number()).to.equal(number)
    expect(writer.take()).to.have.length(0)
  })

  it('refuses bytes that end inside a value, and numbers that are too large', () => {
    for (const bytes of [[], [0x80], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], [5, 65]]) {
      const reader = new VarintReader(Buffer.from(bytes))
      expect(() => (bytes.length === 2 ? reader.text() : reader.number())).to.throw(RangeError)
    }
    expect(() => new VarintReader(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])).number()).to.throw(
      RangeError
    )
  })
})
