import { expect } from 'chai'
import { encodeSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import type { GroupInstance } from '../../support/group-instance.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const TIMEOUT_MS = 20_000

describe('who reads on behalf of consumer groups', () => {
  inWorld()
  const stage = onCluster()
  let topic: string
  let group: string
  beforeEach(() => {
    topic = freshTopic('orders')
    group = freshTopic('billing')
  })

  const start = (clientId: string, instanceId?: string): Promise<GroupInstance> =>
    stage.member({ start: 'earliest', ...(instanceId !== undefined && { instanceId }) }, clientId)
  const readersOf = async (asked: GroupInstance, groups: readonly string[] | 'all' = [group]) =>
    (await asked.castellan.verbs.groups.consumers(groups, TIMEOUT_MS)).get(group) ?? []
  const partitionsByClient = async (asked: GroupInstance): Promise<Record<string, readonly number[]>> =>
    Object.fromEntries((await readersOf(asked)).map(one => [one.clientId, one.partitions.get(topic) ?? []]))

  it('pixy H34 S11 is told with one member, its client id, address and partitions, also among all groups', async () => {
    await stage.cluster.createTopic(topic, 4)
    const one = await start('pixy-1', 'pod-1')
    await one.produce(topic, 0, ['m0'])
    await one.take(group, topic, 1)
    const [reader, ...others] = await readersOf(one)
    expect(others).to.deep.equal([])
    expect(reader).to.include({ clientId: 'pixy-1', instanceId: 'pod-1' })
    expect(reader!.memberId).to.match(/.-/)
    expect(reader!.clientHost).to.include('127.0.0.1')
    expect(reader!.partitions).to.deep.equal(new Map([[topic, [0, 1, 2, 3]]]))
    expect(await readersOf(one, 'all')).to.deep.equal([reader])
  })

  it('pixy H36 S7 is told with two instances that share the partitions, and without other groups', async () => {
    await stage.cluster.createTopic(topic, 4)
    const [one, two] = [await start('pixy-1'), await start('pixy-2')]
    for (const partition of [0, 1, 2, 3]) await one.produce(topic, partition, [`p${partition}`])
    await one.take(group, topic, 1)
    const waiting = two.consume(group, topic)
    const other = freshTopic('other')
    await two.take(other, topic, 1)
    let found = await partitionsByClient(one)
    while (Object.values(found).filter(({ length }) => length === 2).length < 2) found = await partitionsByClient(one)
    expect(Object.values(found).sort()).to.deep.equal([
      [0, 1],
      [2, 3]
    ])
    expect([...(await one.castellan.verbs.groups.consumers([group], TIMEOUT_MS)).keys()]).to.deep.equal([group])
    expect([...(await one.castellan.verbs.groups.consumers('all', TIMEOUT_MS)).keys()]).to.include.members([
      group,
      other
    ])
    await waiting
  })

  it('pixy H33 is nobody for a group that nobody knows, and for one that all members have left', async () => {
    await stage.cluster.createTopic(topic, 1)
    const one = await start('pixy-1')
    expect(await readersOf(one)).to.deep.equal([])
    const two = await start('pixy-2')
    await two.produce(topic, 0, ['m0'])
    await two.take(group, topic, 1)
    expect(await readersOf(one)).to.have.length(1)
    await two.stop()
    expect(await readersOf(one)).to.deep.equal([])
    expect([...(await one.castellan.verbs.groups.consumers('all', TIMEOUT_MS)).keys()]).not.to.include(group)
  })

  it('is nobody that we know of where an assignment cannot be read, or the protocol is another one', async () => {
    const one = await start('pixy-1')
    const join = async (connection: string): Promise<void> => {
      const client = one.castellan.createClient(await coordinatorOf(one), 'test')
      const asked = { groupId: group, instanceId: null, sessionTimeoutMs: 6_000, rebalanceTimeoutMs: 6_000 }
      const protocols = [{ name: 'own', metadata: encodeSubscription([topic]) }]
      const first = await client.joinGroup({ ...asked, protocols, protocolType: connection, memberId: '' })
      const joined = await client.joinGroup({ ...asked, protocols, protocolType: connection, memberId: first.memberId })
      const { memberId, generationId } = joined
      const assignments = [{ memberId, assignment: Buffer.from('??') }]
      await client.syncGroup({ groupId: group, generationId, memberId, instanceId: null, assignments })
      await client.close()
    }
    await join('consumer')
    expect((await readersOf(one)).map(({ partitions }) => partitions.size)).to.deep.equal([0])
    group = freshTopic('connectors')
    await join('connect')
    expect(await readersOf(one)).to.deep.equal([])
  })

  const coordinatorOf = async (one: GroupInstance) => {
    const [host, port] = stage.bootstrap.split(',')[0]!.split(':')
    const client = one.castellan.createClient({ host: host!, port: Number(port) }, 'test')
    for (;;) {
      const { errorCode, coordinator } = await client.findCoordinator({ groupId: group })
      if (errorCode !== 0) continue
      await client.close()
      return coordinator
    }
  }
})
