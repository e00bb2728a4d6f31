import { expect } from 'chai'
import type { ConsumerSettingsOverrides } from '../../src/consumer/group/settings.js'
import { GroupInstance } from '../support/group-instance.js'
import { inWorld } from '../support/in-world.js'
import { freshTopic, type TargetCluster, targetCluster } from '../support/target-cluster.js'

/** A member that is away keeps its place in the group for so long. */
const SESSION_MS = 20_000

describe('a static member that restarts', () => {
  inWorld()
  let cluster: TargetCluster
  let instances: GroupInstance[]
  let topic: string
  let other: string
  let group: string
  before(async () => (cluster = await targetCluster()))
  after(async () => await cluster.close())
  beforeEach(async () => {
    instances = []
    topic = freshTopic('orders')
    other = freshTopic('invoices')
    group = freshTopic('billing')
    await cluster.createTopic(topic, 2)
    await cluster.createTopic(other, 2)
  })
  afterEach(async () => {
    await Promise.all(instances.map(instance => instance.stop()))
  })

  const start = async (instanceId: string, settings: ConsumerSettingsOverrides = {}): Promise<GroupInstance> => {
    const quick = {
      start: 'earliest',
      partitionCheckMs: 300,
      retryBackoffMs: 100,
      sessionTimeoutMs: SESSION_MS
    } as const
    const instance = await GroupInstance.start(cluster.bootstrap, { ...quick, instanceId, ...settings })
    instances.push(instance)
    return instance
  }
  /** A static member does not leave the group when its process stops. */
  const stop = async (instance: GroupInstance): Promise<void> => {
    instances.splice(instances.indexOf(instance), 1)
    await instance.stop()
  }
  const write = async (to: string, partition: number, values: readonly string[]): Promise<void> => {
    const writer = await start('writer')
    await writer.produce(to, partition, values)
    await stop(writer)
  }
  const taken = async (instance: GroupInstance, from: string, count: number): Promise<string[]> =>
    (await instance.take(group, from, count)).map(({ value }) => String(value)).sort()

  it('and asks for another topic is offered its records', async () => {
    await write(topic, 0, ['a'])
    await write(other, 1, ['b', 'c'])
    const before = await start('one')
    expect(await taken(before, topic, 1)).to.deep.equal(['a'])
    await stop(before)
    expect(await taken(await start('one'), other, 2)).to.deep.equal(['b', 'c'])
  })

  it('and asks for another topic begins at its end where groups begin there', async () => {
    await write(other, 1, ['old'])
    const before = await start('one', { start: 'latest' })
    expect((await before.consume(group, topic, 300)).type).to.equal('timedOut')
    await stop(before)
    const after = await start('one', { start: 'latest' })
    expect((await after.consume(group, other, 300)).type).to.equal('timedOut')
    await write(other, 1, ['new'])
    expect(await taken(after, other, 1)).to.deep.equal(['new'])
  })

  it('and asks for another topic is offered its records while another member leads the group', async () => {
    await write(topic, 0, ['a'])
    await write(topic, 1, ['b'])
    await write(other, 1, ['c'])
    const leader = await start('leader')
    expect(await taken(leader, topic, 2)).to.deep.equal(['a', 'b'])
    const before = await start('one')
    expect((await before.consume(group, topic, 2_000)).type).to.equal('timedOut')
    await stop(before)
    const after = await start('one')
    expect(await taken(after, other, 1)).to.deep.equal(['c'])
    await write(topic, 0, ['d'])
    await write(topic, 1, ['e'])
    expect(await taken(leader, topic, 2), 'nobody else asks for the topic').to.deep.equal(['d', 'e'])
  })

  it('is offered the records of partitions that come later, also when it has led the group before', async () => {
    await write(topic, 0, ['a'])
    const before = await start('one')
    expect(await taken(before, topic, 1)).to.deep.equal(['a'])
    await stop(before)
    const after = await start('one')
    expect((await after.consume(group, topic, 300)).type).to.equal('timedOut')
    await cluster.growTopic(topic, 4)
    await write(topic, 3, ['b'])
    expect(await taken(after, topic, 1)).to.deep.equal(['b'])
  })
})
