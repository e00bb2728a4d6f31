import { expect } from 'chai'
import { APPEND_GROUP_BYTES, AppendGroups } from '../../../src/producer/log/append-groups.js'

type Waiter = readonly [chunk: number, offset: number]

describe('entries that wait for the disk', () => {
  const KIB = 1024
  let groups: AppendGroups<Waiter>
  beforeEach(() => (groups = new AppendGroups()))
  const add = (sizeBytes: number) => groups.add(sizeBytes, (chunk, offset) => [chunk, offset])

  it('have a piece of their own size when they are larger', () => {
    add(10)
    const large = add(256 * KIB + 1)
    expect(large.bytes).to.have.length(256 * KIB + 1)
    add(20)
    const { sizeBytes, chunks, waiters } = groups.take()!
    expect(sizeBytes).to.equal(10 + 256 * KIB + 1 + 20)
    expect(waiters).to.deep.equal([
      [0, 0],
      [1, 0],
      [2, 0]
    ])
    expect(chunks.map(({ bytes }) => bytes.length)).to.deep.equal([256 * KIB, 256 * KIB + 1, 256 * KIB])
  })

  it('get the memory of former groups again, but no odd sizes, and no more than two groups fill', () => {
    const chunks = Array.from({ length: 100 }, () => Buffer.alloc(256 * KIB))
    const odd = Buffer.alloc(256 * KIB + 1)
    groups.reuse([odd, ...chunks.map(chunk => chunk.subarray(0, 5))])
    for (let at = 0; at < 100; at++) add(256 * KIB)
    const given: Buffer[] = []
    for (let group = groups.take(); group; group = groups.take()) given.push(...group.chunks.map(({ bytes }) => bytes))
    expect(given.every(({ length }) => length === 256 * KIB)).to.equal(true)
    const kept = new Set<unknown>(chunks.map(({ buffer }) => buffer))
    expect(given.filter(({ buffer }) => kept.has(buffer))).to.have.length(64)
  })

  it('are a group of their own once the last one has 8 MiB, and are taken oldest first', () => {
    add(APPEND_GROUP_BYTES - 1)
    add(1)
    add(5)
    add(6)
    expect(groups.waitingBytes).to.equal(APPEND_GROUP_BYTES + 11)
    const first = groups.take()!
    expect([first.sizeBytes, first.chunks.length]).to.deep.equal([APPEND_GROUP_BYTES, 2])
    expect(groups.waitingBytes).to.equal(11)
    const second = groups.take()!
    expect([second.sizeBytes, second.chunks.length]).to.deep.equal([11, 1])
    expect(second.waiters).to.deep.equal([
      [0, 0],
      [0, 5]
    ])
    expect([groups.waitingBytes, groups.take(), groups.isEmpty]).to.deep.equal([0, undefined, true])
  })

  it('never come into a group that was taken', () => {
    add(5)
    const taken = groups.take()!
    add(7)
    expect([taken.sizeBytes, taken.waiters.length]).to.deep.equal([5, 1])
    expect([groups.waitingBytes, groups.take()!.sizeBytes, groups.waitingBytes]).to.deep.equal([7, 7, 0])
  })
})
