import { expect } from 'chai'
import { GroupInstance } from '../support/group-instance.js'
import { inWorld } from '../support/in-world.js'
import { freshTopic, type TargetCluster, targetCluster } from '../support/target-cluster.js'

describe('a topic that a member gives up', () => {
  inWorld()
  let cluster: TargetCluster
  const instances: GroupInstance[] = []
  before(async () => (cluster = await targetCluster()))
  after(async () => await cluster.close())
  afterEach(async () => {
    await Promise.all(instances.splice(0).map(instance => instance.stop()))
  })

  it('pixy C17 goes to a member that waits with the last acknowledgement, however seldom that one sends heartbeats', async () => {
    const [topic, group] = [freshTopic('orders'), freshTopic('billing')]
    await cluster.createTopic(topic, 1)
    // The only partition goes to the first member by name, also when the second one joins.
    const owner = { start: 'earliest', subscriptionTimeoutMs: 500, ackTimeoutMs: 60_000, revocationMs: 0 } as const
    const first = await GroupInstance.start(cluster.bootstrap, owner, 'a')
    instances.push(first)
    const seldom = { start: 'earliest', heartbeatIntervalMs: 25_000, sessionTimeoutMs: 40_000 } as const
    const second = await GroupInstance.start(cluster.bootstrap, seldom, 'b')
    instances.push(second)
    await first.produce(topic, 0, ['m0', 'm1'])
    const message = await first.next(group, topic)
    expect((await second.consume(group, topic, 4_000)).type).to.equal('timedOut')
    const next = second.next(group, topic, 12_000)
    message.ack()
    expect(String((await next).value)).to.equal('m1')
  })
})
