import { expect } from 'chai'
import { AnsweredKeys, type AnswerOrPlace } from '../../../src/producer/keys/answered-keys.js'
import type { KeyName } from '../../../src/producer/keys/key-frames.js'
import { RowIndex } from '../../../src/producer/keys/row-index.js'

const CHUNK_BYTES = 256 * 1024

/** Repeatable numbers, from 0 to 1. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const keyOf = (number: number, atMs = 1_790_000_000_123): KeyName => {
  const bytes = Buffer.alloc(24)
  for (let at = 0; at < 24; at += 4) bytes.writeUInt32LE(Math.imul(number + 1, 2_654_435_761 + at) >>> 0, at)
  return { hash: bytes.toString('latin1', 0, 16), fingerprint: bytes.toString('latin1', 16), atMs }
}

const answers: readonly AnswerOrPlace[] = [
  { status: 202, headers: [], body: Buffer.alloc(0) },
  { status: 599, headers: [['x-a', '"\u0100\u{1f600}'] as const], body: Buffer.from([0, 255, 13, 10]) },
  { file: 4_000_000_000, offset: 2 ** 40 + 1, sizeBytes: 123_456 },
  {
    status: 200,
    headers: [
      ['content-type', 'a: b; c="\u00ff"'],
      ['X-Empty', ''],
      ['x-blank', ' a '],
      ['x-same', '1'],
      ['x-same', '2']
    ] as const,
    lines: 'content-type: a: b; c="\u00ff"\r\nX-Empty: \r\nx-blank:  a \r\nx-same: 1\r\nx-same: 2\r\n',
    body: Buffer.from('{"status":"ok"}')
  },
  { status: 200, headers: [], body: Buffer.alloc(CHUNK_BYTES, 'large') }
]

const withoutLines = (answer: AnswerOrPlace): unknown => {
  if ('file' in answer) return answer
  const { status, headers, body } = answer
  return { status, headers, body }
}

describe('answers to keys', () => {
  it('are given as they were kept', () => {
    const keys = new AnsweredKeys()
    const rows = answers.map((answer, number) => keys.add(keyOf(number), answer))
    for (const [number, row] of rows.entries()) {
      const key = keyOf(number)
      expect(keys.find(key.hash)).to.equal(row)
      expect(keys.answerOf(row)).to.deep.equal(withoutLines(answers[number]!))
      expect(keys.atMsOf(row)).to.equal(key.atMs)
      expect(keys.isOf(row, key.fingerprint)).to.equal(true)
      expect(keys.isOf(row, keyOf(number + 1).fingerprint)).to.equal(false)
      expect(keys.isOnDisk(row)).to.equal('file' in answers[number]!)
    }
    expect(keys.diskBytesOf(rows[2]!)).to.equal(123_456)
    expect(keys.diskBytesOf(rows[0]!)).to.equal(0)
  })

  it('are told apart by each byte of the hash and of the fingerprint', () => {
    const keys = new AnsweredKeys()
    const key = keyOf(1)
    const row = keys.add(key, answers[0]!)
    const changed = (text: string, at: number): string =>
      text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1)
    for (let at = 0; at < 16; at++) expect(keys.find(changed(key.hash, at))).to.equal(-1)
    for (let at = 0; at < 8; at++) expect(keys.isOf(row, changed(key.fingerprint, at))).to.equal(false)
  })

  for (const seed of [1, 2, 3])
    it(`are those of a map, whatever is added, deleted and expired, seed ${seed}`, () => {
      const random = randomFrom(seed)
      const keys = new AnsweredKeys()
      const model = new Map<number, { atMs: number; answer: AnswerOrPlace }>()
      let nowMs = 1_000_000
      const numberOf = (hash: string): number =>
        [...model.keys()].find(number => keyOf(number).hash === hash) ?? Number.NaN
      for (let step = 0; step < 12_000; step++) {
        nowMs += 1
        const number = Math.floor(random() * 5_000)
        const row = keys.find(keyOf(number).hash)
        expect(row >= 0).to.equal(model.has(number))
        if (row < 0) {
          const answer = answers[step % 200 === 0 ? 4 : step % 4]!
          keys.add(keyOf(number, nowMs), answer)
          model.set(number, { atMs: nowMs, answer })
        } else if (random() < 0.5) {
          keys.delete(row)
          model.delete(number)
        } else {
          expect(keys.atMsOf(row)).to.equal(model.get(number)!.atMs)
          expect(keys.answerOf(row)).to.deep.equal(withoutLines(model.get(number)!.answer))
        }
        if (step % 1_000 === 0) {
          for (const { hash, row: expired } of keys.expired(nowMs - 2_000)) {
            const known = numberOf(hash)
            expect(model.get(known)!.atMs).to.be.below(nowMs - 2_000)
            keys.delete(expired)
            model.delete(known)
          }
          expect([...model.values()].every(({ atMs }) => atMs >= nowMs - 2_000)).to.equal(true)
        }
        expect(keys.size).to.equal(model.size)
        expect(keys.firstAtMs).to.equal(model.values().next().value?.atMs)
      }
    })

  it('use no memory of keys that have expired', () => {
    const keys = new AnsweredKeys()
    const empty = keys.allocatedBytes
    for (let number = 0; number < 20_000; number++) keys.add(keyOf(number, number), answers[3]!)
    expect(keys.allocatedBytes).to.be.above(2_000_000)
    for (const { row } of keys.expired(20_000)) keys.delete(row)
    expect(keys.size).to.equal(0)
    expect(keys.allocatedBytes - empty).to.be.at.most(CHUNK_BYTES)
    // The numbers of chunks are used again.
    for (let number = 0; number < 20_000; number++) {
      const row = keys.add(keyOf(number, number), answers[3]!)
      expect(row).to.be.below(20 * (CHUNK_BYTES / 8))
    }
  })

  it('use about the memory that is counted for them', () => {
    const keys = new AnsweredKeys()
    let counted = 0
    for (let number = 0; number < 50_000; number++) counted += keys.memoryOf(keys.add(keyOf(number), answers[3]!))
    expect(keys.allocatedBytes / counted).to.be.within(0.9, 1.1)
  })
})

describe('the index of rows', () => {
  it('does not compare keys whose hashes were chosen to begin alike', () => {
    const index = new RowIndex()
    const count = 2_000
    // The first word of all is the same, and so is the last byte of the second one.
    const secondOf = (number: number): number => (number * 256) >>> 0
    for (let number = 0; number < count; number++) index.add(7, secondOf(number), number)
    let compared = 0
    for (let number = 0; number < count; number++) {
      const found = index.find(7, secondOf(number), row => {
        compared++
        return row === number
      })
      expect(found).to.equal(number)
    }
    expect(compared).to.be.below(2 * count)
  })

  it('finds rows whose words are the same or lie beside each other, while others are deleted', () => {
    const index = new RowIndex()
    const wordOf = (row: number): number => (0xfffffff0 + (row >> 3)) >>> 0
    const has = (row: number): boolean => index.find(wordOf(row), 7, found => found === row) === row
    for (let row = 0; row < 200; row++) index.add(wordOf(row), 7, row)
    const random = randomFrom(9)
    const left = new Set(Array.from({ length: 200 }, (_, row) => row))
    while (left.size > 0) {
      const row = [...left][Math.floor(random() * left.size)]!
      index.delete(wordOf(row), 7, row)
      left.delete(row)
      for (let other = 0; other < 200; other++) expect(has(other)).to.equal(left.has(other))
    }
    index.delete(0, 7, 5)
    expect(index.find(0, 7, () => true)).to.equal(-1)
  })

  it('keeps the largest row that there can be', () => {
    const index = new RowIndex()
    index.add(0, 0, 2 ** 32 - 2)
    expect(index.find(0, 0, () => true)).to.equal(2 ** 32 - 2)
  })
})
