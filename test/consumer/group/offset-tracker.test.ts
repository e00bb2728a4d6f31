import { expect } from 'chai'
import * as fc from 'fast-check'
import { decodeAcks, encodeAcks } from '../../../src/consumer/group/ack-encoding.js'
import { OffsetTracker } from '../../../src/consumer/group/offset-tracker.js'

const ACK_TIMEOUT_MS = 100
const trackerAt = (offset: number, metadata = '', maxRetries = -1): OffsetTracker =>
  new OffsetTracker({ offset, metadata }, { ackTimeoutMs: ACK_TIMEOUT_MS, maxRetries })

/** Acknowledged ranges relative to the committed offset, as Kafka-Pixy prints them: `1-4,6-8`. */
const sparse = ({ position }: OffsetTracker): string =>
  decodeAcks(position.offset, position.metadata)!
    .map(({ from, to }) => `${from - position.offset}-${to - position.offset}`)
    .join()

describe('offset tracker', () => {
  it('counts the offsets of a range that are not acknowledged', () => {
    const tracker = trackerAt(300)
    for (const offset of [302, 303, 310]) tracker.acked(offset)
    expect(tracker.openIn(290, 320)).to.equal(17)
    expect(tracker.openIn(303, 311)).to.equal(6)
    expect(tracker.openIn(302, 304)).to.equal(0)
    expect(tracker.openIn(100, 200)).to.equal(0)
  })

  it('pixy O1 builds ranges from acks in any order, and every state survives encoding', () => {
    let tracker = trackerAt(300)
    const acked = (...offsets: number[]): string => {
      for (const offset of offsets) tracker.acked(offset)
      const { position } = tracker
      tracker = trackerAt(position.offset, position.metadata)
      expect(tracker.position).to.deep.equal(position)
      return `${position.offset} ${sparse(tracker)}`
    }
    expect(tracker.acked(299)).to.equal(false)
    expect(acked()).to.equal('300 ')
    expect(acked(300)).to.equal('301 ')
    expect(acked(302, 310, 311, 307, 305, 304)).to.equal('301 1-2,3-5,6-7,9-11')
    expect(tracker.acked(305)).to.equal(false)
    expect(acked(308, 303, 309, 306)).to.equal('301 1-11')
    expect(acked(301)).to.equal('312 ')
    // Offsets are numbers here, so the largest is 2^53.
    const farthest = Number.MAX_SAFE_INTEGER - 1
    expect(acked(398, 399, 4_496, farthest)).to.equal(`312 86-88,4184-4185,${farthest - 312}-${farthest - 311}`)
  })

  it('pixy O3 writes ranges as Kafka-Pixy does', () => {
    const ranges = [
      { from: 302, to: 305 },
      { from: 307, to: 309 },
      { from: 310, to: 313 }
    ]
    expect(encodeAcks(301, ranges)).to.equal('BDCCBD')
    expect(decodeAcks(301, 'BDCCBD')).to.deep.equal(ranges)
    expect(
      encodeAcks(0, [
        { from: 1, to: 2 },
        { from: 99, to: 100 }
      ])
    ).to.equal('BBhDB')
    const distances = fc.array(fc.tuple(fc.integer({ min: 1, max: 2 ** 40 }), fc.integer({ min: 1, max: 2 ** 40 })), {
      maxLength: 50
    })
    fc.assert(
      fc.property(fc.nat(), distances, (base, pairs) => {
        let end = base
        const written = pairs.map(([distance, length]) => {
          const from = end + distance
          end = from + length
          return { from, to: end }
        })
        expect(decodeAcks(base, encodeAcks(base, written))).to.deep.equal(written)
      })
    )
  })

  it('pixy O4 takes nothing from what is no such encoding', () => {
    const odd = [
      'B',
      'BA',
      'AB',
      'BBBA',
      'BBAB',
      'Bh',
      'hB',
      'B!',
      '!B',
      'BB!B',
      'BBB!',
      'BBB',
      'BB ',
      'BBhhhhhhhhhhhhhhhB'
    ]
    for (const text of odd) expect(decodeAcks(0, text), text).to.equal(undefined)
  })

  it('pixy O5 keeps the offset where the metadata is of somebody else', () => {
    expect(trackerAt(7, 'foo bar').position).to.deep.equal({ offset: 7, metadata: '' })
  })

  it('pixy O6 knows what is acknowledged, and what comes next that is not', () => {
    const tracker = trackerAt(
      301,
      encodeAcks(301, [
        { from: 302, to: 305 },
        { from: 307, to: 309 },
        { from: 310, to: 313 }
      ])
    )
    const states = [299, 300, 301, 302, 303, 304, 305, 306, 307, 308, 309, 310, 311, 312, 313, 314]
    expect(states.map(offset => tracker.isAcked(offset))).to.deep.equal([
      true,
      true,
      false,
      true,
      true,
      true,
      false,
      false,
      true,
      true,
      false,
      true,
      true,
      true,
      false,
      false
    ])
    expect(states.map(offset => tracker.nextNotAcked(offset))).to.deep.equal([
      301, 301, 301, 305, 305, 305, 305, 306, 309, 309, 309, 313, 313, 313, 313, 314
    ])
  })

  it('pixy O7 counts what is offered and not acknowledged, in whatever order', () => {
    const tracker = trackerAt(300)
    for (const offset of [302, 300, 301]) tracker.offered(offset, 0)
    expect(tracker.pending).to.equal(3)
    tracker.offered(301, 0)
    expect(tracker.pending).to.equal(3)
    tracker.acked(301)
    tracker.offered(301, 0)
    expect([tracker.pending, tracker.isAcquired(301), tracker.isAcquired(302)]).to.deep.equal([2, false, true])
    tracker.acked(305)
    expect(tracker.pending).to.equal(2)
    tracker.acked(300)
    tracker.acked(302)
    expect([tracker.pending, tracker.position.offset]).to.deep.equal([0, 303])
    expect(sparse(tracker)).to.equal('2-3')
  })

  it('lets no time run for a message that was released while it was read again, and then held', () => {
    const tracker = trackerAt(300)
    tracker.offered(300, 0)
    const { serial } = tracker.nextRetry(ACK_TIMEOUT_MS + 1, () => undefined)!
    tracker.released(300, serial)
    tracker.giveToTransaction(300)
    tracker.notAcquiredAgain(300, serial, 0)
    expect(tracker.nextDeadlineAt).to.equal(undefined)
  })

  describe('offering again', () => {
    const retries = (tracker: OffsetTracker, now: number): number | undefined =>
      tracker.nextRetry(now, () => {})?.offset

    it('pixy O8 happens strictly after the deadline, in order, and the deadline starts anew', () => {
      const tracker = trackerAt(300)
      tracker.offered(300, 0)
      tracker.offered(301, 10)
      tracker.offered(302, 20)
      expect(retries(tracker, 100)).to.equal(undefined)
      expect(retries(tracker, 101)).to.equal(300)
      expect(retries(tracker, 101)).to.equal(undefined)
      expect(retries(tracker, 111)).to.equal(301)
      tracker.acked(302)
      expect(retries(tracker, 201)).to.equal(undefined)
      expect(retries(tracker, 202)).to.equal(300)
      expect(retries(tracker, 212)).to.equal(301)
      expect([300, 301].map(offset => tracker.offerOf(offset)?.retries)).to.deep.equal([2, 2])
    })

    it('pixy O9 tells how long acks may still come', () => {
      const tracker = trackerAt(300)
      expect(tracker.waitMs(0)).to.equal(0)
      tracker.offered(300, 0)
      tracker.offered(301, 30)
      expect([tracker.waitMs(40), tracker.waitMs(110), tracker.waitMs(131)]).to.deep.equal([90, 20, 0])
    })
  })

  it('metadata stays within what brokers take, however much was acknowledged out of order', () => {
    const tracker = trackerAt(0)
    for (let offset = 1; offset < 20_000; offset += 2) tracker.acked(offset)
    expect(tracker.position.metadata.length).to.be.within(3_900, 4_000)
    expect(decodeAcks(0, tracker.position.metadata)![0]).to.deep.equal({ from: 1, to: 2 })
  })

  it('takes many acks at once as it takes them one by one', () => {
    const offsets = fc.uniqueArray(fc.nat(12))
    fc.assert(
      fc.property(offsets, offsets, fc.array(fc.nat(12)), (offered, held, acked) => {
        const prepared = () => {
          const tracker = trackerAt(0)
          for (const offset of offered) tracker.offered(offset, 0)
          for (const offset of held) if (tracker.isAcquired(offset)) tracker.giveToTransaction(offset)
          const offers = acked.map(offset => ({ offset, serial: tracker.offerOf(offset)?.serial ?? 0 }))
          return { tracker, offers }
        }
        const one = prepared()
        const takes = ({ offset, serial }: (typeof one.offers)[number]): boolean =>
          one.tracker.takesAckOf(offset, serial) && one.tracker.acked(offset)
        const isNew = one.offers.filter(takes).length > 0
        const all = prepared()
        expect(all.tracker.ackedAll(all.offers)).to.equal(isNew)
        expect(all.tracker.position).to.deep.equal(one.tracker.position)
        expect(all.tracker.pending).to.equal(one.tracker.pending)
      })
    )
  })

  it('is right about any acks in any order', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 40 })), acks => {
        const tracker = trackerAt(5)
        for (const offset of acks) tracker.acked(offset)
        const known = new Set(acks.filter(offset => offset >= 5))
        let next = 5
        while (known.has(next)) next++
        expect(tracker.position.offset).to.equal(next)
        for (let offset = 0; offset < 45; offset++) {
          expect(tracker.isAcked(offset), String(offset)).to.equal(offset < next || known.has(offset))
        }
      })
    )
  })
})
