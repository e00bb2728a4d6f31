import { expect } from 'chai'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

describe('a topic that a member gives up', () => {
  inWorld()
  const stage = onCluster()

  it('pixy C17 goes to a member that waits with the last acknowledgement, however seldom that one sends heartbeats', async () => {
    const [topic, group] = [await stage.topic(), freshTopic('billing')]
    // The only partition goes to the first member by name, also when the second one joins.
    const owner = { start: 'earliest', subscriptionTimeoutMs: 500, ackTimeoutMs: 60_000, revocationMs: 0 } as const
    const first = await stage.member(owner, 'a')
    const seldom = { start: 'earliest', heartbeatIntervalMs: 25_000, sessionTimeoutMs: 40_000 } as const
    const second = await stage.member(seldom, 'b')
    await first.produce(topic, 0, ['m0', 'm1'])
    const message = await first.next(group, topic)
    expect((await second.consume(group, topic, 4_000)).type).to.equal('timedOut')
    const next = second.next(group, topic, 12_000)
    message.ack()
    expect(String((await next).value)).to.equal('m1')
  })
})
