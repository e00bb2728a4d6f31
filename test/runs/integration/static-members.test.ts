import { expect } from 'chai'
import type { ConsumerSettingsOverrides } from '../../../src/consumer/group/settings.js'
import type { GroupInstance } from '../../support/group-instance.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

/** A member that is away keeps its place in the group for so long. */
const SESSION_MS = 20_000

describe('a static member that restarts', () => {
  inWorld()
  const stage = onCluster()
  let topic: string
  let other: string
  let group: string
  beforeEach(async () => {
    topic = await stage.topic('orders', 2)
    other = await stage.topic('invoices', 2)
    group = freshTopic('billing')
  })

  const start = (instanceId: string, settings: ConsumerSettingsOverrides = {}): Promise<GroupInstance> => {
    const quick = {
      start: 'earliest',
      partitionCheckMs: 300,
      retryBackoffMs: 100,
      sessionTimeoutMs: SESSION_MS
    } as const
    return stage.member({ ...quick, instanceId, ...settings })
  }
  const write = async (to: string, partition: number, values: readonly string[]): Promise<void> => {
    const writer = await start('writer')
    await writer.produce(to, partition, values)
    await stage.close(writer)
  }
  const taken = async (instance: GroupInstance, from: string, count: number): Promise<string[]> =>
    (await instance.take(group, from, count)).map(({ value }) => String(value)).sort()

  it('and asks for another topic is offered its records', async () => {
    await write(topic, 0, ['a'])
    await write(other, 1, ['b', 'c'])
    const before = await start('one')
    expect(await taken(before, topic, 1)).to.deep.equal(['a'])
    await stage.close(before)
    expect(await taken(await start('one'), other, 2)).to.deep.equal(['b', 'c'])
  })

  it('and asks for another topic begins at its end where groups begin there', async () => {
    await write(other, 1, ['old'])
    const before = await start('one', { start: 'latest' })
    expect((await before.consume(group, topic, 300)).type).to.equal('timedOut')
    await stage.close(before)
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
    await stage.close(before)
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
    await stage.close(before)
    const after = await start('one')
    expect((await after.consume(group, topic, 300)).type).to.equal('timedOut')
    await stage.cluster.growTopic(topic, 4)
    await write(topic, 3, ['b'])
    expect(await taken(after, topic, 1)).to.deep.equal(['b'])
  })
})
