import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Queues } from '../../../src/consumer/queue/queues.js'
import type { QueueMessage } from '../../../src/verbs/verbs.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic, recreateTopic } from '../../support/target-cluster.js'
import { QueueClient, queuesOf } from './queue-client.js'

const NON_EMPTY_GROUP = 68

describe('a queue whose topic changes', function () {
  this.timeout(180_000)
  const on = onTargetCluster()
  let queues: Queues
  let client: QueueClient
  let topic: string

  before(() => {
    queues = queuesOf(on.castellan)
  })
  beforeEach(async () => {
    topic = freshTopic('queues')
    client = new QueueClient(queues, topic, freshTopic('workers'))
    await on.cluster.createTopic(topic, 1)
  })
  after(() => queues?.drain(0))

  /** Until it is written: a new partition has no leader at first. */
  const write = async (partition: number, value: string): Promise<void> => {
    for (const giveUpAt = performance.now() + 20_000; ; ) {
      const [outcome] = await on.castellan.produce([{ topic, partition, key: null, value }])
      if (outcome!.type === 'delivered') return
      if (performance.now() > giveUpAt) throw new Error(`${value} was not written: ${JSON.stringify(outcome)}`)
    }
  }
  const take = async (count: number): Promise<QueueMessage[]> => {
    const found: QueueMessage[] = []
    for (const giveUpAt = performance.now() + 40_000; found.length < count && performance.now() < giveUpAt; )
      found.push(...(await client.acquire({ count: count - found.length })))
    return found
  }
  const told = ({ partition, record, deliveryCount }: QueueMessage): string =>
    `${partition}:${record.value} ${deliveryCount}`

  it('offers the messages of partitions that are added, and keeps those that are held', async () => {
    await write(0, 'a')
    const [first] = await take(1)
    const waiting = take(2)
    await on.cluster.growTopic(topic, 3)
    await Promise.all([write(1, 'b'), write(2, 'c')])
    const found = await waiting
    expect(found.map(told).sort()).to.deep.equal(['1:b 1', '2:c 1'])
    for (const { token } of [first!, ...found]) expect(await client.outcomeOf({ accept: [token] })).to.equal('done')
    expect(await client.acquire({ waitMs: 1_000 })).to.deep.equal([])
  })

  it('loses its tokens when the topic is deleted, and offers the messages of the one that is created anew', async () => {
    for (const value of ['a', 'b']) await write(0, value)
    const [first, second] = await take(2)
    const waiting = take(1)
    await recreateTopic(on.cluster, topic)
    expect(await client.outcomeOf({ accept: [first!.token] }), 'maybe before it is known').to.be.oneOf([
      'lost',
      'unknown'
    ])
    await write(0, 'c')
    const [third] = await waiting
    expect([told(third!), third!.record.offset]).to.deep.equal(['0:c 1', 0])
    for (const word of ['accept', 'release', 'reject', 'renew'] as const)
      expect(await client.outcomeOf({ [word]: [second!.token] }), word).to.equal('lost')
    expect(await client.outcomeOf({ accept: [first!.token] })).to.be.oneOf(['lost', 'unknown'])
    expect(await client.acquire({ waitMs: 1_000 }), 'of the new topic while it is held').to.deep.equal([])
    expect(await client.outcomeOf({ accept: [third!.token] })).to.equal('done')
  })

  it('waits while its topic is deleted, and is answered by the one that is created anew', async () => {
    await write(0, 'a')
    const [first] = await take(1)
    expect(await client.outcomeOf({ accept: [first!.token] })).to.equal('done')
    const waiting = client.acquire({ waitMs: 60_000 })
    await on.cluster.deleteTopic(topic)
    await new Promise(resolve => setTimeout(resolve, 3_000))
    for (let isCreated = false; !isCreated; )
      isCreated = await on.cluster.createTopic(topic, 2).then(
        () => true,
        () => false
      )
    await write(1, 'b')
    const found = await waiting
    expect(found.map(told)).to.deep.equal(['1:b 1'])
    expect(await client.outcomeOf({ accept: [found[0]!.token] })).to.equal('done')
  })

  it('loses the tokens of before a reset, which needs that the gateway has left the group', async () => {
    const group = freshTopic('workers')
    client = new QueueClient(queues, topic, group)
    await write(0, 'a')
    const [held] = await take(1)
    const reset = () => on.castellan.verbs.shareGroups.reset(topic, group, 'earliest', false, 20_000)
    const refusals = new Set<unknown>()
    for (const giveUpAt = performance.now() + 100_000; performance.now() < giveUpAt; await sleep(1_000)) {
      const refusal = await reset().then(
        () => undefined,
        (error: { readonly errorCode?: number }) => error.errorCode
      )
      if (refusal === undefined) break
      refusals.add(refusal)
    }
    expect([...refusals]).to.deep.equal([NON_EMPTY_GROUP])
    expect(await client.outcomeOf({ accept: [held!.token] })).to.equal('lost')
    expect((await take(1)).map(told), 'as if it were new').to.deep.equal(['0:a 1'])
    expect(await client.outcomeOf({ accept: [held!.token] })).to.equal('lost')
  })
})
