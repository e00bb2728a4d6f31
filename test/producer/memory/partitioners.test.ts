import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { fnv1a, javaHashCode, partitioners, phash2 } from '../../../src/producer/memory/partitioners.js'
import { checkRows } from '../../support/rows.js'

interface Vector {
  readonly keyHex: string
  readonly partitions: number
  readonly partition: number
}
const vectors = JSON.parse(readFileSync('test/data/partitioner-vectors.json', 'utf8')) as {
  readonly murmur2: readonly Vector[]
  readonly crc32: readonly Vector[]
}

describe('partitioners', () => {
  for (const name of ['murmur2', 'crc32'] as const) {
    it(`${name} agrees with the client it is named after`, () => {
      expect(vectors[name].length).to.be.greaterThan(50)
      for (const { keyHex, partitions, partition } of vectors[name]) {
        const key = Buffer.from(keyHex, 'hex')
        if (name === 'crc32' && key.length === 0) continue
        expect(partitioners[name](key, partitions, 't'), `${keyHex} of ${partitions}`).to.equal(partition)
      }
    })
  }

  it('give a string the partition of its UTF-8 bytes', () => {
    for (const name of ['murmur2', 'crc32', 'fnv1a', 'phash2'] as const) {
      for (const key of ['a', 'mykey', 'grüße', '€', '👋']) {
        expect(partitioners[name](key, 97, 't'), name).to.equal(partitioners[name](Buffer.from(key), 97, 't'))
      }
    }
  })

  // spec/kafka-pixy.md 1.10: key, hash, partition of 3, 4 and 64
  const sarama = [
    ['', 0x811c9dc5, 0, 3, 59],
    ['1', 0x340ca71c, 1, 0, 28],
    ['2', 0x370cabd5, 1, 1, 21],
    ['3', 0x360caa42, 2, 2, 2],
    ['4', 0x310ca263, 1, 3, 35],
    ['5', 0x300ca0d0, 2, 0, 16],
    ['A', 0xc40bf6cc, 1, 0, 52],
    ['B', 0xc70bfb85, 1, 3, 59],
    ['C', 0xc60bf9f2, 0, 2, 14],
    ['D', 0xc10bf213, 1, 1, 45],
    ['foo', 0xa9f37ed7, 1, 1, 41],
    ['bar', 0x76b77d1a, 2, 2, 26]
  ] as const
  it('fnv1a places each key as Sarama does', () =>
    checkRows(sarama, ([key, hash, of3, of4, of64]) => {
      expect(fnv1a(Buffer.from(key))).to.equal(hash)
      expect([3, 4, 64].map(count => partitioners.fnv1a(key, count, 't'))).to.deep.equal([of3, of4, of64])
    }))

  // spec/arion.md 1.10
  const java = {
    mykey: 3,
    'a/b/c': 0,
    'a/b c d': 3,
    '/': 7,
    k: 3,
    k1: 6,
    z: 2,
    '€': 4,
    '\ufffd': 5,
    '\0': 0,
    'user-123': 0
  }
  it('javaHashCode places each key as Arion does', () =>
    checkRows(Object.entries(java), ([key, partition]) => {
      expect(partitioners.javaHashCode(key, 8, 't')).to.equal(partition)
      expect(partitioners.javaHashCode(Buffer.from(key), 8, 't')).to.equal(partition)
    }))
  it("javaHashCode is Java's, overflow included", () => {
    expect(javaHashCode('mykey')).to.equal(104374579)
    expect(javaHashCode('user-123')).to.equal(-267697872)
    expect([javaHashCode('Aa'), javaHashCode('BB')]).to.deep.equal([2112, 2112])
    expect(javaHashCode('polygenelubricants')).to.equal(-2147483648)
    expect(['mykey', 'k1', 'user-123'].map(key => partitioners.javaHashCode(key, 12, 't'))).to.deep.equal([7, 6, 0])
  })

  // spec/kafboy.md 2.6, made with OTP 25
  const erlang = {
    user1: [87738644, 4],
    user2: [96246935, 0],
    a: [112802447, 2],
    mykey: [85770186, 1],
    '': [13708901, 1]
  }
  for (const [key, [hash, of5]] of Object.entries(erlang)) {
    it(`phash2 places ${JSON.stringify(key)} as kafboy does`, () => {
      expect(phash2(Buffer.from(key))).to.equal(hash)
      expect(partitioners.phash2(key, 5, 't')).to.equal(of5)
    })
  }
  // By another implementation of the hash, which agrees on the five above: keys of all lengths around its blocks of twelve.
  const longer = [
    [3, 97101144],
    [4, 17074879],
    [7, 35880622],
    [8, 40189777],
    [11, 70437382],
    [12, 55508694],
    [13, 59484324],
    [23, 41775169],
    [24, 41549904],
    [25, 102650724],
    [40, 113796926]
  ] as const
  it('phash2 takes keys of any length, with bytes of any value', () => {
    for (const [length, hash] of longer) {
      const key = Buffer.from(Array.from({ length }, (_, at) => (at * 37 + 200) & 255))
      expect(phash2(key), `${length} bytes`).to.equal(hash)
    }
  })

  it('phash2 hashes the topic where there is no key', () => {
    expect(partitioners.phash2(null, 5, 'user1')).to.equal(4)
  })

  it('spread records with a key, too, where they are told to', () => {
    for (const key of [null, 'a']) {
      expect([partitioners.random(key, 4, 't'), partitioners.roundRobin(key, 4, 't')]).to.deep.equal([
        'random',
        'roundRobin'
      ])
    }
  })

  it('leave a record without a key free, and take an empty key for a key, but for librdkafka', () => {
    for (const name of ['murmur2', 'crc32', 'javaHashCode'] as const) {
      expect(partitioners[name](null, 4, 't'), name).to.equal('sticky')
    }
    expect(partitioners.fnv1a(null, 4, 't'), 'Sarama draws for each').to.equal('random')
    expect(partitioners.crc32('', 4, 't')).to.equal('sticky')
    expect(partitioners.crc32(Buffer.alloc(0), 4, 't')).to.equal('sticky')
    for (const name of ['murmur2', 'fnv1a', 'javaHashCode'] as const) {
      expect(partitioners[name]('', 4, 't'), name).to.be.a('number')
    }
  })
})
