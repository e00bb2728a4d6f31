import { expect } from 'chai'
import { MessageIds } from '../../../src/apis/arion/message-ids.js'

const random = Buffer.from('ffeeddccbbaa9988', 'hex')

/** From the beginning of the Gregorian calendar to 1970 in steps of 100 ns. Source: RFC 9562, 5.1. */
const STEPS_BEFORE_1970 = 122_192_928_000_000_000n
const LOW_END = 2n ** 32n

/** The time in an id: its lower 32 bits come first, then 16 more, then the version and the last 12. */
function stepsOf(id: string): bigint {
  const [low, middle, high] = id.split('-')
  return BigInt(`0x${high!.replace(/^1/, '')}${middle}${low}`)
}

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

  it('count steps of 100 ns from the beginning of the millisecond, over the end of the lower 32 bits', () => {
    // The last millisecond whose first step is below a multiple of 2 to the power of 32.
    const end = (STEPS_BEFORE_1970 / LOW_END + 5_000_000n) * LOW_END
    const ms = Number((end - STEPS_BEFORE_1970) / 10_000n)
    for (const start of [ms, Date.UTC(2026, 0, 1)]) {
      const ids = new MessageIds(random)
      const first = BigInt(start) * 10_000n + STEPS_BEFORE_1970
      const all = Array.from({ length: 20_001 }, () => ids.next(start))
      expect(all.findIndex((id, count) => stepsOf(id) !== first + BigInt(count))).to.equal(-1)
      expect(new Set(all.map(id => id.slice(18)))).to.deep.equal(new Set(['-bfee-ddccbbaa9988']))
      expect(stepsOf(ids.next(start + 2)), 'of a millisecond that is used up by one step').to.equal(first + 20_001n)
      expect(stepsOf(ids.next(start + 3))).to.equal(first + 30_000n)
    }
  })

  it('have the variant of the standard, and a node that no network card has', () => {
    for (const [bytes, end] of [
      ['0000000000000000', '8000-010000000000'],
      ['ffffffffffffffff', 'bfff-ffffffffffff']
    ] as const) {
      expect(new MessageIds(Buffer.from(bytes, 'hex')).next(0).slice(-17)).to.equal(end)
    }
  })
})
