import { expect } from 'chai'
import { AppendGroups, GROUP_BYTES } from '../../../src/producer/log/append-groups.js'

type Waiter = readonly [chunk: number, offset: number]

describe('entries that wait for the disk', () => {
  const KIB = 1024
  let given: number[]
  let groups: AppendGroups<Waiter>
  beforeEach(() => {
    given = []
    groups = new AppendGroups(sizeBytes => {
      given.push(sizeBytes)
      return Buffer.alloc(sizeBytes)
    })
  })
  const add = (sizeBytes: number) => groups.add(sizeBytes, (chunk, offset) => [chunk, offset])

  it('have a piece of their own size when they are larger', () => {
    add(10)
    const large = add(256 * KIB + 1)
    expect(large.bytes).to.have.length(256 * KIB + 1)
    add(20)
    expect(given).to.deep.equal([256 * KIB, 256 * KIB + 1, 256 * KIB])
    expect(groups.oldest).to.include({ sizeBytes: 10 + 256 * KIB + 1 + 20, chunkCount: 3 })
  })

  it('are a group of their own once the last one has 8 MiB, and are taken oldest first', () => {
    add(GROUP_BYTES - 1)
    add(1)
    add(5)
    add(6)
    expect(groups.waitingBytes).to.equal(GROUP_BYTES + 11)
    expect(groups.oldest).to.include({ sizeBytes: GROUP_BYTES })
    const first = groups.take()!
    expect(first).to.include({ sizeBytes: GROUP_BYTES, chunkCount: 2 })
    expect(groups.waitingBytes).to.equal(11)
    expect(groups.oldest).to.include({ sizeBytes: 11, chunkCount: 1 })
    const second = groups.take()!
    expect(second.waiters).to.deep.equal([
      [0, 0],
      [0, 5]
    ])
    expect([groups.waitingBytes, groups.take(), groups.oldest]).to.deep.equal([0, undefined, undefined])
  })

  it('never come into a group that was taken', () => {
    add(5)
    const taken = groups.take()!
    add(7)
    expect(taken).to.include({ sizeBytes: 5, chunkCount: 1 })
    expect(taken.waiters).to.have.length(1)
    expect(groups.waitingBytes).to.equal(7)
  })
})
