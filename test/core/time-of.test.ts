import { expect } from 'chai'
import { timeOf } from '../../src/core/time-of.js'

describe('the time of a text', () => {
  it('is that of its day, where the month has such a day', () => {
    for (const [text, iso] of [
      ['2026-02-28', '2026-02-28T00:00:00.000Z'],
      ['2026-02-28T10:00:00Z', '2026-02-28T10:00:00.000Z'],
      ['2024-02-29T10:00:00.5+01:00', '2024-02-29T09:00:00.500Z'],
      ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
      ['2026-12-31T23:59:59Z', '2026-12-31T23:59:59.000Z']
    ] as const)
      expect(new Date(timeOf(text)).toISOString(), text).to.equal(iso)
    const none = ['', 'March 7', '2026', '2026-02-29', '2026-02-30T10:00:00Z', '2100-02-29T00:00:00Z', '2026-06-31']
    for (const text of [...none, '2026-00-10', '2026-13-10', '2026-01-00', '2026-01-32', '2026-01-01Tnoon'])
      expect(timeOf(text), text).to.be.NaN
  })
})
