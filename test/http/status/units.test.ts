import { expect } from 'chai'
import { instantText } from '../../../src/http/status/units.js'
import { ODD_TIMES } from '../../support/odd-times.js'

describe('an instant for people', () => {
  it('has its day where that is another one than today', () => {
    const now = '2026-11-20T21:00:00.000Z'
    expect(instantText(now, now)).to.equal('21:00:00 UTC')
    expect(instantText(Date.parse(now), '2026-11-21T00:00:00.000Z')).to.equal('2026-11-20 21:00:00 UTC')
  })

  it('is the number itself where its year has more than four digits, or is before 0', () => {
    for (const { timestampMs, iso } of ODD_TIMES) {
      const number = Number(timestampMs)
      const text = iso === null ? `timestamp ${number}` : `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC`
      expect(instantText(number, '2026-11-20T21:00:00.000Z'), `${timestampMs}`).to.equal(text)
    }
  })
})
