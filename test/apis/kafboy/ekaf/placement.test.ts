import { expect } from 'chai'
import { StickyPicks } from '../../../../src/apis/kafboy/ekaf/placement.js'

/** Picks whose draws the test names: numbers from 0, less than 1. */
function setUp(...draws: number[]) {
  const time = { nowMs: 0 }
  const picks = new StickyPicks(
    () => time.nowMs,
    () => draws.shift() ?? expect.fail('nothing was to be drawn')
  )
  const pick = (partitions: number, maxRecords = 2, topic = 't'): number => picks.pick(topic, partitions, maxRecords)
  return { time, pick }
}

describe('ekaf: sticky partitions', () => {
  it('stay for a second, however many records there are, and then move when there were more than so many', () => {
    const { time, pick } = setUp(0.5, 0)
    for (let at = 0; at < 10; at++) expect(pick(4)).to.equal(2)
    time.nowMs = 999
    expect(pick(4)).to.equal(2)
    time.nowMs = 1_000
    expect(pick(4)).to.equal(0)
  })

  it('stay when there were just so many, and are looked at again a second later', () => {
    const { time, pick } = setUp(0.5, 0)
    pick(4)
    pick(4)
    time.nowMs = 1_000
    expect(pick(4)).to.equal(2)
    time.nowMs = 1_999
    expect(pick(4)).to.equal(2)
    time.nowMs = 2_000
    expect(pick(4)).to.equal(0)
  })

  it('count anew behind each move', () => {
    const { time, pick } = setUp(0.5, 0)
    for (let at = 0; at < 3; at++) pick(4)
    time.nowMs = 1_000
    expect([pick(4), pick(4)]).to.deep.equal([0, 0])
    time.nowMs = 2_000
    expect(pick(4)).to.equal(0)
  })

  it('move to any other partition, never to the same one', () => {
    const moves = [0, 0.34, 0.67, 0.99].map(draw => {
      const { time, pick } = setUp(0.3, draw)
      for (let at = 0; at < 3; at++) expect(pick(4)).to.equal(1)
      time.nowMs = 1_000
      return pick(4)
    })
    expect(moves).to.deep.equal([0, 2, 3, 3])
  })

  it('stay where there is no other one', () => {
    const { time, pick } = setUp(0.9)
    for (let at = 0; at < 3; at++) expect(pick(1)).to.equal(0)
    time.nowMs = 1_000
    expect(pick(1)).to.equal(0)
  })

  it('move at once when the partition is not there any more', () => {
    const { pick } = setUp(0.99, 0.99)
    expect(pick(4)).to.equal(3)
    expect(pick(3)).to.equal(2)
  })

  it('are each topic’s own', () => {
    const { pick } = setUp(0, 0.99)
    expect([pick(4, 2, 't'), pick(4, 2, 'u'), pick(4, 2, 't')]).to.deep.equal([0, 3, 0])
  })

  it('are remembered of a thousand topics; that is forgotten which was chosen first', () => {
    const { pick } = setUp(...new Array<number>(1_001).fill(0), 0.99)
    for (let at = 0; at < 1_001; at++) pick(4, 2, `t${at}`)
    expect([pick(4, 2, 't1'), pick(4, 2, 't0')]).to.deep.equal([0, 3])
  })
})
