import { expect } from 'chai'
import * as fc from 'fast-check'
import type { AcquiredMessage, ConsumedMessages, TopicOffers } from '../../../src/consumer/group/consume-result.js'
import { type GivenBatch, GivenMessages } from '../../../src/consumer/group/given-messages.js'
import { fakeRecord } from '../../support/fake-batch.js'

const COUNT = 4

/** A batch of a loop, and what the group was told of its messages. */
class Stage {
  readonly told: string[] = []
  readonly all = new GivenMessages()
  readonly batch: GivenBatch

  /** @param isAsked one of its messages is asked for at once */
  constructor(isAsked: boolean) {
    const tell = (how: string) => (taken: Iterable<readonly [number, readonly { readonly offset: number }[]]>) => {
      for (const [partition, messages] of taken)
        for (const { offset } of messages) this.told.push(`${how} ${partition}/${offset}`)
    }
    const offers = { ackAll: tell('acked'), releaseAll: tell('released'), isOpen: () => true } as unknown as TopicOffers
    const messages = Array.from({ length: COUNT }, (_, at): AcquiredMessage => {
      const place = { topic: 'orders', partition: at % 2, groupId: 'billing' }
      return { ...fakeRecord(at), ...place, serial: at, firstSerial: at, retries: 0 }
    })
    const taken = [0, 1].map(of => [of, messages.filter(({ partition }) => partition === of)] as const)
    const given: ConsumedMessages = {
      messages,
      offers,
      ack: () => offers.ackAll(taken),
      release: () => offers.releaseAll(taken)
    }
    this.batch = this.all.giveTogether(given)
    if (isAsked) this.messages.at(0)
  }

  get messages() {
    return [...this.batch]
  }
}

type Step = (stage: Stage) => void
const named = (name: string, step: Step): Step => Object.assign(step, { toString: () => name })
const step = fc.oneof(
  fc.constantFrom(
    named('ack all', ({ batch }) => batch.ack()),
    named('release all', ({ batch }) => batch.release()),
    named('end of the loop', ({ all }) => all.releaseAllBut(new Set()))
  ),
  fc.nat(COUNT - 1).map(at => named(`ack ${at}`, ({ messages }) => messages[at]!.ack())),
  fc.nat(COUNT - 1).map(at => named(`release ${at}`, ({ messages }) => messages[at]!.release()))
)

describe('a batch of messages', () => {
  it('settles the same whether a message of it was asked for before, or not', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 8 }), steps => {
        const [asked, whole] = [new Stage(true), new Stage(false)]
        for (const one of steps) {
          one(asked)
          one(whole)
          expect(whole.told).to.deep.equal(asked.told)
        }
        const stateOf = ({ batch }: Stage) => batch.messages.map(({ isAcked, isReleased }) => ({ isAcked, isReleased }))
        expect(stateOf(whole)).to.deep.equal(stateOf(asked))
      })
    )
  })

  it('tells its size, topic and partition before a message of it is asked for, and gives the same messages each time', () => {
    const { batch } = new Stage(false)
    expect([batch.length, batch.topic, batch.partition]).to.deep.equal([COUNT, 'orders', undefined])
    expect(batch.map(({ offset }, at) => [offset, at])).to.deep.equal(
      batch.messages.map(({ offset }) => [offset, offset])
    )
    expect([...batch][0]).to.equal(batch.messages[0])
  })
})
