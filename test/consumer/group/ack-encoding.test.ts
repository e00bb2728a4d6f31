import { expect } from 'chai'
import {
  acksIn,
  decodeAcks,
  isOfAnother,
  markIn,
  markOf,
  withMark,
  withoutMark
} from '../../../src/consumer/group/ack-encoding.js'

const [ONE, OTHER] = ['AAECAwQFBgcICQoLDA0ODw', '_____________________w']
const POSITION = { offset: 301, metadata: 'BDCCBD' }
const ACKED = [
  { from: 302, to: 305 },
  { from: 307, to: 309 },
  { from: 310, to: 313 }
]

describe('the mark of a topic in a committed offset', () => {
  for (const topicId of [ONE, OTHER]) {
    it(`is read as it was written, and the acknowledgements beside it (${topicId})`, () => {
      const marked = withMark(POSITION, topicId)
      expect([markIn(marked), marked.offset]).to.deep.equal([markOf(topicId), 301])
      expect(acksIn(marked)).to.deep.equal(ACKED)
      expect(withoutMark(marked)).to.deep.equal(POSITION)
      expect(withoutMark(withMark({ offset: 7, metadata: '' }, topicId))).to.deep.equal({ offset: 7, metadata: '' })
    })

    it(`is for Kafka-Pixy one more acknowledged offset, which no log reaches (${topicId})`, () => {
      const ranges = decodeAcks(301, withMark(POSITION, topicId).metadata)!
      expect(ranges.slice(0, 3)).to.deep.equal(ACKED)
      expect(ranges.slice(3)).to.deep.equal([{ from: markOf(topicId), to: markOf(topicId)! + 1 }])
      expect(ranges[3]!.from).to.be.within(2 ** 52, Number.MAX_SAFE_INTEGER - 1)
    })
  }

  it('tells incarnations of a topic apart, and nothing where one of them is not known', () => {
    expect(isOfAnother(markOf(ONE), OTHER)).to.equal(true)
    expect(isOfAnother(markOf(ONE), ONE)).to.equal(false)
    expect(isOfAnother(markOf(ONE), undefined)).to.equal(false)
    expect(isOfAnother(undefined, ONE)).to.equal(false)
  })

  it('is not there without a topic id, and not in the metadata of other clients', () => {
    expect(withMark(POSITION, undefined)).to.deep.equal(POSITION)
    for (const metadata of ['', 'BDCCBD', 'V1|CONSUMER_METADATAx', 'free text']) {
      expect(markIn({ offset: 5, metadata })).to.equal(undefined)
      expect(withoutMark({ offset: 5, metadata })).to.deep.equal({ offset: 5, metadata })
    }
  })

  it('takes no more than 13 characters', () => {
    const { metadata } = withMark({ offset: 0, metadata: '' }, OTHER)
    expect(metadata.length).to.be.at.most(13)
  })
})
