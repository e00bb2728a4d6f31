import { expect } from 'chai'
import { sizeOfVarint, sizeOfVarlong, writeVarint, writeVarlong } from '../../src/kafka/record-batch-layout.js'
import { DamagedRecordsError, RecordFields } from '../../src/kafka/record-reader.js'

/** Around each power of two, of either sign. */
const around = (bits: number): number[] => {
  const values = new Set([0])
  for (let bit = 0; bit <= bits; bit++) {
    for (const value of [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]) values.add(value).add(-value)
  }
  return [...values].filter(value => Number.isSafeInteger(value))
}
const isInt32 = (value: number): boolean => value === (value | 0)

/** Kafka's zigzag by big integers: seven bits a byte, the lowest first. */
function expected(value: number): number[] {
  const big = BigInt(value)
  let rest = big >= 0n ? big * 2n : -big * 2n - 1n
  const bytes: number[] = []
  for (; rest > 0x7fn; rest /= 128n) bytes.push(Number(rest % 128n) + 128)
  return [...bytes, Number(rest)]
}

describe('numbers of variable length', () => {
  const numbers = around(53)

  it('are written as Kafka has them, in as many bytes as was said before', () => {
    for (const value of numbers) {
      const bytes = expected(value)
      for (const [sizeOf, write] of [
        [sizeOfVarlong, writeVarlong],
        ...(isInt32(value) ? ([[sizeOfVarint, writeVarint]] as const) : [])
      ] as const) {
        const target = Buffer.alloc(16, 0xee)
        expect([sizeOf(value), write(target, value, 3)], `${value}`).to.deep.equal([bytes.length, 3 + bytes.length])
        expect([...target.subarray(2, 4 + bytes.length)], `${value}`).to.deep.equal([0xee, ...bytes, 0xee])
      }
    }
  })

  it('are read as they were written', () => {
    for (const value of numbers.filter(number => Math.abs(number) <= 2 ** 52)) {
      const bytes = Buffer.from([0, ...expected(value), 0])
      for (const name of isInt32(value) ? (['varlong', 'varint'] as const) : (['varlong'] as const)) {
        const fields = new RecordFields(bytes, 1)
        expect([fields[name](), fields.position], `${value}`).to.deep.equal([value, bytes.length - 1])
      }
    }
  })

  it('are refused where they are cut or go on for too long', () => {
    for (const length of [0, 1, 2, 4]) {
      const cut = Buffer.alloc(length, 0x80)
      expect(() => new RecordFields(cut, 0).varint()).to.throw(DamagedRecordsError)
      expect(() => new RecordFields(cut, 0).varlong()).to.throw(DamagedRecordsError)
    }
    for (const [length, name] of [
      [5, 'varint'],
      [10, 'varlong']
    ] as const) {
      const longest = Buffer.from([...Array<number>(length - 1).fill(0x80), 0, 0])
      expect(new RecordFields(longest, 0)[name]()).to.equal(0)
      const longer = Buffer.from([...Array<number>(length).fill(0x80), 0])
      expect(() => new RecordFields(longer, 0)[name](), `${length + 1} bytes`).to.throw(DamagedRecordsError)
    }
  })
})

describe('the parts of a record', () => {
  it('are null or empty as they were written', () => {
    const bytes = Buffer.from([1, 0, 4, 7, 8])
    const fields = new RecordFields(bytes, 0)
    expect([fields.readBytes(), fields.readBytes(), fields.readBytes(), fields.position]).to.deep.equal([
      null,
      Buffer.alloc(0),
      Buffer.from([7, 8]),
      5
    ])
    const passed = new RecordFields(bytes, 0)
    const positions = [1, 2, 3].map(() => {
      passed.skipBytes()
      return passed.position
    })
    expect(positions).to.deep.equal([1, 2, 5])
    expect(() => new RecordFields(Buffer.from([3]), 0).skipBytes()).to.throw('negative length')
  })
})
