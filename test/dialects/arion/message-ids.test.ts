import { expect } from 'chai'
import { MessageIds } from '../../../src/dialects/arion/message-ids.js'

const random = Buffer.from('ffeeddccbbaa9988', 'hex')

describe('arion message ids', () => {
  it('arion 7: are UUIDs of version 1 with the time in them', () => {
    // The id of Arion's documents, made at 2016-02-02T23:31:26.063Z.
    expect(
      new MessageIds(Buffer.from('82e7b44ee83bda87', 'hex')).next(Date.parse('2016-02-02T23:31:26.063Z'))
    ).to.match(/^13ce[0-9a-f]{4}-ca05-11e5-82e7-b54ee83bda87$/)
    expect(new MessageIds(random).next(0)).to.equal('13814000-1dd2-11b2-bfee-ddccbbaa9988')
  })

  it('arion 8: are not repeated, within a millisecond or when the clock is set back', () => {
    const ids = new MessageIds(random)
    const seen = new Set<string>()
    const now = Date.UTC(2026, 0, 1)
    for (let count = 0; count < 25_000; count++) seen.add(ids.next(now - (count % 7)))
    expect(seen.size).to.equal(25_000)
    expect(seen.has(ids.next(now + 60_000))).to.equal(false)
  })
})
