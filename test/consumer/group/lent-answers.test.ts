import { expect } from 'chai'
import { stub } from 'sinon'
import type { ConsumedMessages, ConsumeManyResult } from '../../../src/consumer/group/consume-result.js'
import { TopicConsumer } from '../../../src/consumer/group/topic-consumer.js'
import { turns } from '../../support/ticks.js'
import { SilentGroups } from './groups-stage.js'

const LENT: ConsumedMessages = { messages: [], ack: () => undefined, release: () => undefined }

/** The coordinator of the group does not answer, so no partition is read here. */
describe('requests of a group that another gateway answers', () => {
  let stage: SilentGroups
  let groups: SilentGroups['groups']
  let told: string[]
  beforeEach(async () => {
    told = []
    stage = new SilentGroups()
    groups = stage.groups
    const lending = { isWanted: false, waits: () => told.push('waits'), atHand: () => undefined }
    groups.lending = { of: () => lending }
    for (const name of ['ann', 'bob']) {
      const reply = ({ type }: ConsumeManyResult): void => void told.push(`${name}: ${type}`)
      groups.requestMany('billing', 'orders', { maxMessages: 1, maxBytes: 1 }, 3_000, { reply })
    }
    await turns(3)
  })
  afterEach(() => stage.restore())

  it('have begun the topic with the answer: no partition of it is begun at its end any more', async () => {
    expect(told.splice(0)).to.deep.equal(['waits', 'waits'])
    const [ann, bob] = groups.waitingFor('billing', 'orders')
    expect(groups.beginningOf('billing', 'orders', undefined).atEarliest).to.equal(false)
    expect(groups.answer('billing', 'orders', ann!, LENT)).to.equal(true)
    expect(groups.beginningOf('billing', 'orders', undefined).atEarliest).to.equal(true)
    expect(groups.waitingFor('billing', 'orders')).to.deep.equal([bob])
    // It is not held for the start of the group any more.
    await stage.pass(3_100)
    expect(told).to.deep.equal(['ann: messages', 'bob: timedOut'])
  })

  it('do not wait for a group that does not lend for long, which takes back what it lends late', async () => {
    let released = 0
    const lend = stub(TopicConsumer.prototype, 'lend').returns({ ...LENT, release: () => released++ })
    try {
      const lent: unknown[] = []
      void groups
        .lend('billing', 'orders', { maxMessages: 1, maxBytes: 1, maxMessageBytes: 1 })
        .then(one => lent.push(one))
      stage.clock.tick(9_999)
      await Promise.resolve()
      expect(lent).to.deep.equal([])
      stage.clock.tick(1)
      await turns(3)
      expect(lend.calledOnce).to.equal(true)
      expect([lent, released]).to.deep.equal([[undefined], 1])
    } finally {
      lend.restore()
    }
  })

  it('wait for what is on its way when their time is over, and are told at once that it brings nothing', async () => {
    const [ann, bob] = groups.waitingFor('billing', 'orders')
    groups.answer('billing', 'orders', bob!, LENT)
    groups.holdForTake(ann!)
    told = []
    await stage.pass(3_100)
    expect(told).to.deep.equal([])
    groups.endTake('billing', 'orders', ann!)
    groups.holdForTake(ann!)
    await turns(3)
    expect(told, 'another gateway is asked').to.deep.equal([])
    groups.endTake('billing', 'orders', ann!)
    await turns(3)
    expect(told).to.deep.equal(['ann: timedOut'])
  })
})
