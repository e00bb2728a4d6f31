import { expect } from 'chai'
import { VarintReader, VarintWriter } from '../../../src/core/varints.js'
import { SequenceRanges } from '../../../src/producer/log/outcome-frames.js'
import { SeededRandom } from '../../support/random.js'

describe('log: ranges of sequences', () => {
  it('contain every sequence that was added, written and read as well', () => {
    const random = new SeededRandom(5)
    for (let round = 0; round < 50; round++) {
      const ranges = new SequenceRanges()
      const added = Array.from({ length: 60 }, () => 1 + Math.floor(random.next() * 100_000))
      for (const first of added) ranges.add(first, first + 3)
      const writer = new VarintWriter()
      ranges.write(writer)
      const read = SequenceRanges.read(new VarintReader(writer.take()))
      for (const one of [ranges, read]) {
        for (const first of added)
          for (let at = 0; at < 4; at++) expect(one.mayHave(first + at, first + at)).to.equal(true)
        expect(one.last).to.equal(Math.max(...added) + 3)
      }
    }
  })

  it('do not contain what lies far away, as long as there are few', () => {
    const ranges = new SequenceRanges()
    ranges.add(100_000, 100_500)
    ranges.add(5, 5)
    ranges.add(100_501, 100_600)
    expect([ranges.mayHave(6, 99_999), ranges.mayHave(1, 4), ranges.mayHave(100_601, 200_000)]).to.deep.equal([
      false,
      false,
      false
    ])
    expect([ranges.mayHave(1, 5), ranges.mayHave(100_600, 100_700)]).to.deep.equal([true, true])
  })
})
