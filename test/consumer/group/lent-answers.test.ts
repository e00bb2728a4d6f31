import { expect } from 'chai'
import { type SinonFakeTimers, stub, useFakeTimers } from 'sinon'
import type { ConsumedMessages, ConsumeManyResult } from '../../../src/consumer/group/consume-result.js'
import { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import { defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { TopicConsumer } from '../../../src/consumer/group/topic-consumer.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { performanceClock } from '../../../src/core/clocks.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { defaultRecordBytes, RecordBudget } from '../../../src/core/record-budget.js'
import { turns } from '../../support/ticks.js'

const LENT: ConsumedMessages = { messages: [], ack: () => undefined, release: () => undefined }

/** The coordinator of the group does not answer, so no partition is read here. */
describe('requests of a group that another gateway answers', () => {
  let system: ActorSystem
  let groups: ConsumerGroups
  let clock: SinonFakeTimers
  let told: string[]
  beforeEach(async () => {
    clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    told = []
    system = new ActorSystem()
    groups = new ConsumerGroups({
      system,
      router: { path: 'silent', tell: () => undefined, stop: () => undefined },
      settings: defaultConsumerSettings,
      clock: () => performance.now(),
      records: new RecordBudget(defaultRecordBytes(), performanceClock),
      log: silentLogger,
      metrics: defaultLogger
    })
    const lending = { isWanted: false, waits: () => told.push('waits'), atHand: () => undefined }
    groups.lending = { of: () => lending }
    for (const name of ['ann', 'bob']) {
      const reply = ({ type }: ConsumeManyResult): void => void told.push(`${name}: ${type}`)
      groups.requestMany('billing', 'orders', { maxMessages: 1, maxBytes: 1 }, 3_000, { reply })
    }
    await turns(3)
  })
  afterEach(async () => {
    const stopped = groups.stop(0, 1)
    await clock.tickAsync(10)
    await stopped
    system.stop()
    clock.restore()
  })

  it('have begun the topic with the answer: no partition of it is begun at its end any more', async () => {
    expect(told.splice(0)).to.deep.equal(['waits', 'waits'])
    const [ann, bob] = groups.waitingFor('billing', 'orders')
    expect(groups.beginningOf('billing', 'orders', undefined).atEarliest).to.equal(false)
    expect(groups.answer('billing', 'orders', ann!, LENT)).to.equal(true)
    expect(groups.beginningOf('billing', 'orders', undefined).atEarliest).to.equal(true)
    expect(groups.waitingFor('billing', 'orders')).to.deep.equal([bob])
    await turns(3)
    // It is not held for the start of the group any more.
    await clock.tickAsync(3_100)
    await turns(3)
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
      clock.tick(9_999)
      await Promise.resolve()
      expect(lent).to.deep.equal([])
      clock.tick(1)
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
    groups.bind(ann!)
    told = []
    await turns(3)
    await clock.tickAsync(3_100)
    await turns(3)
    expect(told).to.deep.equal([])
    groups.unbind('billing', 'orders', ann!)
    groups.bind(ann!)
    await turns(3)
    expect(told, 'another gateway is asked').to.deep.equal([])
    groups.unbind('billing', 'orders', ann!)
    await turns(3)
    expect(told).to.deep.equal(['ann: timedOut'])
  })
})
