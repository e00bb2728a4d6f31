import { expect } from 'chai'
import { type Sample, wayOf } from '../../../src/http/page/way.js'
import { NOTHING, type Status } from '../../../src/http/status/status.js'
import { calm } from '../status/calm.js'

describe('the way of a record, on the page', () => {
  /** A look after so many batches that went to Kafka, and further requests that did not get so far. */
  const look = (at: number, batches: number, refused = 0): Sample => {
    const sum = { count: batches, seconds: batches / 100 }
    const requests = { count: batches + refused, seconds: 0 }
    const way = { ...NOTHING.way, request: requests, body: requests, router: sum, broker: sum }
    return { at, status: { ...calm, trouble: [], way } satisfies Status }
  }
  const whenOf = (...samples: readonly Sample[]) => wayOf(samples)?.when

  it('covers all records since the start at the first look', () => {
    expect(whenOf(look(0, 20))).to.equal('since the start')
  })

  it('names the time that it covers', () => {
    expect(whenOf(look(0, 20), look(2_000, 21))).to.equal('of the last 2 s')
    expect(whenOf(look(0, 20), look(2_000, 20), look(4_100, 20))).to.equal(
      'since the start; nothing was sent in the last 4 s'
    )
    const minute = Array.from({ length: 40 }, (_, index) => look(index * 2_000, 20))
    expect(whenOf(...minute)).to.equal('since the start; nothing was sent in the last minute')
    expect(whenOf(...minute, look(80_000, 21))).to.equal('of the last minute')
  })

  it('forgets what it saw before the page was hidden for an hour', () => {
    expect(whenOf(look(0, 20), look(2_000, 21), look(3_600_000, 21))).to.equal('since the start')
  })

  it('is not shown while no record was sent to Kafka, whatever was refused', () => {
    expect(wayOf([look(0, 0, 20)])).to.equal(undefined)
    expect(whenOf(look(0, 20), look(2_000, 20, 5))).to.equal('since the start; nothing was sent in the last 2 s')
  })

  it('covers all records since the start when a new start has taken the numbers away', () => {
    expect(whenOf(look(0, 20), look(2_000, 5))).to.equal('since the start')
    expect(wayOf([look(0, 20), look(2_000, 5)])!.stages.find(({ name }) => name === 'Broker')!.ms).to.equal(10)
  })
})
