import { randomUUID } from 'node:crypto'
import { expect } from 'chai'
import type { Queues } from '../../../src/consumer/queue/queues.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { openQueues } from '../../../src/server/app/open-queues.js'
import type { AcquireOptions, QueueMessage, Settlement } from '../../../src/verbs/verbs.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic, recreateTopic } from '../../support/target-cluster.js'

const LIMITS = {
  maxLockMs: 3_600_000,
  mayCreate: true,
  maxHeld: 10_000,
  maxHeldPerClient: 1_000,
  maxWaiting: 2_000,
  maxQueues: 100
}
const ASKED: AcquireOptions = {
  count: 1,
  waitMs: 30_000,
  maxBytes: 1_048_576,
  lockMs: undefined,
  start: 'earliest',
  client: 'a test',
  mayAlter: true
}
const NOTHING: Settlement = { accept: [], release: [], reject: [], renew: [], delayMs: 0 }

describe('a queue whose topic changes', function () {
  this.timeout(120_000)
  const on = onTargetCluster()
  let queues: Queues
  let topic: string
  let group: string

  before(() => {
    const { router, delivery } = on.castellan
    const of = { cluster: 'default', limits: LIMITS, log: silentLogger, metrics: defaultLogger }
    queues = openQueues({ ...of, router: router.ref, delivery })
  })
  beforeEach(async () => {
    topic = freshTopic('queues')
    group = `workers-${randomUUID()}`
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
  const acquire = (options: Partial<AcquireOptions> = {}): Promise<readonly QueueMessage[]> =>
    new Promise((resolve, reject) => {
      const reply = (result: Parameters<Parameters<Queues['acquire']>[3]['reply']>[0]): void =>
        result.type === 'acquired' ? resolve(result.messages) : reject(new Error(result.message))
      queues.acquire(topic, group, { ...ASKED, ...options }, { reply })
    })
  const take = async (count: number): Promise<QueueMessage[]> => {
    const found: QueueMessage[] = []
    for (const giveUpAt = performance.now() + 40_000; found.length < count && performance.now() < giveUpAt; )
      found.push(...(await acquire({ count: count - found.length })))
    return found
  }
  const told = ({ partition, record, deliveryCount }: QueueMessage): string =>
    `${partition}:${record.value} ${deliveryCount}`
  const outcomeOf = async (words: Partial<Settlement>): Promise<string> =>
    (await queues.settle(topic, group, { ...NOTHING, ...words }))[0]!.outcome

  it('offers the messages of partitions that are added, and keeps those that are held', async () => {
    await write(0, 'a')
    const [first] = await take(1)
    const waiting = take(2)
    await on.cluster.growTopic(topic, 3)
    await Promise.all([write(1, 'b'), write(2, 'c')])
    const found = await waiting
    expect(found.map(told).sort()).to.deep.equal(['1:b 1', '2:c 1'])
    for (const { token } of [first!, ...found]) expect(await outcomeOf({ accept: [token] })).to.equal('done')
    expect(await acquire({ waitMs: 1_000 })).to.deep.equal([])
  })

  it('loses its tokens when the topic is deleted, and offers the messages of the one that is created anew', async () => {
    for (const value of ['a', 'b']) await write(0, value)
    const [first, second] = await take(2)
    const waiting = take(1)
    await recreateTopic(on.cluster, topic)
    expect(await outcomeOf({ accept: [first!.token] }), 'maybe before it is known').to.be.oneOf(['lost', 'unknown'])
    await write(0, 'c')
    const [third] = await waiting
    expect([told(third!), third!.record.offset]).to.deep.equal(['0:c 1', 0])
    for (const word of ['accept', 'release', 'reject', 'renew'] as const)
      expect(await outcomeOf({ [word]: [second!.token] }), word).to.equal('lost')
    expect(await outcomeOf({ accept: [first!.token] })).to.be.oneOf(['lost', 'unknown'])
    expect(await acquire({ waitMs: 1_000 }), 'of the new topic while it is held').to.deep.equal([])
    expect(await outcomeOf({ accept: [third!.token] })).to.equal('done')
  })

  it('waits while its topic is deleted, and is answered by the one that is created anew', async () => {
    await write(0, 'a')
    const [first] = await take(1)
    expect(await outcomeOf({ accept: [first!.token] })).to.equal('done')
    const waiting = acquire({ waitMs: 60_000 })
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
    expect(await outcomeOf({ accept: [found[0]!.token] })).to.equal('done')
  })
})
