import { expect } from 'chai'
import { AnsweredKeys, type AnswerOrPlace } from '../../../src/producer/keys/answered-keys.js'
import type { KeyName } from '../../../src/producer/keys/key-frames.js'
import { RowIndex } from '../../../src/producer/keys/row-index.js'

const CHUNK_BYTES = 256 * 1024
const INDEX_BYTES = 20

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
  let keys: AnsweredKeys
  let used: { memoryBytes: number; diskBytes: number }
  beforeEach(() => {
    used = { memoryBytes: 0, diskBytes: 0 }
    keys = new AnsweredKeys({
      use: (_, memoryBytes, diskBytes = 0) => {
        used.memoryBytes += memoryBytes
        used.diskBytes += diskBytes
      }
    })
  })
  const answerTo = (number: number, sinceMs = 0) => {
    const { hash, fingerprint } = keyOf(number)
    return keys.answerTo(hash, fingerprint, sinceMs)
  }

  it('are given as they were kept', () => {
    for (const [number, answer] of answers.entries()) keys.add(keyOf(number), answer)
    for (const [number, answer] of answers.entries()) {
      const { hash, atMs } = keyOf(number)
      expect(answerTo(number)).to.deep.equal(withoutLines(answer))
      expect(answerTo(number, atMs)).to.deep.equal(withoutLines(answer))
      expect(keys.answerTo(hash, keyOf(number + 1).fingerprint, 0)).to.equal('conflict')
    }
    expect(used.diskBytes).to.equal(123_456)
    expect(answerTo(0, keyOf(0).atMs + 1)).to.equal(undefined)
    expect(keys.has(keyOf(0).hash)).to.equal(false)
    for (const number of answers.keys()) keys.delete(keyOf(number).hash)
    expect([used, keys.size]).to.deep.equal([{ memoryBytes: 0, diskBytes: 0 }, 0])
  })

  it('are told apart by each byte of the hash and of the fingerprint', () => {
    const { hash, fingerprint, atMs } = keyOf(1)
    keys.add({ hash, fingerprint, atMs }, answers[0]!)
    const changed = (text: string, at: number): string =>
      text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1)
    for (let at = 0; at < 16; at++) expect(keys.has(changed(hash, at))).to.equal(false)
    for (let at = 0; at < 8; at++) expect(keys.answerTo(hash, changed(fingerprint, at), 0)).to.equal('conflict')
  })

  for (const seed of [1, 2, 3])
    it(`are those of a map, whatever is added, deleted and expired, seed ${seed}`, () => {
      const random = randomFrom(seed)
      const model = new Map<number, { atMs: number; answer: AnswerOrPlace }>()
      let nowMs = 1_000_000
      for (let step = 0; step < 12_000; step++) {
        nowMs += 1
        const number = Math.floor(random() * 5_000)
        const known = model.get(number)
        expect(answerTo(number)).to.deep.equal(known && withoutLines(known.answer))
        if (known === undefined) {
          const answer = answers[step % 200 === 0 ? 4 : step % 4]!
          keys.add(keyOf(number, nowMs), answer)
          model.set(number, { atMs: nowMs, answer })
        } else if (random() < 0.25) {
          keys.delete(keyOf(number).hash)
          model.delete(number)
        }
        if (step % 1_000 === 0) {
          const expired = [...model].filter(([, { atMs }]) => atMs < nowMs - 2_000).map(([key]) => key)
          expect(keys.expire(nowMs - 2_000, 100)).to.equal(expired.length > 100)
          if (step % 2_000 === 0) while (keys.expire(nowMs - 2_000, 100));
          for (const key of step % 2_000 === 0 ? expired : expired.slice(0, 100)) model.delete(key)
        }
        expect(keys.size).to.equal(model.size)
        expect(keys.firstAtMs).to.equal(model.values().next().value?.atMs)
      }
    })

  it('use about the memory that is counted for them, and none when they have expired', () => {
    // The numbers of chunks are used again.
    for (let round = 0; round < 3; round++) {
      for (let number = 0; number < 50_000; number++) keys.add(keyOf(number, number), answers[3]!)
      expect(keys.allocatedBytes / (used.memoryBytes - 50_000 * INDEX_BYTES)).to.be.within(0.95, 1.1)
      expect(keys.expire(50_000, 50_000)).to.equal(false)
      expect(keys.size).to.equal(0)
      expect(keys.allocatedBytes).to.be.at.most(CHUNK_BYTES)
    }
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
