import { expect } from 'chai'
import { ageMsOf, exactTimestamp, isInstant, isoOf } from '../../src/core/instants.js'
import { ODD_TIMES } from '../support/odd-times.js'

describe('instants', () => {
  it('have a text in the years 0000 to 9999 alone', () => {
    for (const { timestampMs, iso } of ODD_TIMES) {
      expect(isoOf(Number(timestampMs)), `${timestampMs}`).to.equal(iso)
      expect(isInstant(Number(timestampMs)), `${timestampMs}`).to.equal(iso !== null)
    }
    expect(isoOf(0)).to.equal('1970-01-01T00:00:00.000Z')
    expect(isoOf(-62_167_219_200_000)).to.equal('0000-01-01T00:00:00.000Z')
    for (const none of [-62_167_219_200_001, Number.NaN, Infinity, -Infinity]) expect(isoOf(none)).to.equal(null)
    for (const none of ['0', null, undefined, {}, 0n]) expect(isInstant(none)).to.equal(false)
  })

  it('are told as a number where it has them exactly', () => {
    for (const { timestampMs, number } of ODD_TIMES)
      expect(exactTimestamp(Number(timestampMs)), `${timestampMs}`).to.equal(number)
    expect(exactTimestamp(2 ** 53)).to.equal(null)
  })

  it('have an age from 1970 on, unless they are ahead', () => {
    const now = 1_000
    for (const [timestampMs, age] of [
      [0, 1_000],
      [1_000, 0],
      [1_001, null],
      [-1, null],
      [Number.NaN, null]
    ] as const)
      expect(ageMsOf(timestampMs, now), `${timestampMs}`).to.equal(age)
  })
})
